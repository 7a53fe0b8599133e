//! What one run explores: how many of everything, which faults, and which planted bug.

use crate::nouns::Tick;

/// What the place that is changed offers to somebody who lost its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A request with a key it has carried out is answered and not carried out again.
    pub honours_key: bool,
    /// It can be asked what became of a key.
    pub has_receipts: bool,
}

impl Endpoint {
    pub const PLAIN: Self = Self { honours_key: false, has_receipts: false };
    pub const RECEIPTS: Self = Self { honours_key: false, has_receipts: true };
    pub const KEYED: Self = Self { honours_key: true, has_receipts: true };
    pub const KEYED_BLIND: Self = Self { honours_key: true, has_receipts: false };
    pub const ALL: [Self; 4] = [Self::PLAIN, Self::RECEIPTS, Self::KEYED, Self::KEYED_BLIND];
}

/// How often each fault may still happen. All together are finite, so every run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// The process dies, in whatever state it is.
    pub crashes: u8,
    /// A request from outside comes once more, answered or not.
    pub duplicates: u8,
    /// An answer of the endpoint, or a request to it, or an answer to a question about a key, is lost.
    pub losses: u8,
    /// The endpoint refuses a change (a 4xx: it did not happen, and is not remembered).
    pub refusals: u8,
    /// A handler panics.
    pub panics: u8,
    /// The wall clock is set back by two ticks, or forward.
    pub jumps: u8,
    /// A backup is taken, and may be put back.
    pub restores: u8,
}

/// Bugs that can be planted. Each is a deviation somebody could make in the real code; each must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// An open call is sent again without asking.
    BlindRerun,
    /// The sender is answered, then the letter is written.
    AckBeforeWrite,
    /// A known dedup key is queued again.
    NoDedup,
    /// The state is written in one batch, the letter taken out in the next.
    DequeueApart,
    /// The request leaves before `Started` is on disk.
    SendBeforeStarted,
    /// No answer in time is told as "did not happen".
    TimeoutIsFailure,
    /// An approval counts whatever plan it names.
    ApprovalUnbound,
    /// An approval counts however late it is.
    ExpiryIgnored,
    /// The voices are counted, not the people.
    OneVoiceTwice,
    /// The approvals of a plan that was withdrawn or failed count for the next.
    ApprovalKept,
    /// The time of day is taken from the wall clock, which may have been set back.
    ClockGoesBack,
    /// The endpoint has not seen the key, so the request is sent again, though nobody honours the key.
    VerifyThenRerun,
    /// A refusal of the repeated request is taken as a word on the first one too.
    RepeatRefusalBelieved,
    /// The receipt of a refusal is taken for the receipt of a deed when the incident was taken over meanwhile.
    RefusalTakenForDone,
    /// The order is consumed when the effect starts, not when it ends.
    OrderConsumedAtStart,
    /// The timer of a proposal is not set: where nobody decides, nothing ends the wait.
    DeadlineForgotten,
    /// The dead letter is written, the effect it had begun stays as it is.
    DeadLetterLeavesStarted,
    /// A timer becomes a letter and stays a timer.
    TimerNotConsumed,
    /// A timer is deleted in one batch and its letter written in the next.
    TimerLost,
    /// A timer fires a tick before it is due.
    TimerEarly,
    /// A restored store leaves open effects as they were.
    RestoreLeavesOpen,
    /// A restored store makes open effects unknown, and goes on with plans that people had approved before.
    RestoreTrustsConsent,
}

impl Mutant {
    pub const ALL: [Self; 22] = [
        Self::BlindRerun,
        Self::AckBeforeWrite,
        Self::NoDedup,
        Self::DequeueApart,
        Self::SendBeforeStarted,
        Self::TimeoutIsFailure,
        Self::ApprovalUnbound,
        Self::ExpiryIgnored,
        Self::OneVoiceTwice,
        Self::ApprovalKept,
        Self::ClockGoesBack,
        Self::VerifyThenRerun,
        Self::RepeatRefusalBelieved,
        Self::RefusalTakenForDone,
        Self::OrderConsumedAtStart,
        Self::DeadlineForgotten,
        Self::DeadLetterLeavesStarted,
        Self::TimerNotConsumed,
        Self::TimerLost,
        Self::TimerEarly,
        Self::RestoreLeavesOpen,
        Self::RestoreTrustsConsent,
    ];
}

#[derive(Clone, Debug)]
pub struct Setup {
    /// Incidents side by side.
    pub incidents: u8,
    /// Steps of a plan.
    pub steps: u8,
    /// People a plan needs: 1 for a remediation, 2 for something destructive.
    pub people_needed: u8,
    /// People there are, at most 2.
    pub people: u8,
    /// How often each may say the same.
    pub voices: u8,
    /// Requests of one incident in the process's memory at a time.
    pub at_the_door: u8,
    /// Rounds of diagnosis before a human takes over.
    pub rounds_max: u8,
    /// Each is explored.
    pub endpoints: Vec<Endpoint>,
    /// A person may ask for a fresh look, which withdraws the proposal.
    pub look_again: bool,
    /// A person may take over.
    pub take_over: bool,
    /// A diagnosis may abstain, a remedy may not help.
    pub setbacks: bool,
    pub faults: Faults,
    pub mutant: Option<Mutant>,
}

impl Setup {
    /// How long a proposal waits for people, ticks.
    pub const APPROVAL_LIFETIME: Tick = 1;
    /// How long ordered work may take, ticks.
    pub const WORK_DEADLINE: Tick = 1;
    /// From the deciding approval to the start of the last step, ticks. The sum of both above would never be reached.
    pub const EXECUTION_WINDOW: Tick = 1;
    /// Failed handlings before a letter is set aside. The real number is 3; what matters is one that is retried and one that
    /// is not.
    pub const ATTEMPTS_MAX: u8 = 2;
    /// How far a clock jumps, ticks: beyond every deadline, in both directions.
    pub const JUMP: Tick = 2;
    /// Where the clock stands at first: a jump back stays above 0.
    pub const BEGINNING: Tick = 2;

    /// One incident, one step, one approver, no fault.
    pub fn calm() -> Self {
        Self {
            incidents: 1,
            steps: 1,
            people_needed: 1,
            people: 1,
            voices: 1,
            at_the_door: 1,
            rounds_max: 2,
            endpoints: vec![Endpoint::PLAIN],
            look_again: false,
            take_over: false,
            setbacks: true,
            faults: Faults::default(),
            mutant: None,
        }
    }

    pub fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
