//! Records in PostgreSQL.
//!
//! - [`address`]: what an address says, and how a session is set up. [`session`]: sessions, and what goes wrong.
//! - [`schema`]: the tables, step by step. [`writer`]: the one writer, by an advisory lock that a session of its own
//!   holds.
//!
//! Statements go through a pool of few sessions, which connects again with growing pauses. Each is a fixed text with
//! parameters and has a time in which it ends.

mod address;
mod schema;
mod session;
mod writer;

use std::time::Duration;

use fedseal_engines::helper::{Access, shown};
use fedseal_engines::records::{Row, Table, fits};
use fedseal_engines::{Error, Result};
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::{PgConnection, PgPool, Postgres as Driver, Row as _, Transaction};

use session::{PATIENCE, failed};
use writer::Writer;

/// Sessions for statements; the writer's lock has one more.
const SESSIONS: u32 = 4;
/// Longest time of a request: a server that is gone without a word ends no statement.
pub(crate) const LONGEST: Duration = Duration::from_secs(40);

/// Records in a database, in its schema `fedseal`.
#[derive(Debug)]
pub(crate) struct Postgres {
    engine: String,
    pool: PgPool,
    /// None where they were opened to be read.
    writer: Option<Writer>,
}

impl Postgres {
    /// Connects. Who writes takes the lock and brings the schema up to date; who reads wants it so.
    ///
    /// # Errors
    /// No server; one that loses what it confirmed, or is too old; another writer; another schema.
    pub(crate) async fn open(address: &str, access: Access) -> Result<Postgres> {
        let engine = shown(address);
        let options = address::options(address, &engine)?;
        // Beside the pool, which would try for a while before it says what is wrong.
        let first = session::connect(&options).await;
        let mut first = first.map_err(|error| failed(&engine, &error))?;
        fit(&mut first, &engine, access).await?;
        let writer = match access {
            Access::Write => Some(Writer::take(first, options.clone(), &engine).await?),
            Access::Read => {
                schema::check(&mut first, &engine).await?;
                None
            }
        };
        let pool = PgPoolOptions::new()
            .max_connections(SESSIONS)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(options);
        Ok(Postgres {
            engine,
            pool,
            writer,
        })
    }

    fn failed(&self, error: &sqlx::Error) -> Error {
        failed(&self.engine, error)
    }

    fn refused(&self, detail: &str) -> Error {
        Error::Refused {
            engine: self.engine.clone(),
            detail: detail.to_owned(),
        }
    }

    /// As [`Records::ready`](fedseal_engines::records::Records::ready).
    pub(crate) async fn ready(&self) -> Result<()> {
        if let Some(writer) = &self.writer {
            writer.is_held()?;
        }
        self.newest(Table::Modules, None).await.map(drop)
    }

