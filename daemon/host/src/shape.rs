//! What a component's bytes say about it: its category, what it imports, function by function.
//!
//! Owns the reading of bytes and the comparison with the contract's worlds. Never runs anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use medic_core::{Digest, ToolCategory};
use serde::Serialize;
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{InterfaceId, Resolve, WorldId, WorldItem, WorldKey};

use crate::grant::Profile;
use crate::load::LoadError;

pub const CATEGORIES: [ToolCategory; 4] =
    [ToolCategory::Query, ToolCategory::Diagnostic, ToolCategory::Remediation, ToolCategory::Destructive];

/// Interfaces that need no grant: they touch nothing outside the call, or are the authority itself.
const ALWAYS: [&str; 5] = ["log", "clock", "state", "artifacts", "change"];
/// Ambient interfaces of WASI 0.2 that a guest's runtime drags in. Each is a trap or inert, as the profile says.
const AMBIENT_WASI: [&str; 4] = ["wasi:cli", "wasi:io", "wasi:clocks", "wasi:random"];
/// The contract's version line; functions may be added within it.
const VERSION_LINE: (u64, u64) = (0, 1);

/// One imported interface and the functions that the bytes import of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// `medic:host/metrics@0.1.0`
    pub interface: String,
    /// `metrics.query`; empty when only types are imported, which grants nothing.
    pub functions: Vec<String>,
    #[serde(skip)]
    namespace: String,
    /// Major and minor of a released version; a draft has none.
    #[serde(skip)]
    version: Option<(u64, u64)>,
}

impl Import {
    pub fn is_wasi(&self) -> bool {
        self.namespace == "wasi"
    }
    fn is_contract(&self) -> bool {
        self.interface.starts_with("medic:host/") || self.interface.starts_with("medic:tool/types@")
    }
    fn package(&self) -> &str {
        self.interface.split('/').next().unwrap_or_default()
    }
}

/// A component as its bytes tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    pub size: u64,
    pub digest: Digest,
    /// Category interfaces it exports; an honest tool exports one.
    pub categories: Vec<ToolCategory>,
    pub exports: Vec<String>,
    pub imports: Vec<Import>,
    /// Imported functions that belong to no interface; no world of the contract has any.
    pub loose_imports: Vec<String>,
}

impl Shape {
    /// Imported functions of the contract, without those every tool has.
    pub fn functions(&self) -> Vec<String> {
        let functions =
            self.imports.iter().filter(|import| import.is_contract()).flat_map(|import| &import.functions);
        let mut functions: Vec<_> = functions.filter(|name| needs_grant(name)).cloned().collect();
        functions.sort();
        functions
    }

    pub fn has_wasi(&self) -> bool {
        self.imports.iter().any(Import::is_wasi)
    }
}

/// Whether the function is only there once it is granted.
pub fn needs_grant(function: &str) -> bool {
    function.split('.').next().is_some_and(|interface| !ALWAYS.contains(&interface))
}

struct Contract {
    resolve: Resolve,
    worlds: BTreeMap<ToolCategory, WorldId>,
    /// Functions that a category's world imports.
    ceilings: BTreeMap<ToolCategory, BTreeSet<String>>,
}

static CONTRACT: LazyLock<Result<Contract, String>> = LazyLock::new(|| {
    let host = include_str!("../../../wit/0.1.0/deps/medic-host/host.wit");
    let tool = include_str!("../../../wit/0.1.0/tool.wit");
    Contract::parse(host, tool).map_err(|error| format!("{error:#}"))
});

impl Contract {
    fn parse(host: &str, tool: &str) -> Result<Self, wasmtime::Error> {
        let failed = |error: String| wasmtime::Error::msg(error);
        let mut resolve = Resolve::default();
        resolve.push_str("host.wit", host).map_err(|error| failed(format!("{error:#}")))?;
        let package = resolve.push_str("tool.wit", tool).map_err(|error| failed(format!("{error:#}")))?;
        let (mut worlds, mut ceilings) = (BTreeMap::new(), BTreeMap::new());
        for category in CATEGORIES {
            let world = resolve
                .select_world(&[package], Some(&format!("{category}-tool")))
                .map_err(|error| failed(format!("{error:#}")))?;
            let imports = world_imports(&resolve, world).0;
            ceilings.insert(category, imports.into_iter().flat_map(|import| import.functions).collect());
            worlds.insert(category, world);
        }
        Ok(Self { resolve, worlds, ceilings })
    }
}

fn contract() -> Result<&'static Contract, LoadError> {
    CONTRACT
        .as_ref()
        .map_err(|error| LoadError::new("CONTRACT", format!("the built-in contract cannot be read: {error}")))
}

/// Whether any world of the contract imports the function.
pub fn is_known_function(function: &str) -> bool {
    contract().is_ok_and(|contract| contract.ceilings.values().any(|ceiling| ceiling.contains(function)))
}

/// What tools of a category may import at most.
pub fn ceiling(category: ToolCategory) -> BTreeSet<String> {
    contract().ok().and_then(|contract| contract.ceilings.get(&category)).cloned().unwrap_or_default()
}

