//! Key files and trust stores. A private key is PKCS #8 PEM (RFC 8410), readable by its owner
//! alone: created with mode 0600, refused with any wider mode.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};

use super::{SigningKey, TrustStore};
use crate::{Error, Result};

/// A key or trust file larger than this (bytes) is refused unread.
const MAX_FILE: u64 = 1 << 20;

impl SigningKey {
    /// A new key from the operating system's entropy.
    ///
    /// # Errors
    /// [`Error::Key`] when the system gives none.
    pub fn generate() -> Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| Error::Key {
            what: "new key".into(),
            detail: format!("the system gave no entropy: {e}"),
        })?;
        Ok(SigningKey::from_seed(seed))
    }

    /// Reads a PKCS #8 PEM file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::KeyMode`] when group or others have any permission on the file;
    /// [`Error::Key`] when it is no Ed25519 key.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        check_mode(path, &file)?;
        let pem = read_text(path, file)?;
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&pem).map_err(|e| Error::Key {
            what: path.display().to_string(),
            detail: format!("not an Ed25519 private key in PKCS #8 PEM: {e}"),
        })?;
        Ok(SigningKey(key))
    }

    /// Writes a new PKCS #8 PEM file with mode 0600, durably. It never overwrites one.
    ///
    /// # Errors
    /// [`Error::Io`], with [`ErrorKind::AlreadyExists`] when there is a file.
    pub fn save_new(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let pem = self
            .0
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|e| Error::Key {
                what: path.display().to_string(),
                detail: e.to_string(),
            })?;
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

    /// Reads the key file, or makes one with a new key when there is none. When two processes
    /// come at once, both end with the key of the one that was first.
    ///
    /// # Errors
    /// As [`SigningKey::load`] and [`SigningKey::save_new`].
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match SigningKey::load(path) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                let key = SigningKey::generate()?;
                match key.save_new(path) {
                    Ok(()) => Ok(key),
                    Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                        SigningKey::load(path)
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
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let text = read_text(path, file)?;
        let bad = |detail: String| Error::Key {
            what: path.display().to_string(),
            detail,
        };
        let store: TrustStore = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
        for (i, entry) in store.keys.iter().enumerate() {
            if store.keys.iter().skip(i + 1).any(|k| k.key == entry.key) {
                return Err(bad(format!("the key {} occurs twice", entry.key)));
            }
        }
        Ok(store)
    }

    /// Writes the store: to a temporary file beside it first, then by rename.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = toml::to_string(self).map_err(|e| Error::Encode(e.to_string()))?;
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

fn read_text(path: &Path, file: File) -> Result<String> {
    let mut text = String::new();
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(|e| Error::io(path, e))?;
    Ok(text)
}

/// On the open file, not on the path: the file that is checked is the one that is read.
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
