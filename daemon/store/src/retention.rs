//! Retention: what is over leaves the store after its time, a bounded piece a call.
//!
//! A finished incident is archived first (a file of [`crate::incident_export`], synced and renamed into place) and only
//! then deleted, in one batch with an audit record; a crash in between archives it again into the same file. One with an
//! open effect, a timer or a letter still waiting stays. Dedup keys, answers and dead letters go by age. The audit chain
//! is never cut.

mod archive;

use crate::committer::{Expiry, Retirement, Slice};
use crate::config::{RetentionConfig, StoreConfig};
use crate::engine::{Engine, Family};
use crate::incident_export::{IncidentExportError, export_incident};
use crate::keys::{self, LANES};
use crate::reads::Reads;
use crate::records::{DedupRow, IncidentHead, LaneSpan, Record as _, StoredAnswer};
use crate::shared::lock;
use crate::store::Store;
use medic_core::audit::AuditRecord;
use medic_core::grouping::{Episode, OpenGroup};
use medic_core::mail::{Address, Lane};
use medic_core::{Digest, Incident, IncidentId, PhaseName, TimestampMs};
use medic_ports::journal::Table;
use medic_ports::{Journal as _, JournalError};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use thiserror::Error;

/// Incidents retired in one call. 32: each costs a file and two syncs, together some 50 ms on a quiet disk.
const RETIRED_MAX: usize = 32;
/// Finished incidents looked at in one call.
const LOOKED_AT_MAX: usize = 1_024;
/// Rows looked at for their age in one call, of each kind. 20,000: some 20 ms.
const ROWS_LOOKED_AT_MAX: usize = 20_000;
/// Rows deleted in one batch. 512: intake behind it waits a few milliseconds.
const SLICE_ROWS: usize = 512;
/// Letters read at a time.
const MAIL_PAGE: usize = 1_000;

#[derive(Debug, Error)]
pub enum SweepError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot export {id} for the archive: {source}")]
    Export { id: IncidentId, source: IncidentExportError },
    #[error("cannot write {path}")]
    Archive { path: PathBuf, source: io::Error },
}

impl SweepError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Journal(error) => error.code(),
            Self::Export { .. } | Self::Archive { .. } => "ARCHIVE_FAILED",
        }
    }
}

/// What one call of [`Store::sweep`] came to.
#[derive(Debug, Default)]
pub struct SweepReport {
    /// Finished incidents archived and deleted.
    pub incidents: u64,
    /// Due, and kept because something of theirs is still to come.
    pub incidents_held: u64,
    pub dedup_keys: u64,
    pub answers: u64,
    pub dead_letters: u64,
    /// The call ended at one of its bounds: the next one has work at once.
    pub more: bool,
    /// Why it ended early; what is counted above was done.
    pub stopped: Option<SweepError>,
}

/// How far earlier calls came. In memory only: a restart begins again and finds the rest.
pub(crate) struct Sweeper {
    retention: RetentionConfig,
    archive_dir: PathBuf,
    behind: BTreeMap<PhaseName, IncidentId>,
    dedup_from: Vec<u8>,
    answers_from: Vec<u8>,
}

impl Sweeper {
    pub fn of(config: &StoreConfig) -> Self {
        Self {
            retention: config.retention.clone(),
            archive_dir: config.archive_dir(),
            behind: BTreeMap::new(),
            dedup_from: Vec::new(),
            answers_from: keys::table(Table::Answer).0,
        }
    }
}

impl Store {
    /// Lets go what is over as of `now`, a bounded piece; calls go on where the one before stopped. Blocks for the length
    /// of some file syncs. One at a time: a second caller waits.
    pub fn sweep(&self, now: TimestampMs) -> SweepReport {
        let mut sweeper = lock(&self.sweeper);
        let mut sweep =
            Sweep { store: self, now, waiting: Waiting::default(), report: SweepReport::default() };
        if let Err(error) = sweep.run(&mut sweeper) {
            tracing::warn!(code = error.code(), %error, "retention stopped early");
            sweep.report.stopped = Some(error);
        }
        sweep.report
    }
}

