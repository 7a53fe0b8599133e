//! REMEDIATION: feature flags and admin endpoints over HTTP.

mod call;
mod flag;

pub use call::CallAdminEndpoint;
pub use flag::ToggleFeatureFlag;

medic_sdk::export_remediation_tools!(ToggleFeatureFlag, CallAdminEndpoint);
