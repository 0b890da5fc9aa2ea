//! A module's signature: an in-toto statement by its author about the Wasm bytes, kept in a
//! detached file `MODULE.wasm.dsse.json` beside them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::keys::{PublicKey, SigningKey};
use crate::slsa::Provenance;
use crate::statement::{Statement, Subject};
use crate::{Error, Result};

/// Longer payloads (base64 characters) of a module's envelope are refused before their signature is
/// looked at: every field of the statement is bounded.
pub const MAX_PAYLOAD: usize = 64 << 10;

/// The predicate type of a module statement.
pub const PREDICATE_TYPE: &str = "urn:fedseal:module:v1";

/// The author's statement about a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModulePredicate {
    /// Short name: lowercase letters, digits, `-`, `_`, `.`; at most 64 characters.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// One line for people.
    pub description: Option<String>,
    /// Kind of the policy, for people.
    pub kind: Option<String>,
    /// How it was built, where the author says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Provenance>,
}

impl ModulePredicate {
    /// A predicate with a name and a version alone.
    pub fn new(name: &str, version: &str) -> Self {
        ModulePredicate {
            name: name.to_owned(),
            version: version.to_owned(),
            description: None,
            kind: None,
            build: None,
        }
    }

    fn validate(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        let bad = |detail: String| Error::Invalid {
            what: "module predicate",
            detail,
        };
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(plain) {
            return Err(bad(format!(
                "the name {:?} is not 1 to 64 of a-z, 0-9, '-', '_', '.'",
                self.name.chars().take(80).collect::<String>()
            )));
        }
        let texts = [
            ("version", Some(&self.version), 64),
            ("description", self.description.as_ref(), 1000),
            ("kind", self.kind.as_ref(), 64),
        ];
        for (field, text, longest) in texts {
            if text.is_some_and(|t| t.len() > longest || t.chars().any(char::is_control)) {
                return Err(bad(format!(
                    "{field} is longer than {longest} bytes or holds control characters"
                )));
            }
        }
        self.build.as_ref().map_or(Ok(()), Provenance::validate)
    }
}

/// A module whose signature verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedModule {
    /// The digest of the Wasm bytes: the module's name everywhere.
    pub digest: Digest,
    /// The author's statement.
    pub predicate: ModulePredicate,
    /// The trusted key that signed.
    pub signer: PublicKey,
}

/// Signs Wasm bytes.
///
/// # Errors
/// [`Error::Invalid`] when the predicate breaks the rules of its fields.
pub fn sign(bytes: &[u8], predicate: &ModulePredicate, key: &SigningKey) -> Result<Envelope> {
    predicate.validate()?;
    let subject = Subject::new(&subject_name(&predicate.name), Digest::of(bytes));
    Statement::new(vec![subject], PREDICATE_TYPE, predicate.clone()).sign(key)
}

/// Verifies that a trusted author signed exactly these Wasm bytes.
///
/// # Errors
/// Any error of [`Statement::open_foreign`]; [`Error::DigestMismatch`] when the statement is about other bytes.
pub fn verify(bytes: &[u8], envelope: &Envelope, trusted: &[PublicKey]) -> Result<VerifiedModule> {
    verify_digest(Digest::of(bytes), envelope, trusted)
}

/// As [`verify`], for bytes whose digest is known.
///
/// # Errors
/// As [`verify`].
pub fn verify_digest(
    got: Digest,
    envelope: &Envelope,
    trusted: &[PublicKey],
) -> Result<VerifiedModule> {
    let verified = open(envelope, trusted)?;
    if verified.digest != got {
        return Err(Error::DigestMismatch {
            what: format!("module {}", subject_name(&verified.predicate.name)),
            expected: verified.digest,
            got,
        });
    }
    Ok(verified)
}

/// Verifies who signed which module, without its bytes: the caller still has to compare them with
/// [`VerifiedModule::digest`].
///
/// # Errors
/// Any error of [`Statement::open_foreign`]; [`Error::Invalid`] beyond [`MAX_PAYLOAD`].
pub fn open(envelope: &Envelope, trusted: &[PublicKey]) -> Result<VerifiedModule> {
    if envelope.payload.len() > MAX_PAYLOAD {
        return Err(Error::Invalid {
            what: "module statement",
            detail: format!("longer than {MAX_PAYLOAD} characters of base64"),
        });
    }
    // An author may sign with any tool that writes in-toto statements.
    let opened = Statement::<ModulePredicate>::open_foreign(envelope, trusted, PREDICATE_TYPE)?;
    let statement = opened.statement;
    statement.predicate.validate()?;
    let name = subject_name(&statement.predicate.name);
    let [subject] = statement.subject.as_slice() else {
        return Err(Error::Invalid {
            what: "module statement",
            detail: format!("{} subjects, a module has one", statement.subject.len()),
        });
    };
    crate::statement::expect("module statement subject", &name, &subject.name)?;
    Ok(VerifiedModule {
        digest: subject.digest.sha256,
        predicate: statement.predicate,
        signer: opened.signer,
    })
}

/// Where the signature of `plain.wasm` is kept: `plain.wasm.dsse.json`.
pub fn envelope_path(module: &Path) -> PathBuf {
    let mut path = module.as_os_str().to_owned();
    path.push(".dsse.json");
    path.into()
}

