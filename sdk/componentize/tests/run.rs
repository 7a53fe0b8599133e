//! The built components, called through their exports by a bare runtime: the glue between the contract and the traits
//! works in the sandbox as it does natively, and the catalogue needs no host at all.

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

use std::path::Path;

use wasmtime::component::{Component, Linker, Resource, ResourceType, Val};
use wasmtime::{Config, Engine, Store, StoreContextMut};

/// What the scripted host functions saw.
#[derive(Default)]
struct Seen {
    changes: Vec<Vec<Val>>,
}

/// The host's side of a grant.
struct Grant;

struct Instance {
    store: Store<Seen>,
    instance: wasmtime::component::Instance,
}

impl Instance {
    /// Links what `define` defines; every other import traps.
    fn of(path: &Path, define: impl FnOnce(&mut Linker<Seen>)) -> Self {
        let mut config = Config::new();
        config.wasm_component_model(true);
        let engine = Engine::new(&config).unwrap();
        let component = Component::from_file(&engine, path).unwrap();
        let mut linker = Linker::new(&engine);
        define(&mut linker);
        linker.define_unknown_imports_as_traps(&component).unwrap();
        let mut store = Store::new(&engine, Seen::default());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        Self { store, instance }
    }

    fn call(&mut self, interface: &str, function: &str, args: &[Val]) -> Val {
        let interface = format!("medic:tool/{interface}@0.1.0");
        let instance = self.instance.get_export_index(&mut self.store, None, &interface).unwrap();
        let function = self.instance.get_export_index(&mut self.store, Some(&instance), function).unwrap();
        let function = self.instance.get_func(&mut self.store, function).unwrap();
        let mut results = [Val::Bool(false)];
        function.call(&mut self.store, args, &mut results).unwrap();
        let [result] = results;
        result
    }

    fn list_tools(&mut self) -> Vec<String> {
        let Val::List(tools) = self.call("catalog", "list-tools", &[]) else { panic!("no list") };
        tools.iter().map(|tool| text(field(tool, "name"))).collect()
    }
}

fn field<'v>(record: &'v Val, name: &str) -> &'v Val {
    let Val::Record(fields) = record else { panic!("no record: {record:?}") };
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value).unwrap()
}

fn text(value: &Val) -> String {
    let Val::String(text) = value else { panic!("no string: {value:?}") };
    text.clone()
}

fn ok(result: Val) -> Val {
    let Val::Result(Ok(Some(value))) = result else { panic!("no success: {result:?}") };
    *value
}

fn string(text: &str) -> Val {
    Val::String(text.to_owned())
}

