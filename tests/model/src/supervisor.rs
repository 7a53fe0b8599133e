//! The supervisor: a letter in, the law, one batch.

use crate::laws::Law;
use crate::nouns::Call;
use crate::nouns::{
    Approval, Body, Effect, EffectState, Incident, Key, Lane, Letter, Order, Phase, Proposal, Reason,
    Request, Saga, Shelf, StepState, Subject, Tick, Timer, TimerKind, Told, Work,
};
use crate::setup::{Mutant, Setup};
use crate::state::{Case, Common, Half, Note};

/// Takes the first letter of a lane, decides, commits.
pub fn handle(setup: &Setup, common: &mut Common, case: &mut Case, lane: Lane) {
    let Some(place) = case.shelf.mail.iter().position(|letter| letter.lane() == lane) else { return };
    let Some(letter) = case.shelf.mail.get(place).copied() else { return };
    if setup.is(Mutant::DequeueApart) {
        case.half = Some(Half::Dequeue(letter.key));
    } else {
        case.shelf.mail.remove(place);
    }
    let known_result = match letter.key {
        // Orders are numbered upwards and their answers come in order: one that is not beyond the last came before.
        Key::Result(order) => order <= std::mem::replace(&mut case.shelf.last_result, order),
        _ => false,
    };
    if !case.shelf.handled.insert(letter.key) || known_result {
        common.note = Note::Breach(Law::HandledOnce);
        return;
    }
    let mut turn = Turn { setup, common, shelf: &mut case.shelf, at: letter.at };
    turn.decide(letter);
    if let Some(Incident { phase: Phase::AwaitingDecision(proposal), .. }) = &case.shelf.incident {
        // The notice goes out with the commit: from now on people know of the plan.
        case.shown.insert((proposal.plan, common.life, proposal.expires_at));
    }
}

/// Counts a failed handling: the letter waits, or after the last one is set aside and its incident told.
pub fn panicked(common: &mut Common, shelf: &mut Shelf, lane: Lane) {
    let Some(place) = shelf.mail.iter().position(|letter| letter.lane() == lane) else { return };
    let Some(letter) = shelf.mail.get_mut(place) else { return };
    letter.attempts += 1;
    if letter.attempts >= Setup::ATTEMPTS_MAX {
        let key = letter.key;
        shelf.mail.remove(place);
        shelf.dead.insert(key);
        tell_dead(common, shelf);
    }
}

/// The notice that something lies in the dead letters.
pub fn tell_dead(common: &mut Common, shelf: &mut Shelf) {
    let number = u8::try_from(shelf.known.iter().filter(|key| matches!(key, Key::Dead(_))).count());
    let letter = Letter::new(Key::Dead(number.unwrap_or(u8::MAX)), common.known(), Body::DeadLettered);
    shelf.enqueue(letter, true);
    common.audited(letter.at);
    common.note = Note::SetAside;
}

struct Turn<'a> {
    setup: &'a Setup,
    common: &'a mut Common,
    shelf: &'a mut Shelf,
    /// The event's time, and the only clock here.
    at: Tick,
}

