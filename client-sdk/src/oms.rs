//! OpenSSF Model Signing (<https://github.com/ossf/model-signing-spec>, v1.0): one signature over
//! every file of a model or adapter folder, which its own tool verifies
//! (`model_signing verify key FOLDER --signature FOLDER/model.sig --public_key KEY`).
//!
//! The file `model.sig` is a Sigstore bundle (v0.3) around a DSSE envelope whose in-toto statement
//! lists the digest of each file. It says nothing about how the folder came to be: the log does.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bounded::{self, Bounds, short};
use crate::digest::Digest;
use crate::dsse::pae;
use crate::keys::{P256Key, P256PublicKey};
use crate::statement::{PAYLOAD_TYPE, Statement, Subject, expect};
use crate::{Error, Result, base64, canonical};

mod bundle;
mod folder;

use bundle::{Envelope, Hint, Material, Signature};
pub use folder::{MAX_DEPTH, MAX_FILE_BYTES, MAX_FILES};

/// The name of the signature's file in the folder that it is about.
pub const SIGNATURE_FILE: &str = "model.sig";

/// The predicate type of a model signature.
pub const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";

/// The media type of a Sigstore bundle.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A signature file larger than this (bytes) is refused unread: 10,000 files with long names fit.
pub const MAX_BYTES: usize = 16 << 20;

/// Bounds on the file: one statement, as a string, and one signature.
const BOUNDS: Bounds = Bounds {
    bytes: MAX_BYTES,
    structure: 4 << 20,
};

/// Bounds on the statement: the digests of [`MAX_FILES`] files.
const STATEMENT: Bounds = Bounds {
    bytes: MAX_BYTES,
    structure: 32 << 20,
};

/// Names that git keeps next to a model; the reference tool leaves them out unless told otherwise.
const GIT: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// A Sigstore bundle (`dev.sigstore.bundle.v1.Bundle` in JSON) as it is signed with a bare key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ModelSignature {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

/// The predicate. Readers of version 1.0 pass over fields that they do not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Predicate<R> {
    serialization: Serialization,
    resources: Vec<R>,
}

/// How the folder was turned into resources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ignore_paths: Vec<String>,
}

/// One signed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its path below the folder, with `/`.
    pub name: String,
    /// `sha256`.
    algorithm: String,
    /// The digest of its content.
    pub digest: Digest,
}

/// A signed file as it is read: of another algorithm the digest has another form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SignedResource {
    name: String,
    algorithm: String,
    digest: String,
}

/// A folder whose signature verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedFolder {
    /// Name that the signer gave it.
    pub name: String,
    /// SHA-256 over the files' digests in their order: the folder's name elsewhere.
    pub root: Digest,
    /// The files.
    pub files: Vec<Resource>,
}

/// Signs every file of a folder, hidden ones too, but for `model.sig` and what git keeps.
///
/// # Errors
/// [`Error::Io`]; [`Error::Invalid`] for a symbolic link, a name that is not UTF-8, an empty folder
/// or one beyond [`MAX_FILES`] or [`MAX_DEPTH`].
pub fn sign(folder: &Path, key: &P256Key) -> Result<ModelSignature> {
    sign_to(&folder.join(SIGNATURE_FILE), folder, key)
}

