//! Transparency-log arithmetic: RFC 6962 tree hashes and proofs, C2SP checkpoints
//! and proof files.
//!
//! Pure functions; `fedseal_ledger` keeps the tree on disk.

mod note;
mod proof;
mod proof_file;

pub use note::{Checkpoint, note_key_hash, verifier_key};
pub use proof::{
    consistency_proof, empty_root, inclusion_proof, leaf_hash, node_hash, root_of,
    verify_consistency, verify_inclusion,
};
pub use proof_file::ProofFile;
