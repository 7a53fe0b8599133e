//! One incident as a file: everything a replay needs, with its share of the audit chain.
//!
//! The lines are those of [`medic_core::replay::export`], which also reads them. Archived incidents are files of this kind.

use medic_core::audit::{ChainHead, ChainedRecord};
use medic_core::replay::Decided;
use medic_core::replay::export::{AuditLine, DecidedLine, Header, Seal};
use medic_core::{Digest, Incident, IncidentId};
use medic_ports::journal::Table;
use medic_ports::{Journal, JournalError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use thiserror::Error;

/// Rows of one read.
const PAGE: usize = 256;
/// Looks at an incident that goes on meanwhile. 10: each takes milliseconds, a revision takes longer.
const LOOKS_MAX: u32 = 10;

#[derive(Debug, Error)]
pub enum IncidentExportError {
    #[error("there is no incident {0}")]
    Missing(IncidentId),
    #[error("incident {0} changed at every look: try again")]
    Moving(IncidentId),
    #[error("cannot read the store: {0}")]
    Journal(#[from] JournalError),
    #[error("policy {0} cannot be read")]
    Policy(Digest),
    #[error("cannot write the export")]
    Io(#[from] io::Error),
}

impl IncidentExportError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "NO_SUCH_INCIDENT",
            Self::Moving(_) => "EXPORT_INCIDENT_MOVING",
            Self::Journal(error) => error.code(),
            Self::Policy(_) => "EXPORT_POLICY",
            Self::Io(_) => "EXPORT_IO",
        }
    }
}

/// What an export holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct IncidentExport {
    pub revision: u64,
    pub decided: u64,
    pub records: u64,
}

/// Writes one incident as of now. Through the port: the same of a running store and of one that is only looked at.
///
/// # Errors
/// [`IncidentExportError`]; what was written until then has no last line and is no whole export.
pub fn export_incident(
    journal: &dyn Journal,
    id: &IncidentId,
    to: &mut dyn Write,
) -> Result<IncidentExport, IncidentExportError> {
    let cut = cut(journal, id)?;
    let mut policies = BTreeMap::new();
    for decision in cut.decided.iter().flat_map(|(_, decided)| &decided.decisions) {
        let digest = &decision.policy;
        // One that was never kept is left out: the replay says so, and the rest is still worth having.
        if !policies.contains_key(digest)
            && let Some(text) = journal.document(Table::Policy, digest.as_str())?
        {
            let text = String::from_utf8(text).map_err(|_| IncidentExportError::Policy(digest.clone()))?;
            policies.insert(digest.clone(), text);
        }
    }
    let report = IncidentExport {
        revision: cut.incident.revision,
        decided: cut.decided.len() as u64,
        records: cut.records.len() as u64,
    };
    let mut seal = Seal::default();
    let mut put = |line: serde_json::Result<String>| to.write_all(line.map_err(io::Error::from)?.as_bytes());
    put(seal.line(&Header::new(id.clone(), policies, cut.chain_head)))?;
    for (commit, decided) in cut.decided {
        put(seal.line(&DecidedLine { commit, decided }))?;
    }
    for audit in cut.records {
        let before = hash_before(journal, audit.seq)?;
        put(seal.line(&AuditLine { audit, before }))?;
    }
    put(seal.close(&cut.incident))?;
    to.flush()?;
    Ok(report)
}

/// One moment of an incident.
struct Cut {
    incident: Incident,
    decided: Vec<(u64, Decided)>,
    records: Vec<ChainedRecord>,
    chain_head: ChainHead,
}

/// Rows up to one commit, and the state that they lead to. Writers may be at work: a state that is ahead of the rows is
/// looked at again.
fn cut(journal: &dyn Journal, id: &IncidentId) -> Result<Cut, IncidentExportError> {
    let missing = || IncidentExportError::Missing(id.clone());
    let first = journal.incident(id)?.ok_or_else(missing)?.revision;
    let mut looks = 0;
    loop {
        looks += 1;
        let health = journal.health();
        let (commit_seq, chain_head) = (health.commit_seq, health.audit_head);
        let page = |from| journal.decided(id, from, PAGE);
        let decided = all(commit_seq, page, |(commit, _)| *commit)?;
        let page = |from| journal.audit_of(id, from, PAGE);
        let records = all(chain_head.seq, page, |record: &ChainedRecord| record.seq)?;
        let incident = journal.incident(id)?.ok_or_else(missing)?;
        let leads_here = match decided.last() {
            Some((_, last)) => last.state == Digest::of(&incident),
            // Of an older build, which kept no decisions.
            None => incident.revision == first,
        };
        // One that never moved and still does not match is written as it is: the replay will say what is wrong with it.
        if leads_here || (looks == LOOKS_MAX && incident.revision == first) {
            return Ok(Cut { incident, decided, records, chain_head });
        }
        if looks == LOOKS_MAX {
            return Err(IncidentExportError::Moving(id.clone()));
        }
    }
}

/// Every row up to `last`, page by page; `place` is what the next page begins behind.
fn all<T>(
    last: u64,
    page: impl Fn(u64) -> Result<Vec<T>, JournalError>,
    place: impl Fn(&T) -> u64,
) -> Result<Vec<T>, JournalError> {
    let (mut rows, mut from) = (Vec::new(), 0);
    loop {
        let mut next = page(from)?;
        let Some(reached) = next.last().map(&place) else { return Ok(rows) };
        next.retain(|row| place(row) <= last);
        rows.append(&mut next);
        if reached >= last {
            return Ok(rows);
        }
        from = reached + 1;
    }
}

fn hash_before(journal: &dyn Journal, seq: u64) -> Result<Digest, JournalError> {
    match seq {
        0 | 1 => Ok(ChainHead::genesis().hash),
        seq => {
            let before = journal.audit(seq - 1, 1)?.pop().filter(|record| record.seq == seq - 1);
            let missing = || JournalError::Corrupt(format!("audit record {} is missing", seq - 1));
            before.map(|record| record.hash).ok_or_else(missing)
        }
    }
}
