//! A new plugin from nothing: a folder that builds, with a tool that works and tests that pass.
//!
//! The folder is a workspace of its own and needs nothing but the SDK, wherever it lies.

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
#[command(after_help = "Examples:\n  medic plugin new queue-depth --category query --sdk ~/medic/sdk\n  \
                        medic plugin new cache-flush --category remediation --sdk ~/medic/sdk\n\n\
                        Then, in the folder: medic plugin test, medic plugin build.")]
pub struct New {
    /// Lower-case letters, digits and hyphens; under this name a grant file knows the plugin.
    name: String,
    /// The least that will do: it decides what the tools may ever ask for.
    #[arg(long, value_enum)]
    category: Category,
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// The SDK: its folder, or a version of it.
    #[arg(long, value_name = "DIR|VERSION")]
    sdk: Option<String>,
    /// Where to make the folder NAME.
    #[arg(long, value_name = "DIR", default_value = ".")]
    path: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Category {
    Query,
    Diagnostic,
    Remediation,
    Destructive,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    Rust,
    Python,
}

/// A file of the scaffold, with `{{…}}` where a name goes.
type Template = (&'static str, &'static str);

const RUST: [Template; 2] =
    [("Cargo.toml", include_str!("templates/Cargo.toml.in")), (".gitignore", "target/\nout/\n")];

fn of(category: Category) -> [Template; 3] {
    macro_rules! templates {
        ($name:literal) => {
            [
                ("src/lib.rs", include_str!(concat!("templates/", $name, ".rs.in"))),
                ("tests/tool.rs", include_str!(concat!("templates/", $name, "_test.rs.in"))),
                ("tests/host.toml", include_str!(concat!("templates/", $name, "_host.toml.in"))),
            ]
        };
    }
    match category {
        Category::Query => templates!("query"),
        Category::Diagnostic => templates!("diagnostic"),
        Category::Remediation => templates!("remediation"),
        Category::Destructive => templates!("destructive"),
    }
}

const PYTHON: [Template; 5] = [
    ("app.py", include_str!("templates/app.py.in")),
    ("test_app.py", include_str!("templates/test_app.py.in")),
    ("wit/world.wit", include_str!("templates/world.wit.in")),
    ("tests/host.toml", include_str!("templates/python_host.toml.in")),
    (".gitignore", "__pycache__/\nout/\n"),
];

pub fn new(asked: &New) -> anyhow::Result<ExitCode> {
    check_name(&asked.name)?;
    let folder = asked.path.join(&asked.name);
    if folder.exists() {
        bail!("{} is there already; nothing was written", folder.display());
    }
    let (files, sdk) = match asked.lang {
        Lang::Rust => {
            let sdk = Sdk::read(asked.sdk.as_deref(), &asked.path)?;
            (RUST.into_iter().chain(of(asked.category)).collect::<Vec<_>>(), Some(sdk))
        }
        Lang::Python if asked.category == Category::Query => (PYTHON.to_vec(), None),
        Lang::Python => bail!(
            "a tool in Python is made with --category query; write the others in Rust, whose types hold what a grant may do"
        ),
    };
    for (path, template) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        let text = filled(template, &asked.name, sdk.as_ref());
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", folder.display())?;
    eprintln!("next, in that folder: `medic plugin test`, then `medic plugin build`");
    Ok(ExitCode::SUCCESS)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let first = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !first || !name.chars().all(known) || name.ends_with('-') || name.contains("--") || name.len() > 40 {
        bail!(
            "`{name}` is no name for a plugin: a letter, then lower-case letters, digits and single hyphens, 40 at most"
        );
    }
    Ok(())
}

/// How the scaffold names the SDK in its manifest.
struct Sdk {
    sdk: String,
    testkit: String,
}

impl Sdk {
    /// `asked`: a folder or a version. Without it the SDK is looked for in and above `near`, as when one works inside the
    /// repository.
    fn read(asked: Option<&str>, near: &Path) -> anyhow::Result<Self> {
        let folder = match asked {
            Some(text) if Path::new(text).join("testkit/Cargo.toml").is_file() => PathBuf::from(text),
            Some(version) if version.starts_with(|c: char| c.is_ascii_digit()) => {
                return Ok(Self { sdk: format!("\"{version}\""), testkit: format!("\"{version}\"") });
            }
            Some(text) => bail!("{text} is neither the folder of the SDK nor a version of it"),
            None => {
                let near = near.canonicalize().with_context(|| format!("cannot find {}", near.display()))?;
                let found = near.ancestors().map(|folder| folder.join("sdk"));
                let mut found = found.filter(|folder| folder.join("testkit/Cargo.toml").is_file());
                found.next().context("the SDK is not near; say where it is with --sdk DIR")?
            }
        };
        let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
        let dependency = |path: &Path| format!("{{ path = {:?} }}", path.display().to_string());
        Ok(Self { sdk: dependency(&folder), testkit: dependency(&folder.join("testkit")) })
    }
}

fn filled(template: &str, name: &str, sdk: Option<&Sdk>) -> String {
    let snake = name.replace('-', "_");
    let camel: String = name
        .split('-')
        .map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            format!("{}{rest}", first.to_uppercase())
        })
        .collect();
    let text = template.replace("{{name}}", name).replace("{{tool}}", &snake).replace("{{Tool}}", &camel);
    match sdk {
        Some(Sdk { sdk, testkit }) => text.replace("{{sdk}}", sdk).replace("{{testkit}}", testkit),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_filled_in() {
        let sdk = Sdk { sdk: "\"1\"".into(), testkit: "\"1\"".into() };
        let categories =
            [Category::Query, Category::Diagnostic, Category::Remediation, Category::Destructive];
        let files = categories.into_iter().flat_map(of).chain(RUST).chain(PYTHON);
        for (path, template) in files {
            let text = filled(template, "queue-depth", Some(&sdk));
            let left = ["name", "tool", "Tool", "sdk", "testkit"].map(|hole| format!("{{{{{hole}}}}}"));
            assert!(!left.iter().any(|hole| text.contains(hole)), "{path}: {text}");
        }
        assert!(
            filled("{{name}} {{tool}} {{Tool}}", "queue-depth", None) == "queue-depth queue_depth QueueDepth"
        );
    }

    #[test]
    fn a_name_is_one_folder_and_one_table() {
        for name in ["queue-depth", "a", "v2"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a/b", "..", "a--b", "2a", "a_b", &"a".repeat(41)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
