//! Prometheus and Alertmanager: where they are, what they are told. They listen on loopback only and keep to themselves.

use crate::{plan::Plan, topology::Service, whole_file};
use std::{
    ffi::OsString,
    fmt::Write,
    path::{Path, PathBuf},
};

/// The alert rules, as Prometheus reads them.
const RULES: &str = include_str!("observe/rules.yml");

/// The servers' binaries.
pub struct Programs {
    pub prometheus: PathBuf,
    pub alertmanager: PathBuf,
}

impl Programs {
    /// Looks in PATH, then where Debian puts them.
    pub fn find() -> anyhow::Result<Self> {
        let find = |name: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .chain(["/usr/bin".into(), "/usr/local/bin".into()])
                .map(|folder| folder.join(name))
                .find(|candidate| candidate.is_file())
        };
        let prometheus = find("prometheus");
        let alertmanager = find("prometheus-alertmanager").or_else(|| find("alertmanager"));
        match (prometheus, alertmanager) {
            (Some(prometheus), Some(alertmanager)) => Ok(Self { prometheus, alertmanager }),
            (prometheus, alertmanager) => {
                let missing: Vec<_> = [("prometheus", prometheus), ("prometheus-alertmanager", alertmanager)]
                    .into_iter()
                    .filter_map(|(package, found)| found.is_none().then_some(package))
                    .collect();
                anyhow::bail!(
                    "{} not installed; on Debian: apt-get install --no-install-recommends {}",
                    missing.join(" and "),
                    missing.join(" ")
                )
            }
        }
    }
}

pub fn prometheus_arguments(plan: &Plan) -> Vec<OsString> {
    let dir = plan.dir.join("prometheus");
    [
        format!("--config.file={}", dir.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", dir.join("data").display()),
        "--storage.tsdb.retention.time=6h".to_owned(),
        format!("--web.listen-address={}", plan.prometheus_address()),
        // Where an alert's generatorURL points: somewhere that answers.
        format!("--web.external-url={}/", plan.prometheus_url()),
        "--web.enable-lifecycle".to_owned(),
        "--log.level=warn".to_owned(),
    ]
    .map(OsString::from)
    .into()
}

pub fn alertmanager_arguments(plan: &Plan) -> Vec<OsString> {
    let dir = plan.dir.join("alertmanager");
    [
        format!("--config.file={}", alertmanager_config(plan).display()),
        format!("--storage.path={}", dir.join("data").display()),
        format!("--web.listen-address={}", plan.alertmanager_address()),
        format!("--web.external-url={}/", plan.alertmanager_url()),
        // Empty: without it the server would look for others of its kind on the network.
        "--cluster.listen-address=".to_owned(),
        "--log.level=warn".to_owned(),
    ]
    .map(OsString::from)
    .into()
}

/// Writes both servers' configurations.
pub fn write(plan: &Plan, webhook: Option<(&str, Option<&str>)>) -> anyhow::Result<()> {
    let dir = plan.dir.join("prometheus");
    let rules = dir.join("rules.yml");
    whole_file::replace(&rules, RULES.as_bytes())?;
    whole_file::replace(&dir.join("prometheus.yml"), prometheus_yml(plan, &rules).as_bytes())?;
    write_webhook(plan, webhook)
}

/// Writes Alertmanager's configuration: a webhook and its bearer token, or nowhere to send to.
pub fn write_webhook(plan: &Plan, webhook: Option<(&str, Option<&str>)>) -> anyhow::Result<()> {
    whole_file::replace(&alertmanager_config(plan), alertmanager_yml(webhook).as_bytes())
}

fn alertmanager_config(plan: &Plan) -> PathBuf {
    plan.dir.join("alertmanager").join("alertmanager.yml")
}

fn prometheus_yml(plan: &Plan, rules: &Path) -> String {
    let mut targets = String::new();
    for service in Service::ALL {
        // Writing to a String cannot fail.
        let _ = write!(
            targets,
            "      - targets: [{}]\n        labels: {{service: {service}, cluster: lab}}\n",
            quoted(&plan.admin_address(service).to_string())
        );
    }
    format!(
        "\
global:
  scrape_interval: 1s
  scrape_timeout: 900ms
  evaluation_interval: 1s
rule_files: [{}]
alerting:
  alertmanagers:
    - static_configs:
        - targets: [{}]
scrape_configs:
  - job_name: lab
    static_configs:
{targets}",
        quoted(&rules.display().to_string()),
        quoted(&plan.alertmanager_address().to_string()),
    )
}

fn alertmanager_yml(webhook: Option<(&str, Option<&str>)>) -> String {
    let mut receiver = "  - name: medic\n".to_owned();
    if let Some((url, token)) = webhook {
        let _ = write!(
            receiver,
            "    webhook_configs:\n      - url: {}\n        send_resolved: true\n",
            quoted(url)
        );
        if let Some(token) = token {
            let _ = write!(
                receiver,
                "        http_config:\n          authorization: {{type: Bearer, credentials: {}}}\n",
                quoted(token)
            );
        }
    }
    format!(
        "\
route:
  receiver: medic
  group_by: [alertname, service]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1m
receivers:
{receiver}"
    )
}

/// A JSON string, which is a YAML string too, whatever is in it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_written_with_its_token_and_without_one() {
        let with = alertmanager_yml(Some(("http://127.0.0.1:1/x?a=\"b\"", Some("se: cret"))));
        assert!(with.contains(r#"url: "http://127.0.0.1:1/x?a=\"b\"""#), "{with}");
        assert!(with.contains(r#"credentials: "se: cret""#), "{with}");
        assert!(!alertmanager_yml(Some(("http://127.0.0.1:1", None))).contains("authorization"));
        assert!(!alertmanager_yml(None).contains("webhook_configs"));
    }

    #[test]
    fn every_service_is_a_target_with_its_name() {
        let plan = Plan { dir: "/lab".into(), seed: 1, load_rps: 30, prometheus: true, port: 20_000 };
        let text = prometheus_yml(&plan, Path::new("/lab/rules.yml"));
        for service in Service::ALL {
            assert!(text.contains(&format!("labels: {{service: {service}, cluster: lab}}")), "{text}");
            assert!(text.contains(&plan.admin_address(service).to_string()), "{text}");
        }
    }
}
