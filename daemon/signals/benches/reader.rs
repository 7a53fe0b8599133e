//! Reading, format by format: from bytes to records.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use medic_signals::logs::question::translate;
use medic_signals::logs::reader::{ReaderOptions, read_all};
use medic_signals::redact::redact;
use std::hint::black_box;

const LINES: u32 = 5_000;

/// The name of a format and a log in it.
fn logs() -> [(&'static str, String); 7] {
    let every = |line: &dyn Fn(u32, u32, u32) -> String| -> String {
        (0..LINES).map(|i| line(i, i / 60 % 60, i % 60) + "\n").collect()
    };
    [
        (
            "json",
            every(&|i, m, s| {
                format!(
                    r#"{{"time":"2024-05-01T10:{m:02}:{s:02}Z","level":"info","service":"cart","msg":"item {i} added","http":{{"status":200,"ms":{i}}}}}"#
                )
            }),
        ),
        (
            "cri_json",
            every(&|i, m, s| {
                format!(
                    r#"2024-05-01T10:{m:02}:{s:02}.123456789Z stdout F {{"level":"info","msg":"item {i} added"}}"#
                )
            }),
        ),
        (
            "csv",
            every(&|i, m, s| match i {
                0 => "time,level,service,message".to_owned(),
                _ => format!(r#"2024-05-01 10:{m:02}:{s:02},INFO,cart,"item {i}, added""#),
            }),
        ),
        (
            "logfmt",
            every(&|i, m, s| {
                format!(r#"ts=2024-05-01T10:{m:02}:{s:02}Z level=info svc=cart msg="item {i} added" ms={i}"#)
            }),
        ),
        (
            "syslog5424",
            every(&|i, m, s| {
                format!(r#"<134>1 2024-05-01T10:{m:02}:{s:02}Z web cart 77 - [a@1 k="v"] item {i} added"#)
            }),
        ),
        (
            "access",
            every(&|i, m, s| {
                format!(
                    r#"10.0.0.7 - - [01/May/2024:10:{m:02}:{s:02} +0000] "GET /cart/{i} HTTP/1.1" 200 {i} "-" "curl/8.0""#
                )
            }),
        ),
        (
            "plain",
            every(&|i, m, s| {
                format!("2024-05-01 10:{m:02}:{s:02},123 INFO [worker-{}] Cart: item {i} added", i % 8)
            }),
        ),
    ]
}

fn reader(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reader");
    group.sample_size(20);
    for (name, text) in logs() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| read_all(black_box(text.as_bytes()), ReaderOptions::default()));
        });
    }
    let text = logs().into_iter().map(|(_, text)| text).collect::<String>();
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("redact", |bencher| bencher.iter(|| redact(black_box(&text))));
    group.throughput(Throughput::Elements(1));
    group.bench_function("translate", |bencher| {
        bencher.iter(|| {
            translate(black_box("errors in checkout after 10:05 about the database"), 1_714_559_400_000)
        });
    });
    group.finish();
}

criterion_group!(benches, reader);
criterion_main!(benches);
