use super::*;
use crate::logs::record::Level;
use crate::timestamp;

fn read(text: &str) -> (Vec<LogRecord>, ReadStats) {
    read_all(text.as_bytes(), ReaderOptions { year: 2024, ..ReaderOptions::default() })
}

/// One line a record: time, level, service, message.
fn check(text: &str, expected: &[&str]) -> (Vec<LogRecord>, ReadStats) {
    let (records, stats) = read(text);
    let shown: Vec<String> = records
        .iter()
        .map(|record| {
            format!(
                "{} {} {}: {}",
                record.at_ms.map_or("-".into(), timestamp::show),
                record.level.map_or("-", Level::as_str),
                record.service.as_deref().unwrap_or("-"),
                record.message
            )
        })
        .collect();
    assert_eq!(shown, expected, "{:?}", stats.format);
    (records, stats)
}

#[test]
fn json_lines_flat_nested_and_in_ecs() {
    let (records, stats) = check(
        concat!(
            r#"{"timestamp":"2024-05-01T10:05:00Z","level":"ERROR","fields":{"message":"pool empty","size":4},"service":"checkout"}"#,
            "\n",
            r#"{"@timestamp":"2024-05-01T10:05:01Z","log":{"level":"warn"},"message":"slow","service":{"name":"store"}}"#,
            "\n",
            r#"{"ts":1714557902.5,"severity":"info","msg":"ok","app":"cart","http":{"status":200}}"#,
            "\n",
            r#"{"time":1714557903000,"level":50,"msg":"pino","container":"api"}"#,
            "\n"
        ),
        &[
            "2024-05-01T10:05:00Z error checkout: pool empty",
            "2024-05-01T10:05:01Z warn store: slow",
            "2024-05-01T10:05:02.5Z info cart: ok",
            "2024-05-01T10:05:03Z error api: pino",
        ],
    );
    assert_eq!(stats.format, Some(Format::JsonLines));
    assert_eq!(records[0].fields.get("fields.size").map(String::as_str), Some("4"));
    assert_eq!(records[2].fields.get("http.status").map(String::as_str), Some("200"));
}

#[test]
fn container_wrappers_are_opened_and_partial_lines_joined() {
    check(
        concat!(
            r#"{"log":"{\"level\":\"error\",\"msg\":\"inner\"}\n","stream":"stderr","time":"2024-05-01T10:05:00.1Z"}"#,
            "\n",
            r#"{"log":"plain words\n","stream":"stdout","time":"2024-05-01T10:05:01Z"}"#,
            "\n"
        ),
        &["2024-05-01T10:05:00.1Z error -: inner", "2024-05-01T10:05:01Z - -: plain words"],
    );
    check(
        concat!(
            "2024-05-01T10:05:00.000000001Z stdout P first half, \n",
            "2024-05-01T10:05:00.000000002Z stdout F second half\n",
            "2024-05-01T10:05:01Z stderr F alone\n"
        ),
        &["2024-05-01T10:05:00Z - -: first half, second half", "2024-05-01T10:05:01Z - -: alone"],
    );
}

#[test]
fn csv_with_quotes_and_logfmt() {
    let (_, stats) = check(
        "timestamp,level,service,message\n2024-05-01 10:05:00,ERROR,cart,\"no, \"\"really\"\"\nnot\"\n2024-05-01 10:05:01,INFO,cart,ok\n",
        &["2024-05-01T10:05:00Z error cart: no, \"really\"\nnot", "2024-05-01T10:05:01Z info cart: ok"],
    );
    assert_eq!(stats.broken, 0);
    check(
        "ts=2024-05-01T10:05:00Z level=warn svc=cart msg=\"it is \\\"slow\\\"\" ms=40\nts=2024-05-01T10:05:01Z level=info msg=ok\n",
        &["2024-05-01T10:05:00Z warn cart: it is \"slow\"", "2024-05-01T10:05:01Z info -: ok"],
    );
}

