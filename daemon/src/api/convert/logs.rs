//! What logs said.

use crate::api::operations::{LogsAnswered, LogsReported};
use medic_proto::v1;
use medic_signals::logs::analyze::{AnomalyKind, EvidenceLine, LogAnomaly};
use medic_signals::logs::sessions::{SessionAnomaly, SessionReport};

pub fn log_report(reported: LogsReported) -> v1::AnalyzeLogsResponse {
    let LogsReported { report, stats, baseline_lines, notes } = reported;
    v1::AnalyzeLogsResponse {
        summary: report.summary.clone(),
        lines: stats.lines,
        broken: report.broken,
        bytes: stats.bytes,
        report_json: serde_json::to_string(&report).unwrap_or_default(),
        anomalies: report.anomalies.iter().map(anomaly).collect(),
        sessions: report.sessions.as_ref().map(sessions),
        onset_ms: report.onset_ms,
        records: stats.records,
        baseline_lines,
        notes,
    }
}

fn anomaly(anomaly: &LogAnomaly) -> v1::LogAnomaly {
    let kind = match anomaly.kind {
        AnomalyKind::NewTemplate => "new_template",
        AnomalyKind::MoreFrequent => "more_frequent",
        AnomalyKind::LessFrequent => "less_frequent",
    };
    v1::LogAnomaly {
        kind: kind.to_owned(),
        score: anomaly.score,
        service: anomaly.service.clone(),
        template_id: anomaly.id.to_string(),
        template: anomaly.template.clone(),
        reason: anomaly.reason.clone(),
        first_ms: anomaly.first_ms,
        evidence: anomaly.evidence.iter().map(evidence).collect(),
    }
}

fn evidence(line: &EvidenceLine) -> v1::LogEvidence {
    v1::LogEvidence { line: line.line, text: line.text.clone() }
}

fn sessions(report: &SessionReport) -> v1::LogSessions {
    let told = |anomaly: &SessionAnomaly| v1::LogSessionAnomaly {
        entity: anomaly.entity.clone(),
        score: anomaly.score,
        reason: anomaly.reason.clone(),
        lines: anomaly.lines,
        first_ms: anomaly.first_ms,
        evidence: anomaly.evidence.iter().map(evidence).collect(),
    };
    v1::LogSessions {
        kind: report.kind.clone(),
        entities: report.entities,
        entities_dropped: report.entities_dropped,
        anomalous: report.anomalous,
        anomalies: report.anomalies.iter().map(told).collect(),
    }
}

pub fn log_query(answered: LogsAnswered) -> v1::QueryLogsResponse {
    let line = |line: medic_ports::logs::LogLine| v1::LogLine {
        at_ms: line.at.map(|at| at.0),
        labels: line.labels.0,
        line: line.line,
    };
    let groups = answered.groups.into_iter().map(|group| v1::LogGroup {
        name: group.name,
        count: group.count,
        text: group.text,
    });
    v1::QueryLogsResponse {
        understood: answered.query.to_string(),
        not_understood: answered.query.not_understood.clone(),
        query_json: serde_json::to_string(&answered.query).unwrap_or_default(),
        window_start_ms: answered.window.start.0,
        window_end_ms: answered.window.end.0,
        lines: answered.lines.into_iter().map(line).collect(),
        dropped: answered.dropped,
        matched: answered.matched,
        groups: groups.collect(),
        ungrouped: answered.ungrouped,
        model_note: answered.model_note,
        notes: answered.notes,
    }
}
