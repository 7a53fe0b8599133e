//! What must hold when everything has come to rest, whatever happened on the way.
//!
//! Three witnesses are held against each other: the store as it lies on disk, the log of the world, and what people
//! outside were told. Each fault found is one line that names the promise and the thing.

use crate::outside::{Line, Note, Word};
use crate::story::{self, Case};
use crate::world::Request;
use anyhow::Result;
use medic_core::audit::{AuditRecord, ChainVerifier, ChainedRecord};
use medic_core::mail::Address;
use medic_core::replay::Decided;
use medic_core::{EscalationReason, Incident, Phase, Policy, invariants};
use medic_ports::journal::{EffectRecord, EffectState, IncidentFilter, Journal, Table};
use std::collections::{BTreeMap, BTreeSet};

/// Everything the three witnesses say.
pub struct Evidence<'a> {
    pub cases: &'a [Case],
    pub lines: &'a [Line],
    pub requests: &'a [Request],
    pub journal: &'a dyn Journal,
    pub mood: Mood,
}

/// What the story went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Undisturbed,
    /// Lives ended before their time: a step may be unknown.
    Cut,
    /// The world misbehaved too: an incident may end with a human for many reasons, but it ends.
    Upset,
}

/// What was found, and how the incidents ended.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    pub faults: Vec<String>,
    /// By service.
    pub ends: BTreeMap<String, String>,
}

impl Judgement {
    fn require(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        // Enough to see what kind of fault it is; the first is the one that matters.
        if !holds && self.faults.len() < 20 {
            self.faults.push(fault());
        }
    }
}

struct Found {
    incidents: Vec<Incident>,
    audit: Vec<ChainedRecord>,
    effects: BTreeMap<String, EffectRecord>,
    decided: BTreeMap<String, Vec<(u64, Decided)>>,
}

/// # Errors
/// When the store cannot be read: a fault of its own, told by the caller.
pub fn judge(evidence: &Evidence<'_>) -> Result<Judgement> {
    let found = read(evidence)?;
    let mut judgement = Judgement::default();
    nothing_acknowledged_is_lost(evidence, &found, &mut judgement);
    every_letter_is_handled_once(&found, &mut judgement);
    deeds(evidence, &found, &mut judgement);
    consent(evidence, &found, &mut judgement);
    ends(evidence, &found, &mut judgement);
    story_and_chain_agree(&found, &mut judgement);
    crate::again::replays(evidence, &found.incidents, &found.audit, &found.decided, &mut judgement.faults)?;
    Ok(judgement)
}

fn read(evidence: &Evidence<'_>) -> Result<Found> {
    let journal = evidence.journal;
    let incidents = journal.incidents(&IncidentFilter { limit: usize::MAX, ..IncidentFilter::default() })?;
    let audit = journal.audit(1, usize::MAX)?;
    let mut effects = BTreeMap::new();
    let started = audit.iter().filter(|chained| chained.record.kind == "effect");
    for chained in started {
        if let Some(incident) = &chained.record.incident
            && let Some(id) = effect_id(incident, &chained.record.subject)
            && let Some(record) = journal.effect(&id)?
        {
            effects.insert(chained.record.subject.clone(), record);
        }
    }
    let mut decided = BTreeMap::new();
    for incident in &incidents {
        decided.insert(incident.id.to_string(), journal.decided(&incident.id, 0, usize::MAX)?);
    }
    Ok(Found { incidents, audit, effects, decided })
}

fn effect_id(incident: &medic_core::IncidentId, subject: &str) -> Option<medic_core::EffectId> {
    let mut parts = subject.rsplitn(3, '/');
    let index = parts.next()?.parse().ok()?;
    let revision = parts.next()?.parse().ok()?;
    Some(medic_core::EffectId { incident: incident.clone(), revision, index })
}

