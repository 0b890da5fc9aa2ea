//! The helper: a queue, a store or records over a network for a fedseal program, which starts it and speaks
//! [`frames`] over its standard input and output. It ends with that program.
//!
//! - [`nats`]: a queue in NATS JetStream. [`s3`]: a store in S3. [`postgres`]: records in PostgreSQL.

#![forbid(unsafe_code)]

mod nats;
mod postgres;
mod s3;

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fedseal_engines::frames::{self, Answer, Answered, Asked, Failed, Request, VERSION};
use fedseal_engines::helper::Access;
use fedseal_engines::store::Name;
use fedseal_engines::{Error, Result};

use nats::Nats;
use postgres::Postgres;
use s3::S3;

/// Longest time of a request beyond its wait.
const LONGEST: Duration = Duration::from_secs(20 * 60);
/// Requests that wait to be begun.
const WAITING: usize = 64;

/// Engine that the helper was started for.
struct Wanted {
    kind: String,
    url: String,
    lease: Duration,
    credentials: Option<String>,
    access: Access,
}

enum Engine {
    Queue(Box<Nats>),
    Store(S3),
    Records(Box<Postgres>),
}

impl Engine {
    /// Longest time of a request.
    fn longest(&self) -> Duration {
        match self {
            Engine::Queue(_) | Engine::Store(_) => LONGEST,
            Engine::Records(_) => postgres::LONGEST,
        }
    }
}

fn main() -> ExitCode {
    let wanted = match wanted() {
        Ok(wanted) => wanted,
        Err(problem) => {
            let _ = io::Write::write_all(
                &mut io::stderr(),
                format!("fedseal-engines: {problem}; fedseal starts it by itself\n").as_bytes(),
            );
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(_) => return ExitCode::FAILURE,
    };
    runtime.block_on(serve(wanted));
    // Requests under way have nobody to answer.
    runtime.shutdown_background();
    ExitCode::SUCCESS
}

fn wanted() -> std::result::Result<Wanted, String> {
    let mut words = std::env::args().skip(1);
    let kind = words
        .next()
        .filter(|kind| ["queue", "store", "records"].contains(&kind.as_str()));
    let mut wanted = Wanted {
        kind: kind.ok_or("the first word is queue, store or records")?,
        url: std::env::var("FEDSEAL_ENGINE_URL").map_err(|_| "FEDSEAL_ENGINE_URL is not set")?,
        lease: Duration::from_secs(60),
        credentials: None,
        access: Access::Read,
    };
    while let Some(word) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("{word} takes a value"))?;
        match word.as_str() {
            "--lease" => {
                let seconds = value
                    .parse()
                    .ok()
                    .and_then(|s| Duration::try_from_secs_f64(s).ok());
                wanted.lease = seconds.ok_or_else(|| format!("{value}: no seconds"))?;
            }
            "--credentials" => {
                let text = std::fs::read_to_string(&value).map_err(|e| format!("{value}: {e}"))?;
                wanted.credentials = Some(text);
            }
            "--access" => {
                wanted.access = match value.as_str() {
                    "read" => Access::Read,
                    "write" => Access::Write,
                    other => return Err(format!("{other}: neither read nor write")),
                };
            }
            other => return Err(format!("{other} is not known")),
        }
    }
    Ok(wanted)
}

async fn open(wanted: &Wanted) -> Result<Engine> {
    Ok(match wanted.kind.as_str() {
        "queue" => Engine::Queue(Box::new(
            Nats::open(&wanted.url, wanted.lease, wanted.credentials.as_deref()).await?,
        )),
        "store" => Engine::Store(S3::open(&wanted.url).await?),
        _ => Engine::Records(Box::new(Postgres::open(&wanted.url, wanted.access).await?)),
    })
}

