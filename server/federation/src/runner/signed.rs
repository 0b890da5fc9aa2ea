//! A signed module of a run: read, verified, stored.

use std::fs;
use std::path::Path;

use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::{Moment, TrustStore};
use fedseal_client_sdk::module;
use fedseal_ledger::Blobs;

use crate::{Error, Result};
use fedseal_record::rundir::{self, PlannedModule};

/// A component with the statements about it; nothing is verified yet.
pub(super) struct Signed {
    pub bytes: Vec<u8>,
    pub envelopes: Vec<Envelope>,
}

impl Signed {
    /// Reads a component's file and its statement next to it. `hint` is for one that is not there.
    pub(super) fn read(path: &Path, name: &str, hint: &str) -> Result<Signed> {
        let bytes = file(path, name, hint)?;
        let envelope = file(&module::envelope_path(path), name, hint)?;
        Ok(Signed {
            bytes,
            envelopes: vec![Envelope::from_json(&envelope)?],
        })
    }

    /// Verifies that an author who is trusted now signed it, and stores it; `place` is where it was found.
    pub(super) fn register(
        &self,
        place: &str,
        authors: &TrustStore,
        blobs: &Blobs,
    ) -> Result<PlannedModule> {
        let now = rundir::now();
        let at = Moment {
            time: &now,
            entry: None,
        };
        let trusted = authors.keys_at(&at);
        let mut problem = None;
        for envelope in &self.envelopes {
            match module::verify(&self.bytes, envelope, &trusted) {
                Ok(verified) => {
                    return Ok(PlannedModule {
                        name: verified.predicate.name,
                        digest: blobs.put(&self.bytes)?,
                        envelope: blobs.put(&envelope.to_bytes())?,
                        signer: verified.signer,
                    });
                }
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        match problem {
            Some(error) => Err(refused(place, error, authors, &at)),
            None => Err(Error::Missing {
                what: format!("signature of module {place}"),
                hint: format!("sign it: fedseal policy sign {place}"),
            }),
        }
    }
}

fn file(path: &Path, name: &str, hint: &str) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing {
            what: format!("module `{name}` ({})", path.display()),
            hint: hint.into(),
        },
        _ => Error::io(path, source),
    })
}

/// Why a module's signature does not count: because of the key, where the store says so.
fn refused(
    place: &str,
    error: fedseal_client_sdk::Error,
    authors: &TrustStore,
    at: &Moment<'_>,
) -> Error {
    let given_up = authors
        .keys
        .iter()
        .filter_map(|entry| authors.check(&entry.key, at).err())
        .map(|reason| format!("; {reason}"))
        .collect::<String>();
    Error::tampered(place, format!("{error}{given_up}"))
}
