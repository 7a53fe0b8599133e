//! Diagnoser: weighs findings into hypotheses, asks the runbooks, hears a model when there is one, and concludes or says
//! that it does not know. Never acts, and never believes a claim without evidence.

mod advice;
mod origin;
mod reflect;

use crate::reply::result;
use crate::shell::{WorkError, Worker};
use crate::world::World;
use async_trait::async_trait;
use medic_core::diagnosis::{Citation, Diagnosis, Hypothesis, HypothesisSource, Reference, Verdict};
use medic_core::event::EventKind;
use medic_core::evidence::{Bearing, Confidence, Evidence, EvidenceSource};
use medic_core::mail::{Address, Body, Envelope};
use medic_core::{Component, Digest, Effect, EvidenceId, HypothesisId, Incident, TimeRange};
use medic_ports::journal::{Batch, Slot};
use medic_ports::knowledge::KnowledgeQuery;
use medic_signals::correlate::{
    self, Candidate, Indication, IndicationKind, RankOptions, RcaInput, Verdict as Ranked,
};
use medic_signals::topology::Topology;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Incidents diagnosed side by side. 64: the slow part is waiting for a model.
const CONCURRENCY: usize = 64;
/// Beyond diagnosis' own deadline, which escalates: what comes later is of no use to anybody.
const SLACK_MS: u64 = 15_000;
/// Hypotheses kept. 8: beyond that nobody reads.
const HYPOTHESES_MAX: usize = 8;
/// A specific finding weaker than this does not explain away that the component is slow or fails. 0.3: half of what an
/// indicator of middling weight gives when it shows clearly.
const SPECIFIC_MIN: f64 = 0.3;
/// Runbook passages referred to.
const REFERENCES_MAX: usize = 4;

pub(crate) struct Diagnoser {
    pub world: Arc<World>,
}

#[async_trait]
impl Worker for Diagnoser {
    fn address(&self) -> Address {
        Address::Diagnoser
    }
    fn concurrency(&self) -> usize {
        CONCURRENCY
    }
    fn patience_ms(&self, _: &Envelope) -> u64 {
        self.world.policy.diagnose_deadline_ms.saturating_add(SLACK_MS)
    }

    async fn handle(&self, envelopes: &[Envelope]) -> Result<(), WorkError> {
        for envelope in envelopes {
            let mut batch = Batch { consumed: vec![Slot::of(envelope)], ..Batch::default() };
            if let Body::Order { id, effect: Effect::Diagnose { iteration } } = &envelope.body
                && let Some(incident) = self.world.ports.journal.incident(&id.incident)?
                && incident.phase.awaiting() == Some(id)
            {
                let (diagnosis, evidence) = self.diagnose(&incident, *iteration).await;
                let kind =
                    EventKind::Diagnosed { effect: id.clone(), diagnosis: Box::new(diagnosis), evidence };
                batch.letters.push(result(envelope, kind, self.world.now()));
            }
            self.world.ports.journal.commit(batch).await?;
        }
        Ok(())
    }
}

impl Diagnoser {
    async fn diagnose(&self, incident: &Incident, iteration: u32) -> (Diagnosis, Vec<Evidence>) {
        let input = self.input(incident).await;
        // Our own threshold decides, in core; the ranking's is only its default.
        let options = RankOptions {
            confidence_min: self.world.policy.confidence_min.value(),
            ..RankOptions::default()
        };
        let ranking = correlate::rank(&input, &options);
        let mut hypotheses: Vec<Hypothesis> = ranking
            .candidates
            .iter()
            .filter(|candidate| self.world.taxonomy.category(&candidate.category).is_some())
            .take(HYPOTHESES_MAX)
            .enumerate()
            .map(|(n, candidate)| self.hypothesis(iteration, n, candidate))
            .collect();
        origin::weigh(&mut hypotheses, incident, iteration);
        hypotheses.sort_by(|a, b| b.confidence.value().total_cmp(&a.confidence.value()));
        hypotheses.truncate(HYPOTHESES_MAX);
        let abstained = match ranking.verdict {
            Ranked::Abstained { reason } => Some(reason),
            Ranked::Concluded => None,
        };

        let mut evidence = Vec::new();
        let (references, knowledge_version) =
            self.consult(incident, iteration, &hypotheses, &mut evidence).await;
        let mut critiques = reflect::on(&mut hypotheses, incident);
        let model_note = match &self.world.ports.model {
            Some(model) => {
                let heard = advice::hear(&self.world, &**model, incident, &hypotheses, iteration).await;
                critiques.extend(heard.critiques);
                // A model adds to the list below everything that rests on findings; it moves nothing up.
                hypotheses.extend(heard.hypotheses);
                Some(heard.note)
            }
            None => None,
        };
        hypotheses.sort_by(|a, b| b.confidence.value().total_cmp(&a.confidence.value()));
        let verdict = self.verdict(&hypotheses, abstained);
        let diagnosis = Diagnosis {
            iteration,
            hypotheses,
            verdict,
            critiques,
            references,
            knowledge_version,
            model_note,
        };
        (diagnosis, evidence)
    }

