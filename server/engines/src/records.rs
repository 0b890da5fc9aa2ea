//! The contract of a registry's records: rows of text in a few tables, for one writer and any number of readers.
//!
//! Rows say which modules were submitted, what was decided on them, and which key a client has. What they mean is
//! the registry's matter; here they are text. The statements are here, too: SQLite and PostgreSQL take the same
//! ones, so that both keep the same order and refuse the same rows.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Longest row, bytes: names, digests and keys.
pub const MAX_ROW: usize = 64 << 10;

/// A row: its columns, as [`Table::columns`] names them.
pub type Row = Vec<String>;

/// Tables of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// Submitted modules, by digest.
    Modules,
    /// Clients, by name; a key belongs to one client.
    Clients,
    /// Decisions on modules, each after the one before it.
    Decisions,
}

/// Statements of a table.
struct Statements {
    columns: &'static [&'static str],
    add: &'static str,
    all: &'static str,
    last: &'static str,
    of_key: &'static str,
}

const MODULES: Statements = Statements {
    columns: &["digest", "name", "signer", "envelope", "created"],
    add: "INSERT INTO modules (digest, name, signer, envelope, created) VALUES ($1, $2, $3, $4, $5)
          ON CONFLICT DO NOTHING",
    all: "SELECT digest, name, signer, envelope, created FROM modules ORDER BY rowid",
    last: "SELECT digest, name, signer, envelope, created FROM modules ORDER BY rowid DESC LIMIT 1",
    of_key: "SELECT digest, name, signer, envelope, created FROM modules WHERE digest = $1",
};

const CLIENTS: Statements = Statements {
    columns: &["client", "key", "created"],
    add: "INSERT INTO clients (client, key, created) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    all: "SELECT client, key, created FROM clients ORDER BY client",
    last: "SELECT client, key, created FROM clients ORDER BY rowid DESC LIMIT 1",
    of_key: "SELECT client, key, created FROM clients WHERE client = $1",
};

const DECISIONS: Statements = Statements {
    columns: &["module", "verdict", "envelope"],
    add: "INSERT INTO decisions (module, verdict, envelope) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    all: "SELECT module, verdict, envelope FROM decisions ORDER BY rowid",
    last: "SELECT module, verdict, envelope FROM decisions ORDER BY rowid DESC LIMIT 1",
    of_key: "SELECT module, verdict, envelope FROM decisions WHERE module = $1 ORDER BY rowid DESC LIMIT 1",
};

impl Table {
    fn statements(self) -> &'static Statements {
        match self {
            Table::Modules => &MODULES,
            Table::Clients => &CLIENTS,
            Table::Decisions => &DECISIONS,
        }
    }

    /// Its columns, the key first.
    pub fn columns(self) -> &'static [&'static str] {
        self.statements().columns
    }

    /// Statement that adds a row, with a parameter for each column. A row that is in the way of it stays.
    pub fn add(self) -> &'static str {
        self.statements().add
    }

    /// Statement that reads all rows: in the order in which they came; clients by name, in the order of bytes.
    pub fn all(self) -> &'static str {
        self.statements().all
    }

    /// Statement that reads the newest row.
    pub fn last(self) -> &'static str {
        self.statements().last
    }

    /// Statement that reads the newest row of a key, its one parameter.
    pub fn of_key(self) -> &'static str {
        self.statements().of_key
    }
}

/// Records of a registry.
///
/// One process writes, any number read; whoever may not write is refused. What a call has stored is durable when it
/// returns: it survives the death of this program and of the engine. No row is ever changed or removed. Calls are
/// safe from several threads.
pub trait Records: Debug + Send + Sync {
    /// Path or address of the records, without secrets.
    fn place(&self) -> String;

    /// Whether records can be read now, and written by who opened them to write.
    ///
    /// # Errors
    /// Any fault of the place, in words.
    fn ready(&self) -> Result<()>;

    /// Adds a row to [`Table::Modules`] or [`Table::Clients`]. False where a row has its key, or another column
    /// that no two rows share: that row stays as it is. So a call may be repeated.
    ///
    /// # Errors
    /// [`Error::Unreachable`]: it may have been stored; repeat it. A row that [`fits`] refuses.
    fn add(&self, table: Table, row: &[String]) -> Result<bool>;

    /// Adds a decision after the one whose envelope (its last column) is `previous`. False where another one is
    /// the newest. Where the newest is this very row it was stored before, and that is no error, so a call may be
    /// repeated. Of several at once one succeeds.
    ///
    /// # Errors
    /// As [`Records::add`]; an envelope that an earlier decision has.
    fn append(&self, previous: Option<&str>, row: &[String]) -> Result<bool>;

    /// Newest row of a table, or of a key in it.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; records that are damaged.
    fn newest(&self, table: Table, key: Option<&str>) -> Result<Option<Row>>;

    /// All rows of a table, in the order of [`Table::all`].
    ///
    /// # Errors
    /// As [`Records::newest`].
    fn all(&self, table: Table) -> Result<Vec<Row>>;
}

/// Refuses a row for another table, and one that is longer than [`MAX_ROW`]. Every engine asks it first.
///
/// # Errors
/// [`Error::Refused`].
pub fn fits(engine: &str, table: Table, row: &[String]) -> Result<()> {
    let refused = |detail: String| {
        Err(Error::Refused {
            engine: engine.to_owned(),
            detail,
        })
    };
    let wanted = table.columns().len();
    let bytes: usize = row.iter().map(String::len).sum();
    if row.len() != wanted {
        return refused(format!(
            "a row of {} columns; {table:?} has {wanted}",
            row.len()
        ));
    }
    if row.iter().any(|text| text.contains('\0')) {
        // PostgreSQL keeps none; a registry has to be able to move.
        return refused("a row with a NUL character".into());
    }
    match bytes {
        0..=MAX_ROW => Ok(()),
        bytes => refused(format!("a row of {bytes} bytes; at most {MAX_ROW}")),
    }
}

/// Copies all rows into records that have none of them, or the first ones: a copy that was interrupted goes on.
/// Both stay in use meanwhile; what is added to `from` later may be missing.
///
/// # Errors
/// [`Error::Refused`] where `to` has other rows; those of both engines.
pub fn copy(from: &dyn Records, to: &dyn Records) -> Result<()> {
    let other = |what: String| Error::Refused {
        engine: to.place(),
        detail: format!(
            "it has {what} than {}; copy into records without rows of their own",
            from.place()
        ),
    };
    // Read first, written last: whatever a decision names is there before it.
    let decisions = from.all(Table::Decisions)?;
    for table in [Table::Modules, Table::Clients] {
        for row in from.all(table)? {
            if !to.add(table, &row)? && to.newest(table, Some(&row[0]))?.as_ref() != Some(&row) {
                return Err(other(format!("another row of {}", row[0])));
            }
        }
    }
    let there = to.all(Table::Decisions)?;
    if !decisions.starts_with(&there) {
        return Err(other("other decisions".into()));
    }
    let mut previous = there.last().and_then(|row| row.last());
    for row in &decisions[there.len()..] {
        if !to.append(previous.map(String::as_str), row)? {
            return Err(other("other decisions".into()));
        }
        previous = row.last();
    }
    Ok(())
}
