//! Stopping: first nothing new, then what runs is waited for, then it is not.

use std::sync::Arc;
use tokio::sync::watch;

/// Clones are handles on one wish. May be said again from a signal handler.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<Wish>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    GoOn,
    Stop,
    AtOnce,
}

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Wish::GoOn)))
    }
}

impl Stop {
    /// Nothing new is taken in or taken up from now on.
    pub fn ask(&self) {
        self.want(Wish::Stop);
    }

    /// And what runs is not waited for any more: its letters go on from the journal at the next start.
    pub fn at_once(&self) {
        self.want(Wish::AtOnce);
    }

    pub fn is_asked(&self) -> bool {
        *self.0.borrow() >= Wish::Stop
    }

    fn want(&self, wish: Wish) {
        self.0.send_modify(|known| *known = wish.max(*known));
    }

    /// Returns once nobody wants to wait any more.
    pub(crate) async fn no_more_waiting(&self) {
        // The sender lives in `self`: waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|wish| *wish == Wish::AtOnce).await;
    }
}
