//! Owns the calls that change something. Each takes a grant, and each names its target as the plan named it: the host
//! refuses a call whose target no step of the approved plan has.

use crate::error::ToolResult;
use crate::grant::Grant;
use crate::sys::Handle;
use crate::target::{HttpDeletion, HttpTarget};
use crate::types::{Attr, ChangeMethod, HostError, Receipt, ResourceRef, Step};

/// POST, PUT and PATCH on named endpoints.
pub struct HttpChange<'h>(pub(super) &'h Handle);

impl HttpChange<'_> {
    /// Carries out a step made with [`Change::http`](crate::plan::Change::http): its target, with its parameters as body.
    /// Nothing else can be sent than what was approved.
    ///
    /// # Errors
    /// The step is not an HTTP change, or the host refuses or fails.
    pub fn perform(&self, grant: &Grant<'_>, step: &Step) -> ToolResult<Receipt> {
        let target = HttpTarget::of(step)?;
        Ok(self.send(grant, &target, &body_of(step))?)
    }

    /// Sends `body` to a target of the plan; for a revert, whose body is the pre-image.
    ///
    /// # Errors
    /// Denied, outside the plan, over budget, or no answer.
    pub fn send(&self, grant: &Grant<'_>, target: &HttpTarget, body: &[u8]) -> Result<Receipt, HostError> {
        self.0.http_change(grant, target.method(), target.endpoint(), target.path(), &[], body)
    }

    /// POST, for a target that needs no type.
    ///
    /// # Errors
    /// As [`HttpChange::send`].
    pub fn post(
        &self,
        grant: &Grant<'_>,
        endpoint: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Receipt, HostError> {
        self.0.http_change(grant, ChangeMethod::Post, endpoint, path, &[], body)
    }

    /// Sends `body` with a query string.
    ///
    /// # Errors
    /// As [`HttpChange::send`].
    pub fn send_with(
        &self,
        grant: &Grant<'_>,
        target: &HttpTarget,
        query: &[Attr],
        body: &[u8],
    ) -> Result<Receipt, HostError> {
        self.0.http_change(grant, target.method(), target.endpoint(), target.path(), query, body)
    }
}

/// The body that a step's parameters stand for: null is no body.
fn body_of(step: &Step) -> Vec<u8> {
    if step.params_json == "null" { Vec::new() } else { step.params_json.clone().into_bytes() }
}

/// DELETE on named endpoints.
pub struct HttpDestroy<'h>(pub(super) &'h Handle);

impl HttpDestroy<'_> {
    /// Carries out a step made with [`Change::http_delete`](crate::plan::Change::http_delete).
    ///
    /// # Errors
    /// The step is not an HTTP deletion, or the host refuses or fails.
    pub fn perform(&self, grant: &Grant<'_>, step: &Step) -> ToolResult<Receipt> {
        let target = HttpDeletion::of(step)?;
        Ok(self.0.http_delete(grant, target.endpoint(), target.path(), &[])?)
    }
}

/// Changes of Kubernetes objects. The host keeps a pre-image of each.
///
/// `perform_…` carries out a step made with the constructor of the same name of [`Change`](crate::plan::Change): the step's
/// target with the step's parameters, so that nothing else can be asked for than what was approved. The plain calls are for
/// a revert, whose parameters are what was saved.
pub struct KubernetesChange<'h>(pub(super) &'h Handle);

#[derive(serde::Deserialize)]
struct Replicas {
    replicas: u32,
}

#[derive(serde::Deserialize)]
struct Revision {
    to_revision: u64,
}

#[derive(serde::Deserialize)]
struct Unschedulable {
    unschedulable: bool,
}

#[derive(Default, serde::Deserialize)]
struct Grace {
    grace_seconds: Option<u32>,
}

