//! Owns delete_pod_force.

use medic_sdk::kubernetes::{Object, resource};
use medic_sdk::prelude::*;

use crate::gone;

/// Deletes a pod at once, without waiting for its processes to end: for a pod whose node is gone or whose deletion hangs.
/// Refused for a pod that is not being deleted. If its processes still run somewhere, they run on beside their
/// replacement: for a StatefulSet that may damage its data.
#[derive(Tool)]
#[tool(example(
    args = r#"{"cluster":"prod-eu","namespace":"shop","pod":"store-0"}"#,
    when = "a pod hangs in Terminating because its node is gone, and its replacement cannot start"
))]
pub struct DeletePodForce {
    /// Cluster, by its name in the grant file.
    cluster: ServiceName,
    /// Namespace of the pod.
    namespace: ObjectName,
    /// Pod to delete.
    pod: ObjectName,
}

impl DeletePodForce {
    fn target(&self) -> ResourceRef {
        resource(self.cluster.as_str(), "v1", "Pod", Some(self.namespace.as_str()), self.pod.as_str())
    }
}

impl Destructive for DeletePodForce {
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan> {
        let target = self.target();
        let pod = Object::read(host, &target)?;
        let since = pod.text("/metadata/deletionTimestamp");
        if since.is_empty() {
            let message =
                format!("{} is not being deleted; restart_pod replaces it in an orderly way", self.pod);
            return Err(ToolError::precondition("NOT_TERMINATING", message));
        }
        let node = pod.text("/spec/nodeName");
        let summary = format!(
            "delete pod {}/{} at once; it is on node {node} and has been going since {since}",
            self.namespace, self.pod
        );
        Ok(Plan::new(format!("{} hangs in its deletion, and nothing takes its place meanwhile.", self.pod))
            .change(Change::delete(&target, Some(0)).summary(summary)))
    }

    fn apply(&self, host: &DestroyHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.kubernetes_destroy().perform_delete(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        match host.kubernetes().get(&self.target()) {
            // A StatefulSet's pod comes back under its name.
            Ok(text) => {
                let going =
                    Object::parse(&text).map(|pod| !pod.text("/metadata/deletionTimestamp").is_empty());
                Ok(match going {
                    Ok(false) => Verdict::healthy(format!("another pod {} has taken its place", self.pod)),
                    Ok(true) => Verdict::degraded(format!("{} is still going", self.pod)),
                    Err(error) => Verdict::unknown(error.message),
                })
            }
            Err(_) => gone(host, &self.target(), None),
        }
    }
}
