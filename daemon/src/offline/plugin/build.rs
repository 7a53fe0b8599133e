//! From a plugin's sources to its component.
//!
//! Rust is built for wasm32-unknown-unknown, whose module asks for nothing ambient, and wrapped; or for wasm32-wasip2, whose
//! component cargo makes itself. Python goes through componentize-py, in a virtual environment of its own.

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use wit_component::ComponentEncoder;

/// The one that the contract is tried with.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
/// The contract, for tools that are not built by the SDK.
const TOOL_WIT: &str = include_str!("../../../../wit/0.1.0/tool.wit");
const HOST_WIT: &str = include_str!("../../../../wit/0.1.0/deps/medic-host/host.wit");

#[derive(Args)]
#[command(
    after_help = "The component is written to OUT/<plugin>.wasm; its path is standard output.\n\nExamples:\n  \
                        medic plugin build\n  medic plugin build queue-depth --out plugins"
)]
pub struct Build {
    /// Folder of the plugin.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Folder for the component. Default: `out` in the plugin's.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Target::Unknown)]
    target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// wasm32-unknown-unknown: nothing ambient in the bytes.
    #[value(name = "unknown")]
    Unknown,
    /// wasm32-wasip2: with WASI imports, which are traps unless a grant says `profile = "wasi"`.
    #[value(name = "wasip2")]
    Wasip2,
}

