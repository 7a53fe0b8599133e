//! DESTRUCTIVE: deletes a volume claim or a stuck pod of a Kubernetes cluster.

mod pod;
mod pvc;

pub use pod::DeletePodForce;
pub use pvc::DeletePvc;

use medic_sdk::prelude::*;

medic_sdk::export_destructive_tools!(DeletePvc, DeletePodForce);

/// Healthy when the object that was meant is no longer there.
fn gone(host: &DiagnosticHost, target: &ResourceRef, uid: Option<&str>) -> ToolResult<Verdict> {
    let what = format!("{} {}", target.kind, target.name);
    match host.kubernetes().get(target) {
        Err(HostError { kind: HostErrorKind::NotFound, .. }) => {
            Ok(Verdict::healthy(format!("{what} is gone")))
        }
        Err(HostError { kind: HostErrorKind::Upstream | HostErrorKind::Timeout, message, .. }) => {
            Ok(Verdict::unknown(message))
        }
        Err(error) => Err(error.into()),
        Ok(text) => Ok(match medic_sdk::kubernetes::Object::parse(&text) {
            Ok(object) if uid.is_some_and(|uid| object.text("/metadata/uid") != uid) => {
                Verdict::healthy(format!("{what} is gone, another of its name is there"))
            }
            Ok(object) if !object.text("/metadata/deletionTimestamp").is_empty() => {
                Verdict::unknown(format!("{what} is going"))
            }
            Ok(_) => Verdict::degraded(format!("{what} is still there")),
            Err(error) => Verdict::unknown(error.message),
        }),
    }
}
