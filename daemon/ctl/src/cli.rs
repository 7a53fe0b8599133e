//! What can be typed. Every command's help says what it does, needs and prints.

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(
    name = "medic",
    version,
    about = "Ask, watch and decide: the operator's side of Medic",
    long_about = "Ask, watch and decide: the operator's side of Medic.\n\n\
        Medic takes alerts, finds the cause, proposes a remedy and waits for you. Nothing that changes a system runs \
        before the plan you have read is approved.",
    after_help = "Examples:\n  \
        medic incidents list --live          what is going on\n  \
        medic watch 01JDZ5Y8K3               one incident as it happens, with its timeline\n  \
        medic approve 01JDZ5Y8K3             read the plan, then answer y\n  \
        medic logs query errors in checkout in the last 15 minutes\n  \
        medic audit export audit.jsonl && medic audit verify audit.jsonl\n  \
        medic incidents export 01JDZ5Y8K3 --to 01JDZ5Y8K3.jsonl && medic replay 01JDZ5Y8K3.jsonl --step\n  \
        medic store backup --to /backup/monday  a copy while the daemon serves\n\n\
        Results go to standard output, everything else to standard error; --json prints for programs.\n\
        Exit status: 0 done, 1 refused or failed (the message begins with a stable code), 2 wrong usage."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Clone, Debug)]