/// Reads a component.
///
/// # Errors
/// `CORE_MODULE`, `PRECOMPILED`, `NOT_A_COMPONENT`.
pub fn read(bytes: &[u8]) -> Result<Shape, LoadError> {
    check_preamble(bytes)?;
    // The decoder is fed by strangers; should it ever panic, the file is at fault and not the daemon.
    let decoded = std::panic::catch_unwind(|| decode(bytes))
        .map_err(|_| LoadError::new("NOT_A_COMPONENT", "the decoder gave up on it"))?
        .map_err(|error| LoadError::new("NOT_A_COMPONENT", format!("it cannot be decoded: {error:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(LoadError::new(
            "NOT_A_COMPONENT",
            "it holds interface descriptions and no code; build the tool, not its WIT",
        ));
    };
    let (imports, loose_imports) = world_imports(&resolve, world);
    let exports = world_exports(&resolve, world);
    let exported = |category: &ToolCategory| {
        exports.iter().any(|name| on_version_line(name, &format!("medic:tool/{category}")))
    };
    Ok(Shape {
        size: bytes.len() as u64,
        digest: Digest::of_bytes(bytes),
        categories: CATEGORIES.into_iter().filter(exported).collect(),
        exports,
        imports,
        loose_imports,
    })
}

fn check_preamble(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Err(LoadError::new(
            "CORE_MODULE",
            "it is a core module, not a component; wrap it with medic-componentize, or build for wasm32-wasip2",
        )),
        Some([0x7f, b'E', b'L', b'F', ..]) => Err(LoadError::new(
            "PRECOMPILED",
            "it is machine code compiled elsewhere, which is never run; give the component itself",
        )),
        _ => Err(LoadError::new("NOT_A_COMPONENT", "it does not begin as a WebAssembly component does")),
    }
}

/// The category, which is the one category interface the component exports.
///
/// # Errors
/// `NO_CATEGORY`, `TWO_CATEGORIES`, `NO_CATALOGUE`.
pub fn category(shape: &Shape) -> Result<ToolCategory, LoadError> {
    let category = match shape.categories.as_slice() {
        [category] => *category,
        [] => {
            return Err(LoadError::new(
                "NO_CATEGORY",
                "it exports none of medic:tool/{query,diagnostic,remediation,destructive}@0.1; a tool must export one",
            ));
        }
        several => {
            let names: Vec<_> = several.iter().map(|category| category.as_str()).collect();
            return Err(LoadError::new(
                "TWO_CATEGORIES",
                format!("it exports {} at once; build one component for each", names.join(" and ")),
            ));
        }
    };
    if !shape.exports.iter().any(|name| on_version_line(name, "medic:tool/catalog")) {
        return Err(LoadError::new(
            "NO_CATALOGUE",
            "it does not export medic:tool/catalog@0.1, so its tools have no names",
        ));
    }
    Ok(category)
}

/// Whether everything imported is within the category's ceiling or ambient. An allowlist: what is not known is refused.
///
/// # Errors
/// `IMPORT_OUTSIDE_CEILING`, `IMPORT_UNKNOWN`, naming the import and what to do.
pub fn check_imports(shape: &Shape, category: ToolCategory, profile: Profile) -> Result<(), LoadError> {
    let ceiling = contract()?.ceilings.get(&category).cloned().unwrap_or_default();
    if let Some(name) = shape.loose_imports.first() {
        return Err(LoadError::new(
            "IMPORT_UNKNOWN",
            format!("it imports the function `{name}`, which no host provides"),
        ));
    }
    for import in &shape.imports {
        if import.is_contract() && import.version == Some(VERSION_LINE) {
            if let Some(function) = import.functions.iter().find(|name| !ceiling.contains(*name)) {
                return Err(outside(function, category));
            }
            continue;
        }
        if import.is_wasi() && AMBIENT_WASI.contains(&import.package()) && import.version == Some((0, 2)) {
            continue;
        }
        let fix = match import.package() {
            package if AMBIENT_WASI.contains(&package) => {
                "only WASI 0.2 is known; build with a released toolchain".to_owned()
            }
            "wasi:filesystem" | "wasi:sockets" | "wasi:http" => format!(
                "tools have no files and no network of their own under profile `{}`; build without it (componentize-py: --stub-wasi) and use the http-read interface",
                profile_name(profile)
            ),
            "medic:host" => "this host speaks version 0.1 of the contract; rebuild against it".to_owned(),
            _ => "no host interface has this name; remove the import".to_owned(),
        };
        return Err(LoadError::new("IMPORT_UNKNOWN", format!("it imports {}: {fix}", import.interface)));
    }
    Ok(())
}

fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Pure => "pure",
        Profile::Wasi => "wasi",
    }
}

fn outside(function: &str, category: ToolCategory) -> LoadError {
    let home = CATEGORIES.into_iter().find(|category| self::ceiling(*category).contains(function));
    let fix = match home {
        Some(home) => format!("export medic:tool/{home} if that is what the tool is, or remove the call"),
        None => "no category has it; remove the call".to_owned(),
    };
    LoadError::new(
        "IMPORT_OUTSIDE_CEILING",
        format!(
            "it says it is a {category} tool and imports {function}, which is above that category's ceiling: {fix}"
        ),
    )
}

