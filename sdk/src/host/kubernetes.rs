//! Owns the reading of Kubernetes objects.

use crate::sys::Handle;
use crate::types::{HostError, ResourceRef, Selector};

/// Kubernetes objects as JSON. Secrets are never readable.
pub struct Kubernetes<'h>(pub(super) &'h Handle);

impl Kubernetes<'_> {
    /// One object.
    ///
    /// # Errors
    /// Denied, not found, or the API server fails.
    pub fn get(&self, target: &ResourceRef) -> Result<String, HostError> {
        self.0.k8s_get(target)
    }

    /// The objects a selector matches.
    ///
    /// # Errors
    /// Denied, or the API server fails.
    pub fn list(&self, selector: &Selector) -> Result<Vec<String>, HostError> {
        self.0.k8s_list(selector)
    }

    /// The last lines a pod wrote.
    ///
    /// # Errors
    /// Denied, not found, or the API server fails.
    pub fn pod_logs(
        &self,
        pod: &ResourceRef,
        container: Option<&str>,
        tail_lines: u32,
    ) -> Result<String, HostError> {
        self.0.k8s_pod_logs(pod, container, tail_lines)
    }
}
