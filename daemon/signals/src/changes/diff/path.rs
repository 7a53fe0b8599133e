//! What a path says of the file.
//!
//! Owns the kinds of files and how much a change to them can matter at run time.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    Code,
    /// Settings read at run time.
    Configuration,
    /// A change to a data base's schema.
    Migration,
    /// Names and versions of dependencies.
    Dependencies,
    Documentation,
    Test,
    /// How the project is built, checked, or owned.
    Build,
    /// Looks: styles, pictures, templates of pages.
    Appearance,
}

impl FileKind {
    pub fn of(path: &str) -> Self {
        let path = path.to_ascii_lowercase();
        let name = path.rsplit('/').next().unwrap_or(&path);
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let within = |folder: &str| path.split('/').rev().skip(1).any(|part| part == folder);
        let stem = name.split('.').next().unwrap_or(name);
        if within("testdata")
            || within("test")
            || within("tests")
            || within("__tests__")
            || stem.ends_with("_test")
            || stem.starts_with("test_")
            || name.contains(".test.")
            || name.contains(".spec.")
        {
            return Self::Test;
        }
        if matches!(
            name,
            "go.mod"
                | "go.sum"
                | "cargo.toml"
                | "cargo.lock"
                | "package.json"
                | "package-lock.json"
                | "yarn.lock"
                | "pnpm-lock.yaml"
                | "requirements.txt"
                | "poetry.lock"
                | "pom.xml"
                | "build.gradle"
                | "gemfile.lock"
        ) {
            return Self::Dependencies;
        }
        if matches!(name, "codeowners" | "dockerfile" | "makefile" | ".gitignore" | ".golangci.yml")
            || path.starts_with(".github/")
            || path.starts_with(".circleci/")
            || within(".github")
            || within("ci")
        {
            return Self::Build;
        }
        if extension == "sql" || within("migrations") || within("migration") {
            return Self::Migration;
        }
        match extension {
            "md" | "rst" | "adoc" => Self::Documentation,
            _ if within("docs") || within("documentation") => Self::Documentation,
            "css" | "scss" | "less" | "html" | "svg" | "png" | "ico" => Self::Appearance,
            "yaml" | "yml" | "json" | "toml" | "ini" | "env" | "conf" | "cfg" | "properties" | "tf"
            | "tfvars" => Self::Configuration,
            _ => Self::Code,
        }
    }

    /// The most that a change to such a file can alter at run time. Builds replace base images and compilers: rarely,
    /// but then in earnest; styles can break a page, never a database.
    pub(super) fn ceiling(self) -> f64 {
        match self {
            Self::Code | Self::Configuration | Self::Migration | Self::Dependencies => 1.0,
            Self::Build => 0.25,
            Self::Appearance => 0.1,
            Self::Documentation | Self::Test => 0.02,
        }
    }

    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Configuration => "configuration",
            Self::Migration => "schema migrations",
            Self::Dependencies => "versions of dependencies",
            Self::Documentation => "documentation",
            Self::Test => "tests",
            Self::Build => "the build",
            Self::Appearance => "looks",
        }
    }
}
