//! A mailbox as its shell knows it: read once, sorted by key.
//!
//! Owns the order in which letters are taken up. Starting work costs by what is started, not by what waits: nothing is read
//! twice but what failed and what lies too far behind to be kept. Never writes; the journal stays the truth.

use super::worker::Worker;
use medic_core::TimestampMs;
use medic_core::mail::{Envelope, Lane};
use medic_ports::Journal;
use medic_ports::journal::{JournalError, Slot};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Letters read from a lane at a time. 512: some milliseconds, so that work begins before a long backlog is read.
const PAGE: usize = 512;
/// Letters kept whole. 2,048: more than may be in flight at once; of those behind, only the place is remembered.
const BODIES_MAX: usize = 2_048;
/// Letters of one commit, weighed. 1,024: alerts that are placed in a few milliseconds.
const WEIGHT_MAX: usize = 1_024;

/// How much is taken up at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Handlings that may begin.
    pub bundles: usize,
    /// Letters of one.
    pub letters: usize,
}

/// Letters for one handling and one commit.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    pub envelopes: Vec<Envelope>,
    /// The key and the place of each.
    pub places: Vec<(String, Slot)>,
    keys: usize,
}

impl Bundle {
    fn add(&mut self, key: &str, mut envelopes: Vec<Envelope>) {
        self.keys += 1;
        self.places.extend(envelopes.iter().map(|envelope| (key.to_owned(), Slot::of(envelope))));
        self.envelopes.append(&mut envelopes);
    }
}

type Rank = (Lane, u64);

#[derive(Default)]
pub(super) struct Tray {
    queues: HashMap<String, Queue>,
    /// Keys whose first letter may be taken up, best rank first.
    ready: BTreeSet<(Rank, String)>,
    later: BTreeSet<(TimestampMs, String)>,
    /// Keys whose first letter the worker would not start when it was asked last.
    held: BTreeSet<String>,
    /// Where each lane is read on.
    cursors: BTreeMap<Lane, u64>,
    bodies: usize,
}

#[derive(Default)]
struct Queue {
    slips: BTreeMap<Rank, Slip>,
    running: bool,
    /// Put off by the shell, not in the journal.
    not_before: TimestampMs,
    place: Place,
}

#[derive(Default)]
enum Place {
    #[default]
    Nowhere,
    Ready(Rank),
    Later(TimestampMs),
    Held,
}

struct Slip {
    visible_at: TimestampMs,
    weight: usize,
    /// It failed, alone or in a group: to be handled alone, so that the culprit is known.
    alone: bool,
    body: Option<Envelope>,
}

impl Tray {
    /// Reads what has come since. Returns whether there may be more.
    pub fn read(&mut self, journal: &dyn Journal, worker: &dyn Worker) -> Result<bool, JournalError> {
        let mut more = false;
        for lane in Lane::ALL {
            let from = self.cursors.get(&lane).copied().unwrap_or_default();
            let page = journal.mail(worker.address(), lane, from, PAGE)?;
            more |= page.len() == PAGE;
            for envelope in page {
                self.cursors.insert(lane, envelope.seq.saturating_add(1));
                self.file(envelope, worker);
            }
        }
        Ok(more)
    }

    fn file(&mut self, envelope: Envelope, worker: &dyn Worker) {
        let key = worker.key(&envelope);
        let rank = (envelope.lane, envelope.seq);
        let keep = self.bodies < BODIES_MAX;
        self.bodies += usize::from(keep);
        let slip = Slip {
            visible_at: visible_at(&envelope),
            weight: worker.weight(&envelope),
            alone: envelope.attempts > 0,
            body: keep.then_some(envelope),
        };
        let queue = self.queues.entry(key.clone()).or_default();
        if let Some(Slip { body: Some(_), .. }) = queue.slips.insert(rank, slip) {
            self.bodies -= 1;
        }
        self.place(&key, TimestampMs(0));
    }

