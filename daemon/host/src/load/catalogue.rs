//! `list-tools`, asked once with every import a trap: a catalogue that needs the world is no catalogue.

use std::collections::BTreeSet;
use std::time::Duration;

use medic_core::ToolName;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store, UpdateDeadline};

use super::LoadError;
use crate::contract::destructive::exports::medic::tool::catalog::ToolInfo;
use crate::limits::{
    CATALOGUE_CPU_MS, CATALOGUE_MEMORY_MAX, CATALOGUE_TOOLS_MAX, CATALOGUE_WALL_MS, HANDLES_MAX, MEMORY_MAX,
    TICK_MS,
};
use crate::meter::MemoryMeter;
use crate::plugin::Tool;
use crate::sandbox::{Sandbox, trap_fault};
use crate::schema::InputSchema;
use crate::text;

/// 256 KiB: 32 tools with schemas of 8 KiB.
const CATALOGUE_BYTES_MAX: usize = 256 * 1024;
/// Of a linear memory.
const PAGE_BYTES: u64 = 64 * 1024;
const DESCRIPTION_BYTES_MAX: usize = 4096;

pub fn read(sandbox: &Sandbox, engine: &Engine, component: &Component) -> Result<Vec<Tool>, LoadError> {
    let failed = |why: String| {
        LoadError::new("CATALOGUE_FAILED", format!("list-tools, with every import a trap: {why}"))
    };
    let mut store = Store::new(engine, MemoryMeter::new(initial_memory(component)));
    let asked = ask(&mut store, component);
    let limited = async { tokio::time::timeout(Duration::from_millis(CATALOGUE_WALL_MS), asked).await };
    let answer = sandbox.block_on(limited).map_err(|fault| failed(fault.message))?;
    let answer = answer.map_err(|_| failed(format!("it did not answer within {CATALOGUE_WALL_MS} ms")))?;
    let infos = answer.map_err(|error| match store.data().refused() {
        Some(refused) => failed(refused.message.clone()),
        None => failed(trap_fault(&error, CATALOGUE_BYTES_MAX as u64).message),
    })?;
    check(infos)
}

/// An interpreted guest starts with its heap laid out; what counts is what it takes on top of that.
fn initial_memory(component: &Component) -> u64 {
    let pages =
        component.resources_required().and_then(|needs| needs.max_initial_memory_size).unwrap_or_default();
    CATALOGUE_MEMORY_MAX.saturating_add(pages.saturating_mul(PAGE_BYTES)).min(MEMORY_MAX)
}

async fn ask(store: &mut Store<MemoryMeter>, component: &Component) -> wasmtime::Result<Vec<ToolInfo>> {
    store.limiter(|memory| memory);
    store.set_hostcall_fuel(CATALOGUE_BYTES_MAX);
    store.set_max_component_handles(HANDLES_MAX);
    store.set_epoch_deadline(1);
    let mut ticks = 0;
    store.epoch_deadline_callback(move |_| {
        ticks += 1;
        if ticks * TICK_MS > CATALOGUE_CPU_MS {
            return Err(wasmtime::Error::msg(format!(
                "it used more than {CATALOGUE_CPU_MS} ms of processor time"
            )));
        }
        Ok(UpdateDeadline::Yield(1))
    });
    let mut linker = Linker::new(store.engine());
    linker.define_unknown_imports_as_traps(component)?;
    let instance = linker.instantiate_async(&mut *store, component).await?;
    let name = component
        .component_type()
        .exports(store.engine())
        .map(|(name, _)| name.to_owned())
        .find(|name| name.starts_with("medic:tool/catalog@"))
        .ok_or_else(|| wasmtime::Error::msg("there is no catalogue"))?;
    let interface = instance.get_export_index(&mut *store, None, &name);
    let function = instance.get_export_index(&mut *store, interface.as_ref(), "list-tools");
    let function = function.ok_or_else(|| wasmtime::Error::msg("there is no list-tools"))?;
    let function = instance.get_typed_func::<(), (Vec<ToolInfo>,)>(&mut *store, function)?;
    Ok(function.call_async(&mut *store, ()).await?.0)
}

fn check(infos: Vec<ToolInfo>) -> Result<Vec<Tool>, LoadError> {
    if infos.is_empty() || infos.len() > CATALOGUE_TOOLS_MAX {
        let message =
            format!("it lists {} tools; between 1 and {CATALOGUE_TOOLS_MAX} are possible", infos.len());
        return Err(LoadError::new("CATALOGUE_INVALID", message));
    }
    let mut names = BTreeSet::new();
    let mut tools = Vec::new();
    for info in infos {
        let shown = text::line(&info.name, 64);
        let invalid =
            |message: String| LoadError::new("CATALOGUE_INVALID", format!("tool `{shown}`: {message}"));
        if !is_tool_name(&info.name) {
            return Err(invalid(
                "a name is a lower-case letter, then up to 47 letters, digits and underscores".to_owned(),
            ));
        }
        if !names.insert(info.name.clone()) {
            return Err(invalid("is listed twice".to_owned()));
        }
        if info.description.trim().is_empty() {
            return Err(invalid("has no description".to_owned()));
        }
        let schema = InputSchema::parse(&info.input_schema)
            .map_err(|why| LoadError::new("SCHEMA_LOOSE", format!("tool `{shown}`: input schema: {why}")))?;
        tools.push(Tool {
            name: ToolName::new(info.name),
            title: text::line(&info.title, 128),
            description: text::plain(&info.description, DESCRIPTION_BYTES_MAX),
            schema,
        });
    }
    Ok(tools)
}

fn is_tool_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.len() <= 48 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str) -> ToolInfo {
        ToolInfo {
            name: name.into(),
            title: "T\u{1b}[2Jitle".into(),
            description: "Does it.".into(),
            input_schema: r#"{"type":"object","additionalProperties":false}"#.into(),
            output_schema: None,
            examples_json: "[]".into(),
        }
    }

    #[test]
    fn catalogues_that_would_mislead_are_refused() {
        assert_eq!(check(vec![info("a_b1")]).unwrap()[0].title, "Title");
        let code = |infos| check(infos).unwrap_err().code;
        assert_eq!(code(vec![]), "CATALOGUE_INVALID");
        assert_eq!(code(vec![info("a"); 33]), "CATALOGUE_INVALID");
        assert_eq!(code(vec![info("a"), info("a")]), "CATALOGUE_INVALID");
        for name in ["", "A", "1a", "a-b", "a b", "../a", &"a".repeat(49)] {
            assert_eq!(code(vec![info(name)]), "CATALOGUE_INVALID", "{name}");
        }
        assert_eq!(code(vec![ToolInfo { description: " ".into(), ..info("a") }]), "CATALOGUE_INVALID");
        assert_eq!(
            code(vec![ToolInfo { input_schema: r#"{"type":"object"}"#.into(), ..info("a") }]),
            "SCHEMA_LOOSE"
        );
    }
}
