//! What an operator may set: one file, overridden by `MEDIC__SECTION__KEY` in the environment.
//!
//! Owns the root that every part's own configuration hangs from, the checks that concern more than one part, and secrets,
//! which are named here and never written. The only place that reads the environment. A key that nobody knows is an error
//! that names it: a misspelt limit must not silently be no limit.

mod secret;

pub use secret::{Secret, SecretError, SecretRef};

use crate::adapters::{LogsConfig, ModelConfig, NotifyConfig, PrometheusConfig};
use crate::api::auth::{AuthTable, Role, TokenEntry};
use medic_agents::RestartPolicy;
use medic_core::Policy;
use medic_core::grouping::GroupingPolicy;
use medic_store::StoreConfig;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read the configuration: {0}")]
    Unreadable(String),
    #[error("the configuration is not valid: {0}")]
    Invalid(String),
    #[error("cannot resolve the secret of {key}")]
    Secret { key: String, source: SecretError },
    #[error(
        "{what} listens on {address}, which others can reach, without {lacks}. Configure server.tokens and server.tls, \
         or listen on 127.0.0.1"
    )]
    Exposed { what: &'static str, address: SocketAddr, lacks: &'static str },
}

impl ConfigError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "CONFIG_UNREADABLE",
            Self::Invalid(_) => "CONFIG_INVALID",
            Self::Secret { .. } => "CONFIG_SECRET",
            Self::Exposed { .. } => "CONFIG_EXPOSED",
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub server: ServerConfig,
    pub store: StoreConfig,
    pub policy: Policy,
    pub grouping: GroupingPolicy,
    pub prometheus: PrometheusConfig,
    pub logs: LogsConfig,
    /// Without it no runbook is consulted.
    pub knowledge: Option<KnowledgeConfig>,
    /// Without it no model is asked.
    pub model: Option<ModelConfig>,
    /// Without it there are no tools: incidents are diagnosed, and nothing can be done about them.
    pub tools: Option<ToolsConfig>,
    pub diagnosis: DiagnosisConfig,
    pub notify: NotifyConfig,
    /// How often a part that dies is started again before the daemon retreats to safe mode.
    pub restart: RestartPolicy,
    /// For an orderly end: what has not ended by then is left to the journal. 10 s: below the 30 s after which init
    /// systems kill.
    pub shutdown_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            store: StoreConfig::default(),
            policy: Policy::default(),
            grouping: GroupingPolicy::default(),
            prometheus: PrometheusConfig::default(),
            logs: LogsConfig::default(),
            knowledge: None,
            model: None,
            tools: None,
            diagnosis: DiagnosisConfig::default(),
            notify: NotifyConfig::default(),
            restart: RestartPolicy::default(),
            shutdown_ms: 10_000,
        }
    }
}

/// Where the daemon listens, and who may speak to it.
///
/// Without tokens everyone on this machine is the one principal `local:operator` with every role. Two distinct approvers
/// do not exist then, so that nothing destructive can be approved; and nobody who asks for a change may approve it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    pub grpc: SocketAddr,
    /// REST, webhooks, server-sent events, WebSocket, health and metrics.
    pub http: SocketAddr,
    pub tls: Option<TlsConfig>,
    pub tokens: Vec<TokenConfig>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            grpc: SocketAddr::from((Ipv4Addr::LOCALHOST, 7640)),
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 7641)),
            tls: None,
            tokens: Vec::new(),
        }
    }
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The chain, the server's own first.
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// Becomes the principal `token:<name>`. One person, one name.
    pub name: String,
    pub role: Role,
    pub secret: SecretRef,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiagnosisConfig {
    /// The causes to look for, how they show and what treats them. Without it the built-in one is used.
    pub taxonomy: Option<PathBuf>,
    /// Who calls whom, beside what the metrics tell: a JSON or CSV list of caller and callee, or an adjacency matrix.
    pub topology: Option<PathBuf>,
}

/// The tools' plugins and what they may do.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolsConfig {
    /// Components, one a plugin.
    pub plugins_dir: PathBuf,
    /// What each plugin is granted. A plugin without a grant is not loaded.
    pub grants_file: PathBuf,
    /// What was reviewed of each plugin. Default: `plugins.lock` beside the grants.
    pub lock_file: Option<PathBuf>,
    /// Compiled components; written by the daemon only.
    #[serde(default = "tools_cache_dir")]
    pub cache_dir: PathBuf,
    /// Large output of tools. Default: `artifacts` beside the cache.
    pub artifacts_dir: Option<PathBuf>,
    /// Credentials that grants name, by that name. Added by the host, never seen by a plugin.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretRef>,
}

