//! Tries a plugin: its native tests, then its component in the real sandbox, with a world that answers what the author says.
//!
//! `tests/host.toml` holds the cases. Each is called twice: as it stands, and with everything denied, when the tool must fail.

use super::build::{Target, component, prepared, program, succeed};
use super::stand::{Outcome, Stand};
use crate::offline::FAILED;
use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use clap::Args;
use medic_core::{Digest, Fault, ToolCategory, ToolDescriptor};
use medic_host::{Deps, HostConfig, MemoryState};
use medic_ports::Clock;
use medic_ports::fake::{FakeLogs, FakeMetrics};
use medicd::adapters::{NoKnowledge, SystemClock};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Args)]
#[command(after_help = "Exit status 1 when a test failed.")]
pub struct Test {
    /// Folder of the plugin.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Leaves the native tests out.
    #[arg(long)]
    only_component: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    #[serde(default)]
    case: Vec<Case>,
}

/// One call, and what the world answers during it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    tool: String,
    #[serde(default)]
    args: toml::Table,
    /// PromQL that contains the key has this one value.
    #[serde(default)]
    metrics: BTreeMap<String, f64>,
    /// `endpoint METHOD /path` answers this body, with status 200.
    #[serde(default)]
    http: BTreeMap<String, String>,
    /// How the summary begins; of a change, that of its first step.
    says: Option<String>,
    /// Code of the failure.
    fails: Option<String>,
}

