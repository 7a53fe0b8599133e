//! What was asked, by whom, and how it ended.

use serde_json::Value;

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub user: String,
    /// `get`, `list`, `patch`, `create`, `delete`.
    pub verb: &'static str,
    /// `deployments`, `pods/eviction`.
    pub resource: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub dry_run: bool,
    pub query: String,
    pub user_agent: String,
    pub body: Value,
    pub status: u16,
}

impl Seen {
    /// `patch deployments/scale shop/web`, with `?dry` for a rehearsal.
    pub fn line(&self) -> String {
        let namespace =
            self.namespace.as_deref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let dry = if self.dry_run { "?dry" } else { "" };
        format!("{} {} {namespace}{}{dry}", self.verb, self.resource, self.name.as_deref().unwrap_or("*"))
    }

    pub fn changes(&self) -> bool {
        !matches!(self.verb, "get" | "list") && !self.dry_run
    }
}