impl ToolsConfig {
    /// In the host's own words.
    pub fn host(&self) -> medic_host::HostConfig {
        let source = |reference: &SecretRef| match reference {
            SecretRef::Env(name) => medic_host::SecretSource::Env(name.clone()),
            SecretRef::File(path) => medic_host::SecretSource::File(path.clone()),
        };
        let secrets = self.secrets.iter().map(|(name, reference)| (name.clone(), source(reference)));
        let artifacts_dir =
            self.artifacts_dir.clone().unwrap_or_else(|| self.cache_dir.with_file_name("artifacts"));
        medic_host::HostConfig {
            lock_file: self.lock_file.clone(),
            cache_dir: Some(self.cache_dir.clone()),
            artifacts_dir: Some(artifacts_dir),
            secrets: secrets.collect(),
            ..medic_host::HostConfig::new(self.plugins_dir.clone(), self.grants_file.clone())
        }
    }
}

fn tools_cache_dir() -> PathBuf {
    PathBuf::from("/var/lib/medic/cache")
}

/// The knowledge base, and the directories it is filled from at the start.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnowledgeConfig {
    pub index_dir: PathBuf,
    /// Directories with Markdown, plain text, HTML, PDF and tables of error codes; what changed since the last start is
    /// read anew.
    pub sources: Vec<PathBuf>,
    /// Wikis, read at the start as well.
    pub wikis: Vec<WikiConfig>,
    /// Where documents that come in through the API are kept. Without it none are taken in.
    pub uploads_dir: Option<PathBuf>,
    pub embedder: EmbedderConfig,
    pub vectors: VectorsConfig,
    /// Published versions kept on disk, the current one included.
    pub versions_kept_max: usize,
    pub documents_max: usize,
}

impl Default for KnowledgeConfig {
    fn default() -> Self {
        let base = medic_knowledge::KnowledgeConfig::default();
        Self {
            index_dir: PathBuf::from("/var/lib/medic/knowledge"),
            sources: Vec::new(),
            wikis: Vec::new(),
            uploads_dir: None,
            embedder: EmbedderConfig::Builtin {},
            vectors: VectorsConfig::Embedded {},
            versions_kept_max: base.versions_kept_max,
            documents_max: base.documents_max,
        }
    }
}

/// As the knowledge base has it, the token by reference.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum WikiConfig {
    Confluence {
        /// Up to what stands before `/rest/api`: `https://example.atlassian.net/wiki`.
        base_url: String,
        /// The space's key.
        space: String,
        /// With a user the token goes as a password (Cloud: the account's e-mail); without, as a bearer token.
        user: Option<String>,
        token: SecretRef,
    },
    Notion {
        /// Only the pages of this database; without it all that are shared with the integration.
        database: Option<String>,
        token: SecretRef,
    },
}

/// As the knowledge base has it, the key by reference.
///
/// Variants without a key have braces: only so is a key that does not belong to them refused.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum EmbedderConfig {
    /// No weights, no network.
    Builtin {},
    /// Search by words only.
    None {},
    /// all-MiniLM-L6-v2 or a model of its shape, run here; `medic knowledge setup-model` makes the directory.
    Minilm { model_dir: PathBuf },
    /// An endpoint that speaks OpenAI's embeddings API.
    Openai {
        base_url: String,
        model: String,
        /// Floats a vector.
        dimension: usize,
        api_key: Option<SecretRef>,
    },
}

/// As the knowledge base has it, the key by reference.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "engine", rename_all = "kebab-case", deny_unknown_fields)]
pub enum VectorsConfig {
    Embedded {},
    Qdrant {
        /// The gRPC address: `http://127.0.0.1:6334`.
        url: String,
        collection: String,
        api_key: Option<SecretRef>,
    },
}