pub fn test(asked: &Test) -> anyhow::Result<ExitCode> {
    if !asked.only_component {
        native(&asked.dir)?;
    }
    let path = component(&asked.dir, None, Target::Unknown)?;
    let cases = asked.dir.join("tests/host.toml");
    let text = std::fs::read_to_string(&cases)
        .with_context(|| format!("cannot read {}: it says what to ask of the component", cases.display()))?;
    let cases: Cases = toml::from_str(&text).with_context(|| cases.display().to_string())?;
    if cases.case.is_empty() {
        bail!("there is no [[case]]: a component that nobody has called is not tested");
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let mut failures = 0;
    let mut out = io::stdout().lock();
    for case in &cases.case {
        for denied in [false, true] {
            let name = format!(
                "{} {}{}",
                case.tool,
                json(&case.args),
                if denied { ", everything denied" } else { "" }
            );
            match runtime.block_on(tried(case, &path, denied))? {
                None => writeln!(out, "ok      {name}")?,
                Some(why) => {
                    failures += 1;
                    writeln!(out, "FAILED  {name}\n        {why}")?;
                }
            }
        }
    }
    writeln!(out, "{} cases, {failures} failures", cases.case.len() * 2)?;
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn native(dir: &Path) -> anyhow::Result<()> {
    if dir.join("Cargo.toml").is_file() {
        return succeed(program("cargo", dir).arg("test"), "the native tests must pass first");
    }
    let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
    let work = prepared(&dir)?;
    let mut python = program("python3", &dir);
    python
        .args(["-m", "unittest", "-q"])
        .env("PYTHONPATH", work.join("bindings"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    succeed(&mut python, "the native tests must pass first")
}

fn json(args: &toml::Table) -> String {
    serde_json::to_string(args).unwrap_or_default()
}

/// What is wrong with the component's answer, if anything.
async fn tried(case: &Case, path: &Path, denied: bool) -> anyhow::Result<Option<String>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = medic_host::plugin_name(path).map_err(|error| crate::offline::coded(error.code, error))?;
    let category = category(&bytes)?;
    let grants = match denied {
        true => {
            format!("[plugin.{name}]\ndigest = \"{}\"\ncategory = \"{category}\"\n", Digest::of_bytes(&bytes))
        }
        false => {
            let draft = medic_host::emit_grant(&name, &bytes)
                .map_err(|error| crate::offline::coded(error.code, error))?;
            draft + &endpoints(case, &name).await?
        }
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = FakeMetrics::new();
    for (part, value) in &case.metrics {
        metrics.value(part, *value);
    }
    let deps = Deps {
        clock,
        metrics: Arc::new(metrics),
        logs: Arc::new(FakeLogs::new()),
        knowledge: Arc::new(NoKnowledge),
        state: Arc::new(MemoryState::default()),
    };
    let config = HostConfig::new(PathBuf::new(), PathBuf::new());
    let stand = Stand::open(path, &grants, config, deps).await?;
    let tool: ToolDescriptor = stand.tool(&case.tool)?;
    let outcome = stand.call(&tool, &json(&case.args)).await;
    let said = said(outcome);
    if denied {
        let asked = stand.host_calls().iter().any(|call| !call.allowed);
        return Ok(match said {
            // A tool that asks the host for nothing has nothing to be denied.
            Ok(text) if asked => {
                Some(format!("it was denied what it asked for, and says `{text}` all the same"))
            }
            _ => None,
        });
    }
    Ok(match (&case.says, &case.fails, said) {
        (Some(wanted), None, Ok(text)) if text.starts_with(wanted.as_str()) => None,
        (None, Some(wanted), Err(fault)) if fault.code == *wanted => None,
        (None, None, _) => Some("the case expects nothing: write `says` or `fails`".to_owned()),
        (_, _, Ok(text)) => Some(format!("it says `{text}`")),
        (_, _, Err(fault)) => Some(format!("it fails with {}: {}", fault.code, fault.message)),
    })
}

/// The summary; of a change that of its first step, once it has been rehearsed.
fn said(outcome: Result<Outcome, Fault>) -> Result<String, Fault> {
    match outcome? {
        Outcome::Answered(answer) => Ok(answer.summary),
        Outcome::Planned { plan, rehearsal, saved } => {
            rehearsal?;
            saved?;
            Ok(plan.steps.first().map(|step| step.summary.clone()).unwrap_or_default())
        }
    }
}

fn category(bytes: &[u8]) -> anyhow::Result<ToolCategory> {
    let draft =
        medic_host::emit_grant("x", bytes).map_err(|error| crate::offline::coded(error.code, error))?;
    let table: toml::Table = toml::from_str(&draft).context("cannot read the draft of the grant")?;
    let category = table.get("plugin").and_then(|plugins| plugins.get("x")?.get("category").cloned());
    category.context("the draft has no category")?.try_into().context("the draft's category is none")
}

/// A server of this machine for each endpoint that the case answers for, and the rights to reach it.
async fn endpoints(case: &Case, plugin: &str) -> anyhow::Result<String> {
    let mut grants = String::new();
    let mut answers: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for (asked, body) in &case.http {
        let (endpoint, request) = asked
            .split_once(' ')
            .with_context(|| format!("http: `{asked}` is not `endpoint METHOD /path`"))?;
        answers.entry(endpoint).or_default().insert(request.to_owned(), body.clone());
    }
    for (endpoint, answers) in answers {
        let split = |request: &String| {
            request.split_once(' ').map(|(method, path)| (method.to_owned(), path.to_owned()))
        };
        let (methods, paths): (BTreeSet<String>, BTreeSet<String>) = answers.keys().filter_map(split).unzip();
        let (methods, paths): (Vec<_>, Vec<_>) = (methods.iter().collect(), paths.iter().collect());
        let undo = if ["GET", "PUT"].iter().all(|needed| methods.iter().any(|method| method == needed)) {
            "put-back"
        } else {
            "not-needed"
        };
        let listener =
            tokio::net::TcpListener::bind("127.0.0.1:0").await.context("cannot listen on this machine")?;
        let base = listener.local_addr().context("cannot listen on this machine")?;
        let app = Router::new().fallback(answer).with_state(Arc::new(answers));
        #[allow(clippy::disallowed_methods, reason = "it serves one case and ends with the command")]
        tokio::spawn(async move { axum::serve(listener, app).await });
        writeln!(
            grants,
            "[endpoint.{endpoint}]\nbase = \"http://{base}\"\nprivate = true\n[[plugin.{plugin}.http.allow]]\n\
             endpoints = [{endpoint:?}]\nmethods = {methods:?}\npaths = {paths:?}\nundo = \"{undo}\""
        )?;
    }
    Ok(grants)
}

async fn answer(State(answers): State<Arc<BTreeMap<String, String>>>, request: Request) -> Response {
    let asked = format!("{} {}", request.method(), request.uri().path());
    match answers.get(&asked) {
        Some(body) => body.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
