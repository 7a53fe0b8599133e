//! How much of everything one call of a tool may use.
//!
//! Owns the numbers and their reasons; measuring against them is the work of [`crate::meter`].

use medic_core::ToolCategory;
use serde::{Deserialize, Serialize};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What one call may use. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Over all linear memories of the instance together.
    pub memory: u64,
    /// Time inside the guest, in steps of [`TICK_MS`].
    pub cpu_ms: u64,
    /// From the start of the call to its end, host calls included.
    pub wall_ms: u64,
    pub host_calls: u32,
    /// Beyond this a call waits for the next second; it is not refused.
    pub host_calls_per_second: u32,
    /// Mutating calls of one step.
    pub mutating_ops: u32,
    /// What one host call may hand to the guest.
    pub answer: u64,
    /// What all host calls together may hand to the guest.
    pub answers: u64,
    /// What the guest may hand to the host in one call, or as a result.
    pub hostcall_fuel: u64,
    pub summary: u64,
    pub data_json: u64,
    pub artifacts: u64,
    pub log_lines: u32,
    pub log_line: u64,
}

/// One step of the CPU budget. 10 ms: fine against a budget of seconds, coarse against the cost of a tick.
pub const TICK_MS: u64 = 10;
/// Elements of all tables together. 20,000: ten times what a Python guest, the hungriest seen, declares.
pub const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Core instances, tables and memories of one component. 32: an adapter and its shims take a handful.
pub const INSTANCES_MAX: usize = 32;
/// Handles a guest may hold. The host hands out one.
pub const HANDLES_MAX: usize = 64;
/// Largest component read. 64 MiB: three times a Python guest with its interpreter.
pub const COMPONENT_BYTES_MAX: u64 = 64 * MIB;
/// What compiling one component may take. 2 GiB: a Python guest of 18 MB with its interpreter was seen to take half.
pub const COMPILE_MEMORY_MAX: u64 = 2048 * MIB;
/// Above the memory itself, for what is mapped and never touched.
pub const COMPILE_ADDRESS_SPACE_MAX: u64 = 8192 * MIB;
/// Over all threads. 10 min: that guest takes one minute optimised, and several in a debug build.
pub const COMPILE_CPU_S_MAX: u64 = 600;
pub const COMPILE_WALL_MS_MAX: u64 = 600_000;
/// Compiled code is some three times its component.
pub const COMPILE_ARTEFACT_BYTES_MAX: u64 = 512 * MIB;
/// `list-tools` answers from constants: 8 MiB is plenty. A guest in Python starts in some 100 ms on a loaded machine.
pub const CATALOGUE_MEMORY_MAX: u64 = 8 * MIB;
pub const CATALOGUE_CPU_MS: u64 = 200;
/// 1 s of wall clock around the catalogue, should the machine be too busy to tick.
pub const CATALOGUE_WALL_MS: u64 = 1000;
pub const CATALOGUE_TOOLS_MAX: usize = 32;
/// What a grant may raise a limit to, whatever the category. 256 MiB: a Python guest with its interpreter.
pub const MEMORY_MAX: u64 = 256 * MIB;
pub const CPU_MS_MAX: u64 = 10_000;
/// Below the daemon's deadline for a step, so that the sandbox ends a call before the executor gives up on it.
pub const WALL_MS_MAX: u64 = 120_000;
pub const MUTATING_OPS_MAX: u32 = 64;
/// A request body of a mutating call. 1 MiB: a configuration document, not an upload.
pub const REQUEST_BODY_MAX: usize = 1024 * 1024;
/// A pre-image that is kept to be put back.
pub const PRE_IMAGE_MAX: usize = 1024 * 1024;
/// An endpoint's answer as kept in a receipt: enough to recognise it.
pub const RECEIPT_BODY_MAX: usize = 4096;
/// Longest wait for an endpoint. 15 s: a slow admin call, not a hung one.
pub const ENDPOINT_TIMEOUT_MS: u64 = 15_000;
/// How long a lost answer is asked after.
pub const FATE_TIMEOUT_MS: u64 = 5_000;
/// Longest wait for an API server. 15 s: a list of a large namespace, not a hung server.
pub const CLUSTER_TIMEOUT_MS: u64 = 15_000;
/// An API server's answer before its bookkeeping is taken out, which is often the larger part of it.
pub const CLUSTER_BODY_MAX: usize = 16 * 1024 * 1024;
/// Objects in one list. 500: as many as the server itself gives in one piece to kubectl.
pub const OBJECTS_MAX: u32 = 500;
/// Lines of a pod's log in one call.
pub const POD_LOG_LINES_MAX: u32 = 5_000;
/// Decisions kept for the audit log between two collections.
pub const HOST_CALL_RECORDS_MAX: usize = 10_000;

