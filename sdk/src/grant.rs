//! Owns the proof of consent as a tool meets it. A tool never makes one: in the sandbox the host lends it for one call of
//! `apply` or `revert`, and a handle kept beyond that call is dead.

/// The host's consent to one step of one approved plan: bound to the plan's digest, with an expiry and a budget of
/// mutating calls. Every host function that changes something asks for it.
pub struct Grant<'call> {
    #[cfg(target_family = "wasm")]
    handle: &'call crate::bindings::imports::medic::host::change::Grant,
    #[cfg(not(target_family = "wasm"))]
    scripted: &'call ScriptedGrant,
}

/// The values a test gives to a grant.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, Clone)]
pub struct ScriptedGrant {
    /// Digest of the approved plan.
    pub plan_digest: String,
    /// Mutating calls left.
    pub remaining_operations: std::cell::Cell<u32>,
    /// Milliseconds until the grant ends.
    pub expires_in_ms: u64,
}

#[cfg(target_family = "wasm")]
impl<'call> Grant<'call> {
    pub(crate) fn lent(handle: &'call crate::bindings::imports::medic::host::change::Grant) -> Self {
        Self { handle }
    }

    pub(crate) fn handle(&self) -> &crate::bindings::imports::medic::host::change::Grant {
        self.handle
    }

    /// Digest of the plan that was approved.
    pub fn plan_digest(&self) -> String {
        self.handle.plan_digest()
    }

    /// Mutating calls this grant still allows.
    pub fn remaining_operations(&self) -> u32 {
        self.handle.remaining_operations()
    }

    /// Milliseconds until the grant ends; 0 when it has.
    pub fn expires_in_ms(&self) -> u64 {
        self.handle.expires_in_ms()
    }
}

#[cfg(not(target_family = "wasm"))]
impl<'call> Grant<'call> {
    /// A grant played by a test; it does not exist in a component.
    pub fn scripted(scripted: &'call ScriptedGrant) -> Self {
        Self { scripted }
    }

    /// The script behind the grant, for the backend that plays the host.
    pub fn script(&self) -> &ScriptedGrant {
        self.scripted
    }

    /// Digest of the plan that was approved.
    pub fn plan_digest(&self) -> String {
        self.scripted.plan_digest.clone()
    }

    /// Mutating calls this grant still allows.
    pub fn remaining_operations(&self) -> u32 {
        self.scripted.remaining_operations.get()
    }

    /// Milliseconds until the grant ends; 0 when it has.
    pub fn expires_in_ms(&self) -> u64 {
        self.scripted.expires_in_ms
    }
}
