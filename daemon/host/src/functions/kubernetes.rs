//! Kubernetes: inside the ceilings, and denied, because no cluster is configured on this host. A guest that asks is told
//! so and audited; it does not fail to load.

use wasmtime::component::Resource;

use crate::broker::{Asks, CallFacts};
use crate::contract::host::types::{HostError, Receipt, ResourceRef};
use crate::contract::host::{k8s_change, k8s_destroy, k8s_read};
use crate::session::{MintedGrant, Session, error};

type Answer<T> = wasmtime::Result<Result<T, HostError>>;
type Grant = Resource<MintedGrant>;

impl Session {
    async fn no_cluster<T>(&mut self, function: &str, kind: &str, name: &str) -> Answer<T> {
        let facts = CallFacts { function, subject: format!("{kind} {name}"), asks: Asks::Kubernetes };
        Ok(match self.admit(facts).await? {
            Err(refusal) => Err(refusal),
            Ok(_) => Err(error(
                crate::contract::host::types::ErrorKind::Denied,
                "K8S_NOT_CONFIGURED",
                "no cluster is configured on this host",
            )),
        })
    }
}

impl k8s_read::Host for Session {
    async fn get(&mut self, target: ResourceRef) -> Answer<String> {
        self.no_cluster("k8s-read.get", &target.kind, &target.name).await
    }
    async fn list_objects(&mut self, selector: k8s_read::Selector) -> Answer<Vec<String>> {
        self.no_cluster("k8s-read.list-objects", &selector.kind, "*").await
    }
    async fn pod_logs(&mut self, target: ResourceRef, _: Option<String>, _: u32) -> Answer<String> {
        self.no_cluster("k8s-read.pod-logs", &target.kind, &target.name).await
    }
}

impl k8s_change::Host for Session {
    async fn scale(&mut self, _: Grant, target: ResourceRef, _: u32) -> Answer<Receipt> {
        self.no_cluster("k8s-change.scale", &target.kind, &target.name).await
    }
    async fn rollout_restart(&mut self, _: Grant, target: ResourceRef) -> Answer<Receipt> {
        self.no_cluster("k8s-change.rollout-restart", &target.kind, &target.name).await
    }
    async fn rollout_undo(&mut self, _: Grant, target: ResourceRef, _: Option<u64>) -> Answer<Receipt> {
        self.no_cluster("k8s-change.rollout-undo", &target.kind, &target.name).await
    }
    async fn patch(&mut self, _: Grant, target: ResourceRef, _: String) -> Answer<Receipt> {
        self.no_cluster("k8s-change.patch", &target.kind, &target.name).await
    }
    async fn restart_pod(&mut self, _: Grant, target: ResourceRef) -> Answer<Receipt> {
        self.no_cluster("k8s-change.restart-pod", &target.kind, &target.name).await
    }
    async fn cordon(&mut self, _: Grant, target: ResourceRef, _: bool) -> Answer<Receipt> {
        self.no_cluster("k8s-change.cordon", &target.kind, &target.name).await
    }
}

impl k8s_destroy::Host for Session {
    async fn delete(&mut self, _: Grant, target: ResourceRef, _: Option<u32>) -> Answer<Receipt> {
        self.no_cluster("k8s-destroy.delete", &target.kind, &target.name).await
    }
    async fn evict(&mut self, _: Grant, target: ResourceRef) -> Answer<Receipt> {
        self.no_cluster("k8s-destroy.evict", &target.kind, &target.name).await
    }
}
