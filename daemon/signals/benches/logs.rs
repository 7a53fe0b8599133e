//! The hot loops over logs, line by line: masking, mining, reading, threading.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use medic_signals::logs::mask::Masked;
use medic_signals::logs::reader::{Reader, ReaderOptions, read_all};
use medic_signals::logs::sessions::{SessionModel, SessionOptions};
use medic_signals::logs::{AnalyzeOptions, Baseline, Miner, analyze};
use std::hint::black_box;

/// 20 000 lines of a store of blocks, 10 a block, the same every time.
fn log() -> String {
    let mut text = String::new();
    for block in 0..2_000u64 {
        let id = block.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        for step in 0..10u64 {
            let second = block % 3_000 + step;
            let (minute, second, host) = (second / 60, second % 60, (block + step) % 200);
            let what = match step {
                0..3 => format!(
                    "Receiving block blk_{id} src: /10.250.7.{host}:54106 dest: /10.250.9.{host}:50010"
                ),
                3..6 => {
                    format!("Received block blk_{id} of size {} from /10.250.7.{host}", 67_108_864 - block)
                }
                6..9 => format!("PacketResponder {} for block blk_{id} terminating", step % 3),
                _ => {
                    format!("BLOCK* addStoredBlock: 10.250.7.{host}:50010 is added to blk_{id} size 67108864")
                }
            };
            text.push_str(&format!("2024-05-01 10:{minute:02}:{second:02},123 INFO dfs.DataNode: {what}\n"));
        }
    }
    text
}

fn logs(criterion: &mut Criterion) {
    let text = log();
    let (records, _) = read_all(text.as_bytes(), ReaderOptions::default());
    let mut group = criterion.benchmark_group("logs");
    group.sample_size(20);
    group.throughput(Throughput::Elements(records.len() as u64));
    group.bench_function("mask", |bencher| {
        let mut masked = Masked::default();
        bencher.iter(|| {
            for record in &records {
                masked.fill(black_box(&record.message));
            }
        });
    });
    group.bench_function("mine", |bencher| {
        bencher.iter(|| {
            let mut miner = Miner::default();
            for record in &records {
                black_box(miner.learn(&record.message));
            }
        });
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| read_all(black_box(text.as_bytes()), ReaderOptions::default()));
    });
    group.bench_function("read_messages", |bencher| {
        bencher.iter(|| {
            let options = ReaderOptions { multiline: false, ..ReaderOptions::default() };
            let mut reader = Reader::new(options);
            let mut bytes = 0;
            let mut each = |_: u64, message: &str| bytes += message.len();
            reader.push_messages(black_box(text.as_bytes()), &mut each);
            reader.finish_messages(&mut each);
            bytes
        });
    });
    let mut miner = Miner::default();
    let ids: Vec<_> = records.iter().map(|record| miner.learn(&record.message).id).collect();
    let words = |id| miner.template(id).map(|template| template.text).unwrap_or_default();
    let options = SessionOptions::default();
    group.bench_function("sessions_learn", |bencher| {
        bencher.iter(|| SessionModel::learn(black_box(&records), &ids, &words, &options));
    });
    if let Some(model) = SessionModel::learn(&records, &ids, &words, &options) {
        group.bench_function("sessions_score", |bencher| {
            bencher.iter(|| model.score(black_box(&records), &ids, &words, &options));
        });
    }
    let baseline = Baseline::learn(&records);
    group.bench_function("analyze", |bencher| {
        bencher.iter(|| analyze(black_box(&records), Some(&baseline), &AnalyzeOptions::default()));
    });
    group.finish();
}

criterion_group!(benches, logs);
criterion_main!(benches);
