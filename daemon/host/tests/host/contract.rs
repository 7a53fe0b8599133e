//! The contract as it was published, against what it is now: a tool that was built once goes on loading.
//!
//! `fixtures/contract-0.1.0` holds the published text, and components built from it: `whole-*` import and export
//! everything of their category's world, the others are tools that answer.

use std::path::{Path, PathBuf};

use medic_core::Digest;
use medic_core::permit::Ground;
use medic_host::audit;
use medic_ports::ToolHost;
use wit_parser::{Resolve, WorldId};

use crate::support::{Setup, permit};

const CATEGORIES: [&str; 4] = ["query", "diagnostic", "remediation", "destructive"];

fn published() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/contract-0.1.0")
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Both contracts in one place; the present one under the next version, for two of a name cannot stand side by side.
fn compatible(host: &str, tool: &str, category: &str) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let mut world = |host: &str, tool: &str| -> WorldId {
        resolve.push_str("host.wit", host).unwrap();
        let package = resolve.push_str("tool.wit", tool).unwrap();
        resolve.select_world(&[package], Some(&format!("{category}-tool"))).unwrap()
    };
    let before = world(&read(published().join("host.wit")), &read(published().join("tool.wit")));
    let next = |text: &str| text.replace("@0.1.0", "@0.1.1");
    let now = world(&next(host), &next(tool));
    wit_component::semver_check(resolve, before, now).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_contract_only_grows() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/0.1.0");
    let (host, tool) = (read(wit.join("deps/medic-host/host.wit")), read(wit.join("tool.wit")));
    for category in CATEGORIES {
        compatible(&host, &tool, category).unwrap_or_else(|why| {
            panic!("{category} tools built against 0.1.0 would not load any more: {why}")
        });
        let refused = |host: &str, tool: &str| compatible(host, tool, category).is_err();
        assert!(
            !refused(&host.replace("interface log {", "interface log {\n  count: func() -> u32;"), &tool),
            "a function more is no harm"
        );
        assert!(
            refused(&host.replace("emit: func(level: level, message: string);", ""), &tool),
            "a function less is"
        );
        assert!(refused(
            &host.replace("record attr { name: string,", "record attr { kind: string, name: string,"),
            &tool
        ));
        assert!(refused(
            &host.replace("enum error-kind { denied,", "enum error-kind { refused, denied,"),
            &tool
        ));
        let export = format!("interface {category} {{");
        assert!(refused(&host, &tool.replace(&export, &format!("{export}\n  more: func();"))), "{category}");
    }
}

#[tokio::test]
async fn tools_that_were_built_against_the_published_contract_go_on_loading() {
    let mut setup = Setup::new();
    let component = |name: &str| std::fs::read(published().join(format!("{name}.wasm"))).unwrap();
    for category in CATEGORIES {
        setup.plugin(category, category, &component(category), "");
        setup.plugin(&format!("whole-{category}"), category, &component(&format!("whole-{category}")), "");
    }
    let host = setup.try_open().await.unwrap();
    let tools: Vec<_> = host.list().into_iter().map(|tool| tool.plugin).collect();
    assert_eq!(tools, ["destructive", "diagnostic", "query", "remediation"], "{:#?}", host.rejected());
    for category in ["query", "diagnostic"] {
        let asked = permit(&host, &format!("old_{category}"), "{\"n\":3}", Ground::Invoke);
        assert_eq!(host.invoke(&asked).await.unwrap().summary, "{\"n\":3}");
    }
    for category in ["remediation", "destructive"] {
        let asked = permit(&host, &format!("old_{category}"), "{}", Ground::Prepare);
        assert_eq!(host.plan(&asked).await.unwrap().steps.len(), 1);
    }
    // They list no tools, so that the catalogue is where they end: every function of their world was linked before it.
    let whole: Vec<_> = host.rejected().into_iter().map(|rejected| (rejected.file, rejected.code)).collect();
    let expected = ["destructive", "diagnostic", "query", "remediation"];
    assert_eq!(whole, expected.map(|name| (format!("whole-{name}.wasm"), "CATALOGUE_FAILED".to_owned())));
    for category in CATEGORIES {
        let report = audit(&component(&format!("whole-{category}"))).unwrap();
        assert_eq!(report.functions().count() + report.always.len(), functions_of(category), "{category}");
        assert_eq!(report.digest, Digest::of_bytes(&component(&format!("whole-{category}"))).to_string());
    }
}

/// Imported functions of a world as it was published.
fn functions_of(category: &str) -> usize {
    let mut resolve = Resolve::default();
    resolve.push_str("host.wit", &read(published().join("host.wit"))).unwrap();
    let package = resolve.push_str("tool.wit", &read(published().join("tool.wit"))).unwrap();
    let world = resolve.select_world(&[package], Some(&format!("{category}-tool"))).unwrap();
    let interfaces = resolve.worlds[world].imports.values().filter_map(|item| match item {
        wit_parser::WorldItem::Interface { id, .. } => Some(resolve.interfaces[*id].functions.len()),
        _ => None,
    });
    interfaces.sum()
}
