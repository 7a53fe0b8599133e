//! The one file that names every concrete adapter.

use crate::adapters::notifier::Address;
use crate::adapters::{
    Custody, Library, LogFiles, LogSources, Loki, NoKnowledge, NoTools, OpenAi, People, Prometheus,
    SystemClock,
};
use crate::api::ApiConfig;
use crate::api::custodian::Custodian;
use crate::api::librarian::Librarian;
use crate::api::tls::TlsIdentity;
use crate::config::{self, Config, DiagnosisConfig, KnowledgeConfig};
use crate::daemon::StartError;
use medic_agents::{AgentsConfig, Ports, Taxonomy};
use medic_host::{Deps, Host, JournalState};
use medic_ports::{Clock, Knowledge, Logs, Metrics, Model, Notifier, ToolHost};
use medic_store::Store;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

pub(crate) struct Wired {
    pub agents: AgentsConfig,
    pub ports: Ports,
    pub librarian: Option<Arc<dyn Librarian>>,
    pub custodian: Arc<dyn Custodian>,
    /// What goes on beside the agents and may be cut off at any time.
    pub background: JoinSet<()>,
}

/// How the doors are opened. Nothing is listened on yet.
pub(crate) fn api(config: &Config) -> Result<ApiConfig, StartError> {
    let read = |what: &'static str, path: &Path| {
        std::fs::read(path).map_err(|source| StartError::File { what, path: path.to_owned(), source })
    };
    let tls = match &config.server.tls {
        Some(tls) => Some(TlsIdentity {
            cert_pem: read("the TLS certificate", &tls.cert)?,
            key_pem: read("the TLS key", &tls.key)?,
        }),
        None => None,
    };
    let auth = config.server.auth_table()?;
    Ok(ApiConfig {
        grpc: config.server.grpc,
        http: config.server.http,
        tls,
        auth,
        librarian: None,
        custodian: None,
    })
}

/// Makes everything the agents reach the world through.
pub(crate) async fn wire(store: Arc<Store>, config: &Config) -> Result<Wired, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut background = JoinSet::new();

    let bearer = config::resolve(config.prometheus.bearer.as_ref(), "prometheus.bearer")?;
    let metrics: Arc<dyn Metrics> = Arc::new(
        Prometheus::new(&config.prometheus, bearer.as_ref(), clock.clone())
            .map_err(|source| StartError::Client { section: "prometheus", source })?,
    );
    let logs = logs(config, clock.clone())?;
    let library = match &config.knowledge {
        Some(section) => Some(open_library(section, &mut background).await?),
        None => None,
    };
    let knowledge = library.clone().map(|library| Arc::new(library) as Arc<dyn Knowledge>);
    let librarian = library.map(|library| Arc::new(library) as Arc<dyn Librarian>);
    let tools: Arc<dyn ToolHost> = match &config.tools {
        Some(section) => {
            let deps = Deps {
                clock: clock.clone(),
                metrics: metrics.clone(),
                logs: logs.clone(),
                knowledge: knowledge.clone().unwrap_or_else(|| Arc::new(NoKnowledge)),
                state: Arc::new(JournalState::new(store.clone())),
            };
            let host = Arc::new(Host::open(section.host(), deps).await?);
            let watched = host.clone();
            background.spawn(async move { watched.watch().await });
            host
        }
        None => Arc::new(NoTools),
    };
    let custodian = Arc::new(Custody::new(store.clone()));
    let ports = Ports {
        journal: store,
        clock: clock.clone(),
        metrics,
        logs,
        tools,
        notifier: notifier(config, clock.clone())?,
        knowledge,
        model: model(config, clock)?,
    };
    let agents = AgentsConfig {
        policy: config.policy.clone(),
        grouping: config.grouping.clone(),
        restart: config.restart.clone(),
        taxonomy: taxonomy(&config.diagnosis)?,
    };
    Ok(Wired { agents, ports, librarian, custodian, background })
}

