use super::*;
use crate::logs::format::Format;
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
    check("E0501 10:05:00.000001   77 main.go:12] no leader\n", &["2024-05-01T10:05:00Z error -: no leader"]);
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

#[test]
fn docker_parts_are_joined_stream_by_stream_and_traces_within() {
    let line = |log: &str, stream: &str, s: u32| {
        format!(r#"{{"log":"{log}","stream":"{stream}","time":"2024-05-01T10:05:{s:02}Z"}}"#) + "\n"
    };
    let text = [
        line("out 1, ", "stdout", 0),
        line("bad 1, ", "stderr", 1),
        line("out 2\\n", "stdout", 2),
        line("bad 2\\n", "stderr", 3),
        line("boom\\n", "stderr", 4),
        line("\\tat shop.Pool.take(Pool.java:42)\\n", "stderr", 5),
        line("next\\n", "stderr", 6),
    ]
    .concat();
    let (records, stats) = check(
        &text,
        &[
            "2024-05-01T10:05:00Z - -: out 1, out 2",
            "2024-05-01T10:05:01Z - -: bad 1, bad 2",
            "2024-05-01T10:05:04Z - -: boom",
            "2024-05-01T10:05:06Z - -: next",
        ],
    );
    assert_eq!((stats.wrapper, stats.continued), (Some(Wrapper::Docker), 1));
    assert_eq!(records[1].fields["stream"], "stderr");
    assert!(records[2].fields["stack"].contains("Pool.java"));
}

#[test]
fn cri_parts_of_two_streams_do_not_mix() {
    check(
        concat!(
            "2024-05-01T10:05:00Z stdout P out 1, \n",
            "2024-05-01T10:05:01Z stderr F one whole\n",
            "2024-05-01T10:05:02Z stdout P out 2, \n",
            "2024-05-01T10:05:03Z stdout F out 3\n",
            "2024-05-01T10:05:04Z stdout P never ended\n",
        ),
        &[
            "2024-05-01T10:05:01Z - -: one whole",
            "2024-05-01T10:05:00Z - -: out 1, out 2, out 3",
            "2024-05-01T10:05:04Z - -: never ended",
        ],
    );
}

#[test]
fn prefixes_of_tools_name_the_service() {
    check(
        concat!(
            "cart-1   | {\"level\":\"error\",\"msg\":\"no stock\"}\n",
            "store-12 | Traceback (most recent call last):\n",
            "cart-1   |   not of the store's trace\n",
            "store-12 | 2024-05-01 10:05:00 INFO ready\n",
        ),
        &[
            "- error cart: no stock",
            "- error store: Traceback (most recent call last):",
            "- - cart: not of the store's trace",
            "2024-05-01T10:05:00Z info store: ready",
        ],
    );
}

#[test]
fn syslog_with_a_priority_old_and_new() {
    let (records, stats) = check(
        concat!(
            "<34>1 2024-05-01T10:05:00.003Z web su - ID47 [ex@32473 iut=\"3\" src=\"a \\\"b\\\" \\]\"][o@1 x=\"y\"] \u{feff}'su root' failed\n",
            "<165>1 2024-05-01T10:05:01+02:00 - cart 77 - - no leader\n",
            "<13>May  1 10:05:02 web sshd[19939]: Failed password for root\n",
            "<30>May  1 10:05:03 su: no host here\n",
            "<34>1 gibberish\n",
        ),
        &[
            "2024-05-01T10:05:00.003Z fatal su: 'su root' failed",
            "2024-05-01T08:05:01Z info cart: no leader",
            "2024-05-01T10:05:02Z info sshd: Failed password for root",
            "2024-05-01T10:05:03Z info su: no host here",
            "- fatal -: 1 gibberish",
        ],
    );
    assert_eq!(stats.format, Some(Format::Syslog));
    assert_eq!(stats.reasons, [(Broken::Syslog, 1)].into());
    let fields = &records[0].fields;
    assert_eq!((fields["ex@32473.src"].as_str(), fields["o@1.x"].as_str()), ("a \"b\" ]", "y"));
    assert_eq!((fields["facility"].as_str(), fields["message_id"].as_str()), ("auth", "ID47"));
    assert_eq!(records[2].fields["pid"], "19939");
    check("<999>1 not a priority\n<13\n", &["- - -: <999>1 not a priority", "- - -: <13"]);
}

#[test]
fn access_logs_tell_request_status_and_client() {
    let (records, stats) = check(
        concat!(
            "10.0.0.7 - ann [01/May/2024:10:05:00 +0200] \"GET /cart/9?x=1 HTTP/1.1\" 502 17 \"http://a/\" \"curl/8.0\" 0.003\n",
            "10.0.0.7 - - [01/May/2024:10:05:01 +0000] \"POST /pay HTTP/1.1\" 404 -\n",
            "shop:443 ::1 - - [01/May/2024:10:05:02 +0000] \"GET / HTTP/2.0\" 200 5 \"-\" \"say \\\"hi\\\"\"\n",
        ),
        &[
            "2024-05-01T08:05:00Z error -: GET /cart/9?x=1 HTTP/1.1 502",
            "2024-05-01T10:05:01Z warn -: POST /pay HTTP/1.1 404",
            "2024-05-01T10:05:02Z info -: GET / HTTP/2.0 200",
        ],
    );
    assert_eq!(stats.format, Some(Format::Access));
    let field = |at: usize, name: &str| records[at].fields.get(name).map(String::as_str);
    assert_eq!(
        (field(0, "user"), field(0, "path"), field(0, "extra")),
        (Some("ann"), Some("/cart/9?x=1"), Some("0.003"))
    );
    assert_eq!(
        (field(1, "user"), field(1, "bytes"), field(2, "user_agent")),
        (None, None, Some("say \"hi\""))
    );
    assert_eq!(field(2, "host"), Some("shop:443"));
}

#[test]
fn klog_plain_and_structured() {
    let (records, stats) = check(
        concat!(
            "I0501 10:05:00.000001       1 leader.go:12] became leader\n",
            "E0501 10:05:01.000001       1 kubelet.go:9] \"Pod failed\" pod=\"shop/cart\" err=\"oom killed\"\n",
            "goroutine 1 [running]:\n",
            "main.main()\n",
            "\t/app/main.go:7 +0x1d\n",
            "W0501 10:05:02.000001       1 leader.go:12] lost it\n",
        ),
        &[
            "2024-05-01T10:05:00Z info -: became leader",
            "2024-05-01T10:05:01Z error -: Pod failed",
            "2024-05-01T10:05:02Z warn -: lost it",
        ],
    );
    assert_eq!(stats.format, Some(Format::Klog));
    assert_eq!(records[0].fields["source"], "leader.go:12");
    assert_eq!(
        (records[1].fields["pod"].as_str(), records[1].fields["err"].as_str()),
        ("shop/cart", "oom killed")
    );
    assert_eq!(records[1].fields["stack"].lines().count(), 3);
}

#[test]
fn csv_without_names_with_other_delimiters_and_with_broken_rows() {
    let (_, stats) = check(
        "2024-05-01 10:05:00\tINFO\tcart\tit is ready\n2024-05-01 10:05:01\tERROR\tcart\tit is not\n2024-05-01 10:05:02\tINFO\tcart\tagain it is\n2024-05-01 10:05:03\tINFO\tcart\tand so on\n",
        &[
            "2024-05-01T10:05:00Z info -: it is ready",
            "2024-05-01T10:05:01Z error -: it is not",
            "2024-05-01T10:05:02Z info -: again it is",
            "2024-05-01T10:05:03Z info -: and so on",
        ],
    );
    assert!(matches!(stats.format, Some(Format::Csv { delimiter: '\t', .. })));
    let rows: String = (0..20).map(|s| format!("2024-05-01 10:05:{s:02};cart;a 5\" disk\n")).collect();
    let text = format!(
        "time;service;message\n{rows}time;service;message\n2024-05-01 10:06:00;cart;\"open\n2024-05-01 10:06:01;cart;closed\nshort;row\n"
    );
    let (records, stats) = read(&text);
    assert_eq!((stats.records, stats.blank, stats.broken), (23, 2, 2), "{stats:?}");
    assert_eq!(stats.reasons, [(Broken::CsvWidth, 1), (Broken::OpenQuote, 1)].into());
    assert_eq!(records[0].message, "a 5\" disk");
    assert_eq!(records[21].message, "closed");
}

#[test]
fn each_languages_trace_is_one_record() {
    let check_one = |text: &str, message: &str, level: Option<Level>, stack_lines: usize| {
        let whole = format!("before\n{text}after\n");
        let (records, _) = read(&whole);
        let messages: Vec<&str> = records.iter().map(|record| record.message.as_str()).collect();
        assert_eq!(messages, ["before", message, "after"]);
        assert_eq!(records[1].level, level, "{text}");
        assert_eq!(
            records[1].fields.get("stack").map_or(0, |stack| stack.lines().count()),
            stack_lines,
            "{text}"
        );
    };
    check_one(
        "panic: runtime error: index out of range [3]\n\ngoroutine 1 [running]:\nmain.take(...)\n\t/app/main.go:7\nmain.main()\n\t/app/main.go:12 +0x1d\ncreated by main.start in goroutine 5\nexit status 2\n",
        "panic: runtime error: index out of range [3]",
        Some(Level::Fatal),
        7,
    );
    check_one(
        "thread 'main' panicked at src/main.rs:2:5:\npool is empty\nstack backtrace:\n   0: rust_begin_unwind\n             at /rustc/x/library/std/src/panicking.rs:1:2\n100: main\nnote: run with `RUST_BACKTRACE=1`\n",
        "thread 'main' panicked at src/main.rs:2:5:",
        Some(Level::Fatal),
        6,
    );
    check_one(
        "/app/server.js:42\n    throw new Error('no');\n    ^\n\nError: no\n    at run (/app/server.js:42:11)\n  errno: -111\n}\n\nNode.js v20.1.0\n",
        "/app/server.js:42",
        None,
        7,
    );
    check_one(
        "TypeError: x is not a function\n    at run (/app/server.js:42:11)\n    at main (/app/server.js:1:1)\n",
        "TypeError: x is not a function",
        None,
        2,
    );
    check_one(
        "Exception in thread \"main\" java.lang.IllegalStateException: pool empty\n\tat shop.Pool.take(Pool.java:42)\n\t... 12 more\nCaused by: java.io.IOException: no\n\tat x.Y.z(Y.java:1)\n",
        "Exception in thread \"main\" java.lang.IllegalStateException: pool empty",
        Some(Level::Error),
        4,
    );
    check_one(
        "ERROR request failed\njava.lang.IllegalStateException: pool empty\n\tat shop.Pool.take(Pool.java:42)\n",
        "request failed",
        Some(Level::Error),
        2,
    );
    let (records, _) = read(concat!(
        "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'a'\n\n",
        "During handling of the above exception, another exception occurred:\n\n",
        "Traceback (most recent call last):\n  File \"a.py\", line 3\nValueError: bad\n",
        "Traceback (most recent call last):\n  File \"b.py\", line 1\nOSError: another\n",
        "after\n"
    ));
    let stacks: Vec<usize> =
        records.iter().map(|r| r.fields.get("stack").map_or(0, |s| s.lines().count())).collect();
    assert_eq!(stacks, [6, 2, 0], "a second trace is a second record, a chained one is not");
}

#[test]
fn a_line_of_another_format_among_plain_ones_is_read_as_what_it_is() {
    let (records, stats) = check(
        concat!(
            "2024-05-01 10:05:00 INFO started\n",
            "2024-05-01 10:05:01 INFO payload follows\n",
            "{\"size\":4}\n",
            "{\"time\":\"2024-05-01T10:05:02Z\",\"level\":\"error\",\"msg\":\"json\"}\n",
            "ts=2024-05-01T10:05:03Z level=warn msg=\"logfmt \n",
            "2024-05-01 10:05:04 INFO done\n",
        ),
        &[
            "2024-05-01T10:05:00Z info -: started",
            "2024-05-01T10:05:01Z info -: payload follows",
            "2024-05-01T10:05:02Z error -: json",
            "2024-05-01T10:05:03Z warn -: logfmt",
            "2024-05-01T10:05:04Z info -: done",
        ],
    );
    assert_eq!(stats.reasons, [(Broken::OpenQuote, 1)].into());
    assert_eq!(records[1].fields["stack"], "{\"size\":4}");
}

#[test]
fn what_is_given_is_not_detected() {
    let pattern =
        LinePattern::new(r"^(?P<time>\S+) #(?P<shard>\d+) (?P<severity>\w+) (?P<message>.*)$").unwrap();
    let options = ReaderOptions { format: Some(Format::Pattern(pattern)), ..ReaderOptions::default() };
    let (records, stats) = read_all(b"2024-05-01T10:05:00Z #7 warn low on disk\nnonsense\n", options.clone());
    assert_eq!((records[0].message.as_str(), records[0].level), ("low on disk", Some(Level::Warn)));
    assert_eq!(records[0].fields["shard"], "7");
    assert_eq!(stats.reasons.get(&Broken::Pattern), Some(&1));
    let text = serde_json::to_string(&options).unwrap();
    assert_eq!(serde_json::from_str::<ReaderOptions>(&text).unwrap(), options);
    assert!(LinePattern::new("(?P<a>").is_err() && LinePattern::new("no group").is_err());
    assert!(LinePattern::new(r"(?P<a>\w{1000}{1000})").is_err(), "a pattern has a size limit");

    let names = FieldNames {
        message: Some("detail".into()),
        time: Some("seen.first".into()),
        ..FieldNames::default()
    };
    let options = ReaderOptions { names, ..ReaderOptions::default() };
    let line = br#"{"message":"no","detail":"yes","time":"2020-01-01T00:00:00Z","seen":{"first":"2024-05-01T10:05:00Z"}}"#;
    let (records, _) = read_all(line, options);
    assert_eq!((records[0].message.as_str(), records[0].at_ms), ("yes", Some(1_714_557_900_000)));
}

#[test]
fn nested_wrappers_of_shippers_give_up_their_line() {
    let (records, _) = check(
        concat!(
            r#"{"@timestamp":"2024-05-01T10:05:00Z","log":"{\"level\":\"error\",\"msg\":\"inner\",\"user\":7}","kubernetes":{"container_name":"cart","labels":{"app":"shop"}}}"#,
            "\n",
            r#"{"timeUnixNano":"1714557901000000000","severityText":"WARN","body":{"stringValue":"otel"},"resource":{"service.name":"cart"}}"#,
            "\n",
            r#"{"time":"2024-05-01T10:05:02Z","level":"\u001b[32minfo\u001b[39m","message":"\u001b[1mbold\u001b[0m"},"#,
            "\n"
        ),
        &[
            "2024-05-01T10:05:00Z error shop: inner",
            "2024-05-01T10:05:01Z warn cart: otel",
            "2024-05-01T10:05:02Z info -: bold",
        ],
    );
    assert_eq!(records[0].fields["user"], "7");
}

#[test]
fn utf16_latin1_colours_and_marks_are_read_as_text() {
    let text = "2024-05-01 10:05:00 ERROR grüße\r\n2024-05-01 10:05:01 INFO next\r\n";
    let expected = read(text).0;
    assert_eq!(expected[0].message, "grüße");
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let latin1: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let marked = ["\u{feff}", text].concat();
    let coloured = text.replace("ERROR", "\u{1b}[31mERROR\u{1b}[0m");
    for bytes in [utf16.as_slice(), &latin1, marked.as_bytes(), coloured.as_bytes()] {
        let (records, stats) = read_all(bytes, ReaderOptions::default());
        assert_eq!(records, expected);
        assert_eq!((stats.broken, stats.latin1), (0, u64::from(bytes == latin1)));
    }
}

#[test]
fn the_year_turns_within_a_file() {
    check(
        "Dec 31 23:59:59 web cron[1]: old\nJan  1 00:00:01 web cron[1]: new\n",
        &["2024-12-31T23:59:59Z - cron: old", "2025-01-01T00:00:01Z - cron: new"],
    );
}

#[test]
fn messages_alone_are_those_of_the_records() {
    let plain = (0..40)
        .map(|i| format!("2024-05-01 10:05:{i:02},123 INFO [worker-{}] Cart: item {i} added\r\n", i % 3));
    let mixed = [
        "{\"time\":\"2024-05-01T10:05:00Z\",\"level\":\"info\",\"msg\":\"object\"}\n",
        "{\"cut\":\n",
        "\n",
        "  indented\n",
        "level=warn msg=\"a pair\" ms=3\n",
        "10.0.0.7 - - [01/May/2024:10:05:00 +0000] \"GET /a HTTP/1.1\" 200 5\n",
        "[pod/cart-7f9c/app] wrapped\n",
        "cart-1  | wrapped too\n",
        "I0501 10:05:00.000000 1 main.go:7] said\n",
        "gr\u{fc}\u{df}e \u{1b}[31mred\u{1b}[0m \u{0}\n",
        "2024-05-01T10:05:00.1Z stdout P first \n2024-05-01T10:05:00.2Z stdout F second\n",
        "no end",
    ];
    let text: String = plain.chain(mixed.map(str::to_owned)).collect();
    let long = format!("{text}\n{}\nend\n", "x".repeat(LINE_BYTES_MAX + 9));
    for multiline in [false, true] {
        let options = || ReaderOptions { multiline, ..ReaderOptions::default() };
        let (records, stats) = read_all(long.as_bytes(), options());
        let expected: Vec<(u64, String)> =
            records.into_iter().map(|record| (record.line, record.message)).collect();
        for size in [1, 7, 64, 4096, 1 << 20] {
            let mut reader = Reader::new(options());
            let mut got: Vec<(u64, String)> = Vec::new();
            for piece in long.as_bytes().chunks(size) {
                reader.push_messages(piece, |line, message| got.push((line, message.to_owned())));
            }
            reader.finish_messages(|line, message| got.push((line, message.to_owned())));
            assert_eq!(got, expected, "pieces of {size}, multiline {multiline}");
            assert_eq!(reader.stats(), &stats, "pieces of {size}, multiline {multiline}");
        }
    }
}
