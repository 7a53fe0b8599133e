//! RocksDB behind a handful of verbs. The only file that names it.
//!
//! Every iterator is bounded above and short-lived; every write is one synced batch. Never retries: an error of a write
//! means that its outcome is unknown.

use crate::error::OpenError;
use medic_ports::JournalError;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    ErrorKind, FlushOptions, LogLevel, Options, ReadOptions, WriteBatch, WriteOptions,
};
use std::ops::ControlFlow;
use std::path::Path;

/// Column families, by access pattern. A name is never used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Meta,
    Inbox,
    Incidents,
    IncidentHeads,
    IncidentPhases,
    Documents,
    Effects,
    EffectsOpen,
    Timers,
    TimerIx,
    Dedup,
    Dead,
    Audit,
    AuditIx,
    Decided,
}

impl Family {
    pub const ALL: [Self; 15] = [
        Self::Meta,
        Self::Inbox,
        Self::Incidents,
        Self::IncidentHeads,
        Self::IncidentPhases,
        Self::Documents,
        Self::Effects,
        Self::EffectsOpen,
        Self::Timers,
        Self::TimerIx,
        Self::Dedup,
        Self::Dead,
        Self::Audit,
        Self::AuditIx,
        Self::Decided,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Inbox => "inbox",
            Self::Incidents => "incidents",
            Self::IncidentHeads => "incident_heads",
            Self::IncidentPhases => "incident_phases",
            Self::Documents => "documents",
            Self::Effects => "effects",
            Self::EffectsOpen => "effects_open",
            Self::Timers => "timers",
            Self::TimerIx => "timer_ix",
            Self::Dedup => "dedup",
            Self::Dead => "dead",
            Self::Audit => "audit",
            Self::AuditIx => "audit_ix",
            Self::Decided => "decided",
        }
    }

    /// Each letter, effect and timer is looked for before it is written, and is seldom there.
    fn is_asked_for_the_unknown(self) -> bool {
        matches!(self, Self::Dedup | Self::Effects | Self::TimerIx | Self::IncidentHeads)
    }

    /// Rows that are written and soon deleted: compacted early, so that scans do not wade through tombstones.
    fn is_queue(self) -> bool {
        matches!(self, Self::Inbox | Self::Timers | Self::TimerIx | Self::IncidentPhases | Self::EffectsOpen)
    }
}

/// Share of a memtable given to a filter of its keys, where most of what is asked for is not there.
const MEMTABLE_FILTER_RATIO: f64 = 0.05;
/// The log is cut when it reaches this, which bounds replay at start: some 0.35 s, at 0.8 s per 150 MB.
const WAL_BYTES_MAX: u64 = 64 << 20;
/// Memtables of all families together.
const MEMTABLE_BYTES_MAX: usize = 64 << 20;
const MEMTABLE_BYTES: usize = 16 << 20;
/// Compaction of a queue's file starts when 100 of 1,000 neighbouring entries, or a quarter of all, are tombstones.
const TOMBSTONE_WINDOW: usize = 1_000;
const TOMBSTONE_TRIGGER: usize = 100;
const TOMBSTONE_RATIO: f64 = 0.25;

/// Above every key: no key begins with eight 0xFF and goes on with another.
pub(crate) const END: &[u8] = &[0xff; 16];

pub(crate) struct Engine {
    db: DB,
    read_only: bool,
}

impl Engine {
    /// # Errors
    /// [`OpenError::Engine`], also for a flipped bit anywhere in the log; [`OpenError::NewerSchema`] when it holds tables
    /// that this build does not know.
    pub fn open(dir: &Path, block_cache_bytes: usize, read_only: bool) -> Result<Self, OpenError> {
        let failed =
            |error: rocksdb::Error| OpenError::Engine { dir: dir.to_owned(), reason: error.into_string() };
        let options = database_options().map_err(failed)?;
        let mut found = Vec::new();
        if dir.join("CURRENT").exists() {
            found = DB::list_cf(&options, dir).map_err(failed)?;
            let known =
                |name: &String| name == "default" || Family::ALL.iter().any(|family| family.name() == name);
            if let Some(unknown) = found.iter().find(|name| !known(name)) {
                return Err(OpenError::Inconsistent {
                    dir: dir.to_owned(),
                    detail: format!("it holds a table `{unknown}` that this build does not know"),
                });
            }
        }
        let cache = Cache::new_lru_cache(block_cache_bytes);
        let mut families = Vec::with_capacity(Family::ALL.len());
        // A store of an older schema lacks some; only looked at, it goes without them.
        for family in Family::ALL.into_iter().filter(|it| !read_only || found.iter().any(|f| f == it.name()))
        {
            let options = family_options(family, &cache).map_err(failed)?;
            families.push(ColumnFamilyDescriptor::new(family.name(), options));
        }
        let db = if read_only {
            DB::open_cf_descriptors_read_only(&options, dir, families, false)
        } else {
            DB::open_cf_descriptors(&options, dir, families)
        };
        Ok(Self { db: db.map_err(failed)?, read_only })
    }