impl Config {
    /// Reads `file`, when there is one, then the environment, and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`] that names the key or the file.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::layered(file, None)
    }

    /// As [`load`](Self::load), with `environment` in place of the process's.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(file: Option<&Path>, environment: HashMap<String, String>) -> Result<Self, ConfigError> {
        Self::layered(file, Some(environment))
    }

    fn layered(
        file: Option<&Path>,
        environment: Option<HashMap<String, String>>,
    ) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(file) = file {
            let text = std::fs::read_to_string(file)
                .map_err(|error| ConfigError::Unreadable(format!("{}: {error}", file.display())))?;
            builder = builder.add_source(config::File::from_str(&text, config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix("MEDIC")
            .prefix_separator("__")
            .separator("__")
            .source(environment.map(|variables| variables.into_iter().collect()));
        let read = builder.add_source(environment).build().and_then(config::Config::try_deserialize::<Self>);
        let config = read.map_err(|error| {
            let within = file.map(|file| format!("{}: ", file.display())).unwrap_or_default();
            ConfigError::Invalid(format!("{within}{error}"))
        })?;
        config.check()?;
        Ok(config)
    }

    /// What no single part can see.
    ///
    /// # Errors
    /// [`ConfigError::Exposed`] and [`ConfigError::Invalid`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.server.check()?;
        let invalid = |what: &str| Err(ConfigError::Invalid(what.to_owned()));
        // A confidence read from a file has not been through its constructor.
        if !(0.0..=1.0).contains(&self.policy.confidence_min.value()) {
            return invalid("policy.confidence_min must lie in [0, 1]");
        }
        let limits = [
            ("policy.iterations_max", u64::from(self.policy.iterations_max)),
            ("policy.approval_lifetime_ms", self.policy.approval_lifetime_ms),
            ("policy.execution_window_ms", self.policy.execution_window_ms),
            ("prometheus.timeout_ms", self.prometheus.timeout_ms),
            ("logs.timeout_ms", self.logs.timeout_ms),
            ("logs.line_bytes_max", self.logs.line_bytes_max as u64),
            ("store.mailbox_envelopes_max", self.store.mailbox_envelopes_max),
            ("shutdown_ms", self.shutdown_ms),
        ];
        if let Some(problem) = self.logs.loki.as_ref().and_then(crate::adapters::LokiConfig::problem) {
            return Err(ConfigError::Invalid(problem));
        }
        match limits.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(ConfigError::Invalid(format!("{key} must be above 0"))),
            None => Ok(()),
        }
    }

    /// Resolves every secret that is named, so that a missing one shows before the daemon is needed.
    ///
    /// # Errors
    /// [`ConfigError::Secret`] with the key.
    pub fn check_secrets(&self) -> Result<(), ConfigError> {
        self.server.auth_table()?;
        resolve(self.prometheus.bearer.as_ref(), "prometheus.bearer")?;
        resolve(self.logs.loki.as_ref().and_then(|loki| loki.bearer.as_ref()), "logs.loki.bearer")?;
        resolve(self.model.as_ref().and_then(|model| model.api_key.as_ref()), "model.api_key")?;
        if let Some(webhook) = &self.notify.webhook {
            resolve(webhook.bearer.as_ref(), "notify.webhook.bearer")?;
            if let crate::adapters::notifier::Address::Secret(url) = &webhook.url {
                resolve(Some(url), "notify.webhook.url")?;
            }
        }
        for (name, secret) in self.tools.iter().flat_map(|tools| &tools.secrets) {
            resolve(Some(secret), &format!("tools.secrets.{name}"))?;
        }
        self.knowledge.as_ref().map(KnowledgeConfig::resolved).transpose()?;
        self.knowledge.as_ref().map(KnowledgeConfig::all_sources).transpose()?;
        Ok(())
    }
}

/// The secret that `key` refers to.
pub(crate) fn resolve_one(secret: &SecretRef, key: &str) -> Result<Secret, ConfigError> {
    secret.resolve().map_err(|source| ConfigError::Secret { key: key.to_owned(), source })
}

/// The secret that `key` refers to, when it is set.
pub(crate) fn resolve(secret: Option<&SecretRef>, key: &str) -> Result<Option<Secret>, ConfigError> {
    secret.map(|secret| resolve_one(secret, key)).transpose()
}

impl ServerConfig {
    fn check(&self) -> Result<(), ConfigError> {
        for (what, address) in [("gRPC", self.grpc), ("HTTP", self.http)] {
            let lacks = match (self.tokens.is_empty(), self.tls.is_none()) {
                (true, true) => "authentication and TLS",
                (true, false) => "authentication",
                (false, true) => "TLS",
                (false, false) => continue,
            };
            if !address.ip().is_loopback() {
                return Err(ConfigError::Exposed { what, address, lacks });
            }
        }
        Ok(())
    }

