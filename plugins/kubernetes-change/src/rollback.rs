//! Owns rollback_deployment.

use medic_sdk::kubernetes::{Object, resource};
use medic_sdk::prelude::*;

use crate::workload;

const REVISION: &str = "deployment.kubernetes.io/revision";
/// Old ReplicaSets looked at; a Deployment keeps ten unless told otherwise.
const REVISIONS_MAX: u32 = 100;

/// Goes back to an earlier revision of a Deployment, to the one before the present unless one is named. The plan names
/// the revision, so that exactly that one is approved. Undone by putting the present template back.
#[derive(Tool)]
#[tool(example(
    args = r#"{"cluster":"prod-eu","namespace":"shop","name":"checkout"}"#,
    when = "errors began with a rollout"
))]
pub struct RollbackDeployment {
    /// Cluster, by its name in the grant file.
    cluster: ServiceName,
    /// Namespace of the Deployment.
    namespace: ObjectName,
    /// Deployment to roll back.
    name: ObjectName,
    /// Revision to go back to; the one before the present when left out.
    #[arg(min = 1)]
    revision: Option<u32>,
}

impl RollbackDeployment {
    fn target(&self) -> ResourceRef {
        workload::deployment(&self.cluster, &self.namespace, &self.name)
    }

    /// The revision to go back to, and the images it runs.
    fn earlier(&self, host: &DiagnosticHost, present: &Object) -> ToolResult<(u64, String)> {
        let number = |object: &Object| object.annotation(REVISION).and_then(|text| text.parse::<u64>().ok());
        let now = number(present).ok_or_else(|| {
            ToolError::precondition("NO_REVISION", format!("{} has never rolled out", self.name))
        })?;
        let sets =
            resource(self.cluster.as_str(), "apps/v1", "ReplicaSet", Some(self.namespace.as_str()), "");
        let selector = present.selector();
        let sets = Object::list(host, &sets, selector.as_deref(), REVISIONS_MAX)?;
        let uid = present.text("/metadata/uid");
        let owned = |set: &&Object| {
            set.items("/metadata/ownerReferences")
                .any(|owner| owner.get("uid").and_then(Value::as_str) == Some(uid))
        };
        let fits =
            |revision: u64| self.revision.map_or(revision < now, |wanted| revision == u64::from(wanted));
        let found = sets
            .iter()
            .filter(owned)
            .filter_map(|set| {
                Some((number(set).filter(|revision| *revision != now && fits(*revision))?, set))
            })
            .max_by_key(|(revision, _)| *revision);
        let (revision, set) = found.ok_or_else(|| {
            let message = format!("{} is at revision {now} and keeps no revision to go back to", self.name);
            ToolError::precondition("NO_REVISION", message)
        })?;
        Ok((revision, images(set)))
    }
}

fn images(object: &Object) -> String {
    let containers = object.items("/spec/template/spec/containers");
    let images: Vec<&str> = containers.filter_map(|container| container.get("image")?.as_str()).collect();
    images.join(", ")
}

impl Remediation for RollbackDeployment {
    fn plan(&self, host: &DiagnosticHost) -> ToolResult<Plan> {
        let (target, name) = (self.target(), &self.name);
        let present = workload::running(host, &target)?;
        let (revision, images_then) = self.earlier(host, &present)?;
        let summary = format!(
            "roll Deployment {}/{name} back to revision {revision}: from {} to {images_then}",
            self.namespace,
            images(&present)
        );
        Ok(Plan::new(format!("The pods of {name} run again what they ran before the last rollout."))
            .change(Change::rollout_undo(&target, revision).summary(summary)))
    }

    fn apply(&self, host: &ChangeHost, grant: &Grant<'_>, step: &Step) -> ToolResult<StepReport> {
        Ok(StepReport::of(step, host.kubernetes_change().perform_rollout_undo(grant, step)?))
    }

    fn verify(&self, host: &DiagnosticHost, _: &ChangePlan, _: &[StepReport]) -> ToolResult<Verdict> {
        workload::verdict(host, &self.target(), None)
    }

    fn revert(&self, _: &ChangeHost, _: &Grant<'_>, step: &Step, _: Saved<'_>) -> ToolResult<StepReport> {
        Ok(StepReport::nothing(step, "the host has the template from before and puts it back"))
    }
}
