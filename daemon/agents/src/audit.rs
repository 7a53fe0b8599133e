//! Audit records that the shell makes: what core cannot know because it happened in the world.

use crate::world::World;
use medic_core::audit::AuditRecord;
use medic_core::{Fault, IncidentId, Permit};
use medic_ports::tools::ToolOutput;
use serde_json::json;

/// The host's decisions since they were last taken, one record each.
pub(crate) fn host_calls(world: &World) -> Vec<AuditRecord> {
    let at = world.now();
    let record = |call: medic_ports::tools::HostCallRecord| AuditRecord {
        at,
        incident: Some(IncidentId::new(call.incident)),
        actor: format!("tool:{}", call.plugin),
        kind: "host_call".to_owned(),
        subject: format!("{} {}", call.function, call.subject),
        rule: Some(call.rule),
        detail: json!({ "tool": call.tool, "allowed": call.allowed }),
    };
    world.ports.tools.take_host_calls().into_iter().map(record).collect()
}

/// One tool run of the reading kind, with the host calls it made.
pub(crate) fn tool_run(
    world: &World,
    permit: &Permit,
    by: &str,
    output: &Result<ToolOutput, Fault>,
) -> Vec<AuditRecord> {
    let mut records = host_calls(world);
    let outcome = match output {
        Ok(output) => json!({ "ok": true, "digest": medic_core::Digest::of(output) }),
        Err(fault) => json!({ "ok": false, "code": fault.code }),
    };
    records.push(AuditRecord {
        at: world.now(),
        incident: Some(permit.incident().clone()),
        actor: by.to_owned(),
        kind: "tool".to_owned(),
        subject: permit.call().tool.to_string(),
        rule: None,
        detail: json!({
            "category": permit.category(),
            "component": permit.digest(),
            "args": medic_core::Digest::of_bytes(permit.call().args_json.as_bytes()),
            "outcome": outcome,
        }),
    });
    records
}