#[test]
fn plain_headers_are_found_without_a_hint() {
    check(
        concat!(
            "Jun 14 15:16:01 combo sshd[19939]: authentication failure for bob\n",
            "Jun 14 15:16:02 combo sshd[19937]: check pass; user unknown\n",
            "Jun 14 15:17:02 combo crond[7]: session opened\n",
            "Jun 14 15:18:02 combo kernel: oom killer woke up\n"
        ),
        &[
            "2024-06-14T15:16:01Z - sshd: authentication failure for bob",
            "2024-06-14T15:16:02Z - sshd: check pass; user unknown",
            "2024-06-14T15:17:02Z - crond: session opened",
            "2024-06-14T15:18:02Z - kernel: oom killer woke up",
        ],
    );
    check("2024-05-01T10:05:00Z  INFO one line only\n", &["2024-05-01T10:05:00Z info -: one line only"]);
    check("[2024-05-01 10:05:00] [ERROR] [main] it broke\n", &["2024-05-01T10:05:00Z error -: it broke"]);
    check(
        "E0501 10:05:00.000001   77 main.go:12] no leader\n",
        &["2024-05-01T10:05:00Z error -: 77 main.go:12] no leader"],
    );
    check("just words\nand more\n", &["- - -: just words", "- - -: and more"]);
}

#[test]
fn a_repeated_message_does_not_become_a_header() {
    let text: String =
        (0..100).map(|i| format!("2024-05-01T10:{:02}:00Z INFO cache miss for key {i}\n", i % 60)).collect();
    let (records, _) = read(&text);
    assert!(
        records.iter().all(|record| record.message.starts_with("cache miss for key")),
        "{:?}",
        records[0]
    );
}

#[test]
fn stack_traces_belong_to_the_record_above() {
    let (records, stats) = check(
        concat!(
            "2024-05-01 10:05:00 ERROR request failed\n",
            "java.lang.IllegalStateException: pool empty\n",
            "\tat shop.Pool.take(Pool.java:42)\n",
            "Caused by: java.net.ConnectException: refused\n",
            "2024-05-01 10:05:01 INFO next\n"
        ),
        &["2024-05-01T10:05:00Z error -: request failed", "2024-05-01T10:05:01Z info -: next"],
    );
    assert_eq!(stats.continued, 3);
    assert_eq!(records[0].fields.get("stack").unwrap().lines().count(), 3);
    assert_eq!(records[1].line, 5);
    let (records, _) = check(
        "boom\nTraceback (most recent call last):\n  File \"a.py\", line 1\nValueError: bad\nafter\n",
        &["- - -: boom", "- - -: after"],
    );
    assert!(records[0].fields.get("stack").unwrap().ends_with("ValueError: bad"));
}

#[test]
fn broken_long_and_binary_lines_are_survived_and_counted() {
    let good = "{\"level\":\"info\",\"msg\":\"ok\"}\n";
    let mut bytes = good.repeat(5).into_bytes();
    bytes.extend_from_slice(b"{\"level\":\"error\",\"msg\":\"cut o\n");
    bytes.extend_from_slice(b"\xff\xfe\x00 not utf-8\n\r\n");
    bytes.extend_from_slice("x".repeat(LINE_BYTES_MAX + 10).as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(good.as_bytes());
    let (records, stats) = read_all(&bytes, ReaderOptions::default());
    assert_eq!((stats.lines, stats.records, stats.broken, stats.truncated, stats.blank), (10, 9, 2, 1, 1));
    assert!(records.iter().all(|record| record.raw.len() <= LINE_BYTES_MAX));
    assert_eq!(records.last().map(|record| record.message.as_str()), Some("ok"));
}

#[test]
fn pieces_of_any_size_give_the_same_records() {
    let text = "2024-05-01 10:05:00 ERROR grüße\n  at x\n2024-05-01 10:05:01 INFO next\n\nlast without end";
    let whole = read(text);
    for size in 1..=7 {
        let mut reader = Reader::new(ReaderOptions { year: 2024, ..ReaderOptions::default() });
        let mut records: Vec<LogRecord> =
            text.as_bytes().chunks(size).flat_map(|piece| reader.push(piece)).collect();
        records.extend(reader.finish());
        assert_eq!((records, reader.stats().clone()), whole, "pieces of {size}");
    }
}

#[test]
fn a_line_without_end_takes_no_more_memory_than_its_limit() {
    let mut reader = Reader::new(ReaderOptions::default());
    for _ in 0..1000 {
        assert!(reader.push(&[b'x'; 1024]).is_empty());
    }
    assert!(reader.partial.len() <= LINE_BYTES_MAX);
    let records = reader.finish();
    assert_eq!((records.len(), reader.stats().truncated), (1, 1));
}
