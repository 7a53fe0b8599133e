//! Components, built once a test binary from the sources beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use wit_component::ComponentEncoder;

const PLUGINS: [&str; 6] =
    ["kubernetes-read", "kubernetes-change", "kubernetes-destroy", "prometheus", "network", "http-admin"];
const ROGUES: [&str; 3] = ["rogue-query", "rogue-change", "rogue-destroy"];

/// The bytes of a component, by the name of its plugin.
pub fn component(name: &str) -> &'static [u8] {
    static BUILT: OnceLock<BTreeMap<&str, Vec<u8>>> = OnceLock::new();
    BUILT.get_or_init(build).get(name).unwrap_or_else(|| panic!("no guest {name}"))
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Cargo's folder for what it builds: this binary lies in it, two folders and a profile down.
fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(3).unwrap().to_owned()
}

fn build() -> BTreeMap<&'static str, Vec<u8>> {
    let target = target();
    let cargo = |what: &[String]| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--target", "wasm32-unknown-unknown", "--profile", "guest", "--target-dir"]);
        cargo.arg(&target).args(what).current_dir(workspace());
        // The flags of the test's own build (coverage, sanitizers) are none of a guest's business.
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        let output = cargo.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "cannot build the guests; is the target wasm32-unknown-unknown there?\n{words}"
        );
    };
    cargo(&PLUGINS.map(|name| format!("--package=plugin-{name}")));
    cargo(&["--package=plugin-rogue".to_owned(), "--examples".to_owned()]);
    let folder = target.join("wasm32-unknown-unknown/guest");
    let module = |name: &str| name.replace('-', "_");
    let plugins = PLUGINS.map(|name| (name, folder.join(format!("plugin_{}.wasm", module(name)))));
    let rogues = ROGUES.map(|name| (name, folder.join(format!("examples/{}.wasm", module(name)))));
    plugins
        .into_iter()
        .chain(rogues)
        .map(|(name, path)| (name, encode(&std::fs::read(path).unwrap())))
        .collect()
}

fn encode(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default().validate(true).module(module).unwrap().encode().unwrap()
}
