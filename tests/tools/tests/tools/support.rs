//! The clusters that the stories are about.

use medic_cluster::{Cluster, Role};
use medic_core::Fault;
use medic_ports::tools::StepOutcome;
use medic_tools::Rig;
use serde_json::json;

pub const ALL: &str = "[plugin.NAME.k8s]\nclusters = [\"prod\"]\nnamespaces = [\"shop\"]\n\
    kinds = [\"apps/v1/Deployment\", \"apps/v1/ReplicaSet\", \"v1/Pod\", \"v1/Event\", \"v1/Node\", \"v1/PersistentVolumeClaim\", \
    \"metrics.k8s.io/v1beta1/PodMetrics\"]\ndeny-labels = [\"protected=true\"]\nmax-pods = 8";

/// Deployment `web` of four pods at its second revision, a budget of three, a node, a claim; all in namespace `shop`.
pub async fn shop() -> Cluster {
    let cluster = Cluster::start().await.unwrap();
    cluster
        .let_in("admin", "admin", Role::admin())
        .let_in("least", "agent", Role::recorded("shop"))
        .deployment("shop", "web", 4, "web:1")
        .deployment("kube-system", "dns", 1, "dns:1")
        .budget("shop", "web", 3)
        .object("v1", "Node", "nodes", None, "node-1", json!({ "spec": { "podCIDR": "10.0.0.0/24" } }))
        .object(
            "v1",
            "Secret",
            "secrets",
            Some("shop"),
            "token",
            json!({ "data": { "password": "aHVudGVyMg==" } }),
        )
        .object(
            "v1",
            "PersistentVolumeClaim",
            "persistentvolumeclaims",
            Some("shop"),
            "old",
            json!({ "spec": { "volumeName": "pv-7", "resources": { "requests": { "storage": "1Gi" } } } }),
        );
    let newer = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "main", "image": "web:2" }] } } } });
    cluster.touch("apps", "deployments", Some("shop"), "web", &newer);
    cluster
}

/// A host with one plugin on that cluster.
pub async fn rig(cluster: &Cluster, token: &str, plugin: &str) -> Rig {
    Rig::new().cluster("prod", cluster, token).plugin(plugin, &ALL.replace("NAME", plugin)).open().await
}

/// A pod of `web`.
pub fn a_pod(cluster: &Cluster) -> String {
    cluster.names("", "pods", Some("shop")).into_iter().find(|name| name.starts_with("web-")).unwrap()
}

pub fn failed(outcome: StepOutcome) -> (String, bool) {
    match outcome {
        StepOutcome::Failed { fault, anything_done } => (fault.code, anything_done),
        other => panic!("{other:?}"),
    }
}

pub fn code<T>(result: Result<T, Fault>) -> String {
    result.err().expect("it was not refused").code
}
