//! Owns restart_pod.

use medic_sdk::kubernetes::{Object, resource};
use medic_sdk::prelude::*;

use crate::workload::unanswered;

/// Restarts one pod: it is evicted, and its controller starts another in its place. Refused for a pod that no controller
/// replaces, and where a disruption budget would be broken. There is nothing to undo.
#[derive(Tool)]
#[tool(example(
    args = r#"{"cluster":"prod-eu","namespace":"shop","pod":"checkout-6c959dc85d-vxxff"}"#,
    when = "one pod of a workload misbehaves and the others do not"
))]
pub struct RestartPod {
    /// Cluster, by its name in the grant file.
    cluster: ServiceName,
    /// Namespace of the pod.
    namespace: ObjectName,
    /// Pod to restart.
    pod: ObjectName,
}

impl RestartPod {
    fn target(&self) -> ResourceRef {
        resource(self.cluster.as_str(), "v1", "Pod", Some(self.namespace.as_str()), self.pod.as_str())
    }
}

impl Remediation for RestartPod {
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan> {
        let target = self.target();
        let pod = Object::read(host, &target)?;
        let owner = pod.items("/metadata/ownerReferences").find_map(|owner| {
            let controls = owner.get("controller").and_then(Value::as_bool) == Some(true);
            controls.then(|| Some((owner.get("kind")?.as_str()?, owner.get("name")?.as_str()?)))?
        });
        let Some((kind, name)) = owner else {
            let message = format!("no controller would start another pod in the place of {}", self.pod);
            return Err(ToolError::precondition("NOT_REPLACED", message));
        };
        let summary = format!("evict pod {}/{}, which {kind} {name} replaces", self.namespace, self.pod);
        Ok(Plan::new(format!("{} is replaced by a fresh pod of {kind} {name}.", self.pod))
            .change(Change::restart_pod(&target).summary(summary)))
    }

    fn apply(&self, host: &ChangeHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.kubernetes_change().perform_restart_pod(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        match host.kubernetes().get(&self.target()) {
            Err(HostError { kind: HostErrorKind::NotFound, .. }) => {
                Ok(Verdict::healthy(format!("{} is gone, and its controller replaces it", self.pod)))
            }
            Err(error) => unanswered(error.into()),
            Ok(text) => match Object::parse(&text) {
                // A StatefulSet's pod comes back under its name.
                Ok(pod) if pod.text("/metadata/deletionTimestamp").is_empty() => {
                    let ready = pod.items("/status/conditions").any(|condition| {
                        let is = |name: &str, value: &str| {
                            condition.get(name).and_then(Value::as_str) == Some(value)
                        };
                        is("type", "Ready") && is("status", "True")
                    });
                    Ok(match ready {
                        true => Verdict::healthy(format!("a pod {} is ready", self.pod)),
                        false => Verdict::unknown(format!("a pod {} is there and not ready yet", self.pod)),
                    })
                }
                Ok(_) => Ok(Verdict::unknown(format!("{} is still going", self.pod))),
                Err(error) => unanswered(error),
            },
        }
    }

    fn revert(&self, _: &ChangeHost, _: &Grant<'_>, step: &Step, _: Saved<'_>) -> ToolResult<StepReport> {
        Ok(StepReport::nothing(step, "the pod has been replaced; there is nothing to put back"))
    }
}
