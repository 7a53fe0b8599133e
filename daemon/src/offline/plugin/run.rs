//! One call of one tool, against a grant file.

use super::stand::{Outcome, Stand};
use crate::offline::FAILED;
use anyhow::Context as _;
use clap::Args;
use medic_core::Fault;
use medic_host::{Deps, Grant, Grants, HostConfig, MemoryState};
use medic_ports::tools::HostCallRecord;
use medic_ports::{Clock, Logs, Metrics};
use medicd::Config;
use medicd::adapters::{LogFiles, NoKnowledge, Prometheus, SystemClock};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Args)]
#[command(
    after_help = "A tool that reads is called. Of a tool that changes something a plan is made and rehearsed, and nothing is \
                  changed: that takes a daemon, and people who agree.\nMetrics, logs and credentials are those of the \
                  configuration (--config).\n\nExamples:\n  \
                  medic plugin audit queue-depth.wasm --emit-grant > grants.toml\n  \
                  medic plugin run queue-depth.wasm queue_depth --args '{\"service\":\"checkout\"}' --grant grants.toml\n\n\
                  Exit status 1 when the tool failed."
)]
pub struct Run {
    file: PathBuf,
    /// Name of the tool in the component.
    tool: String,
    /// Arguments as JSON.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    args: String,
    /// The grant file; its `[plugin.NAME]` is what the call may do.
    #[arg(long, value_name = "FILE")]
    grant: PathBuf,
    /// Everything as JSON, in one object.
    #[arg(long)]
    json: bool,
}

pub fn run(asked: &Run, config: &dyn Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let config = config()?;
    let grants = std::fs::read_to_string(&asked.grant)
        .with_context(|| format!("cannot read the grant file {}", asked.grant.display()))?;
    let grant = granted(&asked.file, &grants)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let (stand, tool, outcome, took_ms) = runtime.block_on(async {
        let host = config.tools.as_ref().map(medicd::config::ToolsConfig::host);
        let host = host.unwrap_or_else(|| HostConfig::new(PathBuf::new(), PathBuf::new()));
        let stand = Stand::open(&asked.file, &grants, host, deps(&config)?).await?;
        let tool = stand.tool(&asked.tool)?;
        let begun = Instant::now();
        let outcome = stand.call(&tool, &asked.args).await;
        anyhow::Ok((stand, tool, outcome, begun.elapsed().as_millis()))
    })?;
    let report = Report {
        title: format!("{} {} of {} {}", tool.category, tool.name, tool.plugin, tool.digest.short()),
        calls: stand.host_calls(),
        outcome,
        took_ms,
        grant,
    };
    let mut out = io::stdout().lock();
    if asked.json {
        writeln!(out, "{}", report.json())?;
    } else {
        report.write(&mut out)?;
    }
    Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// The grant of the file's plugin, or what is wrong with it.
fn granted(file: &Path, grants: &str) -> anyhow::Result<Option<Grant>> {
    let name = medic_host::plugin_name(file).map_err(|error| crate::offline::coded(error.code, error))?;
    let grants = Grants::parse(grants).context("GRANTS_INVALID")?;
    // A table that is missing or wrong is told by the loading, with what to do.
    Ok(grants.get(&name).and_then(|grant| grant.as_ref().ok()).cloned())
}

fn deps(config: &Config) -> anyhow::Result<Deps> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bearer = config.prometheus.bearer.as_ref().map(medicd::config::SecretRef::resolve).transpose()?;
    let metrics: Arc<dyn Metrics> =
        Arc::new(Prometheus::new(&config.prometheus, bearer.as_ref(), clock.clone())?);
    let logs: Arc<dyn Logs> = Arc::new(LogFiles::new(config.logs.clone(), clock.clone()));
    Ok(Deps {
        clock,
        metrics,
        logs,
        knowledge: Arc::new(NoKnowledge),
        state: Arc::new(MemoryState::default()),
    })
}

/// What a call came to, for people and for programs.
struct Report {
    title: String,
    calls: Vec<HostCallRecord>,
    outcome: Result<Outcome, Fault>,
    took_ms: u128,
    grant: Option<Grant>,
}

