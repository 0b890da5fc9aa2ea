//! The registry: which modules were registered, what was decided on them, and which key a client has. SQLite,
//! one file.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::ClientId;
use fedseal_client_sdk::keys::PublicKey;
use rusqlite::{Connection, OptionalExtension, Row, params};

mod copies;
mod decisions;
mod error;

pub use copies::{check_copy, copy};
pub use decisions::RegisteredDecision;
pub use error::{Error, Result};

/// SQLite before 3.51.3 can lose commits in WAL mode with two connections.
const SQLITE_AT_LEAST: i32 = 3_051_003;

/// The schema, and its number in `PRAGMA user_version`.
const SCHEMA_VERSION: i64 = 2;
const SCHEMA: &str = "
    CREATE TABLE modules (
        digest   TEXT PRIMARY KEY NOT NULL,
        name     TEXT NOT NULL,
        signer   TEXT NOT NULL,
        envelope TEXT NOT NULL,
        created  TEXT NOT NULL
    ) STRICT;
    CREATE TABLE clients (
        client  TEXT PRIMARY KEY NOT NULL,
        key     TEXT NOT NULL UNIQUE,
        created TEXT NOT NULL
    ) STRICT;
";
/// Added by version 2.
const SCHEMA_2: &str = "
    CREATE TABLE decisions (
        number   INTEGER PRIMARY KEY,
        module   TEXT NOT NULL,
        verdict  TEXT NOT NULL,
        envelope TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE INDEX decisions_of_module ON decisions (module, number);
";

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

/// The registry's database. Registering is durable when it returns; registering the same again
/// changes nothing.
#[derive(Debug)]
pub struct Registry {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Registry {
    /// Opens the database, creating it when there is none.
    ///
    /// # Errors
    /// [`Error::SqliteVersion`] when the linked SQLite is older than 3.51.3; [`Error::Corrupt`]
    /// when the file has another schema; [`Error::Sqlite`].
    pub fn open(path: impl AsRef<Path>) -> Result<Registry> {
        check_version(rusqlite::version_number())?;
        let path = path.as_ref();
        let fail = |source| Error::Sqlite {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let mut connection = Connection::open(path).map_err(fail)?;
        let configure = |c: &mut Connection| -> rusqlite::Result<i64> {
            c.busy_timeout(Duration::from_secs(10))?;
            c.pragma_update(None, "journal_mode", "WAL")?;
            c.pragma_update(None, "synchronous", "FULL")?;
            let transaction =
                c.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let version: i64 =
                transaction.pragma_query_value(None, "user_version", |r| r.get(0))?;
            let steps = [(1, SCHEMA), (2, SCHEMA_2)];
            let mut now = version;
            for (next, step) in steps {
                if now == next - 1 {
                    transaction.execute_batch(step)?;
                    transaction.pragma_update(None, "user_version", next)?;
                    now = next;
                }
            }
            transaction.commit()?;
            Ok(now)
        };
        let version = configure(&mut connection).map_err(fail)?;
        if version != SCHEMA_VERSION {
            return Err(Error::corrupt(
                path,
                format!("schema version {version}, this program knows {SCHEMA_VERSION}"),
            ));
        }
        Ok(Registry {
            path: path.to_owned(),
            connection: Mutex::new(connection),
        })
    }

    /// Registers a module. Returns whether it is new.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the digest is registered by another signer or under another name
    /// or envelope; [`Error::Sqlite`].
    pub fn add_module(&self, module: &RegisteredModule) -> Result<bool> {
        let changed = self
            .lock()
            .execute(
                "INSERT INTO modules (digest, name, signer, envelope, created)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (digest) DO NOTHING",
                params![
                    module.digest.to_string(),
                    module.name,
                    module.signer.to_string(),
                    module.envelope.to_string(),
                    module.created
                ],
            )
            .map_err(|e| self.fail(e))?;
        if changed == 1 {
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
    /// [`Error::Sqlite`], [`Error::Verify`] for a row that does not parse.
    pub fn module(&self, digest: &Digest) -> Result<Option<RegisteredModule>> {
        let row = self
            .lock()
            .query_row(
                "SELECT digest, name, signer, envelope, created FROM modules WHERE digest = ?1",
                [digest.to_string()],
                module_row,
            )
            .optional()
            .map_err(|e| self.fail(e))?;
        row.map(|row| self.module_of(row)).transpose()
    }

    /// All modules, in order of registration.
    ///
    /// # Errors
    /// As [`Registry::module`].
    pub fn modules(&self) -> Result<Vec<RegisteredModule>> {
        let query = |c: &Connection| -> rusqlite::Result<Vec<ModuleRow>> {
            c.prepare("SELECT digest, name, signer, envelope, created FROM modules ORDER BY rowid")?
                .query_map([], module_row)?
                .collect()
        };
        let rows = query(&self.lock()).map_err(|e| self.fail(e))?;
        rows.into_iter().map(|row| self.module_of(row)).collect()
    }

    /// Registers a client's key. Returns whether it is new.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the client has another key, or another client has this key;
    /// [`Error::Sqlite`].
    pub fn add_client(&self, client: &RegisteredClient) -> Result<bool> {
        let changed = self
            .lock()
            .execute(
                "INSERT INTO clients (client, key, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![client.client.as_str(), client.key.to_string(), client.created],
            )
            .map_err(|e| self.fail(e))?;
        if changed == 1 {
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
    /// [`Error::Sqlite`], [`Error::Verify`] for a row that does not parse.
    pub fn client(&self, client: &ClientId) -> Result<Option<RegisteredClient>> {
        let row = self
            .lock()
            .query_row(
                "SELECT client, key, created FROM clients WHERE client = ?1",
                [client.as_str()],
                client_row,
            )
            .optional()
            .map_err(|e| self.fail(e))?;
        row.map(|row| self.client_of(row)).transpose()
    }

    /// All clients, by name.
    ///
    /// # Errors
    /// As [`Registry::client`].
    pub fn clients(&self) -> Result<Vec<RegisteredClient>> {
        let query = |c: &Connection| -> rusqlite::Result<Vec<ClientRow>> {
            c.prepare("SELECT client, key, created FROM clients ORDER BY client")?
                .query_map([], client_row)?
                .collect()
        };
        let rows = query(&self.lock()).map_err(|e| self.fail(e))?;
        rows.into_iter().map(|row| self.client_of(row)).collect()
    }

    /// A panic elsewhere cannot leave the connection half used: every statement is whole.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, source: rusqlite::Error) -> Error {
        Error::Sqlite {
            path: self.path.clone(),
            source: Box::new(source),
        }
    }

    fn module_of(
        &self,
        (digest, name, signer, envelope, created): ModuleRow,
    ) -> Result<RegisteredModule> {
        let parse = || -> fedseal_client_sdk::Result<RegisteredModule> {
            Ok(RegisteredModule {
                digest: digest.parse()?,
                name,
                signer: signer.parse()?,
                envelope: envelope.parse()?,
                created,
            })
        };
        parse().map_err(|e| Error::verify(&self.path, e))
    }

    fn client_of(&self, (client, key, created): ClientRow) -> Result<RegisteredClient> {
        Ok(RegisteredClient {
            client: client.into(),
            key: key.parse().map_err(|e| Error::verify(&self.path, e))?,
            created,
        })
    }
}

type ModuleRow = (String, String, String, String, String);
type ClientRow = (String, String, String);

fn module_row(row: &Row<'_>) -> rusqlite::Result<ModuleRow> {
    row.try_into()
}

fn client_row(row: &Row<'_>) -> rusqlite::Result<ClientRow> {
    row.try_into()
}

fn check_version(number: i32) -> Result<()> {
    if number < SQLITE_AT_LEAST {
        return Err(Error::SqliteVersion {
            got: rusqlite::version(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_client_sdk::keys::SigningKey;

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
