//! Guests written by hand, a few instructions each: small enough to see that they do exactly the one thing a test is about.

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where a host call's answer goes, and where the export's own answer is built.
const RET: u32 = 16;
const OUT: u32 = 96;

/// A guest of one category with one tool.
pub struct Guest {
    category: &'static str,
    tool: String,
    /// Interfaces of the host, or `interface.function` where a test needs another function than the usual one.
    imports: Vec<&'static str>,
    extra_exports: Vec<&'static str>,
    /// Packages beside the contract, and what the world takes from them.
    foreign: Vec<(String, String)>,
    /// Declarations of the core module.
    core: String,
    realloc_first: String,
    plan_first: String,
    memory: String,
    data: String,
    next: u32,
    functions: String,
    list_tools: String,
}

/// `METHOD endpoint path` and the parameters, as a step of a plan names them.
pub type Step<'a> = (u32, &'a str, &'a str, &'a str, &'a str);

impl Guest {
    pub fn new(category: &'static str, tool: &str) -> Self {
        let mut guest = Self {
            category,
            tool: tool.to_owned(),
            imports: Vec::new(),
            extra_exports: Vec::new(),
            foreign: Vec::new(),
            core: String::new(),
            realloc_first: String::new(),
            plan_first: String::new(),
            memory: "16".to_owned(),
            data: String::new(),
            next: 1024,
            functions: String::new(),
            list_tools: String::new(),
        };
        let schema = r#"{"type":"object","additionalProperties":false,"properties":{"n":{"type":"integer","description":"A number."}}}"#;
        guest.catalogue(schema);
        guest
    }

    /// Puts text into memory and answers `ptr len` as two constants.
    pub fn text(&mut self, text: &str) -> String {
        let (at, len) = self.bytes(text.as_bytes());
        format!("(i32.const {at}) (i32.const {len})")
    }

