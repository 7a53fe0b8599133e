//! What stands out in an upload: read as it arrives, judged when it has, kept nowhere.
//!
//! Owns the limits of an upload and the way of its bytes to the reader. A log of ordinary days may come before it, to be
//! compared with. What leaves is redacted.

use super::year_of;
use crate::api::auth::{Caller, Role};
use crate::api::operations::Operations;
use crate::api::problem::{Problem, ProblemKind};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use medic_core::TimestampMs;
use medic_signals::logs::reader::{ReadError, records};
use medic_signals::logs::sessions::SessionAnomaly;
use medic_signals::logs::{
    AnalyzeOptions, Baseline, LogRecord, LogReport, ReadStats, ReaderOptions, analyze,
};
use medic_signals::redact::redact;
use std::io::{self, BufRead, Read};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Bytes of an upload, and of the baseline before it, packed or not. 32 MiB: records of it take some three times that, twice
/// at a time.
const LOG_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What packed bytes may unpack to. 64 MiB: logs pack to a tenth, and what is kept in memory is what was unpacked.
const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes beyond the limit that are still read and thrown away, so that their sender hears the answer instead of a reset.
const DRAINED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// For the whole upload. 60 s: half a megabyte a second; it holds one of two places.
const UPLOAD_WAIT: Duration = Duration::from_secs(60);
/// Pieces on their way to the reader.
const PIECES_WAITING: usize = 8;
/// A line may be stamped by a clock that runs ahead of ours, or in a zone ahead of UTC.
const AHEAD_MS: u64 = 24 * 60 * 60 * 1000;

#[derive(Clone, Debug, Default)]
pub struct AnalyzeAsked {
    /// Of lines that name no service.
    pub name: String,
    /// Of timestamps that carry none; 0 takes the clock's.
    pub year: u32,
    /// When the trouble began, if that is known.
    pub onset: Option<TimestampMs>,
}

/// The next bytes of an upload.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Of the log to compare with. All of it comes before the first of the log itself.
    pub baseline: bool,
    pub bytes: Bytes,
}

#[derive(Clone, Debug)]
pub struct LogsReported {
    /// Redacted.
    pub report: LogReport,
    pub stats: ReadStats,
    /// Lines of the baseline; `None` when there was none.
    pub baseline_lines: Option<u64>,
    /// What a reader of the report should know of its making.
    pub notes: Vec<String>,
}

/// Bytes as they come in, for a thread that may wait.
struct Arriving {
    pieces: mpsc::Receiver<Bytes>,
    at_hand: Bytes,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Arriving {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at_hand.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.at_hand = piece,
                None => break,
            }
        }
        Ok(&self.at_hand)
    }
    fn consume(&mut self, bytes: usize) {
        let _ = self.at_hand.split_to(bytes.min(self.at_hand.len()));
    }
}

/// What was read of one log.
struct Log {
    records: Vec<LogRecord>,
    stats: ReadStats,
    note: Option<String>,
}

fn read(pieces: mpsc::Receiver<Bytes>, options: ReaderOptions, what: &str) -> Result<Log, Problem> {
    let unreadable = |error: &ReadError| Problem::invalid(error.code(), format!("{what}: {error}"));
    let arriving = Arriving { pieces, at_hand: Bytes::new() };
    let opened = records(arriving, UNPACKED_BYTES_MAX, options);
    let mut source = opened.map_err(|error| unreadable(&ReadError::Io(error)))?;
    let (mut records, mut note) = (Vec::new(), None);
    for record in source.by_ref() {
        match record {
            Ok(record) => records.push(record),
            Err(error @ ReadError::TooLarge { .. }) => {
                return Err(Problem::new(ProblemKind::TooLarge, error.code(), format!("{what}: {error}")));
            }
            // What came before the damage is worth a look.
            Err(error) => note = Some(format!("{}: {what}: {error}", error.code())),
        }
    }
    Ok(Log { records, stats: source.stats().clone(), note })
}

fn judge(
    baseline: mpsc::Receiver<Bytes>,
    log: mpsc::Receiver<Bytes>,
    options: &ReaderOptions,
    onset: Option<TimestampMs>,
    given_up: &AtomicBool,
) -> Result<LogsReported, Problem> {
    let mut notes = Vec::new();
    let ordinary = read(baseline, options.clone(), "the baseline")?;
    notes.extend(ordinary.note);
    let learned = (ordinary.stats.bytes > 0).then(|| Baseline::learn(&ordinary.records));
    let baseline_lines = learned.is_some().then_some(ordinary.stats.lines);
    drop(ordinary.records);
    let Log { records, stats, note } = read(log, options.clone(), "the log")?;
    notes.extend(note);
    if given_up.load(Ordering::Relaxed) {
        return Err(Problem::invalid("BODY_BROKEN", "the upload was given up"));
    }
    let asked =
        AnalyzeOptions { onset_ms: onset.map(|at| at.0), broken: stats.broken, ..AnalyzeOptions::default() };
    let mut report = analyze(&records, learned.as_ref(), &asked);
    redact_report(&mut report);
    Ok(LogsReported { report, stats, baseline_lines, notes })
}

