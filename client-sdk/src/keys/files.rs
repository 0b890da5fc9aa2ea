//! Key files and trust stores. A private key is PKCS #8 PEM (RFC 8410), plain or encrypted with a
//! passphrase (RFC 8018, PBES2 with scrypt and AES-256-CBC), and readable by its owner alone:
//! created with mode 0600, refused with any wider mode.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use zeroize::Zeroizing;

use super::{SigningKey, TrustStore};
use crate::error::{Source, about};
use crate::{Error, Result, outside};

/// A key or trust file larger than this (bytes) is refused unread.
const MAX_FILE: u64 = 1 << 20;

/// The first line of an encrypted key file (RFC 7468, section 11).
pub(super) const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// Passphrase that opens an encrypted key file. It is wiped from memory when dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// A passphrase.
    ///
    /// # Errors
    /// [`Error::Key`] when it is empty.
    pub fn new(text: String) -> Result<Self> {
        let text = Zeroizing::new(text);
        if text.is_empty() {
            return Err(Error::Key {
                what: "passphrase".into(),
                detail: "it is empty".into(),
            });
        }
        Ok(Passphrase(text))
    }
}

impl AsRef<[u8]> for Passphrase {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

impl SigningKey {
    /// A new key from the operating system's entropy.
    ///
    /// # Errors
    /// [`Error::Key`] when the system gives none.
    pub fn generate() -> Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| Error::Key {
            what: "new key".into(),
            detail: about(format!("the system gave no entropy: {e}"), e),
        })?;
        Ok(SigningKey::from_seed(seed))
    }

    /// Reads a plain PKCS #8 PEM file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::KeyMode`] when group or others have any permission on the file;
    /// [`Error::Key`] when it is no Ed25519 key, or an encrypted one.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        SigningKey::load_with(path, None)
    }

    /// Reads a PKCS #8 PEM file, an encrypted one with its passphrase. A plain file needs none.
    ///
    /// # Errors
    /// As [`SigningKey::load`]; [`Error::Key`] for a missing or wrong passphrase.
    pub fn load_with(path: impl AsRef<Path>, passphrase: Option<&Passphrase>) -> Result<Self> {
        let path = path.as_ref();
        let pem = read_private(path)?;
        let bad = |detail: Source| Error::Key {
            what: path.display().to_string(),
            detail,
        };
        if !pem.starts_with(ENCRYPTED) {
            return ed25519_dalek::SigningKey::from_pkcs8_pem(&pem)
                .map(SigningKey)
                .map_err(|e| {
                    bad(about(
                        format!("not an Ed25519 private key in PKCS #8 PEM: {e}"),
                        e,
                    ))
                });
        }
        let passphrase = passphrase
            .ok_or_else(|| bad("the key is encrypted and no passphrase was given".into()))?;
        ed25519_dalek::SigningKey::from_pkcs8_encrypted_pem(&pem, passphrase.0.as_bytes())
            .map(SigningKey)
            .map_err(|e| {
                bad(about(
                    format!("the passphrase does not open this key ({e})"),
                    e,
                ))
            })
    }

    /// Whether a key file asks for a passphrase.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_encrypted(path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        let file = outside::open_named(path).map_err(|e| Error::io(path, e))?;
        Ok(Zeroizing::new(read_text(path, file)?).starts_with(ENCRYPTED))
    }

    /// Writes a new PKCS #8 PEM file with mode 0600, durably. It never overwrites one.
    ///
    /// # Errors
    /// [`Error::Io`], with [`ErrorKind::AlreadyExists`] when there is a file.
    pub fn save_new(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_new_with(path, None)
    }

    /// As [`SigningKey::save_new`], encrypted when there is a passphrase.
    ///
    /// # Errors
    /// As [`SigningKey::save_new`]; [`Error::Key`] when the system gives no entropy.
    pub fn save_new_with(
        &self,
        path: impl AsRef<Path>,
        passphrase: Option<&Passphrase>,
    ) -> Result<()> {
        let path = path.as_ref();
        // Version 1 of the format, without the public half: OpenSSL 3.0 reads no other.
        let bytes = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        let pem = match passphrase {
            None => bytes.to_pkcs8_pem(LineEnding::LF),
            Some(passphrase) => {
                bytes.to_pkcs8_encrypted_pem(passphrase.0.as_bytes(), LineEnding::LF)
            }
        }
        .map_err(|e| Error::Key {
            what: path.display().to_string(),
            detail: e.into(),
        })?;
        write_private(path, &pem)
    }

    /// Reads the key file, or makes one with a new key when there is none. When two processes do so
    /// at once, both get the key of the first.
    ///
    /// # Errors
    /// As [`SigningKey::load`] and [`SigningKey::save_new`].
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self> {
        SigningKey::load_or_create_with(path, None)
    }

    /// As [`SigningKey::load_or_create`]; a passphrase opens an encrypted file. A new file is
    /// plain: encrypting one is somebody's explicit choice.
    ///
    /// # Errors
    /// As [`SigningKey::load_with`] and [`SigningKey::save_new`].
    pub fn load_or_create_with(
        path: impl AsRef<Path>,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self> {
        let path = path.as_ref();
        match SigningKey::load_with(path, passphrase) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                let key = SigningKey::generate()?;
                match key.save_new(path) {
                    Ok(()) => Ok(key),
                    Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                        SigningKey::load_with(path, passphrase)
                    }
                    Err(e) => Err(e),
                }
            }
            other => other,
        }
    }
}

