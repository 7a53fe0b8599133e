//! Making recorded decisions again, one after the other.

use super::{Decided, Decision, Outcome};
use crate::audit::{AuditRecord, ChainHead, ChainedRecord};
use crate::{Digest, Effect, EnvelopeId, Incident, IncidentId, Policy, Refusal, Step, TimestampMs, step};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use thiserror::Error;

/// Kinds of audit records that only a decision makes. A record of one of these that no decision made again was put in.
pub const LAW_KINDS: [&str; 12] = [
    "alerts",
    "approval",
    "diagnosis",
    "effect",
    "escalation",
    "late_outcome",
    "outcome",
    "phase",
    "proposal",
    "rejection",
    "request",
    "verification",
];
/// Kind of the record that the shell makes of each refusal.
const REFUSAL_KIND: &str = "refusal";

/// One decision, made again and found to be the recorded one.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub commit: u64,
    pub decision: Decision,
    pub before: Arc<Incident>,
    /// The same as `before` unless the decision advanced the incident.
    pub after: Arc<Incident>,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Advanced { effects: Vec<Effect>, records: Vec<AuditRecord> },
    Unchanged,
    Refused(Refusal),
}

/// What a whole replay came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    pub incident: IncidentId,
    pub decisions: u64,
    /// Of those, the ones that advanced the incident: its revision.
    pub revisions: u64,
    pub refused: u64,
    /// Audit records of the incident, those of the shell included.
    pub audit_records: u64,
    /// Of the incident as it came out.
    pub state: Digest,
}

/// Where the recorded and the law's own answer part.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {what}: recorded {expected}, made again {found}")]
pub struct Divergence {
    pub place: Place,
    /// `outcome`, `effects`, `state` and so on.
    pub what: &'static str,
    /// What the record says.
    pub expected: String,
    /// What came of making it again.
    pub found: String,
}

impl Divergence {
    pub fn code(&self) -> &'static str {
        "REPLAY_DIVERGED"
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Decision { commit: u64, envelope: EnvelopeId, event: &'static str },
    Commit { commit: u64 },
    Audit { seq: u64, kind: String },
    End,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Decision { commit, envelope, event } => {
                write!(f, "commit {commit}, letter {envelope}, {event}")
            }
            Self::Commit { commit } => write!(f, "commit {commit}"),
            Self::Audit { seq, kind } => write!(f, "audit record {seq}, {kind}"),
            Self::End => f.write_str("at the end"),
        }
    }
}

/// One incident from its opening on. Feed it every [`Decided`] in order of their commits, then every audit record of the
/// incident in order of their places in the chain, then [`finish`](Self::finish) it.
#[derive(Debug)]
pub struct Replay {
    incident: Option<Arc<Incident>>,
    /// Known from the start, or from the first decision.
    id: Option<IncidentId>,
    policies: BTreeMap<Digest, Policy>,
    commit: u64,
    letters: BTreeSet<EnvelopeId>,
    /// What the law recorded and the chain has not shown yet.
    recorded: VecDeque<AuditRecord>,
    /// Letters refused, with the code, of which the chain has not shown the record yet.
    refused: VecDeque<(EnvelopeId, &'static str)>,
    audited: ChainHead,
    sum: Sum,
}

#[derive(Debug, Default)]
struct Sum {
    decisions: u64,
    refused: u64,
    audit_records: u64,
}

impl Replay {
    /// `policies`: by the digest under which decisions name them.
    pub fn new(policies: BTreeMap<Digest, Policy>) -> Self {
        Self {
            incident: None,
            id: None,
            policies,
            commit: 0,
            letters: BTreeSet::new(),
            recorded: VecDeque::new(),
            refused: VecDeque::new(),
            audited: ChainHead { seq: 0, ..ChainHead::genesis() },
            sum: Sum::default(),
        }
    }

    /// As [`new`](Self::new), and only decisions on `incident` are taken.
    pub fn of(incident: IncidentId, policies: BTreeMap<Digest, Policy>) -> Self {
        Self { id: Some(incident), ..Self::new(policies) }
    }

    /// As it stands after what was fed; `None` before it was opened.
    pub fn incident(&self) -> Option<&Incident> {
        self.incident.as_deref()
    }

