//! A door that is not knocked at by sixty-four when nobody answers.

use crate::conditions::{Code, Conditions};
use crate::shell::lock;
use medic_core::{Fault, FaultKind};
use medic_ports::Clock;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Failures in a row that open it. 5: more than one restart of the other side gives to one who asks side by side.
const FAILURES_MAX: u32 = 5;
/// Between two probes while it is open. 5 s: back within a scrape or two of its return.
const PROBE_MS: u64 = 5_000;
/// Waited for longer than this and then given up, it counts as a failure. 10 s: most answers take a tenth of a second.
const GIVEN_UP_MS: u64 = 10_000;
/// Begins the message of a fault that was answered without asking.
const CLOSED: &str = "not asked, because it has not answered lately: ";

pub(super) struct Breaker {
    code: Code,
    /// Failures in a row before it is shown: one slow query of many is not yet trouble.
    shown_after: u32,
    clock: Arc<dyn Clock>,
    conditions: Conditions,
    state: Mutex<State>,
    /// Counts the openings: whoever waits for an answer then gets the fault at once.
    opened: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// Of the last call that failed. Set while the breaker is open.
    open: Option<Fault>,
    /// On the clock's `elapsed_ms`.
    next_probe_ms: u64,
}

enum Entry {
    Ask,
    /// The one that finds out.
    Probe,
    Closed(Fault),
}

/// A question under way. Whoever gives it up after long has met a failure like any other.
struct Asked<'a> {
    breaker: &'a Breaker,
    since_ms: u64,
    answered: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let waited_ms = self.breaker.clock.elapsed_ms().saturating_sub(self.since_ms);
        if !self.answered && waited_ms >= GIVEN_UP_MS {
            let what = format!("no answer in {} s", waited_ms / 1000);
            self.breaker.note(Some(&Fault::new(FaultKind::Timeout, "NO_ANSWER", what)));
        }
    }
}

impl Breaker {
    pub fn new(code: Code, shown_after: u32, clock: Arc<dyn Clock>, conditions: Conditions) -> Self {
        let opened = watch::Sender::new(0);
        Self { code, shown_after, clock, conditions, state: Mutex::default(), opened }
    }

    /// Asks, or answers with the last fault when nobody has answered of late.
    pub async fn call<T>(&self, ask: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let mut opened = self.opened.subscribe();
        let entry = self.enter();
        if let Entry::Closed(fault) = entry {
            return Err(fault);
        }
        let mut asked = Asked { breaker: self, since_ms: self.clock.elapsed_ms(), answered: false };
        let answer = match entry {
            Entry::Ask => tokio::select! {
                biased;
                answer = ask => answer,
                _ = opened.changed() => {
                    asked.answered = true;
                    return Err(self.last());
                }
            },
            _ => ask.await,
        };
        asked.answered = true;
        self.note(answer.as_ref().err());
        answer
    }

    fn enter(&self) -> Entry {
        let now_ms = self.clock.elapsed_ms();
        let mut state = lock(&self.state);
        match &state.open {
            None => Entry::Ask,
            Some(fault) if now_ms < state.next_probe_ms => Entry::Closed(closed(fault)),
            Some(_) => {
                // The next one may go in five seconds, whatever becomes of this one.
                state.next_probe_ms = now_ms.saturating_add(PROBE_MS);
                Entry::Probe
            }
        }
    }

    fn last(&self) -> Fault {
        let fault = lock(&self.state).open.clone();
        let fault =
            fault.unwrap_or_else(|| Fault::new(FaultKind::Unreachable, self.code.as_str(), "it is back"));
        closed(&fault)
    }

    fn note(&self, fault: Option<&Fault>) {
        let Some(fault) = fault.filter(|fault| says_nobody_is_there(fault)) else {
            *lock(&self.state) = State::default();
            self.conditions.heal(self.code, "");
            return;
        };
        let (failures, opens) = {
            let mut state = lock(&self.state);
            state.failures = state.failures.saturating_add(1);
            let opens = state.failures >= FAILURES_MAX;
            if opens {
                state.open = Some(fault.clone());
                state.next_probe_ms =
                    state.next_probe_ms.max(self.clock.elapsed_ms().saturating_add(PROBE_MS));
            }
            (state.failures, opens)
        };
        if failures >= self.shown_after {
            self.conditions.set(self.code, "", &format!("{}: {fault}", fault.code));
        }
        if opens {
            self.opened.send_modify(|count| *count += 1);
        }
    }
}

fn closed(fault: &Fault) -> Fault {
    Fault::new(fault.kind, fault.code.clone(), format!("{CLOSED}{}", fault.message))
}