/// Reads the files that the configuration names and the daemon needs at its start.
///
/// # Errors
/// The first that cannot be read or is not valid.
pub fn check_files(config: &Config) -> Result<(), StartError> {
    api(config)?;
    taxonomy(&config.diagnosis)?;
    Ok(())
}

/// Files and Loki at once, whichever are configured.
fn logs(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<dyn Logs>, StartError> {
    let files: Arc<dyn Logs> = Arc::new(LogFiles::new(config.logs.clone(), clock));
    let Some(section) = &config.logs.loki else { return Ok(files) };
    let bearer = config::resolve(section.bearer.as_ref(), "logs.loki.bearer")?;
    let loki = Loki::new(section.clone(), bearer.as_ref())
        .map_err(|source| StartError::Client { section: "logs.loki", source })?;
    let loki: Arc<dyn Logs> = Arc::new(loki);
    let has_files = !config.logs.files.is_empty() || !config.logs.directories.is_empty();
    Ok(if has_files { Arc::new(LogSources::new(vec![files, loki])) } else { loki })
}

/// The configured taxonomy, or the built-in one, with the calls of the configured topology.
fn taxonomy(section: &DiagnosisConfig) -> Result<Taxonomy, StartError> {
    let mut taxonomy = causes(section.taxonomy.as_deref())?;
    if let Some(path) = &section.topology {
        let read = std::fs::read_to_string(path);
        let text =
            read.map_err(|source| StartError::File { what: "the topology", path: path.clone(), source })?;
        let calls = medic_signals::topology::read(&text)
            .map_err(|source| StartError::Topology { path: path.clone(), source })?;
        taxonomy.static_edges.extend(calls.edges().map(|(from, to)| (from.to_owned(), to.to_owned())));
    }
    Ok(taxonomy)
}

fn causes(path: Option<&Path>) -> Result<Taxonomy, StartError> {
    let (name, text) = match path {
        Some(path) => {
            let (what, shown) = ("the taxonomy", path.to_owned());
            let read = std::fs::read_to_string(path);
            let text = read.map_err(|source| StartError::File { what, path: shown, source })?;
            (path.display().to_string(), text)
        }
        None => ("built in".to_owned(), medic_agents::taxonomy::DEFAULT.to_owned()),
    };
    Taxonomy::parse(&text).map_err(|source| StartError::Taxonomy { name, source })
}

fn notifier(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<dyn Notifier>, StartError> {
    let Some(webhook) = &config.notify.webhook else { return Ok(Arc::new(People::log_only(clock))) };
    let url = match &webhook.url {
        Address::Plain(url) => config::Secret::new(url.clone()),
        Address::Secret(reference) => config::resolve_one(reference, "notify.webhook.url")?,
    };
    let bearer = config::resolve(webhook.bearer.as_ref(), "notify.webhook.bearer")?;
    let people = People::with_webhook(webhook, url, bearer.as_ref(), clock)
        .map_err(|source| StartError::Client { section: "notify.webhook", source })?;
    Ok(Arc::new(people))
}

fn model(config: &Config, clock: Arc<dyn Clock>) -> Result<Option<Arc<dyn Model>>, StartError> {
    let Some(section) = &config.model else { return Ok(None) };
    let key = config::resolve(section.api_key.as_ref(), "model.api_key")?;
    let model =
        OpenAi::new(section, key, clock).map_err(|source| StartError::Client { section: "model", source })?;
    Ok(Some(Arc::new(model)))
}

/// Opens the knowledge base and begins to read its sources. Searches are answered meanwhile from what was read before.
async fn open_library(
    section: &KnowledgeConfig,
    background: &mut JoinSet<()>,
) -> Result<Library, StartError> {
    let base = Arc::new(medic_knowledge::Knowledge::open(section.resolved()?).await?);
    for notice in base.stats().notices {
        tracing::warn!(notice, "knowledge base");
    }
    let library = Library::new(base, section.uploads_dir.clone(), section.all_sources()?);
    let reading = library.clone();
    background.spawn(async move {
        // What came of each source is in the log.
        reading.reread().await;
    });
    Ok(library)
}