impl KubernetesChange<'_> {
    /// # Errors
    /// The step is another one, or the host refuses or fails.
    pub fn perform_scale(&self, grant: &Grant<'_>, step: &Step) -> ToolResult<Receipt> {
        let Replicas { replicas } = step.params()?;
        Ok(self.scale(grant, &step.target, replicas)?)
    }

    /// # Errors
    /// The host refuses or fails.
    pub fn perform_rollout_restart(&self, grant: &Grant<'_>, step: &Step) -> ToolResult<Receipt> {
        Ok(self.rollout_restart(grant, &step.target)?)
    }

    /// # Errors
    /// The step is another one, or the host refuses or fails.
    pub fn perform_rollout_undo(&self, grant: &Grant<'_>, step: &Step) -> ToolResult<Receipt> {
        let Revision { to_revision } = step.params()?;
        Ok(self.rollout_undo(grant, &step.target, Some(to_revision))?)
    }

    /// # Errors
    /// The host refuses or fails.
    pub fn perform_patch(&self, grant: &Grant<'_>, step: &Step) -> ToolResult<Receipt> {
        Ok(self.patch(grant, &step.target, &step.params_json)?)
    }

    /// # Errors
    /// The host refuses or fails.
    pub fn perform_restart_pod(&self, grant: &Grant<'_>, step: &Step) -> ToolResult<Receipt> {
        Ok(self.restart_pod(grant, &step.target)?)
    }

    /// # Errors
    /// The step is another one, or the host refuses or fails.
    pub fn perform_cordon(&self, grant: &Grant<'_>, step: &Step) -> ToolResult<Receipt> {
        let Unschedulable { unschedulable } = step.params()?;
        Ok(self.cordon(grant, &step.target, unschedulable)?)
    }

    /// Sets the number of replicas.
    ///
    /// # Errors
    /// Denied, outside the plan, over budget, or the API server refuses.
    pub fn scale(
        &self,
        grant: &Grant<'_>,
        target: &ResourceRef,
        replicas: u32,
    ) -> Result<Receipt, HostError> {
        self.0.k8s_scale(grant, target, replicas)
    }

    /// Restarts the pods of a workload one after the other.
    ///
    /// # Errors
    /// As [`KubernetesChange::scale`].
    pub fn rollout_restart(&self, grant: &Grant<'_>, target: &ResourceRef) -> Result<Receipt, HostError> {
        self.0.k8s_rollout_restart(grant, target)
    }

    /// Goes back to an earlier revision; to the one before when none is named.
    ///
    /// # Errors
    /// As [`KubernetesChange::scale`].
    pub fn rollout_undo(
        &self,
        grant: &Grant<'_>,
        target: &ResourceRef,
        to_revision: Option<u64>,
    ) -> Result<Receipt, HostError> {
        self.0.k8s_rollout_undo(grant, target, to_revision)
    }

    /// Applies a JSON merge patch.
    ///
    /// # Errors
    /// As [`KubernetesChange::scale`].
    pub fn patch(
        &self,
        grant: &Grant<'_>,
        target: &ResourceRef,
        merge_patch_json: &str,
    ) -> Result<Receipt, HostError> {
        self.0.k8s_patch(grant, target, merge_patch_json)
    }

    /// Restarts one pod that a controller will replace, within its disruption budget.
    ///
    /// # Errors
    /// As [`KubernetesChange::scale`].
    pub fn restart_pod(&self, grant: &Grant<'_>, target: &ResourceRef) -> Result<Receipt, HostError> {
        self.0.k8s_restart_pod(grant, target)
    }

    /// Keeps new pods off a node, or lets them on again.
    ///
    /// # Errors
    /// As [`KubernetesChange::scale`].
    pub fn cordon(
        &self,
        grant: &Grant<'_>,
        target: &ResourceRef,
        unschedulable: bool,
    ) -> Result<Receipt, HostError> {
        self.0.k8s_cordon(grant, target, unschedulable)
    }
}

/// Deletion and eviction of Kubernetes objects.
pub struct KubernetesDestroy<'h>(pub(super) &'h Handle);

impl KubernetesDestroy<'_> {
    /// Carries out a step made with [`Change::delete`](crate::plan::Change::delete).
    ///
    /// # Errors
    /// The step is another one, or the host refuses or fails.
    pub fn perform_delete(&self, grant: &Grant<'_>, step: &Step) -> ToolResult<Receipt> {
        let grace: Option<Grace> = step.params()?;
        Ok(self.delete(grant, &step.target, grace.unwrap_or_default().grace_seconds)?)
    }

    /// Carries out a step made with [`Change::evict`](crate::plan::Change::evict).
    ///
    /// # Errors
    /// The host refuses or fails.
    pub fn perform_evict(&self, grant: &Grant<'_>, step: &Step) -> ToolResult<Receipt> {
        Ok(self.evict(grant, &step.target)?)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// Denied, outside the plan, over budget, or the API server refuses.
    pub fn delete(
        &self,
        grant: &Grant<'_>,
        target: &ResourceRef,
        grace_seconds: Option<u32>,
    ) -> Result<Receipt, HostError> {
        self.0.k8s_delete(grant, target, grace_seconds)
    }

    /// Evicts a pod within its disruption budget.
    ///
    /// # Errors
    /// As [`KubernetesDestroy::delete`].
    pub fn evict(&self, grant: &Grant<'_>, target: &ResourceRef) -> Result<Receipt, HostError> {
        self.0.k8s_evict(grant, target)
    }
}
