//! The protocol as a transition system: which steps are open in a state, and what each makes of it.

use crate::executor;
use crate::laws;
use crate::nouns::{EffectState, Lane, Phase, Reason};
use crate::outside;
use crate::setup::{Mutant, Setup};
use crate::state::{Action, Backup, Case, Common, Hand, Move, Note, Stage, State};
use crate::supervisor;
use crate::tidy::tidy;
use stateright::{Model, Property};

#[derive(Clone, Debug)]
pub struct Protocol {
    pub setup: Setup,
    /// Names of the sights this run is asked for; promises are always asked for.
    pub sights: Vec<&'static str>,
}

impl Protocol {
    pub fn new(setup: Setup) -> Self {
        Self { setup, sights: Vec::new() }
    }

    /// Whether nothing goes on unless a fault happens or a person wants something.
    pub fn stands_still(&self, state: &State) -> bool {
        if !state.common.up || state.cases.iter().any(|case| !case.shelf.mail.is_empty()) {
            return false;
        }
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        actions.iter().all(|action| action.is_optional())
    }

    /// Time matters while something is to become due. A living process is not slower than time: what is due has been fired,
    /// and no letter waits longer than a tick. A dead one is as slow as it likes.
    fn may_pass(&self, state: &State) -> bool {
        let now = state.common.now(&self.setup);
        let shelves = || state.cases.iter().map(|case| &case.shelf);
        let due = |due: u8| due <= now;
        let slow = || {
            shelves().any(|shelf| {
                shelf.timers.iter().any(|timer| due(timer.due))
                    || shelf.mail.iter().any(|letter| letter.at < now)
            })
        };
        shelves().flat_map(|shelf| &shelf.timers).any(|timer| !due(timer.due)) && !(state.common.up && slow())
    }

    fn moves(&self, common: &Common, case: &Case) -> Vec<Move> {
        let (setup, mut moves) = (&self.setup, Vec::new());
        outside::wire_moves(common, case, &mut moves);
        if !common.up {
            return moves;
        }
        outside::desk_moves(setup, common, case, &mut moves);
        if case.half.is_some() {
            moves.push(Move::SecondHalf);
            return moves;
        }
        outside::timer_moves(setup, common, case, &mut moves);
        for lane in Lane::ALL {
            // A scan looks at the lanes in their order, and what arrives while its letters are handled waits: any lane's
            // first letter may be the next.
            if case.shelf.mail.iter().any(|letter| letter.lane() == lane) {
                moves.push(Move::Handle(lane));
                if common.left.panics > 0 {
                    moves.push(Move::HandlePanics(lane));
                }
            }
        }
        executor::moves(setup, common, case, &mut moves);
        moves
    }

    fn crash(&self, state: &mut State) {
        let common = &mut state.common;
        common.left.crashes -= 1;
        for case in &mut state.cases {
            let note = match case.hand {
                Some(Hand::Proven) => Note::CrashedBeforeStarted,
                Some(Hand::Begun) => Note::CrashedBeforeCall,
                Some(Hand::Intended) => Note::CrashedBeforeSending,
                Some(Hand::Waiting { .. } | Hand::Lost { .. }) => Note::CrashedWhileWaiting,
                Some(Hand::Answered { .. }) => Note::CrashedBeforeReceipt,
                Some(Hand::Receipted | Hand::Unclear) => Note::CrashedBeforeOutcome,
                None if case.arriving.iter().any(|arriving| arriving.stage == Stage::Written) => {
                    Note::CrashedBeforeAck
                }
                None => Note::Nothing,
            };
            if common.note == Note::Nothing {
                common.note = note;
            }
            let started = case.current().is_some_and(|effect| effect.state == EffectState::Started);
            if self.setup.is(Mutant::OrderConsumedAtStart) && started {
                // It was taken out of the mailbox with the commit of `Started`; only the process still knew of it.
                case.shelf.orders.remove(0);
            }
            case.forget();
        }
        common.up = false;
        common.seen = 0;
    }

