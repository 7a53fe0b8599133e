//! The lab as its users have it: [`Lab`] starts one and ends it, [`Remote`] is a handle on one that runs.

use crate::{
    fault::Fault,
    observe::{self, Programs},
    plan::{self, Plan},
    probe::{self, Probe},
    service::state::Operation,
    topology::{self, Service},
};
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use std::{
    fs,
    ops::Deref,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long the lab may take to be of use. It takes some seven seconds; a machine that compiles beside it, longer.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long the keeper may take to end its parts before all are killed.
const STOP_MAX: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);

/// How a lab is to be.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// Where it lives; a temporary directory, deleted at the end, when `None`.
    pub dir: Option<PathBuf>,
    /// Where Alertmanager sends; nowhere until [`Remote::set_webhook`] when `None`.
    pub webhook_url: Option<String>,
    /// The bearer token it sends along.
    pub webhook_token: Option<String>,
    /// Seed of orders, jitter and noise.
    pub seed: u64,
    /// Orders a second; the faults are made for 20 to 40.
    pub load_rps: u32,
    /// With Prometheus and Alertmanager. Without, the lab is ready in a second and raises no alerts.
    pub prometheus: bool,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self { dir: None, webhook_url: None, webhook_token: None, seed: 1, load_rps: 30, prometheus: true }
    }
}

/// A running lab. Dropping it ends every process of it.
pub struct Lab {
    remote: Remote,
    keeper: Child,
    // Dropped, and so deleted, after `Drop` has ended the processes that write there.
    _temporary: Option<tempfile::TempDir>,
}

/// A handle on a running lab, by its directory.
#[derive(Debug, Clone)]
pub struct Remote {
    plan: Plan,
    admin_token: String,
    client: reqwest::Client,
}

