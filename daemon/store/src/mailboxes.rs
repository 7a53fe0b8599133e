//! What lies in which mailbox: places, sizes, caps. The committer's own memory of the `inbox` table.
//!
//! Holds no envelope, only where each lies and how long it is: enough to judge caps, to know that a place is still
//! taken, and to move a lane's head without reading. Never touches the disk.

use crate::config::StoreConfig;
use crate::records::LaneSpan;
use medic_core::mail::{Address, Lane};
use medic_ports::journal::{Origin, Slot};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub envelopes_max: u64,
    pub bytes_max: u64,
}

impl Caps {
    pub fn of(config: &StoreConfig) -> Self {
        Self { envelopes_max: config.mailbox_envelopes_max, bytes_max: config.mailbox_bytes_max }
    }

    fn leave(self, origin: Origin, lane: Lane, load: Load) -> bool {
        let below = |cap: u64| cap - cap.saturating_mul(origin.reserved_percent(lane)) / 100;
        load.envelopes <= below(self.envelopes_max) && load.bytes <= below(self.bytes_max)
    }
}

/// How full a mailbox is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub envelopes: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug)]
struct LanePlaces {
    /// Length of each live envelope, by its place.
    live: BTreeMap<u64, u64>,
    tail: u64,
    bytes: u64,
}

impl Default for LanePlaces {
    fn default() -> Self {
        Self { live: BTreeMap::new(), tail: LaneSpan::default().tail, bytes: 0 }
    }
}