    /// Makes the decisions of one commit again.
    ///
    /// # Errors
    /// The first [`Divergence`]; the replay is of no use after it.
    pub fn feed(&mut self, commit: u64, decided: &Decided) -> Result<Vec<Made>, Divergence> {
        let place = Place::Commit { commit };
        if commit <= self.commit {
            return diverged(place, "order of commits", commit, format!("{} before it", self.commit));
        }
        self.commit = commit;
        if decided.decisions.is_empty() {
            return diverged(place, "decisions", "none", "a commit that decides something");
        }
        let mut made = Vec::with_capacity(decided.decisions.len());
        for decision in &decided.decisions {
            made.push(self.decide(commit, decision)?);
        }
        if let Some(incident) = &self.incident {
            let (phase, state) = (incident.phase.name(), Digest::of(incident.as_ref()));
            same(&place, "phase", decided.phase, phase)?;
            same(&place, "state", &decided.state, &state)?;
        }
        // What no event has filled yet was never stored: the next commit begins with nothing again.
        if self.incident.as_ref().is_some_and(|incident| incident.revision == 0) {
            self.incident = None;
        }
        Ok(made)
    }

    fn decide(&mut self, commit: u64, decision: &Decision) -> Result<Made, Divergence> {
        let event = &decision.event;
        let place = Place::Decision { commit, envelope: decision.envelope.clone(), event: event.kind.name() };
        let id = self.id.get_or_insert_with(|| decision.incident.clone());
        same(&place, "incident", &decision.incident, &*id)?;
        if !self.letters.insert(decision.envelope.clone()) {
            return diverged(place, "letter", "decided on once more", "decided on before");
        }
        let Some(policy) = self.policies.get(&decision.policy) else {
            return diverged(place, "policy", &decision.policy, "no policy of that digest");
        };
        let Some(before) = self.incident.clone().or_else(|| opened(decision).map(Arc::new)) else {
            return diverged(place, "opening", "an incident that exists", "none: what opened it is missing");
        };
        self.sum.decisions += 1;
        let (outcome, after, verdict) = match step(&before, event, policy) {
            Step::Advanced(advance) => {
                let outcome = Outcome::Advanced {
                    revision: advance.next.revision,
                    effects: Digest::of(&advance.effects),
                    records: Digest::of(&advance.records),
                };
                let verdict =
                    Verdict::Advanced { effects: advance.effects, records: advance.records.clone() };
                self.recorded.extend(advance.records);
                (outcome, Arc::new(advance.next), verdict)
            }
            Step::Unchanged => (Outcome::Unchanged, before.clone(), Verdict::Unchanged),
            Step::Refused(refusal) => {
                self.sum.refused += 1;
                self.refused.push_back((decision.envelope.clone(), refusal.code()));
                let outcome = Outcome::Refused { code: refusal.code().to_owned() };
                (outcome, before.clone(), Verdict::Refused(refusal))
            }
        };
        compare(&place, &decision.outcome, &outcome)?;
        self.incident = Some(after.clone());
        Ok(Made { commit, decision: decision.clone(), before, after, verdict })
    }

    /// Holds one of the incident's audit records against its place in the chain and against what the law recorded.
    /// `before`: hash of the record before it in the chain.
    ///
    /// # Errors
    /// The first [`Divergence`].
    pub fn chained(&mut self, before: &Digest, chained: &ChainedRecord) -> Result<(), Divergence> {
        let record = &chained.record;
        let place = Place::Audit { seq: chained.seq, kind: record.kind.clone() };
        if chained.seq <= self.audited.seq {
            let found = format!("{} before it", self.audited.seq);
            return diverged(place, "order of the chain", chained.seq, found);
        }
        same(&place, "incident", text(record.incident.as_ref()), text(self.id.as_ref()))?;
        if chained.seq == self.audited.seq + 1 {
            same(&place, "hash before it", before, &self.audited.hash)?;
        }
        let head = ChainHead { seq: chained.seq - 1, hash: before.clone() };
        let (_, head) = head.append(record.clone());
        same(&place, "hash", &chained.hash, &head.hash)?;
        self.audited = head;
        self.sum.audit_records += 1;
        if LAW_KINDS.contains(&record.kind.as_str()) {
            match self.recorded.pop_front() {
                Some(made) if made == *record => {}
                made => {
                    let made = made.map_or_else(|| "none".to_owned(), |made| shown(&made));
                    return diverged(place, "record", shown(record), made);
                }
            }
        } else if record.kind == REFUSAL_KIND
            && self.refused.front().is_some_and(|(envelope, code)| refuses(record, envelope, code))
        {
            self.refused.pop_front();
        }
        Ok(())
    }

