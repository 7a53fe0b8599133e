//! Owns scale_deployment.

use medic_sdk::kubernetes::{Object, Rollout};
use medic_sdk::prelude::*;

use crate::workload;

const REPLICAS: &str = "replicas";

/// Sets the number of pods of a Deployment: cures a service that is too small for its traffic. Undone by setting the
/// number from before.
#[derive(Tool)]
#[tool(example(
    args = r#"{"cluster":"prod-eu","namespace":"shop","name":"checkout","replicas":6}"#,
    when = "every pod is busy and requests queue"
))]
pub struct ScaleDeployment {
    /// Cluster, by its name in the grant file.
    cluster: ServiceName,
    /// Namespace of the Deployment.
    namespace: ObjectName,
    /// Deployment to scale.
    name: ObjectName,
    /// Pods it shall have.
    #[arg(min = 1, max = 100)]
    replicas: u32,
}

impl ScaleDeployment {
    fn target(&self) -> ResourceRef {
        workload::deployment(&self.cluster, &self.namespace, &self.name)
    }
}

impl Remediation for ScaleDeployment {
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan> {
        let (target, name, replicas) = (self.target(), &self.name, self.replicas);
        let present = Rollout::of(&Object::read(host, &target)?).wanted;
        if present == u64::from(replicas) {
            let message = format!("{name} has {replicas} replicas already");
            return Err(ToolError::precondition("ALREADY_SCALED", message));
        }
        let summary = format!("scale Deployment {}/{name} from {present} to {replicas} pods", self.namespace);
        Ok(Plan::new(format!("{name} has {present} pods; with {replicas} it has room for its traffic."))
            .change(Change::scale(&target, replicas).summary(summary)))
    }

    fn capture(&self, host: &DiagnosticHost, plan: &ChangePlan) -> ToolResult<Vec<SnapshotItem>> {
        let present = Rollout::of(&Object::read(host, &self.target())?).wanted;
        Ok(plan.steps.iter().map(|step| SnapshotItem::of(step, REPLICAS, present.to_string())).collect())
    }

    fn apply(&self, host: &ChangeHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.kubernetes_change().perform_scale(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        workload::verdict(host, &self.target(), Some(u64::from(self.replicas)))
    }

    fn revert(
        &self,
        host: &ChangeHost,
        grant: &Grant<'_>,
        step: &Step,
        saved: Saved<'_>,
    ) -> ToolResult<StepReport> {
        let text = std::str::from_utf8(saved.bytes(REPLICAS)?).ok();
        let replicas = text.and_then(|text| text.parse().ok()).ok_or_else(|| {
            ToolError::precondition("SNAPSHOT_MALFORMED", "what was saved is no number of replicas")
        })?;
        let receipt = host.kubernetes_change().scale(grant, &step.target, replicas)?;
        Ok(StepReport::of(step, receipt).note("the number of pods from before is back"))
    }
}
