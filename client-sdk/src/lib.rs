//! Library that submitters and auditors of fedseal link.
//!
//! This room holds the *words* that travel between the parties and the arithmetic that checks
//! them: digests, keys, signatures, module and update attestations, lineage, transcript, log
//! records and Merkle proofs. Everything here is a pure function over bytes and values, except
//! files ([`keys`], [`oci`], [`oms`], [`outside`]) and the HTTP calls ([`submit`], [`remote`], [`completions`],
//! [`oci`], [`signed`], [`administration`], [`mod@http`], feature `http`). It never runs a module, trains, or
//! decides what is admitted; it builds to `wasm32-unknown-unknown` without the feature `http`, so that a
//! browser verifies with the same code.
//!
//! In the order in which a reader meets them:
//!
//! - [`bounded`]: bounds on what comes from outside, checked before anything is built from it.
//! - [`digest`] and [`ids`]: newtypes; nothing that is hashed or signed travels as a bare string.
//! - [`canonical`]: the one place where JSON that is hashed or signed is made and read.
//! - [`keys`]: Ed25519 keys, their files, and the list of keys that a verifier trusts.
//! - [`dsse`] and [`statement`]: the signed envelope and the in-toto statement inside it.
//! - [`module`]: a module's signature; [`embedded`]: one that other tools put into it.
//! - [`decision`]: whether a submitted module may be executed.
//! - [`slsa`]: how a module was built, in its author's words.
//! - [`attestation`]: what a node says about an update, with its [`lineage`] and [`transcript`].
//! - [`record`]: every entry of the log. [`tlog`]: proofs that an entry is in it.
//! - [`oci`]: modules in an OCI image layout on disk, or in a registry.
//! - [`oms`]: the signature of a model folder that other tools verify.
//! - [`bundle`]: all of that about one update, in one file. [`checks`]: the same claim by claim, for browsers.
//! - `http_signature` (feature `signed-requests`): who sent a request, and that nobody changed it.
//! - [`outside`]: reading files that somebody else may have put there.
//!
//! ```
//! use fedseal_client_sdk::{keys::SigningKey, module::{self, ModulePredicate}};
//!
//! # fn main() -> Result<(), fedseal_client_sdk::Error> {
//! let author = SigningKey::from_seed([7; 32]);
//! let wasm = b"\0asm...";
//! let about = ModulePredicate::new("plain", "0.1.0");
//! let envelope = module::sign(wasm, &about, &author)?;
//! let verified = module::verify(wasm, &envelope, &[author.public()])?;
//! assert_eq!(verified.predicate.name, "plain");
//! assert!(module::verify(b"other bytes", &envelope, &[author.public()]).is_err());
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "http")]
pub mod administration;
pub mod attestation;
mod base64;
pub mod bounded;
pub mod bundle;
pub mod canonical;
pub mod checks;
#[cfg(feature = "http")]
pub mod completions;
pub mod decision;
pub mod digest;
pub mod dsse;
pub mod embedded;
mod error;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "signed-requests")]
pub mod http_signature;
pub mod ids;
pub mod keys;
pub mod lineage;
pub mod module;
#[cfg(not(target_family = "wasm"))]
pub mod oci;
#[cfg(not(target_family = "wasm"))]
pub mod oms;
#[cfg(not(target_family = "wasm"))]
pub mod outside;
pub mod record;
pub mod recording;
#[cfg(feature = "http")]
pub mod remote;
#[cfg(any(test, feature = "schema"))]
mod schema;
#[cfg(feature = "http")]
pub mod signed;
pub mod slsa;
pub mod statement;
#[cfg(feature = "http")]
pub mod submit;
pub mod tlog;
pub mod transcript;

pub use error::{Error, Result, Source};