impl TrustStore {
    /// Reads a trust store.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Key`] when the TOML has unknown fields, a bad key or one key
    /// twice.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = outside::open_named(path).map_err(|e| Error::io(path, e))?;
        let text = read_text(path, file)?;
        let bad = |detail: Source| Error::Key {
            what: path.display().to_string(),
            detail,
        };
        let store: TrustStore = toml::from_str(&text).map_err(|e| bad(e.into()))?;
        match store.problem() {
            Some(problem) => Err(bad(problem.into())),
            None => Ok(store),
        }
    }

    /// Writes the store: to a temporary file beside it first, then by rename.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = toml::to_string(self).map_err(|e| Error::Encode(e.into()))?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        };
        write().map_err(|e| Error::io(path, e))
    }
}

/// The text of a private key's file, whose mode is checked first.
pub(super) fn read_private(path: &Path) -> Result<Zeroizing<String>> {
    let file = outside::open_named(path).map_err(|e| Error::io(path, e))?;
    check_mode(path, &file)?;
    Ok(Zeroizing::new(read_text(path, file)?))
}

/// Writes a new private key's file, with mode 0600 and durably; never over another.
pub(super) fn write_private(path: &Path, pem: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || -> std::io::Result<()> {
        let mut file = options.open(path)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|e| Error::io(path, e))
}

fn read_text(path: &Path, file: File) -> Result<String> {
    let mut text = String::new();
    outside::length(&file, MAX_FILE)
        .and_then(|_| file.take(MAX_FILE).read_to_string(&mut text))
        .map_err(|e| Error::io(path, e))?;
    Ok(text)
}

