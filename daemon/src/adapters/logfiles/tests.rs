use super::*;
use medic_core::{TimeRange, TimestampMs};
use medic_ports::fake::FakeClock;
use std::fs;
use std::path::Path;

/// 2026-01-02T03:04:05Z
const NOW: u64 = 1_767_323_045_000;

fn logs(config: LogsConfig) -> LogFiles {
    LogFiles::new(config, Arc::new(FakeClock::new(TimestampMs(NOW))))
}

fn in_directory(dir: &Path) -> LogFiles {
    let directories = vec![DirectorySource { path: dir.to_owned(), extension: log() }];
    logs(LogsConfig { directories, ..LogsConfig::default() })
}

fn query(from_s: u64, to_s: u64) -> LogQuery {
    let at = |s: u64| TimestampMs(NOW - 5_000 + s * 1_000);
    LogQuery {
        window: TimeRange::new(at(from_s), at(to_s)),
        services: Vec::new(),
        contains: Vec::new(),
        limit: 100,
    }
}

fn texts(answer: &LogAnswer) -> Vec<&str> {
    answer.lines.iter().map(|line| line.line.as_str()).collect()
}

#[tokio::test]
async fn json_and_plain_lines_of_all_files_come_in_order_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let json = [
        r#"{"ts":"2026-01-02T03:03:59Z","msg":"before the window"}"#,
        r#"{"ts":"2026-01-02T03:04:01.500Z","msg":"j1"}"#,
        r#"{"time":1767323043,"msg":"j3"}"#,
        r#"{"@timestamp":"2026-01-02T03:04:05Z","msg":"behind the window"}"#,
    ];
    fs::write(dir.path().join("checkout.log"), json.join("\n")).unwrap();
    let plain = "2026-01-02 03:04:02 INFO p2\n2026-01-02 03:04:04 ERROR p4\n  at frame one\n  at frame two\n";
    fs::write(dir.path().join("payments.log"), plain).unwrap();
    fs::write(dir.path().join("notes.txt"), "2026-01-02 03:04:02 not a log").unwrap();

    let answer = in_directory(dir.path()).search(&query(0, 5)).await.unwrap();
    let expected = [
        json[1],
        "2026-01-02 03:04:02 INFO p2",
        json[2],
        "2026-01-02 03:04:04 ERROR p4",
        "  at frame one",
        "  at frame two",
    ];
    assert_eq!(texts(&answer), expected);
    assert_eq!(answer.lines[0].at, Some(TimestampMs(NOW - 3_500)));
    assert_eq!(answer.lines[0].labels.get("service"), Some("checkout"));
    assert_eq!(answer.lines[4].at, None, "a line without a time stands behind its predecessor");
}

#[tokio::test]
async fn services_substrings_and_limit_narrow_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..5).map(|n| format!("2026-01-02T03:04:0{n}Z Timeout {n}")).collect();
    fs::write(dir.path().join("a.log"), lines.join("\n")).unwrap();
    fs::write(dir.path().join("b.log"), "2026-01-02T03:04:01Z timeout elsewhere").unwrap();
    let logs = in_directory(dir.path());
    let asked = LogQuery {
        services: vec!["a".into()],
        contains: vec!["TIMEOUT".into(), "03:04".into()],
        limit: 2,
        ..query(0, 60)
    };
    let answer = logs.search(&asked).await.unwrap();
    assert_eq!(texts(&answer), [&lines[3], &lines[4]], "the newest");
    assert_eq!(answer.dropped, 3);
    let nowhere = LogQuery { services: vec!["../a".into(), "c".into()], ..query(0, 60) };
    assert_eq!(logs.search(&nowhere).await, Ok(LogAnswer::default()));
}

