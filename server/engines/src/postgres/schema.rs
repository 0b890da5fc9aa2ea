//! The tables, made step by step. A step that has been in a release is never changed: the next one changes what it
//! made. Each that was done is in a table with its digest.

use fedseal_client_sdk::digest::Digest;
use fedseal_engines::{Error, Result};
use sqlx::{Connection as _, PgConnection};

use super::session::failed;

/// The steps, the first one first.
const STEPS: [&str; 1] = ["
CREATE TABLE fedseal.modules (
    rowid    bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    digest   text PRIMARY KEY,
    name     text NOT NULL,
    signer   text NOT NULL,
    envelope text NOT NULL,
    created  text NOT NULL
);
CREATE TABLE fedseal.clients (
    rowid   bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    client  text COLLATE \"C\" PRIMARY KEY,
    key     text NOT NULL UNIQUE,
    created text NOT NULL
);
CREATE TABLE fedseal.decisions (
    rowid    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    module   text NOT NULL,
    verdict  text NOT NULL,
    envelope text NOT NULL UNIQUE
);
CREATE INDEX decisions_of_module ON fedseal.decisions (module, rowid);
CREATE TABLE fedseal.writer (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch  bigint NOT NULL,
    holder text NOT NULL,
    since  timestamptz NOT NULL
);
INSERT INTO fedseal.writer (epoch, holder, since) VALUES (0, 'nobody', now());
"];

/// Brings the schema up to date. The caller holds the writer's lock, so that nobody else does it.
///
/// # Errors
/// As [`check`], but for an older schema; a user who may not make tables.
pub(super) async fn bring_up(session: &mut PgConnection, engine: &str) -> Result<()> {
    let failed = |error: sqlx::Error| failed(engine, &error);
    if !is_there(session).await.map_err(failed)? {
        sqlx::raw_sql(
            "CREATE SCHEMA IF NOT EXISTS fedseal;
             CREATE TABLE fedseal.schema_steps (
                 number int4 PRIMARY KEY, sha256 text NOT NULL, done timestamptz NOT NULL DEFAULT now()
             );",
        )
        .execute(&mut *session)
        .await
        .map_err(failed)?;
    }
    let done = done(session, engine).await?;
    for (number, step) in (1_i32..).zip(STEPS).skip(done) {
        let mut transaction = session.begin().await.map_err(failed)?;
        sqlx::raw_sql(step)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query("INSERT INTO fedseal.schema_steps (number, sha256) VALUES ($1, $2)")
            .bind(number)
            .bind(Digest::of(step.as_bytes()).to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
    }
    Ok(())
}

/// Refuses a schema that is not this program's.
///
/// # Errors
/// [`Error::Unfit`] for none, an older one, a newer one, and another.
pub(super) async fn check(session: &mut PgConnection, engine: &str) -> Result<()> {
    let there = is_there(session).await;
    let done = match there.map_err(|error| failed(engine, &error))? {
        true => done(session, engine).await?,
        false => 0,
    };
    match done {
        0 => Err(unfit(
            engine,
            "it has no registry yet; `fedseal serve --registry` makes one",
        )),
        done if done < STEPS.len() => Err(unfit(
            engine,
            &format!(
                "its schema is of version {done}, this program's of {}; `fedseal serve` of this version brings it up",
                STEPS.len()
            ),
        )),
        _ => Ok(()),
    }
}

async fn is_there(session: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT to_regclass('fedseal.schema_steps') IS NOT NULL")
        .fetch_one(session)
        .await
}

/// How many steps were done, all of them this program's.
async fn done(session: &mut PgConnection, engine: &str) -> Result<usize> {
    let all: Vec<(i32, String)> =
        sqlx::query_as("SELECT number, sha256 FROM fedseal.schema_steps ORDER BY number")
            .fetch_all(session)
            .await
            .map_err(|error| failed(engine, &error))?;
    if all.len() > STEPS.len() {
        return Err(unfit(
            engine,
            &format!(
                "its schema is of version {}, this program knows {}; take the newer program",
                all.len(),
                STEPS.len()
            ),
        ));
    }
    for ((number, sha256), (wanted, step)) in all.iter().zip((1..).zip(STEPS)) {
        if *number != wanted || *sha256 != Digest::of(step.as_bytes()).to_string() {
            return Err(unfit(
                engine,
                &format!(
                    "step {number} of its schema is another one than this program's; another program made it, or \
                     somebody changed it"
                ),
            ));
        }
    }
    Ok(all.len())
}

fn unfit(engine: &str, detail: &str) -> Error {
    Error::Unfit {
        engine: engine.to_owned(),
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_stays_as_it_was_released() {
        let digests = STEPS.map(|step| Digest::of(step.as_bytes()).to_string());
        assert_eq!(
            digests,
            ["77da7e312f9fcf2edb80f3216d9b85f8e1c9b052ce9319f0423ff208349ee091"]
        );
    }
}