    /// `state`, `digest`: the incident as it was stored, and its digest. `head`: where the whole chain ended.
    ///
    /// # Errors
    /// When a record of the law is missing from the chain, or the incident came out as another.
    pub fn finish(self, state: &Incident, digest: &Digest, head: &ChainHead) -> Result<Replayed, Divergence> {
        if let Some(missing) = self.recorded.front() {
            return diverged(Place::End, "audit records", "none more", shown(missing));
        }
        if let Some((envelope, code)) = self.refused.front() {
            return diverged(Place::End, "audit records", "none more", format!("{envelope} refused, {code}"));
        }
        let Some(incident) = self.incident else {
            return diverged(Place::End, "decisions", "none", "one that opens the incident");
        };
        let found = Digest::of(incident.as_ref());
        same(&Place::End, "digest of the state", digest, &found)?;
        same(&Place::End, "state", &Digest::of(state), &found)?;
        if self.audited.seq > head.seq || (self.audited.seq == head.seq && self.audited != *head) {
            let last = format!("record {} {}", self.audited.seq, self.audited.hash);
            return diverged(Place::End, "head of the chain", format!("{} {}", head.seq, head.hash), last);
        }
        Ok(Replayed {
            incident: incident.id.clone(),
            decisions: self.sum.decisions,
            revisions: incident.revision,
            refused: self.sum.refused,
            audit_records: self.sum.audit_records,
            state: found,
        })
    }
}

/// The incident before its first event, as the shell opens it.
fn opened(decision: &Decision) -> Option<Incident> {
    let opening = decision.opens.clone()?;
    Some(Incident::open(decision.incident.clone(), opening, decision.event.at))
}

fn compare(place: &Place, recorded: &Outcome, made: &Outcome) -> Result<(), Divergence> {
    match (recorded, made) {
        (
            Outcome::Advanced { revision, effects, records },
            Outcome::Advanced { revision: made_revision, effects: made_effects, records: made_records },
        ) => {
            same(place, "revision", revision, made_revision)?;
            same(place, "effects", effects, made_effects)?;
            same(place, "records", records, made_records)
        }
        (recorded, made) if recorded == made => Ok(()),
        (recorded, made) => diverged(place.clone(), "outcome", told(recorded), told(made)),
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Advanced { revision, .. } => format!("revision {revision}"),
        Outcome::Unchanged => "unchanged".to_owned(),
        Outcome::Refused { code } => format!("refused, {code}"),
    }
}

fn refuses(record: &AuditRecord, envelope: &EnvelopeId, code: &str) -> bool {
    let why = record.detail.get("why").and_then(serde_json::Value::as_str).unwrap_or_default();
    record.subject == envelope.as_str() && why.strip_prefix(code).is_some_and(|rest| rest.starts_with(':'))
}

/// A record on a line.
fn shown(record: &AuditRecord) -> String {
    let AuditRecord { at: TimestampMs(at), actor, kind, subject, detail, .. } = record;
    format!("{kind} {subject} by {actor} at {at}: {detail}")
}

fn text(id: Option<&IncidentId>) -> &str {
    id.map_or("none", IncidentId::as_str)
}

fn same<T: PartialEq + std::fmt::Display>(
    place: &Place,
    what: &'static str,
    expected: T,
    found: T,
) -> Result<(), Divergence> {
    if expected == found { Ok(()) } else { diverged(place.clone(), what, expected, found) }
}

fn diverged<T>(
    place: Place,
    what: &'static str,
    expected: impl std::fmt::Display,
    found: impl std::fmt::Display,
) -> Result<T, Divergence> {
    Err(Divergence { place, what, expected: expected.to_string(), found: found.to_string() })
}
