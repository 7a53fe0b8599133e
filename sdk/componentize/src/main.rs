//! Turns core modules built by cargo into components. Never changes what a module does: it only wraps it in the types
//! that the SDK left in it, and refuses what could not be loaded anyway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use wit_component::ComponentEncoder;

/// Turns tools built for wasm32-unknown-unknown into components that Medic loads.
///
/// The component of `plugin_error_ratio.wasm` is written to `error-ratio.wasm`: the file name without a leading
/// `plugin_`, with `-` for `_`. That is the name under which a grant file knows it.
#[derive(Parser)]
#[command(name = "medic-componentize", version, after_help = EXAMPLE)]
struct Arguments {
    /// Core modules, as cargo leaves them in target/wasm32-unknown-unknown/guest/
    #[arg(required = true, value_name = "IN.wasm")]
    modules: Vec<PathBuf>,
    /// Folder for the components; made when it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

const EXAMPLE: &str = "Example:
  cargo build -p plugin-error-ratio --target wasm32-unknown-unknown --profile guest
  medic-componentize target/wasm32-unknown-unknown/guest/plugin_error_ratio.wasm --out target/plugins

Standard output has one line a component: its path and its size in bytes.";

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("medic-componentize: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    // Everything is encoded before anything is written: a failing build leaves the last good set whole.
    let mut components = Vec::new();
    for module in &arguments.modules {
        let name = component_name(module)?;
        if components.iter().any(|(taken, _)| *taken == name) {
            bail!("two modules would both become {name}");
        }
        let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
        components
            .push((name, encode(&bytes).with_context(|| format!("cannot encode {}", module.display()))?));
    }
    fs::create_dir_all(&arguments.out).with_context(|| format!("cannot make {}", arguments.out.display()))?;
    for (name, component) in components {
        let path = arguments.out.join(name);
        replace(&path, &component).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}\t{}", path.display(), component.len());
    }
    Ok(())
}

/// Writes beside the file and renames: a daemon that watches the folder never sees half a component.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("wasm.part");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)
}

fn component_name(module: &Path) -> Result<String> {
    let stem = module.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let stem = stem.strip_prefix("plugin_").unwrap_or(stem);
    if stem.is_empty() {
        bail!("{} has no name to call a component by", module.display());
    }
    Ok(format!("{}.wasm", stem.replace('_', "-")))
}

fn encode(bytes: &[u8]) -> Result<Vec<u8>> {
    // A binary begins with `\0asm`, then a version, then its layer: 0 for a core module, 1 for a component.
    match bytes {
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => {}
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => bail!("it is a component already"),
        _ => bail!("it is not a WebAssembly binary"),
    }
    let component = ComponentEncoder::default()
        .validate(true)
        .module(bytes)
        .context("the types it carries cannot be read; was it built with another version of the SDK?")?
        .encode()
        .context(
            "its imports and exports do not fit its types; it must be a `cdylib` built for wasm32-unknown-unknown \
             whose imports all come from the SDK (a crate that asks for wasm-bindgen or WASI cannot be used)",
        )?;
    if !exports_a_category(bytes) {
        bail!("it exports no tool: call export_query_tools!, export_diagnostic_tools!, … once in its lib.rs");
    }
    Ok(component)
}

/// The names of exports stand in the module as they are; the SDK writes `medic:tool/<category>@<version>#<function>`.
fn exports_a_category(module: &[u8]) -> bool {
    const CATALOGUE: &[u8] = b"medic:tool/catalog@";
    module.windows(CATALOGUE.len()).any(|window| window == CATALOGUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        let error = format!("{:#}", encode(bytes).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_is_no_tool_is_refused_with_the_reason() {
        check(b"", "not a WebAssembly binary");
        check(b"\x7fELF\x02\x01\x01\x00", "not a WebAssembly binary");
        check(b"\0asm\x0d\0\x01\0", "a component already");
        check(b"\0asm\x01\0\0\0", "exports no tool");
        check(b"\0asm\x01\0\0\0\xff\xff\xff", "cannot be read");
    }

    #[test]
    fn a_component_is_named_as_its_folder() {
        for (module, name) in [
            ("a/plugin_error_ratio.wasm", "error-ratio.wasm"),
            ("restart.wasm", "restart.wasm"),
            ("my_tool.wasm", "my-tool.wasm"),
        ] {
            assert_eq!(component_name(Path::new(module)).unwrap(), name);
        }
        assert!(component_name(Path::new("plugin_.wasm")).is_err());
    }

    #[test]
    fn a_bad_module_leaves_the_folder_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (module, out) = (dir.path().join("bad.wasm"), dir.path().join("out"));
        fs::write(&module, b"bad").unwrap();
        assert!(run(&Arguments { modules: vec![module], out: out.clone() }).is_err());
        assert!(!out.exists());
    }
}
