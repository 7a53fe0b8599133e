//! Owns the scripted host's side of each host function: records the call, finds the answer.

use medic_sdk::sys::Backend;
use medic_sdk::types::*;
use medic_sdk::{Grant, HttpDeletion, ResourceRef};

use crate::answer::{Answer, Answered, Failure};
use crate::{Call, Function, Script, host_error};

impl Script {
    fn failure_of(&self, function: Function) -> Option<Failure> {
        self.failing.filter(|(failing, _)| *failing == function).map(|(_, failure)| failure)
    }

    /// Records the call and finds its answer.
    fn ask<T: Answered>(&self, function: Function, detail: String) -> Result<T, HostError> {
        let failure = self.failure_of(function);
        let answer = failure.map(Answer::Fail).or_else(|| self.scripted(function, &detail));
        self.calls.borrow_mut().push(Call { function, detail: detail.clone() });
        match answer {
            Some(Answer::Fail(failure)) => failed(function, failure),
            Some(Answer::Error(error)) => Err(error),
            Some(answer) => T::from_answer(answer, self.receipts.get()).ok_or_else(|| {
                host_error(
                    HostErrorKind::Internal,
                    "SCRIPT_MISMATCH",
                    format!("the scripted answer does not fit {function}"),
                )
            }),
            None => Err(host_error(
                HostErrorKind::Denied,
                "NOT_SCRIPTED",
                format!("not scripted: {function} {detail}"),
            )),
        }
    }

    fn scripted(&self, function: Function, detail: &str) -> Option<Answer> {
        // Many questions asked at once are answered like each of them asked alone.
        let asked = if function == Function::MetricsQueryMany { Function::MetricsQuery } else { function };
        let rule = self.rules.iter().find(|rule| {
            (rule.function == function || rule.function == asked) && detail.contains(&rule.part)
        })?;
        let mut answers = rule.answers.borrow_mut();
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    }

    /// A change: refused when no step of the plan has its target, or when the grant is used up.
    fn change(
        &self,
        grant: &Grant<'_>,
        function: Function,
        target: &ResourceRef,
        rest: &str,
    ) -> Result<Receipt, HostError> {
        let detail = format!("{} {} {}{rest}", target.kind, target.cluster, target.name);
        let budget = &grant.script().remaining_operations;
        let allowed = self.allowed.borrow().clone();
        let named = allowed.as_ref().is_some_and(|allowed| allowed.names(function));
        let refusal = if allowed.as_ref().map(|allowed| &allowed.target) != Some(target) {
            Some(host_error(
                HostErrorKind::OutsidePlan,
                "OUTSIDE_PLAN",
                format!("not the target of this step: {detail}"),
            ))
        } else if !named {
            Some(host_error(
                HostErrorKind::OutsidePlan,
                "OPERATION_OUTSIDE_PLAN",
                format!("not the operation of this step: {function}"),
            ))
        } else if budget.get() == 0 {
            Some(host_error(HostErrorKind::Quota, "BUDGET_USED_UP", "the grant allows no more operations"))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.calls.borrow_mut().push(Call { function, detail });
            return Err(refusal);
        }
        budget.set(budget.get() - 1);
        self.receipts.set(self.receipts.get() + 1);
        self.ask(function, detail)
    }
}

fn failed<T: Answered>(function: Function, failure: Failure) -> Result<T, HostError> {
    match failure {
        Failure::Denied => {
            Err(host_error(HostErrorKind::Denied, "NOT_GRANTED", format!("{function} is not granted")))
        }
        Failure::Timeout => {
            Err(host_error(HostErrorKind::Timeout, "DEADLINE", format!("{function} took too long")))
        }
        Failure::Garbage => Ok(T::garbage()),
    }
}

/// A query string as it follows a path; a space ends the path, so that scripts can tell one from its prefix.
fn with_query(query: &[Attr]) -> String {
    query.iter().map(|attr| format!(" {}={}", attr.name, attr.value)).collect()
}

fn object(target: &ResourceRef) -> String {
    let namespace = target.namespace.as_deref().unwrap_or("-");
    format!("{} {} {namespace}/{}", target.cluster, target.kind, target.name)
}

