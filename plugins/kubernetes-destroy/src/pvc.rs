//! Owns delete_pvc.

use medic_sdk::kubernetes::{Object, resource};
use medic_sdk::prelude::*;

use crate::gone;

const PODS_MAX: u32 = 500;
const CLAIM: &str = "claim.json";

/// Deletes a PersistentVolumeClaim, and with it, where its class says so, the data on its volume. Refused while a pod
/// uses it. It cannot be undone: what the claim asked for is kept for people, what was on the volume is not.
#[derive(Tool)]
#[tool(example(
    args = r#"{"cluster":"prod-eu","namespace":"shop","name":"scratch-old"}"#,
    when = "the quota for storage is used up by a claim that nobody uses"
))]
pub struct DeletePvc {
    /// Cluster, by its name in the grant file.
    cluster: ServiceName,
    /// Namespace of the claim.
    namespace: ObjectName,
    /// Claim to delete.
    name: ObjectName,
}

impl DeletePvc {
    fn of(&self, kind: &str, name: &str) -> ResourceRef {
        resource(self.cluster.as_str(), "v1", kind, Some(self.namespace.as_str()), name)
    }

    fn target(&self) -> ResourceRef {
        self.of("PersistentVolumeClaim", self.name.as_str())
    }

    fn user(&self, host: &DiagnosticHost) -> ToolResult<Option<String>> {
        let pods = Object::list(host, &self.of("Pod", ""), None, PODS_MAX)?;
        if pods.len() >= PODS_MAX as usize {
            let message = format!("{} has too many pods to tell whether one uses the claim", self.namespace);
            return Err(ToolError::precondition("TOO_MANY_PODS", message));
        }
        let uses = |pod: &&Object| {
            let claims = pod.items("/spec/volumes");
            claims
                .filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName")?.as_str())
                .any(|claim| claim == self.name.as_str())
        };
        Ok(pods.iter().find(uses).map(|pod| pod.name().to_owned()))
    }
}

impl Destructive for DeletePvc {
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan> {
        let target = self.target();
        let claim = Object::read(host, &target)?;
        if let Some(pod) = self.user(host)? {
            let message = format!("pod {pod} uses {}", self.name);
            return Err(ToolError::precondition("IN_USE", message));
        }
        let size = claim.text("/spec/resources/requests/storage");
        let summary = format!(
            "delete claim {}/{} of {size}, class {}, volume {}",
            self.namespace,
            self.name,
            claim.text("/spec/storageClassName"),
            claim.text("/spec/volumeName")
        );
        Ok(Plan::new(format!("{} holds {size} that no pod uses.", self.name))
            .change(Change::delete(&target, None).summary(summary)))
    }

    fn capture(&self, host: &DiagnosticHost, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
        let claim = Object::read(host, &self.target())?;
        let kept = json!({ "uid": claim.text("/metadata/uid"), "spec": claim.value("/spec") }).to_string();
        Ok(plan.steps.iter().map(|step| SnapshotItem::of(step, CLAIM, kept.clone())).collect())
    }

    fn apply(&self, host: &DestroyHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        // Looked at once more: a pod may have taken it up since it was planned.
        if let Some(pod) = self.user(host)? {
            return Err(ToolError::precondition("IN_USE", format!("pod {pod} uses {}", self.name)));
        }
        Ok(StepReport::of(step, host.kubernetes_destroy().perform_delete(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        gone(host, &self.target(), None)
    }
}
