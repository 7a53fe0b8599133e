//! How long a file may be, what is not written, what lies at the top.

use crate::root;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file is some 80 to 300 lines; past 500 there is usually a second noun in it. Past this it needs a reason.
const LINES_MAX: usize = 600;

/// Longer files and why they are one noun.
const LONG: [(&str, &str); 3] = [
    (
        "daemon/src/api/tests.rs",
        "both doors are tried over one harness; a split would only part the stories from it",
    ),
    (
        "daemon/ports/src/fake/tools.rs",
        "one scripted tool host: its script, its calls and its answers belong together",
    ),
    (
        "daemon/ports/src/fake/journal_contract.rs",
        "one contract, clause by clause; what has a noun of its own is in its folder",
    ),
];

/// Folders and files at the top. The dot files and those below are where their tools expect them.
const TOP: [&str; 18] = [
    "daemon",
    "knowledge",
    "proto",
    "wit",
    "sdk",
    "plugins",
    "tests",
    "examples",
    "target",
    "README.md",
    "LICENSE",
    "Makefile",
    "Cargo.toml",
    "Cargo.lock",
    "clippy.toml",
    "rustfmt.toml",
    "deny.toml",
    "rust-toolchain.toml",
];

/// Endings of what people read.
const TEXT: [&str; 9] = ["rs", "md", "toml", "proto", "wit", "yml", "yaml", "sh", "json"];

/// Put together, so that this file does not find itself.
fn banned() -> [(String, &'static str); 6] {
    [
        (["/wo", "rk/"].concat(), "a path of one machine"),
        (["/ro", "ot/"].concat(), "a path of one machine"),
        (["../sha", "red"].concat(), "a folder that nobody else has"),
        (["todo", "!("].concat(), "unfinished"),
        (["unimpl", "emented!("].concat(), "unfinished"),
        (["TO", "DO:"].concat(), "unfinished; what is left to do is in the tracker"),
    ]
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// Every text file of ours, build directories and dot folders left out.
fn texts() -> Vec<PathBuf> {
    let mut open = vec![root()];
    let mut texts = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !name.starts_with('.') && name != "target" {
                open.push(path);
            } else if kind.is_file()
                && path.extension().is_some_and(|ending| TEXT.iter().any(|text| ending == *text))
            {
                texts.push(path);
            }
        }
    }
    assert!(texts.len() > 100, "found {} files: the walk proves nothing", texts.len());
    texts.sort();
    texts
}

fn sources() -> impl Iterator<Item = (PathBuf, String)> {
    let rust = texts().into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    rust.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    })
}

#[test]
fn a_long_file_has_a_reason_and_a_reason_has_a_long_file() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let (name, lines) = (relative(&path), text.lines().count());
        let listed = LONG.iter().any(|(long, _)| *long == name);
        if lines > LINES_MAX && !listed {
            wrong.push(format!(
                "{name} has {lines} lines: look for the second noun, or say here why there is none"
            ));
        }
        if lines <= LINES_MAX && listed {
            wrong.push(format!("{name} has {lines} lines and needs no reason any more"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_source_file_says_what_it_owns() {
    let silent: Vec<_> = sources()
        .filter(|(path, text)| !text.trim_start().starts_with("//!") && !is_exempt(path))
        .map(|(path, _)| relative(&path))
        .collect();
    assert!(silent.is_empty(), "no module documentation: {silent:#?}");
}

/// Build scripts, and the tests of a module, whose documentation is the module's.
fn is_exempt(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name == "build.rs" || name == "tests.rs" || path.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn no_file_is_named_mod() {
    let named: Vec<_> =
        texts().into_iter().filter(|path| path.file_name().is_some_and(|n| n == "mod.rs")).collect();
    assert!(named.is_empty(), "{named:?}");
}

#[test]
fn nothing_unfinished_and_no_machines_paths_are_written() {
    let mut wrong = Vec::new();
    for path in texts() {
        let Ok(text) = fs::read_to_string(&path) else {
            wrong.push(format!("{} is not UTF-8", relative(&path)));
            continue;
        };
        for (word, why) in banned() {
            if let Some(line) = text.lines().position(|line| line.contains(&word)) {
                wrong.push(format!("{}:{}: {word:?}: {why}", relative(&path), line + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_lies_at_the_top_beside_the_rooms() {
    let mut strange = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !TOP.contains(&name.as_str()) {
            strange.push(name);
        }
    }
    assert!(strange.is_empty(), "{strange:?}");
}
