//! ECDSA keys on P-256 with SHA-256 (FIPS 186-5), for signatures that are read by tools without
//! Ed25519. Everything of our own is signed with [`super::SigningKey`].

use std::fmt;
use std::path::Path;

use pkcs8::der::pem::LineEnding;
use pkcs8::der::{Document, SecretDocument};
use pkcs8::{
    EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef, SubjectPublicKeyInfoRef,
};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use zeroize::Zeroizing;

use super::Passphrase;
use super::files::{ENCRYPTED, read_private, write_private};
use crate::digest::Digest;
use crate::error::{Source, about};
use crate::{Error, Result, outside};

mod point;

/// Bytes before the 65 bytes of an uncompressed point in a SubjectPublicKeyInfo of `id-ecPublicKey`
/// with `secp256r1` (RFC 5480, section 2).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// `id-ecPublicKey` (RFC 5480, section 2.1.1) and its parameter for P-256.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// Keys that people try, by the identifier of their kind or curve.
const OTHERS: [(ObjectIdentifier, &str); 6] = [
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), "P-384"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "P-521"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.10"), "secp256k1"),
    (ObjectIdentifier::new_unwrap("1.3.101.112"), "Ed25519"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"), "RSA"),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17"),
        "ML-DSA-44",
    ),
];

/// A public key file larger than this (bytes) is refused unread.
const MAX_PUBLIC_FILE: u64 = 1 << 16;

/// A private key with its PKCS #8 document, which is wiped from memory when dropped.
pub struct P256Key {
    pair: EcdsaKeyPair,
    document: Zeroizing<Vec<u8>>,
}

impl P256Key {
    /// A new key from the operating system's entropy.
    ///
    /// # Errors
    /// [`Error::Key`] when the system gives none.
    pub fn generate() -> Result<Self> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|_| bad("new P-256 key", "the system gave no entropy"))?;
        P256Key::from_pkcs8("new P-256 key", document.as_ref())
    }

    fn from_pkcs8(what: &str, document: &[u8]) -> Result<Self> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document, &random)
            .map_err(|e| bad(what, format!("not a P-256 private key in PKCS #8: {e}")))?;
        Ok(P256Key {
            pair,
            document: Zeroizing::new(document.to_vec()),
        })
    }

    /// Reads a PKCS #8 PEM file, an encrypted one with its passphrase. A plain file needs none.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::KeyMode`] when group or others have any permission on the file;
    /// [`Error::Key`] when it is no P-256 key, or for a missing or wrong passphrase.
    pub fn load_with(path: impl AsRef<Path>, passphrase: Option<&Passphrase>) -> Result<Self> {
        let path = path.as_ref();
        let what = path.display().to_string();
        let pem = read_private(path)?;
        let (_, document) = SecretDocument::from_pem(&pem).map_err(|e| {
            bad(
                &what,
                about(format!("not a private key in PKCS #8 PEM: {e}"), e),
            )
        })?;
        if !pem.starts_with(ENCRYPTED) {
            return P256Key::from_pkcs8(&what, document.as_bytes());
        }
        let passphrase = passphrase
            .ok_or_else(|| bad(&what, "the key is encrypted and no passphrase was given"))?;
        let opened = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
            .map_err(|e| {
                bad(
                    &what,
                    about(format!("not an encrypted private key: {e}"), e),
                )
            })?
            .decrypt(passphrase)
            .map_err(|e| {
                bad(
                    &what,
                    about(format!("the passphrase does not open this key ({e})"), e),
                )
            })?;
        P256Key::from_pkcs8(&what, opened.as_bytes())
    }

    /// Writes a new PKCS #8 PEM file with mode 0600, durably; encrypted when there is a
    /// passphrase. It never overwrites one.
    ///
    /// # Errors
    /// [`Error::Io`], with [`std::io::ErrorKind::AlreadyExists`] when there is a file.
    pub fn save_new_with(
        &self,
        path: impl AsRef<Path>,
        passphrase: Option<&Passphrase>,
    ) -> Result<()> {
        let path = path.as_ref();
        let fail = |e: Source| bad(&path.display().to_string(), e);
        let (label, document) = match passphrase {
            None => (
                "PRIVATE KEY",
                SecretDocument::try_from(self.document.as_slice()).map_err(|e| fail(e.into()))?,
            ),
            Some(passphrase) => (
                "ENCRYPTED PRIVATE KEY",
                PrivateKeyInfoRef::try_from(self.document.as_slice())
                    .and_then(|info| info.encrypt(passphrase))
                    .map_err(|e| fail(e.into()))?,
            ),
        };
        let pem = document
            .to_pem(label, LineEnding::LF)
            .map_err(|e| fail(e.into()))?;
        write_private(path, &pem)
    }

    /// The public half.
    pub fn public(&self) -> P256PublicKey {
        let mut point = [0; 65];
        point.copy_from_slice(self.pair.public_key().as_ref());
        P256PublicKey(point)
    }

    /// An ECDSA signature over SHA-256 of the message, in ASN.1 DER; not deterministic.
    ///
    /// # Errors
    /// [`Error::Key`] when the system gives no entropy for the nonce.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.pair
            .sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| bad("P-256 key", "the system gave no entropy to sign with"))
    }
}