    async fn input(&self, incident: &Incident) -> RcaInput {
        let specific: BTreeSet<&Component> = incident
            .findings
            .iter()
            .filter(|finding| finding.bearing == Bearing::Cause && finding.strength.value() >= SPECIFIC_MIN)
            .filter(|finding| !self.is_generic(&finding.category))
            .map(|finding| &finding.component)
            .collect();
        let indications = incident
            .findings
            .iter()
            .filter(|finding| !crate::origin::is_about(finding))
            .map(|finding| Indication {
                id: finding.evidence.to_string(),
                component: finding.component.to_string(),
                category: finding.category.clone(),
                strength: finding.strength.value(),
                onset_ms: finding.onset.map(|at| at.0),
                onset_uncertainty_ms: finding.onset_uncertainty_ms,
                kind: match finding.bearing {
                    Bearing::Cause
                        if specific.contains(&finding.component) && self.is_generic(&finding.category) =>
                    {
                        IndicationKind::Symptom
                    }
                    Bearing::Cause => IndicationKind::Cause,
                    Bearing::Symptom => IndicationKind::Symptom,
                },
                note: finding.statement.clone(),
            })
            .collect();
        let labels = &self.world.grouping.component_labels;
        let mut alerted: Vec<String> =
            incident.firing().filter_map(|t| t.alert.component(labels)).map(|c| c.to_string()).collect();
        alerted.sort();
        alerted.dedup();
        RcaInput { indications, topology: topology(&self.world).await, alerted, now_ms: self.world.wall().0 }
    }

    fn is_generic(&self, category: &str) -> bool {
        self.world.taxonomy.category(category).is_some_and(|category| category.generic)
    }

    fn hypothesis(&self, iteration: u32, n: usize, candidate: &Candidate) -> Hypothesis {
        let component = Component::from(candidate.component.as_str());
        let cite = |cited: &correlate::Cited| Citation {
            evidence: EvidenceId::new(cited.id.clone()),
            why: cited.why.clone(),
        };
        let statement = self
            .world
            .taxonomy
            .category(&candidate.category)
            .map(|category| category.statement_for(&component))
            .unwrap_or_else(|| format!("{} at {component}", candidate.category));
        Hypothesis {
            id: HypothesisId::new(format!("h{iteration}-{}", n + 1)),
            component,
            category: candidate.category.clone(),
            statement,
            confidence: Confidence::new(candidate.confidence),
            supporting: candidate.supporting.iter().map(cite).collect(),
            against: candidate.against.iter().map(cite).collect(),
            source: HypothesisSource::Rule,
        }
    }

    fn verdict(&self, hypotheses: &[Hypothesis], abstained: Option<String>) -> Verdict {
        let minimum = self.world.policy.confidence_min;
        match hypotheses.iter().find(|hypothesis| hypothesis.source == HypothesisSource::Rule) {
            None => Verdict::Abstained {
                reason: abstained
                    .unwrap_or_else(|| "nothing that was looked at points to a known cause".to_owned()),
            },
            Some(best) if best.confidence < minimum => Verdict::Abstained {
                reason: match abstained {
                    Some(reason) => format!("the best guess is that {}, but {reason}", best.statement),
                    None => format!(
                        "the best guess is that {} with confidence {}, the minimum is {minimum}",
                        best.statement, best.confidence
                    ),
                },
            },
            Some(best) => Verdict::Concluded { hypothesis: best.id.clone() },
        }
    }

    /// Asks the runbooks about the alerts and the best hypotheses. What they say is shown and cited; it raises no
    /// confidence: a runbook describes a fault, it does not observe one.
    async fn consult(
        &self,
        incident: &Incident,
        iteration: u32,
        hypotheses: &[Hypothesis],
        evidence: &mut Vec<Evidence>,
    ) -> (Vec<Reference>, Option<String>) {
        let Some(knowledge) = &self.world.ports.knowledge else { return (Vec::new(), None) };
        let mut text: Vec<String> = incident.firing().map(|t| t.alert.name().to_owned()).collect();
        text.sort();
        text.dedup();
        text.extend(hypotheses.first().map(|best| format!("{} {}", best.category, best.statement)));
        let query = KnowledgeQuery { text: text.join(" "), service: None, limit: REFERENCES_MAX };
        let answer = match knowledge.search(&query).await {
            Ok(answer) if answer.insufficient.is_none() => answer,
            Ok(answer) => return (Vec::new(), Some(answer.version)),
            Err(fault) => {
                tracing::warn!(incident = %incident.id, %fault, "knowledge could not be asked");
                return (Vec::new(), None);
            }
        };
        let now = self.world.now();
        let mut references = Vec::new();
        for (n, passage) in answer.passages.iter().take(REFERENCES_MAX).enumerate() {
            references.push(Reference {
                document: passage.document.clone(),
                title: passage.title.clone(),
                heading: passage.heading.clone(),
                score: passage.score,
            });
            evidence.push(Evidence {
                id: EvidenceId::new(format!("k{iteration}-{}", n + 1)),
                source: EvidenceSource::Knowledge,
                query: query.text.clone(),
                window: TimeRange::new(now, now),
                digest: Digest::of_bytes(passage.text.as_bytes()),
                summary: format!("{} — {} ({})", passage.title, passage.heading, passage.matched),
                excerpt: medic_signals::redact::redact(&passage.text).text,
            });
        }
        (references, Some(answer.version))
    }
}

/// Who calls whom, from configuration and from the metrics as they are now. A query that fails leaves its edges out:
/// ranking then knows less and says so through its confidence.
pub(crate) async fn topology(world: &World) -> Topology {
    let mut topology = Topology::default();
    for (caller, callee) in &world.taxonomy.static_edges {
        topology.add_edge(caller.clone(), callee.clone());
    }
    for edge in &world.taxonomy.edges {
        match world.ports.metrics.query(&edge.promql, None).await {
            Err(fault) => tracing::warn!(%fault, query = edge.promql, "the call graph could not be asked"),
            Ok(samples) => {
                for sample in samples {
                    if let (Some(caller), Some(callee)) =
                        (sample.labels.get(&edge.caller_label), sample.labels.get(&edge.callee_label))
                    {
                        topology.add_edge(caller, callee);
                    }
                }
            }
        }
    }
    topology
}
