//! Tools, audit and the daemon's own state.

use crate::api::conditions::meaning;
use crate::api::operations::{ChainReport, StatusView, StoreCopied};
use medic_agents::desk::Execution;
use medic_core::ToolDescriptor;
use medic_core::audit::ChainedRecord;
use medic_ports::tools::RejectedPlugin;
use medic_proto::v1;

pub fn tool(tool: &ToolDescriptor) -> v1::Tool {
    v1::Tool {
        name: tool.name.to_string(),
        plugin: tool.plugin.clone(),
        digest: tool.digest.to_string(),
        category: tool.category.to_string(),
        title: tool.title.clone(),
        description: tool.description.clone(),
        input_schema: tool.input_schema.clone(),
        imports: tool.imports.clone(),
        granted: tool.granted.clone(),
    }
}

pub fn plugin(rejected: &RejectedPlugin) -> v1::RejectedPlugin {
    v1::RejectedPlugin {
        file: rejected.file.clone(),
        code: rejected.code.clone(),
        reason: rejected.reason.clone(),
    }
}

pub fn executed(execution: Execution) -> v1::ExecuteToolResponse {
    match execution {
        Execution::Output(output) => v1::ExecuteToolResponse {
            output: Some(v1::ToolOutput {
                summary: output.summary,
                data_json: output.data_json,
                artifacts: output.artifacts,
            }),
            proposed_incident_id: None,
        },
        Execution::Proposed(incident) => {
            v1::ExecuteToolResponse { output: None, proposed_incident_id: Some(incident.to_string()) }
        }
    }
}

pub fn audit_record(chained: &ChainedRecord) -> v1::AuditRecord {
    let record = &chained.record;
    v1::AuditRecord {
        seq: chained.seq,
        hash: chained.hash.to_string(),
        at_ms: record.at.0,
        incident_id: record.incident.as_ref().map(ToString::to_string),
        actor: record.actor.clone(),
        kind: record.kind.clone(),
        subject: record.subject.clone(),
        rule: record.rule.clone(),
        detail_json: record.detail.to_string(),
        export_line: serde_json::to_string(chained).unwrap_or_default(),
    }
}

pub fn verification(report: &ChainReport) -> v1::VerifyAuditResponse {
    v1::VerifyAuditResponse {
        intact: report.fault.is_none(),
        records: report.records,
        head_seq: report.head.seq,
        head_hash: report.head.hash.to_string(),
        fault: report.fault.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

pub fn status(view: StatusView) -> v1::GetStatusResponse {
    let status = view.status;
    let journal = status.journal;
    v1::GetStatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_ms: status.started_at.0,
        now_ms: view.now.0,
        safe_mode: status.safe_mode,
        ready: view.not_ready_because.is_empty(),
        not_ready_because: view.not_ready_because,
        actors: status
            .actors
            .into_iter()
            .map(|actor| v1::Actor {
                name: actor.name,
                state: actor.state,
                restarts: actor.restarts,
                in_flight: actor.in_flight as u64,
                last_error: actor.last_error,
                oldest_in_flight_ms: (actor.in_flight > 0).then_some(actor.oldest_in_flight_ms),
                stuck: actor.stuck,
            })
            .collect(),
        journal: Some(v1::Journal {
            writable: journal.writable,
            low_space: journal.low_space,
            commit_seq: journal.commit_seq,
            audit_seq: journal.audit_head.seq,
            audit_hash: journal.audit_head.hash.to_string(),
            mailboxes: journal
                .mailboxes
                .into_iter()
                .map(|mailbox| v1::Mailbox {
                    name: mailbox.to.to_string(),
                    envelopes: mailbox.envelopes,
                    bytes: mailbox.bytes,
                })
                .collect(),
            dead_letters: journal.dead_letters,
            sync_ms: journal.sync_ms,
            sync_slow: journal.sync_slow,
            open_effects: journal.open_effects,
            store_id: view.store_id.unwrap_or_default(),
            latest_at_ms: journal.latest_at.0,
        }),
        live_incidents: status.live_incidents as u64,
        incidents_by_phase: view.by_phase.iter().map(|(phase, n)| (phase.to_string(), *n)).collect(),
        tools: u32::try_from(status.tools).unwrap_or(u32::MAX),
        rejected_plugins: u32::try_from(status.rejected_plugins.len()).unwrap_or(u32::MAX),
        knowledge: status.knowledge,
        prometheus: view.prometheus,
        principal: view.caller.principal.to_string(),
        role: view.caller.role.to_string(),
        model: status.model,
        stopping: status.stopping,
        boot: Some(v1::Boot {
            epoch: status.boot.epoch,
            unclean_in_a_row: status.boot.unclean_in_a_row,
            restored: status.boot.restored,
        }),
        conditions: status
            .conditions
            .into_iter()
            .map(|condition| v1::Condition {
                meaning: meaning(&condition.code).to_owned(),
                code: condition.code,
                since_ms: condition.since.0,
                detail: condition.detail,
                healed_at_ms: condition.healed_at.map(|at| at.0),
            })
            .collect(),
    }
}

pub fn copied(copied: StoreCopied) -> v1::BackupStoreResponse {
    v1::BackupStoreResponse {
        to: copied.to,
        commit_seq: copied.commit_seq,
        audit_seq: copied.audit_head.seq,
        audit_hash: copied.audit_head.hash.to_string(),
    }
}
