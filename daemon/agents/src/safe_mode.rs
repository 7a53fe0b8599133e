//! Queries only, approvals frozen, the API alive, the reason shown.
//!
//! Entered when a child keeps dying or storage fails; left by a restart of the daemon, after a human has looked.

use std::sync::{Arc, OnceLock};

#[derive(Clone, Debug, Default)]
pub struct SafeMode(Arc<OnceLock<String>>);

impl SafeMode {
    /// The first reason stays: it is the one that matters.
    pub fn enter(&self, reason: impl Into<String>) {
        let reason = reason.into();
        if self.0.set(reason.clone()).is_ok() {
            tracing::error!(reason, "entering safe mode");
        }
    }
    pub fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
    pub fn is_on(&self) -> bool {
        self.0.get().is_some()
    }
}
