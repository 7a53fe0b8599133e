//! Where trouble began, from raw series of every component: named, cited, and brought together with the taxonomy.

use crate::scene::{START_MS, Scene};
use medic_core::diagnosis::Hypothesis;
use medic_core::phase::PhaseName;
use medic_core::{Fault, FaultKind, Incident, Labels, TimestampMs};
use medic_ports::fake::metrics::{sample, series};
use medic_ports::metrics::{Sample, Series};

/// gateway → checkout → payments → store, as the raw series of a shop's scrape.
const CALLS: [(&str, &str); 3] = [("gateway", "checkout"), ("checkout", "payments"), ("payments", "store")];
const SERVICES: [&str; 4] = ["gateway", "checkout", "payments", "store"];
const STEP_MS: u64 = 2_000;
/// When payments runs out of processor.
const BROKE_MS: u64 = START_MS - 90_000;

/// A value that wavers a little, the same at every run.
fn wavering(seed: u64, n: u64) -> f64 {
    let mixed =
        (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    ((mixed ^ (mixed >> 29)) % 1_000) as f64 / 1_000.0 - 0.5
}

fn raw(name: &str, labels: &[(&str, &str)], seed: u64, before: f64, after: f64) -> Series {
    let mut named = Labels::from([("__name__", name)]);
    named.0.extend(labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())));
    let start = START_MS - 1_800_000;
    let values = (0..900u64).map(|n| {
        let level = if start + n * STEP_MS < BROKE_MS { before } else { after };
        level * (1.0 + 0.1 * wavering(seed, n))
    });
    series(named, TimestampMs(start), STEP_MS, values)
}

/// Payments is slow because its processor is busy; its callers are slow because of it.
fn break_payments(scene: &Scene) {
    let metric = |name: &str| Sample { ..sample(Labels::from([("__name__", name)]), 4.0) };
    let names = ["request_latency_p99_seconds", "container_cpu_usage_cores", "errors_5xx_per_second"];
    scene.metrics.samples("count by (__name__) ({service!=", names.iter().map(|name| metric(name)).collect());
    // Thirty samples a minute.
    scene.metrics.value("[1m]))", 30.0);
    let edges = CALLS
        .iter()
        .map(|(caller, callee)| sample(Labels::from([("service", *caller), ("peer", *callee)]), 1.0));
    scene.metrics.samples("http_client_requests_total[5m]", edges.collect());
    let mut all = Vec::new();
    for (seed, service) in (0..).zip(SERVICES) {
        let labels = [("service", service)];
        let slow = if service == "store" { 0.02 } else { 0.9 };
        all.push(raw("request_latency_p99_seconds", &labels, seed, 0.02, slow));
        let busy = if service == "payments" { 0.95 } else { 0.2 };
        all.push(raw("container_cpu_usage_cores", &labels, 10 + seed, 0.2, busy));
    }
    scene.metrics.series("{__name__=~", all);
}

