//! What the daemon is told: its configuration, the tools' grants and the taxonomy, written as files that an operator could
//! have written.

use crate::{
    cast::Person,
    options::{LabKind, StageOptions},
    programs,
};
use anyhow::Context;
use medic_lab::{Lab, Service};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write,
    fs,
    io::Read,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
};
use toml::{Table, Value, toml};

/// The daemon's two ports come from here. Below those of the lab (18,000 on) and of outgoing connections (32,768 on): a
/// port has to be free again when the daemon was killed and comes back.
const PORTS_FROM: u16 = 12_000;
const PORT_PAIRS: u16 = 2_900;

/// Before a remedy is first looked at: two or three of the lab's scrapes.
const SETTLE_MS: i64 = 3_000;
/// The lab is seen once a second: five looks in a row.
const HOLD_MS: i64 = 5_000;

/// Everything that was written, and where.
#[derive(Debug)]
pub struct Settings {
    pub config: PathBuf,
    pub store: PathBuf,
    pub http_url: String,
    tokens: Vec<(Person, String)>,
}

impl Settings {
    /// Writes the daemon's files into `dir`.
    pub fn write(dir: &Path, lab: Option<&Lab>, options: &StageOptions) -> anyhow::Result<Self> {
        let port = free_ports()?;
        let store = dir.join("store");
        let mut tokens = Vec::new();
        let mut token_tables = Vec::new();
        for person in Person::ALL {
            let token = random_token()?;
            let path = dir.join(format!("token-{person}"));
            write_private(&path, &token)?;
            let mut table = Table::new();
            table.insert("name".to_owned(), person.name().into());
            table.insert("role".to_owned(), person.role().into());
            table.insert("secret".to_owned(), in_file(&path));
            token_tables.push(Value::Table(table));
            tokens.push((person, token));
        }

        let mut config = toml! {
            [server]
            [store]
            [policy]
            [prometheus]
            [logs]
            [knowledge]
            [diagnosis]
        };
        let http = format!("127.0.0.1:{port}");
        set(&mut config, "server", "http", http.as_str());
        set(&mut config, "server", "grpc", format!("127.0.0.1:{}", port + 1));
        set(&mut config, "server", "tokens", token_tables);
        set(&mut config, "store", "dir", text(&store));
        set(&mut config, "prometheus", "url", prometheus_url(lab, options));
        set(&mut config, "knowledge", "index_dir", text(&dir.join("knowledge")));
        let corpus = programs::in_source_tree("knowledge/corpus");
        set(&mut config, "knowledge", "sources", vec![text(&corpus)]);
        let taxonomy = dir.join("taxonomy.toml");
        fs::write(&taxonomy, taxonomy_text(options.verify_deadline_ms)?)
            .context("cannot write the taxonomy")?;
        set(&mut config, "diagnosis", "taxonomy", text(&taxonomy));
        if options.auto_approve {
            let rule = toml! { tools = ["restart_service", "rollback_config", "scale_workers"] };
            set(&mut config, "policy", "auto_approve", rule);
        }
        if let Some(lab) = lab {
            let mut logs = Table::new();
            logs.insert("path".to_owned(), text(&lab.log_dir()));
            set(&mut config, "logs", "directory", vec![Value::Table(logs)]);
            let plugins = match &options.plugins_dir {
                Some(folder) => folder.clone(),
                None => programs::plugins_dir()?,
            };
            let grants = dir.join("grants.toml");
            fs::write(&grants, grants_text(lab, &plugins)?).context("cannot write the grants")?;
            let mut tools = Table::new();
            tools.insert("plugins_dir".to_owned(), text(&plugins));
            tools.insert("grants_file".to_owned(), text(&grants));
            tools.insert("cache_dir".to_owned(), text(&cache_dir(dir)));
            let secrets = Table::from_iter([("lab-admin".to_owned(), in_file(&lab.admin_token_path()))]);
            tools.insert("secrets".to_owned(), secrets.into());
            config.insert("tools".to_owned(), tools.into());
        }
        let overrides: Table = toml::from_str(&options.overrides).context("cannot read the overrides")?;
        lay_over(&mut config, overrides);

        let path = dir.join("medicd.toml");
        write_private(&path, &toml::to_string(&config)?)?;
        Ok(Self { config: path, store, http_url: format!("http://{http}"), tokens })
    }

