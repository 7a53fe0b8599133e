//! Every code that the sources can say is on the page of codes, and the page names no other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const PAGE: &str = "daemon/CODES.md";

/// Where an operator's codes come from.
const ROOMS: [&str; 4] = ["daemon", "knowledge", "sdk/src", "plugins"];

/// Folders below them that no operator meets: tests, scripted twins, programs for developers.
const APART: [&str; 4] = ["tests", "fake", "examples", "testkit"];

/// Written like codes, and something else.
const OTHER_NAMES: [(&str, &str); 11] = [
    ("ALERTS_FOR_STATE", "a metric that Prometheus makes of its rules"),
    ("ALERT_RECEIVED", "a phase"),
    ("GATHERING_INFO", "a phase"),
    ("AWAITING_DECISION", "a phase"),
    ("SCREAMING_SNAKE_CASE", "how serde writes names"),
    ("CARGO_PKG_VERSION", "a variable of the build"),
    ("NO_COLOR", "an environment variable"),
    ("MEDIC_CONFIG", "an environment variable"),
    ("MEDIC_SERVER", "an environment variable"),
    ("MEDIC_TOKEN", "an environment variable"),
    ("MEDIC_CA", "an environment variable"),
];

/// A single word is a code only behind one of these: otherwise it is a heading or a header.
const CODE_FOLLOWS: [&str; 5] =
    ["code:", "Problem::invalid(", "LoadError::new(", "Failure::new(", "not_sent("];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a folder of the workspace")
        .to_owned()
}

/// What ships of each source file: its unit tests cut off.
fn sources() -> Vec<(PathBuf, String)> {
    let mut open: Vec<PathBuf> = ROOMS.iter().map(|room| root().join(room)).collect();
    let mut sources = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !APART.contains(&name.as_str()) {
                    open.push(path);
                }
            } else if name.ends_with(".rs") && name != "tests.rs" && name != "golden.rs" {
                let text = fs::read_to_string(&path).unwrap();
                let ships = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
                sources.push((path, ships));
            }
        }
    }
    assert!(sources.len() > 150, "found {} files: the walk proves nothing", sources.len());
    sources
}

fn is_code(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(|one| one.is_ascii_uppercase() || one.is_ascii_digit() || one == '_')
        // The beginning of many, to compare with.
        && !text.ends_with('_')
}

/// String literals that are written like codes, each with the source before it.
fn literals(source: &str) -> impl Iterator<Item = (&str, &str)> {
    source.match_indices('"').filter_map(|(quote, _)| {
        let (before, rest) = (source.get(..quote)?, source.get(quote + 1..)?);
        let (literal, _) = rest.split_once('"')?;
        (literal.len() >= 2 && is_code(literal)).then_some((before, literal))
    })
}

/// Whether this literal is said as a code, and is not merely written like one.
fn is_said(before: &str, literal: &str, in_code_function: bool) -> bool {
    if literal.contains('_') || in_code_function {
        return true;
    }
    let before = before.trim_end();
    // `…(FaultKind::Drift, "DRIFT"`: the argument after the kind is the code.
    let after_kind = before
        .strip_suffix(',')
        .and_then(|before| before.rsplit(['(', ',']).next())
        .is_some_and(|argument| argument.contains("Kind::"));
    after_kind || CODE_FOLLOWS.iter().any(|prefix| before.ends_with(prefix))
}

/// Bodies of the functions named `code`, by where they begin and end.
fn code_functions(source: &str) -> Vec<(usize, usize)> {
    let starts = source.match_indices("fn code(").map(|(start, _)| start);
    starts
        .map(|start| {
            // As rustfmt writes it: the body ends with the brace that is as deep as the `pub` or `fn` that began it.
            let line = source[..start].rfind('\n').map_or(0, |end| end + 1);
            let deep = source[line..].len() - source[line..].trim_start().len();
            let close = format!("\n{}}}\n", " ".repeat(deep));
            (start, source[start..].find(&close).map_or(source.len(), |end| start + end))
        })
        .collect()
}

