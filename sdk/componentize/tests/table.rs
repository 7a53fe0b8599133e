//! The table of the first-party tools in `plugins/README.md`, from their bytes: it cannot say what they are not.
//!
//! When it is stale, `MEDIC_WRITE_TABLE=1 cargo test -p medic-componentize --test table` writes it anew.

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

use std::fmt::Write as _;
use std::path::Path;

use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Config, Engine, Store};
use wit_parser::WorldItem;
use wit_parser::decoding::{DecodedWasm, decode};

const BEGIN: &str = "<!-- The table is generated from the components. -->\n";
const END: &str = "<!-- Here it ends. -->\n";

/// Category and the host functions a component imports, but for `log.emit`.
fn shape(bytes: &[u8]) -> (String, Vec<String>) {
    let DecodedWasm::Component(resolve, world) = decode(bytes).unwrap() else { panic!("no component") };
    let world = &resolve.worlds[world];
    let interface = |item: &WorldItem| match item {
        WorldItem::Interface { id, .. } => Some((resolve.id_of(*id).unwrap(), *id)),
        _ => None,
    };
    let exports = world.exports.values().filter_map(interface);
    let category = exports
        .filter_map(|(name, _)| name.strip_prefix("medic:tool/")?.split('@').next().map(str::to_owned))
        .find(|name| name != "catalog")
        .unwrap();
    let mut functions = Vec::new();
    for (name, id) in world.imports.values().filter_map(interface) {
        let short = name
            .strip_prefix("medic:host/")
            .and_then(|name| name.split('@').next())
            .unwrap_or(&name)
            .to_owned();
        functions
            .extend(resolve.interfaces[id].functions.keys().map(|function| format!("{short}.{function}")));
    }
    functions.retain(|function| function != "log.emit");
    functions.sort();
    (category.to_uppercase(), functions)
}

/// `scale_workers{service, workers}` of each tool, as its catalogue says it with every import a trap.
fn tools(path: &Path) -> Vec<String> {
    let mut config = Config::new();
    config.wasm_component_model(true);
    let engine = Engine::new(&config).unwrap();
    let component = Component::from_file(&engine, path).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker.define_unknown_imports_as_traps(&component).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let catalogue = instance.get_export_index(&mut store, None, "medic:tool/catalog@0.1.0").unwrap();
    let function = instance.get_export_index(&mut store, Some(&catalogue), "list-tools").unwrap();
    let function = instance.get_func(&mut store, function).unwrap();
    let mut results = [Val::Bool(false)];
    function.call(&mut store, &[], &mut results).unwrap();
    let Val::List(tools) = &results[0] else { panic!("no list") };
    let mut told: Vec<String> = tools.iter().map(signature).collect();
    told.sort();
    told
}

fn signature(tool: &Val) -> String {
    let Val::Record(fields) = tool else { panic!("no record") };
    let text = |name: &str| match fields.iter().find(|(field, _)| field == name) {
        Some((_, Val::String(text))) => text.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let schema: serde_json::Value = serde_json::from_str(&text("input-schema")).unwrap();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"].as_object().unwrap();
    let argument = |name: &String| match required.iter().any(|required| required == name.as_str()) {
        true => name.clone(),
        false => format!("{name}?"),
    };
    format!("{}{{{}}}", text("name"), properties.keys().map(argument).collect::<Vec<_>>().join(", "))
}

fn table() -> String {
    let mut table =
        String::from("| component | category | tools | host functions in its bytes |\n|---|---|---|---|\n");
    for name in guests::GUESTS {
        let path = guests::components().join(format!("{name}.wasm"));
        let (category, functions) = shape(&std::fs::read(&path).unwrap());
        let tools: Vec<String> = tools(&path).iter().map(|tool| format!("`{tool}`")).collect();
        writeln!(table, "| `{name}` | {category} | {} | {} |", tools.join(", "), functions.join(", "))
            .unwrap();
    }
    table
}

#[test]
fn the_readme_says_what_the_bytes_say() {
    let path = guests::workspace().join("plugins/README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = text.find(BEGIN).expect("the table's beginning") + BEGIN.len();
    let end = text.find(END).expect("the table's end");
    let table = table();
    if std::env::var_os("MEDIC_WRITE_TABLE").is_some() {
        std::fs::write(&path, format!("{}{table}{}", &text[..begin], &text[end..])).unwrap();
        return;
    }
    assert_eq!(&text[begin..end], table, "the table is stale; MEDIC_WRITE_TABLE=1 writes it anew");
}
