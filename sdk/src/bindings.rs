//! Owns the code generated from the contract in `wit/`; nothing outside this crate sees it, but for the export macros.
//!
//! Every host function is generated, yet a component imports only those that its code reaches: the linker drops the
//! rest, and the encoder writes an import for what is left.
//!
//! Generated code lifts and lowers raw memory: the only place in the SDK where `unsafe` is allowed.
#![allow(unsafe_code, missing_docs, clippy::all, clippy::indexing_slicing)]

pub mod imports {
    wit_bindgen::generate!({
        path: ["../wit/0.1.0", "wit"],
        world: "medic:sdk/imports@0.1.0",
        runtime_path: "::medic_sdk::__private::rt",
        additional_derives: [PartialEq, Clone],
        generate_all,
    });
}

pub mod catalog {
    wit_bindgen::generate!({
        path: ["../wit/0.1.0", "wit"],
        world: "medic:sdk/exports-catalog@0.1.0",
        pub_export_macro: true,
        runtime_path: "::medic_sdk::__private::rt",
        with: {
            "medic:host/types@0.1.0": crate::bindings::imports::medic::host::types,
            "medic:tool/types@0.1.0": crate::bindings::imports::medic::tool::types,
        },
    });
}

pub mod query {
    wit_bindgen::generate!({
        path: ["../wit/0.1.0", "wit"],
        world: "medic:sdk/exports-query@0.1.0",
        pub_export_macro: true,
        runtime_path: "::medic_sdk::__private::rt",
        with: {
            "medic:host/types@0.1.0": crate::bindings::imports::medic::host::types,
            "medic:tool/types@0.1.0": crate::bindings::imports::medic::tool::types,
        },
    });
}

pub mod diagnostic {
    wit_bindgen::generate!({
        path: ["../wit/0.1.0", "wit"],
        world: "medic:sdk/exports-diagnostic@0.1.0",
        pub_export_macro: true,
        runtime_path: "::medic_sdk::__private::rt",
        with: {
            "medic:host/types@0.1.0": crate::bindings::imports::medic::host::types,
            "medic:tool/types@0.1.0": crate::bindings::imports::medic::tool::types,
        },
    });
}

pub mod remediation {
    wit_bindgen::generate!({
        path: ["../wit/0.1.0", "wit"],
        world: "medic:sdk/exports-remediation@0.1.0",
        pub_export_macro: true,
        runtime_path: "::medic_sdk::__private::rt",
        with: {
            "medic:host/types@0.1.0": crate::bindings::imports::medic::host::types,
            "medic:tool/types@0.1.0": crate::bindings::imports::medic::tool::types,
            "medic:host/change@0.1.0": crate::bindings::imports::medic::host::change,
        },
    });
}

pub mod destructive {
    wit_bindgen::generate!({
        path: ["../wit/0.1.0", "wit"],
        world: "medic:sdk/exports-destructive@0.1.0",
        pub_export_macro: true,
        runtime_path: "::medic_sdk::__private::rt",
        with: {
            "medic:host/types@0.1.0": crate::bindings::imports::medic::host::types,
            "medic:tool/types@0.1.0": crate::bindings::imports::medic::tool::types,
            "medic:host/change@0.1.0": crate::bindings::imports::medic::host::change,
        },
    });
}
