//! Logs: what stands out in files, and questions in plain words.

use crate::cli::Logs;
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::{self, say, tell};
use crate::text::{Style, Table, block, duration, instant, plain, short};
use medic_proto::v1;
use std::io::IsTerminal as _;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc::Sender;

/// Bytes of one message of an upload.
const CHUNK_BYTES: usize = 256 * 1024;
/// Between two words about progress. 1 MiB: some ten a second on a slow network.
const PROGRESS_BYTES: u64 = 1 << 20;

pub async fn run(client: &Client, command: Logs, json: bool) -> Result<Exit, Failure> {
    match command {
        Logs::Analyze { files, baseline, service, year, onset, check } => {
            let mut found = false;
            for file in &files {
                let name = service.clone().unwrap_or_else(|| service_of(file));
                let options = v1::AnalyzeLogsOptions { name, year, onset_ms: onset, ..Default::default() };
                let (answer, cut_short) = analyze(client, file, baseline.as_deref(), options).await?;
                found |= stands_out(&answer);
                if json {
                    output::record(&answer)?;
                } else {
                    show(file, &answer, files.len() > 1)?;
                }
                if let Some(why) = cut_short {
                    return Err(Failure::new("IO", why));
                }
            }
            Ok(if check && found { Exit::Failed } else { Exit::Done })
        }
        Logs::Query { words, limit, now } => {
            let request = v1::QueryLogsRequest { text: words.join(" "), now_ms: now, limit };
            let answer = client.logs().query(request).await?.into_inner();
            if json {
                output::document(&answer)?;
            } else {
                answered(&answer)?;
            }
            Ok(Exit::Done)
        }
    }
}

/// `checkout` of `/var/log/shop/checkout.log.2.gz`; nothing of standard input.
fn service_of(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let bare = name.split('.').next().unwrap_or_default();
    if name == "-" { String::new() } else { bare.to_owned() }
}

fn stands_out(answer: &v1::AnalyzeLogsResponse) -> bool {
    !answer.anomalies.is_empty() || answer.sessions.as_ref().is_some_and(|sessions| sessions.anomalous > 0)
}

fn show(file: &Path, answer: &v1::AnalyzeLogsResponse, among_others: bool) -> Result<(), Failure> {
    if among_others {
        say!("{}", Style::of_stdout().bold(&plain(&file.display().to_string())));
    }
    tell!("{}", block(&answer.summary, ""));
    for anomaly in &answer.anomalies {
        if let Some(line) = anomaly.evidence.first() {
            let at = format!("{:>8}  {}", line.line, short(&line.text, 150));
            say!("{}", Style::of_stdout().dim(&at));
        }
    }
    for note in &answer.notes {
        eprintln!("medic: {}", plain(note));
    }
    if answer.broken > 0 {
        eprintln!("medic: {} of {} lines were not understood in full", answer.broken, answer.lines);
    }
    Ok(())
}

/// The answer, and why not all was sent if it was not.
async fn analyze(
    client: &Client,
    file: &Path,
    baseline: Option<&Path>,
    options: v1::AnalyzeLogsOptions,
) -> Result<(v1::AnalyzeLogsResponse, Option<String>), Failure> {
    let mut sources = Vec::new();
    if let Some(baseline) = baseline {
        sources.push((true, Source::open(baseline).await?));
    }
    sources.push((false, Source::open(file).await?));
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let sending = tokio::spawn(send(sources, options, sender));
    let answer = match client.logs().analyze(tokio_stream::wrappers::ReceiverStream::new(receiver)).await {
        Ok(answer) => answer.into_inner(),
        Err(refused) => {
            // Who still waits for a source waits for nothing.
            sending.abort();
            return Err(refused.into());
        }
    };
    let sent = sending.await.map_err(|error| Failure::new("INTERNAL", error.to_string()))?;
    Ok((answer, sent.err()))
}

struct Source {
    name: String,
    /// Bytes, where that is known.
    length: Option<u64>,
    input: Box<dyn AsyncRead + Send + Unpin>,
}

