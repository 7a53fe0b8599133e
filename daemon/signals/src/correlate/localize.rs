//! From raw series, calls and logs to the component where the trouble began.
//!
//! Owns the weighing of every component's own evidence, what callees explain away, the order of suspects, the
//! confidence in the first and the decision to abstain. Needs no catalogue of metrics: what a series measures and
//! whose it is comes from generic words ([`super::meaning`]). Never makes a hypothesis about *what* broke beyond
//! the kind of evidence; [`super::rank`] does that from indications that name a category.
//!
//! # Method
//! 1. Series become observations on one grid ([`super::observe`]); the onset is estimated from all of them
//!    ([`super::onset`]), the alert's time being only a late bound.
//! 2. Each observation's move against its own past and its family's habits ([`super::deviation`]) becomes a strength
//!    `w · ½·ln(1 + u²)`: nothing below the habit, the logarithm of the size beyond it, so that no unit and no
//!    single wild series decides; `w` is the kind's direction weight ([`Kind::weight`]).
//! 3. A component's strength of one kind is its strongest series'; for calls to it, what the middle one of its callers
//!    sees: a callee's trouble is seen by every caller, a caller's by that caller only. Log lines that came or went
//!    missing count `0.6` a standard deviation ([`super::log_change`]). Kinds join as independent witnesses, by the
//!    root of the sum of squares.
//! 4. Causes before symptoms: symptoms (latency, errors, logs of failure) are discounted by what a component further
//!    down the calls has of its own: `1 − 0.7·0.85^(hops−1)·min(1, callee/own)`. A resource's or the way's
//!    own trouble is never explained away. The idea is MicroRCA's (L. Wu et al., NOMS 2020) and CIRCA's (M. Li et
//!    al., KDD 2022) without their walks and regressions, for which minutes of data are too few.
//! 5. Half of a score goes by coverage: the share of all trouble that lies at the component or where calls lead from to
//!    it.
//! 6. Confidence is the probability of being right (see `probability`), from the strength and the margin over the second;
//!    half of it is withheld from symptoms of a component whose calls nobody knows.

mod court;