/// P1, P5: a word given outside is kept inside.
fn nothing_acknowledged_is_lost(evidence: &Evidence<'_>, found: &Found, judgement: &mut Judgement) {
    let mut chain = ChainVerifier::default();
    let broken = found.audit.iter().find_map(|record| chain.push(record).err());
    judgement.require(broken.is_none(), || format!("the audit chain is broken: {broken:?}"));
    let mut first: BTreeMap<&str, &medic_core::EnvelopeId> = BTreeMap::new();
    let mut deliveries: BTreeMap<String, u32> = BTreeMap::new();
    for record in found.audit.iter().filter(|chained| chained.record.kind == "delivery") {
        *deliveries.entry(record.record.subject.clone()).or_default() += 1;
    }
    for line in evidence.lines {
        match &line.note {
            Note::Committed { commit_seq, audit } if audit.seq > 0 => {
                let place = usize::try_from(audit.seq - 1).unwrap_or(usize::MAX);
                let same = found.audit.get(place).is_some_and(|record| record.hash == audit.hash);
                judgement.require(same, || {
                    format!("commit {commit_seq} was answered in life {} and is not in the chain", line.life)
                });
            }
            Note::Acknowledged { id, to, dedup, duplicate } => {
                let known = *first.entry(dedup).or_insert(id);
                judgement.require(known == id, || {
                    format!("{dedup} was acknowledged as {known} and as {id}: it is stored twice")
                });
                judgement.require(!*duplicate || known == id, || format!("{dedup} is nobody's duplicate"));
                if *to == Address::Monitor {
                    let handled = deliveries.get(id.as_str()).copied().unwrap_or(0);
                    judgement.require(handled == 1, || {
                        format!(
                            "delivery {id}, acknowledged in life {}, was handled {handled} times",
                            line.life
                        )
                    });
                }
            }
            Note::Answered { word, answer } => {
                let kept = evidence.lines.iter().find_map(|line| match &line.note {
                    Note::Acknowledged { id, dedup, .. } if dedup.ends_with(&word.request) => {
                        dedup.contains(word.incident.as_str()).then_some(id)
                    }
                    _ => None,
                });
                let stored =
                    kept.and_then(|id| evidence.journal.document(Table::Answer, id.as_str()).ok().flatten());
                let text = stored.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                // The stored form is the agents' own; what it must agree on is whether it was a yes.
                let agrees =
                    text.as_ref().is_some_and(|text| text.contains("\"told\"") == (answer == "told"));
                judgement.require(agrees, || {
                    format!("{} was answered {answer:?} and the journal keeps {text:?}", word.request)
                });
            }
            _ => {}
        }
    }
}

/// P2: each letter leads to one decision.
fn every_letter_is_handled_once(found: &Found, judgement: &mut Judgement) {
    let mut seen = BTreeMap::new();
    for (incident, commits) in &found.decided {
        for (commit, decided) in commits {
            for decision in &decided.decisions {
                if let Some(before) = seen.insert(decision.envelope.clone(), *commit) {
                    let letter = &decision.envelope;
                    judgement.require(false, || {
                        format!(
                            "letter {letter} of {incident} was decided in commit {before} and in {commit}"
                        )
                    });
                }
            }
        }
    }
    let mut once = BTreeSet::new();
    for record in found.audit.iter().filter(|chained| chained.record.kind == "delivery") {
        let subject = &record.record.subject;
        judgement.require(once.insert(subject.clone()), || format!("delivery {subject} was placed twice"));
    }
}

fn place(found: &Found, wanted: impl Fn(&AuditRecord) -> bool) -> Option<u64> {
    found.audit.iter().find(|chained| wanted(&chained.record)).map(|chained| chained.seq)
}

