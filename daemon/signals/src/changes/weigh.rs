//! The score of each change.
//!
//! Owns timing, place and link of deployed commits and flipped flags. Never looks at causes from outside.

use super::diff::{self, Behaviour};
use super::onset::{CLEAR, Symptom, SymptomKind};
use super::place::Map;
use super::words::{self, Rarity};
use super::{Case, Cause, Commit, Deploy, FlagFlip, Hypothesis};
use std::collections::{BTreeMap, BTreeSet};

/// Most faults of a change show in minutes; a quarter of an hour halves and halves again what a deploy must answer for.
const LAG_MS: f64 = 15.0 * 60_000.0;
/// Deploys are stamped when they begin or when they end, and samples lie up to a minute apart.
const STAMP_MS: u64 = 60_000;
/// A symptom's own uncertainty helps a change by no more than this.
const UNCERTAINTY_MS_MAX: u64 = 180_000;
/// What is left for a change after the trouble began: onsets can be wrong.
const TOO_LATE: f64 = 0.05;
/// A commit that no deploy names, but that lies in the path of the next deploy, may have been part of it.
const CARRIED: f64 = 0.5;
/// A flag switches a path of the code; nobody can read which.
const FLAG_BEHAVIOUR: f64 = 0.5;
/// Words of service names connect everything at that service.
const SERVICE_WORD: f64 = 0.3;

pub(super) fn changes(
    case: &Case,
    symptoms: &[Symptom],
    map: &Map,
    failing: &str,
    onset_ms: Option<u64>,
) -> Vec<Hypothesis> {
    let documents: Vec<BTreeSet<String>> = case.commits.iter().map(document).collect();
    let names: BTreeSet<String> =
        symptoms.iter().map(|one| one.service.as_str()).chain([failing]).flat_map(words::split).collect();
    let scene = Scene { case, symptoms, map, failing, onset_ms, rarity: Rarity::of(&documents), names };
    let mut best: BTreeMap<Cause, Hypothesis> = BTreeMap::new();
    let mut keep = |hypothesis: Hypothesis| {
        let known = best.get(&hypothesis.cause).map_or(-1.0, |known| known.score);
        if hypothesis.score > known {
            best.insert(hypothesis.cause.clone(), hypothesis);
        }
    };
    for commit in &case.commits {
        let named: Vec<&Deploy> = case.deploys.iter().filter(|deploy| names_commit(deploy, commit)).collect();
        for deploy in &named {
            keep(scene.commit(commit, deploy, 1.0));
        }
        if named.is_empty()
            && let Some(deploy) = carrier(commit, &case.deploys)
        {
            keep(scene.commit(commit, deploy, CARRIED));
        }
    }
    // A deploy of a commit that is not at hand is a change all the same.
    for deploy in &case.deploys {
        if !deploy.sha.is_empty() && !case.commits.iter().any(|commit| names_commit(deploy, commit)) {
            let commit = Commit { sha: deploy.sha.clone(), at_ms: deploy.at_ms, ..Commit::default() };
            keep(scene.commit(&commit, deploy, 1.0));
        }
    }
    for flip in &case.flags {
        keep(scene.flag(flip));
    }
    best.into_values().collect()
}

fn names_commit(deploy: &Deploy, commit: &Commit) -> bool {
    // Seven digits: the least that tools print.
    deploy.sha == commit.sha || (deploy.sha.len() >= 7 && commit.sha.starts_with(&deploy.sha))
}

/// The first deploy after the commit of a service whose name is in one of its paths.
fn carrier<'a>(commit: &Commit, deploys: &'a [Deploy]) -> Option<&'a Deploy> {
    deploys
        .iter()
        .filter(|deploy| deploy.at_ms >= commit.at_ms)
        .filter(|deploy| {
            let stem = stem(&deploy.service);
            commit.files.iter().any(|file| file.split('/').rev().skip(1).any(|part| self::stem(part) == stem))
        })
        .min_by_key(|deploy| (deploy.at_ms, &deploy.service, &deploy.sha))
}

