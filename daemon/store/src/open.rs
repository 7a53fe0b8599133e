//! Opening: refuse whatever is damaged, rolled back, foreign or newer, and only then write.

use crate::committer::is_open;
use crate::config::StoreConfig;
use crate::engine::{END, Engine, Family};
use crate::error::OpenError;
use crate::inspect::{Inspection, lane_fault};
use crate::keys::{self, LANES};
use crate::mailboxes::{Caps, Mailboxes};
use crate::records::{Format, MIN_READER_VERSION, Record as _, SCHEMA_VERSION, StoreHead};
use crate::witness::{Witness, Witnessed};
use medic_core::TimestampMs;
use medic_core::audit::{AuditRecord, ChainHead};
use medic_core::mail::Address;
use medic_ports::JournalError;
use medic_ports::journal::{EffectRecord, EffectState};
use std::fs::{File, TryLockError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Records at the end of the audit chain that are recomputed at each start: some 50 ms. `check` recomputes them all.
const AUDIT_TAIL_RECORDS: u64 = 10_000;

pub(crate) fn database_dir(dir: &Path) -> PathBuf {
    dir.join("db")
}

/// Takes the directory for this process. The lock is gone with the process, however it ends.
pub(crate) fn lock_dir(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("LOCK");
    let failed = |source| OpenError::Io { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A store that has passed every check at start.
pub(crate) struct Opened {
    pub lock: File,
    pub engine: Engine,
    pub witness: Witness,
    pub head: StoreHead,
    pub boot_epoch: u64,
    pub mailboxes: Mailboxes,
    pub next_timer: Option<TimestampMs>,
}

pub(crate) fn open(config: &StoreConfig) -> Result<Opened, OpenError> {
    let dir = config.dir.as_path();
    let io = |source| OpenError::Io { path: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(io)?;
    let lock = lock_dir(dir)?;
    let witness = Witness::load(dir)?;
    let database = database_dir(dir);
    // Asked before the engine opens, which would make an empty database where one was taken away.
    if let Some(witness) = &witness
        && witness.written().commit_seq > 0
        && !database.join("CURRENT").exists()
    {
        return Err(OpenError::RolledBack {
            dir: dir.to_owned(),
            found: 0,
            witnessed: witness.written().commit_seq,
        });
    }
    let engine = Engine::open(&database, config.block_cache_bytes, false)?;
    let inspection = Inspection { dir, engine: &engine };
    let (mut witness, format, mut head) = match (inspection.format()?, witness) {
        (Some(_), None) => return Err(OpenError::WitnessMissing { dir: dir.to_owned() }),
        (Some(format), Some(witness)) => (witness, format, inspection.head()?),
        (None, witness) => {
            // The witness first: a crash in between leaves an empty database with a witness of nothing, which opens.
            let nothing = Witnessed { commit_seq: 0, audit: ChainHead::genesis(), copied: false };
            let witness = match witness {
                Some(witness) => witness,
                None => Witness::create(dir, nothing).map_err(io)?,
            };
            let format = Format {
                schema_version: SCHEMA_VERSION,
                min_reader_version: MIN_READER_VERSION,
                boot_epoch: 0,
            };
            (witness, format, StoreHead::genesis())
        }
    };
    inspection.held_against(&head, witness.written())?;
    inspection.audit_chain(head.audit.seq.saturating_sub(AUDIT_TAIL_RECORDS), &head.audit)?;
    let mailboxes = read_mailboxes(&inspection, Caps::of(config))?;
    let dead_letters = inspection.count(Family::Dead)?;
    if dead_letters != head.dead_letters {
        let detail = format!("it holds {dead_letters} dead letters, its head says {}", head.dead_letters);
        return Err(inspection.inconsistent(detail));
    }
    let next_timer = inspection.earliest_timer()?;

    let boot_epoch = format.boot_epoch + 1;
    let copied = witness.written().copied;
    write_boot(&engine, boot_epoch, copied, &mut head).map_err(|error| inspection.failed(error))?;
    let witnessed = Witnessed { commit_seq: head.commit_seq, audit: head.audit.clone(), copied: false };
    witness.write(witnessed).map_err(io)?;
    Ok(Opened { lock, engine, witness, head, boot_epoch, mailboxes, next_timer })
}

fn read_mailboxes(inspection: &Inspection<'_>, caps: Caps) -> Result<Mailboxes, OpenError> {
    let mut mailboxes = Mailboxes::new(caps);
    for to in Address::ALL {
        for lane in LANES {
            let span = inspection.span(to, lane)?;
            let places = inspection.places(to, lane, span.head)?;
            if let Some(fault) = lane_fault(to, lane, span, &places) {
                return Err(inspection.inconsistent(fault));
            }
            mailboxes.restore(to, lane, places, span.tail);
        }
    }
    Ok(mailboxes)
}

/// The first batch of a run: a new epoch and, in a restored copy, every open effect made unknown, because the world went on
/// after the copy was taken.
fn write_boot(
    engine: &Engine,
    boot_epoch: u64,
    copied: bool,
    head: &mut StoreHead,
) -> Result<(), JournalError> {
    let mut staging = engine.stage();
    let format =
        Format { schema_version: SCHEMA_VERSION, min_reader_version: MIN_READER_VERSION, boot_epoch };
    staging.put(Family::Meta, keys::FORMAT, &format.encode()?)?;
    if copied {
        for (key, mut effect) in open_effects(engine)? {
            effect.state = EffectState::Unknown;
            "the store was restored from a backup taken before its outcome was known"
                .clone_into(&mut effect.detail);
            staging.put(Family::Effects, &key, &effect.encode()?)?;
            staging.delete(Family::EffectsOpen, &key)?;
            let record = AuditRecord {
                at: effect.at,
                incident: Some(effect.id.incident.clone()),
                actor: "store".to_owned(),
                kind: "restored".to_owned(),
                subject: effect.id.to_string(),
                rule: None,
                detail: serde_json::json!({ "state": "unknown" }),
            };
            let (chained, next) = head.audit.append(record);
            staging.put(Family::Audit, &chained.seq.to_be_bytes(), &chained.encode()?)?;
            head.audit = next;
        }
    }
    head.commit_seq += 1;
    staging.put(Family::Meta, keys::HEAD, &head.encode()?)?;
    staging.write()
}

fn open_effects(engine: &Engine) -> Result<Vec<(Vec<u8>, EffectRecord)>, JournalError> {
    let mut effects = Vec::new();
    engine.scan(Family::EffectsOpen, &[], END, false, |key, _| {
        if let Some(row) = engine.get(Family::Effects, key)? {
            let effect = EffectRecord::decode(&row)?;
            if is_open(effect.state) {
                effects.push((key.to_vec(), effect));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(effects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::records::LaneSpan;
    use medic_core::mail::Lane;

    fn made(dir: &Path) -> StoreConfig {
        let config = StoreConfig { dir: dir.to_owned(), ..StoreConfig::default() };
        Store::open(&config).unwrap().shutdown();
        config
    }

    fn plant(config: &StoreConfig, family: Family, key: &[u8], value: &[u8]) {
        let engine = Engine::open(&database_dir(&config.dir), 1 << 20, false).unwrap();
        let mut staging = engine.stage();
        staging.put(family, key, value).unwrap();
        staging.write().unwrap();
    }

    fn refusal(config: &StoreConfig) -> &'static str {
        Store::open(config).map(|_| "opened").unwrap_or_else(|error| error.code())
    }

    #[test]
    fn a_store_that_needs_a_newer_reader_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = made(dir.path());
        let newer = Format { schema_version: 3, min_reader_version: 2, boot_epoch: 1 };
        plant(&config, Family::Meta, keys::FORMAT, &newer.encode().unwrap());
        assert_eq!(refusal(&config), "STORE_NEWER_SCHEMA");
        plant(&config, Family::Meta, keys::FORMAT, b"\x07{}");
        assert_eq!(refusal(&config), "STORE_NEWER_RECORD");
        let readable = Format { min_reader_version: 1, ..newer };
        plant(&config, Family::Meta, keys::FORMAT, &readable.encode().unwrap());
        assert_eq!(refusal(&config), "opened");
    }

    #[test]
    fn counters_that_disagree_with_what_lies_in_a_mailbox_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = made(dir.path());
        let row = LaneSpan { head: 1, tail: 4, envelopes: 2, bytes: 20 };
        plant(&config, Family::Meta, &keys::lane(Address::Monitor, Lane::Normal), &row.encode().unwrap());
        assert_eq!(refusal(&config), "STORE_INCONSISTENT");
        let report = crate::check(&config.dir).unwrap();
        assert_eq!(report.faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), ["STORE_INCONSISTENT"]);
    }

    #[test]
    fn a_record_behind_the_audit_head_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = made(dir.path());
        let record = AuditRecord {
            at: TimestampMs(1),
            incident: None,
            actor: "nobody".to_owned(),
            kind: "phase".to_owned(),
            subject: String::new(),
            rule: None,
            detail: serde_json::Value::Null,
        };
        let (chained, _) = ChainHead::genesis().append(record);
        plant(&config, Family::Audit, &1_u64.to_be_bytes(), &chained.encode().unwrap());
        assert_eq!(refusal(&config), "STORE_AUDIT_BROKEN");
    }

    #[test]
    fn check_names_every_index_that_disagrees() {
        let dir = tempfile::tempdir().unwrap();
        let config = made(dir.path());
        plant(&config, Family::EffectsOpen, b"nowhere", b"");
        plant(&config, Family::IncidentPhases, b"\x03nobody", b"");
        plant(&config, Family::Inbox, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 9], b"\x02newer");
        let codes: Vec<&str> =
            crate::check(&config.dir).unwrap().faults.iter().map(|fault| fault.code).collect();
        assert_eq!(codes.len(), 4, "{codes:?}");
        assert!(codes.contains(&"STORE_NEWER_RECORD"));
    }
}