pub struct Global {
    /// The daemon's gRPC address; https:// for one with TLS.
    #[arg(
        long,
        global = true,
        env = "MEDIC_SERVER",
        default_value = "http://127.0.0.1:7640",
        value_name = "URL"
    )]
    pub server: String,
    /// Your token; better given in the environment, where a process list does not show it.
    #[arg(long, global = true, env = "MEDIC_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// PEM file with the certificate authority of an https:// server.
    #[arg(long, global = true, env = "MEDIC_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Print JSON: one document, or one a line where the answer is a stream.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List incidents, or open one by hand.
    #[command(subcommand)]
    Incidents(Incidents),
    /// Everything known of one incident: alerts, causes, plan, actions, timeline.
    Show { id: String },
    /// Look on as it happens: one incident until it is over, or all of them.
    #[command(
        after_help = "With an ID it ends with the incident: exit status 0 when resolved, 1 when escalated.\n\
        At a terminal the view is redrawn; otherwise each step of the story is one line."
    )]
    Watch {
        id: Option<String>,
        /// Stay after the incident is over.
        #[arg(long)]
        follow: bool,
    },
    /// Consent to the plan an incident waits with.
    #[command(
        after_help = "Without --plan the plan is shown with its blast radius, targets and expiry, and you are \
        asked.\nA destructive plan asks you to type each target.\n\n\
        Examples:\n  medic approve 01JDZ5Y8K3\n  medic approve 01JDZ5Y8K3 --plan sha256:4f0c…   (not asked; refused if \
        it is not this plan any more)"
    )]
    Approve {
        id: String,
        /// Digest of the plan you have read, whole or its first 12 hex digits: approve that one without asking.
        #[arg(long, value_name = "DIGEST")]
        plan: Option<String>,
    },
    /// Turn the proposed plan down; a human takes over.
    Reject {
        id: String,
        /// Why; kept in the history and the audit log.
        #[arg(long, short)]
        reason: String,
    },
    /// Take an incident over: Medic stops acting on it.
    Escalate {
        id: String,
        /// Why; kept in the history and the audit log.
        #[arg(long, short)]
        reason: String,
    },
    /// The current diagnosis with the evidence it cites.
    Diagnose {
        id: String,
        /// Ask for a fresh look first.
        #[arg(long)]
        fresh: bool,
    },
    /// The sandboxed tools: what there is, what each may do, running one.
    #[command(subcommand)]
    Tools(Tools),
    /// Analyse logs, or ask the configured sources in plain words.
    #[command(subcommand)]
    Logs(Logs),
    /// Runbooks: search them, add one.
    #[command(subcommand)]
    Knowledge(Knowledge),
    /// The record of everything decided and done.
    #[command(subcommand)]
    Audit(Audit),
    /// How the daemon is, and who you are to it.
    Status,
    /// What waits in the daemon's mailboxes, and letters that could not be handled.
    #[command(subcommand)]
    Mailbox(Mailbox),
    /// The daemon's memory: copy it while it serves, check, restore or export it while it does not.
    #[command(subcommand)]
    Store(Store),
    /// Audit, test, run or install a plugin file. Handed to medicd.
    #[command(disable_help_flag = true)]
    Plugin(Handed),
    /// Decide a recorded incident once more, without any daemon, and find whatever is not the same.
    #[command(
        after_help = "FILE comes from `medic incidents export`, or is one that retention has archived. Exit status 1 when \
        a decision, an effect, an audit record or the last state is not what was recorded.\n\nExamples:\n  \
        medic replay 01JDZ5Y8K3.jsonl\n  \
        medic replay 01JDZ5Y8K3.jsonl --step         decision by decision, with what each changed\n  \
        medic replay 01JDZ5Y8K3.jsonl --until 12     as it stood at revision 12\n  \
        medic audit export audit.jsonl && medic replay 01JDZ5Y8K3.jsonl --audit audit.jsonl"
    )]
    Replay {
        file: PathBuf,
        /// Wait for Enter after each decision, and show what it changed.
        #[arg(long)]
        step: bool,
        /// Stop at this revision of the incident.
        #[arg(long, value_name = "REVISION")]
        until: Option<u64>,
        /// An export of the whole audit log: its records of this incident must be exactly those in FILE.
        #[arg(long, value_name = "FILE", conflicts_with = "until")]
        audit: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Mailbox {
    /// How much waits where, and the dead letters.
    List {
        /// List the letters that wait there too: supervisor, monitor, diagnoser, executor or notifier.
        #[arg(default_value = "", hide_default_value = true)]
        mailbox: String,
        /// Letters of a kind at most, 1 to 1000.
        #[arg(long, short = 'n', default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// One dead letter, whole.
    Show { id: String },
    /// Put a dead letter back into its mailbox, to be handled as if it had just come. Needs the role approver.
    Retry { id: String },
    /// Take a dead letter out for good. Needs the role approver.
    Drop {
        id: String,
        /// Why; kept in the audit log.
        #[arg(long, short)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Store {
    /// Read everything and list what is not as it should be. The daemon must not run. Handed to medicd.
    #[command(disable_help_flag = true)]
    Check(Handed),
    /// Copy the store into a new directory, while the daemon serves; with --dir, of a daemon that does not.
    #[command(
        after_help = "The copy is made by the daemon, on its machine; needs the role admin.\n\nExamples:\n  \
        medic store backup --to /backup/monday\n  medic store backup --dir /var/lib/medic/store --to /backup/monday"
    )]
    Backup {
        /// Absolute path on the daemon's machine; nothing may be there yet.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// A store that no daemon has open; handed to medicd.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Put a copy in place as a store. Handed to medicd.
    #[command(disable_help_flag = true)]
    Restore(Handed),
    /// Write the audit log of a store that no daemon has open. Handed to medicd.
    #[command(disable_help_flag = true)]
    Export(Handed),
}

/// Arguments for medicd, as they are.
#[derive(Args, Debug)]
pub struct Handed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub args: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub enum Incidents {
    /// Newest first.
    List {
        /// Leave out what is resolved or escalated.
        #[arg(long)]
        live: bool,
        /// Only this phase, such as AWAITING_DECISION.
        #[arg(long, default_value = "")]
        phase: String,
        /// At most this many, 1 to 500.
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Only older than this incident.
        #[arg(long, default_value = "", value_name = "ID")]
        before: String,
    },
    /// Open an incident by hand.
    #[command(
        after_help = "Example:\n  medic incidents create 'checkout is slow' --label service=checkout --label \
        severity=warning"
    )]
    Create {
        title: String,
        /// What is affected; at least the component's label.
        #[arg(long = "label", short, value_name = "NAME=VALUE", value_parser = pair, required = true)]
        labels: Vec<(String, String)>,
        #[arg(long = "annotation", short, value_name = "NAME=VALUE", value_parser = pair)]
        annotations: Vec<(String, String)>,
        /// Sending the same request twice opens one incident.
        #[arg(long, value_name = "ID")]
        request_id: Option<String>,
    },
    /// Write everything that was decided on one incident as a file for `medic replay`.
    #[command(
        after_help = "With --dir the store of a daemon that does not run is read, by medicd.\n\nExample:\n  \
        medic incidents export 01JDZ5Y8K3 --to 01JDZ5Y8K3.jsonl && medic replay 01JDZ5Y8K3.jsonl"
    )]
    Export {
        id: String,
        /// Standard output when left out.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// A store that no daemon has open; handed to medicd.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Tools {
    /// Loaded tools, and plugins that were not loaded with the reason.
    List,
    /// What a tool is, takes, imports and was granted.
    Describe { name: String },
    /// Run a tool that reads, or propose a change that then waits for approval.
    #[command(after_help = "Examples:\n  medic tools exec error_ratio service=checkout window_s:=300\n  \
        medic tools exec error_ratio --args '{\"service\":\"checkout\"}'\n\n\
        name=text gives a string, name:=json any JSON value.")]
    Exec {
        name: String,
        /// name=text or name:=json.
        #[arg(value_name = "ARGUMENT", value_parser = argument)]
        arguments: Vec<(String, serde_json::Value)>,
        /// All arguments as one JSON object.
        #[arg(long, conflicts_with = "arguments", value_name = "JSON")]
        args: Option<String>,
        /// The incident it belongs to.
        #[arg(long, default_value = "", value_name = "ID")]
        incident: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Logs {
    /// What stands out in a log file of any known format, plain or packed. Nothing of it is kept.
    #[command(
        after_help = "A screen for each file: what is new, what changed, since when, in which services; then the first line \
        of each. Exit status 1 with --check when something stands out.\n\nExamples:\n  \
        medic logs analyze checkout.log\n  \
        medic logs analyze --baseline yesterday.log.gz today.log\n  \
        kubectl logs deploy/checkout | medic logs analyze - --service checkout"
    )]
    Analyze {
        /// `-` reads standard input. gzip and zstd are told by their content.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// A log of ordinary days, to compare with; otherwise the time before the onset is.
        #[arg(long, value_name = "FILE")]
        baseline: Option<PathBuf>,
        /// Service of lines that name none; otherwise the file's name.
        #[arg(long)]
        service: Option<String>,
        /// Year of timestamps that carry none.
        #[arg(long, default_value_t = 0)]
        year: u32,
        /// When the trouble began, RFC 3339; otherwise found in the log.
        #[arg(long, value_name = "TIME", value_parser = instant)]
        onset: Option<u64>,
        /// Exit with 1 when something stands out.
        #[arg(long)]
        check: bool,
    },
    /// Ask in plain words.
    #[command(
        after_help = "Examples:\n  medic logs query errors in checkout after 10:05 about the database\n  \
        medic logs query warnings or worse in payments in the last 15 minutes"
    )]
    Query {
        #[arg(required = true, value_name = "WORDS")]
        words: Vec<String>,
        /// At most this many lines, up to 5000; 0: what the words say.
        #[arg(long, short = 'n', default_value_t = 0)]
        limit: u32,
        /// What "now" means, RFC 3339.
        #[arg(long, value_name = "TIME", value_parser = instant)]
        now: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Knowledge {
    /// Passages that bear on a text: an alert, a symptom, a message.
    #[command(
        after_help = "Exit status 1 when nothing found is worth relying on; the nearest misses are printed."
    )]
    Search {
        #[arg(required = true, value_name = "WORDS")]
        words: Vec<String>,
        /// Prefer documents about this component.
        #[arg(long, default_value = "")]
        service: String,
        #[arg(long, short = 'n', default_value_t = 5)]
        limit: u32,
        /// Only `runbook`, `incident`, `architecture` or `error-code`.
        #[arg(long, default_value = "")]
        kind: String,
        /// Only documents of this source, as `medic knowledge stats` names it.
        #[arg(long, default_value = "")]
        source: String,
        /// Only documents of this day or later, such as 2026-03-01, and those that say no day.
        #[arg(long, default_value = "", value_name = "DAY")]
        since: String,
        /// Ask this version in place of the one that answers.
        #[arg(long)]
        version: Option<u64>,
        /// Where drafts stand that no person has reviewed: `below`, `among`, `none`.
        #[arg(long, default_value = "below")]
        drafts: String,
    },
    /// Add or replace Markdown documents. Needs the role admin.
    Ingest {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Folder in the knowledge base.
        #[arg(long, default_value = "")]
        folder: String,
    },
    /// Read every configured source again. Needs the role admin.
    Reread,
    /// A document as it is kept.
    Show {
        /// Its path, as a search names it.
        document: String,
        #[arg(long, default_value = "")]
        source: String,
        #[arg(long)]
        version: Option<u64>,
    },
    /// The versions that can be asked.
    Versions,
    /// What one version has that another has not.
    Diff { from: u64, to: u64 },
    /// Let one version answer, whatever is ingested. Needs the role admin.
    Pin { version: u64 },
    /// Let the newest version answer again. Needs the role admin.
    Unpin,
    /// Publish the documents of an older version as the newest. Needs the role admin.
    Rollback { version: u64 },
    /// What is in the knowledge base.
    Stats,
    /// Search for each of a file's questions and say how often the right document was among the first.
    #[command(
        after_help = "A line a question: {\"id\", \"q\", \"rel\": [paths]}; no rel: nothing answers it. A path counts by its end."
    )]
    Eval {
        #[arg(value_name = "QUERIES.jsonl")]
        queries: PathBuf,
    },
    /// Fetch the embedding model all-MiniLM-L6-v2 into a directory and check it; needs Python with pip.
    SetupModel { dir: PathBuf },
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Records in order.
    List {
        /// First record, from 1.
        #[arg(long, default_value_t = 1, value_name = "SEQ")]
        from: u64,
        #[arg(long, short = 'n', default_value_t = 0)]
        limit: u64,
        #[arg(long, default_value = "", value_name = "ID")]
        incident: String,
    },
    /// Recompute the chain: the daemon's own, or an exported file without any daemon.
    Verify {
        /// An export; handed to medicd.
        file: Option<PathBuf>,
        /// For medicd: --anchors FILE, --anchor SEQ:HASH, --trust KEY.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, requires = "file", value_name = "ARGS")]
        rest: Vec<OsString>,
    },
    /// Write down where the chain stands now, signed with a key that the daemon's machine does not hold.
    #[command(
        after_help = "One JSON line, appended to --out. Whoever keeps it elsewhere can later tell a chain that was forged \
        anew from its beginning: medic audit verify FILE --anchors FILE --trust KEY.\n\nExamples:\n  \
        medic audit keygen auditor.key\n  medic audit anchor --key auditor.key --out anchors.jsonl"
    )]
    Anchor {
        /// Private key file of `medic audit keygen`; unsigned without one.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Appended to; standard output when left out.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The chain of a store that no daemon has open.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Make a key pair for anchors: FILE, which only its owner can read, and FILE.pub.
    Keygen { file: PathBuf },
    /// Write the whole chain as JSON lines, recomputing it on the way.
    Export {
        /// Standard output when left out.
        file: Option<PathBuf>,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    if name.is_empty() {
        Err("the name is empty".to_owned())
    } else {
        Ok((name.to_owned(), value.to_owned()))
    }
}

fn argument(text: &str) -> Result<(String, serde_json::Value), String> {
    let (name, value) = pair(text)?;
    match name.strip_suffix(':') {
        None => Ok((name, value.into())),
        Some("") => Err("the name is empty".to_owned()),
        Some(name) => {
            let value =
                serde_json::from_str(&value).map_err(|error| format!("{value:?} is no JSON: {error}"))?;
            Ok((name.to_owned(), value))
        }
    }
}

fn instant(text: &str) -> Result<u64, String> {
    let at: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    u64::try_from(at.as_millisecond()).map_err(|_| "before 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_are_text_unless_said_to_be_json() {
        assert_eq!(argument("count=5"), Ok(("count".into(), "5".into())));
        assert_eq!(argument("count:=5"), Ok(("count".into(), 5.into())));
        assert_eq!(argument("query=a=b"), Ok(("query".into(), "a=b".into())));
        assert!(argument("count:=five").is_err());
        assert!(argument("=5").is_err());
        assert!(argument(":=5").is_err());
        assert!(argument("count").is_err());
    }

    #[test]
    fn what_is_medicds_is_handed_on_as_it_is() {
        let cli =
            Cli::try_parse_from(["medic", "plugin", "audit", "x.wasm", "--emit-grant", "--help"]).unwrap();
        let Command::Plugin(handed) = cli.command else { panic!("{cli:?}") };
        assert_eq!(handed.args, ["audit", "x.wasm", "--emit-grant", "--help"]);
        let cli = Cli::try_parse_from(["medic", "store", "check", "--dir", "/x", "--json"]).unwrap();
        assert!(
            matches!(cli.command, Command::Store(Store::Check(handed)) if handed.args == ["--dir", "/x", "--json"])
        );
        let cli = Cli::try_parse_from(["medic", "audit", "verify"]).unwrap();
        assert!(matches!(cli.command, Command::Audit(Audit::Verify { file: None, .. })));
    }

    #[test]
    fn a_decision_needs_its_reason() {
        Cli::try_parse_from(["medic", "reject", "01J"]).unwrap_err();
        Cli::try_parse_from(["medic", "reject", "01J", "-r", "not now"]).unwrap();
    }
}