/// Answers requests until the other program ends.
async fn serve(wanted: Wanted) {
    let (send, mut asked) = tokio::sync::mpsc::channel::<(Asked, Vec<u8>)>(WAITING);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Ok(Some(frame)) = frames::read(&mut input) {
            if send.blocking_send(frame).is_err() {
                break;
            }
        }
    });
    let output = Arc::new(Mutex::new(()));
    let Some((first, _)) = asked.recv().await else {
        return;
    };
    let opened = match first.request {
        Request::Open { version: VERSION } => open(&wanted).await,
        _ => Err(Error::Unfit {
            engine: fedseal_engines::helper::shown(&wanted.url),
            detail: "its helper is of another version; build both programs from one source".into(),
        }),
    };
    let engine = match opened {
        Ok(engine) => Arc::new(engine),
        Err(error) => return say(&output, first.number, failed(error), &[]),
    };
    say(&output, first.number, Answer::Done, &[]);
    while let Some((asked, bytes)) = asked.recv().await {
        let (engine, output) = (engine.clone(), output.clone());
        tokio::spawn(async move {
            let number = asked.number;
            let longest = engine.longest();
            let done = tokio::time::timeout(longest, answer(&engine, asked.request, bytes)).await;
            let (answer, bytes) = match done {
                Ok(Ok(answered)) => answered,
                Ok(Err(error)) => (failed(error), Vec::new()),
                Err(_) => {
                    let late = Error::Unreachable {
                        engine: "the engine".into(),
                        detail: format!("no answer within {} s", longest.as_secs()),
                    };
                    (failed(late), Vec::new())
                }
            };
            say(&output, number, answer, &bytes);
        });
    }
}

async fn answer(engine: &Engine, request: Request, bytes: Vec<u8>) -> Result<(Answer, Vec<u8>)> {
    let found = |value: Option<Vec<u8>>| match value {
        Some(bytes) => (Answer::Bytes, bytes),
        None => (Answer::Nothing, Vec::new()),
    };
    let odd = |what: &str| Error::Refused {
        engine: "the helper".into(),
        detail: what.to_owned(),
    };
    let named = |name: &str| Name::read(name).ok_or_else(|| odd("that is no claim's name"));
    Ok(match (engine, request) {
        (Engine::Queue(queue), Request::Offer { job }) => {
            queue.offer(&job, bytes).await?;
            (Answer::Done, Vec::new())
        }
        (Engine::Queue(queue), Request::Take { within }) => {
            let within = Duration::try_from_secs_f64(within).unwrap_or_default();
            match queue.take(within).await? {
                None => (Answer::Nothing, Vec::new()),
                Some(mut taken) => {
                    let body = std::mem::take(&mut taken.body);
                    (Answer::Taken(taken), body)
                }
            }
        }
        (Engine::Queue(queue), Request::Settle { lease, act }) => {
            queue.settle(&lease, act).await?;
            (Answer::Done, Vec::new())
        }
        (Engine::Queue(queue), Request::Outstanding) => {
            (Answer::Jobs(queue.outstanding().await?), Vec::new())
        }
        (Engine::Store(store), Request::Put) => (Answer::Kept(store.put(bytes).await?), Vec::new()),
        (Engine::Store(store), Request::Get { digest }) => found(store.get(&digest).await?),
        (Engine::Store(store), Request::Claim { name }) => {
            (Answer::Bytes, store.claim(&named(&name)?, &bytes).await?)
        }
        (Engine::Store(store), Request::Claimed { name }) => {
            found(store.claimed(&named(&name)?).await?)
        }
        (Engine::Records(records), Request::Ready) => {
            records.ready().await?;
            (Answer::Done, Vec::new())
        }
        (Engine::Records(records), Request::Add { table, row }) => {
            (Answer::Added(records.add(table, &row).await?), Vec::new())
        }
        (Engine::Records(records), Request::Append { previous, row }) => {
            let added = records.append(previous.as_deref(), &row).await?;
            (Answer::Added(added), Vec::new())
        }
        (Engine::Records(records), Request::Newest { table, key }) => {
            let newest = records.newest(table, key.as_deref()).await?;
            (Answer::Rows(newest.into_iter().collect()), Vec::new())
        }
        (Engine::Records(records), Request::All { table }) => {
            (Answer::Rows(records.all(table).await?), Vec::new())
        }
        _ => return Err(odd("it was not started for that")),
    })
}

fn failed(error: Error) -> Answer {
    let (kind, engine, detail) = match error {
        Error::Unreachable { engine, detail } => (Failed::Unreachable, engine, detail),
        Error::Unfit { engine, detail } => (Failed::Unfit, engine, detail),
        Error::Refused { engine, detail } => (Failed::Refused, engine, detail),
        other => (Failed::Refused, "the engine".into(), other.to_string()),
    };
    Answer::Failed {
        kind,
        engine,
        detail,
    }
}

/// Writes an answer; the lock keeps frames whole.
fn say(output: &Mutex<()>, number: u64, answer: Answer, bytes: &[u8]) {
    let _whole = output.lock().unwrap_or_else(PoisonError::into_inner);
    // A program that is gone needs no answer.
    let _ = frames::write(
        &mut io::stdout().lock(),
        &Answered { number, answer },
        bytes,
    );
}