impl Source {
    async fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        if path.as_os_str() == "-" {
            let input = Box::new(tokio::io::stdin());
            return Ok(Self { name: "standard input".to_owned(), length: None, input });
        }
        let unreadable = |error: std::io::Error| Failure::new("IO", format!("cannot read {name}: {error}"));
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let metadata = file.metadata().await.map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(Failure::new("IO", format!("cannot read {name}: it is a directory")));
        }
        Ok(Self { length: metadata.is_file().then_some(metadata.len()), name, input: Box::new(file) })
    }
}

/// The sources in pieces, the baseline first; the first message carries the options.
///
/// # Errors
/// Why a source could not be read to its end; what was read is analysed all the same.
async fn send(
    sources: Vec<(bool, Source)>,
    options: v1::AnalyzeLogsOptions,
    sender: Sender<v1::AnalyzeLogsRequest>,
) -> Result<(), String> {
    let mut progress = Progress::new();
    // An empty file is one message too: its options must arrive.
    let first = v1::AnalyzeLogsRequest { options: Some(options), ..Default::default() };
    if sender.send(first).await.is_err() {
        return Ok(());
    }
    for (of_baseline, mut source) in sources {
        let mut sent = 0;
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = source
                .input
                .read(&mut chunk)
                .await
                .map_err(|error| format!("{} cannot be read to its end: {error}", source.name));
            let read = match read {
                Ok(0) => break,
                Ok(read) => read,
                Err(why) => {
                    progress.over();
                    return Err(why);
                }
            };
            chunk.truncate(read);
            sent += read as u64;
            let message = if of_baseline {
                v1::AnalyzeLogsRequest { baseline_chunk: chunk, ..Default::default() }
            } else {
                v1::AnalyzeLogsRequest { chunk, ..Default::default() }
            };
            if sender.send(message).await.is_err() {
                // The daemon wants no more, and says why.
                progress.over();
                return Ok(());
            }
            progress.show(&source.name, sent, source.length);
        }
    }
    progress.over();
    Ok(())
}

/// One line on a terminal's standard error, drawn over and over; nothing anywhere else.
struct Progress {
    on: bool,
    shown_at: u64,
    drawn: bool,
}

impl Progress {
    fn new() -> Self {
        Self { on: std::io::stderr().is_terminal(), shown_at: 0, drawn: false }
    }

    fn show(&mut self, name: &str, sent: u64, length: Option<u64>) {
        let due = sent < self.shown_at || sent - self.shown_at >= PROGRESS_BYTES;
        if self.on && due {
            self.shown_at = sent;
            self.drawn = true;
            eprint!("\r\x1b[2K{}", progress_line(name, sent, length));
        }
    }

    fn over(&mut self) {
        if std::mem::take(&mut self.drawn) {
            eprint!("\r\x1b[2K");
        }
    }
}

fn progress_line(name: &str, sent: u64, length: Option<u64>) -> String {
    let mebibytes = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    let name = short(name, 50);
    match length.filter(|length| *length >= sent && *length > 0) {
        Some(length) => {
            let percent = 100 * sent / length;
            format!("{name}: {:.0} of {:.0} MiB sent, {percent} %", mebibytes(sent), mebibytes(length))
        }
        None => format!("{name}: {:.0} MiB sent", mebibytes(sent)),
    }
}