use super::deviation::{self, Binned, Move};
use super::log_change::{self, LogChange};
use super::meaning::Kind;
use super::observe::{self, Observations, Observed};
use super::onset::{self, Onset};
use crate::logs::LogRecord;
use crate::series::Series;
use crate::shift::number;
use crate::topology::{Topology, edge_of};
use court::{Case, Court};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is known of an incident, as plain data.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scene {
    /// Raw, as scraped: counters, gauges and histograms with their labels.
    pub series: Vec<Series>,
    /// Who calls whom; calls that labels of series speak of are added.
    pub topology: Topology,
    /// From before and after the onset.
    pub logs: Vec<LogRecord>,
    /// The firing alerts' labels and annotations.
    pub alerts: Vec<BTreeMap<String, String>>,
    pub alert_at_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalizeOptions {
    /// Known onset; estimated if None.
    pub onset_ms: Option<u64>,
    /// False to weigh every component by its own evidence alone.
    pub use_graph: bool,
    /// Below, the verdict is an abstention.
    pub confidence_min: f64,
    pub suspects_max: usize,
    /// Lines of evidence kept for a suspect.
    pub evidence_max: usize,
}

impl Default for LocalizeOptions {
    /// 0.001: nothing moved; the order is a hint down to there, and whoever acts on an answer asks for far more.
    fn default() -> Self {
        Self { onset_ms: None, use_graph: true, confidence_min: 0.001, suspects_max: 16, evidence_max: 5 }
    }
}

/// One reason to suspect a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Testimony {
    pub kind: Kind,
    /// In units of [`Suspect::score`], before anything was explained away.
    pub strength: f64,
    /// When it first went beyond habit.
    pub onset_ms: Option<u64>,
    /// One line for people.
    pub note: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    pub component: String,
    /// At least 0; comparable within one localization only.
    pub score: f64,
    /// The probability that this is where it began, in [0, 1].
    pub confidence: f64,
    /// The earliest of its evidence.
    pub onset_ms: Option<u64>,
    /// Strongest first.
    pub evidence: Vec<Testimony>,
    /// The callee whose own trouble explains most of its symptoms, with the share that it takes away.
    pub explained_by: Option<(String, f64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Localization {
    /// Best first.
    pub suspects: Vec<Suspect>,
    pub onset: Onset,
    /// True if the first suspect's confidence is below the minimum: the order is a hint, not an answer.
    pub abstained: bool,
}

/// Failing is a yes or no that runs up the calls: beyond this strength its size does not tell whose it is.
const FAILING_MAX: f64 = 3.0;
/// The onset may be this much earlier than estimated.
const GUARD_MS: u64 = 120_000;
/// Sizes are cut off here: beyond a million times habit is a broken sensor.
const SIZE_MAX: f64 = 1e6;
/// Strength of one standard deviation of a log change, and the most that logs may say.
const LOG_STRENGTH: f64 = 0.6;
const LOG_STRENGTH_MAX: f64 = 6.0;
/// Calls out of a component that all became slow on the way speak of its own end.
const OUTWARD_SHARE: f64 = 0.8;
/// Of a component whose calls nobody knows, what symptoms alone lose in confidence: what they are symptoms of may lie in a
/// callee that is not seen.
const UNSEEN_CALLS: f64 = 0.5;
/// What evidence of another kind counts than the alert speaks of.
const OFF_FOCUS: f64 = 0.3;
/// Ranks the components of `scene` by how likely the trouble began there; deterministic, and independent of the order
/// of series, records and alerts.
pub fn localize(scene: &Scene, options: &LocalizeOptions) -> Localization {
    let observations = observe::observe(&scene.series);
    let topology = if options.use_graph { topology_of(scene) } else { Topology::new() };
    let onset = match options.onset_ms {
        Some(at_ms) => Onset { at_ms, uncertainty_ms: observations.bin_ms, is_clear: true },
        None => onset::estimate(&observations, scene.alert_at_ms),
    };
    let mut known: BTreeSet<&str> = topology.components();
    known.extend(observations.all.iter().map(|one| one.component.as_str()));
    let focus = Focus::of(&scene.alerts);
    let mut cases: BTreeMap<String, Case> =
        known.iter().map(|component| ((*component).to_owned(), Case::default())).collect();
    hear_metrics(&mut cases, &observations, &onset, &focus);
    hear_logs(&mut cases, &scene.logs, &known, &onset);
    for one in observations.all.iter().filter(|one| one.kind.is_resource() && one.caller.is_none()) {
        if let Some(case) = cases.get_mut(&one.component) {
            case.is_measured = true;
        }
    }
    let alerted: BTreeSet<&str> = scene
        .alerts
        .iter()
        .flat_map(BTreeMap::values)
        .map(String::as_str)
        .filter(|value| topology.contains(value))
        .collect();
    let court = Court { cases: &cases, topology: &topology, alerted, evidence_max: options.evidence_max };
    let mut suspects: Vec<Suspect> =
        cases.keys().filter_map(|component| court.judge(component)).filter(|one| one.score > 0.0).collect();
    suspects.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| a.onset_ms.unwrap_or(u64::MAX).cmp(&b.onset_ms.unwrap_or(u64::MAX)))
            .then_with(|| a.component.cmp(&b.component))
    });
    set_confidence(&mut suspects, &topology);
    suspects.truncate(options.suspects_max);
    let abstained = suspects.first().is_none_or(|first| first.confidence < options.confidence_min);
    Localization { suspects, onset, abstained }
}

fn topology_of(scene: &Scene) -> Topology {
    let mut topology = scene.topology.clone();
    for series in &scene.series {
        if let Some((caller, callee)) = edge_of(&series.labels) {
            topology.add_edge(caller, callee);
        }
    }
    topology
}

