//! Looks again at the own reasoning: what is cited must exist, what failed is not proposed again, what could not be seen
//! weighs on what was concluded.

use medic_core::Incident;
use medic_core::diagnosis::{Critique, Hypothesis};
use medic_core::evidence::Confidence;

/// Share of the belief that is left when every query failed. 0.5: nothing was contradicted, but nothing was checked.
const BLIND_SHARE: f64 = 0.5;

/// Corrects the hypotheses in place and says what was corrected.
pub(super) fn on(hypotheses: &mut Vec<Hypothesis>, incident: &Incident) -> Vec<Critique> {
    let mut critiques = Vec::new();
    for hypothesis in hypotheses.iter_mut() {
        hypothesis.supporting.retain(|citation| incident.find_evidence(&citation.evidence).is_some());
        hypothesis.against.retain(|citation| incident.find_evidence(&citation.evidence).is_some());
    }
    hypotheses.retain(|hypothesis| {
        let cited = !hypothesis.supporting.is_empty();
        if !cited {
            critiques.push(Critique {
                hypothesis: Some(hypothesis.id.clone()),
                text: format!("dropped \"{}\": no evidence supports it", hypothesis.statement),
            });
        }
        cited
    });
    for failed in incident.failed_remedies.iter().filter(|failed| failed.tried) {
        for hypothesis in hypotheses.iter_mut() {
            let same = failed.component.as_ref() == Some(&hypothesis.component)
                && failed.category.as_deref() == Some(hypothesis.category.as_str());
            if same {
                // Its remedy was carried out and did not help: the world has contradicted it.
                hypothesis.confidence = Confidence::new(hypothesis.confidence.value() * 0.2);
                critiques.push(Critique {
                    hypothesis: Some(hypothesis.id.clone()),
                    text: format!(
                        "its remedy was tried in round {} and did not help: {}",
                        failed.iteration, failed.why
                    ),
                });
            }
        }
    }
    let (asked, blind) = (incident.evidence.len() + incident.gaps.len(), incident.gaps.len());
    if blind > 0 {
        let share = blind as f64 / asked.max(1) as f64;
        let kept = 1.0 - (1.0 - BLIND_SHARE) * share;
        for hypothesis in hypotheses.iter_mut() {
            hypothesis.confidence = Confidence::new(hypothesis.confidence.value() * kept);
        }
        let codes: std::collections::BTreeSet<&str> =
            incident.gaps.iter().map(|gap| gap.code.as_str()).collect();
        let codes: Vec<&str> = codes.into_iter().collect();
        critiques.push(Critique {
            hypothesis: None,
            text: format!(
                "{blind} of {asked} looks failed ({}): confidence is lowered by {:.0} %",
                codes.join(", "),
                (1.0 - kept) * 100.0
            ),
        });
    }
    if incident.alerts_missing > 0 {
        critiques.push(Critique {
            hypothesis: None,
            text: format!(
                "{} alert(s) of the group are not known here: the view is partial",
                incident.alerts_missing
            ),
        });
    }
    critiques
}