impl Operations {
    /// # Errors
    /// `LIMIT_EXCEEDED` above 32 MiB, `LOGS_TOO_LARGE` for what unpacks to more than is taken, `BODY_TOO_SLOW`
    /// after a minute, `BASELINE_LATE` for a baseline behind the log, `BUSY` while two analyses are under way; and what
    /// `pieces` fails with.
    pub async fn analyze_logs(
        &self,
        caller: &Caller,
        asked: AnalyzeAsked,
        pieces: impl Stream<Item = Result<Piece, Problem>> + Send,
    ) -> Result<LogsReported, Problem> {
        caller.needs(Role::Viewer)?;
        let permit = self.analyses.clone().try_acquire_owned().map_err(|_| Problem {
            retry_after_ms: Some(2_000),
            ..Problem::new(ProblemKind::Unavailable, "BUSY", "two analyses are under way already")
        })?;
        let now = self.now();
        let told_year = i16::try_from(asked.year).ok().filter(|year| *year > 0);
        let options = ReaderOptions {
            service: Some(asked.name).filter(|name| !name.is_empty()),
            year: told_year.unwrap_or_else(|| year_of(now)),
            // Of a December that is read in January.
            not_after_ms: told_year.is_none().then(|| now.after_ms(AHEAD_MS).0),
            ..ReaderOptions::default()
        };
        let (baseline, baseline_pieces) = mpsc::channel(PIECES_WAITING);
        let (log, log_pieces) = mpsc::channel(PIECES_WAITING);
        let given_up = Arc::new(AtomicBool::new(false));
        let (onset, told) = (asked.onset, given_up.clone());
        // Reads while it arrives and then computes for seconds: not on a thread that answers others.
        let judging = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            judge(baseline_pieces, log_pieces, &options, onset, &told)
        });
        let passing = tokio::time::timeout(UPLOAD_WAIT, pass_on(pieces, baseline, log)).await;
        let passed = passing.unwrap_or_else(|_| {
            let message = format!("the upload did not arrive within {} s", UPLOAD_WAIT.as_secs());
            Err(Problem::new(ProblemKind::Slow, "BODY_TOO_SLOW", message))
        });
        given_up.store(passed.is_err(), Ordering::Relaxed);
        // The channels are closed by now: whoever reads comes to an end.
        passed?;
        judging.await.map_err(|error| Problem::new(ProblemKind::Internal, "INTERNAL", error.to_string()))?
    }
}

/// Passes the pieces on until the end, or until the reader wants no more.
async fn pass_on(
    pieces: impl Stream<Item = Result<Piece, Problem>>,
    baseline: mpsc::Sender<Bytes>,
    log: mpsc::Sender<Bytes>,
) -> Result<(), Problem> {
    let mut pieces = pin!(pieces);
    let mut baseline = Some(baseline);
    let (mut baseline_bytes, mut log_bytes) = (0usize, 0usize);
    while let Some(piece) = pieces.next().await {
        let Piece { baseline: of_baseline, bytes } = piece?;
        if bytes.is_empty() {
            continue;
        }
        let total = if of_baseline { &mut baseline_bytes } else { &mut log_bytes };
        *total = total.saturating_add(bytes.len());
        if *total > LOG_BYTES_MAX {
            return drain(pieces, *total).await;
        }
        let taken = if of_baseline {
            let Some(baseline) = &baseline else {
                let message = "the log to compare with comes before the log itself";
                return Err(Problem::invalid("BASELINE_LATE", message));
            };
            baseline.send(bytes).await
        } else {
            baseline = None;
            log.send(bytes).await
        };
        if taken.is_err() {
            // It has its reason, which is the answer.
            return Ok(());
        }
    }
    Ok(())
}

async fn drain(
    mut pieces: std::pin::Pin<&mut impl Stream<Item = Result<Piece, Problem>>>,
    mut total: usize,
) -> Result<(), Problem> {
    while total <= DRAINED_BYTES_MAX
        && let Some(Ok(piece)) = pieces.next().await
    {
        total = total.saturating_add(piece.bytes.len());
    }
    let message = format!("an upload holds at most {LOG_BYTES_MAX} bytes");
    Err(Problem::new(ProblemKind::TooLarge, "LIMIT_EXCEEDED", message))
}

