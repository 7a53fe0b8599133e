//! From core's nouns to `medic.v1` and back: the only place that sees both.
//!
//! Never decides: a conversion out of core is total, one into core checks nothing but the form.

mod incident;
mod knowledge;
mod logs;
mod mailboxes;
mod plan;
mod report;

pub use incident::{diagnosis, incident, sighting, summary};
pub use knowledge::{
    difference, found, knowledge_stats, reread, search_query, shelved, shown, versions as knowledge_versions,
};
pub use logs::{log_query, log_report};
pub use mailboxes::{mailboxes, settled, whole_letter};
pub use report::{audit_record, copied, executed, plugin, status, tool, verification};

use super::operations::DiagnosisView;
use super::problem::Problem;
use medic_agents::desk::{ManualIncident, Told};
use medic_core::tool::ToolCall;
use medic_core::{IncidentId, Labels, PhaseName, ToolName};
use medic_ports::journal::IncidentFilter;
use medic_proto::v1;

/// Incidents of one page when the caller names no number.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 500;

pub fn told(told: Told) -> v1::DecisionResponse {
    v1::DecisionResponse {
        incident_id: told.incident.to_string(),
        revision: told.revision,
        phase: told.phase.to_string(),
    }
}

pub fn diagnosis_view(view: &DiagnosisView) -> v1::DiagnoseResponse {
    v1::DiagnoseResponse {
        incident_id: view.incident.to_string(),
        revision: view.revision,
        phase: view.phase.to_string(),
        diagnosis: view.diagnosis.as_ref().map(diagnosis),
        evidence: view.evidence.iter().map(incident::evidence).collect(),
    }
}

/// # Errors
/// `INVALID_ID`.
pub fn incident_id(text: &str) -> Result<IncidentId, Problem> {
    // Ids are ULIDs; the form is checked so that hostile text never becomes a key or a line of a log.
    let sound =
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if sound {
        Ok(IncidentId::new(text))
    } else {
        Err(Problem::invalid("INVALID_ID", "an incident id is 1 to 64 letters, digits and dashes")
            .at("incident_id"))
    }
}

/// The empty string names none.
pub fn optional_incident_id(text: &str) -> Result<Option<IncidentId>, Problem> {
    if text.is_empty() { Ok(None) } else { incident_id(text).map(Some) }
}

/// # Errors
/// `INVALID_PHASE`, `INVALID_ID`.
pub fn filter(request: &v1::ListIncidentsRequest) -> Result<IncidentFilter, Problem> {
    let phase = match request.phase.as_str() {
        "" => None,
        word => {
            let known = PhaseName::ALL.into_iter().find(|phase| phase.as_str().eq_ignore_ascii_case(word));
            Some(known.ok_or_else(|| {
                let names: Vec<&str> = PhaseName::ALL.iter().map(|phase| phase.as_str()).collect();
                Problem::invalid("INVALID_PHASE", format!("a phase is one of {}", names.join(", ")))
                    .at("phase")
            })?)
        }
    };
    let before = match request.before.as_str() {
        "" => None,
        id => Some(incident_id(id)?),
    };
    let limit = match request.limit as usize {
        0 => PAGE_DEFAULT,
        limit => limit.min(PAGE_MAX),
    };
    Ok(IncidentFilter { live_only: request.live_only, phase, before, limit })
}

pub fn page(filter: &IncidentFilter, incidents: &[medic_core::Incident]) -> v1::ListIncidentsResponse {
    let full = incidents.len() >= filter.limit;
    let next = incidents.last().filter(|_| full).map(|last| last.id.to_string()).unwrap_or_default();
    v1::ListIncidentsResponse { incidents: incidents.iter().map(summary).collect(), next }
}

pub fn manual(request: v1::CreateIncidentRequest) -> ManualIncident {
    ManualIncident {
        title: request.title,
        labels: Labels(request.labels),
        annotations: Labels(request.annotations),
        request_id: request.request_id,
    }
}

/// # Errors
/// `INVALID_ARGUMENTS` when the arguments are not a JSON object.
pub fn call(tool: &str, args_json: &str) -> Result<ToolCall, Problem> {
    let text = if args_json.is_empty() { "{}" } else { args_json };
    let args: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).map_err(|error| {
        Problem::invalid("INVALID_ARGUMENTS", format!("the arguments are no JSON object: {error}")).at("args")
    })?;
    // Written anew: keys sorted, so that the same arguments have the same digest.
    Ok(ToolCall { tool: ToolName::new(tool), args_json: serde_json::Value::Object(args).to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_canonical_and_only_an_object_is_taken() {
        assert_eq!(call("t", r#"{ "b": 1, "a": [2.50] }"#).unwrap().args_json, r#"{"a":[2.5],"b":1}"#);
        assert_eq!(call("t", "").unwrap().args_json, "{}");
        for bad in ["[]", "null", "1", "{", "\"x\""] {
            assert_eq!(call("t", bad).unwrap_err().code, "INVALID_ARGUMENTS", "{bad}");
        }
    }

    #[test]
    fn page_sizes_are_bounded_and_phases_named() {
        let filtered = |limit: u32, phase: &str| {
            filter(&v1::ListIncidentsRequest { limit, phase: phase.into(), ..Default::default() })
        };
        assert_eq!(filtered(0, "").unwrap().limit, 50);
        assert_eq!(filtered(u32::MAX, "").unwrap().limit, 500);
        assert_eq!(filtered(1, "awaiting_decision").unwrap().phase, Some(PhaseName::AwaitingDecision));
        assert_eq!(filtered(1, "NAPPING").unwrap_err().code, "INVALID_PHASE");
    }

    #[test]
    fn hostile_ids_never_become_keys() {
        assert!(incident_id("01JDZ5Y8K3").is_ok());
        for bad in ["", "../x", "a\nb", "a/b", "é", &"x".repeat(65)] {
            incident_id(bad).unwrap_err();
        }
    }
}
