//! Reads metrics and logs around the onset and turns them into findings. Side by side and bounded; what cannot be read
//! becomes a gap, never silence.

use super::{localization, log_findings, metric_findings, survey};
use crate::reply::result;
use crate::shell::WorkError;
use crate::world::World;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use medic_core::event::EventKind;
use medic_core::evidence::{Bearing, Confidence, Evidence, EvidenceSource, Finding, Gap};
use medic_core::mail::{Body, Envelope};
use medic_core::{Digest, Effect, EvidenceId, Fault, FaultKind, Incident, TimeRange, TimestampMs};
use medic_ports::journal::{Batch, Slot};

/// Queries open at once for one incident. 8: a Prometheus runs 20 by default, and others ask too.
const QUERIES_MAX: usize = 8;
/// Looked at before the first alert. 15 min: an alert comes late, and what is usual must be seen too.
const LOOKBACK_MS: u64 = 15 * 60 * 1000;

/// How long one waits for its turn among those that are analysed. 30 s: a storm's last are told of as such.
const TURN_WAIT_MS: u64 = 30_000;

/// What gathering collects; ids are given in order of arrival in the final list.
#[derive(Default)]
pub(super) struct Collected {
    pub evidence: Vec<(Evidence, Vec<Finding>)>,
    pub gaps: Vec<Gap>,
    /// Series of metrics that were answered and believed.
    pub series: usize,
}

impl Collected {
    pub fn gap(&mut self, query: impl Into<String>, fault: &Fault) {
        self.gaps.push(Gap { query: query.into(), code: fault.code.clone(), detail: fault.message.clone() });
    }
    pub fn merge(&mut self, other: Self) {
        self.evidence.extend(other.evidence);
        self.gaps.extend(other.gaps);
        self.series += other.series;
    }
}

pub(super) async fn run(world: &World, envelopes: &[Envelope]) -> Result<(), WorkError> {
    for envelope in envelopes {
        let mut batch = Batch { consumed: vec![Slot::of(envelope)], ..Batch::default() };
        if let Body::Order { id, effect: Effect::Gather { not_before } } = &envelope.body
            && let Some(incident) = world.ports.journal.incident(&id.incident)?
            && incident.phase.awaiting() == Some(id)
        {
            world.ports.clock.sleep(not_before.since_ms(world.now())).await;
            let (evidence, findings, gaps) = look(world, &incident).await;
            let kind = EventKind::Gathered { effect: id.clone(), evidence, findings, gaps };
            batch.letters.push(result(envelope, kind, world.now()));
        }
        world.ports.journal.commit(batch).await?;
    }
    Ok(())
}

async fn look(world: &World, incident: &Incident) -> (Vec<Evidence>, Vec<Finding>, Vec<Gap>) {
    // The window is a question to others, who go by the machine's time.
    let now = world.wall();
    let alert_at = incident.first_alert_at().min(now);
    let window = TimeRange::new(alert_at.before_ms(LOOKBACK_MS), now);
    let mut collected = alerts(world, incident, window);

    let mut queries: Vec<BoxFuture<'_, Collected>> = Vec::new();
    for category in &world.taxonomy.categories {
        for indicator in &category.indicators {
            queries.push(metric_findings::of_indicator(world, category, indicator, alert_at, window).boxed());
        }
    }
    let asked = queries.len();
    let indicators = futures::stream::iter(queries).buffered(QUERIES_MAX).collect::<Vec<Collected>>();
    // Side by side: each is bounded by itself, and a diagnosis waits for the slowest.
    let (metrics, analysed) = tokio::join!(indicators, analyse(world, incident, alert_at, window));
    for found in metrics {
        collected.merge(found);
    }
    collected.merge(metric_findings::of_expressions(world, incident, window).await);
    if asked > 0 && collected.series == 0 && collected.gaps.is_empty() {
        // Somebody's rule has just fired on metrics: that there are none at all is nothing to conclude from.
        let what = format!("{asked} queries were answered with nothing at all");
        collected.gap("all metrics", &Fault::new(FaultKind::Malformed, "METRICS_EMPTY", what));
    }
    collected.merge(analysed);
    number(collected, incident.iteration + 1, world.policy.evidence_max as usize)
}

