//! What a reviewer sees of a component, from its bytes alone; nothing is run.
//!
//! Owns the report and its forms: text, JSON by its fields, SARIF, the difference to what was reviewed before and to
//! another component, and the draft of a grant.

mod diff;
mod explain;
mod sarif;

use std::fmt::{self, Write as _};

use medic_core::ToolCategory;
use serde::Serialize;

use crate::grant::Profile;
use crate::load::LoadError;
use crate::lock::{Difference, Locked};
use crate::shape::{self, CATEGORIES, Shape};

pub use diff::diff;
pub use explain::explain;
pub use sarif::sarif;

/// Everything the bytes say, sorted by what it means for a system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// `sha256:…` of the exact bytes.
    pub digest: String,
    pub size_bytes: u64,
    /// From the one category export; absent when there is none, or several.
    pub category: Option<ToolCategory>,
    pub exports: Vec<String>,
    pub can_change: Vec<String>,
    pub can_destroy: Vec<String>,
    pub can_probe: Vec<String>,
    pub can_read: Vec<String>,
    /// Functions every tool has.
    pub always: Vec<String>,
    /// Imported for their types; they grant nothing.
    pub types_only: Vec<String>,
    /// Each a trap under profile `pure`, inert under `wasi`.
    pub ambient_wasi: Vec<String>,
    /// In no world of the contract: refused.
    pub foreign: Vec<String>,
    /// Which of the four worlds it could stand in.
    pub fits: Vec<WorldCheck>,
    /// Against what was reviewed of the plugin, as far as the bytes tell: what its tools take and say of themselves is
    /// compared when it is loaded. Absent without a lock to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against_lock: Option<Difference>,
    /// Why it would not be loaded, whatever is granted.
    pub refused: Option<Refused>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorldCheck {
    pub world: String,
    pub fits: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    pub code: &'static str,
    pub reason: String,
}

/// Reads a component.
///
/// # Errors
/// The bytes are no component at all; one that would be refused still has a report.
pub fn audit(bytes: &[u8]) -> Result<AuditReport, LoadError> {
    let shape = shape::read(bytes)?;
    let verdict = verdict(bytes, &shape);
    let of = |interfaces: &[&str]| {
        let functions = shape.imports.iter().flat_map(|import| &import.functions);
        let among =
            |name: &&String| interfaces.iter().any(|interface| name.split('.').next() == Some(interface));
        let mut functions: Vec<String> = functions.filter(among).cloned().collect();
        functions.sort();
        functions
    };
    let contract = |name: &str| name.starts_with("medic:host/") || name.starts_with("medic:tool/");
    let imports = || shape.imports.iter();
    let ambient = |name: &str| {
        ["wasi:cli/", "wasi:io/", "wasi:clocks/", "wasi:random/"].iter().any(|p| name.starts_with(p))
    };
    let names = |wanted: &dyn Fn(&shape::Import) -> bool| -> Vec<String> {
        imports().filter(|import| wanted(import)).map(|import| import.interface.clone()).collect()
    };
    Ok(AuditReport {
        digest: shape.digest.to_string(),
        size_bytes: shape.size,
        category: verdict.as_ref().ok().copied().or_else(|| shape::category(&shape).ok()),
        exports: shape.exports.clone(),
        can_change: of(&["k8s-change", "http-change"]),
        can_destroy: of(&["k8s-destroy", "http-destroy"]),
        can_probe: of(&["probe"]),
        can_read: of(&["metrics", "logs", "k8s-read", "http-read", "knowledge"]),
        always: of(&["log", "clock", "state", "artifacts", "change"]),
        types_only: names(&|import| contract(&import.interface) && import.functions.is_empty()),
        ambient_wasi: names(&|import| ambient(&import.interface)),
        foreign: names(&|import| !contract(&import.interface) && !ambient(&import.interface)),
        fits: CATEGORIES
            .into_iter()
            .map(|category| WorldCheck {
                world: format!("{category}-tool"),
                fits: shape::might_fit(&shape, category) && shape::fits(bytes, category).is_ok(),
            })
            .collect(),
        against_lock: None,
        refused: verdict.err().map(|error| Refused { code: error.code, reason: error.message }),
    })
}

impl AuditReport {
    /// Holds the report against what was reviewed of the plugin; `None`: nothing was.
    pub fn compare(&mut self, locked: Option<&Locked>) {
        let difference = match (locked, self.category) {
            (None, _) => Difference::New,
            (Some(locked), Some(category)) => {
                let functions = self.functions().map(str::to_owned).collect();
                locked.compare(&Locked { category, functions, ..locked.clone() })
            }
            (Some(_), None) => Difference::Widened { more: vec!["it has no category that holds".to_owned()] },
        };
        self.against_lock = Some(difference);
    }

