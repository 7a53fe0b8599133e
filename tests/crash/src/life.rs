//! One life of the daemon: its agents over the real store, until everything has ended or it dies.
//!
//! Runs in a process of its own. The clock is tokio's paused one: it stands still while anybody works and leaps to the
//! next moment somebody waits for when nobody does. Around the daemon are the people and machines of the story, who know
//! what they were told in earlier lives and ask again for what they were not.

use crate::chaos::{Chaos, Jump};
use crate::faultfs::{self, Arms};
use crate::mutants::{Mutant, MutantJournal};
use crate::outside::{self, Note, Outside, Word};
use crate::story::{self, Case, Kind};
use crate::waking;
use crate::watched::{Busy, Watched};
use crate::world::World;
use anyhow::{Context as _, Result};
use async_trait::async_trait;
use medic_agents::desk::{Desk, DeskError};
use medic_agents::{Agents, AgentsConfig, Ports, RestartPolicy};
use medic_core::approval::{Approval, Proposal};
use medic_core::event::EventKind;
use medic_core::{
    AlertStatus, ApprovalId, Incident, IncidentId, Phase, PhaseName, Principal, Refusal, TimestampMs,
};
use medic_ports::Clock;
use medic_ports::fake::{FakeLogs, FakeNotifier};
use medic_ports::journal::{IncidentFilter, Journal, JournalHealth};
use medic_store::{Store, StoreConfig};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How a life ended, as its exit code says.
pub const QUIET: i32 = 0;
pub const STORAGE_FAILED: i32 = 3;
pub const NEVER_QUIET: i32 = 4;
pub const REFUSED: i32 = 5;
pub const WOKE_BROKEN: i32 = 6;

/// After this much of its time a life that has not come to rest never will. 5 min: the longest wait of the story is a
/// minute and a half.
const PATIENCE_MS: u64 = 300_000;
/// How often, on the wall clock, a full disk is looked at, and how often at most: 20 s, some of the engine's own tries.
const FULL_LOOK: Duration = Duration::from_millis(20);
const FULL_LOOKS_MAX: u32 = 1_000;
/// How long a store that cannot write is watched before the daemon gives up, on the wall clock: long enough to see that
/// it starts nothing more, and for a disk that was full for a moment.
const LAST_LOOK: Duration = Duration::from_millis(60);

/// Everything a life is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    pub dir: PathBuf,
    pub world: PathBuf,
    pub outside: PathBuf,
    pub life: u32,
    pub now_ms: u64,
    pub cases: Vec<Case>,
    pub arms: Arms,
    pub mutant: Option<Mutant>,
    #[serde(default)]
    pub chaos: Chaos,
}

pub fn store_config(dir: &Path) -> StoreConfig {
    StoreConfig { dir: dir.to_owned(), low_space_bytes: 0, ballast_bytes: 0, ..StoreConfig::default() }
}

/// Time that passes only when nobody works.
pub struct LeapingClock {
    began_ms: u64,
    began: Instant,
    jump: Option<Jump>,
}

impl LeapingClock {
    pub fn new(began_ms: u64, jump: Option<Jump>) -> Self {
        Self { began_ms, began: Instant::now(), jump }
    }
}

