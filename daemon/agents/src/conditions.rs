//! What is wrong with the daemon's world, since when, and when it healed.
//!
//! Owns the list that status, readiness and metrics show. Each entry is set by whoever meets the trouble and healed when
//! the thing answers again. Never decides anything: what runs and what waits is decided where it is met.

use crate::shell::lock;
use medic_core::TimestampMs;
use medic_ports::Clock;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// How long a healed condition is still shown. One hour: a human who comes after the page sees what it was.
const HEALED_SHOWN_MS: u64 = 60 * 60 * 1000;
/// Characters of a detail. 500: an error with its cause.
const DETAIL_CHARS_MAX: usize = 500;
/// Subjects of one code listed. 16: more is the same trouble.
const SUBJECTS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Code {
    ActorRestarting,
    CarefulMode,
    ClockJumped,
    DeadLetters,
    HandlerHung,
    KnowledgeUnavailable,
    LogsUnreachable,
    MetricsUnreachable,
    ModelUnavailable,
    NotifierFailing,
    PluginFailing,
    SafeMode,
    StoreFailed,
    StoreLowSpace,
    StoreSlow,
}

impl Code {
    #[cfg(test)]
    pub const ALL: [Self; 15] = [
        Self::ActorRestarting,
        Self::CarefulMode,
        Self::ClockJumped,
        Self::DeadLetters,
        Self::HandlerHung,
        Self::KnowledgeUnavailable,
        Self::LogsUnreachable,
        Self::MetricsUnreachable,
        Self::ModelUnavailable,
        Self::NotifierFailing,
        Self::PluginFailing,
        Self::SafeMode,
        Self::StoreFailed,
        Self::StoreLowSpace,
        Self::StoreSlow,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActorRestarting => "ACTOR_RESTARTING",
            Self::ClockJumped => "CLOCK_JUMPED",
            Self::DeadLetters => "DEAD_LETTERS",
            Self::HandlerHung => "HANDLER_HUNG",
            Self::KnowledgeUnavailable => "KNOWLEDGE_UNAVAILABLE",
            Self::LogsUnreachable => "LOGS_UNREACHABLE",
            Self::MetricsUnreachable => "METRICS_UNREACHABLE",
            Self::ModelUnavailable => "MODEL_UNAVAILABLE",
            Self::NotifierFailing => "NOTIFIER_FAILING",
            Self::PluginFailing => "PLUGIN_FAILING",
            Self::CarefulMode => "CAREFUL_MODE",
            Self::SafeMode => "SAFE_MODE",
            Self::StoreFailed => "STORE_FAILED",
            Self::StoreLowSpace => "STORE_LOW_SPACE",
            Self::StoreSlow => "STORE_SLOW",
        }
    }
}

/// One degradation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Stable, upper snake case, explained in the docs.
    pub code: String,
    pub since: TimestampMs,
    /// What was met last, for people.
    pub detail: String,
    /// `None` while it lasts. Healed ones are shown for an hour.
    pub healed_at: Option<TimestampMs>,
}

/// Clones are handles on one list.
#[derive(Clone)]
pub(crate) struct Conditions {
    clock: Arc<dyn Clock>,
    /// By code and what it is about: a tool, an actor, or nothing in particular.
    known: Arc<Mutex<BTreeMap<(Code, String), Condition>>>,
}

impl Conditions {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Arc::default() }
    }

    /// Notes it, or what it is like now when it is noted already.
    pub fn set(&self, code: Code, subject: &str, detail: &str) {
        let detail: String = detail.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect();
        let now = self.clock.now();
        let mut known = lock(&self.known);
        if let Some(condition) = known.get_mut(&(code, subject.to_owned()))
            && condition.healed_at.is_none()
        {
            condition.detail = detail;
            return;
        }
        if known.keys().filter(|(other, _)| *other == code).count() >= SUBJECTS_MAX {
            return;
        }
        tracing::warn!(code = code.as_str(), subject, detail, "degraded");
        let condition = Condition { code: code.as_str().to_owned(), since: now, detail, healed_at: None };
        known.insert((code, subject.to_owned()), condition);
    }

    pub fn heal(&self, code: Code, subject: &str) {
        let mut known = lock(&self.known);
        if let Some(condition) = known.get_mut(&(code, subject.to_owned()))
            && condition.healed_at.is_none()
        {
            condition.healed_at = Some(self.clock.now());
            tracing::info!(code = code.as_str(), subject, "healed");
        }
    }

    /// Sets it or heals it, as `detail` says.
    pub fn keep(&self, code: Code, subject: &str, detail: Option<&str>) {
        match detail {
            Some(detail) => self.set(code, subject, detail),
            None => self.heal(code, subject),
        }
    }

    pub fn is_set(&self, code: Code) -> bool {
        lock(&self.known)
            .iter()
            .any(|((known, _), condition)| *known == code && condition.healed_at.is_none())
    }

    /// What lasts, then what has healed within the last hour; by code.
    pub fn list(&self) -> Vec<Condition> {
        let now = self.clock.now();
        let mut known = lock(&self.known);
        known.retain(|_, condition| condition.healed_at.is_none_or(|at| now.since_ms(at) < HEALED_SHOWN_MS));
        let mut list: Vec<Condition> = known.values().cloned().collect();
        list.sort_by_key(|condition| condition.healed_at.is_some());
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_ports::fake::FakeClock;

    #[test]
    fn a_condition_keeps_its_beginning_and_is_shown_for_an_hour_after_it_healed() {
        let clock = FakeClock::new(TimestampMs(1_000));
        let conditions = Conditions::new(Arc::new(clock.clone()));
        conditions.heal(Code::StoreSlow, "");
        assert_eq!(conditions.list(), [], "what never was cannot heal");
        conditions.set(Code::StoreSlow, "", "2,000 ms");
        clock.advance(500);
        conditions.set(Code::StoreSlow, "", "3,000\nms");
        conditions.set(Code::DeadLetters, "", "1");
        let list = conditions.list();
        let [dead, slow] = list.as_slice() else { panic!("{list:?}") };
        assert_eq!((dead.code.as_str(), dead.since), ("DEAD_LETTERS", TimestampMs(1_500)));
        assert_eq!((slow.since, slow.detail.as_str()), (TimestampMs(1_000), "3,000ms"));
        conditions.heal(Code::StoreSlow, "");
        assert!(!conditions.is_set(Code::StoreSlow) && conditions.is_set(Code::DeadLetters));
        clock.advance(HEALED_SHOWN_MS - 1);
        let healed: Vec<_> = conditions.list().into_iter().filter_map(|c| c.healed_at).collect();
        assert_eq!(healed, [TimestampMs(1_500)]);
        clock.advance(1);
        assert_eq!(conditions.list().len(), 1);
        conditions.set(Code::StoreSlow, "", "again");
        assert_eq!(conditions.list().last().unwrap().since, clock.now());
    }

    #[test]
    fn one_trouble_of_many_subjects_is_not_a_list_without_end() {
        let conditions = Conditions::new(Arc::new(FakeClock::new(TimestampMs(0))));
        for n in 0..1_000 {
            conditions.set(Code::PluginFailing, &format!("tool{n}"), "trap");
        }
        assert_eq!(conditions.list().len(), SUBJECTS_MAX);
    }

    #[test]
    fn codes_are_distinct() {
        let codes: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
    }
}
