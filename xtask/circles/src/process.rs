//! Place of the sources.

use std::path::{Path, PathBuf};

/// The repository's root: two folders above this crate's.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
