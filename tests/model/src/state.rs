//! One state of the world: what is on disk, what the process has in its hands, what is on the wire, what stands outside.

use crate::laws::Law;
use crate::nouns::TimerKind;
use crate::nouns::{Effect, Key, Lane, Order, Person, Request, Shelf, Tick, Timer, Told, Work};
use crate::set::Set;
use crate::setup::{Endpoint, Faults, Mutant, Setup};

/// How far the executor is with the order at the head of an incident's queue. Lost in a crash; what it needs to go on from
/// is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hand {
    /// Consent proven, drift looked for, `Started` not written.
    Proven,
    /// `Started` is on disk, no call yet.
    Begun,
    /// The call's intent is on disk, nothing sent.
    Intended,
    /// Sent. `copy`: which request it waits for; `again`: it repeats one that may be under way.
    Waiting { copy: u8, again: bool },
    /// The answer is there, its receipt is not on disk.
    Answered { again: bool, happened: bool },
    /// No answer will come.
    Lost { again: bool },
    /// The receipt is on disk.
    Receipted,
    /// Nobody can say.
    Unclear,
}

/// A request on the wire, or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flight {
    pub order: u8,
    pub work: Work,
    pub plan: u8,
    pub life: u8,
    pub copy: u8,
    /// `None`: not landed yet.
    pub answer: Option<bool>,
}

/// What the world outside saw being done: the measure of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deed {
    pub order: u8,
    pub work: Work,
    pub plan: u8,
    /// Of the consent it was done on.
    pub life: u8,
    pub times: u8,
}

/// A person's word as it was first stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Given {
    pub by: Person,
    pub plan: u8,
    pub life: u8,
    /// By the latest time the daemon knew of.
    pub in_time: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Received,
    Written,
    /// Only a planted bug answers before it has written.
    Answered,
}

/// A request in the process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arriving {
    pub request: Request,
    /// When the process took it in, by its clock.
    pub at: Tick,
    /// Whether that was in time, by the latest time it knew of.
    pub in_time: bool,
    pub stage: Stage,
}

/// The work of a planted bug that needs two batches for one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Half {
    Dequeue(Key),
    TimerLetter(Timer),
}

/// Everything about one incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Case {
    pub shelf: Shelf,
    pub arriving: Vec<Arriving>,
    pub hand: Option<Hand>,
    pub half: Option<Half>,
    pub flights: Vec<Flight>,
    /// What stands at the target: a bit a step and plan.
    pub value: u8,
    pub deeds: Vec<Deed>,
    /// Requests that left: order and life of the consent.
    pub sent: Set<(u8, u8)>,
    pub given: Set<Given>,
    /// Plans people were asked about: plan, life, and when the offer ends.
    pub shown: Set<(u8, u8, Tick)>,
}

impl Case {
    pub fn order(&self) -> Option<Order> {
        self.shelf.orders.first().copied()
    }
    /// The record of the effect that the order at the head is for.
    pub fn current(&self) -> Option<Effect> {
        self.shelf.effect(self.order()?.id)
    }
    pub fn done(&self, order: u8, work: Work, plan: u8) -> bool {
        self.deeds.iter().any(|deed| (deed.order, deed.work, deed.plan) == (order, work, plan))
    }
    /// What no crash leaves.
    pub fn forget(&mut self) {
        self.arriving.clear();
        self.hand = None;
        self.half = None;
        // An answer to a process that is gone reaches nobody.
        self.flights.retain(|flight| flight.answer.is_none());
    }
}

/// What all incidents share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Common {
    pub endpoint: Endpoint,
    pub up: bool,
    pub wall: Tick,
    /// The latest time this process has seen.
    pub seen: Tick,
    /// The latest time in a committed audit record.
    pub latest: Tick,
    /// How often the store has been restored.
    pub life: u8,
    pub left: Faults,
    /// What the last step was notable for. Gone with the next, so that no state is counted twice for its past.
    pub note: Note,
}

impl Common {
    /// The daemon's clock: never behind what it has seen or written.
    pub fn now(&self, setup: &Setup) -> Tick {
        if setup.is(Mutant::ClockGoesBack) { self.wall } else { self.known() }
    }
    pub fn known(&self) -> Tick {
        self.wall.max(self.seen)
    }
    pub fn audited(&mut self, at: Tick) {
        self.latest = self.latest.max(at);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    Nothing,
    /// A law was broken in this step.
    Breach(Law),
    DuplicateAcknowledged,
    CrashedBeforeAck,
    CrashedBeforeStarted,
    CrashedBeforeCall,
    CrashedBeforeSending,
    CrashedWhileWaiting,
    CrashedBeforeReceipt,
    CrashedBeforeOutcome,
    LandedLate,
    LandedAfterTheEnd,
    AnsweredByKey,
    FoundByReceipt,
    SentAgainWithKey,
    NobodyCanSay,
    RefusedLate,
    RefusedOtherPlan,
    RefusedSecondVoice,
    WithdrawnBeforeBegun,
    BroughtToItsEnd,
    ConsentStale,
    Drifted,
    LateResult,
    RolledBack,
    SecondPlanBegun,
    FiredOverdue,
    StaleTimer,
    SetAside,
    RestoredOpenEffect,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub common: Common,
    pub cases: Vec<Case>,
    pub backup: Option<Backup>,
}

/// The store as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backup {
    pub shelves: Vec<Shelf>,
    pub latest: Tick,
}

/// One incident's share of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    Receive(Request),
    Duplicate(Request),
    Write(Request),
    Acknowledge(Request),
    Handle(Lane),
    HandlePanics(Lane),
    SecondHalf,
    Fire(TimerKind),
    /// A read-only order is carried out and answered.
    Read(Told),
    Begin,
    Start,
    Intend,
    Send,
    Hear,
    WriteReceipt,
    AskFate,
    AskFateInVain,
    Finish,
    WorkPanics,
    Land {
        flight: u8,
        happened: bool,
    },
    LoseRequest {
        flight: u8,
    },
    TimeOut,
}

impl Move {
    /// Whether things may stand still for ever without it: faults, and what people may do or leave.
    pub fn is_optional(self) -> bool {
        match self {
            Self::Receive(request) => request != Request::Open,
            Self::Duplicate(_)
            | Self::HandlePanics(_)
            | Self::WorkPanics
            | Self::AskFateInVain
            | Self::LoseRequest { .. }
            | Self::TimeOut => true,
            Self::Land { happened, .. } => !happened,
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Crash,
    Boot,
    Tick,
    JumpBack,
    JumpForward,
    BackUp,
    Restore,
    Of(u8, Move),
}

impl Action {
    pub fn is_optional(self) -> bool {
        match self {
            Self::Boot | Self::Tick => false,
            Self::Of(_, step) => step.is_optional(),
            _ => true,
        }
    }
}