impl fmt::Debug for P256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P256Key({})", self.public().fingerprint())
    }
}

/// A public key: an uncompressed point (SEC 1, section 2.3.3). Whether it lies on the curve is
/// checked with each signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct P256PublicKey([u8; 65]);

impl P256PublicKey {
    /// The key's PEM text (SubjectPublicKeyInfo, lines of 64 characters), as OpenSSL writes it.
    pub fn to_pem(&self) -> String {
        let text = crate::base64::encode(&[&SPKI_PREFIX[..], &self.0].concat());
        let mut out = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        for (i, character) in text.chars().enumerate() {
            if i > 0 && i % 64 == 0 {
                out.push('\n');
            }
            out.push(character);
        }
        out.push_str("\n-----END PUBLIC KEY-----\n");
        out
    }

    /// Reads PEM text: an uncompressed point, or a compressed one, which becomes uncompressed.
    ///
    /// # Errors
    /// [`Error::Key`] when it is not a P-256 public key, with the kind that it is.
    pub fn from_pem(what: &str, pem: &str) -> Result<Self> {
        let (label, document) = Document::from_pem(pem)
            .map_err(|e| bad(what, about(format!("not a public key in PEM: {e}"), e)))?;
        let not = |is: &str| bad(what, format!("not a P-256 public key, but {is}"));
        match label {
            "PUBLIC KEY" => {}
            "CERTIFICATE" => {
                return Err(not(
                    "a certificate (its key: openssl x509 -noout -pubkey -in FILE)",
                ));
            }
            other => return Err(not(&format!("PEM of `{other}`"))),
        }
        let info = SubjectPublicKeyInfoRef::try_from(document.as_bytes()).map_err(|e| {
            bad(
                what,
                about(
                    format!("not a P-256 public key (SubjectPublicKeyInfo): {e}"),
                    e,
                ),
            )
        })?;
        let kind = match info.algorithm.parameters_oid() {
            Ok(curve) if info.algorithm.oid == EC => curve,
            _ => info.algorithm.oid,
        };
        if kind != P256 {
            let name = OTHERS.iter().find(|(oid, _)| *oid == kind);
            return Err(not(&match name {
                Some((_, name)) => format!("one of {name}"),
                None => format!("one of kind {kind}"),
            }));
        }
        let point = info.subject_public_key.as_bytes();
        let point = point.ok_or_else(|| not("one whose point is cut"))?;
        point::uncompressed(point)
            .map(P256PublicKey)
            .map_err(|problem| bad(what, format!("not a P-256 public key: {problem}")))
    }

    /// Reads a PEM file.
    ///
    /// # Errors
    /// [`Error::Io`]; as [`P256PublicKey::from_pem`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let pem = outside::read_named(path, MAX_PUBLIC_FILE).map_err(|e| Error::io(path, e))?;
        let pem = String::from_utf8_lossy(&pem);
        P256PublicKey::from_pem(&path.display().to_string(), &pem)
    }

    /// SHA-256 of the PEM text: a Sigstore bundle of the `model-signing` tool names a key by it.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(self.to_pem().as_bytes())
    }

    /// Checks an ASN.1 DER signature over SHA-256 of the message.
    ///
    /// # Errors
    /// [`Error::Signature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(message, signature)
            .map_err(|_| Error::Signature {
                what: "P-256 signature",
                detail: format!(
                    "does not verify under the key with fingerprint {}",
                    self.fingerprint()
                ),
            })
    }
}

impl fmt::Debug for P256PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P256PublicKey({})", self.fingerprint())
    }
}

