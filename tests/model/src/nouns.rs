//! The nouns of the protocol, with no more in them than the protocol looks at.

use crate::set::Set;

/// Time in the smallest unit that makes a difference to a deadline.
pub type Tick = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Person {
    Ann,
    Ben,
}

impl Person {
    pub const ALL: [Self; 2] = [Self::Ann, Self::Ben];
}

/// What comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    Open,
    /// `plan` stands for the plan's digest: the number of the round that made it.
    /// `nth`: a person may say the same twice, in two requests.
    Approve {
        by: Person,
        plan: u8,
        nth: u8,
    },
    LookAgain,
    TakeOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    PhaseDeadline,
    ApprovalLifetime,
}

/// A row of the timer table: at most one of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    pub kind: TimerKind,
    pub due: Tick,
    /// Revision of the incident that set it.
    pub revision: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Remedy,
    Rollback,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// Gather, diagnose, plan: reads only.
    Investigate,
    Apply {
        step: u8,
    },
    Verify(Subject),
    Revert {
        step: u8,
    },
}

impl Work {
    pub fn changes(self) -> bool {
        matches!(self, Self::Apply { .. } | Self::Revert { .. })
    }
}

/// What an order came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told {
    /// With what stood there when the plan was made.
    Planned {
        snapshot: u8,
    },
    Abstained,
    /// The change was made: applied, or put back.
    Done,
    /// The change was not made.
    Failed,
    Unknown,
    Verified {
        healthy: bool,
    },
}

/// Names a letter for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `life`: how often the store had been restored when it was said.
    Asked {
        request: Request,
        life: u8,
    },
    Timer {
        kind: TimerKind,
        due: Tick,
        revision: u8,
    },
    /// The answer to the order of this revision.
    Result(u8),
    /// Tells that the n-th dead letter exists.
    Dead(u8),
}

/// Served in this order, when several wait at the moment of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    Control,
    Approval,
    Normal,
}

impl Lane {
    pub const ALL: [Self; 3] = [Self::Control, Self::Approval, Self::Normal];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Body {
    Asked(Request),
    TimerFired { kind: TimerKind, due: Tick },
    Told { order: u8, told: Told },
    DeadLettered,
}

/// In the supervisor's mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Letter {
    pub key: Key,
    pub at: Tick,
    pub body: Body,
    pub attempts: u8,
}

impl Letter {
    pub fn new(key: Key, at: Tick, body: Body) -> Self {
        Self { key, at, body, attempts: 0 }
    }
    pub fn lane(&self) -> Lane {
        match self.body {
            Body::TimerFired { .. } | Body::DeadLettered => Lane::Control,
            Body::Asked(Request::Open) | Body::Told { .. } => Lane::Normal,
            Body::Asked(_) => Lane::Approval,
        }
    }
}

/// In the executor's mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order {
    /// Revision of the incident that ordered it.
    pub id: u8,
    pub work: Work,
    pub attempts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectState {
    Intent,
    Started,
    Done,
    Failed,
    Unknown,
}

/// The one mutating call of an effect, as it is journalled around the deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    None,
    /// Its intent is on disk, its receipt is not.
    Open,
    Happened,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Effect {
    pub id: u8,
    pub work: Work,
    pub state: EffectState,
    pub call: Call,
    /// Number of restores before the plan it belongs to was consented to.
    pub life: u8,
}

impl Effect {
    pub fn is_open(&self) -> bool {
        matches!(self.state, EffectState::Intent | EffectState::Started)
    }
}

/// One person's word on one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Approval {
    pub by: Person,
    pub plan: u8,
    pub life: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposal {
    pub plan: u8,
    pub snapshot: u8,
    pub approvals: Vec<Approval>,
    pub expires_at: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepState {
    Pending,
    Ordered,
    Applied,
    Failed,
    Undoing,
    Undone,
    UndoFailed,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Saga {
    pub proposal: Proposal,
    pub unwinding: bool,
    pub steps: Vec<StepState>,
    pub decided_at: Tick,
    pub life: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    Abstained,
    ApprovalTimeout,
    Deadline,
    UnknownOutcome,
    IterationLimit,
    RollbackFailed,
    DeadLetter,
    Human,
    /// The store is a restored copy, and people had been asked about a change.
    Restored,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Investigating { awaiting: u8 },
    AwaitingDecision(Proposal),
    Executing { saga: Saga, awaiting: u8 },
    Verifying { saga: Saga, subject: Subject, awaiting: u8 },
    Resolved,
    Escalated(Reason),
}

impl Phase {
    pub fn awaiting(&self) -> Option<u8> {
        match self {
            Self::Investigating { awaiting }
            | Self::Executing { awaiting, .. }
            | Self::Verifying { awaiting, .. } => Some(*awaiting),
            _ => None,
        }
    }
    pub fn saga(&self) -> Option<&Saga> {
        match self {
            Self::Executing { saga, .. } | Self::Verifying { saga, .. } => Some(saga),
            _ => None,
        }
    }
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Resolved | Self::Escalated(_))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incident {
    pub revision: u8,
    pub updated_at: Tick,
    pub round: u8,
    pub deadline: Option<Tick>,
    pub phase: Phase,
    /// Only a planted bug puts anything in.
    pub kept: Vec<Approval>,
}

/// What lies on disk for one incident. The sets at the end are the bookkeeping of the proof: they are written in the same
/// batches, so that a restored copy is measured by what it knew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shelf {
    pub mail: Vec<Letter>,
    pub orders: Vec<Order>,
    /// Dedup keys.
    pub known: Set<Key>,
    pub incident: Option<Incident>,
    pub effects: Vec<Effect>,
    pub timers: Vec<Timer>,
    /// Letters answered to their sender as stored.
    pub acked: Set<Key>,
    /// Letters whose handling was committed.
    pub handled: Set<Key>,
    /// The order whose answer was handled last.
    pub last_result: u8,
    /// Letters set aside.
    pub dead: Set<Key>,
    /// Approvals on which a plan was begun.
    pub consumed: Set<Approval>,
}

impl Shelf {
    pub fn effect(&self, id: u8) -> Option<Effect> {
        self.effects.iter().find(|effect| effect.id == id).copied()
    }
    pub fn change_effect(&mut self, id: u8, change: impl FnOnce(&mut Effect)) {
        if let Some(effect) = self.effects.iter_mut().find(|effect| effect.id == id) {
            change(effect);
        }
    }
    pub fn set_timer(&mut self, timer: Timer) {
        self.cancel_timer(timer.kind);
        self.timers.push(timer);
        self.timers.sort_unstable();
    }
    pub fn cancel_timer(&mut self, kind: TimerKind) {
        self.timers.retain(|timer| timer.kind != kind);
    }
    /// Queues a letter unless its key is known. `false`: it was.
    pub fn enqueue(&mut self, letter: Letter, dedup: bool) -> bool {
        if !self.known.insert(letter.key) && dedup {
            return false;
        }
        self.mail.push(letter);
        // Lanes are apart: in which order letters of two lanes came is no difference.
        self.mail.sort_by_key(Letter::lane);
        true
    }
}
