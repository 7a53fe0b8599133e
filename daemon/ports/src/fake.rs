//! Scripted twins of the ports.
//!
//! Each does what a test tells it, notes what it was asked, and keeps its port's promises otherwise: [`FakeJournal`] is a
//! complete journal in memory, held to the same [`journal_contract`] as the one on disk. Nothing here reads a clock of
//! the machine or sleeps: time moves when [`FakeClock`] is told to.

pub mod clock;
pub mod journal;
pub mod journal_contract;
pub mod knowledge;
pub mod logs;
pub mod metrics;
pub mod model;
pub mod notifier;
pub mod script;
pub mod tools;

pub use clock::FakeClock;
pub use journal::FakeJournal;
pub use knowledge::FakeKnowledge;
pub use logs::FakeLogs;
pub use metrics::FakeMetrics;
pub use model::FakeModel;
pub use notifier::FakeNotifier;
pub use script::{Reply, Script};
pub use tools::{FakeToolHost, ToolAct};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test that panicked while it held a lock has failed already; the others may go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