/// Checks the open file, not the path: the file that is checked is the one that is read.
#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let meta = file.metadata().map_err(|e| Error::io(path, e))?;
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::KeyMode {
            path: path.display().to_string(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &File) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_file_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.pem");
        let made = SigningKey::load_or_create(&path).unwrap();
        let read = SigningKey::load_or_create(&path).unwrap();
        assert_eq!(made.public(), read.public());
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .starts_with("-----BEGIN PRIVATE KEY-----")
        );
        assert!(made.save_new(&path).is_err(), "never overwrites");
        let other = SigningKey::load_or_create(dir.path().join("other.pem")).unwrap();
        assert_ne!(made.public(), other.public());
    }

    /// A trust file that is cut without an error would lose the revocations at its end.
    #[test]
    fn a_trust_file_beyond_its_bound_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trusted.toml");
        let mut store = TrustStore::default();
        store.add("author", SigningKey::from_seed([4; 32]).public());
        store.save(&path).unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        text.extend(std::iter::repeat_n('\n', MAX_FILE as usize - text.len()));
        fs::write(&path, &text).unwrap();
        TrustStore::load(&path).unwrap();
        fs::write(&path, text + "[[revoked]]\n").unwrap();
        let error = TrustStore::load(&path).unwrap_err().to_string();
        assert!(error.contains("1048576 at most"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn wide_modes_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.pem");
        SigningKey::load_or_create(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        for wide in [0o640, 0o604, 0o644, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(wide)).unwrap();
            let error = SigningKey::load_or_create(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        SigningKey::load(&path).unwrap();
    }

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("author.pem");
        let pass = |text: &str| Passphrase::new(text.to_owned()).unwrap();
        let key = SigningKey::from_seed([4; 32]);
        key.save_new_with(&path, Some(&pass("correct horse")))
            .unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(ENCRYPTED), "{text}");
        assert!(SigningKey::is_encrypted(&path).unwrap());
        let read = SigningKey::load_with(&path, Some(&pass("correct horse"))).unwrap();
        assert_eq!(read.public(), key.public());
        assert!(SigningKey::load_with(&path, Some(&pass("wrong horse"))).is_err());
        let error = SigningKey::load(&path).unwrap_err().to_string();
        assert!(error.contains("no passphrase was given"), "{error}");
        // It is not silently replaced by a new one, and plain keys need no passphrase.
        assert!(SigningKey::load_or_create(&path).is_err());
        let plain = dir.path().join("plain.pem");
        key.save_new(&plain).unwrap();
        SigningKey::load_with(&plain, Some(&pass("any"))).unwrap();
        assert!(Passphrase::new(String::new()).is_err());
        assert_eq!(format!("{:?}", pass("secret")), "Passphrase(..)");
    }

    /// OpenSSL, which we did not write, opens our file, and we open one of its.
    #[test]
    fn openssl_agrees_about_encrypted_keys() {
        use std::process::Command;
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("ours.pem");
        let pass = Passphrase::new("correct horse".into()).unwrap();
        let key = SigningKey::from_seed([4; 32]);
        key.save_new_with(&ours, Some(&pass)).unwrap();
        let openssl = |words: &[&str]| Command::new("openssl").args(words).output();
        let Ok(out) = openssl(&["version"]) else {
            assert!(
                std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_none(),
                "openssl is missing"
            );
            eprintln!("skipped: needs openssl");
            return;
        };
        assert!(out.status.success());
        let out = openssl(&[
            "pkey",
            "-in",
            ours.to_str().unwrap(),
            "-passin",
            "pass:correct horse",
            "-pubout",
            "-outform",
            "DER",
        ])
        .unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(out.stdout.ends_with(key.public().as_bytes()));
        let wrong = openssl(&[
            "pkey",
            "-in",
            ours.to_str().unwrap(),
            "-passin",
            "pass:wrong",
            "-noout",
        ])
        .unwrap();
        assert!(!wrong.status.success());
        let theirs = dir.path().join("theirs.pem");
        let made = openssl(&[
            "genpkey",
            "-algorithm",
            "ed25519",
            "-aes256",
            "-pass",
            "pass:correct horse",
            "-out",
            theirs.to_str().unwrap(),
        ])
        .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        #[cfg(unix)]
        fs::set_permissions(&theirs, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        SigningKey::load_with(&theirs, Some(&pass)).unwrap();
    }

    #[test]
    fn rfc_8410_key_file() {
        // RFC 8410, section 10.3, the first private key example.
        let pem = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(&path)
            .unwrap()
            .write_all(pem.as_bytes())
            .unwrap();
        assert_eq!(
            SigningKey::load(&path).unwrap().public().to_string(),
            "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
        );
    }

    #[test]
    fn trust_store_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trusted.toml");
        let (a, b) = (
            SigningKey::from_seed([1; 32]).public(),
            SigningKey::from_seed([2; 32]).public(),
        );
        let mut store = TrustStore::default();
        store.add("a", a);
        store.add("old b", b);
        store.add("b", b);
        store.save(&path).unwrap();
        let read = TrustStore::load(&path).unwrap();
        assert_eq!(read, store);
        assert!(read.contains(&a));
        assert_eq!(read.name_of(&b), Some("b"));
        assert!(!read.contains(&SigningKey::from_seed([3; 32]).public()));
        for bad in [
            format!("[[keys]]\nname = \"a\"\nkey = \"{a}\"\nextra = 1\n"),
            format!(
                "[[keys]]\nname = \"a\"\nkey = \"{a}\"\n[[keys]]\nname = \"b\"\nkey = \"{a}\"\n"
            ),
            "[[keys]]\nname = \"a\"\nkey = \"00\"\n".to_owned(),
            "trusted = []\n".to_owned(),
        ] {
            fs::write(&path, &bad).unwrap();
            assert!(TrustStore::load(&path).is_err(), "{bad}");
        }
    }
}
