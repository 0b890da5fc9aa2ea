//! Limits of a module: the one place where they and their defaults are named.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Memory, bytes, of the process that compiles a module where [`Limits::compile_bytes`] is not set:
/// 1 GiB. Python's interpreter, the largest guest, takes half of it, JavaScript's a sixth.
pub const COMPILE_BYTES: u64 = 1 << 30;

/// Size of a module, bytes, unless a node says otherwise ([`Limits::module_bytes`]): 32 MiB.
pub const MODULE_BYTES: u64 = 32 << 20;

/// Defaults that were other ones before the measured guests of docs/GUESTS.md.
const FORMER: [(&str, u64); 4] = [
    ("module_bytes", 24 << 20),
    ("guest_seconds", 10),
    ("memory_bytes", 64 << 20),
    ("instances", 32),
];

/// Bounds of one execution. In a TOML file every field may be left out; then the default holds.
/// An attestation has all of them, except a `compile_bytes` that nobody set.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Size of the Wasm component, bytes. Default 32 MiB: a Python policy has 18, one with much of the
    /// standard library 26.
    pub module_bytes: u64,
    /// Processor time for compiling it, seconds for each of the compiler's four threads. Default 30,
    /// 120 in all: Python's interpreter takes 20 to 40, by how busy the machine is.
    pub compile_seconds: u64,
    /// Memory of the process that compiles it, bytes. Left out: 1 GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compile_bytes: Option<u64>,
    /// Wasm instructions, in the runtime's fuel units. Default 20e9.
    pub fuel: u64,
    /// Wall-clock time of the whole execution, host calls included, seconds. Default 3,600.
    pub wall_seconds: u64,
    /// Wall-clock time inside the guest's own code, host calls not included, seconds.
    /// Default 30: the default of `fuel` lasts that long on a busy machine.
    pub guest_seconds: u64,
    /// Linear memory, all memories together, bytes. Default 192 MiB: a Python policy that reads and writes
    /// the 921,600 values of an adapter for SmolLM2-135M of rank 16 has 128.
    pub memory_bytes: u64,
    /// Table elements, all tables together. Default 10,000.
    pub tables: u64,
    /// Core module instances inside the component. Default 64: a Python policy whose WASI is stubbed has 38.
    pub instances: u64,
    /// Wasm stack, bytes. Default 512 KiB.
    pub stack_bytes: u64,
    /// Resource handles alive at once. Default 1,024.
    pub handles: u64,
    /// Bytes that cross the boundary in one host call. Default 16 MiB.
    pub call_bytes: u64,
    /// Memory that the host holds for the guest: datasets, adapters, generated text; bytes.
    /// Default 1 GiB.
    pub host_bytes: u64,
    /// Bytes that the host copies, hashes and compares for the guest, all calls together.
    /// Default 16 GiB.
    pub host_work_bytes: u64,
    /// Host calls. Default 100,000.
    pub host_calls: u64,
    /// Optimiser steps, all `train` calls together. Default 10,000.
    pub train_steps: u64,
    /// Training tokens, all `train` calls together. Default 50e6.
    pub train_tokens: u64,
    /// Tokens written by `generate`, all calls together. Default 1e6.
    pub generated_tokens: u64,
    /// One log line, bytes. Default 4,096.
    pub log_record_bytes: u64,
    /// Log lines within any second of the machine's clock, bytes. Default 128 KiB: half of the default
    /// of `log_total_bytes`.
    pub log_second_bytes: u64,
    /// All log lines together, bytes. Default 256 KiB.
    pub log_total_bytes: u64,
}