    /// Every imported function that needs a grant, the most far-reaching first.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        let all = [&self.can_destroy, &self.can_change, &self.can_probe, &self.can_read];
        all.into_iter().flatten().map(String::as_str)
    }

    /// The imports one by one: what each does, what in a grant bounds it, which categories may have it.
    pub fn explained(&self) -> String {
        let mut text = String::new();
        for function in self.functions().chain(self.always.iter().map(String::as_str)) {
            let known = explain(function);
            let (does, bound) = known.unwrap_or(("no function of the contract", "nothing grants it"));
            let lowest = CATEGORIES.into_iter().find(|category| shape::ceiling(*category).contains(function));
            let lowest = lowest.map_or("none".to_owned(), |category| category.to_string());
            // Writing to a string does not fail.
            let _ = writeln!(text, "{function}\n    {does}\n    from category {lowest}; {bound}");
        }
        for import in &self.foreign {
            let _ = writeln!(text, "{import}\n    no host interface: a component that imports it is refused");
        }
        text
    }
}

fn verdict(bytes: &[u8], shape: &Shape) -> Result<ToolCategory, LoadError> {
    let category = shape::category(shape)?;
    shape::check_imports(shape, category, Profile::Pure)?;
    shape::check_structure(bytes, shape, category)?;
    Ok(category)
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let category = match self.category {
            Some(category) => format!("{}  (export medic:tool/{category})", category.as_str().to_uppercase()),
            None => "none that holds".to_owned(),
        };
        let changes = !self.can_change.is_empty() || !self.can_destroy.is_empty();
        writeln!(f, "{}  {} B", self.digest, self.size_bytes)?;
        writeln!(f, "category      {category}")?;
        writeln!(f, "can change    {}", list(&self.can_change))?;
        writeln!(f, "can destroy   {}", list(&self.can_destroy))?;
        if changes {
            writeln!(f, "              each needs a grant that the host mints for one approved step")?;
        }
        writeln!(f, "can probe     {}", list(&self.can_probe))?;
        writeln!(f, "can read      {}", list(&self.can_read))?;
        writeln!(f, "always has    {}", list(&self.always))?;
        writeln!(f, "network, files, sockets of its own   {}", list(&self.foreign))?;
        writeln!(f, "types only    {}", list(&self.types_only))?;
        match self.ambient_wasi.len() {
            0 => writeln!(f, "ambient wasi  none")?,
            count => {
                writeln!(f, "ambient wasi  {count} interfaces: traps under profile pure, inert under wasi")?
            }
        }
        let (fits, not): (Vec<_>, Vec<_>) = self.fits.iter().partition(|check| check.fits);
        let worlds = |checks: Vec<&WorldCheck>| {
            list(&checks.iter().map(|check| check.world.clone()).collect::<Vec<_>>())
        };
        writeln!(f, "world check   fits {}; does not fit {}", worlds(fits), worlds(not))?;
        if let Some(difference) = &self.against_lock {
            let words = difference.words();
            let words = if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) };
            writeln!(f, "plugins.lock  {}{words}", difference.as_str())?;
        }
        match &self.refused {
            None => write!(f, "verdict       loads, once it is granted"),
            Some(refused) => write!(f, "verdict       REFUSED {}: {}", refused.code, refused.reason),
        }
    }
}

/// Drafts the grant of a component for a human to edit: it names what the bytes import, and leaves out every endpoint,
/// because those are the operator's to give.
///
/// # Errors
/// The component would be refused whatever is granted.
pub fn emit_grant(plugin: &str, bytes: &[u8]) -> Result<String, LoadError> {
    let shape = shape::read(bytes)?;
    let category = verdict(bytes, &shape)?;
    let functions = shape.functions();
    let mut draft = String::new();
    let mut line = |text: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(draft, "{text}");
    };
    line("# A draft. Take away what the tool does not need, then put it into the grant file.");
    line(&format!("[plugin.{plugin}]"));
    line(&format!("digest = \"{}\"", shape.digest));
    line(&format!("category = \"{category}\""));
    line("functions = [");
    for function in &functions {
        line(&format!("    \"{function}\","));
    }
    line("]");
    if functions.iter().any(|name| name.starts_with("http-") || name.starts_with("probe.")) {
        let mut methods = vec!["\"GET\""];
        methods.extend(functions.iter().any(|name| name == "http-change.send").then_some("\"PUT\""));
        methods.extend(functions.iter().any(|name| name == "http-destroy.delete").then_some("\"DELETE\""));
        line("# One block for every endpoint it may reach; without one it reaches none.");
        line(&format!("# [[plugin.{plugin}.http.allow]]"));
        line("# endpoints = [\"NAME\"]          # with an [endpoint.NAME] of its own");
        line(&format!("# methods = [{}]", methods.join(", ")));
        line("# paths = [\"/…\"]");
        if category.changes_systems() {
            line("# undo = \"put-back\"");
        }
    }
    if functions.iter().any(|name| name.starts_with("k8s-")) {
        line("# What it may reach of Kubernetes; without this table nothing.");
        line(&format!("# [plugin.{plugin}.k8s]"));
        line("# clusters = [\"NAME\"]           # with a [cluster.NAME] of its own");
        line("# namespaces = [\"…\"]            # * for any run of characters");
        line("# kinds = [\"apps/v1/Deployment\"]");
        line("# deny-labels = [\"medic.dev/protected=true\"]");
        if category.changes_systems() {
            line("# max-pods = 20");
        }
    }
    Ok(draft)
}
