//! From series and calls to a ranking: one incident of forty services.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use medic_signals::correlate::localize::{LocalizeOptions, Scene, localize};
use medic_signals::series::{Sample, Series};
use std::hint::black_box;

const SERVICES: u64 = 40;
const SAMPLES: u64 = 240;
const STEP_MS: u64 = 15_000;
const BEGIN_MS: u64 = 1_714_550_400_000;

/// Each service calls the next two; from three quarters on the last one is slow, and its callers with it.
fn scene() -> Scene {
    let mut state = 7_u64;
    let mut scene = Scene { alert_at_ms: BEGIN_MS + (SAMPLES * 3 / 4 + 8) * STEP_MS, ..Scene::default() };
    for service in 0..SERVICES {
        for callee in [service + 1, service + 2] {
            if callee < SERVICES {
                scene.topology.add_edge(format!("s{service}"), format!("s{callee}"));
            }
        }
        for metric in ["cpu_usage", "memory_working_set", "request_duration_p90", "success_rate", "requests"]
        {
            let samples = (0..SAMPLES)
                .map(|at| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let noise = (state >> 40) as f64 / (1u64 << 24) as f64;
                    let slow = metric.starts_with("request_duration") && at > SAMPLES * 3 / 4;
                    let share = if slow { 5.0 * service as f64 / SERVICES as f64 } else { 0.0 };
                    Sample { at_ms: BEGIN_MS + at * STEP_MS, value: 10.0 + noise + 10.0 * share }
                })
                .collect();
            let labels = [("__name__", metric.to_owned()), ("service", format!("s{service}"))];
            let labels = labels.into_iter().map(|(label, value)| (label.to_owned(), value)).collect();
            scene.series.push(Series::new(labels, samples));
        }
    }
    scene
}

fn causes(criterion: &mut Criterion) {
    let scene = scene();
    let mut group = criterion.benchmark_group("causes");
    group.sample_size(20);
    group.throughput(Throughput::Elements(scene.series.len() as u64));
    group.bench_function("localize", |bencher| {
        bencher.iter(|| localize(black_box(&scene), &LocalizeOptions::default()));
    });
    group.finish();
}

criterion_group!(benches, causes);
criterion_main!(benches);