fn bad(what: &str, detail: impl Into<Source>) -> Error {
    Error::Key {
        what: what.to_owned(),
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6979, appendix A.2.5: a public key and its signature of "sample" with SHA-256.
    #[test]
    fn rfc_6979_signature_verifies() {
        let point = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                     7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
        let key = P256PublicKey(crate::digest::strict_hex("point", point).unwrap());
        let signature = hex::decode(
            "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
             022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        )
        .unwrap();
        key.verify(b"sample", &signature).unwrap();
        assert!(key.verify(b"simple", &signature).is_err());
        let read = P256PublicKey::from_pem("t", &key.to_pem()).unwrap();
        assert_eq!(read, key);
        // Not on the curve: refused with the first signature.
        let mut off = key;
        off.0[64] ^= 1;
        assert!(off.verify(b"sample", &signature).is_err());
    }

    #[test]
    fn key_files_plain_and_encrypted() {
        let dir = tempfile::tempdir().unwrap();
        let key = P256Key::generate().unwrap();
        let pass = |text: &str| Passphrase::new(text.to_owned()).unwrap();
        let (plain, sealed) = (dir.path().join("plain.pem"), dir.path().join("sealed.pem"));
        key.save_new_with(&plain, None).unwrap();
        key.save_new_with(&sealed, Some(&pass("correct horse")))
            .unwrap();
        assert!(key.save_new_with(&plain, None).is_err(), "never overwrites");
        let read = P256Key::load_with(&plain, None).unwrap();
        assert_eq!(read.public(), key.public());
        let read = P256Key::load_with(&sealed, Some(&pass("correct horse"))).unwrap();
        let signature = read.sign(b"message").unwrap();
        key.public().verify(b"message", &signature).unwrap();
        assert!(key.public().verify(b"massage", &signature).is_err());
        assert!(P256Key::load_with(&sealed, Some(&pass("wrong"))).is_err());
        let error = P256Key::load_with(&sealed, None).unwrap_err().to_string();
        assert!(error.contains("no passphrase was given"), "{error}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644)).unwrap();
            let error = P256Key::load_with(&plain, None).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn other_keys_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ed25519.pem");
        super::super::SigningKey::from_seed([1; 32])
            .save_new(&path)
            .unwrap();
        let error = P256Key::load_with(&path, None).unwrap_err().to_string();
        assert!(error.contains("not a P-256 private key"), "{error}");
        // RFC 8410, section 10.1: an Ed25519 public key.
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let error = P256PublicKey::from_pem("key.pem", pem)
            .unwrap_err()
            .to_string();
        assert!(error.contains("key.pem: not a P-256 public key"), "{error}");
        assert!(error.contains("one of Ed25519"), "{error}");
        assert!(P256PublicKey::from_pem("key.pem", "").is_err());
        // openssl ecparam -name secp384r1 -genkey -noout | openssl ec -pubout
        let pem = "-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEUP52nAijpbCyDPUYrdDHJzOXJtqsH4Bg\nUEFcR2txWsFj32OuUpb05RSFV2osauFE+ZpMYjEZBTQgM9Mj6YEJxJzberkcqP7M\nGC1MsvLTqpU6zZKBt3nJBMm6e+epq20N\n-----END PUBLIC KEY-----\n";
        let error = P256PublicKey::from_pem("key.pem", pem).unwrap_err();
        assert!(error.to_string().contains("one of P-384"), "{error}");
        let certificate = pem.replace("PUBLIC KEY", "CERTIFICATE");
        let error = P256PublicKey::from_pem("key.pem", &certificate).unwrap_err();
        assert!(error.to_string().contains("a certificate"), "{error}");
    }

    /// One key as OpenSSL writes it: `openssl ec -pubout`, with `-conv_form compressed` and without.
    #[test]
    fn a_compressed_point_is_the_same_key() {
        let whole = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAED2eegDzVb+004lhfyQX/7QlJdtHB\nMwrERNPdaACis130D1cpkomqeNUG9Y98Ojq9IkTos6duUT04TvhGz0B5Yw==\n-----END PUBLIC KEY-----\n";
        let short = "-----BEGIN PUBLIC KEY-----\nMDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgADD2eegDzVb+004lhfyQX/7QlJdtHB\nMwrERNPdaACis10=\n-----END PUBLIC KEY-----\n";
        let whole = P256PublicKey::from_pem("whole", whole).unwrap();
        let short = P256PublicKey::from_pem("short", short).unwrap();
        assert_eq!(short, whole);
        assert_eq!(short.fingerprint(), whole.fingerprint());
    }
}
