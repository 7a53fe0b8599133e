//! Answers that stand for a moment, and questions being asked that others may wait for.
//!
//! Never keeps a failure: whoever comes after one asks anew. Runs nothing by itself: a question that everybody has given
//! up on rests until somebody asks it again.

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use medic_core::{Fault, TimestampMs};
use medic_ports::Clock;
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// A larger answer is given to those who wait for it and not remembered. 1 MiB: with 256 answers at most 256 MiB, and
/// in practice a hundredth of it.
const REMEMBERED_BYTES_MAX: usize = 1 << 20;

/// An answer and what it weighs.
#[derive(Debug)]
pub(crate) struct Cached<A> {
    pub answer: A,
    pub bytes: usize,
}

type Pending<A> = Shared<BoxFuture<'static, Result<(Arc<A>, usize), Fault>>>;

struct Entry<A> {
    asked_at: TimestampMs,
    pending: Pending<A>,
}

pub(crate) struct Cache<Q, A> {
    ttl_ms: u64,
    entries_max: usize,
    entries: Mutex<HashMap<Q, Entry<A>>>,
}

impl<Q: Clone + Eq + Hash, A: Send + Sync + 'static> Cache<Q, A> {
    /// `ttl_ms` 0 switches the memory off.
    pub fn new(ttl_ms: u64, entries_max: usize) -> Self {
        Self { ttl_ms, entries_max, entries: Mutex::new(HashMap::new()) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Q, Entry<A>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The remembered answer, the one being waited for, or a new one from `ask`.
    pub async fn get(
        &self,
        clock: &dyn Clock,
        question: Q,
        ask: impl Future<Output = Result<Cached<A>, Fault>> + Send + 'static,
    ) -> Result<Arc<A>, Fault> {
        let now = clock.now();
        let pending = self.find(&question, now).unwrap_or_else(|| {
            let pending: Pending<A> =
                ask.map(|asked| asked.map(|cached| (Arc::new(cached.answer), cached.bytes))).boxed().shared();
            self.remember(question.clone(), now, pending.clone());
            pending
        });
        let answered = pending.clone().await;
        match &answered {
            Ok((_, bytes)) if *bytes <= REMEMBERED_BYTES_MAX => {}
            _ => self.forget(&question, &pending),
        }
        answered.map(|(answer, _)| answer)
    }

    fn fresh(&self, entry: &Entry<A>, now: TimestampMs) -> bool {
        // A clock that went back makes every answer older than it says.
        entry.asked_at <= now && now.since_ms(entry.asked_at) < self.ttl_ms
    }

    fn find(&self, question: &Q, now: TimestampMs) -> Option<Pending<A>> {
        self.lock().get(question).filter(|entry| self.fresh(entry, now)).map(|entry| entry.pending.clone())
    }

    fn remember(&self, question: Q, now: TimestampMs, pending: Pending<A>) {
        if self.ttl_ms == 0 || self.entries_max == 0 {
            return;
        }
        let mut entries = self.lock();
        entries.retain(|_, entry| self.fresh(entry, now));
        if entries.len() >= self.entries_max {
            let oldest =
                entries.iter().min_by_key(|(_, entry)| entry.asked_at).map(|(question, _)| question.clone());
            if let Some(oldest) = oldest {
                entries.remove(&oldest);
            }
        }
        entries.insert(question, Entry { asked_at: now, pending });
    }

    fn forget(&self, question: &Q, pending: &Pending<A>) {
        let mut entries = self.lock();
        if entries.get(question).is_some_and(|entry| entry.pending.ptr_eq(pending)) {
            entries.remove(question);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medic_core::FaultKind;
    use medic_ports::fake::FakeClock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;

    async fn ask(
        cache: &Cache<&'static str, usize>,
        clock: &FakeClock,
        question: &'static str,
        asked: &Arc<AtomicUsize>,
    ) -> usize {
        let asked = asked.clone();
        let answer =
            async move { Ok(Cached { answer: asked.fetch_add(1, Ordering::SeqCst) + 1, bytes: 10 }) };
        *cache.get(clock, question, answer).await.unwrap()
    }

    #[tokio::test]
    async fn answer_stands_for_its_time_and_no_longer() {
        let (cache, clock, asked) =
            (Cache::new(2_000, 8), FakeClock::new(TimestampMs(50_000)), Arc::default());
        assert_eq!(ask(&cache, &clock, "up", &asked).await, 1);
        clock.advance(1_999);
        assert_eq!(ask(&cache, &clock, "up", &asked).await, 1);
        clock.advance(1);
        assert_eq!(ask(&cache, &clock, "up", &asked).await, 2);
        clock.jump_to(TimestampMs(1_000));
        assert_eq!(
            ask(&cache, &clock, "up", &asked).await,
            3,
            "a clock set back does not keep an answer alive"
        );
    }

    #[tokio::test]
    async fn memory_holds_no_more_than_its_limit() {
        let (cache, clock, asked) =
            (Cache::new(2_000, 2), FakeClock::new(TimestampMs(50_000)), Arc::default());
        for question in ["a", "b", "c"] {
            ask(&cache, &clock, question, &asked).await;
            clock.advance(1);
        }
        assert_eq!(cache.len(), 2);
        assert_eq!(ask(&cache, &clock, "c", &asked).await, 3);
        assert_eq!(ask(&cache, &clock, "a", &asked).await, 4, "the oldest had to go");
    }

    #[tokio::test]
    async fn same_question_at_the_same_time_is_asked_once() {
        let (cache, clock) = (Cache::<&str, u32>::new(2_000, 8), FakeClock::new(TimestampMs(50_000)));
        let (answer, arrives) = oneshot::channel();
        let first =
            cache.get(&clock, "up", async move { Ok(Cached { answer: arrives.await.unwrap(), bytes: 1 }) });
        let second = cache.get(&clock, "up", async { unreachable!("the first is still being asked") });
        let (first, second, ()) = tokio::join!(first, second, async { answer.send(7).unwrap() });
        assert_eq!((*first.unwrap(), *second.unwrap()), (7, 7));
    }

    #[tokio::test]
    async fn failure_and_giant_are_not_remembered() {
        let (cache, clock) = (Cache::<&str, u32>::new(2_000, 8), FakeClock::new(TimestampMs(50_000)));
        let failed =
            cache.get(&clock, "up", async { Err(Fault::new(FaultKind::Timeout, "T", "late")) }).await;
        assert_eq!(failed.unwrap_err().code, "T");
        let giant = cache
            .get(&clock, "up", async { Ok(Cached { answer: 1, bytes: REMEMBERED_BYTES_MAX + 1 }) })
            .await;
        assert_eq!(*giant.unwrap(), 1);
        assert_eq!(cache.len(), 0);
    }
}
