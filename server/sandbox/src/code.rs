//! Compiled modules in memory: the one place where bytes become machine code of this process.

use wasmtime::Engine;
use wasmtime::component::Component;

/// A compiled module, serialised. Whoever makes one vouches for its bytes.
pub(crate) struct Code(Vec<u8>);

impl Code {
    /// Code that this release of the compiler wrote and nobody changed since. Two places know that:
    /// [`crate::cache`] by a tag, [`crate::compiler`] of what came from its own process.
    pub(crate) fn trusted(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Compiled in this process, without limits: for tests and the fuzzer.
    pub(crate) fn here(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        engine.precompile_component(bytes).map(Self)
    }

    /// The serialised form.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The component, ready to run.
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` asks for bytes that this library's compiler wrote and that nobody
        // changed. A `Code` has such bytes only: `cache` makes one where a tag shows it, under a
        // key that never leaves the node; `compiler` makes one of what its child wrote into a pipe
        // that the two alone hold, the child being this program or the one that is installed with
        // it. The bytes are in this process's own memory. An engine of another release or
        // configuration refuses them.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
