//! What is carried away: one incident as a file, the whole store as a copy.

use super::{Operations, Role};
use crate::api::auth::Caller;
use crate::api::problem::{Problem, ProblemKind};
use bytes::Bytes;
use medic_core::audit::{AuditRecord, ChainHead};
use medic_core::{IncidentId, Principal};
use medic_ports::journal::Batch;
use std::io::{self, Write};
use std::path::{Component, Path};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Bytes of one piece of an export.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that may wait for a slow reader; the writer waits with the next.
const PIECES_MAX: usize = 4;
/// Bytes of a path.
const PATH_BYTES_MAX: usize = 4_096;

/// An incident's file, as it is written.
pub type Exported = ReceiverStream<Result<Bytes, Problem>>;

/// Where a copy lies, and what it holds at least.
#[derive(Clone, Debug)]
pub struct StoreCopied {
    pub to: String,
    pub commit_seq: u64,
    pub audit_head: ChainHead,
}

impl Operations {
    /// Everything that was decided on one incident, in the form that replays.
    ///
    /// # Errors
    /// Before the first piece; one that comes later is the stream's last item.
    pub fn export_incident(&self, caller: &Caller, id: &IncidentId) -> Result<Exported, Problem> {
        self.get(caller, id)?;
        let (journal, id) = (self.desk.ports().journal.clone(), id.clone());
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        // Reads thousands of rows: off the runtime's threads. It ends with its reader.
        tokio::task::spawn_blocking(move || {
            let mut out = Pieces { sender: sender.clone(), piece: Vec::with_capacity(PIECE_BYTES) };
            let written = medic_store::export_incident(journal.as_ref(), &id, &mut out);
            let problem = match written {
                Ok(_) => out.flush().err().map(|error| error.to_string()).map(|why| ("EXPORT_IO", why)),
                Err(error) => Some((error.code(), error.to_string())),
            };
            if let Some((code, why)) = problem {
                // A reader that has gone needs no reason.
                let _ = sender.blocking_send(Err(Problem::new(ProblemKind::Unavailable, code, why)));
            }
        });
        Ok(ReceiverStream::new(receiver))
    }

    /// Copies the store into `to`, a new directory on this machine, and says so in the audit log before it begins.
    pub async fn backup(&self, caller: &Caller, to: &str) -> Result<StoreCopied, Problem> {
        caller.needs(Role::Admin)?;
        let custodian = self.custodian.as_ref().ok_or_else(|| {
            Problem::new(ProblemKind::Conflict, "BACKUP_UNAVAILABLE", "this daemon keeps no store on disk")
        })?;
        let path = place(to)?;
        // Asked once more by the store itself; here so that a word that comes to nothing leaves no record.
        if path.exists() {
            let message = format!("{} exists already", path.display());
            return Err(Problem::invalid("BACKUP_EXISTS", message).at("to"));
        }
        let journal = &self.desk.ports().journal;
        let audit = vec![self.record(&caller.principal, to)];
        journal.commit(Batch { audit, ..Batch::default() }).await?;
        // What the copy holds at least: it is begun after this.
        let stands = journal.health();
        custodian.backup(path.to_owned()).await?;
        Ok(StoreCopied { to: to.to_owned(), commit_seq: stands.commit_seq, audit_head: stands.audit_head })
    }

    fn record(&self, by: &Principal, to: &str) -> AuditRecord {
        AuditRecord {
            at: self.now(),
            incident: None,
            actor: by.to_string(),
            kind: "operator".to_owned(),
            subject: "store backup".to_owned(),
            rule: None,
            detail: serde_json::json!({ "to": to }),
        }
    }
}

/// # Errors
/// `INVALID_PATH` unless it is absolute and means the same place to everybody.
fn place(to: &str) -> Result<&Path, Problem> {
    let path = Path::new(to);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let sound = path.is_absolute() && plain && to.len() <= PATH_BYTES_MAX && !to.contains(char::is_control);
    if sound && path.file_name().is_some() {
        return Ok(path);
    }
    let message = "a backup goes to an absolute path on the daemon's machine, without `.` and `..`";
    Err(Problem::invalid("INVALID_PATH", message).at("to"))
}

/// Sends what is written to it, piece by piece.
struct Pieces {
    sender: mpsc::Sender<Result<Bytes, Problem>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(data);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES)));
        let sent = self.sender.blocking_send(Ok(piece));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader has gone"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_goes_to_one_place_that_everybody_would_find() {
        assert!(place("/backup/monday").is_ok());
        for wrong in ["", "monday", "./monday", "/backup/../etc", "/", "/backup/a\nb", "~/monday"] {
            assert_eq!(place(wrong).unwrap_err().code, "INVALID_PATH", "{wrong:?}");
        }
    }

    #[test]
    fn pieces_are_whole_and_a_gone_reader_ends_the_writing() {
        let (sender, mut receiver) = mpsc::channel(PIECES_MAX);
        let mut out = Pieces { sender, piece: Vec::new() };
        out.write_all(&vec![7; PIECE_BYTES]).unwrap();
        out.write_all(b"rest").unwrap();
        out.flush().unwrap();
        assert_eq!(receiver.blocking_recv().unwrap().unwrap().len(), PIECE_BYTES);
        assert_eq!(receiver.blocking_recv().unwrap().unwrap(), "rest");
        drop(receiver);
        assert_eq!(out.write_all(&vec![7; PIECE_BYTES]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
