//! Text form of a place in a layout.

use std::fmt;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::{Error, Result};

/// A place in a layout: `oci:DIR`, `oci:DIR:TAG` or `oci:DIR@sha256:HEX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The layout's folder.
    pub folder: PathBuf,
    /// Name of the manifest in it.
    pub name: Name,
}

/// Name of a manifest in a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The only module, or the one tagged `latest`.
    Default,
    /// The one with this tag.
    Tag(String),
    /// The one with this digest.
    Digest(Digest),
}

impl Reference {
    /// Whether a word is meant as a reference.
    #[must_use]
    pub fn is_one(word: &str) -> bool {
        word.starts_with("oci:")
    }

    /// Reads a reference.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another form or a tag that OCI does not allow; [`Error::Hex`].
    pub fn parse(word: &str) -> Result<Self> {
        let bad = |detail: String| Error::Invalid {
            what: "OCI reference",
            detail,
        };
        let rest = word
            .strip_prefix("oci:")
            .ok_or_else(|| bad(format!("{word:?} does not begin with oci:")))?;
        let (folder, name) = if let Some((folder, hex)) = rest.rsplit_once("@sha256:") {
            (folder, Name::Digest(hex.parse()?))
        } else {
            // A colon before a slash is part of the folder.
            match rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
                Some((folder, tag)) => (folder, Name::Tag(tag.to_owned())),
                None => (rest, Name::Default),
            }
        };
        if folder.is_empty() {
            return Err(bad(format!("{word:?} names no folder")));
        }
        if let Name::Tag(tag) = &name {
            let inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if !tag.starts_with(first) || tag.len() > 128 || !tag.chars().all(inner) {
                return Err(bad(format!(
                    "the tag {tag:?} is not 1 to 128 of letters, digits, `_`, `.`, `-`"
                )));
            }
        }
        Ok(Self {
            folder: folder.into(),
            name,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci:{}", self.folder.display())?;
        match &self.name {
            Name::Default => Ok(()),
            Name::Tag(tag) => write!(f, ":{tag}"),
            Name::Digest(digest) => write!(f, "@sha256:{digest}"),
        }
    }
}