/// `cart-service`, `cartservice`, `cart-svc` and `cart` are one.
fn stem(name: &str) -> &str {
    let name = name.strip_suffix("service").or_else(|| name.strip_suffix("svc")).unwrap_or(name);
    name.trim_end_matches(['-', '_'])
}

fn document(commit: &Commit) -> BTreeSet<String> {
    let mut all = words::set(&commit.message);
    for file in &commit.files {
        all.extend(words::split(file));
    }
    all.extend(words::split(commit.diff.as_deref().unwrap_or("")));
    all
}

struct Scene<'a> {
    case: &'a Case,
    symptoms: &'a [Symptom],
    map: &'a Map,
    failing: &'a str,
    onset_ms: Option<u64>,
    rarity: Rarity,
    names: BTreeSet<String>,
}

impl Scene<'_> {
    fn commit(&self, commit: &Commit, deploy: &Deploy, share: f64) -> Hypothesis {
        let behaviour = diff::read(commit.diff.as_deref(), &commit.files);
        let mut spoken = behaviour.words.clone();
        let mut say = |text: &str, weight: f64| {
            for word in words::split(text) {
                let known = spoken.entry(word).or_insert(0.0);
                *known = known.max(weight);
            }
        };
        say(&commit.message, 0.5);
        for file in &commit.files {
            say(file, 0.4);
        }
        let mut evidence = Vec::new();
        let timing = self.timing(deploy.at_ms, &deploy.service, &mut evidence);
        let place = self.place(&deploy.service, deploy.at_ms, &mut evidence);
        evidence.push(format!("its diff: {} ({:.2})", behaviour.reason, behaviour.change));
        let link = match self.value_link(&behaviour, deploy) {
            Some(said) => {
                evidence.push(said);
                1.0
            }
            None => self.link(&spoken, deploy.at_ms, &deploy.service, &mut evidence),
        };
        if share < 1.0 {
            evidence.push(format!("no deploy names it; the next one of {} may hold it", deploy.service));
        }
        let score = timing * place * share * behaviour.change * (0.4 + 0.6 * link);
        Hypothesis { cause: Cause::Commit(commit.sha.clone()), score, confidence: 0.0, evidence }
    }

    fn flag(&self, flip: &FlagFlip) -> Hypothesis {
        let spoken = words::split(&flip.flag).into_iter().map(|word| (word, 0.7)).collect();
        let mut evidence = vec![format!("flag {} of {} went {}", flip.flag, flip.service, flip.change)];
        let timing = self.timing(flip.at_ms, &flip.service, &mut evidence);
        let place = self.place(&flip.service, flip.at_ms, &mut evidence);
        let link = self.link(&spoken, flip.at_ms, &flip.service, &mut evidence);
        let score = timing * place * FLAG_BEHAVIOUR * (0.4 + 0.6 * link);
        Hypothesis { cause: Cause::Flag(flip.flag.clone()), score, confidence: 0.0, evidence }
    }

    /// True if the symptom cannot have begun before `at_ms`, as far as stamps and onsets can be trusted.
    fn follows(&self, symptom: &Symptom, at_ms: u64) -> bool {
        let slack = STAMP_MS + symptom.onset_uncertainty_ms.min(UNCERTAINTY_MS_MAX);
        symptom.onset_ms.saturating_add(slack) >= at_ms
    }

    fn timing(&self, at_ms: u64, service: &str, evidence: &mut Vec<String>) -> f64 {
        let minutes = |ms: u64| format!("{:.0} min", ms as f64 / 60_000.0);
        let trouble = self.onset_ms.unwrap_or(self.case.alert.fired_at_ms);
        let first = self
            .symptoms
            .iter()
            .filter(|one| one.service == self.failing && one.onset_ms == trouble)
            .max_by_key(|one| one.onset_uncertainty_ms);
        let slack = STAMP_MS + first.map_or(0, |one| one.onset_uncertainty_ms).min(UNCERTAINTY_MS_MAX);
        if at_ms > trouble.saturating_add(slack) {
            evidence.push(format!("came {} after the trouble began", minutes(at_ms - trouble)));
            return TOO_LATE;
        }
        let near = |one: &&Symptom| one.service == self.failing || one.service == service;
        let next = self
            .symptoms
            .iter()
            .filter(near)
            .filter(|one| {
                one.strength >= CLEAR && one.kind != SymptomKind::LogGone && self.follows(one, at_ms)
            })
            .min_by_key(|one| one.onset_ms);
        let seen = next.map_or(trouble, |one| one.onset_ms);
        let lag = seen.saturating_sub(at_ms);
        let what = next.map_or("the alert", |one| one.text.as_str());
        let what: String = what.chars().take(60).collect();
        evidence.push(format!("{} before the first symptom near it ({what})", minutes(lag)));
        (-(lag as f64) / LAG_MS).exp()
    }

    fn place(&self, service: &str, at_ms: u64, evidence: &mut Vec<String>) -> f64 {
        let near = self.map.nearness(service, self.failing);
        // Trouble of its own, begun after the change, brings a service onto the scene whatever the map says.
        let hurts = self.symptoms.iter().any(|one| {
            one.service == service
                && one.kind == SymptomKind::Metric
                && one.strength >= CLEAR
                && self.follows(one, at_ms)
        });
        let place: f64 = if hurts { near.max(0.7) } else { near };
        evidence.push(if service == self.failing {
            format!("deployed to {service}, which failed first")
        } else {
            format!("deployed to {service}, nearness to {} {place:.2}", self.failing)
        });
        place
    }

    /// A number replaced in the diff and a metric that went from the old one to the new one.
    fn value_link(&self, behaviour: &Behaviour, deploy: &Deploy) -> Option<String> {
        let same = |a: f64, b: f64| (a - b).abs() <= 0.02 * a.abs().max(b.abs());
        self.symptoms
            .iter()
            .filter(|one| one.service == deploy.service || one.service == self.failing)
            .filter(|one| self.follows(one, deploy.at_ms))
            .find_map(|one| {
                let (before, after) = one.levels?;
                let (old, new) = behaviour
                    .values
                    .iter()
                    .find(|(old, new)| same(*old, before) && same(*new, after) && !same(*old, *new))?;
                Some(format!("it replaces {old} by {new}, and {} went from {before} to {after}", one.text))
            })
    }

    /// How much of the change's words returns in the symptoms after it, as independent witnesses.
    fn link(
        &self,
        spoken: &BTreeMap<String, f64>,
        at_ms: u64,
        service: &str,
        evidence: &mut Vec<String>,
    ) -> f64 {
        let mut heard: BTreeMap<&str, f64> = BTreeMap::new();
        let alert = words::set(&format!("{} {}", self.case.alert.metric, self.case.alert.summary));
        for word in &alert {
            heard.insert(word, 0.7);
        }
        for one in self.symptoms {
            if !self.follows(one, at_ms) && one.kind != SymptomKind::LogGone {
                continue;
            }
            let near = if one.service == self.failing || one.service == service { 1.0 } else { 0.5 };
            for word in &one.words {
                let known = heard.entry(word).or_insert(0.0);
                *known = known.max(one.strength * near);
            }
        }
        let mut witnesses: Vec<(f64, &str)> = Vec::new();
        for (word, weight) in spoken {
            let answer = heard
                .iter()
                .filter(|(other, _)| words::alike(word, other))
                .map(|(_, strength)| *strength)
                .fold(0.0, f64::max);
            let own = if self.names.contains(word) { SERVICE_WORD } else { 1.0 };
            let witness = 0.7 * weight * answer * self.rarity.weight(word) * own;
            if witness > 0.02 {
                witnesses.push((witness, word));
            }
        }
        witnesses.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        if !witnesses.is_empty() {
            let said: Vec<String> =
                witnesses.iter().take(5).map(|(weight, word)| format!("{word} {weight:.2}")).collect();
            evidence.push(format!("its words return in what followed: {}", said.join(", ")));
        }
        1.0 - witnesses.iter().map(|(witness, _)| 1.0 - witness).product::<f64>()
    }
}
