//! Owns the address of an HTTP change, so that a plan and the call that carries it out cannot name different things.
//!
//! A call of METHOD on endpoint E with path P has the target `{ cluster: E, api-version: "http", kind: METHOD,
//! namespace: none, name: P }`. The host computes the same target from the call and refuses it when no step has it.

use crate::error::ToolResult;
use crate::types::{ChangeMethod, ResourceRef, Step, ToolError};

const API_VERSION: &str = "http";

/// One method on one path of one named endpoint, where the method can be undone.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpTarget {
    method: ChangeMethod,
    endpoint: String,
    path: String,
}

impl HttpTarget {
    fn new(method: ChangeMethod, endpoint: impl Into<String>, path: impl Into<String>) -> Self {
        Self { method, endpoint: endpoint.into(), path: path.into() }
    }

    /// POST to `path` of a named endpoint.
    pub fn post(endpoint: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(ChangeMethod::Post, endpoint, path)
    }

    /// PUT to `path` of a named endpoint.
    pub fn put(endpoint: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(ChangeMethod::Put, endpoint, path)
    }

    /// PATCH of `path` of a named endpoint.
    pub fn patch(endpoint: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(ChangeMethod::Patch, endpoint, path)
    }

    /// The target that a step of a plan names.
    ///
    /// # Errors
    /// `NOT_AN_HTTP_CHANGE` when it names something else.
    pub fn of(step: &Step) -> ToolResult<Self> {
        let method = match step.target.kind.as_str() {
            "POST" => ChangeMethod::Post,
            "PUT" => ChangeMethod::Put,
            "PATCH" => ChangeMethod::Patch,
            _ => return Err(not_http(step, "NOT_AN_HTTP_CHANGE", "an HTTP change")),
        };
        if step.target.api_version != API_VERSION {
            return Err(not_http(step, "NOT_AN_HTTP_CHANGE", "an HTTP change"));
        }
        Ok(Self::new(method, step.target.cluster.as_str(), step.target.name.as_str()))
    }

    /// The target as a plan writes it.
    pub fn resource(&self) -> ResourceRef {
        resource(&self.endpoint, self.method_name(), &self.path)
    }

    /// Name of the endpoint.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Path on the endpoint, with a slash first.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn method(&self) -> ChangeMethod {
        self.method
    }

    /// `POST`, `PUT` or `PATCH`.
    pub fn method_name(&self) -> &'static str {
        match self.method {
            ChangeMethod::Post => "POST",
            ChangeMethod::Put => "PUT",
            ChangeMethod::Patch => "PATCH",
        }
    }
}

/// DELETE on one path of one named endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpDeletion {
    endpoint: String,
    path: String,
}

impl HttpDeletion {
    /// DELETE of `path` of a named endpoint.
    pub fn new(endpoint: impl Into<String>, path: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), path: path.into() }
    }

    /// The target that a step of a plan names.
    ///
    /// # Errors
    /// `NOT_AN_HTTP_DELETION` when it names something else.
    pub fn of(step: &Step) -> ToolResult<Self> {
        if step.target.kind != "DELETE" || step.target.api_version != API_VERSION {
            return Err(not_http(step, "NOT_AN_HTTP_DELETION", "an HTTP deletion"));
        }
        Ok(Self::new(step.target.cluster.as_str(), step.target.name.as_str()))
    }

    /// The target as a plan writes it.
    pub fn resource(&self) -> ResourceRef {
        resource(&self.endpoint, "DELETE", &self.path)
    }

    /// Name of the endpoint.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Path on the endpoint, with a slash first.
    pub fn path(&self) -> &str {
        &self.path
    }
}

fn resource(endpoint: &str, method: &str, path: &str) -> ResourceRef {
    ResourceRef {
        cluster: endpoint.to_owned(),
        api_version: API_VERSION.to_owned(),
        kind: method.to_owned(),
        namespace: None,
        name: path.to_owned(),
    }
}

fn not_http(step: &Step, code: &str, expected: &str) -> ToolError {
    let target = &step.target;
    ToolError::internal(
        code,
        format!(
            "step {} is not {expected}: its target is {} {} {}",
            step.id, target.api_version, target.kind, target.name
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(target: ResourceRef) -> Step {
        Step { id: 1, operation: String::new(), target, params_json: "null".into(), summary: String::new() }
    }

    #[test]
    fn a_target_survives_the_plan() {
        for target in [
            HttpTarget::post("checkout-admin", "/admin/restart"),
            HttpTarget::put("checkout-admin", "/admin/config"),
            HttpTarget::patch("flags", "/v1/flags/fast"),
        ] {
            assert_eq!(HttpTarget::of(&step(target.resource())), Ok(target));
        }
        let deletion = HttpDeletion::new("store-admin", "/admin/storage/expired");
        assert_eq!(HttpDeletion::of(&step(deletion.resource())), Ok(deletion));
    }

    #[test]
    fn a_target_is_written_as_the_contract_says() {
        let expected = ResourceRef {
            cluster: "checkout-admin".into(),
            api_version: "http".into(),
            kind: "PUT".into(),
            namespace: None,
            name: "/admin/config".into(),
        };
        assert_eq!(HttpTarget::put("checkout-admin", "/admin/config").resource(), expected);
    }

    #[test]
    fn a_deletion_is_no_change_and_a_workload_is_neither() {
        let deletion = step(HttpDeletion::new("store-admin", "/x").resource());
        assert_eq!(HttpTarget::of(&deletion).unwrap_err().code, "NOT_AN_HTTP_CHANGE");
        let put = step(HttpTarget::put("store-admin", "/x").resource());
        assert_eq!(HttpDeletion::of(&put).unwrap_err().code, "NOT_AN_HTTP_DELETION");
        let workload =
            step(ResourceRef { api_version: "apps/v1".into(), ..HttpTarget::put("a", "/x").resource() });
        assert_eq!(HttpTarget::of(&workload).unwrap_err().code, "NOT_AN_HTTP_CHANGE");
    }
}
