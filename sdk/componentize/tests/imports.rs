//! What the bytes of the first-party components say they can do: the functions they import, one by one, and nothing else.
//! Reads them as a reviewer would.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

#[path = "support/guests.rs"]
mod guests;

use std::collections::{BTreeMap, BTreeSet};

use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Resolve, WorldId, WorldItem};

/// Folder, category, and every host function its code reaches. `log.emit` is there for the message of a panic.
const COMPONENTS: [(&str, &str, &[&str]); 11] = [
    (
        "kubernetes-read",
        "query",
        &["artifacts.put", "k8s-read.get", "k8s-read.list-objects", "k8s-read.pod-logs", "log.emit"],
    ),
    ("prometheus", "query", &["clock.now-ms", "log.emit", "metrics.query", "metrics.query-range"]),
    ("network", "diagnostic", &["clock.now-ms", "log.emit", "probe.dns", "probe.tls"]),
    (
        "kubernetes-change",
        "remediation",
        &[
            "k8s-change.cordon",
            "k8s-change.restart-pod",
            "k8s-change.rollout-restart",
            "k8s-change.rollout-undo",
            "k8s-change.scale",
            "k8s-read.get",
            "k8s-read.list-objects",
            "log.emit",
        ],
    ),
    ("http-admin", "remediation", &["http-change.send", "http-read.send", "log.emit"]),
    (
        "kubernetes-destroy",
        "destructive",
        &["k8s-destroy.delete", "k8s-read.get", "k8s-read.list-objects", "log.emit"],
    ),
    ("error-ratio", "query", &["log.emit", "metrics.query-many"]),
    ("search-logs", "query", &["artifacts.put", "clock.now-ms", "log.emit", "logs.search"]),
    ("probe-endpoint", "diagnostic", &["http-read.send", "log.emit", "probe.tcp"]),
    (
        "service-admin",
        "remediation",
        &["http-change.send", "http-read.send", "log.emit", "metrics.query-many"],
    ),
    ("storage-purge", "destructive", &["http-destroy.delete", "http-read.send", "log.emit"]),
];

/// Larger than any of them by half: a jump beyond it means that something came along that a tool does not need.
const COMPONENT_BYTES_MAX: usize = 350 * 1024;

fn interface_name(resolve: &Resolve, item: &WorldItem) -> String {
    let WorldItem::Interface { id, .. } = item else { panic!("something other than an interface: {item:?}") };
    resolve.id_of(*id).unwrap()
}

/// `medic:host/metrics@0.1.0` and its functions → `metrics.query`, …
fn imported_functions(resolve: &Resolve, world: WorldId) -> BTreeSet<String> {
    let mut functions = BTreeSet::new();
    for item in resolve.worlds[world].imports.values() {
        let name = interface_name(resolve, item);
        let WorldItem::Interface { id, .. } = item else { continue };
        for (function, _) in &resolve.interfaces[*id].functions {
            let short = name.strip_prefix("medic:host/").and_then(|name| name.split('@').next());
            functions.insert(format!("{}.{function}", short.unwrap_or(&name)));
        }
    }
    functions
}

#[test]
fn components_import_what_they_use_and_fit_their_category() {
    let out = guests::components();

    let mut contract = Resolve::default();
    let (package, _) = contract.push_path(guests::workspace().join("wit/0.1.0")).unwrap();
    let mut sizes = BTreeMap::new();
    for (name, category, functions) in COMPONENTS {
        let bytes = std::fs::read(out.join(format!("{name}.wasm"))).unwrap();
        sizes.insert(name, bytes.len());
        let DecodedWasm::Component(resolve, world) = decode(&bytes).unwrap() else {
            panic!("{name} is no component")
        };

        let exports: BTreeSet<String> =
            resolve.worlds[world].exports.values().map(|item| interface_name(&resolve, item)).collect();
        let expected = ["catalog", category].map(|interface| format!("medic:tool/{interface}@0.1.0"));
        assert_eq!(exports, BTreeSet::from(expected), "{name}");
        assert_eq!(
            imported_functions(&resolve, world),
            functions.iter().map(|function| (*function).to_owned()).collect(),
            "{name} imports other functions than its code needs"
        );

        for (candidate, world) in &contract.packages[package].worlds {
            let Some(candidate) = candidate.strip_suffix("-tool") else { continue };
            let fits = wit_component::targets(&contract, *world, &bytes, false).is_ok();
            assert_eq!(fits, candidate == category, "{name} and the world of category {candidate}");
        }
    }
    println!("component sizes in bytes: {sizes:?}");
    assert!(sizes.values().all(|size| *size <= COMPONENT_BYTES_MAX), "{sizes:?}");
}
