//! The incident's audit records, held against an export of the whole chain.
//!
//! An incident's file shows its own records only; whether they are all there, and the ones that were chained, only the
//! chain tells. The chain is recomputed on the way; who wants it held against anchors too has `medic audit verify`.

use crate::failure::Failure;
use medic_core::audit::{ChainHead, ChainVerifier, ChainedRecord};
use medic_core::replay::export::Export;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

const CODE: &str = "REPLAY_AUDIT";

#[derive(Deserialize)]
struct Header {
    medic_audit: u32,
    head: ChainHead,
}

/// # Errors
/// `REPLAY_AUDIT` when the chain is not sound, is older than the incident's file, or holds other records of it.
pub fn hold(export: &Export, audit: &Path) -> Result<(), Failure> {
    let opened = File::open(audit)
        .map_err(|error| Failure::new("IO", format!("cannot read {}: {error}", audit.display())))?;
    held(export, BufReader::new(opened))
}

fn held(export: &Export, audit: impl BufRead) -> Result<(), Failure> {
    let wrong = |why: String| Failure::new(CODE, why);
    let mut lines = audit.lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let header: Header = serde_json::from_str(&first)
        .ok()
        .filter(|header: &Header| header.medic_audit == 1)
        .ok_or_else(|| wrong("the file given with --audit is no export of an audit log".to_owned()))?;
    let until = export.header.chain_head.seq;
    if header.head.seq < until {
        return Err(wrong(format!(
            "the audit log ends at record {}, the incident's file is of {until}",
            header.head.seq
        )));
    }
    let mut verifier = ChainVerifier::default();
    let mut ours = export.audit.iter();
    for line in lines {
        let record: ChainedRecord =
            serde_json::from_str(&line?).map_err(|error| wrong(format!("a line is no record: {error}")))?;
        verifier.push(&record).map_err(|fault| wrong(fault.to_string()))?;
        let seq = record.seq;
        let at_cut = seq == until && record.hash != export.header.chain_head.hash;
        if at_cut {
            return Err(wrong(format!("record {seq} is not the one at which the incident's file was cut")));
        }
        if seq <= until
            && record.record.incident.as_ref() == Some(&export.header.incident)
            && ours.next().map(|line| &line.audit) != Some(&record)
        {
            return Err(wrong(format!(
                "record {seq} of the chain is missing from the incident's file, or another"
            )));
        }
    }
    verifier.finish(Some(&header.head)).map_err(|fault| wrong(fault.to_string()))?;
    match ours.next() {
        None => Ok(()),
        Some(line) => {
            Err(wrong(format!("record {} of the incident's file is not in the chain", line.audit.seq)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::tests::exported;
    use medic_core::audit::AuditRecord;

    /// The chain of the sample incident, with a record of somebody else behind it.
    fn chain(export: &Export) -> Vec<ChainedRecord> {
        let mut chain: Vec<ChainedRecord> = export.audit.iter().map(|line| line.audit.clone()).collect();
        let last = chain.last().unwrap();
        let head = ChainHead { seq: last.seq, hash: last.hash.clone() };
        let later = AuditRecord { incident: None, ..last.record.clone() };
        chain.push(head.append(later).0);
        chain
    }

    fn text(chain: &[ChainedRecord]) -> String {
        let last = chain.last().unwrap();
        let header = serde_json::json!({
            "medic_audit": 1, "count": last.seq, "head": { "seq": last.seq, "hash": last.hash }
        });
        let lines = chain.iter().map(|record| serde_json::to_string(record).unwrap() + "\n");
        format!("{header}\n{}", lines.collect::<String>())
    }

    fn verdict(export: &Export, audit: &str) -> Result<(), String> {
        held(export, audit.as_bytes()).map_err(|failure| failure.message)
    }

    #[test]
    fn a_file_that_holds_other_records_than_the_chain_is_found_even_when_it_replays() {
        let (sealed, _) = exported();
        let export = Export::read(&sealed).unwrap();
        let chain = chain(&export);
        assert_eq!(verdict(&export, &text(&chain)), Ok(()));

        // Cut out together with its trace: what is left is sound in itself.
        let mut fewer = export.clone();
        fewer.audit.pop();
        assert!(verdict(&fewer, &text(&chain)).unwrap_err().contains("is missing"));
        let mut more = export.clone();
        more.audit.push(more.audit[0].clone());
        assert!(verdict(&more, &text(&chain)).unwrap_err().contains("is not in the chain"));
        let mut other = export.clone();
        other.audit[0].audit.record.actor = "token:mallory".into();
        assert!(verdict(&other, &text(&chain)).unwrap_err().contains("or another"));

        assert!(verdict(&export, &text(&chain[..2])).unwrap_err().contains("ends at record 2"));
        let mut forged = chain.clone();
        forged[1].record.subject = "forged".into();
        assert!(verdict(&export, &text(&forged)).is_err());
        assert!(verdict(&export, "{}").is_err());
    }
}
