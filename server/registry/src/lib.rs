//! The registry: which modules were registered, what was decided on them, and which key a client has. Its rows are
//! in SQLite, one file, or in any other engine of records (`fedseal_engines::records`): PostgreSQL.

#![forbid(unsafe_code)]

use std::path::Path;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::ClientId;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_engines::records::{Records, Row, Table};

mod copies;
mod decisions;
mod error;
mod sqlite;

pub use copies::{check_copy, copy};
pub use decisions::RegisteredDecision;
pub use error::{Error, Result};
pub use sqlite::Sqlite;

/// A registered module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredModule {
    /// Its Wasm bytes.
    pub digest: Digest,
    /// Its name, from the signed predicate.
    pub name: String,
    /// Its author.
    pub signer: PublicKey,
    /// Its signature's envelope, a blob.
    pub envelope: Digest,
    /// When it was registered, RFC 3339.
    pub created: String,
}

/// A registered client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredClient {
    /// Its name.
    pub client: ClientId,
    /// Its key. One key belongs to one client.
    pub key: PublicKey,
    /// When it was registered, RFC 3339.
    pub created: String,
}

/// The registry. Registering is durable when it returns; registering the same again changes nothing.
#[derive(Debug)]
pub struct Registry {
    records: Box<dyn Records>,
}

impl Registry {
    /// Opens a registry in SQLite, creating the file when there is none.
    ///
    /// # Errors
    /// [`Error::SqliteVersion`] when the linked SQLite is older than 3.51.3; [`Error::Corrupt`]
    /// when the file has another schema; [`Error::Sqlite`].
    pub fn open(path: impl AsRef<Path>) -> Result<Registry> {
        Ok(Registry::over(Box::new(Sqlite::open(path)?)))
    }

    /// A registry over the records of any engine.
    pub fn over(records: Box<dyn Records>) -> Registry {
        Registry { records }
    }

