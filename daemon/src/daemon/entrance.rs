//! The threads that answer people and webhooks.
//!
//! Apart from those of the agents: a storm that keeps every agent busy must leave the kernel's scheduler, which is fair
//! among threads, to let an approval through. Never runs an agent's work.

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinError;

/// Answers are short and wait for the committer: two threads keep it busy.
const THREADS: usize = 2;

pub(super) struct Entrance {
    handle: Handle,
    /// Taken by the drop alone.
    runtime: Option<Runtime>,
}

impl Entrance {
    /// # Errors
    /// The operating system gives no threads.
    pub fn build() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .thread_name("medicd-entrance")
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Runs `work` on these threads. Sockets that it opens and tasks that it spawns stay there.
    ///
    /// # Errors
    /// `work` panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.handle.spawn(work).await
    }
}

impl Drop for Entrance {
    /// Does not wait: what is still under way was given its time by the shutdown.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
