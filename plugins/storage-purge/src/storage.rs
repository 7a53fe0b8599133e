//! Owns the state of a service's storage, as its admin endpoint tells it.

use std::fmt;

use medic_sdk::prelude::*;
use medic_sdk::serde::Deserialize;

/// Share of the quota above which a purge has not helped: less would bring the alert back within hours.
pub const FILL_MAX: f64 = 0.9;

/// The answer of GET /admin/storage.
#[derive(Debug, Deserialize)]
#[serde(crate = "medic_sdk::serde")]
pub struct Storage {
    pub used_bytes: u64,
    pub quota_bytes: u64,
    pub expired_bytes: u64,
}

impl Storage {
    /// Asks for it.
    ///
    /// # Errors
    /// The host refuses, there is no answer, or the figures contradict each other.
    pub fn read(host: &DiagnosticHost, endpoint: &str) -> ToolResult<Self> {
        let storage: Self = host.http().get(endpoint, "/admin/storage")?.success()?.json()?;
        if storage.quota_bytes == 0 || storage.expired_bytes > storage.used_bytes {
            return Err(ToolError::upstream("STORAGE_CONTRADICTS", format!("{storage:?}")));
        }
        Ok(storage)
    }

    /// Share of the quota in use; above 1 when more is stored than allowed.
    pub fn fill(&self) -> f64 {
        self.used_bytes as f64 / self.quota_bytes as f64
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        let (quota, expired) = (mib(self.quota_bytes), mib(self.expired_bytes));
        write!(f, "{:.0} % full of {quota:.1} MiB, {expired:.1} MiB of it expired", self.fill() * 100.0)
    }
}
