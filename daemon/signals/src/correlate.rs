//! From indications to causes: which component, what category, how sure, and why.
//!
//! Owns the ranking of candidates, its confidence, and the decision to abstain. Never makes an indication:
//! callers bring them from metrics, logs and events.
//!
//! # How a candidate is scored
//! A candidate is a component with a category. In these formulas all quantities lie in [0, 1]:
//!
//! - evidence `e = 1 − (1 − C)·(1 − 0.4·S)`: `C` joins the candidate's own causes as independent witnesses,
//!   `C = 1 − Π(1 − 0.9·strength)`; `S` is the strongest symptom at the component. A symptom alone thus never
//!   reaches further than 0.4: trouble seen is not a cause found.
//! - coverage `v`: the share (by strength) of symptoms, alerted components among them, that the candidate can
//!   explain: at itself, or at a component whose calls lead to it, `0.9` of it for each further call; 0.3 of it
//!   where the call graph does not know one of the two. 0.5 if there are no symptoms.
//! - precedence `o`: 1 if nothing it should explain began clearly before it, falling by e^(−lag / 60 s) with
//!   the lag beyond both uncertainties; 0.7 if its onset is not known.
//! - retained share `k`: what is left when trouble further down the calls explains the candidate away,
//!   `k = 1 − 0.7·max(e·o of a callee)·(1 − 0.7·C)` over candidates with causes that it reaches by calls: a
//!   cause of its own protects, but not wholly, for what a callee does to its caller can look like one.
//!
//! `score = e · k · (0.25 + 0.45·v + 0.3·o)`
//!
//! # Confidence
//! `confidence = score · (0.5 + 0.5·margin)`, `margin = 1 − runner_up / score`, against the best candidate of
//! another component *or* another category: two equal stories halve it. The verdict is `Concluded` from
//! [`RankOptions::confidence_min`] on.
//!
//! Order: score, then confidence, then earlier onset, then component, then category; scores compare after
//! rounding to nine decimals, so that the order of summation decides nothing.

mod deviation;
pub mod localize;
mod log_change;
pub mod meaning;
mod observe;
pub mod onset;

use crate::topology::Topology;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Whether an indication names what is wrong or only that something hurts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndicationKind {
    /// Specific: a rollout, a full pool, a growing heap, an error that names its reason.
    Cause,
    /// Generic: latency, error rate, a failed probe. May come from elsewhere.
    Symptom,
}

/// Something seen at a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Indication {
    /// Names the evidence; comes back in the ranking.
    pub id: String,
    pub component: String,
    /// From the caller's taxonomy.
    pub category: String,
    /// How clear it is, in [0, 1]; clamped, NaN counts as 0.
    pub strength: f64,
    pub onset_ms: Option<u64>,
    pub onset_uncertainty_ms: u64,
    pub kind: IndicationKind,
    /// One line for people.
    pub note: String,
}

