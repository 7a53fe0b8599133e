//! Kubernetes: objects, lists and logs of pods; changes that can be put back; deletions.
//!
//! A change reads its object first: what the labels forbid and how many pods it touches is judged by what is there, and
//! what is there is kept. In a dry run the server rehearses the change itself, and its refusal is the guest's answer.

use medic_core::call::Target;
use medic_ports::tools::ObservedCall;
use serde_json::Value;
use std::time::Duration;
use wasmtime::component::Resource as Handle;

use super::change::{TIME_TO_BEGIN, imagined};
use super::or_answer;
use crate::broker::{Asks, CallFacts, ChangeFacts, ObjectFacts};
use crate::contract::host::types::{ErrorKind, HostError, Receipt, ResourceRef};
use crate::contract::host::{k8s_change, k8s_destroy, k8s_read};
use crate::deed::{Attempt, Deed, Detail, Way};
use crate::kube::cluster::Call;
use crate::kube::{Kind, Operation, Resource, change::ClusterWay, kinds, object, words};
use crate::limits::{CLUSTER_TIMEOUT_MS, OBJECTS_MAX, POD_LOG_LINES_MAX};
use crate::session::{ChangeMode, MintedGrant, Session, error};

type Answer<T> = wasmtime::Result<Result<T, HostError>>;
type Grant = Handle<MintedGrant>;

/// A label selector as long as anybody writes one.
const SELECTOR_BYTES_MAX: usize = 1024;

impl k8s_read::Host for Session {
    async fn get(&mut self, target: ResourceRef) -> Answer<String> {
        let resource = or_answer!(self.admit_read("k8s-read.get", &target).await?);
        let found = or_answer!(self.look(&target.cluster, &resource).await);
        or_answer!(self.admit_found("k8s-read.get", words(&target), &found, 0).await?);
        let text = object::trimmed(found, &target.api_version, &target.kind).to_string();
        or_answer!(self.lend(text.len()));
        Ok(Ok(text))
    }

    async fn list_objects(&mut self, selector: k8s_read::Selector) -> Answer<Vec<String>> {
        let k8s_read::Selector { cluster, api_version, kind, namespace, labels, limit } = selector;
        let object = ObjectFacts {
            cluster: &cluster,
            api_version: &api_version,
            kind: &kind,
            namespace: namespace.as_deref(),
            name: None,
        };
        let key = kinds::key(&api_version, &kind);
        let subject = format!("{key} {}/* @{cluster}", namespace.as_deref().unwrap_or("-"));
        let facts = CallFacts { function: "k8s-read.list-objects", subject, asks: Asks::Kubernetes(object) };
        or_answer!(self.admit(facts).await?);
        let kind_of = or_answer!(self.kind(&key));
        or_answer!(check_list(&kind_of, namespace.as_deref(), labels.as_deref()));
        let mut call = Call::get(kind_of.collection(namespace.as_deref()))
            .query("limit", limit.clamp(1, OBJECTS_MAX).to_string());
        if let Some(labels) = labels.filter(|labels| !labels.is_empty()) {
            call = call.query("labelSelector", labels);
        }
        let plugin = self.plugin.clone();
        let timeout = self.cluster_timeout();
        let cluster = or_answer!(plugin.cluster(&cluster));
        let mut list = or_answer!(cluster.read(&call, timeout).await);
        let items = list.get_mut("items").map(Value::take);
        let Some(Value::Array(items)) = items else {
            return Ok(Err(error(ErrorKind::Upstream, "K8S_MALFORMED", "the API server answered no list")));
        };
        let allowed = |object: &Value| {
            plugin.grant.kubernetes.as_ref().is_none_or(|k8s| k8s.denied(object::labels(object)).is_none())
        };
        let texts: Vec<String> = items
            .into_iter()
            .filter(|object| allowed(object) && !is_secret(object))
            .map(|object| object::trimmed(object, &api_version, &kind).to_string())
            .collect();
        or_answer!(self.lend(texts.iter().map(String::len).sum()));
        Ok(Ok(texts))
    }