    /// Puts a key where its first letter belongs. `now`: zero when only its rank may have changed.
    fn place(&mut self, key: &str, now: TimestampMs) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        match std::mem::take(&mut queue.place) {
            Place::Nowhere => {}
            Place::Ready(rank) => {
                self.ready.remove(&(rank, key.to_owned()));
            }
            Place::Later(due) => {
                self.later.remove(&(due, key.to_owned()));
            }
            Place::Held => {
                self.held.remove(key);
            }
        }
        if queue.running {
            return;
        }
        let Some((rank, slip)) = queue.slips.first_key_value() else {
            self.queues.remove(key);
            return;
        };
        let due = slip.visible_at.max(queue.not_before);
        // What is due is found out when work is taken up: until then everything waits by its time.
        if due <= now {
            queue.place = Place::Ready(*rank);
            self.ready.insert((*rank, key.to_owned()));
        } else {
            queue.place = Place::Later(due);
            self.later.insert((due, key.to_owned()));
        }
    }

    /// Takes up what may be worked on, best rank first.
    pub fn take(
        &mut self,
        journal: &dyn Journal,
        worker: &dyn Worker,
        room: Room,
        now: TimestampMs,
    ) -> Result<Vec<Bundle>, JournalError> {
        self.wake(now);
        let mut bundles: Vec<Bundle> = Vec::new();
        let mut open = Bundle::default();
        if room.bundles == 0 {
            return Ok(bundles);
        }
        let keys_max = self.ready.len().div_ceil(room.bundles).clamp(1, worker.keys_per_commit().max(1));
        while bundles.len() < room.bundles {
            let Some((_, key)) = self.ready.pop_first() else { break };
            if let Some(queue) = self.queues.get_mut(&key) {
                queue.place = Place::Nowhere;
            }
            if !self.may_start(&key, journal, worker)? {
                continue;
            }
            let left = room.letters.max(1).saturating_sub(open.envelopes.len()).max(1);
            let (envelopes, alone) = self.draw(&key, journal, worker, left, now)?;
            if envelopes.is_empty() {
                self.place(&key, now);
                continue;
            }
            if alone && open.keys > 0 {
                bundles.push(std::mem::take(&mut open));
                if bundles.len() >= room.bundles {
                    self.put_back(&key, envelopes);
                    self.place(&key, now);
                    break;
                }
            }
            open.add(&key, envelopes);
            if alone || open.keys >= keys_max || open.envelopes.len() >= room.letters {
                bundles.push(std::mem::take(&mut open));
            }
        }
        if open.keys > 0 {
            bundles.push(open);
        }
        Ok(bundles)
    }

    /// Moves what has become due, and asks again about what was held.
    fn wake(&mut self, now: TimestampMs) {
        while let Some((due, key)) = self.later.first().cloned() {
            if due > now {
                break;
            }
            self.place(&key, now);
        }
        for key in std::mem::take(&mut self.held) {
            self.place(&key, now);
        }
    }

    fn may_start(
        &mut self,
        key: &str,
        journal: &dyn Journal,
        worker: &dyn Worker,
    ) -> Result<bool, JournalError> {
        let Some(queue) = self.queues.get_mut(key) else { return Ok(false) };
        let Some((rank, slip)) = queue.slips.iter_mut().next() else { return Ok(true) };
        if slip.body.is_none() {
            slip.body = find(journal, worker, *rank)?;
            self.bodies += usize::from(slip.body.is_some());
        }
        let may = slip.body.as_ref().is_none_or(|envelope| worker.may_start(envelope));
        if !may {
            queue.place = Place::Held;
            self.held.insert(key.to_owned());
        }
        Ok(may)
    }

    /// Draws the first letters of a key, as many as may share a handling; whether they must be alone in it.
    fn draw(
        &mut self,
        key: &str,
        journal: &dyn Journal,
        worker: &dyn Worker,
        letters_max: usize,
        now: TimestampMs,
    ) -> Result<(Vec<Envelope>, bool), JournalError> {
        let Some(queue) = self.queues.get_mut(key) else { return Ok((Vec::new(), false)) };
        let mut drawn: Vec<Envelope> = Vec::new();
        let mut gone: Vec<Rank> = Vec::new();
        let (mut weight, mut alone) = (0, false);
        for (rank, slip) in &mut queue.slips {
            // One that waits holds those behind it back, in every lane behind.
            if slip.visible_at > now || drawn.len() >= letters_max {
                break;
            }
            let too_much = slip.alone || !worker.drains() || weight + slip.weight > WEIGHT_MAX;
            if !drawn.is_empty() && too_much {
                break;
            }
            let body = match slip.body.take() {
                Some(body) => {
                    self.bodies = self.bodies.saturating_sub(1);
                    Some(body)
                }
                None => find(journal, worker, *rank)?,
            };
            let Some(envelope) = body else {
                gone.push(*rank);
                continue;
            };
            weight += slip.weight;
            drawn.push(envelope);
            if slip.alone {
                alone = true;
                break;
            }
        }
        for rank in gone {
            queue.slips.remove(&rank);
        }
        queue.running = !drawn.is_empty();
        Ok((drawn, alone))
    }

    fn put_back(&mut self, key: &str, envelopes: Vec<Envelope>) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        queue.running = false;
        for envelope in envelopes {
            if let Some(slip) = queue.slips.get_mut(&(envelope.lane, envelope.seq)) {
                slip.body = Some(envelope);
                self.bodies += 1;
            }
        }
    }

    /// These were handled and have left the mailbox.
    pub fn handled(&mut self, places: &[(String, Slot)]) {
        for (key, slot) in places {
            self.drop_slip(key, *slot);
        }
        self.end(places);
    }

    /// Handling these failed: the journal says what has become of them. `apart`: each alone from now on.
    pub fn failed(
        &mut self,
        journal: &dyn Journal,
        worker: &dyn Worker,
        places: &[(String, Slot)],
        apart: bool,
    ) -> Result<(), JournalError> {
        for (key, slot) in places {
            let rank = (slot.lane, slot.seq);
            let Some(envelope) = find(journal, worker, rank)? else {
                self.drop_slip(key, *slot);
                continue;
            };
            if let Some(slip) = self.queues.get_mut(key).and_then(|queue| queue.slips.get_mut(&rank)) {
                slip.visible_at = visible_at(&envelope);
                slip.alone |= apart || envelope.attempts > 0;
                slip.body = Some(envelope);
                self.bodies += 1;
            }
        }
        self.end(places);
        Ok(())
    }

    fn drop_slip(&mut self, key: &str, slot: Slot) {
        let slip = self.queues.get_mut(key).and_then(|queue| queue.slips.remove(&(slot.lane, slot.seq)));
        self.bodies -= usize::from(slip.is_some_and(|slip| slip.body.is_some()));
    }

    fn end(&mut self, places: &[(String, Slot)]) {
        for (key, _) in places {
            if let Some(queue) = self.queues.get_mut(key) {
                queue.running = false;
            }
            self.place(key, TimestampMs(0));
        }
    }

    /// Nothing of this key is taken up before `due`. Forgotten with the process; the letters are not counted.
    pub fn defer(&mut self, key: &str, due: TimestampMs) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.not_before = due;
        }
        self.place(key, TimestampMs(0));
    }

    /// When the earliest letter that is put off may be taken up.
    pub fn next_due(&self) -> Option<TimestampMs> {
        self.later.first().map(|(due, _)| *due)
    }

    pub fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }
}

/// One that was never tried waits for nothing: were it written by a clock that has been set back since, it would wait long.
fn visible_at(envelope: &Envelope) -> TimestampMs {
    if envelope.attempts == 0 { TimestampMs(0) } else { envelope.visible_at }
}

fn find(journal: &dyn Journal, worker: &dyn Worker, rank: Rank) -> Result<Option<Envelope>, JournalError> {
    let (lane, seq) = rank;
    let found = journal.mail(worker.address(), lane, seq, 1)?;
    Ok(found.into_iter().find(|envelope| envelope.seq == seq))
}

#[cfg(test)]
mod tests;
