//! Who calls whom, and who fails first.
//!
//! Owns the map of services as logs and spans give it away, and the walk from the alerted service down to the one that
//! fails of itself. Never guesses a call that nothing mentions.

use super::onset::{CLEAR, Symptom, SymptomKind};
use super::{Case, SERVICE_LABEL, words};
use crate::topology::Topology;
use std::collections::{BTreeMap, BTreeSet};

/// Words in a component's name or its metrics that tell the platform from what runs on it.
const PLATFORM_WORDS: [&str; 16] = [
    "node",
    "kube",
    "kubelet",
    "kubernetes",
    "coredn",
    "coredns",
    "dns",
    "etcd",
    "scheduler",
    "host",
    "hypervisor",
    "resolver",
    "zone",
    "istio",
    "cni",
    "machine",
];
/// A cause precedes what it causes, but clocks and sampling blur by so much.
const BLUR_MS: u64 = 120_000;

pub(super) struct Map {
    calls: Topology,
    platform: BTreeSet<String>,
    /// Callees that failing callers name in their errors.
    blamed: BTreeMap<String, BTreeSet<String>>,
    components: BTreeSet<String>,
}

impl Map {
    pub(super) fn of(case: &Case) -> Self {
        let components = components(case);
        let platform = platform(case, &components);
        let mut calls = Topology::new();
        let mut blamed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let by_id: BTreeMap<&str, &str> =
            case.spans.iter().map(|span| (span.id.as_str(), span.service.as_str())).collect();
        for span in &case.spans {
            let caller = span.parent.as_deref().and_then(|parent| by_id.get(parent));
            if let Some(caller) = caller.filter(|caller| **caller != span.service) {
                calls.add_edge(*caller, span.service.clone());
                if span.failed {
                    blamed.entry((*caller).to_owned()).or_default().insert(span.service.clone());
                }
            }
        }
        for record in &case.logs {
            let own = record.service_or_empty();
            if platform.contains(own) {
                continue;
            }
            for other in mentioned(&record.message, &components) {
                if other != own && !platform.contains(other) {
                    calls.add_edge(own, other);
                    if record.is_error() || record.level == Some(crate::logs::Level::Warn) {
                        blamed.entry(own.to_owned()).or_default().insert(other.to_owned());
                    }
                }
            }
        }
        Self { calls, platform, blamed, components }
    }

    pub(super) fn is_platform(&self, component: &str) -> bool {
        self.platform.contains(component)
    }

    pub(super) fn is_component(&self, name: &str) -> bool {
        self.components.contains(name)
    }

    /// Follows the blame from the alerted service: to a callee that it names in its errors, that hurts itself, not
    /// later, and does not blame back.
    pub(super) fn first_failing(&self, alerted: &str, symptoms: &[Symptom]) -> String {
        let onset = |service: &str| {
            symptoms
                .iter()
                .filter(|one| {
                    one.service == service
                        && one.strength >= CLEAR
                        && matches!(one.kind, SymptomKind::Metric | SymptomKind::LogNew)
                })
                .map(|one| one.onset_ms)
                .min()
        };
        let mut at = alerted.to_owned();
        let mut visited = BTreeSet::from([at.clone()]);
        loop {
            let own = onset(&at).unwrap_or(u64::MAX);
            let next = self
                .blamed
                .get(&at)
                .into_iter()
                .flatten()
                .filter(|callee| {
                    !visited.contains(*callee)
                        && !self.platform.contains(*callee)
                        && !self.blamed.get(*callee).is_some_and(|back| back.contains(&at))
                })
                .filter_map(|callee| Some((onset(callee)?, callee)))
                .filter(|(theirs, _)| *theirs <= own.saturating_add(BLUR_MS))
                .min();
            let Some((_, callee)) = next else { return at };
            at = callee.clone();
            visited.insert(at.clone());
        }
    }

    /// How near `service` is to `failing`, in [0, 1]: a callee's change reaches its callers wholly, a caller's reaches
    /// its callee as load; what is unknown may be near.
    pub(super) fn nearness(&self, service: &str, failing: &str) -> f64 {
        if service == failing {
            return 1.0;
        }
        let down = self.calls.distance(failing, service);
        let up = self.calls.distance(service, failing);
        match (down, up) {
            (Some(1), _) => 0.9,
            (_, Some(1)) => 0.75,
            (Some(_), _) => 0.6,
            (_, Some(_)) => 0.5,
            // Both are on the map, and no way leads from one to the other.
            _ if self.calls.contains(service) && self.calls.contains(failing) => 0.2,
            _ => 0.35,
        }
    }
}

fn components(case: &Case) -> BTreeSet<String> {
    let series = case.series.iter().filter_map(|series| series.label(SERVICE_LABEL));
    let logs = case.logs.iter().filter_map(|record| record.service.as_deref());
    let spans = case.spans.iter().map(|span| span.service.as_str());
    let deploys = case.deploys.iter().map(|deploy| deploy.service.as_str());
    let alert = std::iter::once(case.alert.service.as_str());
    series
        .chain(logs)
        .chain(spans)
        .chain(deploys)
        .chain(alert)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Components that nobody deploys and whose name or metrics speak of the platform.
fn platform(case: &Case, components: &BTreeSet<String>) -> BTreeSet<String> {
    let tells = |text: &str| words::split(text).iter().any(|word| PLATFORM_WORDS.contains(&word.as_str()));
    components
        .iter()
        .filter(|name| {
            let deployed = case.deploys.iter().any(|deploy| deploy.service == **name);
            let metrics: Vec<&str> = case
                .series
                .iter()
                .filter(|series| series.label(SERVICE_LABEL) == Some(name.as_str()))
                .map(|series| series.name())
                .collect();
            let of_platform = metrics.iter().filter(|metric| tells(metric)).count();
            !deployed
                && **name != case.alert.service
                && (tells(name) || (!metrics.is_empty() && 2 * of_platform > metrics.len()))
        })
        .cloned()
        .collect()
}

/// Components named in a text as whole words.
fn mentioned<'a>(text: &str, components: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
    let named = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    let text_words: BTreeSet<String> = text.split(|letter| !named(letter)).map(str::to_owned).collect();
    components.iter().map(String::as_str).filter(move |name| name.len() >= 4 && text_words.contains(*name))
}