/// What the alerts complain of, if it is one thing only.
struct Focus {
    latency: f64,
    errors: f64,
}

impl Focus {
    fn of(alerts: &[BTreeMap<String, String>]) -> Self {
        let text: Vec<String> =
            alerts.iter().flat_map(BTreeMap::values).map(|value| value.to_ascii_lowercase()).collect();
        let told = |stems: &[&str]| text.iter().any(|value| stems.iter().any(|stem| value.contains(stem)));
        let slow = told(&["latency", "slow", "duration", "response time"]);
        let failing = told(&["availab", "error", "success", "fail", "5xx"]);
        let (latency, errors) = match (slow, failing) {
            (true, false) => (1.0, OFF_FOCUS),
            (false, true) => (OFF_FOCUS, 1.0),
            _ => (1.0, 1.0),
        };
        Self { latency, errors }
    }

    fn weight(&self, kind: Kind) -> f64 {
        match kind {
            Kind::Latency | Kind::ClientLatency | Kind::NetworkGap => self.latency,
            Kind::Errors | Kind::Success => self.errors,
            _ => 1.0,
        }
    }
}

/// `½·ln(1 + u²)`: next to nothing below 1, the logarithm beyond.
fn strength(size: f64) -> f64 {
    0.5 * size.clamp(0.0, SIZE_MAX).powi(2).ln_1p()
}

fn hear_metrics(
    cases: &mut BTreeMap<String, Case>,
    observations: &Observations,
    onset: &Onset,
    focus: &Focus,
) {
    let mut families: BTreeMap<&str, Vec<&Observed>> = BTreeMap::new();
    for one in &observations.all {
        families.entry(&one.family).or_default().push(one);
    }
    let cut_bin = observations.bin_of(onset.at_ms);
    let guard_bins = GUARD_MS / observations.bin_ms.max(1);
    for family in families.values() {
        let series: Vec<&Binned> = family.iter().map(|one| &one.binned).collect();
        let moves = deviation::moves(&series, cut_bin, guard_bins);
        let mut inward: BTreeMap<&str, Vec<Testimony>> = BTreeMap::new();
        let mut outward: BTreeMap<&str, Vec<Testimony>> = BTreeMap::new();
        for (one, moved) in family.iter().zip(&moves) {
            let Some(moved) = moved else { continue };
            let testimony = testimony(one, moved, observations, focus);
            match &one.caller {
                None => {
                    if let Some(case) = cases.get_mut(&one.component) {
                        case.hear(testimony);
                    }
                }
                Some(caller) => {
                    if one.kind == Kind::NetworkGap {
                        outward.entry(caller).or_default().push(testimony.clone());
                    }
                    inward.entry(&one.component).or_default().push(testimony);
                }
            }
        }
        for (component, heard) in inward {
            let at = heard.len() / 2;
            if let (Some(case), Some(common)) = (cases.get_mut(component), ranked(heard, at)) {
                case.hear(common);
            }
        }
        for (component, heard) in outward.into_iter().filter(|(_, heard)| heard.len() > 1) {
            let at = (heard.len() - 1) / 2;
            if let (Some(case), Some(mut common)) = (cases.get_mut(component), ranked(heard, at)) {
                common.strength *= OUTWARD_SHARE;
                case.hear(common);
            }
        }
    }
}

/// The testimony at place `at`, the weakest first.
fn ranked(mut heard: Vec<Testimony>, at: usize) -> Option<Testimony> {
    heard.sort_by(|a, b| a.strength.total_cmp(&b.strength).then_with(|| a.note.cmp(&b.note)));
    (at < heard.len()).then(|| heard.swap_remove(at))
}