impl Backend for Script {
    fn log_emit(&self, level: LogLevel, message: &str) {
        self.lines.borrow_mut().push((level, message.to_owned()));
    }

    fn log_progress(&self, percent: u8, message: &str) {
        self.lines.borrow_mut().push((LogLevel::Info, format!("{percent} % {message}")));
    }

    fn clock_now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    fn clock_remaining_ms(&self) -> u64 {
        20_000
    }

    fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        self.kept_with.borrow_mut().insert(Function::StateGet);
        match self.failure_of(Function::StateGet) {
            Some(Failure::Garbage) => Ok(Some(vec![0xff, 0x00, 0xfe])),
            Some(failure) => failed::<String>(Function::StateGet, failure).map(|_| None),
            None => Ok(self.kept.borrow().get(key).cloned()),
        }
    }

    fn state_set(&self, key: &str, value: &[u8], _ttl_ms: u64) -> Result<(), HostError> {
        self.kept_with.borrow_mut().insert(Function::StateSet);
        if let Some(failure) = self.failure_of(Function::StateSet) {
            failed::<String>(Function::StateSet, failure)?;
        }
        self.kept.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn artifacts_put(&self, name: &str, _media_type: &str, data: &[u8]) -> Result<String, HostError> {
        self.kept_with.borrow_mut().insert(Function::ArtifactsPut);
        if let Some(failure) = self.failure_of(Function::ArtifactsPut) {
            return failed(Function::ArtifactsPut, failure);
        }
        self.stored.borrow_mut().push((name.to_owned(), data.to_vec()));
        Ok(format!("artifact:{name}"))
    }

    fn metrics_query(&self, promql: &str, _at_ms: Option<u64>) -> Result<Vec<Series>, HostError> {
        self.ask(Function::MetricsQuery, promql.to_owned())
    }

    fn metrics_query_range(
        &self,
        promql: &str,
        range: TimeRange,
        step_ms: u64,
    ) -> Result<Vec<Series>, HostError> {
        self.ask(
            Function::MetricsQueryRange,
            format!("{promql} [{}..{}]/{step_ms}", range.start_ms, range.end_ms),
        )
    }

    fn metrics_query_many(
        &self,
        promql: &[String],
        _at_ms: Option<u64>,
    ) -> Vec<Result<Vec<Series>, HostError>> {
        if self.failure_of(Function::MetricsQueryMany) == Some(Failure::Garbage) {
            return Vec::new();
        }
        promql.iter().map(|promql| self.ask(Function::MetricsQueryMany, promql.clone())).collect()
    }

    fn logs_search(&self, query: &str, range: TimeRange, limit: u32) -> Result<Vec<LogEntry>, HostError> {
        self.ask(Function::LogsSearch, format!("{query} [{}..{}] {limit}", range.start_ms, range.end_ms))
    }

    fn k8s_get(&self, target: &ResourceRef) -> Result<String, HostError> {
        self.ask(Function::KubernetesGet, object(target))
    }

    fn k8s_list(&self, selector: &Selector) -> Result<Vec<String>, HostError> {
        let namespace = selector.namespace.as_deref().unwrap_or("-");
        let labels = selector.labels.as_deref().unwrap_or_default();
        self.ask(
            Function::KubernetesList,
            format!("{} {} {namespace} {labels}", selector.cluster, selector.kind),
        )
    }

    fn k8s_pod_logs(
        &self,
        target: &ResourceRef,
        container: Option<&str>,
        tail_lines: u32,
    ) -> Result<String, HostError> {
        let container = container.unwrap_or("-");
        self.ask(Function::KubernetesPodLogs, format!("{} {container} {tail_lines}", object(target)))
    }

    fn http_read(
        &self,
        method: ReadMethod,
        endpoint: &str,
        path: &str,
        query: &[Attr],
    ) -> Result<HttpResponse, HostError> {
        let method = match method {
            ReadMethod::Get => "GET",
            ReadMethod::Head => "HEAD",
        };
        self.ask(Function::HttpRead, format!("{method} {endpoint} {path} {}", with_query(query)))
    }

    fn knowledge_search(&self, query: &str, limit: u32) -> Result<Vec<KnowledgeHit>, HostError> {
        self.ask(Function::KnowledgeSearch, format!("{query} {limit}"))
    }

    fn probe_tcp(&self, endpoint: &str, timeout_ms: u32) -> Result<ProbeOutcome, HostError> {
        self.ask(Function::ProbeTcp, format!("{endpoint} {timeout_ms}"))
    }

    fn probe_tls(&self, endpoint: &str, timeout_ms: u32) -> Result<ProbeOutcome, HostError> {
        self.ask(Function::ProbeTls, format!("{endpoint} {timeout_ms}"))
    }

    fn probe_dns(&self, name: &str) -> Result<Vec<String>, HostError> {
        self.ask(Function::ProbeDns, name.to_owned())
    }

    fn k8s_scale(
        &self,
        grant: &Grant<'_>,
        target: &ResourceRef,
        replicas: u32,
    ) -> Result<Receipt, HostError> {
        self.change(grant, Function::KubernetesScale, target, &format!(" {replicas}"))
    }

    fn k8s_rollout_restart(&self, grant: &Grant<'_>, target: &ResourceRef) -> Result<Receipt, HostError> {
        self.change(grant, Function::KubernetesRolloutRestart, target, "")
    }

    fn k8s_rollout_undo(
        &self,
        grant: &Grant<'_>,
        target: &ResourceRef,
        to_revision: Option<u64>,
    ) -> Result<Receipt, HostError> {
        self.change(grant, Function::KubernetesRolloutUndo, target, &format!(" {to_revision:?}"))
    }

    fn k8s_patch(
        &self,
        grant: &Grant<'_>,
        target: &ResourceRef,
        merge_patch_json: &str,
    ) -> Result<Receipt, HostError> {
        self.change(grant, Function::KubernetesPatch, target, &format!(" {merge_patch_json}"))
    }

    fn k8s_restart_pod(&self, grant: &Grant<'_>, target: &ResourceRef) -> Result<Receipt, HostError> {
        self.change(grant, Function::KubernetesRestartPod, target, "")
    }

    fn k8s_cordon(
        &self,
        grant: &Grant<'_>,
        target: &ResourceRef,
        unschedulable: bool,
    ) -> Result<Receipt, HostError> {
        self.change(grant, Function::KubernetesCordon, target, &format!(" {unschedulable}"))
    }

    fn http_change(
        &self,
        grant: &Grant<'_>,
        method: ChangeMethod,
        endpoint: &str,
        path: &str,
        query: &[Attr],
        body: &[u8],
    ) -> Result<Receipt, HostError> {
        let kind = match method {
            ChangeMethod::Post => "POST",
            ChangeMethod::Put => "PUT",
            ChangeMethod::Patch => "PATCH",
        };
        // Written out here and not with the SDK's `HttpTarget`: the host that a tool meets computes it by itself as well.
        let target = ResourceRef {
            cluster: endpoint.to_owned(),
            api_version: "http".to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: path.to_owned(),
        };
        let body = String::from_utf8_lossy(body);
        let body = if body.is_empty() { String::new() } else { format!(" {body}") };
        self.change(grant, Function::HttpChange, &target, &format!("{}{body}", with_query(query)))
    }

    fn k8s_delete(
        &self,
        grant: &Grant<'_>,
        target: &ResourceRef,
        grace_seconds: Option<u32>,
    ) -> Result<Receipt, HostError> {
        self.change(grant, Function::KubernetesDelete, target, &format!(" {grace_seconds:?}"))
    }

    fn k8s_evict(&self, grant: &Grant<'_>, target: &ResourceRef) -> Result<Receipt, HostError> {
        self.change(grant, Function::KubernetesEvict, target, "")
    }

    fn http_delete(
        &self,
        grant: &Grant<'_>,
        endpoint: &str,
        path: &str,
        query: &[Attr],
    ) -> Result<Receipt, HostError> {
        self.change(
            grant,
            Function::HttpDelete,
            &HttpDeletion::new(endpoint, path).resource(),
            &with_query(query),
        )
    }
}