fn answered(answer: &v1::QueryLogsResponse) -> Result<(), Failure> {
    eprintln!("understood: {}", plain(&answer.understood));
    if let Some(note) = &answer.model_note {
        eprintln!("{}", plain(note));
    }
    if !answer.not_understood.is_empty() {
        eprintln!("not understood: {}", plain(&answer.not_understood.join(" ")));
    }
    for note in &answer.notes {
        eprintln!("{}", plain(note));
    }
    for line in &answer.lines {
        let service = line.labels.get("service").map(String::as_str).unwrap_or("-");
        let at = line.at_ms.map_or_else(|| "-".to_owned(), instant);
        let mut rows = line.line.lines();
        let head = rows.next().unwrap_or_default();
        output::line(&format!("{at}  {}  {}", plain(service), plain(head)))?;
        tell!("{}", block(&rows.collect::<Vec<_>>().join("\n"), "    "));
    }
    if !answer.groups.is_empty() {
        tell!("{}", groups(answer).render(Style::of_stdout()));
    }
    let is_count = answer.lines.is_empty() && answer.groups.is_empty() && answer.matched > 0;
    if is_count {
        say!("{}", answer.matched);
    }
    if answer.ungrouped > 0 {
        eprintln!("{} more that matched are in no group shown", answer.ungrouped);
    }
    if answer.dropped > 0 {
        eprintln!("{} more lines were cut by a limit", answer.dropped);
    }
    if answer.matched == 0 {
        let window = duration(answer.window_end_ms.saturating_sub(answer.window_start_ms));
        eprintln!("no line matches within {window} from {}", instant(answer.window_start_ms));
    }
    Ok(())
}

fn groups(answer: &v1::QueryLogsResponse) -> Table {
    let of_templates = answer.groups.iter().any(|group| !group.text.is_empty());
    let is_timeline = answer.understood.contains("show=timeline");
    let mut table = Table::new(if of_templates { &["COUNT", "TEMPLATE", "TEXT"] } else { &["COUNT", "OF"] });
    for group in &answer.groups {
        let start = group.name.parse().ok().filter(|_| is_timeline).map(instant);
        let mut row = vec![group.count.to_string(), start.unwrap_or_else(|| group.name.clone())];
        if of_templates {
            row.push(short(&group.text, 120));
        }
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_tells_its_service() {
        for (path, service) in
            [("/var/log/shop/checkout.log.2.gz", "checkout"), ("payments.jsonl", "payments"), ("-", "")]
        {
            assert_eq!(service_of(Path::new(path)), service);
        }
    }

    #[test]
    fn progress_says_how_much_of_how_much() {
        assert_eq!(progress_line("a.log", 3 << 20, Some(12 << 20)), "a.log: 3 of 12 MiB sent, 25 %");
        assert_eq!(progress_line("a.log", 3 << 20, None), "a.log: 3 MiB sent");
        assert_eq!(progress_line("a\x1b[2J.log", 0, Some(0)), "a[2J.log: 0 MiB sent", "a name draws nothing");
    }

    #[test]
    fn counts_are_a_table_with_what_they_count() {
        let group =
            |name: &str, count, text: &str| v1::LogGroup { name: name.into(), count, text: text.into() };
        let answer = v1::QueryLogsResponse {
            groups: vec![group("00c0ffee00c0ffee", 7, "order <num> failed")],
            ..Default::default()
        };
        let drawn = groups(&answer).render(Style { on: false });
        assert!(drawn.contains("7      00c0ffee00c0ffee  order <num> failed"), "{drawn}");
        let answer = v1::QueryLogsResponse {
            understood: "show=timeline every=60s limit=100".into(),
            groups: vec![group("1795345000000", 2, "")],
            ..Default::default()
        };
        assert!(groups(&answer).render(Style { on: false }).contains("2      2026-11-22 10:56:40Z"));
    }

    #[tokio::test]
    async fn the_options_come_first_then_the_baseline_then_the_log() {
        let source =
            |text: &'static str| Source { name: "x".into(), length: None, input: Box::new(text.as_bytes()) };
        let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
        let options = v1::AnalyzeLogsOptions { name: "cart".into(), ..Default::default() };
        send(vec![(true, source("usual")), (false, source("odd"))], options, sender).await.unwrap();
        let mut messages = Vec::new();
        while let Some(message) = receiver.recv().await {
            messages.push(message);
        }
        assert_eq!(messages.len(), 3);
        assert_eq!(messages[0].options.as_ref().unwrap().name, "cart");
        assert_eq!(
            (messages[1].baseline_chunk.as_slice(), messages[2].chunk.as_slice()),
            (&b"usual"[..], &b"odd"[..])
        );
    }
}