struct Sweep<'s> {
    store: &'s Store,
    now: TimestampMs,
    waiting: Waiting,
    report: SweepReport,
}

/// What the letters that wait speak of, read up to `tails`.
#[derive(Default)]
struct Waiting {
    tails: BTreeMap<(Address, Lane), u64>,
    incidents: BTreeSet<IncidentId>,
    oldest_at: Option<TimestampMs>,
}

impl Waiting {
    /// Reads what came since the last look. Letters that are gone by now are still counted: that errs on the safe side.
    fn look(&mut self, store: &Store) -> Result<(), JournalError> {
        let lanes = store.lanes();
        for (to, lane) in Address::ALL.into_iter().flat_map(|to| LANES.map(|lane| (to, lane))) {
            let span = lanes.get(&(to, lane)).copied().unwrap_or_default();
            let mut from = self.tails.get(&(to, lane)).copied().unwrap_or(LaneSpan::default().head);
            while from < span.tail {
                let page = store.read(|engine| Reads(engine).mail(to, lane, span, from, MAIL_PAGE))?;
                for envelope in &page {
                    self.incidents.extend(envelope.body.incident().cloned());
                    self.oldest_at = self.oldest_at.into_iter().chain([envelope.at]).min();
                }
                from = page.last().map_or(span.tail, |last| last.seq + 1);
            }
            self.tails.insert((to, lane), span.tail);
        }
        Ok(())
    }
}