    async fn pod_logs(
        &mut self,
        target: ResourceRef,
        container: Option<String>,
        tail_lines: u32,
    ) -> Answer<String> {
        let resource = or_answer!(self.admit_read("k8s-read.pod-logs", &target).await?);
        if !resource.kind.is("v1", "Pod") {
            return Ok(Err(error(ErrorKind::Invalid, "K8S_OPERATION_UNFIT", "only a v1/Pod has a log")));
        }
        // Only where a label could forbid it: the log alone is one request less.
        let guarded = self.plugin.grant.kubernetes.as_ref().is_some_and(|k8s| !k8s.deny_labels.is_empty());
        if guarded {
            let found = or_answer!(self.look(&target.cluster, &resource).await);
            or_answer!(self.admit_found("k8s-read.pod-logs", words(&target), &found, 0).await?);
        }
        let mut call = Call::get(format!("{}/log", resource.path()))
            .query("tailLines", tail_lines.clamp(1, POD_LOG_LINES_MAX).to_string())
            .query("limitBytes", self.meter.limits().answer.to_string());
        if let Some(container) = container {
            if !kinds::is_name(&container) {
                return Ok(Err(error(
                    ErrorKind::Invalid,
                    "K8S_NAME_MALFORMED",
                    "that is no name of a container",
                )));
            }
            call = call.query("container", container);
        }
        let plugin = self.plugin.clone();
        let timeout = self.cluster_timeout();
        let cluster = or_answer!(plugin.cluster(&target.cluster));
        let reply = or_answer!(cluster.send(&call, timeout).await.map_err(crate::kube::Failed::error));
        if !reply.is_success() {
            return Ok(Err(reply.refusal()));
        }
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        or_answer!(self.lend(text.len()));
        Ok(Ok(text))
    }
}

fn check_list(kind: &Kind, namespace: Option<&str>, labels: Option<&str>) -> Result<(), HostError> {
    let invalid = |code: &str, why: String| Err(error(ErrorKind::Invalid, code, why));
    if !kind.namespaced && namespace.is_some() {
        return invalid("K8S_NAME_MALFORMED", format!("a {} is in no namespace", kind.kind));
    }
    if namespace.is_some_and(|namespace| !kinds::is_name(namespace)) {
        return invalid("K8S_NAME_MALFORMED", "that is no name of a namespace".to_owned());
    }
    if labels.is_some_and(|labels| labels.len() > SELECTOR_BYTES_MAX) {
        return invalid(
            "K8S_SELECTOR_TOO_LONG",
            format!("a selector has at most {SELECTOR_BYTES_MAX} bytes"),
        );
    }
    Ok(())
}

/// Whatever path led there.
fn is_secret(object: &Value) -> bool {
    kinds::is_secret(object::text(object, "/kind"))
}

impl k8s_change::Host for Session {
    async fn scale(&mut self, grant: Grant, target: ResourceRef, replicas: u32) -> Answer<Receipt> {
        self.change_cluster(grant, "k8s-change.scale", target, Operation::Scale { replicas }).await
    }
    async fn rollout_restart(&mut self, grant: Grant, target: ResourceRef) -> Answer<Receipt> {
        self.change_cluster(grant, "k8s-change.rollout-restart", target, Operation::RolloutRestart).await
    }
    async fn rollout_undo(
        &mut self,
        grant: Grant,
        target: ResourceRef,
        to_revision: Option<u64>,
    ) -> Answer<Receipt> {
        let operation = Operation::RolloutUndo { to_revision };
        self.change_cluster(grant, "k8s-change.rollout-undo", target, operation).await
    }
    async fn patch(
        &mut self,
        grant: Grant,
        target: ResourceRef,
        merge_patch_json: String,
    ) -> Answer<Receipt> {
        let patch = serde_json::from_str(&merge_patch_json).map_err(|why| {
            error(ErrorKind::Invalid, "K8S_PATCH_MALFORMED", format!("the patch is no JSON: {why}"))
        });
        let patch = or_answer!(patch);
        self.change_cluster(grant, "k8s-change.patch", target, Operation::Patch { patch }).await
    }
    async fn restart_pod(&mut self, grant: Grant, target: ResourceRef) -> Answer<Receipt> {
        self.change_cluster(grant, "k8s-change.restart-pod", target, Operation::RestartPod).await
    }
    async fn cordon(&mut self, grant: Grant, target: ResourceRef, unschedulable: bool) -> Answer<Receipt> {
        self.change_cluster(grant, "k8s-change.cordon", target, Operation::Cordon { unschedulable }).await
    }
}