fn cited<'a>(incident: &'a Incident, hypothesis: &Hypothesis) -> Vec<&'a str> {
    let evidence = hypothesis.supporting.iter().filter_map(|one| incident.find_evidence(&one.evidence));
    evidence.map(|evidence| evidence.summary.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_place_is_named_with_onset_and_what_changed_though_no_indicator_knows_it() {
    let scene = Scene::new().await;
    break_payments(&scene);
    let id = scene.alert("HighLatency", "gateway").await;
    let end = scene.reach(&id, PhaseName::Escalated).await;
    let diagnosis = end.diagnosis().unwrap();
    let best = &diagnosis.hypotheses[0];
    assert_eq!(
        (best.component.as_str(), best.category.as_str()),
        ("payments", "unclassified"),
        "{diagnosis:#?}"
    );
    assert!(best.confidence.value() >= 0.5, "{best:#?}");
    let cited = cited(&end, best);
    assert!(cited.iter().any(|text| text.starts_with("it began at 1970-01-12T13:4")), "{cited:?}");
    assert!(cited.iter().any(|text| text.contains("container_cpu_usage_cores")), "{cited:?}");
    let told = end.findings.iter().find(|finding| finding.category == "origin").unwrap();
    let off_ms = told.onset.unwrap().0.abs_diff(BROKE_MS);
    assert!(off_ms <= told.onset_uncertainty_ms + 15_000, "{off_ms} ms off, ± {}", told.onset_uncertainty_ms);
    // A place is no remedy.
    assert!(scene.tools.acts().is_empty());
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cause_that_was_seen_outweighs_a_place_that_was_reckoned() {
    let scene = Scene::new().await;
    break_payments(&scene);
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    let waiting = scene.reach(&id, PhaseName::AwaitingDecision).await;
    let diagnosis = waiting.diagnosis().unwrap();
    let best = diagnosis.concluded().unwrap();
    assert_eq!(
        (best.component.as_str(), best.category.as_str()),
        ("checkout", "bad-config"),
        "{diagnosis:#?}"
    );
    assert!(best.against.iter().any(|one| one.why.contains("points to payments")), "{best:#?}");
    let place = diagnosis.hypotheses.iter().find(|one| one.component.as_str() == "payments").unwrap();
    assert!(place.confidence.value() < 0.5, "{place:#?}");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_survey_that_fails_is_a_gap_and_the_indicators_still_speak() {
    let scene = Scene::new().await;
    let slow = Fault::new(
        FaultKind::Upstream,
        "PROMETHEUS_EXECUTION",
        "query processing would load too many samples",
    );
    scene.metrics.instant.on("count by (__name__)", medic_ports::fake::script::Reply::Fail(slow));
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    let waiting = scene.reach(&id, PhaseName::AwaitingDecision).await;
    assert!(waiting.gaps.iter().any(|gap| gap.query == "what metrics there are"), "{:?}", waiting.gaps);
    assert_eq!(waiting.diagnosis().unwrap().concluded().unwrap().category, "bad-config");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_survey_asks_no_more_than_its_limits_and_says_what_it_left_out() {
    let scene = Scene::new().await;
    break_payments(&scene);
    let metric = |name: &str, series: f64| sample(Labels::from([("__name__", name)]), series);
    let many = (0..30).map(|n| metric(&format!("queue_{n:02}_length"), 300.0));
    let huge = metric("http_requests_total", 5_000.0);
    scene.metrics.samples("count by (__name__) ({service!=", many.chain([huge]).collect());
    let pods = (0..900).map(|n| {
        let pod = format!("payments-{n}");
        sample(Labels::from([("service", "payments"), ("code", "500"), ("pod", pod.as_str())]), 1.0)
    });
    scene.metrics.samples("{__name__=~\"http_requests_total\",service", pods.collect());
    let id = scene.alert("HighLatency", "gateway").await;
    let end = scene.reach(&id, PhaseName::Escalated).await;
    let asked = scene.metrics.range.asked();
    let summed: Vec<&String> =
        asked.iter().filter(|promql| promql.contains("http_requests_total\",")).collect();
    assert!(
        !summed.is_empty() && summed.iter().all(|promql| promql.starts_with("sum by (code, service) (rate("))
    );
    let raw = asked.iter().filter(|promql| promql.starts_with("{__name__")).flat_map(|p| p.matches("queue_"));
    assert_eq!(raw.count(), 5 * summed.len(), "five of thirty fit into 2,000 series, at every look");
    let evidence = end.evidence.iter().find(|one| one.excerpt.contains("cut: ")).unwrap();
    assert!(
        evidence.excerpt.contains("25 metrics of 7500 series were left out beyond 2000"),
        "{}",
        evidence.excerpt
    );
    assert!(evidence.excerpt.contains("summed up over pod"), "{}", evidence.excerpt);
    scene.stop().await;
}
