//! Careful mode: after a process has died twice in a row, one letter at a time over all shells, each marked durably first.
//!
//! A letter whose handling kills the process — by memory, by a crash in foreign code — leaves no error behind. What was
//! marked when the process died is the suspect; the one that is found so twice is set aside. Never slows a healthy start.

use crate::setbacks;
use crate::shell::lock;
use crate::world::World;
use medic_core::mail::{Address, Causation, Lane};
use medic_ports::Batch;
use medic_ports::journal::{JournalError, Slot, Suspect};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Unclean ends in a row before one is careful. 2: once is bad luck, and costs nothing but a restart.
const UNCLEAN_MIN: u32 = 2;
/// Boots that ended while the same letter was marked before it is set aside.
const STRIKES_MAX: u32 = 2;
/// A life this long is not one that a letter ends. 20 s: longer than any one letter's first steps, and an approved step that
/// stands behind a verification, which may take minutes, waits no longer than that.
const SETTLED_MS: u64 = 20_000;
/// Looked at per lane, when the end of what lay there at the start is looked for.
const PAGE: usize = 1_024;

/// Who may handle a letter now. Everybody, unless careful.
#[derive(Default)]
pub(crate) struct Careful {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    on: bool,
    busy: bool,
    /// Somebody was made to wait since the turn was taken.
    waiting: bool,
}

pub(crate) enum Admission {
    /// Nobody is careful.
    Free,
    /// The only letter handled now.
    Alone(Turn),
    /// Another one is handled.
    Wait,
}

/// The right to be the only one. Given back when dropped.
pub(crate) struct Turn(Arc<Careful>);

impl Drop for Turn {
    fn drop(&mut self) {
        let waiting = {
            let mut state = lock(&self.0.state);
            state.busy = false;
            std::mem::take(&mut state.waiting)
        };
        if waiting {
            self.0.changed.send_modify(|count| *count += 1);
        }
    }
}

impl Careful {
    pub fn is_on(&self) -> bool {
        lock(&self.state).on
    }

    pub fn admit(self: &Arc<Self>) -> Admission {
        let mut state = lock(&self.state);
        match (state.on, state.busy) {
            (false, _) => Admission::Free,
            (true, true) => {
                state.waiting = true;
                Admission::Wait
            }
            (true, false) => {
                state.busy = true;
                Admission::Alone(Turn(self.clone()))
            }
        }
    }

    /// Told whenever somebody who was made to wait may try again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn set(&self, on: bool) {
        lock(&self.state).on = on;
        self.changed.send_modify(|count| *count += 1);
    }
}

/// A start that has not yet proven itself.
pub(crate) struct Probation {
    /// The last letter of each lane that lay there at the start.
    tails: BTreeMap<(Address, Lane), u64>,
    lived_ms: u64,
}

/// Looks at how this life began: sets a process killer aside, and begins carefully if the last lives ended badly. To be
/// called before any letter is handled.
///
/// # Errors
/// When the journal cannot be read or written.
pub(crate) async fn begin(world: &World) -> Result<Option<Probation>, JournalError> {
    let boot = world.ports.journal.boot();
    if boot.unclean_in_a_row == 0 {
        return Ok(None);
    }
    if let Some(suspect) = boot.suspect.filter(|suspect| suspect.strikes >= STRIKES_MAX) {
        set_aside(world, suspect).await?;
    }
    if boot.unclean_in_a_row >= UNCLEAN_MIN {
        tracing::warn!(unclean = boot.unclean_in_a_row, "the process keeps dying: one letter at a time");
        world.careful.set(true);
    }
    let mut tails = BTreeMap::new();
    for to in Address::ALL {
        for lane in Lane::ALL {
            let mut from = 0;
            loop {
                let page = world.ports.journal.mail(to, lane, from, PAGE)?;
                let Some(last) = page.last() else { break };
                from = last.seq.saturating_add(1);
                tails.insert((to, lane), last.seq);
            }
        }
    }
    Ok(Some(Probation { tails, lived_ms: 0 }))
}

async fn set_aside(world: &World, suspect: Suspect) -> Result<(), JournalError> {
    let Slot { to, lane, seq } = suspect.slot;
    let found = world.ports.journal.mail(to, lane, seq, 1)?.into_iter().find(|letter| letter.seq == seq);
    let Some(envelope) = found else { return Ok(()) };
    let error = format!(
        "PROCESS_KILLER: the process has ended {} times in a row while this letter was handled",
        suspect.strikes
    );
    tracing::error!(letter = %envelope.id, actor = %to, "setting aside a letter that ends the process");
    let mut batch = Batch::default();
    setbacks::bury(world, envelope, &error, Causation::Restart, &mut batch)?;
    world.ports.journal.commit(batch).await?;
    Ok(())
}

impl Probation {
    /// Lets `ms` more pass. Returns whether it is over: the journal has been told, and nobody need be careful any more.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub async fn pass(&mut self, world: &World, ms: u64) -> Result<bool, JournalError> {
        self.lived_ms = self.lived_ms.saturating_add(ms);
        if self.lived_ms < SETTLED_MS && !self.handled(world)? {
            return Ok(false);
        }
        world.ports.journal.settled().await?;
        world.careful.set(false);
        tracing::info!(lived_ms = self.lived_ms, "this life counts as settled");
        Ok(true)
    }

    /// Whether everything that lay there at the start has left its mailbox.
    fn handled(&mut self, world: &World) -> Result<bool, JournalError> {
        let tails: Vec<_> = self.tails.iter().map(|(place, tail)| (*place, *tail)).collect();
        for ((to, lane), tail) in tails {
            let first = world.ports.journal.mail(to, lane, 0, 1)?;
            if first.first().is_some_and(|letter| letter.seq <= tail) {
                return Ok(false);
            }
            self.tails.remove(&(to, lane));
        }
        Ok(true)
    }
}