impl Lab {
    /// Starts a lab and waits until every service answers, orders flow and, with Prometheus, every target is up and
    /// the flow shows in its data.
    ///
    /// # Errors
    /// When Prometheus or Alertmanager is wanted and not installed (the message names the package), when the
    /// `medic-lab` program is not beside this one, when a lab runs in the directory, or when it is not ready in a minute.
    pub async fn start(options: LabOptions) -> anyhow::Result<Self> {
        crate::install_tls_provider();
        if options.prometheus {
            Programs::find()?;
        }
        let program = lab_program()?;
        let (dir, temporary) = match &options.dir {
            Some(dir) => (dir.clone(), None),
            None => {
                let temporary = tempfile::Builder::new().prefix("medic-lab-").tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
        if let Some(pid) = Plan::read(&dir).ok().and_then(|plan| running_keeper(&plan)) {
            anyhow::bail!(
                "a lab runs in {} already (its keeper is process {})",
                dir.display(),
                pid.as_raw_pid()
            );
        }
        let plan = Plan {
            dir,
            seed: options.seed,
            load_rps: options.load_rps,
            prometheus: options.prometheus,
            port: plan::free_ports()?,
        };
        plan.write()?;
        let webhook = options.webhook_url.as_deref().map(|url| (url, options.webhook_token.as_deref()));
        observe::write(&plan, webhook)?;

        let output =
            fs::File::create(plan.output_path("keeper")).context("cannot create the keeper's log")?;
        let keeper = Command::new(&program)
            .arg("keeper")
            .arg(&plan.dir)
            // The keeper lives as long as the other end of this pipe, which is this process.
            .stdin(Stdio::piped())
            .stderr(output.try_clone()?)
            .stdout(output)
            // A group of its own: all of it can be ended at once, and a Ctrl-C at the terminal is not for it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut lab = Self { remote: Remote::of(plan)?, keeper, _temporary: temporary };
        lab.until_ready().await?;
        Ok(lab)
    }

    /// Ends every process of the lab.
    pub fn stop(self) {
        drop(self);
    }

    /// Waits for the keeper to end, as it does when someone else takes the lab down.
    pub async fn ended(&mut self) {
        while matches!(self.keeper.try_wait(), Ok(None)) {
            tokio::time::sleep(POLL).await;
        }
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let missing = match self.remote.missing().await {
                Ok(None) => return Ok(()),
                Ok(Some(missing)) => missing,
                Err(error) => format!("{error:#}"),
            };
            let ended = self.keeper.try_wait().context("cannot look at the keeper")?;
            if ended.is_some() || started.elapsed() > READY_MAX {
                let last_words = last_words(&self.remote.plan);
                anyhow::bail!("the lab did not become ready: {missing}\n{last_words}");
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Deref for Lab {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        &self.remote
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Closing its input asks the keeper to end; it waits for its parts, so that none writes into the directory
        // after this.
        drop(self.keeper.stdin.take());
        let asked = Instant::now();
        while matches!(self.keeper.try_wait(), Ok(None)) && asked.elapsed() < STOP_MAX {
            std::thread::sleep(Duration::from_millis(10));
        }
        if matches!(self.keeper.try_wait(), Ok(None)) {
            if let Some(group) = i32::try_from(self.keeper.id()).ok().and_then(Pid::from_raw) {
                // An error means that there is nobody left to kill.
                let _gone = kill_process_group(group, Signal::KILL);
            }
            let _status = self.keeper.wait();
        }
    }
}

impl Remote {
    /// The lab that runs in the directory.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        crate::install_tls_provider();
        let plan = Plan::read(dir)?;
        anyhow::ensure!(running_keeper(&plan).is_some(), "the lab in {} does not run", dir.display());
        Self::of(plan)
    }

    fn of(plan: Plan) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        Ok(Self { admin_token: plan.read_admin_token()?, plan, client })
    }

    pub fn dir(&self) -> &Path {
        &self.plan.dir
    }

    pub fn log_dir(&self) -> PathBuf {
        self.plan.log_dir()
    }

    pub fn services(&self) -> [Service; 5] {
        Service::ALL
    }

    /// (caller, callee) pairs.
    pub fn edges(&self) -> Vec<(Service, Service)> {
        topology::edges()
    }

    pub fn prometheus_url(&self) -> String {
        self.plan.prometheus_url()
    }

    pub fn alertmanager_url(&self) -> String {
        self.plan.alertmanager_url()
    }

    /// Base URL of a service's admin API, without a slash at its end.
    pub fn admin_url(&self, service: Service) -> String {
        self.plan.admin_url(service)
    }

    /// Base URL of a service's business listener.
    pub fn business_url(&self, service: Service) -> String {
        self.plan.business_url(service)
    }

    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    pub fn admin_token_path(&self) -> PathBuf {
        self.plan.admin_token_path()
    }

    /// Everything a program needs to know of the lab; no secret, only the path of one.
    pub fn describe(&self) -> Value {
        let urls = |of: fn(&Plan, Service) -> String| -> Value {
            Service::ALL
                .iter()
                .map(|service| (service.name().to_owned(), Value::from(of(&self.plan, *service))))
                .collect()
        };
        json!({
            "dir": self.plan.dir,
            "log_dir": self.log_dir(),
            "admin_token_file": self.admin_token_path(),
            "business_urls": urls(Plan::business_url),
            "admin_urls": urls(Plan::admin_url),
            "prometheus_url": self.plan.prometheus.then(|| self.prometheus_url()),
            "alertmanager_url": self.plan.prometheus.then(|| self.alertmanager_url()),
            "edges": self.edges(),
        })
    }

    /// Injects a fault.
    pub async fn inject(&self, fault: Fault) -> anyhow::Result<()> {
        self.switch(fault, true).await
    }

    /// Takes an injected fault back, whatever its cure would be.
    pub async fn clear(&self, fault: Fault) -> anyhow::Result<()> {
        self.switch(fault, false).await
    }

    async fn switch(&self, fault: Fault, on: bool) -> anyhow::Result<()> {
        let Some(service) = fault.service() else { return Ok(()) };
        let answer = self
            .client
            .post(format!("{}/lab/fault", self.admin_url(service)))
            .bearer_auth(&self.admin_token)
            .json(&json!({"name": fault, "on": on}))
            .send()
            .await
            .with_context(|| format!("cannot reach {service} to switch {fault}"))?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "{service} refused to switch {fault}: {}", answer.text().await?);
        Ok(())
    }

    /// The faults there are now, found by looking: one that was cured is not among them.
    pub async fn active_faults(&self) -> anyhow::Result<Vec<Fault>> {
        let mut faults = Vec::new();
        for service in Service::ALL {
            let mut answer: Value = self.get(service, "/lab/fault").await?;
            let of_service: Vec<Fault> = serde_json::from_value(answer["faults"].take())?;
            faults.extend(of_service);
        }
        Ok(faults)
    }

    /// The mutating admin calls that a service carried out, oldest first; those the lab made itself are not among them.
    pub async fn operations(&self, service: Service) -> anyhow::Result<Vec<Operation>> {
        self.get(service, "/admin/operations").await
    }

    /// How often the keeper had to start the service again.
    pub fn restarts(&self, service: Service) -> anyhow::Result<u32> {
        Ok(self.plan.keeper()?.starts.get(service.name()).map_or(0, |starts| starts.saturating_sub(1)))
    }

    /// The process that is the service now.
    pub fn pid(&self, service: Service) -> anyhow::Result<Option<u32>> {
        Ok(self.plan.keeper()?.pids.get(service.name()).copied())
    }

    /// Orders of one's own.
    pub async fn probe(&self, count: u32) -> Probe {
        probe::probe(&self.client, &self.business_url(Service::Gateway), count, self.plan.seed).await
    }

    /// No fault is there, every service serves, and a customer's orders go through in time.
    pub async fn is_healthy(&self) -> anyhow::Result<bool> {
        for service in Service::ALL {
            let health: anyhow::Result<Value> = self.get(service, "/admin/health").await;
            // A service that is just restarting refuses the connection: not healthy, and no error.
            if !health.is_ok_and(|health| health["serving"] == true) {
                return Ok(false);
            }
        }
        Ok(self.active_faults().await?.is_empty() && self.probe(20).await.is_good())
    }

    /// The names and services of the alerts that fire now, as Prometheus has them.
    pub async fn firing_alerts(&self) -> anyhow::Result<Vec<(String, String)>> {
        let url = format!("{}/api/v1/alerts", self.prometheus_url());
        let answer: Value = self.client.get(url).send().await?.error_for_status()?.json().await?;
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let mut firing: Vec<_> = alerts
            .iter()
            .filter(|alert| alert["state"] == "firing")
            .map(|alert| {
                let label = |name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
                (label("alertname"), label("service"))
            })
            .collect();
        firing.sort();
        Ok(firing)
    }

    /// The value of an instant query that has one; `None` when it has no result.
    pub async fn query(&self, promql: &str) -> anyhow::Result<Option<f64>> {
        let answer: Value = self
            .client
            .get(format!("{}/api/v1/query", self.prometheus_url()))
            .query(&[("query", promql)])
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        Ok(answer
            .pointer("/data/result/0/value/1")
            .and_then(Value::as_str)
            .and_then(|value| value.parse().ok()))
    }

    /// Has Alertmanager send to another address from now on.
    pub async fn set_webhook(&self, url: &str, token: Option<&str>) -> anyhow::Result<()> {
        anyhow::ensure!(self.plan.prometheus, "this lab runs without Alertmanager");
        observe::write_webhook(&self.plan, Some((url, token)))?;
        let answer = self.client.post(format!("{}/-/reload", self.alertmanager_url())).send().await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "Alertmanager refused the webhook: {}", answer.text().await?);
        Ok(())
    }