#[tokio::test]
async fn rotated_files_are_read_where_the_window_reaches_them() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.log"), "2026-01-02T03:04:04Z new\n").unwrap();
    fs::write(dir.path().join("a.log.1"), "2026-01-02T03:04:02Z older\n").unwrap();
    fs::write(dir.path().join("a.log.2"), "2026-01-02T02:00:00Z too old\n").unwrap();
    let answer = in_directory(dir.path()).search(&query(0, 60)).await.unwrap();
    assert_eq!(texts(&answer), ["2026-01-02T03:04:02Z older", "2026-01-02T03:04:04Z new"]);
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn packed_predecessors_are_read_as_if_they_were_plain() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.log"), "2026-01-02T03:04:04Z new\n").unwrap();
    let old = "2026-01-02T03:03:00Z too old\n2026-01-02T03:04:01Z first\n  at its frame\n2026-01-02T03:04:02Z second\n";
    fs::write(dir.path().join("a.log.1.gz"), gzip(old)).unwrap();
    fs::write(
        dir.path().join("a.log.2.gz"),
        gzip("2026-01-02T03:04:03Z behind an older one: never reached\n"),
    )
    .unwrap();
    let logs = in_directory(dir.path());
    let answer = logs.search(&query(0, 60)).await.unwrap();
    let expected = [
        "2026-01-02T03:04:01Z first",
        "  at its frame",
        "2026-01-02T03:04:02Z second",
        "2026-01-02T03:04:04Z new",
    ];
    assert_eq!(texts(&answer), expected);
    assert_eq!(answer.lines[1].at, None);
    // Cut off while it is being written: what came is taken.
    let packed = gzip(&old.repeat(5_000));
    fs::write(dir.path().join("a.log.1.gz"), &packed[..packed.len() / 2]).unwrap();
    assert!(logs.search(&LogQuery { limit: 100_000, ..query(0, 60) }).await.unwrap().lines.len() > 1_000);
    assert_eq!(logs.services(query(0, 60).window).await.unwrap(), ["a"], "a predecessor is no service");
}

#[tokio::test]
async fn a_file_that_is_renamed_and_not_made_anew_yet_is_still_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.log"), "2026-01-02T03:04:04Z last words\n").unwrap();
    let logs = in_directory(dir.path());
    fs::rename(dir.path().join("a.log"), dir.path().join("a.log.1")).unwrap();
    assert_eq!(texts(&logs.search(&query(0, 60)).await.unwrap()), ["2026-01-02T03:04:04Z last words"]);
    fs::write(dir.path().join("a.log"), "2026-01-02T03:04:05Z first words\n").unwrap();
    assert_eq!(logs.search(&query(0, 60)).await.unwrap().lines.len(), 2);
}

#[tokio::test]
async fn month_without_a_year_is_the_last_one_that_was() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("a.log"),
        "Dec 31 23:59:59 host app: last year\nJan  2 03:04:04 host app: now\n",
    )
    .unwrap();
    let day = LogQuery {
        window: TimeRange::new(TimestampMs(NOW - 48 * 3_600_000), TimestampMs(NOW)),
        ..query(0, 0)
    };
    let answer = in_directory(dir.path()).search(&day).await.unwrap();
    assert_eq!(answer.lines.len(), 2, "{answer:?}");
}

#[tokio::test]
async fn unreadable_source_is_an_error_when_asked_for_and_an_empty_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (there, gone) = (dir.path().join("there.log"), dir.path().join("gone.log"));
    fs::write(&there, "").unwrap();
    let file = |service: &str, path: &Path| FileSource { service: service.to_owned(), path: path.to_owned() };
    let files = vec![file("there", &there), file("gone", &gone), file("dir", dir.path())];
    let logs = logs(LogsConfig { files, ..LogsConfig::default() });
    let asked = |service: &str| LogQuery { services: vec![service.to_owned()], ..query(0, 60) };
    assert_eq!(logs.search(&asked("there")).await, Ok(LogAnswer::default()));
    for service in ["gone", "dir"] {
        let fault = logs.search(&asked(service)).await.unwrap_err();
        assert_eq!(fault.code, "LOGS_UNREADABLE");
        assert!(fault.message.contains(&format!("log of {service}")), "{fault}");
    }
    let answer = logs.search(&query(0, 60)).await.unwrap();
    assert_eq!(
        (answer.lines.len(), answer.unread.len()),
        (0, 2),
        "the others are still read, and these are told"
    );
    assert_eq!(logs.services(query(0, 60).window).await.unwrap(), ["dir", "gone", "there"]);

    let missing = in_directory(&dir.path().join("missing"));
    assert_eq!(missing.search(&query(0, 60)).await.unwrap_err().code, "LOGS_UNREADABLE");
}

#[tokio::test]
async fn loud_file_uses_up_its_own_share_only() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("loud.log"), "2026-01-02T03:04:04Z noise\n".repeat(50_000)).unwrap();
    fs::write(dir.path().join("quiet.log"), "2026-01-02T03:04:02Z the one that matters\n").unwrap();
    let directories = vec![DirectorySource { path: dir.path().to_owned(), extension: log() }];
    let logs = logs(LogsConfig { directories, search_bytes_max: 200_000, ..LogsConfig::default() });
    let answer = logs.search(&LogQuery { limit: 100_000, ..query(0, 60) }).await.unwrap();
    assert_eq!(texts(&answer)[0], "2026-01-02T03:04:02Z the one that matters");
    assert!((3_000..4_000).contains(&answer.lines.len()), "{}", answer.lines.len());
}
