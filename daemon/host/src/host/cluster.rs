//! What the host itself asks of a cluster: that a change be put back, and what became of one.

use std::time::Duration;

use medic_core::call::{CallIntent, CallRecord, Target};
use medic_core::{Fault, FaultKind};
use medic_ports::tools::CallFate;

use super::{Admitted, Host};
use crate::broker::{Asks, CallFacts, ChangeFacts, ObjectFacts};
use crate::contract::host::types::HostError;
use crate::deed::{Deed, Detail, Ledger, Outcome};
use crate::kube::change::{ClusterWay, fate_by_marker, generation_after};
use crate::kube::operation::PreImage;
use crate::kube::{Cluster, Operation, Resource, kinds};
use crate::limits::CLUSTER_TIMEOUT_MS;
use crate::plugin::Plugin;
use crate::session::Ended;

/// Whether the call was one to a cluster.
pub(super) fn is_cluster_call(function: &str) -> bool {
    function.starts_with("k8s-")
}

/// Whether the host can put back what the call found.
pub(super) fn can_be_put_back(record: &CallRecord) -> bool {
    match &record.pre_image {
        Some(kept) if is_cluster_call(&record.intent.function) => PreImage::can_be_put_back(kept),
        kept => kept.is_some(),
    }
}

fn resource<'p>(plugin: &'p Plugin, target: &Target) -> Result<(&'p Cluster, Resource), HostError> {
    let cluster = plugin.cluster(&target.cluster)?;
    let kinds = plugin.grant.kubernetes.as_ref().map(|k8s| &k8s.kinds);
    let key = kinds::key(&target.api_version, &target.kind);
    let kind = kinds.and_then(|kinds| kinds.get(&key)).ok_or_else(|| {
        let message = format!("{key} is no longer granted");
        crate::session::error(
            crate::contract::host::types::ErrorKind::Denied,
            "K8S_KIND_NOT_GRANTED",
            message,
        )
    })?;
    Ok((cluster, Resource::of(kind, target.namespace.as_deref(), &target.name)?))
}

/// Asks the API server what became of a call, by the mark it may have left.
pub(super) async fn fate(plugin: &Plugin, call: &CallIntent) -> CallFate {
    match resource(plugin, &call.target) {
        Ok((cluster, resource)) => fate_by_marker(cluster, &resource, &call.idempotency_key).await,
        Err(why) => CallFate::Unknown { detail: why.message },
    }
}

impl Host {
    /// Gives an object its fields back, unless somebody else has had their hands on them since.
    pub(super) async fn put_object_back(
        &self,
        admitted: &Admitted,
        ledger: &Ledger,
        ordinal: u32,
        record: &CallRecord,
        pre_image: &str,
    ) -> Result<Detail, Ended> {
        let target = &record.intent.target;
        let refused = |why: HostError| {
            let message = format!("cannot put back {target}: {}", why.message);
            Ended::Fault(Fault::new(FaultKind::Denied, why.code, message))
        };
        let broken = |why: String| Ended::Fault(Fault::new(FaultKind::Internal, "K8S_PRE_IMAGE", why));
        let now = self.world.clock.now();
        let facts = CallFacts {
            function: put_back_function(&record.intent.function),
            subject: format!("{target} (put back)"),
            asks: Asks::ClusterChange {
                object: ObjectFacts {
                    cluster: &target.cluster,
                    api_version: &target.api_version,
                    kind: &target.kind,
                    namespace: target.namespace.as_deref(),
                    name: Some(&target.name),
                },
                change: ChangeFacts {
                    target,
                    planned: target,
                    body_as_planned: true,
                    operations_left: 1,
                    expires: now,
                    now,
                },
                as_planned: Ok(()),
            },
        };
        let plugin = &admitted.plugin;
        let decision = self.world.broker.authorize(&admitted.caller, &plugin.grant, &facts);
        if let Some(refusal) = decision.refusal() {
            return Err(refused(refusal));
        }
        let found = PreImage::read(pre_image).map_err(broken)?;
        let receipt = record.receipt.as_ref().map(|receipt| receipt.detail_json.as_str());
        let receipt = receipt.and_then(|text| serde_json::from_str::<Detail>(text).ok());
        let operation = Operation::PutBack {
            function: record.intent.function.clone(),
            found,
            generation: receipt.as_ref().and_then(generation_after),
        };
        let (cluster, resource) = resource(plugin, target).map_err(refused)?;
        let timeout = Duration::from_millis(CLUSTER_TIMEOUT_MS);
        let mut way = ClusterWay::new(cluster, resource, operation, crate::kube::rfc3339(now), timeout);
        if !ledger.knows(ordinal) {
            way.look().await.map_err(refused)?;
        }
        let function = put_back_function(&record.intent.function);
        let deed = Deed { ordinal, function, target: target.clone(), way: &way };
        let receipt = match ledger.carry_out(&deed).await {
            Outcome::Received(receipt) => receipt,
            Outcome::NotBegun(why) => return Err(refused(why)),
            Outcome::Unknown { detail } => return Err(Ended::Unknown { target: target.to_string(), detail }),
            Outcome::Broken(fault) => return Err(Ended::Fault(fault)),
        };
        let detail = serde_json::from_str::<Detail>(&receipt.detail_json)
            .map_err(|why| broken(format!("receipt of {target}: {why}")))?;
        detail.failure().map_or(Ok(detail), |failure| Err(refused(failure)))
    }
}

/// The function a change is put back with: itself. What is destroyed has none.
fn put_back_function(function: &str) -> &'static str {
    const CHANGES: [&str; 5] = [
        "k8s-change.scale",
        "k8s-change.rollout-restart",
        "k8s-change.rollout-undo",
        "k8s-change.patch",
        "k8s-change.cordon",
    ];
    CHANGES.into_iter().find(|change| *change == function).unwrap_or("k8s-change.put-back")
}
