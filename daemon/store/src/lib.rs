//! RocksDB journal, mailboxes, timers, effects and audit chain.
//!
//! Owns the disk: how a batch becomes bytes, when it is durable, and what is refused at start. Everything in a batch is
//! one synced write; what is acknowledged is on disk. Never decides what an incident does next, never performs an
//! effect, never repairs silently: storage that is damaged, rolled back or newer is refused with a code.
//!
//! A write goes down through the files in this order: [`Store`] encodes it (`prepare`) on the caller's task, the one
//! thread of `committer` judges it against `mailboxes` and the database and merges it with what else waits, `engine`
//! syncs, `shared` tells. `reads` answers questions. `witness` keeps the head outside the database; `open` and [`check`]
//! hold the two against each other. `keys` and [`records`] are the format, byte by byte; `migrate` brings an older one up.
//!
//! Beside that path: `keeper` looks after the witness, the free space, the `ballast` and the anchors; `retention` lets go
//! what is over; [`export`], [`incident_export`] and [`anchor`] are what leaves the store, and how it is believed; [`Reader`]
//! is a store that is only looked at, [`restore`] puts a copy in its place.
//!
//! # When the disk does not do as it should
//!
//! *Full* (`No space left`, or a quota): whether the refused batch is on disk is unknown until its very rows were written
//! again, and rows are absolute, so the committer tries those rows until they are in; nobody is answered and nothing else
//! is written before. Intake from outside is refused meanwhile, the ballast is given up, reading goes on, and the engine
//! resumes some seconds after there is room. Nothing needs a restart. *Anything else* (an I/O error): nothing is written
//! any more; what the last batch came to is unknown until a restart has read it. *Slow*: health says so.

pub mod anchor;
mod ballast;
mod check;
mod committer;
mod config;
mod engine;
mod error;
pub mod export;
pub mod incident_export;
mod inspect;
mod keeper;
mod keys;
mod mailboxes;
mod migrate;
mod open;
mod pace;
mod prepare;
mod reader;
mod reads;
pub mod records;
mod restore;
mod retention;
mod shared;
mod store;
mod witness;

pub use anchor::{Anchor, AnchorError};
pub use check::{CheckReport, Fault, check};
pub use config::{RetentionConfig, StoreConfig};
pub use error::{BackupError, OpenError};
pub use export::{ExportError, export_audit, verify_export, verify_export_against, verify_export_with};
pub use incident_export::{IncidentExport, IncidentExportError, export_incident};
pub use reader::Reader;
pub use restore::{RestoreError, RestoreReport, restore};
pub use retention::{SweepError, SweepReport};
pub use store::Store;