impl k8s_destroy::Host for Session {
    async fn delete(
        &mut self,
        grant: Grant,
        target: ResourceRef,
        grace_seconds: Option<u32>,
    ) -> Answer<Receipt> {
        self.change_cluster(grant, "k8s-destroy.delete", target, Operation::Delete { grace_seconds }).await
    }
    async fn evict(&mut self, grant: Grant, target: ResourceRef) -> Answer<Receipt> {
        self.change_cluster(grant, "k8s-destroy.evict", target, Operation::Evict).await
    }
}

/// A guest's words for an object, as a plan has them.
fn as_target(target: &ResourceRef) -> Target {
    let ResourceRef { cluster, api_version, kind, namespace, name } = target.clone();
    Target { cluster, api_version, kind, namespace, name }
}

fn facts<'a>(target: &'a ResourceRef) -> ObjectFacts<'a> {
    ObjectFacts {
        cluster: &target.cluster,
        api_version: &target.api_version,
        kind: &target.kind,
        namespace: target.namespace.as_deref(),
        name: Some(&target.name),
    }
}

impl Session {
    fn cluster_timeout(&self) -> Duration {
        self.meter.remaining().min(Duration::from_millis(CLUSTER_TIMEOUT_MS))
    }

    /// A kind that the broker has let pass.
    fn kind(&self, key: &str) -> Result<Kind, HostError> {
        let kinds = self.plugin.grant.kubernetes.as_ref().map(|k8s| &k8s.kinds);
        let missing = || error(ErrorKind::Internal, "K8S_KIND", format!("kind {key} was not set up"));
        kinds.and_then(|kinds| kinds.get(key)).cloned().ok_or_else(missing)
    }

    fn resource(&self, target: &ResourceRef) -> Result<Resource, HostError> {
        let kind = self.kind(&kinds::key(&target.api_version, &target.kind))?;
        Resource::of(&kind, target.namespace.as_deref(), &target.name)
    }

    async fn admit_read(&mut self, function: &'static str, target: &ResourceRef) -> Answer<Resource> {
        let facts = CallFacts { function, subject: words(target), asks: Asks::Kubernetes(facts(target)) };
        or_answer!(self.admit(facts).await?);
        Ok(self.resource(target))
    }

    async fn look(&mut self, cluster: &str, resource: &Resource) -> Result<Value, HostError> {
        let plugin = self.plugin.clone();
        let found =
            plugin.cluster(cluster)?.read(&Call::get(resource.path()), self.cluster_timeout()).await?;
        match is_secret(&found) {
            true => Err(error(ErrorKind::Denied, "K8S_SECRET", "secrets are never reached by a tool")),
            false => Ok(found),
        }
    }

    /// Judges a call again by what is there. Not counted as a call of its own.
    async fn admit_found(
        &mut self,
        function: &'static str,
        subject: String,
        found: &Value,
        pods: u32,
    ) -> Answer<()> {
        let asks = Asks::FoundObject { labels: object::labels(found).collect(), pods };
        let facts = CallFacts { function, subject, asks };
        let decision = self.world.broker.authorize(&self.caller, &self.plugin.grant, &facts);
        Ok(decision.refusal().map_or(Ok(()), Err))
    }