    /// The copy is put back while nobody talks to the daemon: what was asked before is not asked again.
    fn restore(&self, state: &mut State) {
        let Some(backup) = state.backup.take() else { return };
        let (setup, common) = (&self.setup, &mut state.common);
        common.left.restores -= 1;
        common.life += 1;
        common.latest = backup.latest;
        for (case, mut shelf) in state.cases.iter_mut().zip(backup.shelves) {
            for effect in &mut shelf.effects {
                if effect.is_open() && !setup.is(Mutant::RestoreLeavesOpen) {
                    effect.state = EffectState::Unknown;
                    common.note = Note::RestoredOpenEffect;
                }
            }
            let trusting = setup.is(Mutant::RestoreTrustsConsent) || setup.is(Mutant::RestoreLeavesOpen);
            if let Some(incident) = &mut shelf.incident {
                let asked = matches!(
                    incident.phase,
                    Phase::AwaitingDecision(_) | Phase::Executing { .. } | Phase::Verifying { .. }
                );
                // The world went on after the copy: what people consented to may have been done since.
                if asked && !trusting {
                    incident.phase = Phase::Escalated(Reason::Restored);
                    incident.revision += 1;
                    incident.deadline = None;
                    shelf.timers.clear();
                }
            }
            case.shelf = shelf;
        }
    }

    fn step(&self, common: &mut Common, case: &mut Case, what: Move) {
        let setup = &self.setup;
        match what {
            Move::Handle(lane) => supervisor::handle(setup, common, case, lane),
            Move::HandlePanics(lane) => {
                common.left.panics -= 1;
                supervisor::panicked(common, &mut case.shelf, lane);
            }
            Move::Receive(_)
            | Move::Duplicate(_)
            | Move::Write(_)
            | Move::Acknowledge(_)
            | Move::SecondHalf
            | Move::Fire(_)
            | Move::Land { .. }
            | Move::LoseRequest { .. } => outside::step(setup, common, case, what),
            _ => executor::step(setup, common, case, what),
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let begin = |endpoint| State {
            common: Common {
                endpoint,
                up: true,
                wall: Setup::BEGINNING,
                seen: Setup::BEGINNING,
                latest: 0,
                life: 0,
                left: self.setup.faults,
                note: Note::Nothing,
            },
            cases: vec![Case::default(); usize::from(self.setup.incidents)],
            backup: None,
        };
        self.setup.endpoints.iter().copied().map(begin).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let common = &state.common;
        let left = &common.left;
        if !common.up {
            actions.push(Action::Boot);
            if state.backup.is_some() {
                actions.push(Action::Restore);
            }
        } else {
            if left.crashes > 0 {
                actions.push(Action::Crash);
            }
            if left.restores > 0 && state.backup.is_none() {
                actions.push(Action::BackUp);
            }
        }
        if self.may_pass(state) {
            actions.push(Action::Tick);
        }
        let written =
            |case: &Case| case.arriving.iter().find(|arriving| arriving.stage == Stage::Written).copied();
        for (place, case) in state.cases.iter().enumerate() {
            if let Some(arriving) = written(case) {
                // What the sender knows changes nothing here but what a crash would leave: that step comes first.
                let place = u8::try_from(place).unwrap_or(u8::MAX);
                actions.retain(|action| *action == Action::Crash);
                actions.push(Action::Of(place, Move::Acknowledge(arriving.request)));
                return;
            }
        }
        // A clock that jumps when nothing is to become due changes nothing that anybody looks at.
        if left.jumps > 0 && state.cases.iter().any(|case| !case.shelf.timers.is_empty()) {
            actions.extend([Action::JumpBack, Action::JumpForward]);
        }
        for (place, case) in state.cases.iter().enumerate() {
            let place = u8::try_from(place).unwrap_or(u8::MAX);
            actions.extend(self.moves(common, case).into_iter().map(|what| Action::Of(place, what)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        next.common.note = Note::Nothing;
        let common = &mut next.common;
        match action {
            Action::Crash => self.crash(&mut next),
            Action::Boot => {
                common.up = true;
                common.seen = common.wall.max(common.latest);
            }
            Action::Tick => pass(common, common.wall + 1),
            Action::JumpForward => {
                common.left.jumps -= 1;
                pass(common, common.wall + Setup::JUMP);
            }
            Action::JumpBack => {
                common.left.jumps -= 1;
                pass(common, common.wall.saturating_sub(Setup::JUMP));
            }
            Action::BackUp => {
                let shelves = next.cases.iter().map(|case| case.shelf.clone()).collect();
                next.backup = Some(Backup { shelves, latest: common.latest });
            }
            Action::Restore => self.restore(&mut next),
            Action::Of(place, what) => {
                let case = next.cases.get_mut(usize::from(place))?;
                self.step(common, case, what);
            }
        }
        tidy(&self.setup, &mut next);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = laws::promises();
        all.extend(laws::sights().into_iter().filter(|sight| self.sights.contains(&sight.name)));
        all
    }
}

fn pass(common: &mut Common, wall: u8) {
    common.wall = wall;
    if common.up {
        common.seen = common.seen.max(wall);
    }
}