/// P3: nothing is done twice, nothing without its record before it, and what the records say is what the world saw.
fn deeds(evidence: &Evidence<'_>, found: &Found, judgement: &mut Judgement) {
    let mut done = BTreeSet::new();
    for request in evidence.requests {
        let subject = request.effect.to_string();
        let what = format!("{} of {} step {}", request.tool, request.service, request.step);
        let same = (request.plan.clone(), request.step, request.reverting);
        judgement.require(!request.known, || format!("{what} was sent again with its key"));
        judgement.require(done.insert(same), || format!("{what} was done twice"));
        let started = place(found, |record| record.kind == "started" && record.subject == subject);
        let intent = place(found, |record| {
            record.kind == "intent"
                && record.subject == subject
                && record.detail.get("key").and_then(|key| key.as_str()) == Some(request.key.as_str())
        });
        judgement
            .require(started.is_some(), || format!("{what} was done and no record says that it started"));
        judgement.require(intent.is_some() && intent > started, || {
            format!("{what} was done and no record says what was about to be sent")
        });
        let ordered = place(found, |record| record.kind == "effect" && record.subject == subject);
        judgement.require(ordered.is_some() && ordered < started, || format!("{what} was never ordered"));
        match found.effects.get(&subject) {
            None => judgement.require(false, || format!("{what} was done and has no record")),
            Some(effect) => {
                let told = matches!(effect.state, EffectState::Done | EffectState::Unknown);
                let state = effect.state;
                judgement.require(told, || format!("{what} was done and its record says {state}"));
            }
        }
    }
    for (subject, effect) in &found.effects {
        let state = effect.state;
        judgement.require(!matches!(state, EffectState::Intent | EffectState::Started), || {
            format!("effect {subject} is left {state}")
        });
        for call in effect.calls.iter().filter(|call| call.receipt.is_some()) {
            let seen = evidence.requests.iter().any(|request| request.key == call.intent.idempotency_key);
            judgement.require(seen, || format!("effect {subject} has a receipt and the world saw nothing"));
        }
    }
    let open = evidence.journal.health().open_effects;
    judgement.require(open == 0, || format!("{open} effect(s) are counted as open"));
    for pair in evidence.lines.windows(2) {
        if let [Line { note: Note::StorageFailed { deeds }, life, .. }, _] = pair {
            let after = evidence.requests.iter().filter(|request| request.life <= *life).count();
            judgement.require(after <= *deeds, || {
                format!("{} deed(s) after storage had failed in life {life}", after - deeds)
            });
        }
    }
}

/// No approval lost, none invented, none late, none twice; every plan carried out has what it needs.
fn consent(evidence: &Evidence<'_>, found: &Found, judgement: &mut Judgement) {
    let asked: Vec<(&Word, u64)> = evidence
        .lines
        .iter()
        .filter_map(|line| match &line.note {
            Note::Asked(word) => Some((word, line.at)),
            _ => None,
        })
        .collect();
    let mut given: BTreeSet<(String, String, String)> = BTreeSet::new();
    let approvals = found
        .audit
        .iter()
        .filter(|chained| chained.record.kind == "approval" && !chained.record.actor.starts_with("policy:"));
    for chained in approvals {
        let record = &chained.record;
        let incident = record.incident.as_ref().map(ToString::to_string).unwrap_or_default();
        let key = (incident.clone(), record.actor.clone(), record.subject.clone());
        judgement.require(given.insert(key), || {
            format!("an approval by {} of {incident} counted twice", record.actor)
        });
        let said = asked.iter().find(|(word, _)| {
            word.approves
                && word.incident.as_str() == incident
                && word.by == record.actor
                && word.plan.as_str() == record.subject
        });
        match said {
            None => judgement.require(false, || format!("{} never approved {incident}", record.actor)),
            Some((word, at)) => judgement.require(*at < word.expires_at.0, || {
                format!("an approval of {incident} counted {} ms after its expiry", at - word.expires_at.0)
            }),
        }
    }
    for line in evidence.lines {
        if let Note::Answered { word, answer } = &line.note
            && word.approves
            && answer == "told"
        {
            let key = (word.incident.to_string(), word.by.clone(), word.plan.to_string());
            judgement.require(given.contains(&key), || {
                format!("{} was told that the word on {} counts, and it does not", word.by, word.incident)
            });
        }
    }
    for request in evidence.requests {
        let plan = request.plan.as_str();
        let needed: usize = match request.tool.as_str() {
            "purge_cache" => 2,
            "warm_cache" => 0,
            _ => 1,
        };
        let people = given.iter().filter(|(_, _, subject)| subject == plan).count();
        let what = format!("{} of {}", request.tool, request.service);
        judgement.require(people >= needed, || format!("{what} was done with {people} approval(s)"));
        let started =
            place(found, |record| record.kind == "started" && record.subject == request.effect.to_string());
        let decided = place(found, |record| record.kind == "approval" && record.subject == plan);
        judgement.require(decided.is_some() && decided < started, || format!("{what} began before consent"));
    }
}