impl Sweep<'_> {
    fn run(&mut self, sweeper: &mut Sweeper) -> Result<(), SweepError> {
        self.retire(sweeper)?;
        self.expire_dedup(sweeper)?;
        self.expire_answers(sweeper)?;
        self.expire_dead(sweeper)
    }

    fn cutoff(&self, kept_ms: u64) -> TimestampMs {
        self.now.before_ms(kept_ms)
    }

    fn retire(&mut self, sweeper: &mut Sweeper) -> Result<(), SweepError> {
        let cutoff = self.cutoff(sweeper.retention.finished_ms);
        let (mut looked_at, mut retired) = (0, 0);
        for phase in [PhaseName::Resolved, PhaseName::Escalated] {
            loop {
                if looked_at >= LOOKED_AT_MAX || retired >= RETIRED_MAX {
                    self.report.more = true;
                    return Ok(());
                }
                let behind = sweeper.behind.get(&phase).cloned();
                let page = RETIRED_MAX;
                let ids = self.store.read(|engine| Reads(engine).oldest_in(phase, behind.as_ref(), page))?;
                for id in &ids {
                    looked_at += 1;
                    sweeper.behind.insert(phase, id.clone());
                    if self.ended_at(id)?.is_some_and(|ended_at| ended_at < cutoff) {
                        retired += usize::from(self.retire_one(sweeper, id)?);
                    }
                    if retired >= RETIRED_MAX {
                        break;
                    }
                }
                if ids.len() < page && retired < RETIRED_MAX {
                    // Through: the next call begins with the oldest again.
                    sweeper.behind.remove(&phase);
                    break;
                }
            }
        }
        Ok(())
    }

    fn ended_at(&self, id: &IncidentId) -> Result<Option<TimestampMs>, JournalError> {
        self.store.read(|engine| {
            let reads = Reads(engine);
            let head: Option<IncidentHead> = reads.row(Family::IncidentHeads, &keys::incident(id))?;
            match head {
                Some(IncidentHead { phase, ended_at: None, .. }) if phase.is_terminal() => {
                    Ok(reads.incident(id)?.and_then(|incident| IncidentHead::of(&incident).ended_at))
                }
                head => Ok(head.and_then(|head| head.ended_at)),
            }
        })
    }

    /// Archives and deletes one incident; `false` when something of it is still to come.
    fn retire_one(&mut self, sweeper: &Sweeper, id: &IncidentId) -> Result<bool, SweepError> {
        self.waiting.look(self.store)?;
        let open = self.store.read(|engine| {
            Ok(any_of(engine, Family::EffectsOpen, id)? || any_of(engine, Family::TimerIx, id)?)
        })?;
        if open || self.waiting.incidents.contains(id) {
            self.report.incidents_held += 1;
            return Ok(false);
        }
        let mut file = Vec::new();
        let exported = export_incident(self.store, id, &mut file)
            .map_err(|source| SweepError::Export { id: id.clone(), source })?;
        let path = sweeper.archive_dir.join(archive::file_name(id));
        archive::write(&path, &file).map_err(|source| SweepError::Archive { path: path.clone(), source })?;
        let (rows, memory) = self.store.read(|engine| rows_of(engine, id))?;
        let record = AuditRecord {
            at: self.now.max(self.store.health().latest_at),
            incident: Some(id.clone()),
            actor: "store".to_owned(),
            kind: "retired".to_owned(),
            subject: id.to_string(),
            rule: None,
            detail: serde_json::json!({
                "archive": archive::file_name(id),
                "digest": Digest::of_bytes(&file),
                "revision": exported.revision,
                "rows": rows.len() + 2,
            }),
        };
        // A letter may have come while the file was written.
        self.waiting.look(self.store)?;
        if self.waiting.incidents.contains(id) {
            self.report.incidents_held += 1;
            return Ok(false);
        }
        let tails = self.waiting.tails.clone();
        let revision = exported.revision;
        let retirement = Retirement { id: id.clone(), revision, tails, rows, memory, record };
        let deleted = self.store.ask_sweep(Slice::Retire(Box::new(retirement)))?;
        // Something of it, or any letter at all, came at the very last moment: another call will see.
        self.report.incidents += u64::from(deleted > 0);
        self.report.incidents_held += u64::from(deleted == 0);
        Ok(deleted > 0)
    }

    /// A key is known for as long as its letter waits, however old.
    fn expire_dedup(&mut self, sweeper: &mut Sweeper) -> Result<(), SweepError> {
        let cutoff = self.cutoff(sweeper.retention.dedup_ms);
        let from = std::mem::take(&mut sweeper.dedup_from);
        let (old, next) = self.old_rows(Family::Dedup, (&from, crate::engine::END), |_, value| {
            Ok(DedupRow::decode(value)?.at < cutoff)
        })?;
        sweeper.dedup_from = next.unwrap_or_default();
        if !old.is_empty() {
            self.waiting.look(self.store)?;
            let cutoff = self.waiting.oldest_at.map_or(cutoff, |oldest| oldest.min(cutoff));
            self.report.dedup_keys += self.delete(Family::Dedup, old, cutoff, None)?;
        }
        Ok(())
    }

    fn expire_answers(&mut self, sweeper: &mut Sweeper) -> Result<(), SweepError> {
        let cutoff = self.cutoff(sweeper.retention.answers_ms);
        let (first, until) = keys::table(Table::Answer);
        let from = std::mem::replace(&mut sweeper.answers_from, first.clone());
        let is_old = |_: &[u8], value: &[u8]| {
            let at = StoredAnswer::decode(value).at;
            Ok(at.0 > 0 && at < cutoff)
        };
        let (old, next) = self.old_rows(Family::Documents, (&from, &until), is_old)?;
        sweeper.answers_from = next.unwrap_or(first);
        self.report.answers += self.delete(Family::Documents, old, cutoff, None)?;
        Ok(())
    }

    fn expire_dead(&mut self, sweeper: &Sweeper) -> Result<(), SweepError> {
        let cutoff = self.cutoff(sweeper.retention.dead_letters_ms);
        let until = cutoff.0.to_be_bytes();
        let (old, _) = self.old_rows(Family::Dead, (&[], &until), |_, _| Ok(true))?;
        let record = AuditRecord {
            at: self.now.max(self.store.health().latest_at),
            incident: None,
            actor: "store".to_owned(),
            kind: "retired".to_owned(),
            subject: "dead letters".to_owned(),
            rule: None,
            detail: serde_json::Value::Null,
        };
        self.report.dead_letters += self.delete(Family::Dead, old, cutoff, Some(record))?;
        Ok(())
    }

    /// Keys of old rows among the next ones of `from..until`, and where to go on; `None`: at the beginning.
    #[allow(clippy::type_complexity, reason = "two things that are found in one walk")]
    fn old_rows(
        &mut self,
        family: Family,
        (from, until): (&[u8], &[u8]),
        is_old: impl Fn(&[u8], &[u8]) -> Result<bool, JournalError>,
    ) -> Result<(Vec<Vec<u8>>, Option<Vec<u8>>), JournalError> {
        let (mut old, mut next, mut looked_at) = (Vec::new(), None, 0);
        self.store.read(|engine| {
            engine.scan(family, from, until, false, |key, value| {
                if looked_at == ROWS_LOOKED_AT_MAX {
                    next = Some(key.to_vec());
                    return Ok(ControlFlow::Break(()));
                }
                looked_at += 1;
                if is_old(key, value)? {
                    old.push(key.to_vec());
                }
                Ok(ControlFlow::Continue(()))
            })
        })?;
        self.report.more |= next.is_some();
        Ok((old, next))
    }

    fn delete(
        &self,
        family: Family,
        rows: Vec<Vec<u8>>,
        cutoff: TimestampMs,
        record: Option<AuditRecord>,
    ) -> Result<u64, JournalError> {
        let mut deleted = 0;
        for keys in rows.chunks(SLICE_ROWS) {
            let expiry = Expiry { family, keys: keys.to_vec(), cutoff, record: record.clone() };
            deleted += self.store.ask_sweep(Slice::Expire(expiry))?;
        }
        Ok(deleted)
    }
}

