//! Which package may know which: an arrow never points up.

use crate::root;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

/// Packages of the workspace and what each may use of it.
const ARROWS: [(&str, &[&str]); 23] = [
    ("medic-core", &[]),
    ("medic-proto", &[]),
    ("medic-knowledge", &[]),
    ("medic-sdk-macros", &[]),
    ("medic-sdk", &["medic-sdk-macros"]),
    ("medic-sdk-testkit", &["medic-sdk"]),
    ("medic-componentize", &[]),
    ("medic-signals", &["medic-core"]),
    ("medic-ports", &["medic-core"]),
    ("medic-agents", &["medic-core", "medic-signals", "medic-ports"]),
    ("medic-store", &["medic-core", "medic-ports"]),
    ("medic-host", &["medic-core", "medic-ports"]),
    ("medic-ctl", &["medic-proto", "medic-core"]),
    (
        "medicd",
        &[
            "medic-core",
            "medic-proto",
            "medic-knowledge",
            "medic-signals",
            "medic-ports",
            "medic-agents",
            "medic-store",
            "medic-host",
        ],
    ),
    ("medic-cluster", &[]),
    ("medic-lab", &[]),
    ("medic-demo", &["medic-lab", "medic-proto"]),
    ("medic-tests", &["medic-demo", "medic-proto"]),
    ("medic-crash", &["medic-core", "medic-ports", "medic-agents", "medic-store"]),
    ("medic-model", &[]),
    ("medic-tools", &["medic-cluster", "medic-core", "medic-host", "medic-ports"]),
    ("medic-hostile", &["medic-core", "medic-host", "medic-ports"]),
    ("medic-eval", &["medic-core", "medic-knowledge", "medic-signals"]),
];

/// Every tool: it knows the SDK, and the host only through WIT.
const PLUGIN: &[&str] = &["medic-sdk"];

/// What only tests of a package may use besides: twins and scripted hosts.
const FOR_TESTS: &[&str] = &[
    "medic-sdk-testkit",
    "medic-ports",
    "medic-cluster",
    "medic-demo",
    "medic-lab",
    "medic-proto",
    "medicd",
];

/// What core may know of the world: how to write its nouns down, how to hash them, how to name an error. No runtime, no
/// clock, no randomness, no I/O.
const CORE_MAY_USE: [&str; 4] = ["serde", "serde_json", "sha2", "thiserror"];

/// Packages that build in seconds, and what would end that.
const LIGHT: [&str; 4] = ["medic-core", "medic-signals", "medic-ports", "medic-agents"];
const HEAVY: [&str; 4] = ["rocksdb", "wasmtime", "tantivy", "tonic"];

struct Package {
    name: String,
    /// Of the workspace or not; the kinds `normal` and `build`.
    uses: BTreeSet<String>,
    /// Kind `dev`.
    tests_use: BTreeSet<String>,
}

/// From `cargo metadata`, which reads manifests and fetches nothing.
fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let dependencies = |package: &Value, dev: bool| -> BTreeSet<String> {
        let of_kind = |dependency: &&Value| (dependency["kind"] == "dev") == dev;
        let all = package["dependencies"].as_array().unwrap().iter();
        all.filter(of_kind).map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| Package {
            name: package["name"].as_str().unwrap().to_owned(),
            uses: dependencies(package, false),
            tests_use: dependencies(package, true),
        })
        .collect()
}

fn allowed(package: &str) -> Option<&'static [&'static str]> {
    if package.starts_with("plugin-") {
        return Some(PLUGIN);
    }
    ARROWS.iter().find(|(name, _)| *name == package).map(|(_, allowed)| *allowed)
}

#[test]
fn no_arrow_points_up() {
    let packages = packages();
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in &packages {
        let Some(allowed) = allowed(&package.name) else {
            wrong.push(format!("{} is not in the plan of the house: say here what it may use", package.name));
            continue;
        };
        for used in package.uses.iter().filter(|used| names.contains(used.as_str())) {
            if !allowed.contains(&used.as_str()) {
                wrong.push(format!("{} uses {used}, which it may not know", package.name));
            }
        }
        for used in package.tests_use.iter().filter(|used| names.contains(used.as_str())) {
            if !allowed.contains(&used.as_str()) && !FOR_TESTS.contains(&used.as_str()) {
                wrong.push(format!("tests of {} use {used}, which they may not know", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn core_knows_nothing_of_the_world() {
    let packages = packages();
    let core = packages.iter().find(|package| package.name == "medic-core").unwrap();
    let strange: Vec<_> = core.uses.iter().filter(|used| !CORE_MAY_USE.contains(&used.as_str())).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn only_the_composition_root_and_tests_know_everything() {
    for package in packages() {
        let below = |name: &str| matches!(name, "medicd" | "medic-tests");
        let up: Vec<_> = package.uses.iter().filter(|used| below(used)).collect();
        assert!(up.is_empty(), "{} uses {up:?}", package.name);
    }
}

/// Names of external packages by what they depend on, from the lock file: all features that any package switches on, so
/// that a heavy one cannot hide behind a feature.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let lock: toml::Table = toml::from_str(&text).unwrap();
    let mut locked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap().to_owned();
        let dependencies = package.get("dependencies").and_then(toml::Value::as_array);
        // "name", "name version" or "name version (source)".
        let names = dependencies.into_iter().flatten().filter_map(|one| one.as_str()?.split(' ').next());
        locked.entry(name).or_default().extend(names.map(str::to_owned));
    }
    locked
}

#[test]
fn the_inner_loop_reaches_no_engine() {
    let (packages, locked) = (packages(), locked());
    let by_name: BTreeMap<&str, &Package> =
        packages.iter().map(|package| (package.name.as_str(), package)).collect();
    for light in LIGHT {
        let mut seen: BTreeMap<String, String> = BTreeMap::from([(light.to_owned(), String::new())]);
        let mut open = vec![light.to_owned()];
        while let Some(name) = open.pop() {
            // Of our own packages the manifest counts: the lock file mixes in what only their tests use.
            let uses = match by_name.get(name.as_str()) {
                Some(package) => &package.uses,
                None => match locked.get(&name) {
                    Some(uses) => uses,
                    None => continue,
                },
            };
            for used in uses {
                if seen.insert(used.clone(), name.clone()).is_none() {
                    open.push(used.clone());
                }
            }
        }
        let heavy: Vec<_> = HEAVY
            .iter()
            .filter_map(|heavy| seen.get(*heavy).map(|by| format!("{heavy} through {by}")))
            .collect();
        assert!(heavy.is_empty(), "{light} reaches {heavy:?}");
        assert!(seen.len() > 4, "{light}: the walk found nothing, so it proves nothing");
    }
}