/// Every incident is there once and ended as it would have, or with a human who knows which step is unknown.
fn ends(evidence: &Evidence<'_>, found: &Found, judgement: &mut Judgement) {
    let policy: Policy = story::policy();
    for incident in &found.incidents {
        for broken in invariants::of_incident(incident, &policy) {
            judgement.require(false, || format!("invariant {broken}"));
        }
        let known = evidence.cases.iter().any(|case| case.group() == incident.group);
        judgement.require(known, || format!("nobody opened incident {}", incident.group));
    }
    for case in evidence.cases {
        let own: Vec<_> = found.incidents.iter().filter(|incident| incident.group == case.group()).collect();
        let [incident] = own.as_slice() else {
            judgement.require(false, || format!("{} has {} incidents", case.service, own.len()));
            continue;
        };
        let end = story::end_of(incident);
        let unknown = match &incident.phase {
            Phase::Escalated { why: EscalationReason::UnknownOutcome { step, target, .. }, .. } => {
                !step.is_empty() && target.contains(&case.service)
            }
            _ => false,
        };
        let allowed = match evidence.mood {
            Mood::Undisturbed => false,
            Mood::Cut => unknown,
            Mood::Upset => incident.is_terminal(),
        };
        judgement.require(end == case.kind.end() || allowed, || {
            format!("{} ended as {end}, undisturbed it ends as {}", case.service, case.kind.end())
        });
        if let Phase::Escalated { at, why: EscalationReason::ApprovalTimeout { .. }, .. } = &incident.phase {
            let early = evidence.lines.iter().any(|line| match &line.note {
                Note::Asked(word) => word.incident == incident.id && word.expires_at > *at,
                _ => false,
            });
            judgement.require(!early, || format!("{} lapsed before its time", case.service));
        }
        judgement.ends.insert(case.service.clone(), end);
    }
    let health = evidence.journal.health();
    let mail: u64 = health.mailboxes.iter().map(|mailbox| mailbox.envelopes).sum();
    judgement.require(mail == 0, || format!("{mail} letter(s) are left"));
    let timer = evidence.journal.next_timer().ok().flatten();
    judgement.require(timer.is_none(), || format!("a timer is left: {timer:?}"));
    let dead = evidence.journal.dead_letters(usize::MAX).map(|dead| dead.len()).unwrap_or(0);
    let poisoned = judgement.ends.values().filter(|end| *end == "DEAD_LETTER").count();
    let exact = evidence.mood != Mood::Upset;
    judgement.require(dead == poisoned || (!exact && dead >= poisoned), || {
        format!("{dead} dead letter(s) for {poisoned} escalation(s)")
    });
}

/// Each change of phase has one record, and each record its change of phase.
fn story_and_chain_agree(found: &Found, judgement: &mut Judgement) {
    let mut recorded: BTreeMap<(String, u64), u32> = BTreeMap::new();
    for chained in found.audit.iter().filter(|chained| chained.record.kind == "phase") {
        let incident = chained.record.incident.as_ref().map(ToString::to_string).unwrap_or_default();
        let revision = chained.record.detail.get("revision").and_then(serde_json::Value::as_u64).unwrap_or(0);
        *recorded.entry((incident, revision)).or_default() += 1;
    }
    for incident in &found.incidents {
        // A phase may be entered anew: then only the record tells, not the line.
        for line in incident.history.iter().filter(|line| line.from != line.to) {
            let times = recorded.get(&(incident.id.to_string(), line.revision)).copied().unwrap_or(0);
            judgement.require(times == 1, || {
                format!("{} became {} with {times} record(s) of it", incident.group, line.to)
            });
        }
        let beyond = recorded
            .keys()
            .find(|(id, revision)| *id == incident.id.to_string() && *revision > incident.revision);
        judgement.require(beyond.is_none(), || format!("a record is ahead of its incident: {beyond:?}"));
    }
    for (id, revision) in recorded.keys() {
        let there = found.incidents.iter().any(|incident| incident.id.as_str() == id);
        judgement.require(there, || format!("revision {revision} of {id} is recorded and {id} is not there"));
    }
}
