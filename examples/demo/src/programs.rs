//! Where the built programs and plugins are: beside this program, or above it, as cargo lays them out.

use anyhow::Context;
use std::path::{Path, PathBuf};

/// Folders looked in above this program's own. 3: from `target/debug/deps` to `target`.
const FOLDERS_UP: usize = 3;

fn folders_up() -> anyhow::Result<Vec<PathBuf>> {
    let this = std::env::current_exe().context("cannot find this program")?;
    Ok(this.ancestors().skip(1).take(FOLDERS_UP + 1).map(Path::to_owned).collect())
}

/// A program that was built together with this one: beside it, or one folder above (tests are built below).
///
/// # Errors
/// Names the command that builds it.
pub fn find(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let folders = folders_up()?;
    folders.iter().take(2).map(|folder| folder.join(name)).find(|candidate| candidate.is_file()).with_context(
        || {
            let beside = folders.first().map(|folder| folder.display().to_string()).unwrap_or_default();
            format!("the program {name} is not in {beside}; build it: cargo build -p {package}")
        },
    )
}

/// The folder with the built components of the first-party tools.
///
/// # Errors
/// Names the command that builds them.
pub fn plugins_dir() -> anyhow::Result<PathBuf> {
    let folders = folders_up()?;
    let candidates = folders.iter().map(|folder| folder.join("plugins"));
    candidates
        .into_iter()
        .find(|folder| folder.join("service-admin.wasm").is_file())
        .context("the tools are not built; build them: make plugins")
}

/// The build directory, when this program is in one.
pub fn build_dir() -> Option<PathBuf> {
    let folders = folders_up().ok()?;
    folders.into_iter().find(|folder| folder.join("CACHEDIR.TAG").is_file())
}

/// A file or folder of the source tree, for what is data and not built: the runbooks.
pub fn in_source_tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