    /// Whether a family can be read as empty: it is not there, and nothing will make it.
    fn lacks(&self, family: Family) -> bool {
        self.read_only && self.db.cf_handle(family.name()).is_none()
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily, JournalError> {
        self.db
            .cf_handle(family.name())
            .ok_or_else(|| JournalError::Corrupt(format!("the table `{}` is missing", family.name())))
    }

    pub fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError> {
        if self.lacks(family) {
            return Ok(None);
        }
        self.db.get_cf(self.family(family)?, key).map_err(|error| read_error(family, error))
    }

    /// Visits rows of `from..until` in order (in reverse order when `backwards`) until told to break.
    pub fn scan(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        backwards: bool,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, JournalError>,
    ) -> Result<(), JournalError> {
        if self.lacks(family) {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(until);
        options.set_verify_checksums(true);
        let mut rows = self.db.raw_iterator_cf_opt(self.family(family)?, options);
        if backwards {
            rows.seek_to_last();
        } else {
            rows.seek_to_first();
        }
        while let Some((key, value)) = rows.item() {
            if visit(key, value)?.is_break() {
                return Ok(());
            }
            if backwards {
                rows.prev();
            } else {
                rows.next();
            }
        }
        rows.status().map_err(|error| read_error(family, error))
    }

    pub fn stage(&self) -> Staging<'_> {
        Staging { engine: self, batch: WriteBatch::default() }
    }

    /// Writes the memtables out, so that the next opening has no log to replay.
    pub fn flush(&self) -> Result<(), JournalError> {
        let mut families = Vec::with_capacity(Family::ALL.len());
        for family in Family::ALL {
            families.push(self.family(family)?);
        }
        self.db
            .flush_cfs_opt(&families, &FlushOptions::default())
            .map_err(|error| JournalError::Storage(error.into_string()))
    }

    /// Copies the database as of now into `to`, which must not exist. Files are hard-linked where they can be.
    pub fn checkpoint(&self, to: &Path) -> Result<(), String> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(to))
            .map_err(rocksdb::Error::into_string)
    }
}

/// Rows on their way into one batch.
pub(crate) struct Staging<'e> {
    engine: &'e Engine,
    batch: WriteBatch,
}

impl<'e> Staging<'e> {
    pub fn put(&mut self, family: Family, key: &[u8], value: &[u8]) -> Result<(), JournalError> {
        self.batch.put_cf(self.engine.family(family)?, key, value);
        Ok(())
    }

    pub fn delete(&mut self, family: Family, key: &[u8]) -> Result<(), JournalError> {
        self.batch.delete_cf(self.engine.family(family)?, key);
        Ok(())
    }

    /// Rows staged so far.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// All rows or none, on disk when this returns `Ok`.
    ///
    /// # Errors
    /// [`JournalError::Storage`]: whether it was written is unknown.
    pub fn write(self) -> Result<(), JournalError> {
        self.try_write().map_err(Unwritten::into_error)
    }

    /// As [`Self::write`]; after a full disk the same rows can be tried again. Rows are absolute, so that writing them
    /// twice is writing them once, whatever became of the first attempt.
    pub fn try_write(self) -> Result<(), Unwritten<'e>> {
        let Self { engine, batch } = self;
        let rows = batch.data().to_vec();
        let mut options = WriteOptions::default();
        options.set_sync(true);
        match engine.db.write_opt(batch, &options) {
            Ok(()) => Ok(()),
            Err(error) => {
                let reason = error.into_string();
                if is_full(&reason) {
                    let again = Staging { engine, batch: WriteBatch::from_data(&rows) };
                    Err(Unwritten::Full { again, reason })
                } else {
                    Err(Unwritten::Unknown(reason))
                }
            }
        }
    }
}

/// Why a batch was not acknowledged by the disk.
pub(crate) enum Unwritten<'e> {
    /// There is no room. The engine goes on by itself some seconds after there is.
    Full { again: Staging<'e>, reason: String },
    /// Whether it is on disk is unknown, and nothing later can be trusted before a restart has read what is there.
    Unknown(String),
}

impl Unwritten<'_> {
    pub fn into_error(self) -> JournalError {
        match self {
            Self::Full { reason, .. } | Self::Unknown(reason) => JournalError::Storage(reason),
        }
    }
}

/// The engine tells a full disk, and a quota used up, by text alone.
pub(crate) fn is_full(reason: &str) -> bool {
    ["No space left", "Disk quota exceeded"].iter().any(|text| reason.contains(text))
}

fn read_error(family: Family, error: rocksdb::Error) -> JournalError {
    let text = format!("cannot read `{}`: {error}", family.name());
    match error.kind() {
        ErrorKind::Corruption => JournalError::Corrupt(text),
        _ => JournalError::Storage(text),
    }
}

fn database_options() -> Result<Options, rocksdb::Error> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A torn tail (a write that was never acknowledged) opens; a flipped bit refuses. The engine's default would open
    // and silently drop every acknowledged batch behind the bit.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // A recycled log file would make old records look like a corrupt tail.
    options.set_recycle_log_file_num(0);
    options.set_paranoid_checks(true);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_db_write_buffer_size(MEMTABLE_BYTES_MAX);
    options.set_max_background_jobs(2);
    options.set_max_open_files(512);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(4);
    options.set_stats_dump_period_sec(0);
    Ok(options)
}

fn family_options(family: Family, cache: &Cache) -> Result<Options, rocksdb::Error> {
    // Checksums travel with each key in memory: a flipped bit there is found before it reaches the disk.
    let mut options = Options::default()
        .get_options_from_string("memtable_protection_bytes_per_key=8;block_protection_bytes_per_key=8")?;
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_bloom_filter(10.0, false);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    if family.is_asked_for_the_unknown() {
        options.set_memtable_prefix_bloom_ratio(MEMTABLE_FILTER_RATIO);
        options.set_memtable_whole_key_filtering(true);
    }
    if family.is_queue() {
        options.add_compact_on_deletion_collector_factory(
            TOMBSTONE_WINDOW,
            TOMBSTONE_TRIGGER,
            TOMBSTONE_RATIO,
        );
    }
    Ok(options)
}