impl Indication {
    fn weight(&self) -> f64 {
        if self.strength.is_nan() { 0.0 } else { self.strength.clamp(0.0, 1.0) }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RcaInput {
    pub indications: Vec<Indication>,
    pub topology: Topology,
    /// Components that the alerts name.
    pub alerted: Vec<String>,
    /// Indications that began after it are not evidence of anything yet.
    pub now_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankOptions {
    /// Below, the ranking abstains.
    pub confidence_min: f64,
    /// Indications weaker than this are noise.
    pub strength_min: f64,
    pub candidates_max: usize,
}

impl Default for RankOptions {
    /// 0.5: one clear specific cause that explains its symptoms scores near 0.9 and passes beside a rival of a third of its
    /// score; two equal ones do not.
    fn default() -> Self {
        Self { confidence_min: 0.5, strength_min: 0.1, candidates_max: 16 }
    }
}

/// An indication cited for or against a candidate. Against one that is a rival, `id` is the rival's strongest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cited {
    pub id: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub component: String,
    pub category: String,
    /// In [0, 1]; see the module.
    pub score: f64,
    /// In [0, 1]; see the module.
    pub confidence: f64,
    pub onset_ms: Option<u64>,
    pub supporting: Vec<Cited>,
    pub against: Vec<Cited>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// The first candidate is the cause.
    Concluded,
    /// No candidate is good enough; the candidates are hints.
    Abstained { reason: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Best first.
    pub candidates: Vec<Candidate>,
    pub verdict: Verdict,
}

/// Lag over which a late onset loses all but 1/e of its credit: beyond a minute after its supposed effects,
/// something is hardly their cause.
const LATE_MS: f64 = 60_000.0;
/// What an unknown onset is worth: less than an early one, more than a late one.
const PRECEDENCE_UNKNOWN: f64 = 0.7;
/// What a symptom alone may claim.
const SYMPTOM_SHARE: f64 = 0.4;
/// What trouble of a callee may take away from its caller.
const EXPLAINED_AWAY: f64 = 0.7;
/// How far a cause of its own keeps a caller from being explained away.
const OWN_CAUSE_PROTECTS: f64 = 0.7;
/// What a candidate may claim of trouble that the call graph does not connect or separate.
const UNKNOWN_WAY: f64 = 0.3;
/// An alert that brought no symptom of its own counts as one of this strength.
const ALERT_STRENGTH: f64 = 0.6;

/// Ranks the candidates of `input`; deterministic, and independent of the order of the indications.
pub fn rank(input: &RcaInput, options: &RankOptions) -> Ranking {
    let mut indications: Vec<&Indication> = input
        .indications
        .iter()
        .filter(|one| {
            one.weight() >= options.strength_min && one.onset_ms.is_none_or(|at| at <= input.now_ms)
        })
        .collect();
    indications.sort_by(|a, b| {
        b.weight()
            .total_cmp(&a.weight())
            .then_with(|| a.id.cmp(&b.id))
            .then_with(|| a.component.cmp(&b.component))
    });
    let pains = pains(&indications, &input.alerted);
    let drafts: Vec<Draft> = groups(&indications)
        .into_iter()
        .map(|group| draft(group, &indications, &pains, &input.topology))
        .collect();
    let mut candidates: Vec<Candidate> =
        drafts.iter().map(|one| finish(one, &drafts, &pains, &input.topology)).collect();
    candidates.sort_by(order);
    set_confidence(&mut candidates);
    candidates.sort_by(order);
    candidates.truncate(options.candidates_max);
    let verdict = verdict(&candidates, options);
    Ranking { candidates, verdict }
}

/// Trouble that wants an explanation.
struct Pain<'a> {
    component: &'a str,
    strength: f64,
    indication: Option<&'a Indication>,
}

fn pains<'a>(indications: &[&'a Indication], alerted: &'a [String]) -> Vec<Pain<'a>> {
    let mut pains: Vec<Pain> = indications
        .iter()
        .filter(|one| one.kind == IndicationKind::Symptom)
        .map(|one| Pain { component: &one.component, strength: one.weight(), indication: Some(one) })
        .collect();
    let named: BTreeSet<&str> = alerted.iter().map(String::as_str).collect();
    for component in named {
        if !pains.iter().any(|pain| pain.component == component) {
            pains.push(Pain { component, strength: ALERT_STRENGTH, indication: None });
        }
    }
    pains
}

/// The indications that make up one candidate, strongest first.
struct Group<'a> {
    component: &'a str,
    category: &'a str,
    own: Vec<&'a Indication>,
    causal: bool,
}

/// One group for each component and category of a cause; a component without a cause has one group, of its
/// strongest symptom's category.
fn groups<'a>(indications: &[&'a Indication]) -> Vec<Group<'a>> {
    let mut causes: BTreeMap<(&str, &str), Vec<&Indication>> = BTreeMap::new();
    let mut symptoms: BTreeMap<&str, Vec<&Indication>> = BTreeMap::new();
    for one in indications {
        match one.kind {
            IndicationKind::Cause => causes.entry((&one.component, &one.category)).or_default().push(one),
            IndicationKind::Symptom => symptoms.entry(&one.component).or_default().push(one),
        }
    }
    let with_cause: BTreeSet<&str> = causes.keys().map(|(component, _)| *component).collect();
    let only_hurt = symptoms.into_iter().filter(|(component, _)| !with_cause.contains(component)).filter_map(
        |(component, own)| Some(Group { component, category: &own.first()?.category, own, causal: false }),
    );
    let mut all: Vec<Group> = only_hurt.collect();
    all.extend(causes.into_iter().map(|((component, category), own)| Group {
        component,
        category,
        own,
        causal: true,
    }));
    all
}

