//! A service's configuration document: its shape, its first value and what is refused.

use crate::topology::Service;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an operator may set on a running service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The rollout this document came with: 1 to 64 characters.
    pub release: String,
    /// How long a call to each callee may take, milliseconds, 1 to 60 000. Exactly the service's callees.
    pub timeouts_ms: BTreeMap<Service, u64>,
    /// How many requests may wait for a worker, 1 to 1 000; the next is answered 503.
    pub queue_max: u32,
    /// How long one may wait for a worker, milliseconds, 1 to 60 000; then it is answered 503.
    pub queue_wait_ms: u64,
}

impl Config {
    /// The document a service starts its life with.
    pub fn at_first(service: Service) -> Self {
        Self {
            release: "2026.11.1".to_owned(),
            timeouts_ms: service.callees().iter().map(|callee| (*callee, 2_000)).collect(),
            queue_max: 16,
            queue_wait_ms: 1_500,
        }
    }

    /// Reads a document for the service, or says what is wrong with it.
    pub fn parse(service: Service, bytes: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if config.release.is_empty() || config.release.chars().count() > 64 {
            return Err("release: must have 1 to 64 characters".to_owned());
        }
        for callee in service.callees() {
            if !config.timeouts_ms.contains_key(callee) {
                return Err(format!("timeouts_ms: {callee} is missing"));
            }
        }
        for (callee, timeout_ms) in &config.timeouts_ms {
            if !service.callees().contains(callee) {
                return Err(format!("timeouts_ms: {service} does not call {callee}"));
            }
            if !(1..=60_000).contains(timeout_ms) {
                return Err(format!("timeouts_ms: {callee} must be 1 to 60000, not {timeout_ms}"));
            }
        }
        if !(1..=1_000).contains(&config.queue_max) {
            return Err(format!("queue_max: must be 1 to 1000, not {}", config.queue_max));
        }
        if !(1..=60_000).contains(&config.queue_wait_ms) {
            return Err(format!("queue_wait_ms: must be 1 to 60000, not {}", config.queue_wait_ms));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_read_can_be_put_back() {
        for service in Service::ALL {
            let first = Config::at_first(service);
            assert_eq!(Config::parse(service, &serde_json::to_vec(&first).unwrap()), Ok(first));
        }
    }

    fn refuses(change: impl FnOnce(&mut Value), reason: &str) {
        let mut document = serde_json::to_value(Config::at_first(Service::Checkout)).unwrap();
        change(&mut document);
        let answer = Config::parse(Service::Checkout, &serde_json::to_vec(&document).unwrap()).unwrap_err();
        assert!(answer.contains(reason), "{answer:?} does not say {reason:?}");
    }

    #[test]
    fn a_wrong_document_is_refused_with_its_reason() {
        refuses(|document| document["tiemouts"] = json!(1), "unknown field `tiemouts`");
        refuses(|document| document["release"] = json!(""), "release");
        refuses(|document| document["timeouts_ms"] = json!({"inventory": 10}), "payments is missing");
        refuses(|document| document["timeouts_ms"]["store"] = json!(10), "checkout does not call store");
        refuses(|document| document["timeouts_ms"]["payments"] = json!(0), "1 to 60000");
        refuses(|document| document["timeouts_ms"]["payments"] = json!("1"), "invalid type");
        refuses(|document| document["queue_max"] = json!(0), "queue_max");
        refuses(|document| document["queue_wait_ms"] = json!(60_001), "queue_wait_ms");
    }
}