/// Whether the component's types are those of the category's world.
///
/// # Errors
/// `WORLD_MISMATCH`.
pub fn check_structure(bytes: &[u8], shape: &Shape, category: ToolCategory) -> Result<(), LoadError> {
    // Ambient WASI is in no world of the contract; the linker checks those components' types import by import.
    if shape.has_wasi() {
        return Ok(());
    }
    fits(bytes, category).map_err(|error| {
        LoadError::new("WORLD_MISMATCH", format!("its types are not those of world {category}-tool: {error}"))
    })
}

/// As [`fits`], told from names alone where that is enough: comparing types takes a whole pass over the bytes.
pub fn might_fit(shape: &Shape, category: ToolCategory) -> bool {
    let ceiling = ceiling(category);
    let mut functions = shape.imports.iter().flat_map(|import| &import.functions);
    shape.categories.contains(&category)
        && shape.loose_imports.is_empty()
        && shape.imports.iter().all(Import::is_contract)
        && functions.all(|function| ceiling.contains(function))
}

/// Whether the component could stand where the category's world asks for one.
pub fn fits(bytes: &[u8], category: ToolCategory) -> Result<(), String> {
    let contract = contract().map_err(|error| error.message)?;
    let world = contract.worlds.get(&category).ok_or("no such world")?;
    std::panic::catch_unwind(|| wit_component::targets(&contract.resolve, *world, bytes, true))
        .map_err(|_| "the checker gave up on it".to_owned())?
        .map_err(|error| error.root_cause().to_string())
}

fn world_imports(resolve: &Resolve, world: WorldId) -> (Vec<Import>, Vec<String>) {
    let (mut imports, mut loose) = (Vec::new(), Vec::new());
    let Some(world) = resolve.worlds.get(world) else { return (imports, loose) };
    for (key, item) in &world.imports {
        match (key, item) {
            (_, WorldItem::Interface { id, .. }) => imports.push(import(resolve, key, *id)),
            (WorldKey::Name(name), WorldItem::Function(_)) => loose.push(name.clone()),
            _ => {}
        }
    }
    (imports, loose)
}

fn import(resolve: &Resolve, key: &WorldKey, id: InterfaceId) -> Import {
    let interface = resolve.interfaces.get(id);
    let name = interface.and_then(|interface| interface.name.clone()).unwrap_or_default();
    let package = interface.and_then(|interface| interface.package).and_then(|id| resolve.packages.get(id));
    let version = package.and_then(|package| package.name.version.as_ref());
    let functions = interface.into_iter().flat_map(|interface| interface.functions.keys());
    Import {
        interface: resolve.name_world_key(key),
        // `[method]grant.plan-digest` of `change` reads as `change.grant.plan-digest`.
        functions: functions
            .map(|function| format!("{name}.{}", function.rsplit(']').next().unwrap_or(function)))
            .collect(),
        namespace: package.map(|package| package.name.namespace.clone()).unwrap_or_default(),
        version: version
            .filter(|version| version.pre.is_empty())
            .map(|version| (version.major, version.minor)),
    }
}

fn world_exports(resolve: &Resolve, world: WorldId) -> Vec<String> {
    let exports = resolve.worlds.get(world).into_iter().flat_map(|world| world.exports.keys());
    exports.map(|key| resolve.name_world_key(key)).collect()
}

/// `medic:tool/query@0.1.3` is on the line of `medic:tool/query`.
fn on_version_line(name: &str, interface: &str) -> bool {
    let (major, minor) = VERSION_LINE;
    name.strip_prefix(interface).is_some_and(|version| version.starts_with(&format!("@{major}.{minor}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_rise_with_the_category_and_only_the_last_destroys() {
        let [query, diagnostic, remediation, destructive] = CATEGORIES.map(ceiling);
        assert!(
            query.is_subset(&diagnostic)
                && diagnostic.is_subset(&remediation)
                && remediation.is_subset(&destructive)
        );
        assert!(query.contains("http-read.send") && !query.contains("probe.tcp"));
        assert!(diagnostic.contains("probe.tcp") && !diagnostic.contains("http-change.send"));
        assert!(remediation.contains("http-change.send") && !remediation.contains("http-destroy.delete"));
        assert!(destructive.contains("http-destroy.delete") && destructive.contains("k8s-destroy.evict"));
    }

    #[test]
    fn bytes_that_are_no_component_are_told_apart() {
        let check = |bytes: &[u8], code: &str| assert_eq!(read(bytes).unwrap_err().code, code);
        check(b"", "NOT_A_COMPONENT");
        check(b"\0asm", "NOT_A_COMPONENT");
        check(b"\0asm\x01\0\0\0", "CORE_MODULE");
        check(b"\x7fELF\x02\x01\x01\0", "PRECOMPILED");
        check(b"\0asm\x0d\0\x01\0garbage", "NOT_A_COMPONENT");
        assert_eq!(category(&read(b"\0asm\x0d\0\x01\0").unwrap()).unwrap_err().code, "NO_CATEGORY");
    }
}
