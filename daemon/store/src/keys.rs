//! The keys, byte by byte. All integers are big endian, so that byte order is number order.
//!
//! ```text
//! meta             ascii name: `format`, `head`, `run`; `lane/` to u8 · lane u8
//! inbox            to u8 · lane u8 · seq u64
//! incidents        incident id
//! incident_heads   incident id                                 (revision and phase without the snapshot)
//! incident_phases  phase u8 · incident id                      (index for listing; value empty)
//! documents        table u8 · key as given
//! effects          incident text · revision u64 · index u32
//! effects_open     as effects                                  (index of Intent and Started; value empty)
//! timers           due_ms u64 · incident text · kind u8
//! timer_ix         incident text · kind u8                     (the due time of a timer)
//! dedup            to u8 · SHA-256 of the dedup key            (scoped to its mailbox)
//! dead             at_ms u64 · to u8 · lane u8 · seq u64       (so that retention can cut by age)
//! audit            seq u64                                     (so that an exported range can be cut off)
//! audit_ix         incident text · seq u64                     (the audit records of one incident; value empty)
//! decided          incident text · commit_seq u64              (what a replay needs, one row a commit)
//! ```
//!
//! *Incident text* is the id with each 0x00 written 0x00 0xFF, ended by 0x00 0x00: ids of any length keep their order.
//! Codes are never given to another meaning.

use medic_core::effect::TimerKind;
use medic_core::mail::{Address, Lane};
use medic_core::{EffectId, IncidentId, PhaseName, TimestampMs};
use medic_ports::journal::{DeadPlace, Slot, Table};
use sha2::{Digest as _, Sha256};

pub(crate) const FORMAT: &[u8] = b"format";
pub(crate) const HEAD: &[u8] = b"head";
pub(crate) const RUN: &[u8] = b"run";

pub(crate) const LANES: [Lane; 3] = [Lane::Control, Lane::Approval, Lane::Normal];

fn address_code(address: Address) -> u8 {
    match address {
        Address::Supervisor => 1,
        Address::Monitor => 2,
        Address::Diagnoser => 3,
        Address::Executor => 4,
        Address::Notifier => 5,
    }
}

fn lane_code(lane: Lane) -> u8 {
    match lane {
        Lane::Control => 0,
        Lane::Approval => 1,
        Lane::Normal => 2,
    }
}

fn table_code(table: Table) -> u8 {
    match table {
        Table::Episode => 1,
        Table::Group => 2,
        Table::Snapshot => 3,
        Table::ToolState => 4,
        Table::Answer => 5,
        Table::Policy => 6,
    }
}

pub(crate) fn phase_code(phase: PhaseName) -> u8 {
    match phase {
        PhaseName::AlertReceived => 1,
        PhaseName::GatheringInfo => 2,
        PhaseName::Diagnosing => 3,
        PhaseName::AwaitingDecision => 4,
        PhaseName::Executing => 5,
        PhaseName::Verifying => 6,
        PhaseName::Resolved => 7,
        PhaseName::Escalated => 8,
    }
}

pub(crate) fn phase_of(code: u8) -> Option<PhaseName> {
    PhaseName::ALL.into_iter().find(|phase| phase_code(*phase) == code)
}

fn timer_code(kind: TimerKind) -> u8 {
    match kind {
        TimerKind::PhaseDeadline => 1,
        TimerKind::ApprovalLifetime => 2,
    }
}

pub(crate) fn lane(to: Address, lane: Lane) -> Vec<u8> {
    let mut key = b"lane/".to_vec();
    key.extend([address_code(to), lane_code(lane)]);
    key
}

pub(crate) fn inbox(slot: Slot) -> Vec<u8> {
    let mut key = Vec::with_capacity(10);
    key.extend([address_code(slot.to), lane_code(slot.lane)]);
    key.extend(slot.seq.to_be_bytes());
    key
}

/// Reads an `inbox` key back; `None` when no such mailbox is known.
pub(crate) fn inbox_slot(key: &[u8]) -> Option<Slot> {
    let (&[to, lane], seq) = key.split_first_chunk::<2>()?;
    Some(Slot {
        to: Address::ALL.into_iter().find(|address| address_code(*address) == to)?,
        lane: LANES.into_iter().find(|candidate| lane_code(*candidate) == lane)?,
        seq: u64::from_be_bytes(seq.try_into().ok()?),
    })
}

pub(crate) fn incident(id: &IncidentId) -> Vec<u8> {
    id.as_str().as_bytes().to_vec()
}

/// Reads the id at the end of an `incidents`, `incident_heads` or (without its first byte) `incident_phases` key.
pub(crate) fn incident_id(bytes: &[u8]) -> Option<IncidentId> {
    std::str::from_utf8(bytes).ok().map(IncidentId::from)
}

pub(crate) fn phase(phase: PhaseName, id: &IncidentId) -> Vec<u8> {
    let mut key = vec![phase_code(phase)];
    key.extend(id.as_str().as_bytes());
    key
}

pub(crate) fn document(table: Table, key: &str) -> Vec<u8> {
    let mut bytes = vec![table_code(table)];
    bytes.extend(key.as_bytes());
    bytes
}

/// All rows of one table: from, until.
pub(crate) fn table(table: Table) -> (Vec<u8>, Vec<u8>) {
    (vec![table_code(table)], vec![table_code(table) + 1])
}

