//! Samples a second through the detector of anomalous windows, with a full history.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use medic_signals::series::Sample;
use medic_signals::windows::{Detector, WindowOptions};
use std::hint::black_box;

const SAMPLES: usize = 10_000;

fn detector(c: &mut Criterion) {
    let mut state = 7_u64;
    let samples: Vec<Sample> = (0..2 * SAMPLES)
        .map(|i| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = (i as f64 / 288.0).sin() + (state >> 40) as f64 / 1e8;
            Sample { at_ms: i as u64 * 300_000, value }
        })
        .collect();
    let mut full = Detector::new(WindowOptions::default());
    let (history, fresh) = samples.split_at(SAMPLES);
    for sample in history {
        full.push(*sample);
    }
    let mut group = c.benchmark_group("windows");
    group.throughput(Throughput::Elements(SAMPLES as u64));
    group.sample_size(10);
    group.bench_function("detector", |b| {
        b.iter(|| {
            let mut detector = full.clone();
            for sample in fresh {
                black_box(detector.push(*sample));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, detector);
criterion_main!(benches);
