//! The tool contract as Rust types, generated from `wit/0.1.0`: one module a world.
//!
//! Owns nothing but the generation. The world of destructive tools has every import, so its types serve all four; the
//! other worlds are generated over them, and each keeps its own `add_to_linker`, which is what makes a ceiling.

pub mod destructive {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "medic:tool/destructive-tool",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "medic:host/change.grant": crate::session::MintedGrant },
    });
}

pub mod remediation {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "medic:tool/remediation-tool",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "medic:host": crate::contract::destructive::medic::host,
            "medic:tool/types": crate::contract::destructive::medic::tool::types,
        },
    });
}

pub mod diagnostic {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "medic:tool/diagnostic-tool",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "medic:host": crate::contract::destructive::medic::host,
            "medic:tool/types": crate::contract::destructive::medic::tool::types,
        },
    });
}

pub mod query {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "medic:tool/query-tool",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "medic:host": crate::contract::destructive::medic::host,
            "medic:tool/types": crate::contract::destructive::medic::tool::types,
        },
    });
}

pub use destructive::medic::host;
pub use destructive::medic::tool::types as tool;