    async fn change_cluster(
        &mut self,
        grant: Grant,
        function: &'static str,
        target: ResourceRef,
        operation: Operation,
    ) -> Answer<Receipt> {
        self.authority(&grant)?;
        let aimed = as_target(&target);
        or_answer!(self.admit_cluster_change(function, &target, &aimed, &operation).await?);
        let resource = or_answer!(self.resource(&target));
        or_answer!(operation.fits(&resource.kind));
        if self.meter.remaining() < TIME_TO_BEGIN {
            return Ok(Err(error(
                ErrorKind::Timeout,
                "DEADLINE",
                "too little time is left to begin a change",
            )));
        }
        let plugin = self.plugin.clone();
        let cluster = or_answer!(plugin.cluster(&target.cluster));
        let at = crate::kube::rfc3339(self.world.clock.now());
        let reversible = operation.reversible();
        let mut way = ClusterWay::new(cluster, resource, operation, at, self.cluster_timeout());
        let Some(change) = &mut self.change else {
            return Err(wasmtime::Error::msg("no change is under way"));
        };
        let (ordinal, step_id) = (change.next_ordinal, change.step.id);
        let ledger = match &change.mode {
            ChangeMode::Dry(_) => None,
            ChangeMode::Real(ledger) => Some(ledger.clone()),
        };
        // A call begun before a restart was judged then; its object may have gone since, by that very call.
        if !ledger.as_ref().is_some_and(|ledger| ledger.knows(ordinal)) {
            let found = or_answer!(way.look().await).clone();
            let pods = way.pods();
            or_answer!(self.admit_found(function, words(&target), &found, pods).await?);
        }
        let Some(change) = &mut self.change else {
            return Err(wasmtime::Error::msg("no change is under way"));
        };
        change.next_ordinal += 1;
        change.operations_left = change.operations_left.saturating_sub(1);
        let Some(ledger) = ledger else {
            way.dry_run = true;
            let pods = way.pods();
            let deed = Deed { ordinal, function, target: aimed.clone(), way: &way };
            or_answer!(rehearse(&way).await);
            if let ChangeMode::Dry(observed) = &mut change.mode {
                let function = function.to_owned();
                observed.push(ObservedCall { step_id, function, target: aimed, reversible, pods });
            }
            return Ok(Ok(imagined(&deed)));
        };
        let deed = Deed { ordinal, function, target: aimed, way: &way };
        let outcome = ledger.carry_out(&deed).await;
        self.note(&deed.target, outcome)
    }

    async fn admit_cluster_change(
        &mut self,
        function: &'static str,
        target: &ResourceRef,
        aimed: &Target,
        operation: &Operation,
    ) -> Answer<()> {
        let now = self.world.clock.now();
        let Some(change) = &self.change else { return Err(wasmtime::Error::msg("no change is under way")) };
        let planned = change.step.target.clone();
        // A revert puts back what was saved, which the plan does not show; its target is bound all the same.
        let as_planned = if change.reverting { Ok(()) } else { operation.is_planned_by(&change.step) };
        let change = ChangeFacts {
            target: aimed,
            planned: &planned,
            body_as_planned: true,
            operations_left: change.operations_left,
            expires: change.expires,
            now,
        };
        let asks = Asks::ClusterChange { object: facts(target), change, as_planned };
        let facts = CallFacts { function, subject: words(target), asks };
        Ok(self.admit(facts).await?.map(drop))
    }
}

/// Has the server do everything but keep it.
async fn rehearse(way: &ClusterWay<'_>) -> Result<(), HostError> {
    let kept = way.pre_image().await?;
    match way.attempt("medic-dry-run", kept.as_deref(), false).await {
        Attempt::Answered(detail) | Attempt::Settled(detail) => Detail::failure(&detail).map_or(Ok(()), Err),
        Attempt::NotSent { code, message } => Err(error(ErrorKind::Upstream, &code, message)),
        Attempt::Lost { why } => Err(error(ErrorKind::Upstream, "K8S_ANSWER_LOST", why)),
    }
}
