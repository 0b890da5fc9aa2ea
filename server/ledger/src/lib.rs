//! The ledger: what fedseal remembers, and how it proves that it has not changed its mind.
//!
//! - [`Log`]: an append-only Merkle log in the C2SP tlog-tiles layout with signed checkpoints,
//!   one writer. [`LogReader`]: the same directory for those who only read, also while it is
//!   written. [`fsck`]: derives every tile and root again from the entries.
//! - [`Witness`]: what a witness of other logs remembers, so that it never cosigns two views.
//! - [`Blobs`]: byte strings under their SHA-256, checked at every read; many small ones share a
//!   file. [`OpenBlob`]: one that is read in parts.
//!
//! It knows entries as bytes and files by digest: no machine learning, no HTTP, no policy.
//!
//! The order of writes is the safety argument of both stores: data first, each file written
//! beside its place, synced, renamed, its directory synced; then the checkpoint, in the same
//! way. So what a checkpoint (or a digest) names is on disk before anyone can see the name.
//!
//! ```
//! use fedseal_client_sdk::{keys::SigningKey, tlog};
//! use fedseal_ledger::{Log, fsck};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path().join("log");
//! let key = SigningKey::from_seed([1; 32]);
//! let mut log = Log::create(&dir, "fedseal.example/run", key.clone())?;
//! log.append(b"first")?;
//! let second = log.append(b"second")?;
//! let checkpoint = log.publish()?;
//!
//! let proof = log.prove_inclusion(second, checkpoint.size)?;
//! let leaf = tlog::leaf_hash(b"second");
//! tlog::verify_inclusion(leaf, second, checkpoint.size, &proof, checkpoint.root)?;
//! assert_eq!(fsck(&dir, &key.public())?.entries, 2);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod blobs;
mod error;
mod files;
mod log;
mod opened;
mod packs;
mod verify;
mod witness;

pub use blobs::{Blobs, MAX_BLOB};
pub use error::{Error, Result};
/// For tests of what is left after a failure at any step of writing.
#[doc(hidden)]
pub use files::{Inject, Step};
pub use log::{FsckReport, Log, LogReader, Remote, add_cosignatures, fsck};
pub use opened::OpenBlob;
pub use packs::{PACK_FROM, PACKED_BYTES};
pub use verify::{FilesReport, verify_files};
pub use witness::{Refusal, Witness};
