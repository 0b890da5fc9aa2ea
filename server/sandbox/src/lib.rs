//! The sandbox room: runs signed WebAssembly guests, serves their host calls, and writes down
//! what they did.
//!
//! A guest is a component of the world `fedseal:policy` (`guest/wit/policy.wit`). It holds
//! handles, never tensors; it sees no clock, no entropy, no file, no network. The parts of WASI that a
//! language runtime imports are there and virtual. The host counts every call against [`Limits`],
//! appends it to the transcript, and draws the lineage of every object. Whatever a guest does, an
//! execution ends within the limits, with a [`Submission`] or a [`Reason`], and the next one finds
//! nothing of it.
//!
//! This room knows nothing of rounds that follow one another, of admission or signatures, and of no
//! files but the cache of what it compiled; the caller verifies signatures before it compiles, and
//! signs and stores what comes out.
//!
//! In reading order:
//! - [`component`]: makes components, and looks into them before they are compiled.
//! - [`Sandbox`], [`Policy`]: compile and run. [`compiler`]: the process that compiles.
//!   [`CompiledCache`]: what was compiled before.
//! - [`RunInput`], [`RunOutcome`]: what goes in, what comes out.
//! - [`Engine`], [`TuningEngine`]: training and generation behind the host calls.
//! - [`Reason`]: the stable ids of failures.
//!
//! ```
//! use fedseal_sandbox::{Limits, Reason, Sandbox};
//!
//! let sandbox = Sandbox::new(Limits::default())?;
//! let error = sandbox.compile(b"\0asm\x01\0\0\0").unwrap_err();
//! assert_eq!(error.reason(), Reason::BadComponent);
//! # Ok::<(), fedseal_sandbox::SandboxError>(())
//! ```

mod bindings;
mod cache;
mod code;
pub mod compiler;
pub mod component;
mod engine;
mod error;
mod host;
mod objects;
mod reason;
mod refusal;
mod run;
mod runtime;
mod sandbox;
mod threads;
mod way_out;

pub use cache::{CACHE_BYTES, CompiledCache};
pub use engine::{Engine, EngineError, GenerateOptions, TrainOptions, TuningEngine};
pub use error::SandboxError;
pub use fedseal_client_sdk::attestation::{FIXED_LIMITS, Limits};
pub use fedseal_client_sdk::recording::{Recording, rounded, rounded_down};
pub use host::noisy;
pub use reason::{Reason, Stop};
pub use run::{
    Control, RunInput, RunOutcome, Submission, TrainDefaults, examples_bytes, examples_digest,
};
pub use sandbox::{Policy, Runner, Sandbox};
