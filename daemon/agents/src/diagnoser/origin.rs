//! What is known of where the trouble began, brought together with what the taxonomy makes of the findings.
//!
//! Owns the combination: the place comes from the comparison of every component with its own past, the kind from the
//! taxonomy. Never gives the place a remedy: what is only known to be *somewhere* is called unclassified.
//!
//! # How
//! With `t` a hypothesis' confidence from the taxonomy, `p` the probability that the trouble began at its component and
//! `p₁` the largest of all:
//!
//! - agreement: at the likeliest component, a hypothesis that rests on a cause of its own gains,
//!   `1 − (1 − t)(1 − p/2)`: two witnesses of different kinds, the second at half its word;
//! - a hypothesis that rests on symptoms alone gains at most to `p/2`: the place is known, the kind is a guess;
//! - elsewhere it loses, `t·(1 − w·(p₁ − p))`, with `w` 0.2 where it rests on a cause that was seen, 0.5 where not;
//! - a likely component without any hypothesis gets one without a kind, of what a cause seen elsewhere leaves over:
//!   `p·(1 − t₁)`.

use crate::origin::{self, Origin, UNCLASSIFIED};
use medic_core::diagnosis::{Citation, Hypothesis, HypothesisSource};
use medic_core::evidence::{Bearing, Confidence};
use medic_core::{Component, HypothesisId, Incident};
use medic_signals::timestamp;

/// Below it nobody is suspected. 0.3: one in three is still worth a line, less is noise.
const BELIEF_MIN: f64 = 0.3;
const AGREES: f64 = 0.5;
const GUESSED_KIND: f64 = 0.5;
const CONTRADICTS_A_CAUSE: f64 = 0.2;
const CONTRADICTS_A_GUESS: f64 = 0.5;
/// A cause weaker than this was hardly seen.
const CAUSE_MIN: f64 = 0.3;
/// Hypotheses without a kind. 3: as many places as one looks at.
const PLACES_MAX: usize = 3;
/// Changes cited for one hypothesis.
const CHANGES_CITED_MAX: usize = 4;

/// Weighs `hypotheses` anew and adds the places they left out.
pub(super) fn weigh(hypotheses: &mut Vec<Hypothesis>, incident: &Incident, iteration: u32) {
    let Some(origin) = origin::of(incident) else { return };
    let belief = |component: &Component| {
        origin.suspects.iter().find(|suspect| suspect.component == component).map_or(0.0, |it| it.belief)
    };
    let Some(first) = origin.suspects.first().filter(|first| first.belief >= BELIEF_MIN) else { return };
    let seen_elsewhere = |place: &Component| {
        let elsewhere =
            hypotheses.iter().filter(|one| one.component != *place && rests_on_cause(one, incident));
        elsewhere.map(|one| one.confidence.value()).fold(0.0, f64::max)
    };
    let places: Vec<Hypothesis> = origin
        .suspects
        .iter()
        .filter(|suspect| suspect.belief >= BELIEF_MIN)
        .filter(|suspect| !hypotheses.iter().any(|one| one.component == *suspect.component))
        .take(PLACES_MAX)
        .enumerate()
        .map(|(n, suspect)| Hypothesis {
            id: HypothesisId::new(format!("o{iteration}-{}", n + 1)),
            component: suspect.component.clone(),
            category: UNCLASSIFIED.to_owned(),
            statement: format!(
                "the trouble began at {}; of what kind it is, is not known",
                suspect.component
            ),
            confidence: Confidence::new(suspect.belief * (1.0 - seen_elsewhere(suspect.component))),
            supporting: Vec::new(),
            against: Vec::new(),
            source: HypothesisSource::Rule,
        })
        .collect();
    for one in hypotheses.iter_mut() {
        let (told, own) = (one.confidence.value(), belief(&one.component));
        let caused = rests_on_cause(one, incident);
        let weighed = if one.component == *first.component {
            if caused { 1.0 - (1.0 - told) * (1.0 - AGREES * own) } else { told.max(GUESSED_KIND * own) }
        } else {
            let weight = if caused { CONTRADICTS_A_CAUSE } else { CONTRADICTS_A_GUESS };
            one.against.push(Citation {
                evidence: origin.evidence.clone(),
                why: format!("most of what changed points to {}", first.component),
            });
            told * (1.0 - weight * (first.belief - own).max(0.0))
        };
        one.confidence = Confidence::new(weighed);
    }
    hypotheses.extend(places);
    for one in hypotheses.iter_mut() {
        cite(one, &origin);
    }
}

fn rests_on_cause(hypothesis: &Hypothesis, incident: &Incident) -> bool {
    incident.findings.iter().any(|finding| {
        finding.component == hypothesis.component
            && finding.category == hypothesis.category
            && finding.bearing == Bearing::Cause
            && finding.strength.value() >= CAUSE_MIN
    })
}

/// When it began, and what changed at the component then.
fn cite(hypothesis: &mut Hypothesis, origin: &Origin<'_>) {
    let Some(suspect) = origin.suspects.iter().find(|suspect| *suspect.component == hypothesis.component)
    else {
        return;
    };
    let since = origin.onset.map_or_else(
        || "began here".to_owned(),
        |at| format!("began at {} ± {} s", timestamp::show(at.0), origin.onset_uncertainty_ms.div_ceil(1000)),
    );
    let why = format!("{since}, {:.0} % likely here", suspect.belief * 100.0);
    hypothesis.supporting.push(Citation { evidence: origin.evidence.clone(), why });
    for change in suspect.changes.iter().take(CHANGES_CITED_MAX) {
        if hypothesis.supporting.iter().all(|citation| citation.evidence != change.evidence) {
            let why = "changed when it began".to_owned();
            hypothesis.supporting.push(Citation { evidence: change.evidence.clone(), why });
        }
    }
}