/// What the logs say that is new, and where raw series say that it began. Both are held in memory meanwhile, so that the
/// incidents of a storm take turns.
async fn analyse(world: &World, incident: &Incident, alert_at: TimestampMs, window: TimeRange) -> Collected {
    let turn = tokio::select! {
        turn = world.analyses.acquire() => turn.ok(),
        () = world.ports.clock.sleep(TURN_WAIT_MS) => None,
    };
    let Some(_turn) = turn else {
        let mut collected = Collected::default();
        let busy = "other incidents were being analysed all the while";
        collected.gap("logs, raw series", &Fault::new(FaultKind::Timeout, "ANALYSIS_BUSY", busy));
        return collected;
    };
    let (surveyed, (mut logs, records)) = tokio::join!(
        survey::run(world, incident, alert_at, window.end),
        log_findings::look(world, incident, window)
    );
    logs.merge(localization::look(world, incident, alert_at, surveyed, records).await);
    logs
}

/// The alerts themselves: somebody's rule says that this component hurts.
fn alerts(world: &World, incident: &Incident, window: TimeRange) -> Collected {
    let mut collected = Collected::default();
    for tracked in incident.firing() {
        let alert = &tracked.alert;
        let summary = format!("{} fires ({:?})", alert.name(), alert.severity());
        let excerpt = medic_signals::redact::redact(&format!("{:?}", alert.annotations.0)).text;
        let evidence = Evidence {
            id: EvidenceId::new(""),
            source: EvidenceSource::Alert,
            query: alert.fingerprint.to_string(),
            window,
            digest: Digest::of(alert),
            summary: summary.clone(),
            excerpt,
        };
        let finding = |category: &str, bearing: Bearing, strength: f64| {
            alert.component(&world.grouping.component_labels).map(|component| Finding {
                evidence: EvidenceId::new(""),
                component,
                category: category.to_owned(),
                bearing,
                strength: Confidence::new(strength),
                onset: None,
                onset_uncertainty_ms: 0,
                statement: summary.clone(),
            })
        };
        let hurts = finding("alert", Bearing::Symptom, 0.6);
        let told = world.taxonomy.of_alert(alert.name());
        let tells = told.and_then(|(category, weight)| finding(&category.name, Bearing::Cause, weight));
        collected.evidence.push((evidence, hurts.into_iter().chain(tells).collect()));
    }
    collected
}

/// Gives each piece its id, strongest findings first when the limit cuts.
fn number(
    mut collected: Collected,
    round: u32,
    evidence_max: usize,
) -> (Vec<Evidence>, Vec<Finding>, Vec<Gap>) {
    let strength = |findings: &[Finding]| findings.iter().map(|f| f.strength.value()).fold(0.0, f64::max);
    if collected.evidence.len() > evidence_max {
        collected.evidence.sort_by(|(_, a), (_, b)| strength(b).total_cmp(&strength(a)));
        let cut = collected.evidence.split_off(evidence_max).len();
        collected.gaps.push(Gap {
            query: "all".to_owned(),
            code: "EVIDENCE_LIMIT".to_owned(),
            detail: format!("{cut} weaker pieces of evidence were left out"),
        });
    }
    let (mut evidence, mut findings) = (Vec::new(), Vec::new());
    for (n, (mut piece, found)) in collected.evidence.into_iter().enumerate() {
        piece.id = EvidenceId::new(format!("e{round}-{}", n + 1));
        findings.extend(found.into_iter().map(|finding| Finding { evidence: piece.id.clone(), ..finding }));
        evidence.push(piece);
    }
    (evidence, findings, collected.gaps)
}