    /// Whether it can be read now, and written by who opened it to write.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn ready(&self) -> Result<()> {
        Ok(self.records.ready()?)
    }

    /// Registers a module. Returns whether it is new.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the digest is registered by another signer or under another name
    /// or envelope; [`Error::Engine`].
    pub fn add_module(&self, module: &RegisteredModule) -> Result<bool> {
        let row = [
            module.digest.to_string(),
            module.name.clone(),
            module.signer.to_string(),
            module.envelope.to_string(),
            module.created.clone(),
        ];
        if self.records.add(Table::Modules, &row)? {
            return Ok(true);
        }
        let describe = |m: &RegisteredModule| {
            format!(
                "name {}, signer {}, envelope {}",
                m.name, m.signer, m.envelope
            )
        };
        match self.module(&module.digest)? {
            Some(found) if describe(&found) == describe(module) => Ok(false),
            found => Err(Error::Conflict {
                what: "module",
                name: module.digest.to_string(),
                registered: found.map_or_else(|| "nothing".into(), |m| describe(&m)),
                offered: describe(module),
            }),
        }
    }

    /// The module of this digest.
    ///
    /// # Errors
    /// [`Error::Engine`], [`Error::Verify`] for a row that does not parse.
    pub fn module(&self, digest: &Digest) -> Result<Option<RegisteredModule>> {
        let row = self
            .records
            .newest(Table::Modules, Some(&digest.to_string()))?;
        row.map(|row| self.module_of(row)).transpose()
    }

    /// All modules, in order of registration.
    ///
    /// # Errors
    /// As [`Registry::module`].
    pub fn modules(&self) -> Result<Vec<RegisteredModule>> {
        let rows = self.records.all(Table::Modules)?;
        rows.into_iter().map(|row| self.module_of(row)).collect()
    }

    /// Registers a client's key. Returns whether it is new.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the client has another key, or another client has this key;
    /// [`Error::Engine`].
    pub fn add_client(&self, client: &RegisteredClient) -> Result<bool> {
        let row = [
            client.client.to_string(),
            client.key.to_string(),
            client.created.clone(),
        ];
        if self.records.add(Table::Clients, &row)? {
            return Ok(true);
        }
        let clients = self.clients()?;
        let same = |c: &&RegisteredClient| c.client == client.client || c.key == client.key;
        match clients.iter().find(same) {
            Some(found) if found.client == client.client && found.key == client.key => Ok(false),
            found => Err(Error::Conflict {
                what: "client",
                name: client.client.to_string(),
                registered: found.map_or_else(
                    || "nothing".into(),
                    |c| format!("client {}, key {}", c.client, c.key),
                ),
                offered: format!("client {}, key {}", client.client, client.key),
            }),
        }
    }

    /// The client of this name.
    ///
    /// # Errors
    /// [`Error::Engine`], [`Error::Verify`] for a row that does not parse.
    pub fn client(&self, client: &ClientId) -> Result<Option<RegisteredClient>> {
        let row = self.records.newest(Table::Clients, Some(client.as_str()))?;
        row.map(|row| self.client_of(row)).transpose()
    }

    /// All clients, by name.
    ///
    /// # Errors
    /// As [`Registry::client`].
    pub fn clients(&self) -> Result<Vec<RegisteredClient>> {
        let rows = self.records.all(Table::Clients)?;
        rows.into_iter().map(|row| self.client_of(row)).collect()
    }

    fn module_of(&self, row: Row) -> Result<RegisteredModule> {
        let [digest, name, signer, envelope, created] = self.columns(row)?;
        let parse = || -> fedseal_client_sdk::Result<RegisteredModule> {
            Ok(RegisteredModule {
                digest: digest.parse()?,
                name,
                signer: signer.parse()?,
                envelope: envelope.parse()?,
                created,
            })
        };
        parse().map_err(|error| self.unread(error))
    }

    fn client_of(&self, row: Row) -> Result<RegisteredClient> {
        let [client, key, created] = self.columns(row)?;
        Ok(RegisteredClient {
            client: client.into(),
            key: key.parse().map_err(|error| self.unread(error))?,
            created,
        })
    }

    /// The columns of a row, as many as its table has.
    fn columns<const N: usize>(&self, row: Row) -> Result<[String; N]> {
        row.try_into().map_err(|row: Row| Error::Columns {
            place: self.records.place(),
            found: row.len(),
            wanted: N,
        })
    }

    fn unread(&self, source: fedseal_client_sdk::Error) -> Error {
        Error::Verify {
            place: self.records.place(),
            source: Box::new(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{SCHEMA, SCHEMA_VERSION, SQLITE_AT_LEAST, check_version};
    use fedseal_client_sdk::keys::SigningKey;
    use rusqlite::Connection;

    fn key(n: u8) -> PublicKey {
        SigningKey::from_seed([n; 32]).public()
    }

    fn module(n: u8) -> RegisteredModule {
        RegisteredModule {
            digest: Digest::of(&[n]),
            name: format!("module-{n}"),
            signer: key(1),
            envelope: Digest::of(b"envelope"),
            created: "2026-01-02T03:04:05Z".into(),
        }
    }

    #[test]
    fn the_bundled_sqlite_is_new_enough() {
        assert!(
            rusqlite::version_number() >= SQLITE_AT_LEAST,
            "{}",
            rusqlite::version()
        );
        check_version(SQLITE_AT_LEAST).unwrap();
        assert!(matches!(
            check_version(SQLITE_AT_LEAST - 1),
            Err(Error::SqliteVersion { .. })
        ));
    }

    #[test]
    fn modules_survive_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry.sqlite");
        let registry = Registry::open(&path).unwrap();
        assert!(registry.add_module(&module(2)).unwrap());
        assert!(registry.add_module(&module(1)).unwrap());
        let mut later = module(2);
        later.created = "2027-01-01T00:00:00Z".into();
        assert!(
            !registry.add_module(&later).unwrap(),
            "again changes nothing"
        );
        let second = Registry::open(&path).unwrap();
        assert_eq!(second.modules().unwrap(), [module(2), module(1)]);
        drop(registry);
        assert_eq!(second.module(&module(1).digest).unwrap(), Some(module(1)));
        assert_eq!(second.module(&Digest::of(b"none")).unwrap(), None);
        let mut other = module(1);
        other.signer = key(2);
        assert!(matches!(
            second.add_module(&other),
            Err(Error::Conflict { .. })
        ));
    }

    #[test]
    fn one_key_one_client() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path().join("r.sqlite")).unwrap();
        let client = |name: &str, n| RegisteredClient {
            client: name.into(),
            key: key(n),
            created: "2026-01-02T03:04:05Z".into(),
        };
        assert!(registry.add_client(&client("a", 1)).unwrap());
        assert!(!registry.add_client(&client("a", 1)).unwrap());
        assert!(matches!(
            registry.add_client(&client("a", 2)),
            Err(Error::Conflict { .. })
        ));
        assert!(matches!(
            registry.add_client(&client("b", 1)),
            Err(Error::Conflict { .. })
        ));
        assert!(registry.add_client(&client("b", 2)).unwrap());
        assert_eq!(registry.clients().unwrap().len(), 2);
        assert_eq!(registry.client(&"b".into()).unwrap(), Some(client("b", 2)));
        assert_eq!(registry.client(&"c".into()).unwrap(), None);
    }

    #[test]
    fn another_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.sqlite");
        std::fs::write(
            &path,
            "not a database, but long enough to have a header".repeat(20),
        )
        .unwrap();
        assert!(Registry::open(&path).is_err());
        let path = dir.path().join("newer.sqlite");
        Registry::open(&path).unwrap();
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", SCHEMA_VERSION + 1)
            .unwrap();
        assert!(matches!(Registry::open(&path), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn a_registry_of_the_first_version_keeps_its_modules() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.sqlite");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(SCHEMA).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute(
            "INSERT INTO modules VALUES (?1, 'module-1', ?2, ?3, '2026-01-02T03:04:05Z')",
            [
                module(1).digest.to_string(),
                key(1).to_string(),
                module(1).envelope.to_string(),
            ],
        )
        .unwrap();
        drop(old);
        let registry = Registry::open(&path).unwrap();
        assert_eq!(registry.modules().unwrap(), [module(1)]);
        assert_eq!(registry.verdict(&module(1).digest).unwrap(), None);
    }
}
