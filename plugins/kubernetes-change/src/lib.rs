//! REMEDIATION: restarts, scales, rolls back and cordons in a Kubernetes cluster.
//!
//! Five tools in one component. Each plans one step on one object, which is named for the call that carries it out; the
//! host keeps what it found there and puts it back where the tool itself does not.

mod node;
mod pod;
mod restart;
mod rollback;
mod scale;
mod workload;

pub use node::CordonNode;
pub use pod::RestartPod;
pub use restart::RestartDeployment;
pub use rollback::RollbackDeployment;
pub use scale::ScaleDeployment;

medic_sdk::export_remediation_tools!(
    RestartPod,
    RestartDeployment,
    ScaleDeployment,
    RollbackDeployment,
    CordonNode
);
