//! Linking a component against the functions of its category, and no others.

use medic_core::ToolCategory;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};

use super::LoadError;
use crate::grant::Profile;
use crate::plugin::Guest;
use crate::sandbox::Sandbox;
use crate::session::Session;

/// # Errors
/// `LINK_FAILED`, `WORLD_MISMATCH`.
pub fn link(
    sandbox: &Sandbox,
    engine: &Engine,
    component: &Component,
    category: ToolCategory,
    profile: Profile,
) -> Result<Guest, LoadError> {
    let failed =
        |error: wasmtime::Error| LoadError::new("LINK_FAILED", format!("it cannot be linked: {error:#}"));
    let mut linker = sandbox
        .linker(category, profile)
        .ok_or_else(|| LoadError::new("LINK_FAILED", "no linker exists for its category"))?;
    if profile == Profile::Pure {
        link_wasi_as_traps(&mut linker, engine, component).map_err(failed)?;
    }
    Guest::new(category, linker.instantiate_pre(component).map_err(failed)?)
}

/// Ambient WASI that a guest's runtime drags in and that is not given: calling any of it is a trap. Only this is stubbed;
/// what is missing of the contract stays missing.
fn link_wasi_as_traps(
    linker: &mut Linker<Session>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (name, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        if !name.starts_with("wasi:") {
            continue;
        }
        let mut instance = linker.instance(name)?;
        for (export, item) in interface.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let words = format!("{name} {export} is not there under profile pure");
                    instance.func_new(export, move |_, _, _, _| Err(wasmtime::Error::msg(words.clone())))?;
                }
                ComponentItem::Resource(_) => {
                    instance.resource(export, ResourceType::host::<()>(), |_, _| Ok(()))?
                }
                _ => {}
            }
        }
    }
    Ok(())
}
