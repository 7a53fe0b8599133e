//! Kubernetes through its API server: which objects there are, how they are reached, how they are changed and put back.
//!
//! Owns every request to an API server. Each function of the contract makes the requests it needs and no other: nothing is
//! discovered, watched or listed in passing, so that the server's audit log reads like the tool's. Never decides whether
//! something is allowed; the broker has.

pub mod change;
pub mod cluster;
pub mod kinds;
pub mod object;
pub mod operation;
pub mod status;

pub use cluster::{Cluster, Failed};
pub use kinds::Kind;
pub use operation::Operation;

use crate::contract::host::types::{ErrorKind, HostError, ResourceRef};
use crate::session::error;

/// An object that a grant covers, with its place in the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub kind: Kind,
    pub namespace: Option<String>,
    pub name: String,
}

impl Resource {
    /// # Errors
    /// The name or the namespace cannot be what the kind has.
    pub fn of(kind: &Kind, namespace: Option<&str>, name: &str) -> Result<Self, HostError> {
        let invalid = |why: String| error(ErrorKind::Invalid, "K8S_NAME_MALFORMED", why);
        if !kinds::is_name(name) {
            return Err(invalid(format!("`{}` is no name of an object", crate::text::line(name, 64))));
        }
        // A grant of `*` matches any text; what goes into a path must still be a name.
        if let Some(namespace) = namespace.filter(|namespace| !kinds::is_name(namespace)) {
            return Err(invalid(format!("`{}` is no name of a namespace", crate::text::line(namespace, 64))));
        }
        match (kind.namespaced, namespace) {
            (true, None) => return Err(invalid(format!("a {} is in a namespace; name it", kind.kind))),
            (false, Some(_)) => return Err(invalid(format!("a {} is in no namespace", kind.kind))),
            _ => {}
        }
        Ok(Self { kind: kind.clone(), namespace: namespace.map(str::to_owned), name: name.to_owned() })
    }

    pub fn path(&self) -> String {
        format!("{}/{}", self.kind.collection(self.namespace.as_deref()), self.name)
    }
}

/// An object in the words of the contract, on one line.
pub fn words(target: &ResourceRef) -> String {
    let namespace = target.namespace.as_deref().unwrap_or("-");
    format!(
        "{} {namespace}/{} @{}",
        kinds::key(&target.api_version, &target.kind),
        target.name,
        target.cluster
    )
}

/// An instant as the API writes it, to the second.
pub fn rfc3339(at: medic_core::TimestampMs) -> String {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