    pub fn token(&self, person: Person) -> &str {
        self.tokens.iter().find(|(holder, _)| *holder == person).map_or("", |(_, token)| token)
    }
}

/// Compiled components are the same for every stage of a build; what was compiled once is kept.
fn cache_dir(dir: &Path) -> PathBuf {
    programs::build_dir()
        .map_or_else(|| dir.join("cache"), |build| build.join("tmp").join("medic-stage-cache"))
}

fn prometheus_url(lab: Option<&Lab>, options: &StageOptions) -> String {
    match (&options.prometheus_url, lab) {
        (Some(url), _) => url.clone(),
        (None, Some(lab)) if options.lab == LabKind::Whole => lab.prometheus_url(),
        // The discard port: nothing listens there, and asking says so at once.
        _ => "http://127.0.0.1:9".to_owned(),
    }
}

/// The built-in taxonomy in the lab's own time: rates over the 5 s that the lab's rules look back, since it is scraped
/// every second, and its times for verification.
fn taxonomy_text(deadline_ms: u32) -> anyhow::Result<String> {
    let path = programs::in_source_tree("daemon/agents/src/taxonomy/default.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut taxonomy: Table =
        toml::from_str(&text.replace("[15s]", "[5s]")).context("cannot read the taxonomy")?;
    let categories = taxonomy.get_mut("category").and_then(Value::as_array_mut).into_iter().flatten();
    for remedy in categories.filter_map(|category| category.get_mut("remedy")?.as_table_mut()) {
        remedy.insert("settle_ms".to_owned(), SETTLE_MS.into());
        remedy.insert("hold_ms".to_owned(), HOLD_MS.into());
        remedy.insert("deadline_ms".to_owned(), i64::from(deadline_ms).into());
    }
    Ok(toml::to_string(&taxonomy)?)
}

/// What each plugin may do in the lab: exact bytes, named endpoints, methods and paths.
fn grants_text(lab: &Lab, plugins: &Path) -> anyhow::Result<String> {
    let mut grants = String::new();
    let names: Vec<String> = lab.services().iter().map(|service| format!("\"{service}-admin\"")).collect();
    let everywhere = names.join(", ");
    for service in lab.services() {
        // Writing to a String cannot fail.
        let _ = write!(
            grants,
            "[endpoint.{service}-admin]\nbase = \"{}\"\nprivate = true\ncredential = \"lab-admin\"\n\
             receipts = \"/admin/operations/{{key}}\"\nidempotent = true\n\n",
            lab.admin_url(service)
        );
    }
    let mut plugin = |name: &str, category: &str, functions: &str, more: &str| -> anyhow::Result<()> {
        let digest = digest_of(&plugins.join(format!("{name}.wasm")))?;
        let _ = write!(
            grants,
            "[plugin.{name}]\ndigest = \"{digest}\"\ncategory = \"{category}\"\nfunctions = [{functions}]\n{more}\n"
        );
        Ok(())
    };
    plugin("error-ratio", "query", "\"metrics.query-many\"", "")?;
    plugin("search-logs", "query", "\"logs.search\"", "")?;
    plugin(
        "probe-endpoint",
        "diagnostic",
        "\"probe.tcp\", \"http-read.send\"",
        &format!(
            "[[plugin.probe-endpoint.http.allow]]\nendpoints = [{everywhere}]\nmethods = [\"GET\"]\n\
             paths = [\"/admin/health\"]\n"
        ),
    )?;
    plugin(
        "service-admin",
        "remediation",
        "\"http-read.send\", \"http-change.send\", \"metrics.query-many\"",
        &format!(
            "[[plugin.service-admin.http.allow]]\nendpoints = [{everywhere}]\nmethods = [\"GET\"]\n\
             paths = [\"/admin/health\", \"/admin/config/previous\"]\n\
             [[plugin.service-admin.http.allow]]\nendpoints = [{everywhere}]\nmethods = [\"GET\", \"PUT\"]\n\
             paths = [\"/admin/config\", \"/admin/workers\"]\nundo = \"put-back\"\n\
             [[plugin.service-admin.http.allow]]\nendpoints = [{everywhere}]\nmethods = [\"POST\"]\n\
             paths = [\"/admin/restart\"]\nundo = \"not-needed\"\n"
        ),
    )?;
    let store = Service::Store;
    plugin(
        "storage-purge",
        "destructive",
        "\"http-read.send\", \"http-destroy.delete\"",
        &format!(
            "[[plugin.storage-purge.http.allow]]\nendpoints = [\"{store}-admin\"]\nmethods = [\"GET\"]\n\
             paths = [\"/admin/storage\"]\n\
             [[plugin.storage-purge.http.allow]]\nendpoints = [\"{store}-admin\"]\nmethods = [\"DELETE\"]\n\
             paths = [\"/admin/storage/expired\"]\n"
        ),
    )?;
    Ok(grants)
}

fn digest_of(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read the tool {}", path.display()))?;
    let mut digest = "sha256:".to_owned();
    for byte in Sha256::digest(&bytes) {
        let _ = write!(digest, "{byte:02x}");
    }
    Ok(digest)
}

fn text(path: &Path) -> Value {
    path.display().to_string().into()
}

fn in_file(path: &Path) -> Value {
    Table::from_iter([("file".to_owned(), text(path))]).into()
}

fn set(config: &mut Table, section: &str, key: &str, value: impl Into<Value>) {
    if let Some(table) = config.get_mut(section).and_then(Value::as_table_mut) {
        table.insert(key.to_owned(), value.into());
    }
}

/// Tables are merged, everything else is replaced.
fn lay_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// The first of two free ports in a row. Stages of different processes, and of one process, look in different places
/// first.
fn free_ports() -> anyhow::Result<u16> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let by_process = (std::process::id() % u32::from(PORT_PAIRS)) as u16;
    for _ in 0..PORT_PAIRS {
        // Steps of a prime, as the lab takes them, for the same reason.
        let step = TAKEN.fetch_add(1, Ordering::SeqCst).wrapping_mul(101) % PORT_PAIRS;
        let port = PORTS_FROM + (by_process + step) % PORT_PAIRS * 2;
        let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free(port) && is_free(port + 1) {
            return Ok(port);
        }
    }
    anyhow::bail!("no two ports in a row are free on 127.0.0.1 between {PORTS_FROM} and 18000")
}

fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 24];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot make a token")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Readable by its owner alone.
fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_replace_values_and_keep_their_neighbours() {
        let mut config = toml! {
            [policy]
            a = 1
            b = 2
        };
        lay_over(&mut config, toml::from_str("x = 1\n[policy]\nb = 3\n[policy.c]\nd = 4").unwrap());
        assert_eq!(
            config,
            toml::from_str::<Table>("x = 1\n[policy]\na = 1\nb = 3\n[policy.c]\nd = 4").unwrap()
        );
    }

    #[test]
    fn a_stage_without_a_lab_asks_nobody_and_has_no_tools() {
        let dir = tempfile::tempdir().unwrap();
        let options = StageOptions { lab: LabKind::Absent, ..StageOptions::default() };
        let settings = Settings::write(dir.path(), None, &options).unwrap();
        let config: Table = toml::from_str(&fs::read_to_string(&settings.config).unwrap()).unwrap();
        assert_eq!(config["prometheus"]["url"].as_str(), Some("http://127.0.0.1:9"));
        assert!(config.get("tools").is_none());
        assert!(config["policy"].get("auto_approve").is_none(), "nobody is spared unless it is asked for");
        // Secrets are in files of their own, never in the configuration.
        let written = fs::read_to_string(&settings.config).unwrap();
        for person in Person::ALL {
            assert_eq!(settings.token(person).len(), 48);
            assert!(!written.contains(settings.token(person)), "{person}");
        }
    }

    #[test]
    fn every_remedy_is_verified_in_the_labs_own_time() {
        let taxonomy: Table = toml::from_str(&taxonomy_text(40_000).unwrap()).unwrap();
        let categories = taxonomy["category"].as_array().unwrap();
        assert!(categories.len() >= 7);
        for category in categories {
            assert_eq!(category["remedy"]["deadline_ms"].as_integer(), Some(40_000), "{category}");
        }
    }
}