    /// Who may speak to the daemon.
    ///
    /// # Errors
    /// A secret that cannot be resolved, or tokens that do not tell people apart.
    pub fn auth_table(&self) -> Result<AuthTable, ConfigError> {
        if self.tokens.is_empty() {
            return Ok(AuthTable::local_operator());
        }
        let mut table = AuthTable::default();
        for token in &self.tokens {
            let key = format!("server.tokens[{}].secret", token.name);
            let secret = token.secret.resolve().map_err(|source| ConfigError::Secret { key, source })?;
            table.tokens.push(TokenEntry::new(token.name.clone(), token.role, secret.reveal()));
        }
        table.check().map_err(|error| ConfigError::Invalid(format!("server.tokens: {error}")))?;
        Ok(table)
    }
}

impl KnowledgeConfig {
    /// In the knowledge base's own words, secrets resolved.
    ///
    /// # Errors
    /// [`ConfigError::Secret`].
    pub fn resolved(&self) -> Result<medic_knowledge::KnowledgeConfig, ConfigError> {
        use medic_knowledge as base;
        let secret = |secret: &Option<SecretRef>, key: &str| -> Result<Option<base::Secret>, ConfigError> {
            Ok(resolve(secret.as_ref(), key)?.map(|secret| base::Secret::new(secret.reveal())))
        };
        let invalid = |error: serde_json::Error| ConfigError::Invalid(format!("knowledge: {error}"));
        // Through the base's own deserialiser, which knows the limits that are not set here.
        let embedder = match &self.embedder {
            EmbedderConfig::Builtin {} => base::EmbedderConfig::default(),
            EmbedderConfig::None {} => base::EmbedderConfig::None,
            EmbedderConfig::Minilm { model_dir } => {
                base::EmbedderConfig::Minilm { model_dir: model_dir.clone() }
            }
            EmbedderConfig::Openai { base_url, model, dimension, api_key } => {
                let endpoint =
                    serde_json::json!({ "base_url": base_url, "model": model, "dimension": dimension });
                let mut endpoint: base::OpenAiConfig = serde_json::from_value(endpoint).map_err(invalid)?;
                endpoint.api_key = secret(api_key, "knowledge.embedder.api_key")?;
                base::EmbedderConfig::Openai(endpoint)
            }
        };
        let vectors = match &self.vectors {
            VectorsConfig::Embedded {} => base::VectorsConfig::Embedded,
            VectorsConfig::Qdrant { url, collection, api_key } => {
                let server = serde_json::json!({ "url": url, "collection": collection });
                let mut server: base::QdrantConfig = serde_json::from_value(server).map_err(invalid)?;
                server.api_key = secret(api_key, "knowledge.vectors.api_key")?;
                base::VectorsConfig::Qdrant(server)
            }
        };
        Ok(base::KnowledgeConfig {
            index_dir: self.index_dir.clone(),
            embedder,
            vectors,
            versions_kept_max: self.versions_kept_max,
            documents_max: self.documents_max,
        })
    }

    /// Everything that documents are read from, the uploads among it, secrets resolved.
    ///
    /// # Errors
    /// [`ConfigError::Secret`].
    pub fn all_sources(&self) -> Result<Vec<medic_knowledge::SourceConfig>, ConfigError> {
        use medic_knowledge::SourceConfig;
        let directories = self.sources.iter().chain(&self.uploads_dir);
        let mut sources: Vec<SourceConfig> =
            directories.map(|path| SourceConfig::Directory { path: path.clone() }).collect();
        let invalid = |error: serde_json::Error| ConfigError::Invalid(format!("knowledge.wikis: {error}"));
        for (place, wiki) in self.wikis.iter().enumerate() {
            let token = |token: &SecretRef| -> Result<String, ConfigError> {
                let key = format!("knowledge.wikis[{place}].token");
                let secret = token.resolve().map_err(|source| ConfigError::Secret { key, source })?;
                Ok(secret.reveal().to_owned())
            };
            // Through the base's own deserialiser, which knows the pace that each wiki allows.
            let resolved = match wiki {
                WikiConfig::Confluence { base_url, space, user, token: secret } => serde_json::json!({
                    "type": "confluence", "base_url": base_url, "space": space, "user": user, "token": token(secret)?,
                }),
                WikiConfig::Notion { database, token: secret } => serde_json::json!({
                    "type": "notion", "database": database, "token": token(secret)?,
                }),
            };
            sources.push(serde_json::from_value(resolved).map_err(invalid)?);
        }
        Ok(sources)
    }
}

#[cfg(test)]
mod tests;
