//! Components as bytes: made of a core module, and looked into before any of it is compiled.

use fedseal_client_sdk::attestation::Limits;
use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::error::{SandboxError, bad_component as bad};
use crate::reason::Reason;

mod declared;

use declared::Declared;

/// The import that a policy has; a language runtime's WASI beside it is served virtually (see
/// [`is_virtual`]).
pub const HOST_INTERFACE: &str = "fedseal:policy/host@0.1.0";

/// The module of WASI's first preview, which C libraries import.
const PREVIEW_1: &str = "wasi_snapshot_preview1";

/// The world that policies are written against.
pub const WIT: &str = include_str!("../../../guest/wit/policy.wit");

/// Nesting of components and modules that is looked into; a component made by `wit-component`
/// has 1.
const MAX_DEPTH: usize = 8;

/// Makes a component of the core module that cargo builds for `wasm32-unknown-unknown`:
///
/// ```text
/// cargo build --profile guest --target wasm32-unknown-unknown -p fedseal-policy-benign
/// fedseal policy build target/wasm32-unknown-unknown/guest/fedseal_policy_benign.wasm
/// ```
///
/// Rust's bindings leave the world's type in a custom section. A module without one (C, Zig, anything
/// that makes a core module) is taken for one of the world [`WIT`]. The same core module gives the same
/// component.
///
/// # Errors
/// [`SandboxError::BadComponent`] when the bytes are not such a module; its text says what the
/// encoder misses.
pub fn componentize(core: &[u8]) -> Result<Vec<u8>, SandboxError> {
    let bad = |error: &dyn std::fmt::Display| SandboxError::BadComponent {
        detail: error.to_string(),
    };
    if core.starts_with(b"\0asm\x0d\0\x01\0") {
        return Ok(core.to_vec());
    }
    let mut core = core.to_vec();
    if !names_its_world(&core) {
        let mut resolve = Resolve::default();
        let package = resolve
            .push_str("policy.wit", WIT)
            .map_err(|error| bad(&format_args!("{error:#}")))?;
        let world = resolve
            .select_world(&[package], Some("policy"))
            .map_err(|error| bad(&format_args!("{error:#}")))?;
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8)
            .map_err(|error| bad(&format_args!("{error:#}")))?;
    }
    let mut encoder = ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .map_err(|error| bad(&format_args!("{error:#}")))?;
    if imports(&core, PREVIEW_1) {
        encoder = encoder
            .adapter(PREVIEW_1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
            .map_err(|error| bad(&format_args!("{error:#}")))?;
    }
    encoder
        .encode()
        .map_err(|error| bad(&format_args!("{error:#}")))
}

/// Whether a core module imports something of a module of this name.
fn imports(core: &[u8], module: &str) -> bool {
    Parser::new(0).parse_all(core).any(|payload| match payload {
        Ok(Payload::ImportSection(section)) => section
            .into_imports()
            .any(|import| import.is_ok_and(|import| import.module == module)),
        _ => false,
    })
}

/// Whether a core module has the section in which bindings leave their world's type.
fn names_its_world(core: &[u8]) -> bool {
    Parser::new(0).parse_all(core).any(|payload| {
        matches!(payload, Ok(Payload::CustomSection(section)) if section.name().starts_with("component-type"))
    })
}

/// Checks what can be seen without compiling: size, that it is a component, how much it declares,
/// its imports, and that the memories and tables it starts with are within the limits.
///
/// # Errors
/// The first thing that is wrong, in that order.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<(), SandboxError> {
    let size = bytes.len() as u64;
    if size > limits.module_bytes {
        return Err(SandboxError::ModuleSize {
            bytes: size,
            limit: limits.module_bytes,
        });
    }
    let mut depth = 0;
    let mut seen = Seen::default();
    let mut declared = Declared::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(bad)?;
        declared.add(&payload)?;
        match payload {
            Payload::Version { encoding, .. } if depth == 0 && encoding != Encoding::Component => {
                return Err(bad(
                    "it is a core module; `fedseal policy build` makes a component of it",
                ));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(bad("modules are nested too deeply"));
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let name = import.map_err(bad)?.name.name;
                    if name != HOST_INTERFACE && !crate::host::wasi_allowed(name) {
                        return Err(SandboxError::BadImport {
                            name: name.to_owned(),
                        });
                    }
                }
            }
            other => seen.add(&other, limits)?,
        }
    }
    Ok(())
}

/// Facts about a component, read from its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its imports, in order.
    pub imports: Vec<String>,
    /// Its exports, in order.
    pub exports: Vec<String>,
    /// Linear memory that it starts with, all memories together, bytes.
    pub memory_bytes: u64,
    /// Table elements that it starts with, all tables together.
    pub table_elements: u64,
    /// Core instances that it makes.
    pub core_instances: u64,
}

/// Reads a component without compiling it; limits and the list of imports are not checked.
///
/// # Errors
/// [`SandboxError::BadComponent`].
pub fn describe(bytes: &[u8]) -> Result<Description, SandboxError> {
    let no_limits = Limits {
        memory_bytes: u64::MAX,
        tables: u64::MAX,
        ..Limits::default()
    };
    let mut seen = Seen::default();
    let mut found = Description::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(bad)?;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports.clone() {
                    found
                        .imports
                        .push(import.map_err(bad)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports.clone() {
                    found
                        .exports
                        .push(export.map_err(bad)?.name.name.to_owned());
                }
            }
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    // Those that only gather exports of others take no place.
                    if let wasmparser::Instance::Instantiate { .. } = instance.map_err(bad)? {
                        found.core_instances += 1;
                    }
                }
            }
            other => seen.add(other, &no_limits)?,
        }
    }
    found.memory_bytes = seen.memory;
    found.table_elements = seen.tables;
    Ok(found)
}

/// Whether an import is one of WASI's that are served virtually.
#[must_use]
pub fn is_virtual(import: &str) -> bool {
    crate::host::wasi_allowed(import)
}

/// Memory and tables that the core modules inside start with.
#[derive(Default)]
struct Seen {
    memory: u64,
    tables: u64,
}

impl Seen {
    fn add(&mut self, payload: &Payload<'_>, limits: &Limits) -> Result<(), SandboxError> {
        let too_much = |reason, detail| Err(SandboxError::StartSize { reason, detail });
        match payload {
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    let memory = memory.map_err(bad)?;
                    let page = 1_u64 << memory.page_size_log2.unwrap_or(16);
                    self.memory = self
                        .memory
                        .saturating_add(memory.initial.saturating_mul(page));
                }
                if self.memory > limits.memory_bytes {
                    let detail = format!(
                        "{} bytes of memory, memory_bytes is {}",
                        self.memory, limits.memory_bytes
                    );
                    return too_much(Reason::Memory, detail);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    let initial = table.map_err(bad)?.ty.initial;
                    self.tables = self.tables.saturating_add(initial);
                }
                if self.tables > limits.tables {
                    let detail = format!(
                        "{} table elements, tables is {}",
                        self.tables, limits.tables
                    );
                    return too_much(Reason::Tables, detail);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