/// What all rows of one incident begin with, in the families whose keys begin with the incident's text; and the first key
/// behind them. No other incident's rows lie between.
pub(crate) fn of_incident(id: &IncidentId) -> (Vec<u8>, Vec<u8>) {
    let mut from = Vec::with_capacity(id.as_str().len() + 2);
    push_incident(&mut from, id);
    // The text ends with 0x00 0x00, and within it 0x00 is always followed by 0xFF.
    let mut until = from.clone();
    if let Some(last) = until.last_mut() {
        *last = 1;
    }
    (from, until)
}

/// `audit_ix` and `decided` keys: incident text · number.
pub(crate) fn numbered(id: &IncidentId, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.as_str().len() + 10);
    push_incident(&mut key, id);
    key.extend(number.to_be_bytes());
    key
}

/// Reads a key of [`numbered`] back.
pub(crate) fn numbered_parts(key: &[u8]) -> Option<(IncidentId, u64)> {
    let (text, number) = key.split_last_chunk::<8>()?;
    let text = text.strip_suffix(&[0, 0])?;
    let mut id = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        id.push(*byte);
        if *byte == 0 && bytes.next() != Some(&0xff) {
            return None;
        }
    }
    Some((incident_id(&id)?, u64::from_be_bytes(*number)))
}

fn push_incident(key: &mut Vec<u8>, id: &IncidentId) {
    for byte in id.as_str().bytes() {
        key.push(byte);
        if byte == 0 {
            key.push(0xff);
        }
    }
    key.extend([0, 0]);
}

pub(crate) fn effect(id: &EffectId) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.incident.as_str().len() + 14);
    push_incident(&mut key, &id.incident);
    key.extend(id.revision.to_be_bytes());
    key.extend(id.index.to_be_bytes());
    key
}

pub(crate) fn timer(due: TimestampMs, incident: &IncidentId, kind: TimerKind) -> Vec<u8> {
    let mut key = due.0.to_be_bytes().to_vec();
    push_incident(&mut key, incident);
    key.push(timer_code(kind));
    key
}

pub(crate) fn timer_ix(incident: &IncidentId, kind: TimerKind) -> Vec<u8> {
    let mut key = Vec::with_capacity(incident.as_str().len() + 3);
    push_incident(&mut key, incident);
    key.push(timer_code(kind));
    key
}

pub(crate) fn dedup(to: Address, dedup: &str) -> Vec<u8> {
    let mut key = vec![address_code(to)];
    key.extend(Sha256::digest(dedup.as_bytes()));
    key
}

pub(crate) fn dead(place: DeadPlace) -> Vec<u8> {
    let mut key = place.at.0.to_be_bytes().to_vec();
    key.extend(inbox(place.slot));
    key
}

/// The leading integer of a `timers`, `dead` or `audit` key.
pub(crate) fn leading_u64(key: &[u8]) -> Option<u64> {
    key.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted<T>(items: Vec<T>, key: impl Fn(&T) -> Vec<u8>) -> bool {
        items.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]))
    }

    #[test]
    fn byte_order_is_the_order_of_lane_then_place() {
        let slot = |lane, seq| Slot { to: Address::Monitor, lane, seq };
        let slots = vec![
            slot(Lane::Control, u64::MAX),
            slot(Lane::Approval, 1),
            slot(Lane::Approval, 256),
            slot(Lane::Normal, 0),
        ];
        assert!(sorted(slots.clone(), |slot| inbox(*slot)));
        assert!(slots.into_iter().all(|slot| inbox_slot(&inbox(slot)) == Some(slot)));
        assert_eq!(inbox_slot(&[9, 0, 0, 0, 0, 0, 0, 0, 0, 1]), None, "an unknown mailbox");
        assert_eq!(inbox_slot(&[1, 0, 1]), None, "a short key");
    }

    #[test]
    fn an_incident_id_is_never_the_prefix_of_anothers_effects() {
        let effect_of = |incident: &str, revision| EffectId { incident: incident.into(), revision, index: 0 };
        let effects = vec![
            effect_of("a", u64::MAX),
            effect_of("a\0", 0),
            effect_of("a\0b", 0),
            effect_of("a\u{1}", 0),
            effect_of("ab", 0),
        ];
        assert!(sorted(effects, effect));
    }

    #[test]
    fn the_rows_of_one_incident_lie_together_and_are_read_back() {
        let ids = ["", "a", "a\0", "a\0b", "a\u{1}", "ab", "b"].map(IncidentId::from);
        for id in &ids {
            let (from, until) = of_incident(id);
            for other in &ids {
                for number in [0, 1, u64::MAX] {
                    let key = numbered(other, number);
                    assert_eq!(from <= key && key < until, id == other, "{id:?} {other:?}");
                    assert_eq!(numbered_parts(&key), Some((other.clone(), number)));
                }
            }
        }
        for malformed in [&b"a"[..], &[0; 9], b"a\0b\0\0\0\0\0\0\0\0\0\0"] {
            assert_eq!(numbered_parts(malformed), None, "{malformed:?}");
        }
    }

    #[test]
    fn timers_sort_by_due_time_before_anything_else() {
        let kinds = [TimerKind::PhaseDeadline, TimerKind::ApprovalLifetime];
        let timers =
            vec![(255, "z", kinds[1]), (256, "a", kinds[0]), (256, "a", kinds[1]), (65_536, "a", kinds[0])];
        assert!(sorted(timers, |(due, id, kind)| timer(TimestampMs(*due), &IncidentId::from(*id), *kind)));
    }

    #[test]
    fn every_phase_has_a_code_of_its_own() {
        assert!(PhaseName::ALL.into_iter().all(|phase| phase_of(phase_code(phase)) == Some(phase)));
        assert_eq!(phase_of(0), None);
    }
}