pub fn build(asked: &Build) -> anyhow::Result<ExitCode> {
    let path = component(&asked.dir, asked.out.as_deref(), asked.target)?;
    writeln!(io::stdout().lock(), "{}", path.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the plugin of a folder; where its component is.
pub fn component(dir: &Path, out: Option<&Path>, target: Target) -> anyhow::Result<PathBuf> {
    let out = out.map_or_else(|| dir.join("out"), Path::to_owned);
    let (name, bytes) = if dir.join("Cargo.toml").is_file() {
        rust(dir, target)?
    } else if dir.join("app.py").is_file() {
        python(dir)?
    } else {
        bail!("{} holds neither a Cargo.toml nor an app.py; `medic plugin new` makes one", dir.display());
    };
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let path = out.join(format!("{name}.wasm"));
    // Beside it, then renamed: a daemon that watches the folder never sees half a component.
    let part = path.with_extension("wasm.part");
    std::fs::write(&part, bytes).with_context(|| format!("cannot write {}", part.display()))?;
    std::fs::rename(&part, &path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// A program of the author's own machine: this is no daemon, and whoever typed the command waits for it.
#[allow(clippy::disallowed_methods, reason = "building is done by compilers, at an author's own command")]
pub fn program(name: impl AsRef<std::ffi::OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// Runs it; its talk goes to standard error.
pub fn succeed(command: &mut Command, hint: &str) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status =
        command.stdout(io::stderr()).status().with_context(|| format!("cannot start {name}; {hint}"))?;
    if status.success() { Ok(()) } else { bail!("{name} ended with {status}; {hint}") }
}

fn rust(dir: &Path, target: Target) -> anyhow::Result<(String, Vec<u8>)> {
    let triple = match target {
        Target::Unknown => "wasm32-unknown-unknown",
        Target::Wasip2 => "wasm32-wasip2",
    };
    let mut cargo = program("cargo", dir);
    cargo.args([
        "build",
        "--target",
        triple,
        "--profile",
        "guest",
        "--message-format=json-render-diagnostics",
    ]);
    let hint = format!("is the target there? rustup target add {triple}");
    let output =
        cargo.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start cargo; {hint}"))?;
    if !output.status.success() {
        bail!("the plugin does not build; {hint}");
    }
    let module = built(&String::from_utf8_lossy(&output.stdout))
        .context("cargo built no .wasm; the manifest needs [lib] crate-type = [\"cdylib\", \"rlib\"]")?;
    let bytes = std::fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let name = plugin_name(&module);
    Ok((name, if target == Target::Unknown { wrapped(&bytes)? } else { bytes }))
}

/// The last artefact of a cdylib that cargo tells of.
fn built(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut files = messages.filter_map(|message| {
        let files = message.get("filenames")?.as_array()?.clone();
        files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
    });
    files.next_back()
}

/// `plugin_queue_depth.wasm` is plugin `queue-depth`.
fn plugin_name(module: &Path) -> String {
    let stem = module.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    stem.strip_prefix("plugin_").unwrap_or(&stem).replace('_', "-")
}

fn wrapped(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .context("the types in the module cannot be read; was it built with another version of the SDK?")?
        .encode()
        .context("the module's imports and exports do not fit its types; a crate that asks for wasm-bindgen or WASI cannot be used")
}

fn python(dir: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let work = prepared(&dir)?;
    let out = work.join("component.wasm");
    let mut build = program(work.join("venv/bin/componentize-py"), &dir);
    // Without --stub-wasi a guest asks for files and sockets, and would not be loaded.
    build
        .arg("-d")
        .arg(work.join("wit"))
        .args(["-w", "plugin", "componentize", "app", "--stub-wasi", "-o"])
        .arg(&out);
    eprintln!("building {name}; that takes a minute");
    succeed(&mut build, "its words above say what is wrong with the tool")?;
    let bytes = std::fs::read(&out).with_context(|| format!("cannot read {}", out.display()))?;
    Ok((name, bytes))
}

/// The folder with componentize-py, the contract and the bindings of a plugin in Python.
pub fn prepared(dir: &Path) -> anyhow::Result<PathBuf> {
    let work = dir.join("out/.python");
    std::fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    if !work.join("venv/bin/componentize-py").is_file() {
        eprintln!("fetching {COMPONENTIZE_PY} into {}", work.join("venv").display());
        succeed(
            program("python3", dir).args(["-m", "venv"]).arg(work.join("venv")),
            "python3 and its venv are needed",
        )?;
        let mut pip = program(work.join("venv/bin/pip"), dir);
        pip.args(["install", "-q", "--disable-pip-version-check", "--no-deps", COMPONENTIZE_PY]);
        succeed(&mut pip, "the package registry cannot be reached; the tool cannot be built without it")?;
    }
    let wit = work.join("wit");
    let write = |path: PathBuf, text: &str| -> anyhow::Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write(wit.join("deps/medic-tool/tool.wit"), TOOL_WIT)?;
    write(wit.join("deps/medic-host/host.wit"), HOST_WIT)?;
    let world = dir.join("wit/world.wit");
    let text = std::fs::read_to_string(&world).with_context(|| format!("cannot read {}", world.display()))?;
    write(wit.join("world.wit"), &text)?;
    // componentize-py does not write over what is there.
    let bindings = work.join("bindings");
    if bindings.exists() {
        std::fs::remove_dir_all(&bindings).with_context(|| format!("cannot clear {}", bindings.display()))?;
    }
    let mut bind = program(work.join("venv/bin/componentize-py"), dir);
    bind.arg("-d").arg(&wit).args(["-w", "plugin", "bindings"]).arg(&bindings);
    succeed(&mut bind, "wit/world.wit must define `world plugin` of the contract's interfaces")?;
    Ok(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cdylib_that_cargo_names_is_the_plugin() {
        let messages = "{\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/libmedic_sdk.rlib\"]}\nnoise\n\
            {\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/plugin_queue_depth.wasm\",\"/t/libplugin_queue_depth.rlib\"]}\n\
            {\"reason\":\"build-finished\",\"success\":true}";
        let module = built(messages).unwrap();
        assert_eq!(plugin_name(&module), "queue-depth");
        assert_eq!(built("{\"reason\":\"build-finished\"}"), None);
    }

    #[test]
    fn a_folder_without_a_plugin_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let error = component(dir.path(), None, Target::Unknown).unwrap_err();
        assert!(error.to_string().contains("medic plugin new"), "{error}");
    }
}