impl Turn<'_> {
    fn decide(&mut self, letter: Letter) {
        let Some(mut incident) = self.shelf.incident.clone() else {
            if letter.body == Body::Asked(Request::Open) {
                let mut incident = Incident {
                    revision: 0,
                    updated_at: self.at,
                    round: 0,
                    deadline: None,
                    phase: Phase::Resolved,
                    kept: Vec::new(),
                };
                incident.revision = 1;
                self.investigate(incident);
            }
            return;
        };
        self.at = self.at.max(incident.updated_at);
        match letter.body {
            Body::Asked(Request::Open) => {}
            Body::Asked(Request::Approve { by, plan, .. }) => {
                let Key::Asked { life, .. } = letter.key else { return };
                self.approve(incident, Approval { by, plan, life });
            }
            Body::Asked(Request::LookAgain) => {
                if let Phase::AwaitingDecision(proposal) = &incident.phase {
                    if incident.round >= self.setup.rounds_max {
                        self.escalate(incident, Reason::IterationLimit);
                        return;
                    }
                    self.keep(&mut incident.kept, &proposal.approvals);
                    self.shelf.cancel_timer(TimerKind::ApprovalLifetime);
                    self.investigate(incident);
                }
            }
            Body::Asked(Request::TakeOver) => {
                if !incident.phase.is_terminal() {
                    self.escalate(incident, Reason::Human);
                }
            }
            Body::DeadLettered => {
                if !incident.phase.is_terminal() {
                    self.escalate(incident, Reason::DeadLetter);
                }
            }
            Body::TimerFired { kind, due } => self.timer(incident, kind, due),
            Body::Told { order, told } => {
                if incident.phase.awaiting() == Some(order) {
                    self.told(incident, told);
                } else if matches!(told, Told::Done | Told::Failed | Told::Unknown) {
                    // What a deed came to is kept even when it comes too late.
                    incident.revision += 1;
                    self.put(incident);
                    self.common.note = Note::LateResult;
                }
            }
        }
    }

    fn put(&mut self, mut incident: Incident) {
        incident.updated_at = self.at;
        self.common.audited(self.at);
        self.shelf.incident = Some(incident);
    }

    fn keep(&self, kept: &mut Vec<Approval>, approvals: &[Approval]) {
        if self.setup.is(Mutant::ApprovalKept) {
            kept.extend_from_slice(approvals);
            kept.sort_unstable();
            kept.dedup();
        }
    }

    /// Orders work under the next revision and returns its id.
    fn order(&mut self, incident: &mut Incident, work: Work, life: u8) -> u8 {
        incident.revision += 1;
        let id = incident.revision;
        self.shelf.orders.push(Order { id, work, attempts: 0 });
        if work.changes() {
            self.shelf.effects.push(Effect { id, work, state: EffectState::Intent, call: Call::None, life });
        }
        let due = self.at + Setup::WORK_DEADLINE;
        incident.deadline = Some(due);
        self.shelf.set_timer(Timer { kind: TimerKind::PhaseDeadline, due, revision: id });
        id
    }

    fn investigate(&mut self, mut incident: Incident) {
        let life = self.common.life;
        let awaiting = self.order(&mut incident, Work::Investigate, life);
        incident.phase = Phase::Investigating { awaiting };
        self.put(incident);
    }

    fn end(&mut self, mut incident: Incident, phase: Phase) {
        incident.revision += 1;
        incident.deadline = None;
        incident.phase = phase;
        self.shelf.cancel_timer(TimerKind::PhaseDeadline);
        self.shelf.cancel_timer(TimerKind::ApprovalLifetime);
        self.put(incident);
    }

    fn escalate(&mut self, incident: Incident, why: Reason) {
        self.end(incident, Phase::Escalated(why));
    }

    fn approve(&mut self, mut incident: Incident, approval: Approval) {
        let Phase::AwaitingDecision(proposal) = &incident.phase else { return };
        let mut proposal = proposal.clone();
        if approval.plan != proposal.plan && !self.setup.is(Mutant::ApprovalUnbound) {
            self.common.note = Note::RefusedOtherPlan;
            return;
        }
        if self.at >= proposal.expires_at && !self.setup.is(Mutant::ExpiryIgnored) {
            self.common.note = Note::RefusedLate;
            return;
        }
        let spoken = proposal.approvals.iter().any(|given| given.by == approval.by);
        if spoken && !self.setup.is(Mutant::OneVoiceTwice) {
            self.common.note = Note::RefusedSecondVoice;
            return;
        }
        proposal.approvals.push(approval);
        if proposal.approvals.len() >= usize::from(self.setup.people_needed) {
            self.begin(incident, proposal);
        } else {
            incident.revision += 1;
            incident.phase = Phase::AwaitingDecision(proposal);
            self.put(incident);
        }
    }

    fn propose(&mut self, mut incident: Incident, snapshot: u8) {
        incident.round += 1;
        incident.revision += 1;
        incident.deadline = None;
        let expires_at = self.at + Setup::APPROVAL_LIFETIME;
        let approvals = std::mem::take(&mut incident.kept);
        let proposal = Proposal { plan: incident.round, snapshot, approvals, expires_at };
        self.shelf.cancel_timer(TimerKind::PhaseDeadline);
        if proposal.approvals.len() >= usize::from(self.setup.people_needed) {
            self.begin(incident, proposal);
            return;
        }
        let revision = incident.revision;
        if !self.setup.is(Mutant::DeadlineForgotten) {
            self.shelf.set_timer(Timer { kind: TimerKind::ApprovalLifetime, due: expires_at, revision });
        }
        incident.phase = Phase::AwaitingDecision(proposal);
        self.put(incident);
    }

    fn begin(&mut self, incident: Incident, proposal: Proposal) {
        for approval in &proposal.approvals {
            if !self.shelf.consumed.insert(*approval) {
                self.common.note = Note::Breach(Law::ConsentConsumedOnce);
            }
        }
        if self.common.note == Note::Nothing && proposal.plan > 1 {
            self.common.note = Note::SecondPlanBegun;
        }
        self.shelf.cancel_timer(TimerKind::ApprovalLifetime);
        let steps = vec![StepState::Pending; usize::from(self.setup.steps)];
        let (decided_at, life) = (self.at, self.common.life);
        self.forward(incident, Saga { proposal, unwinding: false, steps, decided_at, life });
    }

    fn forward(&mut self, mut incident: Incident, mut saga: Saga) {
        let pending = saga.steps.iter().position(|step| *step == StepState::Pending);
        let Some(place) = pending else { return self.verify(incident, saga, Subject::Remedy) };
        let step = u8::try_from(place).unwrap_or(u8::MAX);
        let awaiting = self.order(&mut incident, Work::Apply { step }, saga.life);
        set(&mut saga, place, StepState::Ordered);
        incident.phase = Phase::Executing { saga, awaiting };
        self.put(incident);
    }

    fn verify(&mut self, mut incident: Incident, saga: Saga, subject: Subject) {
        let awaiting = self.order(&mut incident, Work::Verify(subject), saga.life);
        incident.phase = Phase::Verifying { saga, subject, awaiting };
        self.put(incident);
    }

    fn unwind(&mut self, mut incident: Incident, mut saga: Saga) {
        saga.unwinding = true;
        if let Some(place) = saga.steps.iter().rposition(|step| *step == StepState::Applied) {
            let step = u8::try_from(place).unwrap_or(u8::MAX);
            let awaiting = self.order(&mut incident, Work::Revert { step }, saga.life);
            set(&mut saga, place, StepState::Undoing);
            incident.phase = Phase::Executing { saga, awaiting };
            self.put(incident);
        } else if saga.steps.contains(&StepState::UndoFailed) {
            self.escalate(incident, Reason::RollbackFailed);
        } else if saga.steps.contains(&StepState::Undone) {
            self.verify(incident, saga, Subject::Rollback);
        } else {
            self.next_round(incident, &saga);
        }
    }

    fn next_round(&mut self, mut incident: Incident, saga: &Saga) {
        if incident.round >= self.setup.rounds_max {
            self.escalate(incident, Reason::IterationLimit);
        } else {
            self.keep(&mut incident.kept, &saga.proposal.approvals);
            self.investigate(incident);
        }
    }

    fn told(&mut self, incident: Incident, told: Told) {
        match (incident.phase.clone(), told) {
            (Phase::Investigating { .. }, Told::Planned { snapshot }) => self.propose(incident, snapshot),
            (Phase::Investigating { .. }, Told::Abstained) => self.escalate(incident, Reason::Abstained),
            (Phase::Executing { .. }, Told::Unknown) => self.escalate(incident, Reason::UnknownOutcome),
            (Phase::Executing { mut saga, .. }, told) => {
                let under_way =
                    saga.steps.iter().position(|s| matches!(s, StepState::Ordered | StepState::Undoing));
                let (Some(place), done) = (under_way, told == Told::Done) else { return };
                match (saga.unwinding, done) {
                    (false, true) => {
                        set(&mut saga, place, StepState::Applied);
                        self.forward(incident, saga);
                    }
                    (false, false) => {
                        set(&mut saga, place, StepState::Failed);
                        self.unwind(incident, saga);
                    }
                    (true, _) => {
                        set(&mut saga, place, if done { StepState::Undone } else { StepState::UndoFailed });
                        self.unwind(incident, saga);
                    }
                }
            }
            (Phase::Verifying { saga, subject, .. }, Told::Verified { healthy }) => {
                match (subject, healthy) {
                    (Subject::Remedy, true) => self.end(incident, Phase::Resolved),
                    (Subject::Remedy, false) => self.unwind(incident, saga),
                    (Subject::Rollback, true) => {
                        self.next_round(incident, &saga);
                        self.common.note = Note::RolledBack;
                    }
                    (Subject::Rollback, false) => self.escalate(incident, Reason::RollbackFailed),
                }
            }
            _ => {}
        }
    }

    fn timer(&mut self, incident: Incident, kind: TimerKind, due: Tick) {
        let why = match (&incident.phase, kind) {
            (Phase::AwaitingDecision(proposal), TimerKind::ApprovalLifetime)
                if self.at >= proposal.expires_at && due >= proposal.expires_at =>
            {
                Reason::ApprovalTimeout
            }
            (Phase::Investigating { .. } | Phase::Verifying { .. }, TimerKind::PhaseDeadline)
                if incident.deadline == Some(due) =>
            {
                Reason::Deadline
            }
            // What is under way when its time is up may have happened.
            (Phase::Executing { .. }, TimerKind::PhaseDeadline) if incident.deadline == Some(due) => {
                Reason::UnknownOutcome
            }
            _ => {
                self.common.note = Note::StaleTimer;
                return;
            }
        };
        self.escalate(incident, why);
    }
}

fn set(saga: &mut Saga, place: usize, state: StepState) {
    if let Some(step) = saga.steps.get_mut(place) {
        *step = state;
    }
}
