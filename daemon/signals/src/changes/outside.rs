//! Causes that no change of one's own explains.
//!
//! Owns the evidence for them: status events, a platform that hurts first, far ends outside, trouble everywhere at once,
//! demand, expiry. Never argues from the lack of a guilty deploy.

use super::onset::{CLEAR, Symptom, SymptomKind};
use super::place::Map;
use super::{Case, Cause, Hypothesis, StatusEvent, words};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where an outside cause lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// A cloud or other vendor said so of itself.
    Provider,
    /// Nodes, their other tenants, schedulers.
    Node,
    /// What all services stand on: name resolution, the cluster itself.
    Platform,
    /// Far ends that errors name and that are none of one's services.
    Dependency,
    /// More was asked for.
    Demand,
    /// A certificate or credential ran out.
    Expiry,
}

/// Status pages are late, and so are onsets.
const STATUS_MS: u64 = 15 * 60_000;
const BLUR_MS: u64 = 120_000;
/// A platform that began to hurt longer before has another story.
const PLATFORM_MS: u64 = 30 * 60_000;
/// A change this long before a rise of demand may be why.
const DEMAND_CHANGE_MS: u64 = 30 * 60_000;

struct Clue {
    outside: Outside,
    strength: f64,
    said: String,
}

/// At most one hypothesis: the clues are one story told by several witnesses, and the strongest names it.
pub(super) fn causes(
    case: &Case,
    symptoms: &[Symptom],
    map: &Map,
    failing: &str,
    onset_ms: Option<u64>,
) -> Option<Hypothesis> {
    let trouble = onset_ms.unwrap_or(case.alert.fired_at_ms);
    let mut clues = Vec::new();
    clues.extend(status(case, symptoms, trouble));
    clues.extend(platform(symptoms, map, trouble));
    clues.extend(far_ends(symptoms, map, trouble));
    clues.extend(everywhere(symptoms, map, failing, trouble));
    clues.extend(demand(case, symptoms, map, failing, trouble));
    clues.extend(expiry(symptoms, failing));
    clues.sort_by(|a, b| b.strength.total_cmp(&a.strength).then(a.outside.cmp(&b.outside)));
    let outside = clues.first()?.outside;
    let score = 1.0 - clues.iter().map(|clue| 1.0 - clue.strength).product::<f64>();
    let evidence = clues.into_iter().map(|clue| clue.said).collect();
    Some(Hypothesis { cause: Cause::Outside(outside), score, confidence: 0.0, evidence })
}

fn status(case: &Case, symptoms: &[Symptom], trouble: u64) -> Option<Clue> {
    let heard: BTreeSet<&String> = symptoms
        .iter()
        .filter(|one| one.onset_ms.saturating_add(BLUR_MS) >= trouble)
        .flat_map(|one| &one.words)
        .collect();
    let strength = |event: &StatusEvent| -> f64 {
        let about = words::set(&format!("{} {} {}", event.subject, event.region, event.text));
        // One word in common may be chance.
        let shared = about.iter().filter(|word| heard.iter().any(|other| words::alike(word, other))).count();
        if shared >= 2 { 0.8 } else { 0.4 }
    };
    case.status
        .iter()
        .filter(|event| !event.healthy && event.at_ms.abs_diff(trouble) <= STATUS_MS)
        .map(|event| (strength(event), event))
        .max_by(|a, b| {
            a.0.total_cmp(&b.0).then(b.1.at_ms.cmp(&a.1.at_ms)).then(b.1.subject.cmp(&a.1.subject))
        })
        .map(|(strength, event)| {
            let of_platform = words::split(&event.subject).iter().any(|word| {
                ["dns", "coredn", "cluster", "kubernete", "resolver", "node"].contains(&word.as_str())
            });
            let said: String = event.text.chars().take(120).collect();
            Clue {
                outside: if of_platform { Outside::Platform } else { Outside::Provider },
                strength,
                said: format!("{} {}: {said}", event.subject, event.region),
            }
        })
}

/// Components of the platform that hurt before the service did, or with it, and strangers that woke up with them.
fn platform(symptoms: &[Symptom], map: &Map, trouble: u64) -> Vec<Clue> {
    let in_time = |one: &&Symptom| {
        one.strength >= CLEAR
            && one.onset_ms <= trouble.saturating_add(BLUR_MS)
            && one.onset_ms.saturating_add(PLATFORM_MS) >= trouble
    };
    let own: Vec<&Symptom> =
        symptoms.iter().filter(|one| map.is_platform(&one.service)).filter(in_time).collect();
    let of_node = own.iter().any(|one| {
        words::split(&one.service).iter().any(|word| ["node", "kubelet", "host"].contains(&word.as_str()))
            || one.words.iter().any(|word| ["node", "host"].contains(&word.as_str()))
    });
    let outside = if of_node { Outside::Node } else { Outside::Platform };
    let mut clues = Vec::new();
    for (kind, strength) in [(SymptomKind::Metric, 0.65), (SymptomKind::LogNew, 0.3)] {
        if let Some(one) = own.iter().find(|one| one.kind == kind) {
            let text: String = one.text.chars().take(80).collect();
            clues.push(Clue {
                outside,
                strength,
                said: format!("{} of the platform hurts first: {text}", one.service),
            });
        }
    }
    clues
}