fn subject_name(name: &str) -> String {
    format!("{name}.wasm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_bytes_name_and_signer() {
        let key = SigningKey::from_seed([3; 32]);
        let mut about = ModulePredicate::new("plain", "0.1.0");
        about.description = Some("trains on the shard".into());
        let envelope = sign(b"wasm", &about, &key).unwrap();
        let verified = verify(b"wasm", &envelope, &[key.public()]).unwrap();
        assert_eq!(verified.digest, Digest::of(b"wasm"));
        assert_eq!(verified.predicate, about);
        assert_eq!(verified.signer, key.public());

        let error = verify(b"wasn", &envelope, &[key.public()])
            .unwrap_err()
            .to_string();
        assert!(error.contains(&Digest::of(b"wasm").to_string()), "{error}");
        assert!(error.contains(&Digest::of(b"wasn").to_string()), "{error}");
        assert!(
            verify(
                b"wasm",
                &envelope,
                &[SigningKey::from_seed([4; 32]).public()]
            )
            .is_err()
        );
        assert!(verify(b"wasm", &envelope, &[]).is_err());

        let opened = open(&envelope, &[key.public()]).unwrap();
        assert_eq!(opened, verified);
        let long = "a".repeat(MAX_PAYLOAD);
        let envelope = Envelope::sign("t", long.as_bytes(), &key);
        let error = open(&envelope, &[key.public()]).unwrap_err().to_string();
        assert!(error.contains("65536 characters"), "{error}");
    }

    #[test]
    fn names_are_plain() {
        let key = SigningKey::from_seed([3; 32]);
        for bad in ["", "../x", "Über", "a b", &"a".repeat(65)] {
            assert!(
                sign(b"w", &ModulePredicate::new(bad, "1"), &key).is_err(),
                "{bad:?}"
            );
        }
        assert!(sign(b"w", &ModulePredicate::new("a", "1\n2"), &key).is_err());
        assert_eq!(
            envelope_path(Path::new("d/plain.wasm")),
            Path::new("d/plain.wasm.dsse.json")
        );
    }

    #[test]
    fn another_statement_is_no_module_signature() {
        let key = SigningKey::from_seed([3; 32]);
        let statement = Statement::new(
            vec![Subject::new("plain.wasm", Digest::of(b"wasm"))],
            "urn:fedseal:update:v1",
            ModulePredicate::new("plain", "1"),
        );
        let envelope = statement.sign(&key).unwrap();
        assert!(verify(b"wasm", &envelope, &[key.public()]).is_err());
    }

    /// The payload of in-toto-attestation 0.9.3 and of sigstore 4.5.1's `StatementBuilder`.
    #[test]
    fn statements_of_other_tools_are_read() {
        let key = SigningKey::from_seed([3; 32]);
        let digest = Digest::of(b"wasm");
        let protobuf = format!(
            "{{\n  \"_type\": \"https://in-toto.io/Statement/v1\",\n  \"subject\": [\n    {{\n      \
             \"name\": \"plain.wasm\",\n      \"digest\": {{\"sha512\": \"00\", \"sha256\": \"{digest}\"}}, \
             \"mediaType\": \"application/wasm\"\n    }}\n  ],\n  \"predicateType\": \"{PREDICATE_TYPE}\",\n  \
             \"predicate\": {{\"version\": \"0.1.0\", \"name\": \"plain\"}}\n}}"
        );
        let builder = format!(
            "{{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{{\"name\":\"plain.wasm\",\
             \"digest\":{{\"sha256\":\"{digest}\"}}}}],\"predicateType\":\"{PREDICATE_TYPE}\",\
             \"predicate\":{{\"name\":\"plain\",\"version\":\"0.1.0\",\"kind\":null}}}}"
        );
        let read = |payload: &str| {
            let envelope = Envelope::sign(crate::statement::PAYLOAD_TYPE, payload.as_bytes(), &key);
            verify(b"wasm", &envelope, &[key.public()])
        };
        for payload in [&protobuf, &builder] {
            let verified = read(payload).unwrap();
            assert_eq!(verified.predicate, ModulePredicate::new("plain", "0.1.0"));
            assert_eq!(verified.digest, digest);
        }
        // What says something else, or more than ours, or says one thing twice, is refused.
        for (from, to) in [
            ("\"plain.wasm\"", "\"other.wasm\""),
            ("\"plain.wasm\"", "null"),
            ("sha256", "sha384"),
            (
                "\"name\":\"plain\"",
                "\"name\":\"plain\",\"name\":\"other\"",
            ),
            ("\"kind\":null", "\"unknown\":1"),
            ("\"version\":\"0.1.0\",", ""),
            ("Statement/v1", "Statement/v0.1"),
            (PREDICATE_TYPE, "urn:fedseal:update:v1"),
            ("\"sha256\":", "\"sha256\":\"00\",\"sha256\":"),
            ("\"subject\":[", "\"subject\":[],\"subject\":["),
        ] {
            let bad = builder.replacen(from, to, 1);
            assert_ne!(bad, builder, "{from}");
            assert!(read(&bad).is_err(), "{to}");
        }
    }
}
