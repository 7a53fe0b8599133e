//! The grant resource, and the HTTP calls that change something.

use std::time::Duration;

use medic_core::Digest;
use medic_core::call::Target;
use medic_ports::tools::ObservedCall;
use wasmtime::component::Resource;

use super::http::pairs;
use super::or_answer;
use crate::broker::{Asks, CallFacts, ChangeFacts, Decision, HttpFacts};
use crate::contract::host::types::{Attr, ErrorKind, HostError, Receipt};
use crate::contract::host::{change, http_change, http_destroy};
use crate::deed::{Deed, Detail, HttpWay, Outcome, happened};
use crate::grant::Method;
use crate::http::Endpoint;
use crate::limits::{ENDPOINT_TIMEOUT_MS, REQUEST_BODY_MAX};
use crate::session::{ChangeMode, ChangeSession, Ended, GRANT_REP, MintedGrant, Session, error};

/// Below this a call is not begun: a request cut off half-way is worse than one never made.
pub(super) const TIME_TO_BEGIN: Duration = Duration::from_millis(500);

impl Session {
    /// The authority behind a grant handle. A handle cannot be forged (the canonical ABI traps), so its absence is ours.
    pub(super) fn authority(
        &mut self,
        grant: &Resource<MintedGrant>,
    ) -> wasmtime::Result<&mut ChangeSession> {
        match &mut self.change {
            Some(change) if grant.rep() == GRANT_REP => Ok(change),
            _ => Err(wasmtime::Error::msg("a grant was used that this call does not have")),
        }
    }
}

impl change::HostGrant for Session {
    async fn plan_digest(&mut self, grant: Resource<MintedGrant>) -> wasmtime::Result<String> {
        Ok(self.authority(&grant)?.plan.as_str().to_owned())
    }

    async fn remaining_operations(&mut self, grant: Resource<MintedGrant>) -> wasmtime::Result<u32> {
        Ok(self.authority(&grant)?.operations_left)
    }

    async fn expires_in_ms(&mut self, grant: Resource<MintedGrant>) -> wasmtime::Result<u64> {
        let now = self.world.clock.now();
        Ok(self.authority(&grant)?.expires.since_ms(now))
    }

