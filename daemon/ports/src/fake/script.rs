//! What a twin answers: rules by substring of the question, newest first.

use super::lock;
use medic_core::Fault;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

type Computation<A> = dyn Fn(&str) -> Result<A, Fault> + Send + Sync;

/// One scripted answer.
#[derive(Clone)]
pub enum Reply<A> {
    Answer(A),
    /// Worked out from the question.
    Compute(Arc<Computation<A>>),
    Fail(Fault),
    /// No answer until [`Script::release`]; then the question is looked up anew.
    Hang,
}

/// Answers by substring. A one-shot rule is used up before the standing ones, in the order they were given; among the
/// standing ones the newest that matches answers.
pub struct Script<A> {
    state: Mutex<State<A>>,
    asked: watch::Sender<Vec<String>>,
    released: watch::Sender<u64>,
}

struct State<A> {
    once: VecDeque<(String, Reply<A>)>,
    standing: Vec<(String, Reply<A>)>,
}

impl<A> Default for Script<A> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State { once: VecDeque::new(), standing: Vec::new() }),
            asked: watch::Sender::new(Vec::new()),
            released: watch::Sender::new(0),
        }
    }
}

impl<A: Clone> Script<A> {
    /// From now on, questions that contain `needle` are answered so; the empty needle is in every question.
    pub fn on(&self, needle: &str, reply: Reply<A>) {
        lock(&self.state).standing.push((needle.to_owned(), reply));
    }

    /// The next question that contains `needle` is answered so.
    pub fn once(&self, needle: &str, reply: Reply<A>) {
        lock(&self.state).once.push_back((needle.to_owned(), reply));
    }

    /// Takes all hanging rules out and wakes whoever hangs.
    pub fn release(&self) {
        {
            let mut state = lock(&self.state);
            state.once.retain(|(_, reply)| !matches!(reply, Reply::Hang));
            state.standing.retain(|(_, reply)| !matches!(reply, Reply::Hang));
        }
        self.released.send_modify(|count| *count += 1);
    }

    /// Every question so far, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    /// Returns once a question that contains `needle` has been asked.
    pub async fn wait_for(&self, needle: &str) {
        let mut asked = self.asked.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = asked.wait_for(|asked| asked.iter().any(|question| question.contains(needle))).await;
    }

    fn find(&self, question: &str) -> Option<Reply<A>> {
        let mut state = lock(&self.state);
        if let Some(at) = state.once.iter().position(|(needle, _)| question.contains(needle.as_str())) {
            return state.once.remove(at).map(|(_, reply)| reply);
        }
        state
            .standing
            .iter()
            .rev()
            .find(|(needle, _)| question.contains(needle.as_str()))
            .map(|(_, r)| r.clone())
    }

    /// Notes the question and answers it; `None` when no rule matches.
    ///
    /// # Errors
    /// The scripted fault.
    pub async fn ask(&self, question: &str) -> Result<Option<A>, Fault> {
        self.asked.send_modify(|asked| asked.push(question.to_owned()));
        loop {
            // Before the look-up: a release between the two is then still seen.
            let mut released = self.released.subscribe();
            match self.find(question) {
                None => return Ok(None),
                Some(Reply::Answer(answer)) => return Ok(Some(answer)),
                Some(Reply::Compute(compute)) => return compute(question).map(Some),
                Some(Reply::Fail(fault)) => return Err(fault),
                Some(Reply::Hang) => {
                    let _ = released.changed().await;
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test's task ends with the test")]
mod tests {
    use super::*;
    use medic_core::FaultKind;

    #[tokio::test]
    async fn one_shot_rules_come_first_and_newer_standing_rules_win() {
        let script = Script::default();
        script.on("", Reply::Answer(0));
        script.on("up", Reply::Answer(1));
        script.once("up", Reply::Fail(Fault::new(FaultKind::Timeout, "T", "late")));
        assert_eq!(script.ask("up{}").await.unwrap_err().code, "T");
        assert_eq!(script.ask("up{}").await, Ok(Some(1)));
        assert_eq!(script.ask("rate").await, Ok(Some(0)));
        assert_eq!(script.asked(), ["up{}", "up{}", "rate"]);
    }

    #[tokio::test]
    async fn hanging_question_is_answered_after_release_by_what_is_then_scripted() {
        let script = Arc::new(Script::default());
        script.on("", Reply::Answer("later"));
        script.on("slow", Reply::Hang);
        let hung = tokio::spawn({
            let script = script.clone();
            async move { script.ask("slow query").await }
        });
        script.wait_for("slow").await;
        tokio::task::yield_now().await;
        assert!(!hung.is_finished());
        script.release();
        assert_eq!(hung.await.unwrap(), Ok(Some("later")));
    }
}
