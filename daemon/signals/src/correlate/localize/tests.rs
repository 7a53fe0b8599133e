use super::*;
use crate::logs::Level;
use crate::series::Sample;
use proptest::prelude::*;

const START_MS: u64 = 1_700_000_000_000;
const ONSET_S: u64 = 700;
const END_S: u64 = 1_200;

/// Noise without randomness at run time, in [−1, 1].
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64 / (1u64 << 31) as f64) * 2.0 - 1.0
    }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
}

fn series(pairs: &[(&str, &str)], step_s: u64, mut value: impl FnMut(u64) -> f64) -> Series {
    let samples = (0..END_S)
        .step_by(step_s as usize)
        .map(|at_s| Sample { at_ms: START_MS + at_s * 1000, value: value(at_s) });
    Series::new(labels(pairs), samples.collect())
}

/// What a fault does to a component's level of a metric.
type Effect<'a> = &'a dyn Fn(&str, &str) -> f64;

/// Eight components with cpu, memory and disk gauges, latencies and traffic, of very different levels and noise;
/// `effect(component, metric)` multiplies from the onset on.
fn system(seed: u64, step_s: u64, effect: Effect) -> Vec<Series> {
    let mut noise = Noise(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut all = Vec::new();
    for (n, component) in
        ["ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "oak"].into_iter().enumerate()
    {
        let metrics = [
            ("container_cpu_cores", 0.05, 0.15),
            ("container_memory_working_set_bytes", 2e8, 0.003),
            ("container_fs_writes_bytes", 4e3, 0.6),
            ("request_latency_seconds", 0.02, 0.3),
            ("requests_per_second", 50.0, 0.1),
        ];
        for (metric, level, width) in metrics {
            let level = level * (1.0 + 3.0 * n as f64);
            let factor = effect(component, metric);
            all.push(series(&[("__name__", metric), ("service", component)], step_s, |at_s| {
                let shift = if at_s >= ONSET_S { factor } else { 1.0 };
                (level * shift * (1.0 + width * noise.next())).max(0.0)
            }));
        }
        all.push(series(
            &[("__name__", "container_spec_memory_limit_bytes"), ("service", component)],
            step_s,
            |_| 1e12,
        ));
    }
    all
}

fn chain() -> Topology {
    [("ash", "birch"), ("birch", "cedar"), ("cedar", "elm"), ("birch", "fir")].into_iter().collect()
}

fn scene(series: Vec<Series>, late_s: u64) -> Scene {
    Scene { series, alert_at_ms: START_MS + (ONSET_S + late_s) * 1000, ..Scene::default() }
}

fn found(scene: &Scene) -> Localization {
    localize(scene, &LocalizeOptions::default())
}

fn first(localization: &Localization) -> &str {
    localization.suspects.first().map_or("", |suspect| suspect.component.as_str())
}

#[test]
fn a_resource_fault_is_found_without_a_call_graph_however_late_the_alert() {
    for (metric, factor) in [
        ("container_cpu_cores", 4.0),
        ("container_memory_working_set_bytes", 1.3),
        ("container_fs_writes_bytes", 12.0),
    ] {
        for seed in 1..=6 {
            let step_s = [1, 5, 15][seed as usize % 3];
            let late_s = 60 + 30 * seed;
            let faulty = scene(
                system(seed, step_s, &|component, name| {
                    if (component, name) == ("elm", metric) { factor } else { 1.0 }
                }),
                late_s,
            );
            let answer = found(&faulty);
            let case = format!("{metric}, seed {seed}");
            assert_eq!(first(&answer), "elm", "{case}: {answer:#?}");
            assert!(answer.suspects[0].confidence > 0.7 && !answer.abstained, "{case}: {answer:#?}");
            let off_ms = answer.onset.at_ms.abs_diff(START_MS + ONSET_S * 1000);
            assert!(off_ms <= 45_000, "{case}: {:?} is off by {off_ms}", answer.onset);
        }
    }
}

#[test]
fn callers_that_wait_are_explained_by_the_callee_that_is_slow() {
    // Upstream the same delay is worse: callers call more than once.
    let slow = |component: &str, metric: &str| match (metric, component) {
        ("request_latency_seconds", "elm") => 6.0,
        ("request_latency_seconds", "cedar") => 9.0,
        ("request_latency_seconds", "birch" | "ash") => 12.0,
        _ => 1.0,
    };
    let mut slowed = scene(system(3, 5, &slow), 120);
    assert_ne!(first(&found(&slowed)), "elm", "without calls the largest move is all there is");
    slowed.topology = chain();
    let answer = found(&slowed);
    assert_eq!(first(&answer), "elm", "{answer:#?}");
    let caller = answer.suspects.iter().find(|suspect| suspect.component == "ash").unwrap();
    assert!(caller.explained_by.is_some(), "{caller:#?}");
    let blind = localize(&slowed, &LocalizeOptions { use_graph: false, ..LocalizeOptions::default() });
    assert_ne!(first(&blind), "elm");
}

#[test]
fn a_resource_of_its_own_is_never_explained_away() {
    let both = |component: &str, metric: &str| match (metric, component) {
        ("container_cpu_cores", "birch") => 8.0,
        ("request_latency_seconds", "birch") => 4.0,
        ("request_latency_seconds", "fir") => 1.8,
        _ => 1.0,
    };
    let mut busy = scene(system(5, 5, &both), 120);
    busy.topology = chain();
    assert_eq!(first(&found(&busy)), "birch");
}

#[test]
fn a_slow_way_is_what_the_caller_waits_beyond_the_callees_own_time() {
    let mut noise = Noise(11);
    let mut calls = system(11, 5, &|_, _| 1.0);
    for (caller, callee) in [("ash", "birch"), ("birch", "cedar"), ("birch", "fir"), ("cedar", "elm")] {
        for side in ["source", "destination"] {
            let pairs = [
                ("__name__", "edge_latency_seconds"),
                ("caller", caller),
                ("callee", callee),
                ("side", side),
            ];
            calls.push(series(&pairs, 5, |at_s| {
                let waits = callee == "fir" && side == "source" && at_s >= ONSET_S;
                0.01 * (1.0 + 0.2 * noise.next()) + if waits { 0.2 } else { 0.0 }
            }));
        }
    }
    let answer = found(&scene(calls, 120));
    assert_eq!(first(&answer), "fir", "{answer:#?}");
    assert!(answer.suspects[0].evidence.iter().any(|one| one.kind == Kind::NetworkGap), "{answer:#?}");
}

fn line(at_s: u64, component: &str, level: Level, message: &str) -> LogRecord {
    LogRecord {
        at_ms: Some(START_MS + at_s * 1000),
        level: Some(level),
        service: Some(component.to_owned()),
        message: message.to_owned(),
        raw: message.to_owned(),
        line: at_s,
        ..LogRecord::default()
    }
}

#[test]
fn a_fault_in_code_is_found_by_what_is_logged_and_by_what_no_longer_is() {
    let mut faulty = scene(system(7, 5, &|_, _| 1.0), 120);
    for at_s in (0..END_S).step_by(2) {
        let later = at_s >= ONSET_S;
        // Traffic doubles everywhere: more of the same is no news.
        for _ in 0..(if later { 2 } else { 1 }) {
            faulty.logs.push(line(at_s, "birch", Level::Info, "order accepted"));
            faulty.logs.push(line(at_s, "fir", Level::Error, "retrying slow disk"));
            faulty.logs.push(line(at_s, "cedar", Level::Info, "price requested"));
            let (level, message) = if later {
                (Level::Error, "price lookup failed")
            } else {
                (Level::Info, "price found for order")
            };
            faulty.logs.push(line(at_s, "cedar", level, message));
        }
    }
    let answer = found(&faulty);
    assert_eq!(first(&answer), "cedar", "{answer:#?}");
    let logs = answer.suspects[0].evidence.iter().find(|one| one.kind == Kind::Logs).unwrap();
    assert!(
        logs.note.contains("price lookup failed") && logs.note.contains("no longer logs"),
        "{}",
        logs.note
    );
    let fir = answer.suspects.iter().find(|suspect| suspect.component == "fir");
    assert!(fir.is_none_or(|fir| fir.score < 0.3 * answer.suspects[0].score), "{fir:#?}");
}

#[test]
fn lines_of_plain_text_are_told_apart_by_the_column_that_names_pods() {
    let mut faulty = scene(system(7, 5, &|_, _| 1.0), 120);
    for at_s in 0..END_S {
        let (level, text) = match at_s >= ONSET_S {
            true => (Level::Error, "ERROR w.Store#17 cannot write row"),
            false => (Level::Info, "INFO w.Store#12 row written"),
        };
        for (pod, level, text) in [
            ("oak-5c66d57d58-6mp2b", level, text),
            ("elm-7f4f5f6f77-5qb6j", Level::Info, "INFO q.Page#3 served"),
        ] {
            faulty.logs.push(LogRecord {
                at_ms: Some(START_MS + at_s * 1000),
                level: Some(level),
                raw: format!("2023-11-14T22:13:20Z {pod} 06:13:20.100 {text}"),
                line: at_s,
                ..LogRecord::default()
            });
        }
    }
    let answer = found(&faulty);
    assert_eq!(first(&answer), "oak", "{answer:#?}");
    assert!(answer.suspects[0].evidence[0].note.contains("cannot write row"), "{answer:#?}");
}

#[test]
fn a_name_that_only_callers_see_gives_way_to_the_instrumented_sibling() {
    let mut noise = Noise(13);
    let mut all = Vec::new();
    for (node, factor) in [("site", 3.0), ("balancer", 9.0), ("search", 7.0), ("table", 1.0), ("queue", 1.0)]
    {
        all.push(series(&[("__name__", "app_latency"), ("node", node)], 15, |at_s| {
            (if at_s >= ONSET_S { factor } else { 1.0 }) * 0.05 * (1.0 + 0.2 * noise.next())
        }));
    }
    let mut slow = scene(all, 120);
    slow.topology = [("site", "balancer"), ("site", "search"), ("search", "table"), ("site", "queue")]
        .into_iter()
        .collect();
    slow.alerts = vec![labels(&[("node", "site"), ("metric", "latency")])];
    assert_eq!(first(&found(&slow)), "search");
}

#[test]
fn units_decide_nothing_and_neither_does_the_order() {
    let faulty = |component: &str, metric: &str| {
        if (component, metric) == ("fir", "container_cpu_cores") { 3.0 } else { 1.0 }
    };
    let mut one = scene(system(9, 5, &faulty), 150);
    one.topology = chain();
    let expected = found(&one);
    let bytes = serde_json::to_string(&expected).unwrap();
    let mut turned = one.clone();
    turned.series.reverse();
    turned.series.rotate_left(7);
    assert_eq!(serde_json::to_string(&found(&turned)).unwrap(), bytes);
    let mut scaled = one.clone();
    for series in scaled.series.iter_mut().filter(|series| series.name() == "request_latency_seconds") {
        for sample in &mut series.samples {
            sample.value *= 1024.0;
        }
    }
    let scores = |answer: &Localization| -> Vec<(String, f64)> {
        answer.suspects.iter().map(|one| (one.component.clone(), one.score)).collect()
    };
    assert_eq!(scores(&found(&scaled)), scores(&expected));
}

#[test]
fn counters_with_a_reset_and_histograms_speak_as_what_they_are() {
    let mut noise = Noise(17);
    let mut all = Vec::new();
    for component in ["ash", "birch", "cedar", "elm"] {
        let mut total = 5e6;
        all.push(series(
            &[("__name__", "container_cpu_usage_seconds_total"), ("service", component)],
            5,
            |at_s| {
                // All restart once in health: a counter read as a gauge would jump by millions.
                if at_s == 300 {
                    total = 0.0;
                }
                let busy = if component == "cedar" && at_s >= ONSET_S { 4.0 } else { 1.0 };
                total += 2.0 * busy * (1.0 + 0.2 * noise.next());
                total
            },
        ));
    }
    let answer = found(&scene(all, 120));
    assert_eq!(first(&answer), "cedar", "{answer:#?}");

    let mut all = Vec::new();
    for component in ["ash", "birch", "cedar", "elm"] {
        let mut totals = [0.0; 4];
        let mut at: Vec<[f64; 4]> = Vec::new();
        for at_s in (0..END_S).step_by(5) {
            let slow = component == "birch" && at_s >= ONSET_S;
            let shares = if slow { [0.05, 0.1, 0.9, 1.0] } else { [0.6, 0.95, 1.0, 1.0] };
            let requests = 100.0 * (1.0 + 0.2 * noise.next());
            for (total, share) in totals.iter_mut().zip(shares) {
                *total += requests * share;
            }
            at.push(totals);
        }
        for (n, le) in ["0.1", "0.5", "2", "+Inf"].into_iter().enumerate() {
            let pairs = [("__name__", "request_duration_seconds_bucket"), ("service", component), ("le", le)];
            all.push(series(&pairs, 5, |at_s| at[at_s as usize / 5][n]));
        }
    }
    let answer = found(&scene(all, 120));
    assert_eq!(first(&answer), "birch", "{answer:#?}");
    assert_eq!(answer.suspects[0].evidence[0].kind, Kind::Latency);
}

#[test]
fn where_nothing_moved_nobody_is_named_with_confidence() {
    for seed in 1..=20 {
        let answer = found(&scene(system(seed, 5, &|_, _| 1.0), 120));
        let confidence = answer.suspects.first().map_or(0.0, |suspect| suspect.confidence);
        assert!(confidence < 0.5, "seed {seed}: {answer:#?}");
    }
    let empty = found(&Scene::default());
    assert!(empty.suspects.is_empty() && empty.abstained);
}

#[test]
fn two_that_moved_alike_leave_doubt() {
    let both = |component: &str, metric: &str| {
        if metric == "container_cpu_cores" && matches!(component, "elm" | "oak") { 4.0 } else { 1.0 }
    };
    let answer = found(&scene(system(4, 5, &both), 120));
    assert!(answer.suspects[0].confidence < 0.7, "{answer:#?}");
}

#[test]
fn what_a_machine_does_to_all_its_pods_names_none_of_them() {
    let mut noise = Noise(23);
    let machine =
        series(&[], 5, |at_s| (if at_s >= ONSET_S { 9.0 } else { 1.0 }) * (1.0 + 0.1 * noise.next()));
    let mut all = system(6, 5, &|component, metric| {
        if (component, metric) == ("oak", "container_cpu_cores") { 2.5 } else { 1.0 }
    });
    for component in ["ash", "birch", "cedar", "elm", "fir"] {
        all.push(Series {
            labels: labels(&[("__name__", "host_load"), ("service", component)]),
            samples: machine.samples.clone(),
        });
    }
    assert_eq!(first(&found(&scene(all, 120))), "oak");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_numbers_give_finite_answers_and_the_same_again(
        rows in proptest::collection::vec(
            (0usize..6, 0usize..5, proptest::collection::vec(
                (0u64..1_300_000, prop_oneof![any::<f64>(), -5.0..5.0, Just(0.0), Just(f64::NAN), Just(f64::INFINITY)]),
                0..40,
            )),
            0..30,
        ),
        alert_at_ms in prop_oneof![any::<u64>(), 0u64..1_300_000],
        lines in proptest::collection::vec((any::<bool>(), 0u64..1_300_000, "[a-z ]{0,12}"), 0..20),
    ) {
        let metrics = ["cpu_usage", "latency_seconds", "requests_total", "net_gap_us", "x_bucket"];
        let components = ["a", "b", "c", "d", "e", ""];
        let series: Vec<Series> = rows.iter().map(|(component, metric, samples)| {
            let component = components[*component];
            let mut pairs = vec![("__name__", metrics[*metric]), ("service", component), ("le", "1")];
            if *metric == 3 {
                pairs = vec![("__name__", metrics[3]), ("caller", "a"), ("callee", component)];
            }
            let samples = samples.iter().map(|(at_ms, value)| Sample { at_ms: *at_ms, value: *value });
            Series::new(labels(&pairs), samples.collect())
        }).collect();
        let logs = lines.iter().map(|(named, at_ms, message)| LogRecord {
            at_ms: Some(*at_ms),
            service: named.then(|| "b".to_owned()),
            message: message.clone(),
            raw: format!("c {message}"),
            ..LogRecord::default()
        }).collect();
        let topology = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")].into_iter().collect();
        let mut scene = Scene { series, topology, logs, alerts: vec![labels(&[("service", "a")])], alert_at_ms };
        let answer = found(&scene);
        for suspect in &answer.suspects {
            prop_assert!(suspect.score.is_finite() && suspect.score > 0.0, "{suspect:?}");
            prop_assert!((0.0..=1.0).contains(&suspect.confidence), "{suspect:?}");
        }
        let bytes = serde_json::to_string(&answer).unwrap();
        scene.series.reverse();
        scene.logs.reverse();
        prop_assert_eq!(serde_json::to_string(&found(&scene)).unwrap(), bytes);
    }
}
