//! REMEDIATION: restarts, reconfigures and scales a service through its admin endpoint.
//!
//! Three tools of one category in one component, because they speak to the same endpoint and are granted together.

mod admin;
mod checks;
mod restart;
mod rollback;
mod scale;

pub use restart::RestartService;
pub use rollback::RollbackConfig;
pub use scale::ScaleWorkers;

medic_sdk::export_remediation_tools!(RestartService, RollbackConfig, ScaleWorkers);