/// As [`sign`], for a signature that is to lie in any file. A file in the folder is left out; one
/// outside leaves a `model.sig` in the folder to be signed as any other file.
///
/// # Errors
/// As [`sign`].
pub fn sign_to(file: &Path, folder: &Path, key: &P256Key) -> Result<ModelSignature> {
    let own = folder::below(folder, file);
    let git = GIT.into_iter().map(str::to_owned);
    let ignored: Vec<String> = git.chain(own).collect();
    let resources = folder::resources(folder, &ignored)?;
    let subject = Subject::new(&folder::name(folder)?, root(&resources));
    let predicate = Predicate {
        serialization: Serialization {
            method: "files".to_owned(),
            hash_type: "sha256".to_owned(),
            allow_symlinks: false,
            ignore_paths: ignored,
        },
        resources,
    };
    let payload = canonical::to_vec(&Statement::new(vec![subject], PREDICATE_TYPE, predicate))?;
    Ok(ModelSignature {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: Material {
            public_key: Some(Hint {
                hint: Some(key.public().fingerprint().to_string()),
            }),
            certificate: None,
            x509_certificate_chain: None,
            tlog_entries: [],
        },
        dsse_envelope: Envelope {
            payload: base64::encode(&payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![Signature {
                sig: base64::encode(&key.sign(&pae(PAYLOAD_TYPE, &payload))?),
                keyid: String::new(),
            }],
        },
    })
}

impl ModelSignature {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        canonical::to_vec(self)
    }

    /// Reads a signature file; any tool may have written it.
    ///
    /// # Errors
    /// [`Error::Json`]; [`Error::Invalid`] when it is larger than [`MAX_BYTES`] or would take more
    /// memory than a signature of [`MAX_FILES`] files does.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        bounded::from_slice("model signature", bytes, &BOUNDS)
    }

    /// Verifies that the holder of `key` signed exactly the files of this folder: none changed,
    /// none missing, none added. The signature's own file is [`SIGNATURE_FILE`] in the folder.
    ///
    /// # Errors
    /// [`Error::Signature`] for another key or changed bytes, [`Error::Mismatch`] and
    /// [`Error::Invalid`] for a form that is not read (a certificate instead of a key, another hash),
    /// [`Error::DigestMismatch`] for a changed file; as [`sign`] for the folder.
    pub fn verify(&self, folder: &Path, key: &P256PublicKey) -> Result<VerifiedFolder> {
        self.verify_at(&folder.join(SIGNATURE_FILE), folder, key)
    }

    /// As [`ModelSignature::verify`], of a signature in any file, in the folder or outside it.
    ///
    /// # Errors
    /// As [`ModelSignature::verify`].
    pub fn verify_at(
        &self,
        file: &Path,
        folder: &Path,
        key: &P256PublicKey,
    ) -> Result<VerifiedFolder> {
        let statement = self.open(key)?;
        let [subject] = statement.subject.as_slice() else {
            return Err(invalid(format!(
                "{} subjects, a model signature has one",
                statement.subject.len()
            )));
        };
        let Predicate {
            serialization,
            resources,
        } = statement.predicate;
        // The one form that is written here, and the reference tool's default.
        read_form("method", &serialization.method, "files")?;
        read_form("hash_type", &serialization.hash_type, "sha256")?;
        let resources: Vec<Resource> = resources
            .into_iter()
            .map(SignedResource::read)
            .collect::<Result<_>>()?;
        let signed = root(&resources);
        if signed != subject.digest.sha256 {
            return Err(Error::DigestMismatch {
                what: "the signed list of files".into(),
                expected: subject.digest.sha256,
                got: signed,
            });
        }
        let mut ignored = serialization.ignore_paths;
        ignored.extend(folder::below(folder, file));
        compare(&resources, &folder::resources(folder, &ignored)?)?;
        Ok(VerifiedFolder {
            name: subject.name.clone(),
            root: signed,
            files: resources,
        })
    }

    /// The statement, when this key signed it.
    fn open(&self, key: &P256PublicKey) -> Result<Statement<Predicate<SignedResource>>> {
        expect("bundle mediaType", MEDIA_TYPE, &self.media_type)?;
        self.verification_material.key()?;
        let envelope = &self.dsse_envelope;
        expect("DSSE payload type", PAYLOAD_TYPE, &envelope.payload_type)?;
        // The reference tool reads the first signature alone: two tools must not differ here.
        let [signature] = envelope.signatures.as_slice() else {
            return Err(invalid(format!(
                "{} signatures in the envelope, a bundle has one",
                envelope.signatures.len()
            )));
        };
        let payload = base64::decode_any("DSSE payload", &envelope.payload)?;
        let bytes = base64::decode_any("DSSE signature", &signature.sig)?;
        key.verify(&pae(PAYLOAD_TYPE, &payload), &bytes)?;
        let statement: Statement<Predicate<SignedResource>> =
            bounded::from_slice("model signature's statement", &payload, &STATEMENT)?;
        let type_ = &statement.statement_type;
        expect("statement _type", crate::statement::STATEMENT_TYPE, type_)?;
        let type_ = &statement.predicate_type;
        expect("statement predicateType", PREDICATE_TYPE, type_)?;
        Ok(statement)
    }
}

impl SignedResource {
    fn read(self) -> Result<Resource> {
        read_form("algorithm", &self.algorithm, "sha256")?;
        Ok(Resource {
            digest: self.digest.parse()?,
            name: self.name,
            algorithm: self.algorithm,
        })
    }
}

/// Refuses a serialization that is not read, by its name.
fn read_form(field: &str, got: &str, read: &str) -> Result<()> {
    if got == read {
        return Ok(());
    }
    Err(invalid(format!(
        "its {field} is `{}`, and `{read}` is read here, the default of the model_signing tool: verify \
         with that tool, or ask the signer for a signature with `{read}`",
        short(got, 80)
    )))
}

/// SHA-256 over the digests, in the order of the list.
fn root(resources: &[Resource]) -> Digest {
    let parts: Vec<&[u8]> = resources.iter().map(|r| &r.digest.0[..]).collect();
    Digest::of_parts(&parts)
}

/// Compares in both directions, by name; refuses a name that is signed twice.
fn compare(signed: &[Resource], found: &[Resource]) -> Result<()> {
    let mut left = std::collections::BTreeMap::new();
    for resource in signed {
        if left
            .insert(resource.name.as_str(), resource.digest)
            .is_some()
        {
            return Err(invalid(format!("{:?} is signed twice", resource.name)));
        }
    }
    for resource in found {
        match left.remove(resource.name.as_str()) {
            None => return Err(invalid(format!("{:?} is not signed", resource.name))),
            Some(expected) if expected != resource.digest => {
                return Err(Error::DigestMismatch {
                    what: resource.name.clone(),
                    expected,
                    got: resource.digest,
                });
            }
            Some(_) => {}
        }
    }
    match left.keys().next() {
        Some(name) => Err(invalid(format!("{name:?} is signed and not there"))),
        None => Ok(()),
    }
}

fn invalid(detail: String) -> Error {
    Error::Invalid {
        what: "signed model folder",
        detail,
    }
}

#[cfg(test)]
mod tests;
