//! Refusals, in the shapes of the recorded server.

use serde_json::{Value, json};

/// `kind: Status` with its HTTP status.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub status: u16,
    pub body: Value,
}

fn status(code: u16, reason: &str, message: String, details: Value) -> Refusal {
    let mut body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details, "code": code,
    });
    if let Some(fields) = body.as_object_mut() {
        // A reason or details that are not there are left out, as by the server.
        fields.retain(|_, value| !value.is_null() && *value != json!(""));
    }
    Refusal { status: code, body }
}

/// `deployments.apps`, and `pods` for the core group.
fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn details(name: &str, group: &str, kind: &str) -> Value {
    let mut details = json!({ "name": name, "group": group, "kind": kind });
    if let Some(fields) = details.as_object_mut() {
        fields.retain(|_, value| *value != json!(""));
    }
    details
}

impl Refusal {
    pub fn unauthorized() -> Self {
        status(401, "Unauthorized", "Unauthorized".to_owned(), Value::Null)
    }

    pub fn forbidden(
        user: &str,
        verb: &str,
        group: &str,
        resource: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Self {
        let place = match namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let plural = resource.split('/').next().unwrap_or_default();
        let what = match name {
            Some(name) => format!("{} \"{name}\"", qualified(plural, group)),
            None => qualified(plural, group),
        };
        let message = format!(
            "{what} is forbidden: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}"
        );
        status(403, "Forbidden", message, details(name.unwrap_or_default(), group, plural))
    }

    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(resource, group));
        status(404, "NotFound", message, details(name, group, resource))
    }

    pub fn no_such_path() -> Self {
        status(404, "NotFound", "the server could not find the requested resource".to_owned(), json!({}))
    }

    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(resource, group));
        status(409, "Conflict", message, details(name, group, resource))
    }

    pub fn modified(group: &str, resource: &str, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(group, resource, name, why)
    }

    pub fn negative_replicas(name: &str, replicas: i64) -> Self {
        let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
        let mut details = details(name, "autoscaling", "Scale");
        if let Some(fields) = details.as_object_mut() {
            fields.insert(
                "causes".to_owned(),
                json!([{ "reason": "FieldValueInvalid", "message": why, "field": "spec.replicas" }]),
            );
        }
        status(
            422,
            "Invalid",
            format!("Scale.autoscaling \"{name}\" is invalid: spec.replicas: {why}"),
            details,
        )
    }

    pub fn disruption_budget(budget: &str, needed: u64, healthy: u64) -> Self {
        let why =
            format!("The disruption budget {budget} needs {needed} healthy pods and has {healthy} currently");
        let message = "Cannot evict pod as it would violate the pod's disruption budget.".to_owned();
        status(
            429,
            "TooManyRequests",
            message,
            json!({ "causes": [{ "reason": "DisruptionBudget", "message": why }] }),
        )
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        status(400, "BadRequest", message.into(), Value::Null)
    }

    pub fn unavailable(code: u16) -> Self {
        status(
            code,
            "ServiceUnavailable",
            "the server is currently unable to handle the request".to_owned(),
            Value::Null,
        )
    }

    pub fn no_log(pod: &str) -> Self {
        let message =
            format!("Get \"https://node:10250/containerLogs/{pod}\": dial tcp: lookup node: no such host");
        status(500, "", message, Value::Null)
    }
}