/// An answer that refuses, or says that the question was wrong, is an answer.
fn says_nobody_is_there(fault: &Fault) -> bool {
    let answered = ["PROMETHEUS_EXECUTION", "PROMETHEUS_TOO_MUCH", "MODEL_REFUSED", "MODEL_TRUNCATED"];
    match fault.kind {
        FaultKind::Timeout | FaultKind::Unreachable => true,
        FaultKind::Upstream | FaultKind::Malformed => !answered.contains(&fault.code.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use medic_core::TimestampMs;
    use medic_ports::fake::FakeClock;
    use std::future::{pending, ready};

    fn breaker() -> (FakeClock, Conditions, Breaker) {
        let clock = FakeClock::new(TimestampMs(0));
        let conditions = Conditions::new(Arc::new(clock.clone()));
        let breaker = Breaker::new(Code::MetricsUnreachable, 2, Arc::new(clock.clone()), conditions.clone());
        (clock, conditions, breaker)
    }

    fn timeout() -> Fault {
        Fault::new(FaultKind::Timeout, "PROMETHEUS_TIMEOUT", "no answer in time")
    }

    fn is_of_a_closed_door(fault: &Fault) -> bool {
        fault.message.starts_with(CLOSED)
    }

    /// What a call that would fail is told, and whether it was made.
    fn fail(breaker: &Breaker) -> bool {
        let told = breaker.call(ready(Err::<(), _>(timeout()))).now_or_never().unwrap().unwrap_err();
        assert_eq!(told.code, "PROMETHEUS_TIMEOUT");
        !is_of_a_closed_door(&told)
    }

    #[test]
    fn after_five_failures_one_probe_in_five_seconds_is_made() {
        let (clock, conditions, breaker) = breaker();
        let asked: Vec<bool> = (0..8).map(|_| fail(&breaker)).collect();
        assert_eq!(asked, [true, true, true, true, true, false, false, false]);
        assert!(conditions.is_set(Code::MetricsUnreachable));
        clock.advance(PROBE_MS - 1);
        assert!(!fail(&breaker));
        clock.advance(1);
        assert_eq!([fail(&breaker), fail(&breaker)], [true, false], "one finds out, the others are spared");
        clock.advance(PROBE_MS);
        assert_eq!(breaker.call(ready(Ok(7))).now_or_never(), Some(Ok(7)));
        assert!(!conditions.is_set(Code::MetricsUnreachable), "it has healed by itself");
        assert!(fail(&breaker), "and is asked by everybody again");
    }

    #[test]
    fn a_probe_that_hangs_does_not_keep_the_next_one_away() {
        let (clock, _, breaker) = breaker();
        for _ in 0..5 {
            fail(&breaker);
        }
        clock.advance(PROBE_MS);
        let hung = breaker.call(pending::<Result<(), Fault>>());
        assert!(Box::pin(hung).as_mut().now_or_never().is_none());
        assert!(!fail(&breaker));
        clock.advance(PROBE_MS);
        assert_eq!(breaker.call(ready(Ok(()))).now_or_never(), Some(Ok(())));
    }

    #[test]
    fn who_waits_when_it_opens_waits_no_longer() {
        let (_, _, breaker) = breaker();
        let mut waiting = Box::pin(breaker.call(pending::<Result<(), Fault>>()));
        assert!(waiting.as_mut().now_or_never().is_none());
        for _ in 0..5 {
            fail(&breaker);
        }
        let told = waiting.as_mut().now_or_never().expect("it is told").unwrap_err();
        assert!(is_of_a_closed_door(&told), "{told:?}");
    }

    #[test]
    fn a_question_given_up_after_long_is_a_failure_and_one_given_up_at_once_is_not() {
        let (clock, conditions, breaker) = breaker();
        for (waited_ms, shown) in [(GIVEN_UP_MS - 1, false), (GIVEN_UP_MS, true)] {
            for _ in 0..4 {
                let mut waiting = Box::pin(breaker.call(pending::<Result<(), Fault>>()));
                assert!(waiting.as_mut().now_or_never().is_none());
                clock.advance(waited_ms);
            }
            assert_eq!(conditions.is_set(Code::MetricsUnreachable), shown, "{waited_ms}");
        }
    }

    #[test]
    fn an_answer_that_says_no_is_an_answer() {
        let (_, conditions, breaker) = breaker();
        for (kind, code) in [
            (FaultKind::InvalidArguments, "PROMETHEUS_BAD_QUERY"),
            (FaultKind::Upstream, "PROMETHEUS_EXECUTION"),
        ] {
            for _ in 0..20 {
                let no = Fault::new(kind, code, "no");
                let told = breaker.call(ready(Err::<(), _>(no.clone()))).now_or_never().unwrap();
                assert_eq!(told, Err(no));
            }
        }
        assert_eq!(conditions.list(), []);
    }

    #[test]
    fn one_failure_among_answers_is_not_shown() {
        let (_, conditions, breaker) = breaker();
        for _ in 0..10 {
            fail(&breaker);
            assert_eq!(breaker.call(ready(Ok(()))).now_or_never(), Some(Ok(())));
        }
        assert_eq!(conditions.list(), []);
    }
}