struct Draft<'a> {
    group: Group<'a>,
    /// `C`
    cause: f64,
    /// `e`
    evidence: f64,
    /// `v`
    coverage: f64,
    /// `o`
    precedence: f64,
    onset: Option<(u64, u64)>,
    /// What began before it although it should be its effect.
    earlier: Vec<(&'a Indication, u64)>,
}

fn draft<'a>(group: Group<'a>, all: &[&'a Indication], pains: &[Pain<'a>], topology: &Topology) -> Draft<'a> {
    let cause = if group.causal {
        1.0 - group.own.iter().map(|one| 1.0 - 0.9 * one.weight()).product::<f64>()
    } else {
        0.0
    };
    let symptom = pains
        .iter()
        .filter(|pain| pain.component == group.component)
        .map(|pain| pain.strength)
        .fold(0.0, f64::max);
    let evidence = 1.0 - (1.0 - cause) * (1.0 - SYMPTOM_SHARE * symptom);
    let total: f64 = pains.iter().map(|pain| pain.strength).sum();
    let explained: f64 =
        pains.iter().map(|pain| pain.strength * explains(group.component, pain.component, topology)).sum();
    let coverage = if total > 0.0 { explained / total } else { 0.5 };
    let onset = group
        .own
        .iter()
        .filter_map(|one| Some((one.onset_ms?, one.onset_uncertainty_ms)))
        .min_by_key(|(at, uncertainty)| (*at, *uncertainty));
    let mut earlier = Vec::new();
    if let Some((at_ms, uncertainty_ms)) = onset {
        for other in all.iter().filter(|other| !group.own.iter().any(|own| std::ptr::eq(*own, **other))) {
            let Some(other_ms) = other.onset_ms else { continue };
            let slack_ms = uncertainty_ms.saturating_add(other.onset_uncertainty_ms);
            let lag_ms = at_ms.saturating_sub(other_ms).saturating_sub(slack_ms);
            if lag_ms > 0 && explains(group.component, &other.component, topology) > 0.0 {
                earlier.push((*other, lag_ms));
            }
        }
    }
    let precedence = match onset {
        None => PRECEDENCE_UNKNOWN,
        // One strong forerunner is enough to doubt; a faint one weighs little.
        Some(_) => earlier
            .iter()
            .map(|(other, lag_ms)| 1.0 - other.weight() * (1.0 - (-(*lag_ms as f64) / LATE_MS).exp()))
            .fold(1.0, f64::min),
    };
    Draft { group, cause, evidence, coverage, precedence, onset, earlier }
}

/// How much of trouble at `hurt` the component can explain: it is there, or calls lead from there to it.
fn explains(component: &str, hurt: &str, topology: &Topology) -> f64 {
    match topology.distance(hurt, component) {
        Some(0 | 1) => 1.0,
        Some(hops) => 0.9f64.powi(i32::try_from(hops - 1).unwrap_or(i32::MAX)),
        None if is_known(component, hurt, topology) => 0.0,
        None => UNKNOWN_WAY,
    }
}

/// True if the call graph can say that there is no way.
fn is_known(component: &str, hurt: &str, topology: &Topology) -> bool {
    topology.contains(component) && topology.contains(hurt)
}

