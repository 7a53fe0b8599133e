//! Why a store is not opened, copied or exported. What a running store answers is [`medic_ports::JournalError`].

use crate::anchor::AnchorError;
use crate::records::RecordError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum OpenError {
    #[error("cannot use {path}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{dir} is in use by another process")]
    InUse { dir: PathBuf },
    #[error("there is no store in {dir}")]
    Missing { dir: PathBuf },
    #[error("cannot open the database in {dir}: {reason}")]
    Engine { dir: PathBuf, reason: String },
    #[error("the store in {dir} needs a medicd that reads schema {needs}; this one reads up to {reads}")]
    NewerSchema { dir: PathBuf, needs: u32, reads: u32 },
    #[error(
        "the database in {dir} is older than its head witness: commit {found} on disk, {witnessed} acknowledged. \
         Acknowledged writes are missing (a deleted log, an old copy put back)"
    )]
    RolledBack { dir: PathBuf, found: u64, witnessed: u64 },
    #[error("audit record {seq} in {dir} is not the one its head witness knows: this is another history")]
    OtherHistory { dir: PathBuf, seq: u64 },
    #[error("the head witness of {dir} is missing: it cannot be told whether acknowledged writes are")]
    WitnessMissing { dir: PathBuf },
    #[error("the head witness of {dir} is damaged in both slots")]
    WitnessDamaged { dir: PathBuf },
    #[error("the audit chain in {dir} is broken at record {seq}")]
    AuditBroken { dir: PathBuf, seq: u64 },
    #[error("the store in {dir} contradicts itself: {detail}")]
    Inconsistent { dir: PathBuf, detail: String },
    #[error("anchors cannot be made")]
    Anchor { source: AnchorError },
    #[error("a record in {dir} cannot be read: {source}")]
    Record { dir: PathBuf, source: RecordError },
}

impl OpenError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "STORE_IO",
            Self::InUse { .. } => "STORE_IN_USE",
            Self::Missing { .. } => "STORE_MISSING",
            Self::Engine { .. } => "STORE_CORRUPT",
            Self::NewerSchema { .. } => "STORE_NEWER_SCHEMA",
            Self::RolledBack { .. } => "STORE_ROLLED_BACK",
            Self::OtherHistory { .. } => "STORE_OTHER_HISTORY",
            Self::WitnessMissing { .. } => "STORE_WITNESS_MISSING",
            Self::WitnessDamaged { .. } => "STORE_WITNESS_DAMAGED",
            Self::AuditBroken { .. } => "STORE_AUDIT_BROKEN",
            Self::Inconsistent { .. } => "STORE_INCONSISTENT",
            Self::Anchor { source } => source.code(),
            Self::Record { source, .. } => source.code(),
        }
    }
}

#[derive(Debug, Error)]
pub enum BackupError {
    #[error("{to} exists already")]
    Exists { to: PathBuf },
    #[error("cannot write the backup to {to}: {reason}")]
    Failed { to: PathBuf, reason: String },
    #[error("the store is shutting down")]
    Stopped,
}

impl BackupError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "BACKUP_EXISTS",
            Self::Failed { .. } => "BACKUP_FAILED",
            Self::Stopped => "STORE_STOPPED",
        }
    }
}