fn redact_report(report: &mut LogReport) {
    let clean = |text: &mut String| {
        let redacted = redact(text);
        if !redacted.is_clean() {
            *text = redacted.text;
        }
    };
    clean(&mut report.summary);
    for template in report.templates.iter_mut().chain(&mut report.new_templates) {
        clean(&mut template.sample);
        clean(&mut template.template);
    }
    for anomaly in &mut report.anomalies {
        clean(&mut anomaly.reason);
        clean(&mut anomaly.template);
        anomaly.evidence.iter_mut().for_each(|line| clean(&mut line.text));
    }
    for change in &mut report.rate_changes {
        clean(&mut change.template);
    }
    for SessionAnomaly { entity, reason, evidence, .. } in
        report.sessions.iter_mut().flat_map(|sessions| &mut sessions.anomalies)
    {
        clean(entity);
        clean(reason);
        evidence.iter_mut().for_each(|line| clean(&mut line.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(baseline: bool, bytes: &[u8]) -> Result<Piece, Problem> {
        Ok(Piece { baseline, bytes: Bytes::copy_from_slice(bytes) })
    }

    async fn judged(pieces: Vec<Result<Piece, Problem>>) -> Result<LogsReported, Problem> {
        let (baseline, baseline_pieces) = mpsc::channel(PIECES_WAITING);
        let (log, log_pieces) = mpsc::channel(PIECES_WAITING);
        let options = ReaderOptions { year: 2026, ..ReaderOptions::default() };
        let judging = tokio::task::spawn_blocking(move || {
            judge(baseline_pieces, log_pieces, &options, None, &AtomicBool::new(false))
        });
        pass_on(futures::stream::iter(pieces), baseline, log).await?;
        judging.await.unwrap()
    }

    fn lines(from: u32, to: u32, text: &str) -> String {
        (from..to)
            .map(|n| format!("2026-11-22T10:{:02}:{:02}Z INFO {text} {n}\n", n / 60 % 60, n % 60))
            .collect()
    }

    #[tokio::test]
    async fn an_upload_is_compared_with_the_baseline_before_it_whatever_it_is_packed_in() {
        use std::io::Write as _;
        let (usual, odd) = (
            lines(0, 600, "order placed"),
            lines(600, 900, "order placed") + &lines(700, 720, "ERROR pool exhausted for bob@example.org"),
        );
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(odd.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        let mut reports = Vec::new();
        for log in [odd.as_bytes(), packed.as_slice()] {
            let (head, tail) = log.split_at(log.len() / 3);
            let pieces = vec![piece(true, usual.as_bytes()), piece(false, head), piece(false, tail)];
            let reported = judged(pieces).await.unwrap();
            assert_eq!((reported.baseline_lines, reported.stats.lines), (Some(600), 320));
            reports.push(reported.report);
        }
        assert_eq!(reports[0], reports[1]);
        let [new] = reports[0].new_templates.as_slice() else { panic!("{:?}", reports[0].new_templates) };
        assert!(new.template.contains("pool exhausted"), "{new:?}");
        assert!(!serde_json::to_string(&reports[0]).unwrap().contains("bob@example.org"));
    }

    #[tokio::test]
    async fn what_is_too_much_damaged_or_out_of_order_is_said() {
        let late = judged(vec![piece(false, b"x\n"), piece(true, b"y\n")]).await.unwrap_err();
        assert_eq!(late.code, "BASELINE_LATE");
        let mebibyte = vec![b'x'; 1 << 20];
        let large = judged((0..33).map(|_| piece(false, &mebibyte)).collect()).await.unwrap_err();
        assert_eq!((large.status().as_u16(), large.code.as_ref()), (413, "LIMIT_EXCEEDED"));
        let broken = judged(vec![piece(false, b"x\n"), Err(Problem::invalid("BODY_BROKEN", "gone"))]).await;
        assert_eq!(broken.unwrap_err().code, "BODY_BROKEN");
        let damaged = judged(vec![piece(false, &[0x1f, 0x8b, 8, 0, 1, 2, 3])]).await.unwrap();
        assert!(damaged.notes[0].starts_with("LOGS_DAMAGED: the log: "), "{:?}", damaged.notes);
    }

    #[tokio::test]
    async fn a_bomb_is_refused_and_not_unpacked() {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let line = [vec![b'x'; 1 << 16], vec![b'\n']].concat();
        for _ in 0..1_100 {
            encoder.write_all(&line).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 1 << 20);
        let refused = judged(vec![piece(false, &bomb)]).await.unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code.as_ref()), (413, "LOGS_TOO_LARGE"));
    }
}