impl Report {
    fn is_success(&self) -> bool {
        match &self.outcome {
            Ok(Outcome::Answered(_)) => true,
            Ok(Outcome::Planned { rehearsal, saved, .. }) => rehearsal.is_ok() && saved.is_ok(),
            Err(_) => false,
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", self.title)?;
        writeln!(out, "\nhost calls")?;
        for call in &self.calls {
            let verdict = if call.allowed { "allowed" } else { "DENIED " };
            writeln!(out, "  {verdict}  {}  {}  [{}]", call.function, call.subject, call.rule)?;
        }
        match &self.outcome {
            Err(fault) => writeln!(out, "\nfailed\n  {}: {}", fault.code, fault.message)?,
            Ok(Outcome::Answered(answer)) => {
                writeln!(out, "\nanswer\n  {}", answer.summary)?;
                if let Some(data) = &answer.data_json {
                    writeln!(out, "  {data}")?;
                }
                for artifact in &answer.artifacts {
                    writeln!(out, "  {artifact}")?;
                }
            }
            Ok(Outcome::Planned { plan, rehearsal, saved }) => {
                writeln!(out, "\nplan\n  {}", plan.rationale)?;
                for step in &plan.steps {
                    writeln!(
                        out,
                        "  {}. {}  {}  {}",
                        step.id, step.operation, step.target, step.params_json
                    )?;
                    writeln!(out, "     {}", step.summary)?;
                }
                for check in &plan.checks {
                    writeln!(out, "  check  {check}")?;
                }
                writeln!(out, "\nrehearsal; nothing was changed")?;
                match rehearsal {
                    Err(fault) => writeln!(out, "  failed  {}: {}", fault.code, fault.message)?,
                    Ok(run) => {
                        for call in &run.calls {
                            let back = if call.reversible { "has a way back" } else { "CANNOT BE UNDONE" };
                            writeln!(out, "  {}  {}  {back}", call.function, call.target)?;
                        }
                    }
                }
                match saved {
                    Err(fault) => {
                        writeln!(out, "  cannot save what is there  {}: {}", fault.code, fault.message)?
                    }
                    Ok(saved) => writeln!(out, "  {} things saved to put back", saved.items.len())?,
                }
            }
        }
        writeln!(out, "\nused")?;
        for (what, used, limit) in self.used() {
            writeln!(
                out,
                "  {what}  {used}{}",
                limit.map(|limit| format!(" of {limit}")).unwrap_or_default()
            )?;
        }
        Ok(())
    }

    fn used(&self) -> Vec<(&'static str, String, Option<String>)> {
        let limits = self.grant.as_ref().map(|grant| &grant.limits);
        let mut used = vec![
            ("host calls", self.calls.len().to_string(), limits.map(|limits| limits.host_calls.to_string())),
            ("milliseconds", self.took_ms.to_string(), limits.map(|limits| limits.wall_ms.to_string())),
        ];
        if let Ok(Outcome::Answered(answer)) = &self.outcome {
            let data = answer.data_json.as_ref().map_or(0, String::len);
            let summary = answer.summary.len().to_string();
            used.push(("bytes of summary", summary, limits.map(|limits| limits.summary.to_string())));
            used.push(("bytes of data", data.to_string(), limits.map(|limits| limits.data_json.to_string())));
        }
        used
    }

    fn json(&self) -> Value {
        let calls: Vec<Value> = self
            .calls
            .iter()
            .map(|call| {
                json!({ "function": call.function, "subject": call.subject, "allowed": call.allowed, "rule": call.rule })
            })
            .collect();
        let fault = |fault: &Fault| json!({ "code": fault.code, "message": fault.message });
        let outcome = match &self.outcome {
            Err(failure) => json!({ "failed": fault(failure) }),
            Ok(Outcome::Answered(answer)) => json!({ "answer": answer }),
            Ok(Outcome::Planned { plan, rehearsal, saved }) => json!({
                "plan": plan,
                "rehearsal": rehearsal.as_ref().map_or_else(fault, |run| json!(run)),
                "saved": saved.as_ref().map_or_else(fault, |saved| json!(saved.items.len())),
            }),
        };
        let used: serde_json::Map<String, Value> = self
            .used()
            .into_iter()
            .map(|(what, used, limit)| (what.replace(' ', "_"), json!({ "used": used, "limit": limit })))
            .collect();
        json!({ "tool": self.title, "host_calls": calls, "outcome": outcome, "used": used })
    }
}
