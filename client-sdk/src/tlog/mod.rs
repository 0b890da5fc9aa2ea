//! Transparency-log arithmetic: RFC 6962 tree hashes and proofs; C2SP checkpoints, proof files,
//! cosignatures of witnesses and the policies that ask for them.
//!
//! Pure functions; `fedseal_ledger` keeps the tree, and what a witness has seen, on disk.

mod cosignature;
mod fork;
mod note;
mod origin;
mod policy;
mod proof;
mod proof_file;
mod vkey;
mod witness;

pub use cosignature::{add_signatures, cosign, cosigned_at, known_cosignatures, signed_by_only};
pub use fork::{Fork, Forked, MAX_FORK};
pub use note::{Checkpoint, MAX_NOTE, note_key_hash, verifier_key};
pub use origin::origin_names;
#[cfg(not(target_family = "wasm"))]
pub use origin::run_origin;
pub use policy::{MAX_POLICY, Party, Policy, Unread, Witnessed};
pub use proof::{
    consistency_proof, empty_root, inclusion_proof, leaf_hash, node_hash, root_of,
    verify_consistency, verify_inclusion,
};
pub use proof_file::{MAX_PROOF_FILE, ProofFile};
pub use vkey::{KeyKind, VerifierKey};
pub use witness::AddCheckpoint;
