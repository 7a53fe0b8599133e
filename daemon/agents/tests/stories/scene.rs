//! A world of twins with the agents in it, and the few things a story needs to say.

use crate::disk::SlowDisk;
use medic_agents::desk::{ActorStatus, Desk, DeskError, Told};
use medic_agents::{Agents, AgentsConfig, Condition, Ports, RestartPolicy, Taxonomy};
use medic_core::approval::Approval;
use medic_core::audit::AuditRecord;
use medic_core::grouping::GroupingPolicy;
use medic_core::mail::Address;
use medic_core::{
    Alert, AlertBatch, AlertStatus, ApprovalId, Digest, EventKind, Incident, IncidentId, Labels, Phase,
    PhaseName, Policy, Principal, TimestampMs, ToolCategory,
};
use medic_ports::Model;
use medic_ports::fake::clock::FakeClock;
use medic_ports::fake::journal::FakeJournal;
use medic_ports::fake::knowledge::FakeKnowledge;
use medic_ports::fake::logs::FakeLogs;
use medic_ports::fake::metrics::{self, FakeMetrics};
use medic_ports::fake::model::FakeModel;
use medic_ports::fake::notifier::FakeNotifier;
use medic_ports::fake::script::Reply;
use medic_ports::fake::tools::{FakeToolHost, tool};
use medic_ports::journal::{IncidentFilter, Journal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Far enough from zero for windows before it.
pub const START_MS: u64 = 1_000_000_000;
const EXPRESSION: &str = "error_ratio > 0.05";

/// The world outside: it outlives the daemon.
#[derive(Clone)]
struct Twins {
    clock: FakeClock,
    metrics: Arc<FakeMetrics>,
    logs: Arc<FakeLogs>,
    tools: Arc<FakeToolHost>,
    notifier: Arc<FakeNotifier>,
    model: Option<Arc<FakeModel>>,
    policy: Policy,
    /// How long a write takes.
    sync_ms: Arc<AtomicU64>,
    /// Whether the first deed that is not undone makes the alert's expression fall silent.
    heals: Arc<AtomicBool>,
}

pub struct Scene {
    pub journal: FakeJournal,
    pub clock: FakeClock,
    pub metrics: Arc<FakeMetrics>,
    pub logs: Arc<FakeLogs>,
    pub tools: Arc<FakeToolHost>,
    pub notifier: Arc<FakeNotifier>,
    pub agents: Agents,
    twins: Twins,
}

impl Scene {
    pub async fn new() -> Self {
        Self::with(Policy::default()).await
    }

    pub async fn with(policy: Policy) -> Self {
        Self::build(policy, None, FakeJournal::new(), Arc::default()).await
    }

    pub async fn on_disk(policy: Policy, sync_ms: Arc<AtomicU64>) -> Self {
        Self::build(policy, None, FakeJournal::new(), sync_ms).await
    }

    pub async fn over(journal: FakeJournal) -> Self {
        Self::build(Policy::default(), None, journal, Arc::default()).await
    }

    /// `None`: the model hangs.
    pub async fn with_model(answer: Option<String>) -> Self {
        let model = Arc::new(FakeModel::new());
        model.script.on("", answer.map_or(Reply::Hang, Reply::Answer));
        Self::build(Policy::default(), Some(model), FakeJournal::new(), Arc::default()).await
    }

    async fn build(
        policy: Policy,
        model: Option<Arc<FakeModel>>,
        journal: FakeJournal,
        sync_ms: Arc<AtomicU64>,
    ) -> Self {
        let clock = FakeClock::new(TimestampMs(START_MS));
        let names = [
            ("rollback_config", ToolCategory::Remediation),
            ("restart_service", ToolCategory::Remediation),
            ("purge_expired", ToolCategory::Destructive),
        ];
        let tools = Arc::new(FakeToolHost::new(
            Arc::new(clock.clone()),
            names.map(|(name, category)| tool(name, category)),
        ));
        let metrics = Arc::new(FakeMetrics::new());
        let heals = Arc::new(AtomicBool::new(false));
        // The alert's expression holds until a deed has healed it and that deed stands.
        let (world, healed) = (tools.clone(), heals.clone());
        metrics.instant.on(
            EXPRESSION,
            Reply::Compute(Arc::new(move |_| {
                let standing =
                    world.deeds().iter().fold(0i32, |n, deed| if deed.reverting { n - 1 } else { n + 1 });
                let labels = Labels::from([("service", "checkout")]);
                let healthy = healed.load(Ordering::SeqCst) && standing > 0;
                Ok(if healthy { Vec::new() } else { vec![metrics::sample(labels, 0.4)] })
            })),
        );
        let (logs, notifier) = (Arc::new(FakeLogs::new()), Arc::new(FakeNotifier::new()));
        let twins = Twins { clock, metrics, logs, tools, notifier, model, policy, sync_ms, heals };
        Self::live(journal, twins).await
    }

    async fn live(journal: FakeJournal, twins: Twins) -> Self {
        let clock = Arc::new(twins.clock.clone());
        let ports = Ports {
            journal: Arc::new(SlowDisk::new(journal.clone(), clock.clone(), twins.sync_ms.clone())),
            clock,
            metrics: twins.metrics.clone(),
            logs: twins.logs.clone(),
            tools: twins.tools.clone(),
            notifier: twins.notifier.clone(),
            knowledge: Some(Arc::new(FakeKnowledge::new())),
            model: twins.model.clone().map(|model| model as Arc<dyn Model>),
        };
        let config = AgentsConfig {
            policy: twins.policy.clone(),
            grouping: GroupingPolicy::default(),
            restart: RestartPolicy::default(),
            taxonomy: Taxonomy::parse(medic_agents::taxonomy::DEFAULT).unwrap(),
        };
        let agents = medic_agents::start(config, ports).await.unwrap();
        Self {
            journal,
            clock: twins.clock.clone(),
            metrics: twins.metrics.clone(),
            logs: twins.logs.clone(),
            tools: twins.tools.clone(),
            notifier: twins.notifier.clone(),
            agents,
            twins,
        }
    }

    /// kill -9: what is not durable is gone, the world outside is not.
    pub async fn crash(self) -> Self {
        let next = self.journal.crash();
        self.resume(next).await
    }

    /// The daemon's next life, on the journal given.
    pub async fn resume(self, next: FakeJournal) -> Self {
        let Self { agents, twins, .. } = self;
        agents.stop(0).await;
        Self::live(next, twins).await
    }

    pub async fn stop(self) {
        self.tools.release();
        self.metrics.release();
        self.agents.stop(1_000).await;
    }

    pub fn desk(&self) -> Desk {
        self.agents.desk()
    }

    /// A rollout at checkout ten seconds ago: the revision changed, errors rose.
    pub fn break_checkout(&self) {
        let labels = || Labels::from([("service", "checkout")]);
        let now = medic_ports::Clock::now(&self.clock);
        let start = now.before_ms(120_000);
        let revision = (0..120).map(|s| if s < 108 { 1.0 } else { 2.0 });
        self.metrics.series("config_revision", vec![metrics::series(labels(), start, 1_000, revision)]);
        let errors = (0..120).map(|s| if s < 110 { 0.001 * f64::from(s % 3) } else { 0.4 });
        self.metrics
            .series("http_requests_total{code=~", vec![metrics::series(labels(), start, 1_000, errors)]);
    }

    pub fn heal_on_deed(&self) {
        self.twins.heals.store(true, Ordering::SeqCst);
    }

    pub fn firing(&self, name: &str, service: &str, starts_at: u64) -> Alert {
        let labels = Labels::from([("alertname", name), ("service", service), ("cluster", "test")]);
        Alert {
            fingerprint: labels.fingerprint(),
            status: AlertStatus::Firing,
            labels,
            annotations: Labels::default(),
            starts_at: TimestampMs(START_MS + starts_at),
            ends_at: None,
            expression: Some(EXPRESSION.to_owned()),
        }
    }

    /// Of another cluster, which is another group.
    pub fn firing_in(&self, name: &str, service: &str, cluster: &str) -> Alert {
        let mut alert = self.firing(name, service, 1);
        alert.labels.0.insert("cluster".to_owned(), cluster.to_owned());
        Alert { fingerprint: alert.labels.fingerprint(), ..alert }
    }

    pub fn resolved(&self, name: &str, service: &str, starts_at: u64) -> Alert {
        let alert = self.firing(name, service, starts_at);
        Alert { status: AlertStatus::Resolved, ends_at: Some(medic_ports::Clock::now(&self.clock)), ..alert }
    }

    pub async fn deliver(&self, alerts: &[Alert]) {
        let batch = AlertBatch { group_key: "g".into(), alerts: alerts.to_vec(), truncated: 0 };
        self.desk().receive_alerts(batch, "test", None).await.unwrap();
    }

    pub async fn alert(&self, name: &str, service: &str) -> IncidentId {
        self.alert_at(name, service, 1).await
    }

    pub async fn alert_at(&self, name: &str, service: &str, starts_at: u64) -> IncidentId {
        let alert = self.firing(name, service, starts_at);
        self.deliver(std::slice::from_ref(&alert)).await;
        self.settled(|scene| {
            let all = scene.journal.incidents(&IncidentFilter { limit: 100, ..Default::default() }).unwrap();
            let same = |i: &&Incident| {
                i.alerts
                    .get(&alert.fingerprint)
                    .is_some_and(|tracked| tracked.alert.starts_at == alert.starts_at)
            };
            all.iter().find(same).map(|incident| incident.id.clone())
        })
        .await
    }

    pub fn incident(&self, id: &IncidentId) -> Incident {
        self.journal.incident(id).unwrap().unwrap()
    }

    pub async fn reach(&self, id: &IncidentId, phase: PhaseName) -> Incident {
        let found = self
            .settling(|scene| {
                let incident = scene.journal.incident(id).ok()??;
                let over = incident.is_terminal() && !phase.is_terminal();
                (incident.phase.name() == phase || over).then_some(incident)
            })
            .await;
        let incident = found.unwrap_or_else(|| self.incident(id));
        assert_eq!(incident.phase.name(), phase, "{:?}\n{:#?}", incident.phase, incident.history);
        incident
    }

    /// Looks, lets the agents work, lets a quarter of a second pass, and looks again, for up to forty minutes of
    /// their time: longer than any lifetime in the policy.
    async fn settling<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        let mut seq = u64::MAX;
        for _ in 0..9_600 {
            // As long as something is written, no time passes: the agents are at work.
            while seq != self.journal.commit_seq() {
                seq = self.journal.commit_seq();
                if let Some(found) = look(self) {
                    return Some(found);
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            if !self.journal.health().writable {
                return None;
            }
            // Not everything that can be seen is written.
            if let Some(found) = look(self) {
                return Some(found);
            }
            self.clock.advance(250);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        None
    }

    pub async fn settled<T>(&self, look: impl FnMut(&Self) -> Option<T>) -> T {
        self.settling(look).await.expect("it never came")
    }

    pub async fn approve(&self, id: &IncidentId, who: &str) -> Result<Told, DeskError> {
        Ok(self.approve_as(id, who, None).await?.1)
    }

    pub async fn approve_as(
        &self,
        id: &IncidentId,
        who: &str,
        request: Option<&str>,
    ) -> Result<(Digest, Told), DeskError> {
        let incident = self.incident(id);
        let Phase::AwaitingDecision { proposal } = &incident.phase else { panic!("{:?}", incident.phase) };
        let told = self.approve_as_known(id, who, request.unwrap_or("approve"), &proposal.digest).await?;
        Ok((proposal.digest.clone(), told))
    }

    pub async fn approve_as_known(
        &self,
        id: &IncidentId,
        who: &str,
        request: &str,
        digest: &Digest,
    ) -> Result<Told, DeskError> {
        let principal = Principal::new(who);
        let approval = Approval {
            id: ApprovalId::new(format!("{who}-{request}")),
            principal: principal.clone(),
            plan: digest.clone(),
            at: medic_ports::Clock::now(&self.clock),
        };
        let desk = self.desk();
        let told =
            desk.tell(id, EventKind::Approved { approval }, "test", principal, Some(request.to_owned()));
        self.patiently(told).await
    }

    /// Lets time pass while somebody waits for an answer: a daemon that died meanwhile gives none.
    async fn patiently<T>(&self, answer: impl Future<Output = T>) -> T {
        let passing = async {
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                self.clock.advance(250);
            }
        };
        tokio::select! { biased; answer = answer => answer, never = passing => never }
    }

    pub async fn approve_digest(&self, id: &IncidentId, who: &str, digest: &str) -> Result<Told, DeskError> {
        let digest = Digest::parse(digest).unwrap_or_else(|| Digest::of_bytes(digest.as_bytes()));
        self.approve_as_known(id, who, "digest", &digest).await
    }

    /// Lets time pass in steps that everybody who waits can follow.
    pub async fn pass(&self, ms: u64) {
        let mut left_ms = ms;
        while left_ms > 0 {
            let step_ms = left_ms.min(1_000);
            self.clock.advance(step_ms);
            left_ms -= step_ms;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The condition of that code, healed or not.
    pub fn condition(&self, code: &str) -> Option<Condition> {
        self.desk().status().unwrap().conditions.into_iter().find(|condition| condition.code == code)
    }

    pub fn actor(&self, name: &str) -> ActorStatus {
        let actors = self.desk().status().unwrap().actors;
        actors.into_iter().find(|actor| actor.name == name).unwrap()
    }

    pub fn is_degraded(&self, code: &str) -> bool {
        self.condition(code).is_some_and(|condition| condition.healed_at.is_none())
    }

    pub fn audited(&self, kind: &str) -> Vec<AuditRecord> {
        let records = self.journal.audit(1, 1_000_000).unwrap().into_iter().map(|chained| chained.record);
        records.filter(|record| record.kind == kind).collect()
    }

    pub fn depth(&self, to: Address) -> u64 {
        let mailboxes = self.journal.health().mailboxes;
        mailboxes.iter().find(|mailbox| mailbox.to == to).map_or(0, |mailbox| mailbox.envelopes)
    }

    pub fn audit_holds(&self) {
        super::verify(&self.journal.audit(1, 100_000).unwrap());
    }
}

/// For stories in which the daemon may die at any moment.
impl Scene {
    pub async fn try_alert(&self, name: &str, service: &str) -> Option<()> {
        let batch =
            AlertBatch { group_key: "g".into(), alerts: vec![self.firing(name, service, 1)], truncated: 0 };
        self.desk().receive_alerts(batch, "test", None).await.ok().map(|_| ())
    }

    fn only(&self) -> Option<Incident> {
        self.journal.incidents(&IncidentFilter { limit: 2, ..Default::default() }).ok()?.into_iter().next()
    }

    pub async fn try_reach(&self, phase: PhaseName) -> Option<IncidentId> {
        self.settling(|scene| scene.only().filter(|i| i.phase.name() == phase).map(|i| i.id)).await
    }

    pub async fn try_end(&self, id: &IncidentId) -> Option<PhaseName> {
        self.settling(|scene| {
            let incident = scene.journal.incident(id).ok()??;
            incident.is_terminal().then(|| incident.phase.name())
        })
        .await
    }

    /// What everybody outside does after a restart, until the story has ended.
    pub async fn finish(&self, name: &str, service: &str, who: &str) -> Incident {
        self.try_alert(name, service).await.expect("the second life takes mail");
        for _ in 0..20 {
            let found = self
                .settling(|scene| {
                    let incident = scene.only()?;
                    let decide = incident.phase.name() == PhaseName::AwaitingDecision;
                    (incident.is_terminal() || decide).then_some(incident)
                })
                .await
                .unwrap_or_else(|| panic!("it never came: {:#?}", self.only()));
            if found.is_terminal() {
                return found;
            }
            // It may have moved on meanwhile; then there is nothing to decide any more.
            let _ = self.approve(&found.id, who).await;
            self.settling(|scene| {
                let now = scene.journal.incident(&found.id).ok()??;
                (now.phase.name() != PhaseName::AwaitingDecision).then_some(())
            })
            .await;
        }
        panic!("it never ended: {:#?}", self.only())
    }
}
