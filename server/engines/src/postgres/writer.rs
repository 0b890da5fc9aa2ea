//! The one writer of records: an advisory lock that a session of its own holds.
//!
//! Such a lock belongs to its session: it outlives a transaction, is not freed when a session goes back into a pool,
//! and is gone with the session, whereupon somebody else has it at once. So a task looks at the session once a
//! second, and takes the lock again where it was lost; and every write holds the row `writer` with the number
//! (epoch) of whoever became the writer last. Nobody writes after another has become the writer.

use std::time::{Duration, Instant};

use fedseal_engines::{Error, Result};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::schema;
use super::session::{PATIENCE, connect, failed};

/// The lock's two numbers: "fdsl", and the registry.
const LOCK: (i32, i32) = (0x6664_736c, 1);
/// Longest wait for a lock at the start: the session of a writer that died is gone by then.
const START: Duration = Duration::from_secs(5);
/// How often the session is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Longest answer to that.
const ANSWER: Duration = Duration::from_secs(5);
/// Pause between attempts to take it then.
const SHORT: Duration = Duration::from_millis(20);
/// Pauses between attempts to take a lock again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The lock, while it is held, lost or passed on.
#[derive(Debug)]
pub(super) struct Writer {
    engine: String,
    epoch: i64,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
enum State {
    Held,
    /// Its session was lost; why.
    Lost(String),
    /// Another has become the writer; who.
    Passed(String),
}

/// Result of an attempt to take the lock again.
enum Again {
    Held(PgConnection),
    /// Somebody else has it now.
    Taken(String),
    Passed(String),
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Writer {
    /// Takes the lock by a session, brings the schema up to date and becomes the writer.
    ///
    /// # Errors
    /// [`Error::Unfit`] where somebody else has the lock.
    pub(super) async fn take(
        mut session: PgConnection,
        options: PgConnectOptions,
        engine: &str,
    ) -> Result<Writer> {
        let fault = |error: sqlx::Error| failed(engine, &error);
        let begun = Instant::now();
        while !lock(&mut session).await.map_err(fault)? {
            if begun.elapsed() > START {
                let who = holder(&mut session).await.map_err(fault)?;
                return Err(Error::Unfit {
                    engine: engine.to_owned(),
                    detail: format!(
                        "another server writes it ({who}); one registry has one, so stop that one, or name another \
                         database"
                    ),
                });
            }
            sleep(SHORT).await;
        }
        if !holds(&mut session).await.map_err(fault)? {
            return Err(Error::Unfit {
                engine: engine.to_owned(),
                detail: "its sessions do not keep a lock; name the server itself, or a pooler's address of sessions \
                         (not of transactions)"
                    .into(),
            });
        }
        schema::bring_up(&mut session, engine).await?;
        // It waits for a write of the one before that is under way.
        let epoch: i64 = sqlx::query_scalar(
            "UPDATE fedseal.writer SET epoch = epoch + 1, holder = $1, since = now() RETURNING epoch",
        )
        .bind(own_name())
        .fetch_one(&mut session)
        .await
        .map_err(fault)?;
        let (tell, state) = watch::channel(State::Held);
        let keeper = Keeper {
            engine: engine.to_owned(),
            options,
            epoch,
            tell,
        };
        Ok(Writer {
            engine: engine.to_owned(),
            epoch,
            state,
            task: tokio::spawn(keeper.keep(session)),
        })
    }

    /// Number of this writer.
    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether the lock is held now.
    ///
    /// # Errors
    /// It is lost or passed on.
    pub(super) fn is_held(&self) -> Result<()> {
        self.judged(&self.state.borrow())
    }

    /// Waits until the lock is held, where it is being taken again.
    ///
    /// # Errors
    /// It is not within [`PATIENCE`].
    pub(super) async fn held(&self) -> Result<()> {
        let mut state = self.state.clone();
        let settled = async {
            let found = state.wait_for(|it| !matches!(it, State::Lost(_))).await;
            found.map(|it| it.clone())
        };
        match timeout(PATIENCE, settled).await {
            Ok(Ok(found)) => self.judged(&found),
            _ => self.is_held(),
        }
    }

    fn judged(&self, state: &State) -> Result<()> {
        let engine = self.engine.clone();
        match state {
            State::Held => Ok(()),
            State::Lost(why) => Err(Error::Unreachable {
                engine,
                detail: format!("the session that holds the writer's lock was lost: {why}"),
            }),
            State::Passed(who) => Err(Error::Unfit {
                engine,
                detail: passed(who),
            }),
        }
    }

    /// Error for a write that found another writer's number.
    pub(super) async fn passed(&self, session: &mut PgConnection) -> Error {
        let who = writer(session).await;
        Error::Unfit {
            engine: self.engine.clone(),
            detail: passed(&who.map_or_else(|error| error.to_string(), |(_, who)| who)),
        }
    }
}

fn passed(who: &str) -> String {
    format!(
        "another server has become the writer ({who}); this one writes no more, so stop one of both"
    )
}

/// Keeps the lock.
struct Keeper {
    engine: String,
    options: PgConnectOptions,
    epoch: i64,
    tell: watch::Sender<State>,
}

impl Keeper {
    async fn keep(self, mut session: PgConnection) {
        loop {
            let why = self.lost(session).await;
            self.say(&format!(
                "the session that holds the writer's lock was lost: {why}; it is taken again"
            ));
            self.tell.send_replace(State::Lost(why.clone()));
            let mut pause = PAUSES.0;
            session = loop {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
                match timeout(PATIENCE, self.again()).await {
                    Ok(Ok(Again::Held(session))) => break session,
                    Ok(Ok(Again::Taken(who))) => {
                        let why = format!("{why}; now {who} has the lock");
                        self.tell.send_replace(State::Lost(why));
                    }
                    Ok(Ok(Again::Passed(who))) => {
                        self.say(&passed(&who));
                        self.tell.send_replace(State::Passed(who));
                        return;
                    }
                    // The server is not back yet.
                    Ok(Err(_)) | Err(_) => {}
                }
            };
            self.say("the writer's lock is held again; nobody wrote meanwhile");
            self.tell.send_replace(State::Held);
        }
    }