fn any_of(engine: &Engine, family: Family, id: &IncidentId) -> Result<bool, JournalError> {
    let (from, until) = keys::of_incident(id);
    let mut found = false;
    engine.scan(family, &from, &until, false, |_, _| {
        found = true;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

type Row = (Family, Vec<u8>);
type Document = (Vec<u8>, Vec<u8>);

/// Everything that is kept of one incident, but for its head; and the monitor's memory that would send alerts to it.
fn rows_of(engine: &Engine, id: &IncidentId) -> Result<(Vec<Row>, Vec<Document>), JournalError> {
    let mut rows = vec![(Family::Incidents, keys::incident(id))];
    let (from, until) = keys::of_incident(id);
    let mut collect = |family, from: &[u8], until: &[u8]| {
        engine.scan(family, from, until, false, |key, _| {
            rows.push((family, key.to_vec()));
            Ok::<_, JournalError>(ControlFlow::Continue(()))
        })
    };
    for family in [Family::Effects, Family::Decided, Family::AuditIx] {
        collect(family, &from, &until)?;
    }
    // `<incident>/…`: '0' is the byte after '/'.
    let snapshots = keys::document(Table::Snapshot, &format!("{id}/"));
    collect(Family::Documents, &snapshots, &keys::document(Table::Snapshot, &format!("{id}0")))?;
    let memory = match Reads(engine).incident(id)? {
        Some(incident) => memory_of(engine, &incident)?,
        None => Vec::new(),
    };
    Ok((rows, memory))
}

fn memory_of(engine: &Engine, incident: &Incident) -> Result<Vec<Document>, JournalError> {
    let mut memory = Vec::new();
    let group = keys::document(Table::Group, &incident.group);
    if let Some(row) = engine.get(Family::Documents, &group)?
        && serde_json::from_slice(&row).is_ok_and(|open: OpenGroup| open.incident == incident.id)
    {
        memory.push((group, row));
    }
    for fingerprint in incident.alerts.keys() {
        let key = keys::document(Table::Episode, fingerprint.as_str());
        if let Some(row) = engine.get(Family::Documents, &key)?
            && serde_json::from_slice(&row).is_ok_and(|episode: Episode| episode.incident == incident.id)
        {
            memory.push((key, row));
        }
    }
    Ok(memory)
}

#[cfg(test)]
mod tests;
