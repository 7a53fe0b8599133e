//! A backup put in a store's place.

use crate::check::{CheckReport, check};
use crate::engine::Family;
use crate::error::OpenError;
use crate::open::{database_dir, lock_dir};
use crate::witness::{Witness, Witnessed};
use medic_core::audit::ChainHead;
use serde::Serialize;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum RestoreError {
    #[error("the backup cannot be looked at")]
    Backup { source: OpenError },
    #[error("{backup} is damaged: {first}, and {more} more")]
    Damaged { backup: PathBuf, first: String, more: usize },
    #[error("{to} is not empty: a store is never written over")]
    NotEmpty { to: PathBuf },
    #[error("cannot use {path}")]
    Io { path: PathBuf, source: io::Error },
    #[error("the copy cannot be looked at")]
    Copy { source: OpenError },
    #[error("the copy in {to} is not what the backup is")]
    Differs { to: PathBuf },
}

impl RestoreError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Backup { source } | Self::Copy { source } => source.code(),
            Self::Damaged { .. } => "RESTORE_BACKUP_DAMAGED",
            Self::NotEmpty { .. } => "RESTORE_NOT_EMPTY",
            Self::Io { .. } => "RESTORE_IO",
            Self::Differs { .. } => "RESTORE_COPY_DIFFERS",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    pub commit_seq: u64,
    pub audit_head: ChainHead,
    /// The epoch that the first opening will have.
    pub next_epoch: u64,
    /// Effects that the first opening will make unknown: the world went on since the backup.
    pub open_effects: u64,
    pub files: u64,
    pub bytes: u64,
}

/// Puts the backup in `backup` into `to`, which must be empty or not there. The backup is looked through before, the copy
/// after; the first opening counts on the epoch, says so in the audit chain and makes every effect that was open unknown.
///
/// # Errors
/// [`RestoreError`]; a copy that was not finished has no witness and is refused at opening.
pub fn restore(backup: &Path, to: &Path) -> Result<RestoreReport, RestoreError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Io { path, source }
    };
    let report = check(backup).map_err(|source| RestoreError::Backup { source })?;
    sound(backup, &report)?;
    fs::create_dir_all(to).map_err(io(to))?;
    // Nobody opens it while it is being filled.
    let lock = lock_dir(to).map_err(|source| RestoreError::Copy { source })?;
    let strangers = fs::read_dir(to)
        .map_err(io(to))?
        .filter(|entry| entry.as_ref().map_or(true, |entry| entry.file_name() != "LOCK"));
    if strangers.count() > 0 {
        return Err(RestoreError::NotEmpty { to: to.to_owned() });
    }
    let mut copied = Copied::default();
    copied.dir(&database_dir(backup), &database_dir(to))?;
    let witnessed =
        Witnessed { commit_seq: report.commit_seq, audit: report.audit_head.clone(), copied: true };
    // Last, and synced with the directory: until now the copy is refused.
    Witness::create(to, witnessed).map_err(io(to))?;
    if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(io(parent))?;
    }
    drop(lock);
    let after = check(to).map_err(|source| RestoreError::Copy { source })?;
    sound(to, &after)?;
    if (after.commit_seq, &after.audit_head, &after.rows)
        != (report.commit_seq, &report.audit_head, &report.rows)
    {
        return Err(RestoreError::Differs { to: to.to_owned() });
    }
    Ok(RestoreReport {
        commit_seq: report.commit_seq,
        audit_head: report.audit_head,
        next_epoch: report.boot_epoch + 1,
        open_effects: report.rows.get(Family::EffectsOpen.name()).copied().unwrap_or(0),
        files: copied.files,
        bytes: copied.bytes,
    })
}

fn sound(dir: &Path, report: &CheckReport) -> Result<(), RestoreError> {
    match report.faults.split_first() {
        None => Ok(()),
        Some((first, rest)) => Err(RestoreError::Damaged {
            backup: dir.to_owned(),
            first: format!("{}: {}", first.code, first.detail),
            more: rest.len(),
        }),
    }
}

#[derive(Default)]
struct Copied {
    files: u64,
    bytes: u64,
}

impl Copied {
    /// Copies a directory of plain files, each synced, and then the directory's own entries.
    fn dir(&mut self, from: &Path, to: &Path) -> Result<(), RestoreError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RestoreError::Io { path, source }
        };
        fs::create_dir(to).map_err(failed(to))?;
        for entry in fs::read_dir(from).map_err(failed(from))? {
            let entry = entry.map_err(failed(from))?;
            // The engine's own lock is of the process that had it.
            if entry.file_name() == "LOCK" {
                continue;
            }
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            self.bytes += fs::copy(&source, &target).map_err(failed(&source))?;
            File::open(&target).and_then(|file| file.sync_all()).map_err(failed(&target))?;
            self.files += 1;
        }
        File::open(to).and_then(|dir| dir.sync_all()).map_err(failed(to))
    }
}