    /// Begins a transaction that ends before another writer begins, or fails: it holds the row of the writer, which
    /// the next writer changes first. So writes also come one after another.
    async fn writing(&self) -> Result<Transaction<'static, Driver>> {
        let Some(writer) = &self.writer else {
            return Err(self.refused("it was opened to be read; another process writes"));
        };
        writer.held().await?;
        let begun = self.pool.begin().await;
        let mut transaction = begun.map_err(|error| self.failed(&error))?;
        let own: Option<i64> =
            sqlx::query_scalar("SELECT epoch FROM fedseal.writer WHERE epoch = $1 FOR UPDATE")
                .bind(writer.epoch())
                .fetch_optional(&mut *transaction)
                .await
                .map_err(|error| self.failed(&error))?;
        match own {
            Some(_) => Ok(transaction),
            None => Err(writer.passed(&mut transaction).await),
        }
    }

    async fn insert(
        &self,
        transaction: &mut PgConnection,
        table: Table,
        row: &[String],
    ) -> Result<bool> {
        let mut query = sqlx::query(table.add());
        for value in row {
            query = query.bind(value.as_str());
        }
        let done = query.execute(transaction).await;
        Ok(done.map_err(|error| self.failed(&error))?.rows_affected() == 1)
    }

    /// As [`Records::add`](fedseal_engines::records::Records::add).
    pub(crate) async fn add(&self, table: Table, row: &[String]) -> Result<bool> {
        fits(&self.engine, table, row)?;
        if table == Table::Decisions {
            return Err(self.refused("a decision is appended"));
        }
        let mut transaction = self.writing().await?;
        let added = self.insert(&mut transaction, table, row).await?;
        let stored = transaction.commit().await;
        stored.map_err(|error| self.failed(&error))?;
        Ok(added)
    }

    /// As [`Records::append`](fedseal_engines::records::Records::append).
    pub(crate) async fn append(&self, previous: Option<&str>, row: &[String]) -> Result<bool> {
        let table = Table::Decisions;
        fits(&self.engine, table, row)?;
        let mut transaction = self.writing().await?;
        // A statement of its own, after the one that waited: it sees what came meanwhile.
        let last = sqlx::query(table.last())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(|error| self.failed(&error))?;
        let last = last.map(|found| self.texts(table, &found)).transpose()?;
        if last.as_deref() == Some(row) {
            return Ok(true);
        }
        let envelope = last.as_ref().and_then(|last| last.last());
        if envelope.map(String::as_str) != previous {
            return Ok(false);
        }
        if !self.insert(&mut transaction, table, row).await? {
            return Err(self.refused("an earlier decision has this envelope"));
        }
        let stored = transaction.commit().await;
        stored.map_err(|error| self.failed(&error))?;
        Ok(true)
    }

    /// As [`Records::newest`](fedseal_engines::records::Records::newest).
    pub(crate) async fn newest(&self, table: Table, key: Option<&str>) -> Result<Option<Row>> {
        let query = match key {
            Some(key) => sqlx::query(table.of_key()).bind(key),
            None => sqlx::query(table.last()),
        };
        let found = query.fetch_optional(&self.pool).await;
        let found = found.map_err(|error| self.failed(&error))?;
        found.map(|found| self.texts(table, &found)).transpose()
    }

    /// As [`Records::all`](fedseal_engines::records::Records::all).
    pub(crate) async fn all(&self, table: Table) -> Result<Vec<Row>> {
        let found = sqlx::query(table.all()).fetch_all(&self.pool).await;
        let found = found.map_err(|error| self.failed(&error))?;
        found.iter().map(|row| self.texts(table, row)).collect()
    }

    fn texts(&self, table: Table, row: &PgRow) -> Result<Row> {
        let columns = 0..table.columns().len();
        let texts = columns.map(|at| row.try_get::<String, usize>(at));
        let texts: sqlx::Result<Row> = texts.collect();
        texts.map_err(|error| self.failed(&error))
    }
}

/// Least version of the server, as `server_version_num` has it: the oldest that its project mended in 2026.
const LEAST: i32 = 140_000;

/// Refuses a server that cannot keep the contract.
async fn fit(session: &mut PgConnection, engine: &str, access: Access) -> Result<()> {
    let found: (i32, String, String, bool) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int4, current_setting('fsync'),
                current_setting('server_encoding'), pg_is_in_recovery()",
    )
    .fetch_one(session)
    .await
    .map_err(|error| failed(engine, &error))?;
    let (version, fsync, encoding, standby) = found;
    let wrong = if version < LEAST {
        format!(
            "PostgreSQL {}, at least {} is needed",
            version / 10_000,
            LEAST / 10_000
        )
    } else if fsync != "on" {
        "its fsync is off, so that it loses what it confirmed; switch it on".into()
    } else if encoding != "UTF8" {
        format!("the database's encoding is {encoding}; make one with ENCODING 'UTF8'")
    } else if standby && access == Access::Write {
        "it is a standby, which cannot be written; name the primary".into()
    } else {
        return Ok(());
    };
    Err(Error::Unfit {
        engine: engine.to_owned(),
        detail: wrong,
    })
}