impl Limits {
    /// Each limit by its name; a limit that nobody set has its default.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<String, u64> {
        let mut all = self.written();
        all.entry("compile_bytes".into()).or_insert(COMPILE_BYTES);
        all
    }

    /// Limits by name, as an attestation has them.
    fn written(&self) -> BTreeMap<String, u64> {
        // Numbers have a JSON form, so no limit is lost.
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_u64()?)))
                .collect(),
            _ => BTreeMap::new(),
        }
    }

    /// These limits as a run of an earlier version was begun with them: where this has today's default and the
    /// run the default of its time, the run's holds. For a file that names neither.
    #[must_use]
    pub fn as_begun(&self, run: &Self) -> Self {
        let (mut all, today, run) = (self.written(), Self::default().written(), run.written());
        for (name, former) in FORMER {
            if all.get(name) == today.get(name) && run.get(name) == Some(&former) {
                all.insert(name.into(), former);
            }
        }
        Self::of(all).unwrap_or(*self)
    }

    /// Limits by name.
    fn of(all: BTreeMap<String, u64>) -> Option<Self> {
        let all = all.into_iter().map(|(name, value)| (name, value.into()));
        serde_json::from_value(Value::Object(all.collect())).ok()
    }

    /// These limits, each no looser than in `most`. Names in `most` that no limit has are skipped.
    #[must_use]
    pub fn within(&self, most: &BTreeMap<String, u64>) -> Self {
        let mut all = self.written();
        for (name, value) in &mut all {
            if let Some(most) = most.get(name) {
                *value = (*value).min(*most);
            }
        }
        Self::of(all).unwrap_or(*self)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            module_bytes: MODULE_BYTES,
            compile_seconds: 30,
            compile_bytes: None,
            fuel: 20_000_000_000,
            wall_seconds: 3_600,
            guest_seconds: 30,
            memory_bytes: 192 << 20,
            tables: 10_000,
            instances: 64,
            stack_bytes: 512 << 10,
            handles: 1_024,
            call_bytes: 16 << 20,
            host_bytes: 1 << 30,
            host_work_bytes: 16 << 30,
            host_calls: 100_000,
            train_steps: 10_000,
            train_tokens: 50_000_000,
            generated_tokens: 1_000_000,
            log_record_bytes: 4_096,
            log_second_bytes: 128 << 10,
            log_total_bytes: 256 << 10,
        }
    }
}

/// Resources that an execution used. Deterministic, except that `peak_memory_bytes` counts linear
/// memory and not the host's.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Fuel units.
    pub fuel: u64,
    /// Largest linear memory, bytes.
    pub peak_memory_bytes: u64,
    /// Host calls.
    pub host_calls: u64,
    /// Optimiser steps.
    pub train_steps: u64,
    /// Training tokens.
    pub train_tokens: u64,
    /// Tokens written by `generate`.
    pub generated_tokens: u64,
    /// Log bytes.
    pub log_bytes: u64,
}

/// Limits that are the same for all modules of a sandbox: the compiler keeps them.
pub const FIXED_LIMITS: [&str; 4] = [
    "module_bytes",
    "compile_seconds",
    "compile_bytes",
    "stack_bytes",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_with_the_defaults_of_its_time() {
        let own = Limits {
            fuel: 7,
            ..Limits::default()
        };
        let run = Limits {
            memory_bytes: 64 << 20,
            instances: 33,
            ..own
        };
        let begun = own.as_begun(&run);
        assert_eq!(
            begun,
            Limits {
                memory_bytes: 64 << 20,
                ..own
            }
        );
        let named = Limits {
            memory_bytes: 1 << 20,
            ..own
        };
        assert_eq!(named.as_begun(&run), named);
    }

    #[test]
    fn limits_are_tightened_by_name_and_never_loosened() {
        let own = Limits::default();
        let most = [("fuel", 7), ("memory_bytes", u64::MAX), ("nothing", 0)];
        let most = most.map(|(name, value)| (name.to_owned(), value)).into();
        let tight = own.within(&most);
        assert_eq!(tight, Limits { fuel: 7, ..own });
        assert_eq!(tight.by_name()["fuel"], 7);
        assert_eq!(own.within(&BTreeMap::new()), own);
        // A limit that nobody set stays unset, so that attestations keep their form.
        assert_eq!(own.by_name()["compile_bytes"], COMPILE_BYTES);
        assert_eq!(own.within(&own.by_name()), own);
    }
}