impl LanePlaces {
    fn span(&self) -> LaneSpan {
        LaneSpan {
            head: self.live.first_key_value().map_or(self.tail, |(seq, _)| *seq),
            tail: self.tail,
            envelopes: self.live.len() as u64,
            bytes: self.bytes,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Mailboxes {
    caps: Caps,
    lanes: BTreeMap<(Address, Lane), LanePlaces>,
}

impl Mailboxes {
    pub fn new(caps: Caps) -> Self {
        Self { caps, lanes: BTreeMap::new() }
    }

    /// Takes over a lane found on disk: its live places with their lengths, and the next place to give.
    pub fn restore(&mut self, to: Address, lane: Lane, live: BTreeMap<u64, u64>, tail: u64) {
        let bytes = live.values().sum();
        self.lanes.insert((to, lane), LanePlaces { live, tail, bytes });
    }

    pub fn holds(&self, slot: Slot) -> bool {
        self.length(slot).is_some()
    }

    fn length(&self, slot: Slot) -> Option<u64> {
        self.lanes.get(&(slot.to, slot.lane))?.live.get(&slot.seq).copied()
    }

    fn load(&self, to: Address) -> Load {
        let lanes = self.lanes.iter().filter(|((address, _), _)| *address == to);
        lanes.fold(Load::default(), |load, (_, lane)| Load {
            envelopes: load.envelopes + lane.live.len() as u64,
            bytes: load.bytes + lane.bytes,
        })
    }

    /// Whether letters of these lengths fit once `leaving` are gone.
    ///
    /// # Errors
    /// The first mailbox that would be too full.
    pub fn room(
        &self,
        origin: Origin,
        letters: impl Iterator<Item = (Address, Lane, u64)>,
        leaving: &BTreeSet<Slot>,
    ) -> Result<(), Address> {
        let mut loads: BTreeMap<Address, Load> = BTreeMap::new();
        for (to, lane, bytes) in letters {
            let load = loads.entry(to).or_insert_with(|| {
                let gone = leaving.iter().filter(|slot| slot.to == to).filter_map(|slot| self.length(*slot));
                gone.fold(self.load(to), |load, bytes| Load {
                    envelopes: load.envelopes.saturating_sub(1),
                    bytes: load.bytes.saturating_sub(bytes),
                })
            });
            *load = Load { envelopes: load.envelopes + 1, bytes: load.bytes.saturating_add(bytes) };
            if !self.caps.leave(origin, lane, *load) {
                return Err(to);
            }
        }
        Ok(())
    }

    /// Gives the next place of a lane.
    pub fn push(&mut self, to: Address, lane: Lane, bytes: u64) -> Slot {
        let places = self.lanes.entry((to, lane)).or_default();
        let seq = places.tail;
        places.tail += 1;
        places.live.insert(seq, bytes);
        places.bytes += bytes;
        Slot { to, lane, seq }
    }

    pub fn remove(&mut self, slot: Slot) {
        if let Some(places) = self.lanes.get_mut(&(slot.to, slot.lane))
            && let Some(bytes) = places.live.remove(&slot.seq)
        {
            places.bytes = places.bytes.saturating_sub(bytes);
        }
    }

    /// The envelope at `slot` was written anew with another length.
    pub fn resize(&mut self, slot: Slot, bytes: u64) {
        if let Some(places) = self.lanes.get_mut(&(slot.to, slot.lane))
            && let Some(length) = places.live.get_mut(&slot.seq)
        {
            places.bytes = places.bytes.saturating_sub(*length) + bytes;
            *length = bytes;
        }
    }

    pub fn span(&self, to: Address, lane: Lane) -> LaneSpan {
        self.lanes.get(&(to, lane)).map(LanePlaces::span).unwrap_or_default()
    }

    pub fn spans(&self) -> BTreeMap<(Address, Lane), LaneSpan> {
        self.lanes.iter().map(|(lane, places)| (*lane, places.span())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailboxes(envelopes_max: u64) -> Mailboxes {
        Mailboxes::new(Caps { envelopes_max, bytes_max: 1_000_000 })
    }

    fn room(boxes: &Mailboxes, origin: Origin, lane: Lane) -> bool {
        boxes.room(origin, std::iter::once((Address::Monitor, lane, 1)), &BTreeSet::new()).is_ok()
    }

    #[test]
    fn a_head_moves_only_past_what_is_gone_and_a_place_is_never_given_twice() {
        let mut boxes = mailboxes(10);
        let slots: Vec<Slot> = (0..3).map(|_| boxes.push(Address::Monitor, Lane::Normal, 5)).collect();
        boxes.remove(slots[1]);
        assert_eq!(
            boxes.span(Address::Monitor, Lane::Normal),
            LaneSpan { head: 1, tail: 4, envelopes: 2, bytes: 10 }
        );
        boxes.remove(slots[0]);
        assert_eq!(boxes.span(Address::Monitor, Lane::Normal).head, 3);
        boxes.remove(slots[2]);
        assert_eq!(
            boxes.span(Address::Monitor, Lane::Normal),
            LaneSpan { head: 4, tail: 4, envelopes: 0, bytes: 0 }
        );
        assert_eq!(boxes.push(Address::Monitor, Lane::Normal, 5).seq, 4);
    }

    #[test]
    fn the_nearer_to_an_approval_the_longer_a_letter_is_let_in() {
        let mut boxes = mailboxes(100);
        let mut last = BTreeMap::new();
        for filled in 0..=100 {
            for (name, origin, lane) in [
                ("outside", Origin::Outside, Lane::Normal),
                ("inside", Origin::Inside, Lane::Normal),
                ("approval", Origin::Outside, Lane::Approval),
            ] {
                if room(&boxes, origin, lane) {
                    last.insert(name, filled + 1);
                }
            }
            boxes.push(Address::Monitor, Lane::Normal, 1);
        }
        assert_eq!(last, BTreeMap::from([("outside", 80), ("inside", 95), ("approval", 100)]));
    }

    #[test]
    fn bytes_are_capped_as_envelopes_are() {
        let boxes = Mailboxes::new(Caps { envelopes_max: 100, bytes_max: 100 });
        let fits = |bytes| {
            boxes.room(
                Origin::Outside,
                [(Address::Monitor, Lane::Normal, bytes)].into_iter(),
                &BTreeSet::new(),
            )
        };
        assert_eq!((fits(80), fits(81)), (Ok(()), Err(Address::Monitor)));
    }

    #[test]
    fn what_leaves_in_the_same_batch_makes_room_for_what_comes() {
        let mut boxes = mailboxes(10);
        let slots: Vec<Slot> = (0..8).map(|_| boxes.push(Address::Monitor, Lane::Normal, 1)).collect();
        assert!(!room(&boxes, Origin::Outside, Lane::Normal));
        let leaving = BTreeSet::from([slots[3]]);
        assert_eq!(
            boxes.room(Origin::Outside, [(Address::Monitor, Lane::Normal, 1)].into_iter(), &leaving),
            Ok(())
        );
        let other =
            boxes.room(Origin::Outside, [(Address::Notifier, Lane::Normal, 1)].into_iter(), &BTreeSet::new());
        assert_eq!(other, Ok(()), "one full mailbox does not close another");
    }
}
