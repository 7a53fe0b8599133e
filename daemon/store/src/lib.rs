//! RocksDB journal, mailboxes, timers, effects and audit chain.
//!
//! Owns the disk: how a batch becomes bytes, when it is durable, and what is refused at start. Everything in a batch is
//! one synced write; what is acknowledged is on disk. Never decides what an incident does next, never performs an
//! effect, never repairs silently: storage that is damaged, rolled back or newer is refused with a code.
//!
//! A write goes down through the files in this order: [`Store`] encodes it (`prepare`) on the caller's task, the one
//! thread of `committer` judges it against `mailboxes` and the database and merges it with what else waits, `engine`
//! syncs, `shared` tells. `witness` keeps the head outside the database; `open` and `check` hold the two against each
//! other. `keys` and [`records`] are the format, byte by byte. `export` is the audit log outside the database.

mod check;
mod committer;
mod config;
mod engine;
mod error;
pub mod export;
mod inspect;
mod keeper;
mod keys;
mod mailboxes;
mod open;
mod prepare;
pub mod records;
mod shared;
mod store;
mod witness;

pub use check::{CheckReport, Fault, check};
pub use config::StoreConfig;
pub use error::{BackupError, OpenError};
pub use export::{ExportError, export_audit, verify_export, verify_export_against};
pub use store::Store;
