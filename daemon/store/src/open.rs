//! Opening: refuse whatever is damaged, rolled back, foreign or newer, and only then write.

use crate::ballast::Ballast;
use crate::config::StoreConfig;
use crate::engine::{END, Engine, Family, Staging, is_full};
use crate::error::OpenError;
use crate::inspect::{Inspection, lane_fault};
use crate::keeper::Space;
use crate::keys::{self, LANES};
use crate::mailboxes::{Caps, Mailboxes};
use crate::migrate::count_anew;
use crate::records::{Format, MIN_READER_VERSION, Record as _, SCHEMA_VERSION, StoreHead};
use crate::witness::{Witness, Witnessed};
use medic_core::IncidentId;
use medic_core::TimestampMs;
use medic_core::audit::{AuditRecord, ChainHead};
use medic_core::mail::Address;
use medic_ports::JournalError;
use medic_ports::boot::{Boot, Run};
use medic_ports::journal::{EffectRecord, EffectState};
use std::fs::{File, TryLockError};
use std::io::Read as _;
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
    pub store_id: String,
    pub boot: Boot,
    pub run: Run,
    pub space: Space,
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
    let space = Space {
        dir: dir.to_owned(),
        low_bytes: config.low_space_bytes,
        ballast: Ballast::of(dir, config.ballast_bytes),
    };
    let engine = open_engine(&database, config, &space)?;
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
            (witness, new_format().map_err(io)?, StoreHead::genesis())
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

    if head.commit_seq > 0 && !inspection.head_counts()? {
        count_anew(&engine, &mut head).map_err(|error| inspection.failed(error))?;
    }
    let restored = witness.written().copied;
    let run = match inspection.row::<Run>(Family::Meta, keys::RUN)? {
        Some(before) if !restored => Run::after(&before, |slot| mailboxes.holds(slot)),
        // A store of an older build, which told nothing; and a copy, whose original's end says nothing about it.
        _ => Run::first(),
    };
    let format = Format {
        schema_version: SCHEMA_VERSION,
        min_reader_version: MIN_READER_VERSION,
        boot_epoch: format.boot_epoch + 1,
        store_id: if format.store_id.is_empty() {
            new_format().map_err(io)?.store_id
        } else {
            format.store_id
        },
    };
    write_boot(&engine, &format, &run, restored, &mut head).map_err(|error| inspection.failed(error))?;
    let witnessed = Witnessed { commit_seq: head.commit_seq, audit: head.audit.clone(), copied: false };
    witness.write(witnessed).map_err(io)?;
    let boot = run.boot(format.boot_epoch, restored);
    Ok(Opened {
        lock,
        engine,
        witness,
        head,
        store_id: format.store_id,
        boot,
        run,
        space,
        mailboxes,
        next_timer,
    })
}

/// A full disk must not keep a store from opening that has room held back.
fn open_engine(database: &Path, config: &StoreConfig, space: &Space) -> Result<Engine, OpenError> {
    match Engine::open(database, config.block_cache_bytes, false) {
        Err(OpenError::Engine { reason, .. }) if is_full(&reason) && space.ballast.release() => {
            Engine::open(database, config.block_cache_bytes, false)
        }
        opened => opened,
    }
}

/// Of a store that begins: with a name no other has.
fn new_format() -> std::io::Result<Format> {
    let mut random = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(Format {
        schema_version: SCHEMA_VERSION,
        min_reader_version: MIN_READER_VERSION,
        boot_epoch: 0,
        store_id: random.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
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
    format: &Format,
    run: &Run,
    restored: bool,
    head: &mut StoreHead,
) -> Result<(), JournalError> {
    let mut staging = engine.stage();
    staging.put(Family::Meta, keys::FORMAT, &format.encode()?)?;
    staging.put(Family::Meta, keys::RUN, &run.encode()?)?;
    if restored {
        let open = open_effects(engine)?;
        let counted = serde_json::json!({ "epoch": format.boot_epoch, "effects_unknown": open.len() });
        note_restored(&mut staging, head, None, "store", counted)?;
        for (key, mut effect) in open {
            effect.state = EffectState::Unknown;
            "the store was restored from a backup".clone_into(&mut effect.detail);
            staging.put(Family::Effects, &key, &effect.encode()?)?;
            staging.delete(Family::EffectsOpen, &key)?;
            let (incident, subject) = (effect.id.incident.clone(), effect.id.to_string());
            let detail = serde_json::json!({ "state": "unknown" });
            note_restored(&mut staging, head, Some(incident), &subject, detail)?;
        }
        head.effects_open = 0;
    }
    head.commit_seq += 1;
    staging.put(Family::Meta, keys::HEAD, &head.encode()?)?;
    staging.write()
}

fn note_restored(
    staging: &mut Staging<'_>,
    head: &mut StoreHead,
    incident: Option<IncidentId>,
    subject: &str,
    detail: serde_json::Value,
) -> Result<(), JournalError> {
    let record = AuditRecord {
        // Nobody tells the time here; it never goes back behind this.
        at: head.latest_at,
        incident,
        actor: "store".to_owned(),
        kind: "restored".to_owned(),
        subject: subject.to_owned(),
        rule: None,
        detail,
    };
    let (chained, next) = head.audit.append(record);
    staging.put(Family::Audit, &chained.seq.to_be_bytes(), &chained.encode()?)?;
    if let Some(incident) = &chained.record.incident {
        staging.put(Family::AuditIx, &keys::numbered(incident, chained.seq), &[])?;
    }
    head.audit = next;
    Ok(())
}

fn open_effects(engine: &Engine) -> Result<Vec<(Vec<u8>, EffectRecord)>, JournalError> {
    let mut effects = Vec::new();
    engine.scan(Family::EffectsOpen, &[], END, false, |key, _| {
        if let Some(row) = engine.get(Family::Effects, key)? {
            let effect = EffectRecord::decode(&row)?;
            if effect.state.is_open() {
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
        let (schema_version, min_reader_version) = (SCHEMA_VERSION + 2, SCHEMA_VERSION + 1);
        let store_id = "00".to_owned();
        let newer = Format { schema_version, min_reader_version, boot_epoch: 1, store_id };
        plant(&config, Family::Meta, keys::FORMAT, &newer.encode().unwrap());
        assert_eq!(refusal(&config), "STORE_NEWER_SCHEMA");
        plant(&config, Family::Meta, keys::FORMAT, b"\x07{}");
        assert_eq!(refusal(&config), "STORE_NEWER_RECORD");
        let readable = Format { min_reader_version: SCHEMA_VERSION, ..newer };
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
        plant(&config, Family::AuditIx, &keys::numbered(&IncidentId::from("i1"), 7), b"");
        let decided = medic_ports::fake::journal_contract::decided("i1", 1).encode().unwrap();
        plant(&config, Family::Decided, &keys::numbered(&IncidentId::from("i2"), 1), &decided);
        let codes: Vec<&str> =
            crate::check(&config.dir).unwrap().faults.iter().map(|fault| fault.code).collect();
        // Each row, the mailbox, and the count of open effects.
        assert_eq!(codes.len(), 7, "{codes:?}");
        assert!(codes.contains(&"STORE_NEWER_RECORD"));
    }
}
