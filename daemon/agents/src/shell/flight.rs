//! What is being worked on. Outlives the actor: a restarted one must not start what its predecessor's task still does.

use super::WorkError;
use super::lock;
use super::tray::Tray;
use crate::guard::Pen;
use medic_ports::journal::Slot;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

#[derive(Debug)]
pub(super) enum Trouble {
    Work(WorkError),
    Panicked(String),
    /// Its task was ended before it came to an end by itself.
    CutOff,
}

#[derive(Debug)]
pub(super) struct Outcome {
    pub task: u64,
    pub result: Result<(), Trouble>,
}

/// One handling under way.
pub(super) struct Running {
    pub places: Vec<(String, Slot)>,
    /// The first of its letters, for people.
    pub letter: String,
    pub patience_ms: u64,
    /// Worked on so far, in ms of a daemon that was awake and had a disk that answered.
    pub ran_ms: u64,
    pub pen: Arc<Pen>,
    pub abort: Option<AbortHandle>,
    /// `ran_ms` when its task was ended for taking too long.
    pub aborted_at_ms: Option<u64>,
    /// It did not end even then: something in it never lets go of its thread.
    pub hung: bool,
}

#[derive(Default)]
pub(super) struct Flight {
    pub tray: Tray,
    pub running: BTreeMap<u64, Running>,
    /// What ended and has not been looked at; waits here when the actor is dead at that moment.
    pub finished: Vec<Outcome>,
    next_task: u64,
}

impl Flight {
    pub fn board(&mut self, running: Running) -> u64 {
        let task = self.next_task;
        self.next_task += 1;
        self.running.insert(task, running);
        task
    }
}

/// Tells how a task ended, in whatever way it ends.
pub(super) struct Report {
    pub flight: Arc<Mutex<Flight>>,
    pub bell: Arc<Notify>,
    pub task: u64,
    pub result: Option<Result<(), Trouble>>,
}

impl Report {
    pub fn file(mut self, result: Result<(), Trouble>) {
        self.result = Some(result);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or(Err(Trouble::CutOff));
        lock(&self.flight).finished.push(Outcome { task: self.task, result });
        self.bell.notify_one();
    }
}
