//! Records in SQLite: one file, which several processes may open. SQLite's own locks order their writes.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedseal_engines::records::{Records, Row, Table, fits};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior};

use crate::{Error, Result};

/// SQLite before 3.51.3 can lose commits in WAL mode with two connections.
pub(crate) const SQLITE_AT_LEAST: i32 = 3_051_003;

/// The schema, and its number in `PRAGMA user_version`.
pub(crate) const SCHEMA_VERSION: i64 = 2;
pub(crate) const SCHEMA: &str = "
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
/// Added by version 2. The number of a decision is SQLite's `rowid`.
const SCHEMA_2: &str = "
    CREATE TABLE decisions (
        number   INTEGER PRIMARY KEY,
        module   TEXT NOT NULL,
        verdict  TEXT NOT NULL,
        envelope TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE INDEX decisions_of_module ON decisions (module, number);
";

/// Records in a file.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Sqlite {
    /// Opens the file, creating it when there is none.
    ///
    /// # Errors
    /// [`Error::SqliteVersion`] when the linked SQLite is older than 3.51.3; [`Error::Corrupt`]
    /// when the file has another schema; [`Error::Sqlite`].
    pub fn open(path: impl AsRef<Path>) -> Result<Sqlite> {
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
            let transaction = c.transaction_with_behavior(TransactionBehavior::Immediate)?;
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
        Ok(Sqlite {
            path: path.to_owned(),
            connection: Mutex::new(connection),
        })
    }

    /// Leaves one file that is complete without a journal, for a copy.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub(crate) fn without_journal(self) -> Result<()> {
        let done = self.lock().pragma_update(None, "journal_mode", "DELETE");
        done.map_err(|source| Error::Sqlite {
            path: self.path.clone(),
            source: Box::new(source),
        })
    }

    /// A panic elsewhere cannot leave the connection half used: every statement is whole.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &rusqlite::Error) -> fedseal_engines::Error {
        let (engine, detail) = (self.place(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                fedseal_engines::Error::Unreachable { engine, detail }
            }
            _ => fedseal_engines::Error::Refused { engine, detail },
        }
    }

    fn refused(&self, detail: &str) -> fedseal_engines::Error {
        fedseal_engines::Error::Refused {
            engine: self.place(),
            detail: detail.to_owned(),
        }
    }
}

impl Records for Sqlite {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn ready(&self) -> fedseal_engines::Result<()> {
        self.newest(Table::Modules, None).map(drop)
    }

    fn add(&self, table: Table, row: &[String]) -> fedseal_engines::Result<bool> {
        fits(&self.place(), table, row)?;
        if table == Table::Decisions {
            return Err(self.refused("a decision is appended"));
        }
        let added = insert(&self.lock(), table, row);
        added.map_err(|error| self.failed(&error))
    }

    fn append(&self, previous: Option<&str>, row: &[String]) -> fedseal_engines::Result<bool> {
        let table = Table::Decisions;
        fits(&self.place(), table, row)?;
        let append = |connection: &mut Connection| -> rusqlite::Result<Option<bool>> {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let last = newest(&transaction, table, None)?;
            if last.as_deref() == Some(row) {
                return Ok(Some(true));
            }
            let envelope = last.as_ref().and_then(|last| last.last());
            if envelope.map(String::as_str) != previous {
                return Ok(Some(false));
            }
            if !insert(&transaction, table, row)? {
                return Ok(None);
            }
            transaction.commit()?;
            Ok(Some(true))
        };
        let appended = append(&mut self.lock());
        appended
            .map_err(|error| self.failed(&error))?
            .ok_or_else(|| self.refused("an earlier decision has this envelope"))
    }

    fn newest(&self, table: Table, key: Option<&str>) -> fedseal_engines::Result<Option<Row>> {
        let found = newest(&self.lock(), table, key);
        found.map_err(|error| self.failed(&error))
    }

    fn all(&self, table: Table) -> fedseal_engines::Result<Vec<Row>> {
        let query = |connection: &Connection| -> rusqlite::Result<Vec<Row>> {
            connection
                .prepare(table.all())?
                .query_map([], |row| texts(table, row))?
                .collect()
        };
        let found = query(&self.lock());
        found.map_err(|error| self.failed(&error))
    }
}

fn insert(connection: &Connection, table: Table, row: &[String]) -> rusqlite::Result<bool> {
    let changed = connection.execute(table.add(), rusqlite::params_from_iter(row))?;
    Ok(changed == 1)
}

fn newest(
    connection: &Connection,
    table: Table,
    key: Option<&str>,
) -> rusqlite::Result<Option<Row>> {
    let statement = match key {
        Some(_) => table.of_key(),
        None => table.last(),
    };
    connection
        .query_row(statement, rusqlite::params_from_iter(key), |row| {
            texts(table, row)
        })
        .optional()
}

fn texts(table: Table, row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    (0..table.columns().len())
        .map(|at| row.get::<_, String>(at))
        .collect()
}

pub(crate) fn check_version(number: i32) -> Result<()> {
    if number < SQLITE_AT_LEAST {
        return Err(Error::SqliteVersion {
            got: rusqlite::version(),
        });
    }
    Ok(())
}