fn record<const N: usize>(fields: [(&str, Val); N]) -> Val {
    Val::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn context() -> Val {
    record([("incident-id", string("inc-1")), ("call-id", string("call-1")), ("attempt", Val::U32(1))])
}

fn answer(value: Val) -> Val {
    Val::Result(Ok(Some(Box::new(value))))
}

fn series(value: f64) -> Val {
    let sample = record([("at-ms", Val::U64(0)), ("value", Val::Float64(value))]);
    record([("labels", Val::List(vec![])), ("samples", Val::List(vec![sample]))])
}

fn define_metrics(linker: &mut Linker<Seen>, values: &'static [f64]) {
    let mut metrics = linker.instance("medic:host/metrics@0.1.0").unwrap();
    metrics
        .func_new("query-many", move |_, _, _, results| {
            let answers = values.iter().map(|value| answer(Val::List(vec![series(*value)])));
            results[0] = Val::List(answers.collect());
            Ok(())
        })
        .unwrap();
}

fn define_http(linker: &mut Linker<Seen>, body: &'static str) {
    let mut read = linker.instance("medic:host/http-read@0.1.0").unwrap();
    read.func_new("send", move |_, _, _, results| {
        let body = body.bytes().map(Val::U8).collect();
        results[0] = answer(record([
            ("status", Val::U16(200)),
            ("headers", Val::List(vec![])),
            ("body", Val::List(body)),
            ("truncated", Val::Bool(false)),
        ]));
        Ok(())
    })
    .unwrap();
}

fn define_changes(linker: &mut Linker<Seen>) {
    // An interface that uses the type of another one names it as its own as well.
    for interface in ["medic:host/change@0.1.0", "medic:host/http-change@0.1.0"] {
        let mut interface = linker.instance(interface).unwrap();
        interface.resource("grant", ResourceType::host::<Grant>(), |_, _| Ok(())).unwrap();
    }
    let mut http = linker.instance("medic:host/http-change@0.1.0").unwrap();
    http.func_new("send", |mut store: StoreContextMut<'_, Seen>, _, args, results| {
        let [Val::Resource(grant), call @ ..] = args else { panic!("no grant: {args:?}") };
        // What is lent must be back before the call ends; a runtime without typed bindings has to see to it itself.
        grant.resource_drop(&mut store)?;
        store.data_mut().changes.push(call.to_vec());
        results[0] = answer(record([
            ("operation-id", Val::U64(7)),
            ("snapshot-id", Val::Option(None)),
            ("detail-json", string("{}")),
        ]));
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_catalogue_of_every_component_needs_no_host() {
    let out = guests::components();
    for (name, tools) in [
        ("error-ratio", &["error_ratio"][..]),
        ("search-logs", &["search_logs"]),
        ("probe-endpoint", &["probe_endpoint"]),
        ("service-admin", &["restart_service", "rollback_config", "scale_workers"]),
        ("storage-purge", &["purge_expired"]),
    ] {
        let mut guest = Instance::of(&out.join(format!("{name}.wasm")), |_| {});
        assert_eq!(guest.list_tools(), tools, "{name}");
    }
}

#[test]
fn a_query_answers_and_refuses() {
    let path = guests::components().join("error-ratio.wasm");
    let mut guest = Instance::of(&path, |linker| define_metrics(linker, &[1.5, 30.0]));
    let args = string(r#"{"service":"checkout"}"#);
    let output = ok(guest.call("query", "invoke", &[context(), string("error_ratio"), args.clone()]));
    assert_eq!(text(field(&output, "summary")), "5.00 % of 30.0 requests/s to checkout failed over 5m");

    let mut guest = Instance::of(&path, |_| {});
    for (tool, args) in [("error_ratios", args), ("error_ratio", string("{}"))] {
        let Val::Result(Err(Some(error))) = guest.call("query", "invoke", &[context(), string(tool), args])
        else {
            panic!("{tool} succeeds")
        };
        assert_eq!(text(field(&error, "code")), "INVALID_ARGS");
    }
}

#[test]
fn a_change_is_planned_without_and_carried_out_with_a_grant() {
    let path = guests::components().join("service-admin.wasm");
    let mut guest = Instance::of(&path, |linker| {
        define_http(linker, r#"{"workers":8}"#);
        define_changes(linker);
    });
    let args = string(r#"{"service":"checkout","workers":16}"#);
    let plan = ok(guest.call("remediation", "plan", &[context(), string("scale_workers"), args]));
    assert!(guest.store.data().changes.is_empty());

    let grant = Resource::<Grant>::new_own(42).try_into_resource_any(&mut guest.store).unwrap();
    let report =
        ok(guest.call("remediation", "apply", &[context(), Val::Resource(grant), plan, Val::U32(1)]));
    let Val::List(receipts) = field(&report, "receipts") else { panic!("no receipts") };
    assert_eq!(field(&receipts[0], "operation-id"), &Val::U64(7));
    let [call] = &guest.store.data().changes[..] else { panic!("not one change") };
    assert_eq!(call[0], Val::Enum("put".to_owned()));
    assert_eq!((&call[1], &call[2]), (&string("checkout-admin"), &string("/admin/workers")));
    assert_eq!(call[4], Val::List(br#"{"workers":16}"#.iter().copied().map(Val::U8).collect()));
}
