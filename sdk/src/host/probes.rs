//! Owns active probes.

use crate::sys::Handle;
use crate::types::{HostError, ProbeOutcome};

/// Connects, and looks what answers. A probe that fails is an answer (`ok: false`), not an error.
pub struct Probe<'h>(pub(super) &'h Handle);

impl Probe<'_> {
    /// Opens and closes a TCP connection to a named endpoint.
    ///
    /// # Errors
    /// Denied.
    pub fn tcp(&self, endpoint: &str, timeout_ms: u32) -> Result<ProbeOutcome, HostError> {
        self.0.probe_tcp(endpoint, timeout_ms)
    }

    /// Shakes hands over TLS with a named endpoint.
    ///
    /// # Errors
    /// Denied.
    pub fn tls(&self, endpoint: &str, timeout_ms: u32) -> Result<ProbeOutcome, HostError> {
        self.0.probe_tls(endpoint, timeout_ms)
    }

    /// Resolves a name to addresses.
    ///
    /// # Errors
    /// Denied, or not found.
    pub fn dns(&self, name: &str) -> Result<Vec<String>, HostError> {
        self.0.probe_dns(name)
    }
}
