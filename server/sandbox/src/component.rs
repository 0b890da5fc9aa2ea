//! Components as bytes: made of a core module, and looked into before any of it is compiled.

use fedseal_client_sdk::attestation::Limits;
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

use crate::error::SandboxError;
use crate::reason::Reason;

/// The only import that a policy may have.
pub const HOST_INTERFACE: &str = "fedseal:policy/host@0.1.0";

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
/// The world's type is in the module's custom section, so nothing else is needed. The same core
/// module gives the same component.
///
/// # Errors
/// [`SandboxError::BadComponent`] when the bytes are not such a module; its text says what the
/// encoder misses.
pub fn componentize(core: &[u8]) -> Result<Vec<u8>, SandboxError> {
    let bad = |error: &dyn std::fmt::Display| SandboxError::BadComponent {
        detail: error.to_string(),
    };
    ComponentEncoder::default()
        .validate(true)
        .module(core)
        .map_err(|error| bad(&format_args!("{error:#}")))?
        .encode()
        .map_err(|error| bad(&format_args!("{error:#}")))
}

/// Checks what can be seen without compiling: size, that it is a component, its imports, and that
/// the memories and tables it starts with are within the limits.
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
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(bad)?;
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
                    if name != HOST_INTERFACE {
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

/// What the core modules inside start with.
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
                    let detail = format!("{} bytes of memory", self.memory);
                    return too_much(Reason::Memory, detail);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    let initial = table.map_err(bad)?.ty.initial;
                    self.tables = self.tables.saturating_add(initial);
                }
                if self.tables > limits.tables {
                    return too_much(Reason::Tables, format!("{} table elements", self.tables));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn bad(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::BadComponent {
        detail: crate::reason::printable(&error.to_string(), 400),
    }
}
