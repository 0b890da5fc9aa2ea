//! A module where a command asks for one: a file with its signature next to it, or `oci:…`, a place in
//! an OCI image layout on disk or in a registry.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::embedded::Embedded;
use fedseal_client_sdk::keys::{Moment, PublicKey, TrustStore};
use fedseal_client_sdk::module::{self, VerifiedModule};
use fedseal_client_sdk::oci::{self, Access, Reference, Store};
use fedseal_record::rundir::{self, write_atomically};

use crate::failure::{Failure, Outcome};
use crate::files;

/// Help for an argument that is a [`Place`].
pub const HELP: &str = "The module: a component's file, or oci:PLACE[:TAG|@sha256:DIGEST], where PLACE is \
                        the folder of an OCI layout or REGISTRY/REPOSITORY";

/// The largest module's file, bytes; a sandbox takes less by its own limits.
pub const MAX_MODULE: usize = 128 << 20;
/// The largest detached signature's file, bytes.
pub const MAX_ENVELOPE: usize = 1 << 20;

/// Place of a module, as given on the command line.
#[derive(Clone, Debug)]
pub enum Place {
    /// A component's file.
    File(PathBuf),
    /// A reference as it was written; read when it is used, so that the error is a command's own.
    Artifact(String),
}

impl FromStr for Place {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(match Reference::is_one(word) {
            true => Place::Artifact(word.to_owned()),
            false => Place::File(word.into()),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(f),
            Place::Artifact(word) => f.write_str(word),
        }
    }
}

/// A module's bytes and the statements about them; nothing is verified yet.
pub struct Found {
    /// The component.
    pub bytes: Vec<u8>,
    /// The detached signatures.
    pub envelopes: Vec<Envelope>,
}

/// Who vouches for a module.
// One at a time is made, and kept for a moment.
#[allow(clippy::large_enum_variant)]
pub enum Signer {
    /// Whoever signed a detached statement.
    Detached {
        /// The statement's envelope.
        envelope: Envelope,
        /// The statement in it.
        verified: VerifiedModule,
    },
    /// Whoever embedded a signature (wasmsign2); there is no detached one.
    Embedded(PublicKey),
}

impl Place {
    /// Reads the module and its signatures.
    ///
    /// # Errors
    /// A missing file, a reference that names nothing, a blob that is not what its name says.
    pub fn read(&self) -> Outcome<Found> {
        match self {
            Place::File(path) => {
                let signature = module::envelope_path(path);
                let envelopes = match signature.exists() {
                    true => vec![envelope(&signature)?],
                    false => Vec::new(),
                };
                let bytes = files::read(path, MAX_MODULE)?;
                Ok(Found { bytes, envelopes })
            }
            Place::Artifact(word) => {
                let reference = Reference::parse(word).map_err(Failure::usage)?;
                let pulled = oci::pull(&reference, &Access::of_user())?;
                Ok(Found {
                    bytes: pulled.module,
                    envelopes: pulled.envelopes,
                })
            }
        }
    }

    /// The name that a module has where none is given: that of its file, of its layout's folder, or the
    /// last part of its repository's.
    pub fn name(&self) -> String {
        let stem = |path: &Path| {
            path.file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
        };
        match self {
            Place::File(path) => stem(path),
            Place::Artifact(word) => {
                match Reference::parse(word).map(|reference| reference.store) {
                    Ok(Store::Folder(folder)) => stem(&folder),
                    Ok(Store::Repository(at)) => {
                        let last = at.name.rsplit('/').next();
                        last.unwrap_or_default().to_owned()
                    }
                    Err(_) => String::new(),
                }
            }
        }
    }

    /// Stores a signature where [`Place::read`] finds it, and returns that place.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn attach(&self, envelope: &Envelope) -> Outcome<String> {
        match self {
            Place::File(path) => {
                let path = module::envelope_path(path);
                write_atomically(&path, &envelope.to_bytes())?;
                Ok(path.display().to_string())
            }
            Place::Artifact(word) => {
                let reference = Reference::parse(word).map_err(Failure::usage)?;
                oci::attach(&reference, envelope, &Access::of_user())?;
                Ok(word.clone())
            }
        }
    }
}

impl Found {
    /// The embedded signatures, where there are some.
    ///
    /// # Errors
    /// A section that is broken.
    pub fn embedded(&self) -> Outcome<Option<Embedded>> {
        Ok(Embedded::read(&self.bytes)?)
    }

    /// Returns the currently trusted key that vouches for the module. A detached statement comes first;
    /// where there is none, an embedded signature counts.
    ///
    /// # Errors
    /// No signature, or none by a trusted key.
    pub fn signer(&self, place: &Place, store: &TrustStore) -> Outcome<Signer> {
        let now = rundir::now();
        let trusted = store.keys_at(&Moment {
            time: &now,
            entry: None,
        });
        let mut problem = None;
        for envelope in &self.envelopes {
            match module::verify(&self.bytes, envelope, &trusted) {
                Ok(verified) => {
                    return Ok(Signer::Detached {
                        envelope: envelope.clone(),
                        verified,
                    });
                }
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        if let Some(error) = problem {
            return Err(Failure::new(format!("{place}: {error}")));
        }
        match self.embedded()? {
            Some(embedded) => embedded
                .verify(&trusted)
                .map(Signer::Embedded)
                .map_err(|error| Failure::new(format!("{place}: {error}"))),
            None => Err(Failure::new(format!("{place}: not signed"))
                .hint(format!("Sign it: fedseal policy sign {place}"))),
        }
    }
}

/// A detached signature's file.
///
/// # Errors
/// A file that cannot be read, or is no envelope.
pub fn envelope(path: &Path) -> Outcome<Envelope> {
    Envelope::from_json(&files::read(path, MAX_ENVELOPE)?)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