    fn bytes(&mut self, bytes: &[u8]) -> (u32, usize) {
        let at = self.next;
        let hex: String = bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "\\{byte:02x}");
            hex
        });
        let _ = writeln!(self.data, "(data (i32.const {at}) \"{hex}\")");
        self.next = (at + u32::try_from(bytes.len()).unwrap() + 8) & !7;
        (at, bytes.len())
    }

    fn pair(&mut self, text: &str) -> [u8; 8] {
        let (at, len) = self.bytes(text.as_bytes());
        let mut pair = [0; 8];
        pair[..4].copy_from_slice(&at.to_le_bytes());
        pair[4..].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        pair
    }

    pub fn catalogue(&mut self, schema: &str) {
        let tool = self.tool.clone();
        let mut info = Vec::new();
        for text in [tool.as_str(), "A guest", "Does what a test is about.", schema] {
            info.extend(self.pair(text));
        }
        info.extend([0; 12]);
        info.extend(self.pair("[]"));
        let (at, _) = self.bytes(&info);
        let mut list = at.to_le_bytes().to_vec();
        list.extend(1_u32.to_le_bytes());
        let (at, _) = self.bytes(&list);
        self.list_tools = format!("(i32.const {at})");
    }

    /// Runs before the catalogue answers.
    pub fn before_catalogue(&mut self, code: &str) {
        self.list_tools = format!("{code} {}", self.list_tools);
    }

    pub fn import(&mut self, import: &'static str) {
        if !self.imports.contains(&import) {
            self.imports.push(import);
        }
    }

    pub fn also_export(&mut self, interface: &'static str) {
        self.extra_exports.push(interface);
        let name = format!("medic:tool/{interface}@0.1.0#invoke");
        self.function(&name, &"i32 ".repeat(9), "(unreachable)");
    }

    /// A package of somebody else, and a line of the world that imports or exports something of it.
    pub fn foreign(&mut self, package: &str, world: &str) {
        self.foreign.push((package.to_owned(), world.to_owned()));
    }

    /// A declaration of the core module: an import, a table, a start function.
    pub fn core(&mut self, wat: &str) {
        let _ = writeln!(self.core, "{wat}");
    }

    /// Runs whenever the host asks for room in the guest's memory.
    pub fn in_realloc(&mut self, code: &str) {
        self.realloc_first = code.to_owned();
    }

    /// Runs before `plan` answers.
    pub fn before_plan(&mut self, code: &str) {
        self.plan_first = code.to_owned();
    }

    /// Pages of memory, as a memory declaration has them.
    pub fn memory(&mut self, pages: &str) {
        self.memory = pages.to_owned();
    }

    fn function(&mut self, name: &str, params: &str, body: &str) {
        let _ = writeln!(
            self.functions,
            "(func (export \"{name}\") (param {params}) (result i32) (local $grant i32) (local $n i32) {body})"
        );
    }

    /// `invoke` of a query or diagnostic tool: `code`, then the arguments back as the summary.
    pub fn invoke(&mut self, code: &str) {
        let name = format!("medic:tool/{}@0.1.0#invoke", self.category);
        let answer = format!(
            "{code} (i32.store8 (i32.const {OUT}) (i32.const 0))
            (i32.store offset=4 (i32.const {OUT}) (local.get 7)) (i32.store offset=8 (i32.const {OUT}) (local.get 8))
            (i32.store8 offset=12 (i32.const {OUT}) (i32.const 0))
            (i32.store offset=24 (i32.const {OUT}) (i32.const 0)) (i32.store offset=28 (i32.const {OUT}) (i32.const 0))
            (i32.const {OUT})"
        );
        self.function(&name, &"i32 ".repeat(9), &answer);
    }

    /// Answers with `summary` instead of the arguments.
    pub fn invoke_saying(&mut self, summary: &str) {
        let said = self.text(summary);
        let (at, len) = said.split_once(") ").unwrap();
        self.invoke(&format!("(local.set 7 {at})) (local.set 8 {len})"));
    }

    /// The five functions of a change: a plan of `steps`, `apply` and `revert` as given (with `$grant` set), the rest
    /// saying as little as they may.
    pub fn lifecycle(&mut self, steps: &[Step<'_>], apply: &str, revert: &str) {
        self.import("change");
        let mut list = Vec::new();
        for &(id, method, endpoint, path, params) in steps {
            list.extend(id.to_le_bytes());
            for text in ["change", endpoint, "http", method] {
                list.extend(self.pair(text));
            }
            list.extend([0; 12]);
            for text in [path, params, "what it does"] {
                list.extend(self.pair(text));
            }
        }
        let (list, _) = self.bytes(&list);
        let mut plan = Vec::new();
        let tool = self.tool.clone();
        for text in [tool.as_str(), "{}", "Because."] {
            plan.extend(self.pair(text));
        }
        plan.extend(list.to_le_bytes());
        plan.extend(u32::try_from(steps.len()).unwrap().to_le_bytes());
        plan.extend([0; 8]);
        let mut answer = vec![0; 4];
        answer.extend(&plan);
        let (planned, _) = self.bytes(&answer);
        let (nothing, _) = self.bytes(&[0; 32]);
        let category = self.category;
        let name = |function: &str| format!("medic:tool/{category}@0.1.0#{function}");
        let plan_first = self.plan_first.clone();
        self.function(&name("plan"), &"i32 ".repeat(9), &format!("{plan_first} (i32.const {planned})"));
        self.function(&name("capture"), &"i32 ".repeat(15), &format!("(i32.const {nothing})"));
        self.function(&name("verify"), "i32", &format!("(i32.const {nothing})"));
        let step = |code: &str| {
            format!(
                "(local.set $grant (i32.load offset=20 (local.get 0))) {code}
                (call $drop (local.get $grant))
                (i32.store8 (i32.const {OUT}) (i32.const 0))
                (i32.store offset=4 (i32.const {OUT}) (i32.load offset=64 (local.get 0)))
                (i64.store offset=8 (i32.const {OUT}) (i64.const 0))
                (i64.store offset=16 (i32.const {OUT}) (i64.const 0))
                (i32.const {OUT})"
            )
        };
        self.function(&name("apply"), "i32", &step(apply));
        if category == "remediation" {
            self.function(&name("revert"), "i32", &step(revert));
        }
    }

    /// Ends the export with the host's error as the tool's own when the last host call failed.
    fn or_fail(&self, in_change: bool) -> String {
        let drop = if in_change { "(call $drop (local.get $grant))" } else { "" };
        format!("(if (i32.load8_u (i32.const {RET})) (then (call $fail) {drop} (return (i32.const {OUT}))))")
    }

    /// method: 0 POST, 1 PUT, 2 PATCH.
    pub fn http_change(&mut self, method: u32, endpoint: &str, path: &str, body: &str) -> String {
        self.import("http-change");
        let (endpoint, path, body) = (self.text(endpoint), self.text(path), self.text(body));
        format!(
            "(call $http_change (local.get $grant) (i32.const {method}) {endpoint} {path} (i32.const 0) (i32.const 0) {body} (i32.const {RET})) {}",
            self.or_fail(true)
        )
    }

    pub fn http_delete(&mut self, endpoint: &str, path: &str) -> String {
        self.import("change");
        self.import("http-destroy");
        let (endpoint, path) = (self.text(endpoint), self.text(path));
        format!(
            "(call $http_delete (local.get $grant) {endpoint} {path} (i32.const 0) (i32.const 0) (i32.const {RET})) {}",
            self.or_fail(true)
        )
    }

    /// GET; on success the summary becomes the body.
    pub fn http_get(&mut self, endpoint: &str, path: &str) -> String {
        self.import("http-read");
        let (endpoint, path) = (self.text(endpoint), self.text(path));
        format!(
            "(call $http_read (i32.const 0) {endpoint} {path} (i32.const 0) (i32.const 0) (i32.const {RET})) {}
            (local.set 7 (i32.load offset=20 (i32.const {RET}))) (local.set 8 (i32.load offset=24 (i32.const {RET})))",
            self.or_fail(false)
        )
    }

    pub fn metrics_query(&mut self, promql: &str) -> String {
        self.import("metrics");
        let promql = self.text(promql);
        format!(
            "(call $metrics {promql} (i32.const 0) (i64.const 0) (i32.const {RET})) {}",
            self.or_fail(false)
        )
    }

    pub fn log(&mut self, message: &str) -> String {
        self.import("log");
        let message = self.text(message);
        format!("(call $log (i32.const 1) {message})")
    }

    pub fn state_set(&mut self, key: &str, bytes: u32) -> String {
        self.import("state.set");
        let key = self.text(key);
        format!(
            "(call $state_set {key} (i32.const 0) (i32.const {bytes}) (i64.const 1000) (i32.const {RET})) {}",
            self.or_fail(false)
        )
    }

    pub fn artifact(&mut self, bytes: u32) -> String {
        self.import("artifacts");
        let (name, media_type) = (self.text("a"), self.text("text/plain"));
        format!(
            "(call $artifact {name} {media_type} (i32.const 0) (i32.const {bytes}) (i32.const {RET})) {}",
            self.or_fail(false)
        )
    }

    /// function: `tcp` or `tls`, of an endpoint; on success of the call the summary becomes the detail.
    pub fn probe(&mut self, function: &str, endpoint: &str) -> String {
        self.import(if function == "tcp" { "probe.tcp" } else { "probe.tls" });
        let endpoint = self.text(endpoint);
        // An outcome: ok at 8, latency at 16, detail at 24.
        format!(
            "(call $probe_{function} {endpoint} (i32.const 2000) (i32.const {RET})) {}
            (local.set 7 (i32.load offset=24 (i32.const {RET}))) (local.set 8 (i32.load offset=28 (i32.const {RET})))",
            self.or_fail(false)
        )
    }

    pub fn probe_dns(&mut self, name: &str) -> String {
        self.import("probe.dns");
        let name = self.text(name);
        format!("(call $probe_dns {name} (i32.const {RET})) {}", self.or_fail(false))
    }

    /// A call of a mutating function with a handle that was made up.
    pub fn http_change_with(&mut self, handle: u32, endpoint: &str, path: &str, body: &str) -> String {
        self.import("http-change");
        let (endpoint, path, body) = (self.text(endpoint), self.text(path), self.text(body));
        format!(
            "(call $http_change (i32.const {handle}) (i32.const 1) {endpoint} {path} (i32.const 0) (i32.const 0) {body} (i32.const {RET}))"
        )
    }

    pub fn state_get(&mut self) -> String {
        self.import("state");
        let key = self.text("k");
        format!("(call $state_get {key} (i32.const {RET}))")
    }

    /// The core module, not wrapped.
    pub fn module(&self) -> Vec<u8> {
        let mut wat = String::from("(module\n");
        // The clock's functions have results of their own; a guest that wants one declares it.
        for import in self.imports.iter().filter(|import| **import != "clock") {
            let (function, params, name) = match *import {
                "http-change" => ("$http_change", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32", "send"),
                "http-destroy" => ("$http_delete", "i32 i32 i32 i32 i32 i32 i32 i32", "delete"),
                "http-read" => ("$http_read", "i32 i32 i32 i32 i32 i32 i32 i32", "send"),
                "metrics" => ("$metrics", "i32 i32 i32 i64 i32", "query"),
                "state" => ("$state_get", "i32 i32 i32", "get"),
                "change" => ("$drop", "i32", "[resource-drop]grant"),
                "log" => ("$log", "i32 i32 i32", "emit"),
                "state.set" => ("$state_set", "i32 i32 i32 i32 i64 i32", "set"),
                "artifacts" => ("$artifact", "i32 i32 i32 i32 i32 i32 i32", "put"),
                "probe.tcp" => ("$probe_tcp", "i32 i32 i32 i32", "tcp"),
                "probe.tls" => ("$probe_tls", "i32 i32 i32 i32", "tls"),
                "probe.dns" => ("$probe_dns", "i32 i32 i32", "dns"),
                other => panic!("no signature for {other}"),
            };
            let interface = import.split('.').next().unwrap();
            let _ = writeln!(
                wat,
                "(import \"medic:host/{interface}@0.1.0\" \"{name}\" (func {function} (param {params})))"
            );
        }
        let _ = writeln!(wat, "{}", self.core);
        let _ = writeln!(
            wat,
            "(memory (export \"memory\") {})
            (global $heap (mut i32) (i32.const 262144))
            (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (local $at i32)
              {}
              (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
              (global.set $heap (i32.add (local.get $at) (local.get 3)))
              (local.get $at))
            (func $fail
              (i32.store8 (i32.const {OUT}) (i32.const 1)) (i32.store8 offset=4 (i32.const {OUT}) (i32.const 1))
              (i64.store offset=8 align=4 (i32.const {OUT}) (i64.load offset=12 align=4 (i32.const {RET})))
              (i64.store offset=16 align=4 (i32.const {OUT}) (i64.load offset=20 align=4 (i32.const {RET})))
              (i32.store8 offset=24 (i32.const {OUT}) (i32.const 0)))
            (func (export \"medic:tool/catalog@0.1.0#list-tools\") (result i32) {})
            {}\n{})",
            self.memory, self.realloc_first, self.list_tools, self.functions, self.data
        );
        wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}\n{wat}"))
    }

    /// The component.
    pub fn build(&self) -> Vec<u8> {
        let mut world = String::from("package test:guest;\nworld guest {\n");
        let interfaces: std::collections::BTreeSet<_> =
            self.imports.iter().filter_map(|import| import.split('.').next()).collect();
        for interface in interfaces {
            let _ = writeln!(world, "import medic:host/{interface}@0.1.0;");
        }
        for (_, line) in &self.foreign {
            let _ = writeln!(world, "{line}");
        }
        for export in ["catalog", self.category].iter().chain(&self.extra_exports) {
            let _ = writeln!(world, "export medic:tool/{export}@0.1.0;");
        }
        world.push('}');
        let mut resolve = Resolve::default();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/0.1.0");
        resolve.push_dir(folder).unwrap();
        for (number, (package, _)) in self.foreign.iter().enumerate() {
            resolve.push_str(format!("foreign-{number}.wit"), package).unwrap();
        }
        let package = resolve.push_str("guest.wit", &world).unwrap();
        let world = resolve.select_world(&[package], Some("guest")).unwrap();
        let mut module = self.module();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
    }
}
