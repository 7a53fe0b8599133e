//! The stage itself: the lab, the daemon, and what may be done with both.

use crate::{
    cast::Person,
    client::{Client, ClientError},
    medicd::{self, Medicd},
    options::{LabKind, StageOptions},
    settings::Settings,
};
use anyhow::Context;
use medic_lab::{Lab, LabOptions};
use medic_proto::v1;
use serde::Deserialize;
use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long the daemon may take to be of use: it compiles the tools at its first start, on a machine that may be busy.
const READY_MAX: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);

/// Where a verified audit chain ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditHead {
    pub records: u64,
    pub hash: String,
}

/// A lab and a daemon, wired together. Dropping it ends every process of both.
pub struct Stage {
    // In this order: the daemon goes before the lab it looks at, and both before their directory.
    medicd: Option<Medicd>,
    lab: Option<Lab>,
    settings: Settings,
    dir: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

/// Scrapes of ordinary life before a stage is handed over: a change shows only against what was before.
const PAST_SCRAPES: f64 = 12.0;
/// The lab is scraped every second; a busy machine may take its time.
const PAST_WITHIN: Duration = Duration::from_secs(60);

async fn has_a_past(lab: &Lab) -> anyhow::Result<()> {
    let began = Instant::now();
    let scrapes = r#"min(count_over_time(up{job="lab"}[5m]))"#;
    while lab.query(scrapes).await?.unwrap_or_default() < PAST_SCRAPES {
        anyhow::ensure!(began.elapsed() < PAST_WITHIN, "Prometheus has not scraped the lab often enough");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

impl Stage {
    /// Starts the lab and the daemon, and has Alertmanager send its alerts there. Returns when the daemon takes them in.
    ///
    /// # Errors
    /// When a program or tool is not built (the message names the command), or a part does not become ready.
    pub async fn start(options: StageOptions) -> anyhow::Result<Self> {
        let (dir, temporary) = match &options.dir {
            Some(dir) => (dir.clone(), None),
            None => {
                let temporary = tempfile::Builder::new().prefix("medic-stage-").tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let lab = match options.lab {
            LabKind::Whole => {
                Some(Lab::start(LabOptions { seed: options.seed, ..LabOptions::default() }).await?)
            }
            LabKind::Shop => {
                let shop = LabOptions { seed: options.seed, prometheus: false, ..LabOptions::default() };
                Some(Lab::start(shop).await?)
            }
            LabKind::Absent => None,
        };
        let settings = Settings::write(&dir, lab.as_ref(), &options)?;
        let mut stage = Self { medicd: None, lab, settings, dir, _temporary: temporary };
        stage.restart().await?;
        if let (Some(lab), LabKind::Whole) = (&stage.lab, options.lab) {
            let url = format!("{}/webhooks/alertmanager", stage.settings.http_url);
            lab.set_webhook(&url, Some(stage.settings.token(Person::Webhook))).await?;
            has_a_past(lab).await?;
        }
        Ok(stage)
    }

    /// The lab.
    ///
    /// # Errors
    /// When the stage was set without one.
    pub fn lab(&self) -> anyhow::Result<&Lab> {
        self.lab.as_ref().context("this stage has no lab")
    }

    /// The API as `person` sees it.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn client(&self, person: Person) -> anyhow::Result<Client> {
        Client::new(&self.settings.http_url, Some(self.settings.token(person)))
    }

    /// Base URL of the daemon's REST API.
    pub fn url(&self) -> &str {
        &self.settings.http_url
    }

    /// The credential of `person`, for those who speak to the API by other means.
    pub fn token(&self, person: Person) -> &str {
        self.settings.token(person)
    }

    pub fn config_path(&self) -> &Path {
        &self.settings.config
    }

    /// The daemon's store, for offline commands while it is stopped.
    pub fn store_dir(&self) -> &Path {
        &self.settings.store
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("medicd.log")
    }

    /// The end of what the daemon wrote.
    pub fn log_tail(&self) -> String {
        medicd::tail(&self.log_path())
    }

    /// Process id of the daemon; `None` while it is down.
    pub fn medicd_pid(&self) -> Option<u32> {
        self.medicd.as_ref().map(Medicd::pid)
    }

    /// Kills the daemon with SIGKILL; returns when it is gone. The lab goes on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.medicd.take().context("the daemon does not run")?.kill9()
    }

    /// Ends the daemon in order (SIGTERM). The lab goes on.
    ///
    /// # Errors
    /// When it does not run, does not end in time, or ends with a failure.
    pub async fn stop_medicd(&mut self) -> anyhow::Result<()> {
        self.medicd.take().context("the daemon does not run")?.stop().await
    }

    /// Starts the daemon on the data that is there; returns when it takes alerts in.
    ///
    /// # Errors
    /// When it runs already, ends at once, or does not become ready. The message holds the end of its log.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.medicd.is_none(), "the daemon runs already");
        let mut medicd = Medicd::start(&self.settings.config, &self.log_path())?;
        let client = self.client(Person::Viewer)?;
        let started = Instant::now();
        loop {
            let missing = match client.ready().await {
                Ok(()) => break,
                Err(ClientError::Refused(problem)) => problem.message,
                Err(error) => error.to_string(),
            };
            let ended = medicd.ended().map(|status| format!("it ended with {status}"));
            if ended.is_some() || started.elapsed() > READY_MAX {
                let why = ended.unwrap_or(missing);
                anyhow::bail!("the daemon did not become ready: {why}\n{}", self.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
        self.medicd = Some(medicd);
        Ok(())
    }

    /// Newest first.
    ///
    /// # Errors
    /// When the daemon cannot be asked.
    pub async fn incidents(&self) -> anyhow::Result<Vec<v1::IncidentSummary>> {
        Ok(self.client(Person::Viewer)?.incidents().await?)
    }

    /// # Errors
    /// When the daemon cannot be asked, or knows no such incident.
    pub async fn incident(&self, id: &str) -> anyhow::Result<v1::Incident> {
        Ok(self.client(Person::Viewer)?.incident(id).await?)
    }

    /// Waits for the first incident there ever was and gives its id.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn first_incident(&self, within: Duration) -> anyhow::Result<String> {
        let client = self.client(Person::Viewer)?;
        let started = Instant::now();
        loop {
            if let Some(first) = client.incidents().await?.pop() {
                return Ok(first.id);
            }
            if started.elapsed() > within {
                anyhow::bail!("no incident within {within:?}\n{}", self.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Looks at an incident again and again until `holds`, and gives it as it was seen then.
    ///
    /// # Errors
    /// When it does not hold in time: what was waited for, the incident's history, and the end of the daemon's log.
    pub async fn wait_for(
        &self,
        id: &str,
        what: &str,
        within: Duration,
        mut holds: impl FnMut(&v1::Incident) -> bool,
    ) -> anyhow::Result<v1::Incident> {
        let client = self.client(Person::Viewer)?;
        let started = Instant::now();
        loop {
            let incident = client.incident(id).await?;
            if holds(&incident) {
                return Ok(incident);
            }
            if started.elapsed() > within {
                anyhow::bail!("not within {within:?}: {what}\n{}{}", account(&incident), self.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Gives `person`'s word on the plan that waits now.
    ///
    /// # Errors
    /// The daemon's refusal; or that no plan waits.
    pub async fn approve(&self, id: &str, person: Person) -> anyhow::Result<v1::DecisionResponse> {
        let client = self.client(person)?;
        let incident = client.incident(id).await?;
        let proposal = incident.proposal.context("no plan waits for anybody")?;
        Ok(client.approve(id, &proposal.plan_digest).await?)
    }

    /// Waits until the incident has ended, and says yes to whatever it asks meanwhile: as alice, and as bob where two are
    /// needed.
    ///
    /// # Errors
    /// When it does not end in time; the message is that of [`wait_for`](Self::wait_for).
    pub async fn see_through(&self, id: &str, within: Duration) -> anyhow::Result<v1::Incident> {
        let started = Instant::now();
        loop {
            let left = within.saturating_sub(started.elapsed());
            let what = "it has ended or waits for somebody";
            let seen =
                self.wait_for(id, what, left, |incident| has_ended(incident) || waits(incident)).await?;
            if has_ended(&seen) {
                return Ok(seen);
            }
            let proposal = seen.proposal.context("what waits has a plan")?;
            for person in [Person::Alice, Person::Bob].into_iter().take(proposal.approvals_missing as usize) {
                match self.client(person)?.approve(id, &proposal.plan_digest).await {
                    Ok(_) => {}
                    // It went on meanwhile, or the same person has spoken before: the next look tells.
                    Err(error) if error.problem().is_some_and(|problem| problem.status == 409) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Exports the audit log of the stopped daemon and recomputes its hash chain, with no daemon running.
    ///
    /// # Errors
    /// When the daemon still runs, the export fails, or the chain is not intact; the message is the command's own.
    pub async fn verify_audit_offline(&self) -> anyhow::Result<AuditHead> {
        #[derive(Deserialize)]
        struct Verified {
            whole: bool,
            head: Option<Head>,
            message: Option<String>,
        }
        #[derive(Deserialize)]
        struct Head {
            seq: u64,
            hash: String,
        }
        anyhow::ensure!(self.medicd.is_none(), "the daemon still runs");
        let export = self.dir.join(format!("audit-{}.jsonl", export_name()));
        let (dir, to) = (self.settings.store.as_os_str(), export.as_os_str());
        let exported =
            medicd::run(&["store".as_ref(), "export".as_ref(), "--dir".as_ref(), dir, "--to".as_ref(), to])
                .await?;
        anyhow::ensure!(exported.success, "cannot export the audit log: {}", exported.stderr.trim());
        let verified = medicd::run(&["audit".as_ref(), "verify".as_ref(), "--json".as_ref(), to]).await?;
        let said: Verified = serde_json::from_str(&verified.stdout)
            .with_context(|| format!("cannot understand audit verify: {}", verified.stderr.trim()))?;
        let head = said.head.filter(|_| verified.success && said.whole);
        let head =
            head.with_context(|| said.message.unwrap_or_else(|| "the audit log is not intact".to_owned()))?;
        Ok(AuditHead { records: head.seq, hash: head.hash })
    }

    /// Ends everything in order.
    ///
    /// # Errors
    /// When the daemon does not end as it should.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if self.medicd.is_some() {
            self.stop_medicd().await?;
        }
        Ok(())
    }
}

/// An export never overwrites another.
fn export_name() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// Whether nothing more will happen to it.
pub fn has_ended(incident: &v1::Incident) -> bool {
    matches!(incident.phase.as_str(), "RESOLVED" | "ESCALATED")
}

fn waits(incident: &v1::Incident) -> bool {
    incident.phase == "AWAITING_DECISION"
}

/// An incident's story in lines, for whoever must find out what went wrong.
pub fn account(incident: &v1::Incident) -> String {
    let mut lines = format!("incident {} is {} ({})\n", incident.id, incident.phase, incident.title);
    for line in &incident.history {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "  {} {} -> {}: {}", line.at_ms, line.from, line.to, line.why);
    }
    for hypothesis in incident.diagnoses.iter().flat_map(|diagnosis| &diagnosis.hypotheses) {
        let v1::Hypothesis { id, component, category, confidence, .. } = hypothesis;
        let _ = writeln!(lines, "  {id}: {category} at {component}, {confidence:.2}");
    }
    for gap in &incident.gaps {
        let _ = writeln!(lines, "  gap {}: {} ({})", gap.code, gap.detail, gap.query);
    }
    lines
}