    /// Waits until the session has the lock no more; why.
    async fn lost(&self, mut session: PgConnection) -> String {
        loop {
            sleep(LOOK).await;
            match timeout(ANSWER, holds(&mut session)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return "it has no lock any more".into(),
                Ok(Err(error)) => return failed(&self.engine, &error).to_string(),
                Err(_) => return format!("no answer within {} s", ANSWER.as_secs()),
            }
        }
    }

    async fn again(&self) -> sqlx::Result<Again> {
        let mut session = connect(&self.options).await?;
        let locked = lock(&mut session).await?;
        // Whoever becomes the writer has the lock, so that the number stays while it is held here.
        let (epoch, who) = writer(&mut session).await?;
        Ok(match (epoch == self.epoch, locked) {
            (true, true) => Again::Held(session),
            (true, false) => Again::Taken(holder(&mut session).await?),
            (false, _) => Again::Passed(who),
        })
    }

    fn say(&self, words: &str) {
        let line = format!("fedseal-engines: {}: {words}\n", self.engine);
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }
}

/// Takes the lock, where it is free.
async fn lock(session: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
        .bind(LOCK.0)
        .bind(LOCK.1)
        .fetch_one(session)
        .await
}

/// Whether this session has the lock.
async fn holds(session: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
             AND pid = pg_backend_pid() AND classid::int8 = $1 AND objid::int8 = $2)",
    )
    .bind(i64::from(LOCK.0))
    .bind(i64::from(LOCK.1))
    .fetch_one(session)
    .await
}

/// The session that has the lock, and the name of the last writer.
async fn holder(session: &mut PgConnection) -> sqlx::Result<String> {
    let pid: Option<i32> = sqlx::query_scalar(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
             AND classid::int8 = $1 AND objid::int8 = $2
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .bind(i64::from(LOCK.0))
    .bind(i64::from(LOCK.1))
    .fetch_optional(&mut *session)
    .await?;
    let pid = pid.map_or("gone meanwhile".into(), |pid| pid.to_string());
    Ok(match writer(session).await {
        Ok((_, who)) => format!("{who}; session {pid} of the database server"),
        // The first writer is making the tables.
        Err(_) => format!("session {pid} of the database server"),
    })
}

/// Number and name of who became the writer last.
async fn writer(session: &mut PgConnection) -> sqlx::Result<(i64, String)> {
    let (epoch, holder, since): (i64, String, String) = sqlx::query_as(
        "SELECT epoch, holder, to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
         FROM fedseal.writer",
    )
    .fetch_one(session)
    .await?;
    Ok((epoch, format!("{holder}, since {since}")))
}

/// This process, for people.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok());
    let host = host.as_deref().map_or("this host", str::trim);
    // The program that started this one.
    #[cfg(unix)]
    let process = std::os::unix::process::parent_id();
    #[cfg(not(unix))]
    let process = std::process::id();
    format!("process {process} on {host}")
}
