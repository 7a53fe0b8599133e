//! The bounded worker pool: a request holds one worker while it is being worked on, and waits its turn for one.
//! It never reorders: who came first is served first.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A pool whose size can be changed while it works.
pub struct Pool {
    free: Arc<Semaphore>,
    size: AtomicU32,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    busy: AtomicU32,
    waiting: AtomicU32,
    /// Workers to be retired as soon as they are free: a smaller size is reached without interrupting anyone.
    surplus: AtomicU32,
}

/// Why no worker was had.
#[derive(Debug, PartialEq, Eq)]
pub enum Busy {
    QueueFull,
    WaitedTooLong,
}

/// A worker, held; dropping it gives it back.
pub struct Worker {
    permit: Option<OwnedSemaphorePermit>,
    counts: Arc<Counts>,
}

/// One place in the queue; dropping it (also when the caller gives up) leaves the queue.
struct Place<'a>(&'a AtomicU32);

impl Pool {
    pub fn new(size: u32) -> Self {
        Self {
            free: Arc::new(Semaphore::new(size as usize)),
            size: AtomicU32::new(size),
            counts: Arc::default(),
        }
    }

    pub fn size(&self) -> u32 {
        self.size.load(Ordering::SeqCst)
    }

    pub fn busy(&self) -> u32 {
        self.counts.busy.load(Ordering::SeqCst)
    }

    pub fn waiting(&self) -> u32 {
        self.counts.waiting.load(Ordering::SeqCst)
    }

    /// Changes the size. Callers take turns (the state's writer lock sees to it).
    pub fn resize(&self, size: u32) {
        let before = self.size.swap(size, Ordering::SeqCst);
        if size >= before {
            let mut more = size - before;
            // Workers that were to be retired may stay.
            while more > 0 && self.counts.take_surplus() {
                more -= 1;
            }
            self.free.add_permits(more as usize);
        } else {
            let fewer = before - size;
            let retired = self.free.forget_permits(fewer as usize);
            self.counts.surplus.fetch_add(fewer - u32::try_from(retired).unwrap_or(fewer), Ordering::SeqCst);
        }
    }

    /// Waits for a worker, at most `wait`, in a queue of at most `queue_max`.
    pub async fn worker(&self, queue_max: u32, wait: Duration) -> Result<Worker, Busy> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let place = Place::take(&self.counts.waiting, queue_max).ok_or(Busy::QueueFull)?;
                let turn = tokio::time::timeout(wait, Arc::clone(&self.free).acquire_owned()).await;
                drop(place);
                match turn {
                    Ok(Ok(permit)) => permit,
                    // The semaphore is never closed, so an error can only be the wait's end.
                    Ok(Err(_)) | Err(_) => return Err(Busy::WaitedTooLong),
                }
            }
        };
        self.counts.busy.fetch_add(1, Ordering::SeqCst);
        Ok(Worker { permit: Some(permit), counts: Arc::clone(&self.counts) })
    }
}

impl Counts {
    fn take_surplus(&self) -> bool {
        self.surplus
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |surplus| surplus.checked_sub(1))
            .is_ok()
    }
}

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicU32, queue_max: u32) -> Option<Self> {
        waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| {
                (waiting < queue_max).then(|| waiting + 1)
            })
            .ok()
            .map(|_| Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.counts.busy.fetch_sub(1, Ordering::SeqCst);
        if self.counts.take_surplus()
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn refuses_when_the_queue_is_full_and_when_the_wait_is_over() {
        let pool = Arc::new(Pool::new(1));
        let held = pool.worker(1, PATIENT).await.unwrap();
        let waiting = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.worker(1, PATIENT).await.map(drop) }
        });
        while pool.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.worker(1, PATIENT).await.map(drop), Err(Busy::QueueFull));
        assert_eq!(pool.worker(2, Duration::from_millis(5)).await.map(drop), Err(Busy::WaitedTooLong));
        assert_eq!((pool.busy(), pool.waiting()), (1, 1));
        drop(held);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert_eq!((pool.busy(), pool.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_the_queue() {
        let pool = Pool::new(1);
        let _held = pool.worker(1, PATIENT).await.unwrap();
        let gave_up = tokio::time::timeout(Duration::from_millis(1), pool.worker(1, PATIENT)).await;
        assert!(gave_up.is_err());
        assert_eq!(pool.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn shrinking_waits_for_the_busy_and_growing_takes_it_back() {
        let pool = Pool::new(3);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(pool.worker(1, PATIENT).await.unwrap());
        }
        pool.resize(1);
        drop(held.pop());
        let none = pool.worker(1, Duration::from_millis(1)).await.map(drop);
        assert_eq!(none, Err(Busy::WaitedTooLong), "two still work, and only one may");
        pool.resize(3);
        let _one = pool.worker(1, Duration::from_millis(1)).await.unwrap();
        assert_eq!(pool.worker(1, Duration::from_millis(1)).await.map(drop), Err(Busy::WaitedTooLong));
        assert_eq!((pool.size(), pool.busy()), (3, 3));
    }
}