#[async_trait]
impl Clock for LeapingClock {
    fn now(&self) -> TimestampMs {
        let elapsed_ms = self.elapsed_ms();
        let by_ms = self.jump.filter(|jump| elapsed_ms >= jump.after_ms).map_or(0, |jump| jump.by_ms);
        TimestampMs((self.began_ms + elapsed_ms).saturating_add_signed(by_ms))
    }
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
    async fn sleep(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// Lives, and returns the exit code.
///
/// # Errors
/// When the harness itself fails.
pub fn live(orders: Orders) -> Result<i32> {
    faultfs::arm(orders.arms.clone()).context("cannot make the tape")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(lived(orders))
}

async fn lived(orders: Orders) -> Result<i32> {
    let clock: Arc<dyn Clock> = Arc::new(LeapingClock::new(orders.now_ms, orders.chaos.jump));
    let before = outside::read(&orders.outside)?;
    let outside = Arc::new(Outside::open(&orders.outside, orders.life, orders.now_ms)?);
    outside.note(Note::Begun);
    let store = match Store::open(&store_config(&orders.dir)) {
        Ok(store) => Arc::new(store),
        Err(error) => {
            println!("{}: {error}", error.code());
            return Ok(REFUSED);
        }
    };
    let faults = waking::judge(&*store)?;
    if !faults.is_empty() {
        println!("on waking: {}", faults.join("; "));
        return Ok(WOKE_BROKEN);
    }
    let inner: Arc<dyn Journal> = match orders.mutant {
        Some(mutant) => Arc::new(MutantJournal::new(store.clone(), mutant)),
        None => store.clone(),
    };
    let journal: Arc<dyn Journal> =
        Arc::new(Watched { inner, outside: outside.clone(), clock: clock.clone() });
    let world = Arc::new(World::open(
        &orders.world,
        orders.life,
        clock.clone(),
        orders.cases.clone(),
        orders.mutant,
        orders.chaos,
    )?);
    let ports = Ports {
        journal: journal.clone(),
        clock: clock.clone(),
        metrics: world.clone(),
        logs: Arc::new(FakeLogs::new()),
        tools: world.clone(),
        notifier: Arc::new(FakeNotifier::new()),
        knowledge: None,
        model: orders.chaos.hung_model(),
    };
    let config = AgentsConfig {
        policy: story::policy(),
        grouping: story::grouping(),
        restart: RestartPolicy::default(),
        taxonomy: story::taxonomy()?,
    };
    let agents = medic_agents::start(config, ports).await?;
    let people = People::new(&agents, &orders, journal, clock, outside.clone(), world, &before);
    let end = people.act().await;
    agents.stop(1_000).await;
    if end == QUIET {
        outside.note(Note::Quiet);
    }
    store.shutdown();
    outside.note(Note::Closed { counts: faultfs::counts() });
    Ok(end)
}

/// Whoever is outside: Alertmanager and those who decide.
struct People {
    desk: Desk,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    outside: Arc<Outside>,
    world: Arc<World>,
    cases: BTreeMap<String, Case>,
    /// Deliveries that were answered in earlier lives.
    delivered: BTreeSet<String>,
    /// Words that were answered in earlier lives, by incident and request.
    answered: BTreeSet<(IncidentId, String)>,
    first_life: bool,
}

impl People {
    fn new(
        agents: &Agents,
        orders: &Orders,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        outside: Arc<Outside>,
        world: Arc<World>,
        before: &[outside::Line],
    ) -> Self {
        let mut people = Self {
            desk: agents.desk(),
            journal,
            clock,
            outside,
            world,
            cases: orders.cases.iter().map(|case| (case.group(), case.clone())).collect(),
            delivered: BTreeSet::new(),
            answered: BTreeSet::new(),
            first_life: orders.life == 1,
        };
        for line in before {
            match &line.note {
                Note::Delivered { delivery } => {
                    people.delivered.insert(delivery.clone());
                }
                Note::Answered { word, .. } => {
                    people.answered.insert((word.incident.clone(), word.request.clone()));
                }
                _ => {}
            }
        }
        people
    }

    /// Acts until everything has ended; returns the exit code.
    async fn act(mut self) -> i32 {
        let mut changes = self.journal.changes();
        let mut deliveries = self.deliver_alerts();
        let mut words: JoinSet<(IncidentId, String)> = JoinSet::new();
        let mut speaking: BTreeSet<(IncidentId, String)> = BTreeSet::new();
        // Those that people are asked about, as they stood when they began to ask.
        let mut asking = self.asking();
        loop {
            while let Some(done) = words.try_join_next() {
                if let Ok(done) = done {
                    self.answered.insert(done);
                }
            }
            while deliveries.try_join_next().is_some() {}
            let health = self.journal.health();
            if !health.writable {
                return self.last_look().await;
            }
            if health.low_space {
                self.wait_for_space().await;
                continue;
            }
            for (case, incident) in asking.values() {
                if let Some((key, word)) = self.next_word(case, incident)
                    && speaking.insert(key)
                {
                    words.spawn(word);
                }
                if case.kind == Kind::Heals && speaking.insert((incident.id.clone(), "heals".to_owned())) {
                    deliveries.spawn(self.delivery(case, AlertStatus::Resolved, 0, 0));
                }
            }
            let empty = health.mailboxes.iter().all(|mailbox| mailbox.envelopes == 0);
            let waits = self.journal.next_timer().ok().flatten().is_some();
            let silent = deliveries.is_empty() && words.is_empty();
            if empty && !waits && silent && self.all_have_ended(&health) {
                return QUIET;
            }
            if self.clock.elapsed_ms() > PATIENCE_MS {
                self.tell_of_unrest(&health);
                return NEVER_QUIET;
            }
            let first = tokio::select! {
                change = changes.recv() => Some(change),
                said = words.join_next(), if !words.is_empty() => {
                    self.answered.extend(said.and_then(Result::ok));
                    None
                }
                () = self.clock.sleep(500) => None,
            };
            let mut next = first;
            while let Some(change) = next {
                match change {
                    Ok(change) if change.phase == PhaseName::AwaitingDecision => {
                        let found = self.journal.incident(&change.incident).ok().flatten();
                        asking.extend(found.and_then(|incident| self.of_story(incident)));
                    }
                    Ok(change) => {
                        asking.remove(&change.incident);
                    }
                    Err(_) => asking = self.asking(),
                }
                next = match changes.try_recv() {
                    Ok(change) => Some(Ok(change)),
                    Err(broadcast::error::TryRecvError::Lagged(missed)) => {
                        Some(Err(broadcast::error::RecvError::Lagged(missed)))
                    }
                    Err(_) => None,
                };
            }
        }
    }

    /// Room is made on the wall clock. Until then no time passes: people would run out of theirs in no time at all.
    async fn wait_for_space(&self) {
        let _busy = Busy::begin();
        for _ in 0..FULL_LOOKS_MAX {
            let health = self.journal.health();
            if !health.low_space || !health.writable {
                return;
            }
            // Fails only when the runtime ends.
            let _ = tokio::task::spawn_blocking(|| std::thread::sleep(FULL_LOOK)).await;
        }
    }

    fn of_story(&self, incident: Incident) -> Option<(IncidentId, (Case, Incident))> {
        let case = self.cases.get(&incident.group)?.clone();
        Some((incident.id.clone(), (case, incident)))
    }

    fn asking(&self) -> BTreeMap<IncidentId, (Case, Incident)> {
        let phase = Some(PhaseName::AwaitingDecision);
        let filter = IncidentFilter { phase, limit: usize::MAX, ..IncidentFilter::default() };
        let found = self.journal.incidents(&filter).unwrap_or_default();
        found.into_iter().filter_map(|incident| self.of_story(incident)).collect()
    }

    fn all_have_ended(&self, health: &JournalHealth) -> bool {
        let ended: u64 =
            health.incidents.iter().filter(|(phase, _)| phase.is_terminal()).map(|(_, count)| count).sum();
        let all: u64 = health.incidents.values().sum();
        ended == all && all == self.cases.len() as u64
    }

    fn tell_of_unrest(&self, health: &JournalHealth) {
        let filter = IncidentFilter { live_only: true, limit: 100, ..IncidentFilter::default() };
        let live = self.journal.incidents(&filter).unwrap_or_default();
        let open: Vec<String> =
            live.iter().map(|incident| format!("{} {}", incident.group, incident.phase.name())).collect();
        let mail: Vec<String> = health
            .mailboxes
            .iter()
            .filter(|mailbox| mailbox.envelopes > 0)
            .map(|mailbox| format!("{} for {}", mailbox.envelopes, mailbox.to))
            .collect();
        println!(
            "no rest after {} s: {:?} of {} incidents, open: [{}], mail: [{}], next timer: {:?}, safe mode: {:?}",
            PATIENCE_MS / 1000,
            health.incidents,
            self.cases.len(),
            open.join(", "),
            mail.join(", "),
            self.journal.next_timer(),
            self.desk.safe_mode().reason(),
        );
    }

    /// Storage has failed: whatever was under way gets its moment to do something wrong.
    async fn last_look(&self) -> i32 {
        let deeds = self.world.deeds();
        self.outside.set_time(self.clock.now());
        self.outside.note(Note::StorageFailed { deeds });
        let busy = Busy::begin();
        let waited = tokio::task::spawn_blocking(|| std::thread::sleep(LAST_LOOK));
        // Fails only when the runtime ends.
        let _ = waited.await;
        drop(busy);
        self.clock.sleep(5_000).await;
        STORAGE_FAILED
    }

    fn deliver_alerts(&self) -> JoinSet<()> {
        let mut deliveries = JoinSet::new();
        for case in self.cases.values() {
            for (n, after_ms) in case.deliveries_ms.iter().enumerate() {
                let after_ms = if self.first_life { *after_ms } else { 0 };
                deliveries.spawn(self.delivery(case, AlertStatus::Firing, n, after_ms));
            }
        }
        deliveries
    }

    /// Sends one notification until it is answered, as Alertmanager does.
    fn delivery(
        &self,
        case: &Case,
        status: AlertStatus,
        n: usize,
        after_ms: u64,
    ) -> impl Future<Output = ()> + Send + 'static {
        let name = format!("{} {status:?} {n}", case.service);
        let (desk, clock, outside) = (self.desk.clone(), self.clock.clone(), self.outside.clone());
        let (known, batch) = (self.delivered.contains(&name), case.delivery(status));
        async move {
            if known {
                return;
            }
            clock.sleep(after_ms).await;
            while desk.receive_alerts(batch.clone(), "webhook", None).await.is_err() {
                clock.sleep(1_000).await;
            }
            outside.set_time(clock.now());
            outside.note(Note::Delivered { delivery: name });
        }
    }

    /// What is to be said next about an incident, if anything.
    fn next_word(
        &self,
        case: &Case,
        incident: &Incident,
    ) -> Option<((IncidentId, String), impl Future<Output = (IncidentId, String)> + Send + 'static)> {
        let Phase::AwaitingDecision { proposal } = &incident.phase else { return None };
        let said: &[(&str, bool)] = match case.kind {
            Kind::Approved | Kind::Rollback | Kind::Legacy | Kind::Poison => &[("alice", true)],
            Kind::TwoPeople => &[("alice", true), ("alice again", true), ("bob", true)],
            Kind::Rejected => &[("alice", false)],
            Kind::TooLate => &[("alice late", true)],
            Kind::Unknown | Kind::Heals | Kind::Auto => &[],
        };
        let request = |who: &str| format!("{who}@{}", proposal.digest.short());
        let next =
            said.iter().find(|(who, _)| !self.answered.contains(&(incident.id.clone(), request(who))))?;
        let word = Word {
            incident: incident.id.clone(),
            by: format!("token:{}", next.0.split(' ').next().unwrap_or_default()),
            request: request(next.0),
            approves: next.1,
            plan: proposal.digest.clone(),
            expires_at: proposal.expires_at,
        };
        let not_before = self.moment(case, proposal);
        let speaker =
            Speaker { desk: self.desk.clone(), clock: self.clock.clone(), outside: self.outside.clone() };
        Some(((incident.id.clone(), word.request.clone()), speaker.say(word, not_before)))
    }

    /// A word that is too late comes a millisecond after the proposal has lapsed, before anybody noticed.
    fn moment(&self, case: &Case, proposal: &Proposal) -> TimestampMs {
        match case.kind {
            Kind::TooLate => proposal.expires_at.after_ms(1),
            _ => self.clock.now(),
        }
    }
}

struct Speaker {
    desk: Desk,
    clock: Arc<dyn Clock>,
    outside: Arc<Outside>,
}

impl Speaker {
    /// Says it until there is an answer.
    async fn say(self, word: Word, not_before: TimestampMs) -> (IncidentId, String) {
        self.clock.sleep(not_before.since_ms(self.clock.now())).await;
        self.outside.set_time(self.clock.now());
        self.outside.note(Note::Asked(word.clone()));
        let by = Principal::new(word.by.clone());
        loop {
            let kind = if word.approves {
                EventKind::Approved {
                    approval: Approval {
                        id: ApprovalId::new(word.request.clone()),
                        principal: by.clone(),
                        plan: word.plan.clone(),
                        at: self.clock.now(),
                    },
                }
            } else {
                EventKind::Rejected { by: by.clone(), reason: "not tonight".to_owned() }
            };
            let told =
                self.desk.tell(&word.incident, kind, "test", by.clone(), Some(word.request.clone())).await;
            let answer = match told {
                Ok(_) => "told".to_owned(),
                // Not an answer to the word: the daemon takes none until it was restarted.
                Err(DeskError::Refused(Refusal::SafeMode { .. })) => {
                    self.clock.sleep(1_000).await;
                    continue;
                }
                Err(DeskError::Refused(refusal)) => refusal.code().to_owned(),
                Err(_) => {
                    self.clock.sleep(1_000).await;
                    continue;
                }
            };
            self.outside.set_time(self.clock.now());
            let key = (word.incident.clone(), word.request.clone());
            self.outside.note(Note::Answered { word, answer });
            return key;
        }
    }
}
