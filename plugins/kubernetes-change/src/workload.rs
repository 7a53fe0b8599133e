//! Owns what the tools that change a Deployment have in common: finding it, and judging its rollout.

use medic_sdk::kubernetes::{Object, Rollout, resource};
use medic_sdk::prelude::*;

pub fn deployment(cluster: &ServiceName, namespace: &ObjectName, name: &ObjectName) -> ResourceRef {
    resource(cluster.as_str(), "apps/v1", "Deployment", Some(namespace.as_str()), name.as_str())
}

/// Reads a Deployment that can be changed.
///
/// # Errors
/// The host refuses, there is none, or it is paused: then nothing that is written into it happens.
pub fn running(host: &DiagnosticHost, target: &ResourceRef) -> ToolResult<Object> {
    let object = Object::read(host, target)?;
    if object.is("/spec/paused") {
        let message = format!("the rollout of {} is paused; a change would not take effect", target.name);
        return Err(ToolError::precondition("ROLLOUT_PAUSED", message));
    }
    Ok(object)
}

/// Healthy when every pod is there, new and available; degraded when the controller has given up; unknown while it works
/// or when the cluster does not answer.
///
/// # Errors
/// The host refuses.
pub fn verdict(host: &DiagnosticHost, target: &ResourceRef, replicas: Option<u64>) -> ToolResult<Verdict> {
    let object = match Object::read(host, target) {
        Ok(object) => object,
        Err(error) => return unanswered(error),
    };
    let rollout = Rollout::of(&object);
    let words = format!("{}: {rollout}", target.name);
    if replicas.is_some_and(|replicas| replicas != rollout.wanted) {
        return Ok(Verdict::degraded(format!("{words}, and somebody asked for another number since")));
    }
    Ok(match rollout {
        rollout if rollout.is_complete() => Verdict::healthy(words),
        Rollout { stuck: true, .. } => Verdict::degraded(format!("{words}, and the rollout has got stuck")),
        _ => Verdict::unknown(format!("{words}, still rolling out")),
    })
}

/// No answer is no verdict either way.
pub fn unanswered(error: ToolError) -> ToolResult<Verdict> {
    match error.kind {
        ToolErrorKind::Upstream | ToolErrorKind::Timeout => Ok(Verdict::unknown(error.message)),
        _ => Err(error),
    }
}
