//! Every decision is made again from what was recorded of it, and must come out as it did.

use crate::laws::Evidence;
use crate::story;
use anyhow::{Context as _, Result};
use medic_core::audit::{ChainHead, ChainedRecord};
use medic_core::replay::{Decided, Replay};
use medic_core::{Digest, Incident, Policy};
use medic_ports::journal::Table;
use std::collections::BTreeMap;

/// Faults found go into `faults`, one an incident.
///
/// # Errors
/// When the journal cannot be read.
pub fn replays(
    evidence: &Evidence<'_>,
    incidents: &[Incident],
    audit: &[ChainedRecord],
    decided: &BTreeMap<String, Vec<(u64, Decided)>>,
    faults: &mut Vec<String>,
) -> Result<()> {
    let own = Digest::of(&story::policy());
    let stored = evidence.journal.document(Table::Policy, own.as_str())?;
    let policy: Option<Policy> = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(policy) = policy else {
        if !incidents.is_empty() {
            faults.push("the policy that was decided by is not kept".to_owned());
        }
        return Ok(());
    };
    for incident in incidents {
        let commits = decided.get(incident.id.as_str()).map(Vec::as_slice).unwrap_or_default();
        if let Err(error) = replay(evidence, incident, audit, commits, &policy, &own) {
            faults.push(format!("{} does not replay: {error:#}", incident.group));
        }
    }
    Ok(())
}

fn replay(
    evidence: &Evidence<'_>,
    incident: &Incident,
    audit: &[ChainedRecord],
    commits: &[(u64, Decided)],
    policy: &Policy,
    digest: &Digest,
) -> Result<()> {
    let mut replay = Replay::of(incident.id.clone(), [(digest.clone(), policy.clone())].into());
    for (commit, decided) in commits {
        replay.feed(*commit, decided)?;
    }
    for record in evidence.journal.audit_of(&incident.id, 0, usize::MAX)? {
        let before = match record.seq.checked_sub(2) {
            None => ChainHead::genesis().hash,
            Some(place) => audit.get(usize::try_from(place)?).context("a gap in the chain")?.hash.clone(),
        };
        replay.chained(&before, &record)?;
    }
    replay.finish(incident, &Digest::of(incident), &evidence.journal.health().audit_head)?;
    Ok(())
}