fn finish(one: &Draft, all: &[Draft], pains: &[Pain], topology: &Topology) -> Candidate {
    let group = &one.group;
    let mut supporting: Vec<Cited> = Vec::new();
    let mut against: Vec<Cited> = Vec::new();
    for own in &group.own {
        let kind = if own.kind == IndicationKind::Cause { "its own cause" } else { "a symptom at it" };
        supporting.push(Cited { id: own.id.clone(), why: format!("{kind}: {}", own.note) });
    }
    for pain in pains {
        let Some(indication) = pain.indication.filter(|seen| !group.own.iter().any(|own| own.id == seen.id))
        else {
            continue;
        };
        let cited = |why: String| Cited { id: indication.id.clone(), why };
        match topology.distance(pain.component, group.component) {
            Some(0) => supporting.push(cited(format!("it hurts there: {}", indication.note))),
            Some(_) => supporting.push(cited(format!(
                "{} calls it, directly or through others, and suffers: {}",
                pain.component, indication.note
            ))),
            None if is_known(group.component, pain.component, topology) => {
                against.push(cited(format!("does not explain {}: {}", pain.component, indication.note)));
            }
            None => against
                .push(cited(format!("no known way of calls to {}: {}", pain.component, indication.note))),
        }
    }
    for (other, lag_ms) in &one.earlier {
        let why = format!("began {:.0} s before it: {}", *lag_ms as f64 / 1000.0, other.note);
        against.push(Cited { id: other.id.clone(), why });
    }
    let mut taken: f64 = 0.0;
    for callee in all.iter().filter(|other| other.group.causal && other.group.component != group.component) {
        let there = topology.reaches(group.component, callee.group.component);
        // In a cycle both reach each other, and neither explains the other away.
        if there && !topology.reaches(callee.group.component, group.component) {
            taken = taken.max(callee.evidence * callee.precedence);
            if let Some(first) = callee.group.own.first() {
                let why =
                    format!("it calls {}, which has its own trouble: {}", callee.group.component, first.note);
                against.push(Cited { id: first.id.clone(), why });
            }
        }
    }
    let retained = 1.0 - EXPLAINED_AWAY * taken * (1.0 - OWN_CAUSE_PROTECTS * one.cause);
    let score = one.evidence * retained * (0.25 + 0.45 * one.coverage + 0.3 * one.precedence);
    Candidate {
        component: group.component.to_owned(),
        category: group.category.to_owned(),
        score: rounded(score),
        confidence: 0.0,
        onset_ms: one.onset.map(|(at_ms, _)| at_ms),
        supporting,
        against,
    }
}

fn set_confidence(candidates: &mut [Candidate]) {
    let scores: Vec<f64> = candidates.iter().map(|candidate| candidate.score).collect();
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let rival = scores
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .map(|(_, score)| *score)
            .fold(0.0, f64::max);
        let margin =
            if candidate.score > 0.0 { (1.0 - rival / candidate.score).clamp(0.0, 1.0) } else { 0.0 };
        candidate.confidence = rounded(candidate.score * (0.5 + 0.5 * margin));
    }
}

fn verdict(candidates: &[Candidate], options: &RankOptions) -> Verdict {
    let Some(first) = candidates.first() else {
        return Verdict::Abstained { reason: "nothing indicates a cause".to_owned() };
    };
    if first.confidence >= options.confidence_min {
        return Verdict::Concluded;
    }
    let name = |candidate: &Candidate| format!("{} ({})", candidate.component, candidate.category);
    let reason = match candidates.get(1).filter(|second| second.score >= 0.6 * first.score) {
        _ if first.score < options.confidence_min => {
            format!("thin evidence: the best candidate, {}, scores {:.2}", name(first), first.score)
        }
        Some(second) => format!(
            "contradictory evidence: {} at {:.2} and {} at {:.2}",
            name(first),
            first.score,
            name(second),
            second.score
        ),
        None => format!("confidence {:.2} is below {:.2}", first.confidence, options.confidence_min),
    };
    Verdict::Abstained { reason }
}

fn order(a: &Candidate, b: &Candidate) -> Ordering {
    let onset = |candidate: &Candidate| candidate.onset_ms.unwrap_or(u64::MAX);
    b.score
        .total_cmp(&a.score)
        .then_with(|| b.confidence.total_cmp(&a.confidence))
        .then_with(|| onset(a).cmp(&onset(b)))
        .then_with(|| a.component.cmp(&b.component))
        .then_with(|| a.category.cmp(&b.category))
}

fn rounded(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

#[cfg(test)]
mod tests;