impl Limits {
    /// The defaults of a category.
    pub fn of(category: ToolCategory) -> Self {
        let reading = Self {
            memory: 64 * MIB,
            cpu_ms: 2_000,
            wall_ms: 20_000,
            host_calls: 64,
            host_calls_per_second: 20,
            mutating_ops: 0,
            answer: 4 * MIB,
            answers: 16 * MIB,
            hostcall_fuel: MIB,
            summary: 4 * KIB,
            data_json: 256 * KIB,
            artifacts: 16 * MIB,
            log_lines: 200,
            log_line: 2 * KIB,
        };
        match category {
            ToolCategory::Query => reading,
            ToolCategory::Diagnostic => Self {
                memory: 128 * MIB,
                cpu_ms: 5_000,
                wall_ms: 60_000,
                host_calls: 200,
                answers: 32 * MIB,
                hostcall_fuel: 4 * MIB,
                summary: 8 * KIB,
                data_json: MIB,
                artifacts: 64 * MIB,
                log_lines: 500,
                ..reading
            },
            ToolCategory::Remediation | ToolCategory::Destructive => Self {
                wall_ms: 60_000,
                host_calls_per_second: 5,
                // A step is one target; a tool that needs several calls for one says so in its grant.
                mutating_ops: 1,
                answer: MIB,
                answers: 8 * MIB,
                log_lines: 500,
                ..reading
            },
        }
    }

    /// Calls of one plugin at a time, and of all plugins of its kind together.
    pub fn concurrency(category: ToolCategory) -> (usize, usize) {
        match category {
            ToolCategory::Query => (4, 32),
            ToolCategory::Diagnostic => (2, 16),
            ToolCategory::Remediation | ToolCategory::Destructive => (4, 4),
        }
    }
}

/// What a grant changes of a category's limits. A key that is absent keeps the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitOverrides {
    /// `"64MiB"`, `"512KiB"`, or a number of bytes.
    pub memory: Option<Size>,
    pub cpu_ms: Option<u64>,
    pub wall_ms: Option<u64>,
    pub mutating_ops: Option<u32>,
    pub host_calls: Option<u32>,
}

impl LimitOverrides {
    /// # Errors
    /// The key and the greatest value it may have.
    pub fn over(&self, defaults: Limits) -> Result<Limits, String> {
        let within = |key: &str, value: u64, max: u64| {
            if value == 0 || value > max {
                return Err(format!("limits.{key} is {value}, it must be between 1 and {max}"));
            }
            Ok(value)
        };
        let mut limits = defaults;
        if let Some(Size(bytes)) = self.memory {
            limits.memory = within("memory", bytes, MEMORY_MAX)?;
        }
        if let Some(cpu_ms) = self.cpu_ms {
            limits.cpu_ms = within("cpu-ms", cpu_ms, CPU_MS_MAX)?;
        }
        if let Some(wall_ms) = self.wall_ms {
            limits.wall_ms = within("wall-ms", wall_ms, WALL_MS_MAX)?;
        }
        if let Some(ops) = self.mutating_ops {
            within("mutating-ops", u64::from(ops), u64::from(MUTATING_OPS_MAX))?;
            limits.mutating_ops = ops;
        }
        if let Some(calls) = self.host_calls {
            within("host-calls", u64::from(calls), 1000)?;
            limits.host_calls = calls;
        }
        Ok(limits)
    }
}

/// A number of bytes, written by people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Ok(Self(bytes)),
            Written::Text(text) => parse_size(&text).map(Self).ok_or_else(|| {
                serde::de::Error::custom(format!("`{text}` is no size; write \"64MiB\" or \"512KiB\""))
            }),
        }
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix("MiB") {
        Some(number) => (number, MIB),
        None => (text.strip_suffix("KiB")?, KIB),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_raises_a_limit_up_to_the_cap_and_no_further() {
        let defaults = Limits::of(ToolCategory::Query);
        let raised: LimitOverrides = toml::from_str("memory = \"256MiB\"\ncpu-ms = 100").unwrap();
        let limits = raised.over(defaults.clone()).unwrap();
        assert_eq!((limits.memory, limits.cpu_ms, limits.wall_ms), (256 * MIB, 100, defaults.wall_ms));
        let greedy: LimitOverrides = toml::from_str("memory = \"257MiB\"").unwrap();
        assert!(greedy.over(defaults.clone()).unwrap_err().contains("limits.memory"));
        let none: LimitOverrides = toml::from_str("wall-ms = 0").unwrap();
        assert!(none.over(defaults).is_err());
    }

    #[test]
    fn sizes_without_a_known_unit_do_not_parse() {
        for text in ["memory = \"64MB\"", "memory = \"lots\"", "memory = -1", "memroy = \"1MiB\""] {
            assert!(toml::from_str::<LimitOverrides>(text).is_err(), "{text}");
        }
    }
}