    /// Asks the lab's keeper to end; returns when it has.
    pub async fn take_down(&self) -> anyhow::Result<()> {
        if let Some(pid) = running_keeper(&self.plan) {
            kill_process(pid, Signal::TERM).context("cannot signal the keeper")?;
        }
        let asked = Instant::now();
        while running_keeper(&self.plan).is_some() {
            anyhow::ensure!(asked.elapsed() < Duration::from_secs(10), "the keeper does not end");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, service: Service, path: &str) -> anyhow::Result<T> {
        let answer = self
            .client
            .get(format!("{}{path}", self.admin_url(service)))
            .bearer_auth(&self.admin_token)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .with_context(|| format!("cannot read {path} of {service}"))?;
        answer.json().await.with_context(|| format!("cannot understand {path} of {service}"))
    }

    /// What is not ready yet; `None` when all is.
    async fn missing(&self) -> anyhow::Result<Option<String>> {
        for service in Service::ALL {
            let health: Value = self.get(service, "/admin/health").await?;
            if health["serving"] != true {
                return Ok(Some(format!("{service} does not serve")));
            }
        }
        if !self.plan.prometheus {
            let probe = self.probe(1).await;
            return Ok((probe.failed > 0).then(|| "the gateway does not answer".to_owned()));
        }
        let ready = self.client.get(format!("{}/-/ready", self.alertmanager_url())).send().await;
        if !ready.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(Some("Alertmanager is not ready".to_owned()));
        }
        let up = self.query(r#"sum(up{job="lab"})"#).await.context("Prometheus is not ready")?.unwrap_or(0.0);
        if up < Service::ALL.len() as f64 {
            return Ok(Some(format!("Prometheus sees {up} of {} targets up", Service::ALL.len())));
        }
        let flow = self.query(r#"sum(rate(http_requests_total{job="lab",service="store"}[5s]))"#).await?;
        Ok((flow.unwrap_or(0.0) <= 0.0).then(|| "no orders have reached store yet".to_owned()))
    }
}

/// The program that is the lab's parts: this one, or the one beside it (tests are built one folder below).
fn lab_program() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find this program")?;
    if this.file_stem().is_some_and(|name| name == "medic-lab") {
        return Ok(this);
    }
    let beside = this.parent().map(|folder| folder.join("medic-lab"));
    let above = this.parent().and_then(Path::parent).map(|folder| folder.join("medic-lab"));
    [beside, above].into_iter().flatten().find(|candidate| candidate.is_file()).with_context(|| {
        format!("the program medic-lab is not beside {}; build it: cargo build -p medic-lab", this.display())
    })
}

/// The lab's keeper, if it runs. Its command line is looked at, since its number may be another's by now.
fn running_keeper(plan: &Plan) -> Option<Pid> {
    let pid = plan.keeper().ok()?.pid;
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = command_line.split(|byte| *byte == 0).skip(1);
    let is_keeper = words.next() == Some(b"keeper");
    let is_this = words.next() == Some(plan.dir.as_os_str().as_encoded_bytes());
    (is_keeper && is_this).then(|| Pid::from_raw(pid)).flatten()
}

/// The last line of each part's output: why it did not start.
fn last_words(plan: &Plan) -> String {
    let mut words = Vec::new();
    for entry in fs::read_dir(plan.dir.join("run")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if let Some(line) = text.lines().last() {
            words.push(format!("  {}: {line}", entry.file_name().to_string_lossy()));
        }
    }
    words.sort();
    words.join("\n")
}