/// Hosts outside that the errors name.
fn far_ends(symptoms: &[Symptom], map: &Map, trouble: u64) -> Option<Clue> {
    let mut hosts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut errors = 0_usize;
    let mut naming = 0_usize;
    for one in symptoms {
        if matches!(one.kind, SymptomKind::Metric | SymptomKind::LogGone)
            || one.onset_ms.saturating_add(BLUR_MS) < trouble
            || (one.kind == SymptomKind::LogNew && one.strength < CLEAR)
        {
            continue;
        }
        errors += 1;
        let named: Vec<String> = hosts_in(&one.text).filter(|host| !map.is_component(host)).collect();
        naming += usize::from(!named.is_empty());
        for host in named {
            hosts.entry(host).or_default().insert(&one.service);
        }
    }
    // A host in one error of many is a detail, in most of them it is the subject.
    (2 * naming >= errors && naming >= 2).then(|| Clue {
        outside: Outside::Dependency,
        strength: 0.45,
        said: format!(
            "{naming} of {errors} kinds of error name hosts outside: {}",
            hosts.keys().take(4).cloned().collect::<Vec<_>>().join(", ")
        ),
    })
}

/// Names of three labels and more whose last is letters: `api.example.com`, not `10.0.0.1` and not `main.go`; not the
/// names of attributes (`net.peer.name=`), and none that only one's own resolver knows.
fn hosts_in(text: &str) -> impl Iterator<Item = String> {
    let of_host = |letter: char| letter.is_ascii_alphanumeric() || letter == '.' || letter == '-';
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|letter| !of_host(letter));
        let end = rest.find(|letter| !of_host(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        if word.is_empty() {
            return None;
        }
        rest = after;
        Some((word.trim_matches('.'), after.starts_with('=')))
    })
    .filter(|(word, names_attribute)| {
        let labels: Vec<&str> = word.split('.').collect();
        let last = labels.last().copied().unwrap_or("");
        !names_attribute
            && labels.len() >= 3
            && labels.iter().all(|label| !label.is_empty())
            && last.len() >= 2
            && last.chars().all(|c| c.is_ascii_alphabetic())
            && !["local", "internal", "svc", "lan", "localdomain"].contains(&last)
    })
    .map(|(word, _)| word.to_ascii_lowercase())
}

/// Services that fail within the same minutes though they do not blame each other.
fn everywhere(symptoms: &[Symptom], map: &Map, failing: &str, trouble: u64) -> Option<Clue> {
    let mut firsts: BTreeMap<&str, u64> = BTreeMap::new();
    for one in symptoms {
        if one.strength >= CLEAR && !map.is_platform(&one.service) && one.kind != SymptomKind::LogGone {
            let first = firsts.entry(&one.service).or_insert(one.onset_ms);
            *first = (*first).min(one.onset_ms);
        }
    }
    let together: Vec<&str> = firsts
        .iter()
        .filter(|(service, first)| {
            **service != failing
                && first.abs_diff(trouble) <= BLUR_MS
                && map.nearness(failing, service) < 0.75
        })
        .map(|(service, _)| *service)
        .collect();
    (together.len() >= 2).then(|| Clue {
        outside: Outside::Dependency,
        strength: 0.35,
        said: format!("{} fail at the same time as {failing} without calling it", together.join(", ")),
    })
}

/// More requests than ever, before the trouble, and no change that would explain them.
fn demand(case: &Case, symptoms: &[Symptom], map: &Map, failing: &str, trouble: u64) -> Option<Clue> {
    let names_demand = |metric: &str| {
        let metric = metric.to_ascii_lowercase();
        let parts: Vec<&str> = metric.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let rate = parts.iter().any(|part| ["rps", "qps", "tps", "rpm"].contains(part))
            || metric.contains("per_second")
            || metric.contains("per_sec");
        let asked =
            ["request", "quer", "call", "message", "event", "order", "connection", "session", "traffic"];
        let failure = ["error", "fail", "5xx", "throttle", "duration", "latency", "retr"];
        let volume = rate
            || metric.contains("request_count")
            || metric.contains("requests_total")
            || metric.contains("traffic");
        volume
            && (rate || asked.iter().any(|stem| metric.contains(stem)))
            && !failure.iter().any(|stem| metric.contains(stem))
    };
    symptoms
        .iter()
        .filter(|one| one.kind == SymptomKind::Metric && one.strength >= CLEAR && names_demand(&one.text))
        .filter(|one| one.onset_ms <= trouble.saturating_add(BLUR_MS))
        .filter(|one| one.service == failing || map.nearness(failing, &one.service) >= 0.5)
        .filter(|one| one.levels.is_some_and(|(before, after)| after > 1.5 * before.max(0.0)))
        .find(|one| {
            let before =
                |at_ms: u64| at_ms <= one.onset_ms + BLUR_MS && at_ms + DEMAND_CHANGE_MS >= one.onset_ms;
            !case
                .deploys
                .iter()
                .any(|deploy| before(deploy.at_ms) && map.nearness(&deploy.service, &one.service) >= 0.5)
        })
        .map(|one| Clue {
            outside: Outside::Demand,
            strength: 0.6,
            said: format!("{} at {} rose first, and no change explains it", one.text, one.service),
        })
}

/// Errors that say that something ran out of its time.
fn expiry(symptoms: &[Symptom], failing: &str) -> Option<Clue> {
    let says = |one: &&Symptom| {
        let text = one.text.to_ascii_lowercase();
        let what = ["certificate", "x509", "credential", "token", "secret", "license", "tls"];
        let ended = ["expired", "has expired", "not yet valid", "notafter"];
        what.iter().any(|word| text.contains(word)) && ended.iter().any(|word| text.contains(word))
    };
    symptoms
        .iter()
        .filter(|one| one.service == failing && matches!(one.kind, SymptomKind::LogNew | SymptomKind::Span))
        .find(says)
        .map(|one| {
            let text: String = one.text.chars().take(120).collect();
            Clue { outside: Outside::Expiry, strength: 0.7, said: text }
        })
}