/// Every code, with one place that says it; and how many come from functions named `code`.
fn said() -> (BTreeMap<String, String>, usize) {
    let (mut said, mut by_functions) = (BTreeMap::new(), BTreeSet::new());
    for (path, source) in sources() {
        let functions = code_functions(&source);
        for (before, literal) in literals(&source) {
            let within = functions.iter().any(|(start, end)| (*start..*end).contains(&before.len()));
            if OTHER_NAMES.iter().any(|(name, _)| *name == literal) || !is_said(before, literal, within) {
                continue;
            }
            if within {
                by_functions.insert(literal.to_owned());
            }
            let place =
                format!("{}:{}", path.strip_prefix(root()).unwrap().display(), before.lines().count());
            said.insert(literal.to_owned(), place);
        }
    }
    (said, by_functions.len())
}

/// Rows of the page: code, meaning, what to do.
fn rows() -> Vec<[String; 3]> {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    page.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect();
            let [code, meaning, remedy] = cells[..] else { panic!("a row of three columns, not: {line}") };
            Some([code.trim_end_matches('`').to_owned(), meaning.to_owned(), remedy.to_owned()])
        })
        .collect()
}

#[test]
fn every_code_is_explained() {
    let (said, by_functions) = said();
    assert!(
        by_functions > 70 && said.len() > 200,
        "{by_functions} of {}: the search proves nothing",
        said.len()
    );
    let explained: BTreeSet<String> = rows().into_iter().map(|[code, ..]| code).collect();
    let missing: Vec<_> = said.iter().filter(|(code, _)| !explained.contains(*code)).collect();
    assert!(missing.is_empty(), "not in {PAGE}: {missing:#?}");
}

#[test]
fn no_code_is_explained_that_nothing_says() {
    let sources = sources();
    let written: BTreeSet<&str> =
        sources.iter().flat_map(|(_, source)| literals(source)).map(|(_, literal)| literal).collect();
    let stale: Vec<_> =
        rows().into_iter().map(|[code, ..]| code).filter(|code| !written.contains(code.as_str())).collect();
    assert!(stale.is_empty(), "{stale:#?}");
}

#[test]
fn a_code_has_one_meaning_and_something_to_do() {
    let rows = rows();
    assert!(rows.len() > 200, "found {} rows: the page is read wrongly", rows.len());
    let mut seen = BTreeSet::new();
    for [code, meaning, remedy] in &rows {
        assert!(is_code(code), "{code:?}");
        assert!(seen.insert(code), "{code} is explained twice");
        assert!(meaning.ends_with(['.', ')']) && remedy.ends_with('.'), "{code} lacks a sentence");
    }
}

#[test]
fn other_names_are_still_written_somewhere() {
    let sources = sources();
    for (name, what) in OTHER_NAMES {
        let written = sources.iter().any(|(_, source)| source.contains(&format!("\"{name}\"")));
        assert!(written, "{name} ({what}) is written nowhere any more");
    }
}

#[test]
fn a_code_is_told_from_a_heading() {
    let codes = |source: &'static str| -> Vec<&str> {
        let functions = code_functions(source);
        let within = |at: usize| functions.iter().any(|(start, end)| (*start..*end).contains(&at));
        let said =
            literals(source).filter(|(before, literal)| is_said(before, literal, within(before.len())));
        said.map(|(_, literal)| literal).collect()
    };
    assert_eq!(codes(r#"Fault::new(FaultKind::Drift, "DRIFT", text)"#), ["DRIFT"]);
    assert_eq!(codes("LoadError::new(\n    \"PRECOMPILED\",\n    \"it is\")"), ["PRECOMPILED"]);
    assert_eq!(codes(r#"Table::new(&["ACTOR", "STATE"]); Method::POST => "POST""#), Vec::<&str>::new());
    assert_eq!(
        codes("    pub fn code(&self) {\n        \"HUMAN\"\n    }\n    fn x() {\n        \"HTTP\"\n    }\n"),
        ["HUMAN"]
    );
}