    async fn drop(&mut self, _: Resource<MintedGrant>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl change::Host for Session {}

impl http_change::Host for Session {
    async fn send(
        &mut self,
        grant: Resource<MintedGrant>,
        method: http_change::Method,
        endpoint: String,
        path: String,
        query: Vec<Attr>,
        body: Vec<u8>,
    ) -> wasmtime::Result<Result<Receipt, HostError>> {
        let method = match method {
            http_change::Method::Post => Method::Post,
            http_change::Method::Put => Method::Put,
            http_change::Method::Patch => Method::Patch,
        };
        self.authority(&grant)?;
        self.change_over_http("http-change.send", method, &endpoint, &path, pairs(query), body).await
    }
}

impl http_destroy::Host for Session {
    async fn delete(
        &mut self,
        grant: Resource<MintedGrant>,
        endpoint: String,
        path: String,
        query: Vec<Attr>,
    ) -> wasmtime::Result<Result<Receipt, HostError>> {
        self.authority(&grant)?;
        self.change_over_http(
            "http-destroy.delete",
            Method::Delete,
            &endpoint,
            &path,
            pairs(query),
            Vec::new(),
        )
        .await
    }
}

/// A mutating call in the words of a plan.
pub fn http_target(method: Method, endpoint: &str, path: &str) -> Target {
    Target {
        cluster: endpoint.to_owned(),
        api_version: "http".to_owned(),
        kind: method.as_str().to_owned(),
        namespace: None,
        name: path.to_owned(),
    }
}

/// Whether what is to be sent is what people saw when they approved: the step's parameters are its body.
fn body_as_planned(params_json: &str, body: &[u8]) -> bool {
    let params = serde_json::from_str::<serde_json::Value>(params_json).ok();
    if body.is_empty() {
        return params.is_none_or(|params| {
            params.is_null() || params.as_object().is_some_and(serde_json::Map::is_empty)
        });
    }
    params.is_some() && serde_json::from_slice::<serde_json::Value>(body).ok() == params
}

impl Session {
    async fn change_over_http(
        &mut self,
        function: &'static str,
        method: Method,
        endpoint: &str,
        path: &str,
        query: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> wasmtime::Result<Result<Receipt, HostError>> {
        let target = http_target(method, endpoint, path);
        let decision = or_answer!(self.admit_change(function, method, &target, &query, &body).await?);
        if body.len() > REQUEST_BODY_MAX {
            let message = format!("a body of {} bytes, the limit is {REQUEST_BODY_MAX}", body.len());
            return Ok(Err(error(ErrorKind::Invalid, "BODY_TOO_LARGE", message)));
        }
        let timeout = self.meter.remaining();
        if timeout < TIME_TO_BEGIN {
            return Ok(Err(error(
                ErrorKind::Timeout,
                "DEADLINE",
                "too little time is left to begin a change",
            )));
        }
        let plugin = self.plugin.clone();
        let endpoint: &Endpoint = or_answer!(plugin.endpoint(endpoint));
        let Some(change) = &mut self.change else {
            return Err(wasmtime::Error::msg("no change is under way"));
        };
        let ordinal = change.next_ordinal;
        change.next_ordinal += 1;
        change.operations_left = change.operations_left.saturating_sub(1);
        let way = HttpWay {
            function,
            endpoint,
            method,
            path,
            query: &query,
            body: &body,
            keep_pre_image: decision.undo.puts_back(method),
            timeout: timeout.min(Duration::from_millis(ENDPOINT_TIMEOUT_MS)),
        };
        let deed = Deed { ordinal, function, target, way: &way };
        let ledger = match &mut change.mode {
            ChangeMode::Dry(observed) => {
                observed.push(ObservedCall {
                    step_id: change.step.id,
                    function: function.to_owned(),
                    target: deed.target.clone(),
                    reversible: decision.undo.covers(method),
                    pods: 0,
                });
                return Ok(Ok(imagined(&deed)));
            }
            ChangeMode::Real(ledger) => ledger.clone(),
        };
        let outcome = ledger.carry_out(&deed).await;
        self.note(&deed.target, outcome)
    }

    async fn admit_change(
        &mut self,
        function: &'static str,
        method: Method,
        target: &Target,
        query: &[(String, String)],
        body: &[u8],
    ) -> wasmtime::Result<Result<Decision, HostError>> {
        let now = self.world.clock.now();
        let Some(change) = &self.change else { return Err(wasmtime::Error::msg("no change is under way")) };
        let (planned, expires, operations_left) =
            (change.step.target.clone(), change.expires, change.operations_left);
        // A revert sends what was saved, which the plan does not show; its target is bound all the same.
        let body_as_planned = change.reverting || body_as_planned(&change.step.params_json, body);
        let http = HttpFacts {
            endpoint: &target.cluster,
            method,
            path: &target.name,
            query: query.iter().map(|(name, _)| name.as_str()).collect(),
        };
        let change =
            ChangeFacts { target, planned: &planned, body_as_planned, operations_left, expires, now };
        let facts = CallFacts { function, subject: target.to_string(), asks: Asks::Change { http, change } };
        self.admit(facts).await
    }

    /// What a guest is told of a deed, and what the call remembers of it.
    pub(super) fn note(
        &mut self,
        target: &Target,
        outcome: Outcome,
    ) -> wasmtime::Result<Result<Receipt, HostError>> {
        let receipt = match outcome {
            Outcome::Received(receipt) => receipt,
            Outcome::NotBegun(refusal) => return Ok(Err(refusal)),
            Outcome::Unknown { detail } => {
                return Err(self.end(Ended::Unknown { target: target.to_string(), detail }));
            }
            Outcome::Broken(fault) => return Err(self.end(Ended::Fault(fault))),
        };
        let Ok(detail) = serde_json::from_str::<Detail>(&receipt.detail_json) else {
            return Err(wasmtime::Error::msg("a stored receipt cannot be read"));
        };
        if let Some(change) = &mut self.change {
            change.keys.push(detail.key.clone());
            change.receipts.push(receipt.detail_json.clone());
            change.anything_done |= happened(&receipt);
        }
        if let Some(failure) = detail.failure() {
            return Ok(Err(failure));
        }
        Ok(Ok(Receipt {
            operation_id: u64::from(receipt.ordinal),
            snapshot_id: receipt.snapshot_id,
            detail_json: receipt.detail_json,
        }))
    }
}

/// The receipt a dry run answers with: of the same form as a real one, so that a guest behaves as it will.
pub(super) fn imagined(deed: &Deed<'_>) -> Receipt {
    let digest = Digest::of(&("medic-dry-run", deed.way.request_digest(), deed.ordinal));
    let key = format!("medic-{}", digest.as_str().get(7..39).unwrap_or_default());
    let detail = Detail::answered(&key, 200, String::new());
    Receipt { operation_id: u64::from(deed.ordinal), snapshot_id: Some(key), detail_json: detail.to_json() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_parameters_that_were_approved_are_sent() {
        for (params, body) in
            [("{\"workers\":16}", "{ \"workers\": 16 }"), ("null", ""), ("{}", ""), ("", "")]
        {
            assert!(body_as_planned(params, body.as_bytes()), "{params} {body}");
        }
        for (params, body) in
            [("{\"workers\":16}", "{\"workers\":17}"), ("{\"workers\":16}", ""), ("null", "x"), ("", "{}")]
        {
            assert!(!body_as_planned(params, body.as_bytes()), "{params} {body}");
        }
    }
}