fn testimony(one: &Observed, moved: &Move, observations: &Observations, focus: &Focus) -> Testimony {
    let up = one.kind.weight(true) * strength(moved.up);
    let down = one.kind.weight(false) * strength(moved.down);
    let verb = if moved.up >= moved.down { "rose" } else { "fell" };
    let most = if matches!(one.kind, Kind::Errors | Kind::Success) { FAILING_MAX } else { f64::INFINITY };
    Testimony {
        kind: one.kind,
        strength: up.max(down).min(most) * focus.weight(one.kind),
        onset_ms: moved.began_bin.map(|bin| observations.time_of(bin)),
        note: format!(
            "{} {verb} from {} to {}, {:.1} times its usual variation",
            one.name,
            number(moved.before),
            number(moved.peak),
            moved.up.max(moved.down).min(SIZE_MAX)
        ),
    }
}

fn hear_logs(cases: &mut BTreeMap<String, Case>, logs: &[LogRecord], known: &BTreeSet<&str>, onset: &Onset) {
    let mut heard: BTreeMap<String, [Option<LogChange>; 2]> = BTreeMap::new();
    for change in log_change::changes(logs, known, onset.at_ms, GUARD_MS) {
        let [came, missing] = heard.entry(change.component.clone()).or_default();
        let slot = if change.is_missing { missing } else { came };
        if slot.is_none() {
            *slot = Some(change);
        }
    }
    for (component, [came, missing]) in heard {
        let surprise = |change: &Option<LogChange>| change.as_ref().map_or(0.0, |change| change.surprise);
        let size = surprise(&came) + surprise(&missing);
        let told = |change: &LogChange| {
            let verb = if change.is_missing { "no longer logs" } else { "logs" };
            format!("{verb} {:?} ({} lines before, {} after)", change.template, change.before, change.after)
        };
        let note: Vec<String> = [&came, &missing].into_iter().flatten().map(told).collect();
        cases.entry(component).or_default().hear(Testimony {
            kind: Kind::Logs,
            strength: (LOG_STRENGTH * size).min(LOG_STRENGTH_MAX),
            onset_ms: came.and_then(|change| change.first_ms),
            note: note.join("; "),
        });
    }
}

fn set_confidence(suspects: &mut [Suspect], topology: &Topology) {
    let scores: Vec<f64> = suspects.iter().map(|suspect| suspect.score).collect();
    let first = scores.first().copied().unwrap_or(0.0);
    for (index, suspect) in suspects.iter_mut().enumerate() {
        let rival = if index == 0 { scores.get(1).copied().unwrap_or(0.0) } else { first };
        let unseen =
            if topology.contains(&suspect.component) { 0.0 } else { UNSEEN_CALLS * symptom_share(suspect) };
        suspect.confidence = rounded(probability(suspect.score, rival) * (1.0 - unseen));
    }
}

/// How much of the evidence (in squares, as it adds up) could be the effect of a callee's trouble, in [0, 1].
fn symptom_share(suspect: &Suspect) -> f64 {
    let squares = |wanted: fn(Kind) -> bool| -> f64 {
        suspect.evidence.iter().filter(|one| wanted(one.kind)).map(|one| one.strength.powi(2)).sum()
    };
    let all = squares(|_| true);
    if all > 0.0 { squares(Kind::is_symptom) / all } else { 0.0 }
}

/// How likely the one with `score` is the right one beside a `rival`: a logistic function of the strength and the
/// margin, and of both together (a lead means little among faint scores), times the chance that there is anything at all.
/// The four numbers were fitted on labelled faults of four systems, one of them generated, and rounded. That the faint are
/// pressed down (`1 - exp(-score)`) was added after seeing wrong answers given with confidence; how well the whole is
/// calibrated on systems it has not seen is not known.
fn probability(score: f64, rival: f64) -> f64 {
    if score <= 0.0 {
        return 0.0;
    }
    let strength = score.ln_1p();
    let margin = (score - rival) / score.max(rival);
    let logit = -1.7 + 1.5 * strength + margin + 1.8 * margin * strength;
    (1.0 - (-score).exp()) / (1.0 + (-logit).exp())
}

fn rounded(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

#[cfg(test)]
mod tests;
