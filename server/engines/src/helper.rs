//! A queue, a store or records over a network, by a helper program: it is started with the engine's address, and
//! speaks [`frames`] until this process ends. Requests of several threads go side by side.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedseal_client_sdk::digest::Digest;

use crate::frames::{self, Answer, Answered, Asked, Failed, Request, VERSION};
use crate::queue::{self, Lease, Queue, Taken};
use crate::records::{self, Records, Row, Table};
use crate::store::{self, Name, Store};
use crate::{Error, Result};

/// The helper's name, beside this program.
const PROGRAM: &str = "fedseal-engines";
/// Names the helper where it lies elsewhere.
const PLACE: &str = "FEDSEAL_ENGINES";

/// Address of an engine over the network: the words that the helper is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `queue`, `store` or `records`.
    kind: &'static str,
    url: String,
    options: Vec<String>,
}

impl Place {
    /// A queue at `nats://`, `tls://`, `ws://` or `wss://`. Jobs are leased for so long.
    pub fn queue(url: &str, lease: Duration, credentials: Option<&Path>) -> Self {
        let mut options = vec!["--lease".into(), lease.as_secs_f64().to_string()];
        if let Some(path) = credentials {
            options.extend(["--credentials".into(), path.display().to_string()]);
        }
        Place {
            kind: "queue",
            url: url.to_owned(),
            options,
        }
    }

    /// A store at `s3://BUCKET/PREFIX`; the environment has its credentials.
    pub fn store(url: &str) -> Self {
        Place {
            kind: "store",
            url: url.to_owned(),
            options: Vec::new(),
        }
    }

    /// Records at `postgres://USER@HOST:PORT/DATABASE`. A password is best in the environment (`PGPASSWORD`,
    /// `PGPASSFILE`).
    pub fn records(url: &str, access: Access) -> Self {
        let access = match access {
            Access::Read => "read",
            Access::Write => "write",
        };
        Place {
            kind: "records",
            url: url.to_owned(),
            options: vec!["--access".into(), access.into()],
        }
    }

    /// The address without what is secret in it.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }
}

/// Purpose for which records are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be read, beside whoever writes.
    Read,
    /// To be written, by this process alone.
    Write,
}

/// An address without user and password.
pub fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let rest = match scheme {
        // It has no user, and a key in it may have an `@`.
        "s3" => rest,
        // The last one of all: a password that should have been escaped may have any character.
        _ => rest.rsplit_once('@').map_or(rest, |(_, host)| host),
    };
    let rest = match scheme {
        // Its parameters may be a password.
        "postgres" | "postgresql" => rest.split('?').next().unwrap_or_default(),
        _ => rest,
    };
    format!("{scheme}://{rest}")
}

/// A running helper.
#[derive(Debug)]
pub struct Helper {
    engine: String,
    child: Child,
    input: Mutex<ChildStdin>,
    waiting: Arc<Mutex<Waiting>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

/// An answer with its bytes.
type Whole = (Answer, Vec<u8>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// None once the helper has ended.
    open: Option<HashMap<u64, Sender<Whole>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The helper beside this program, or where the environment says.
fn program() -> PathBuf {
    if let Some(given) = std::env::var_os(PLACE) {
        return given.into();
    }
    let beside = std::env::current_exe().ok();
    let beside = beside.and_then(|own| Some(own.parent()?.join(PROGRAM)));
    beside.unwrap_or_else(|| PROGRAM.into())
}

impl Helper {
    /// Starts the helper and lets it connect.
    ///
    /// # Errors
    /// There is no helper; [`Error::Unreachable`] and [`Error::Unfit`] of the engine.
    pub fn start(place: &Place) -> Result<Helper> {
        Helper::start_with(program(), place)
    }

    /// As [`Helper::start`], with this program.
    ///
    /// # Errors
    /// As [`Helper::start`].
    pub fn start_with(program: impl AsRef<OsStr>, place: &Place) -> Result<Helper> {
        let engine = place.shown();
        let program = program.as_ref();
        let unfit = |detail: String| Error::Unfit {
            engine: engine.clone(),
            detail,
        };
        let mut child = Command::new(program)
            .arg(place.kind)
            .args(&place.options)
            // An address may hold a password, which arguments show to every user of the machine.
            .env("FEDSEAL_ENGINE_URL", &place.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                unfit(format!(
                    "{}: {error}; build it with `cargo build -p fedseal-engines --features network`, or name \
                     it with {PLACE}",
                    program.display()
                ))
            })?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(unfit("the helper has no input or no output".into()));
        };
        let waiting = Arc::new(Mutex::new(Waiting {
            next: 0,
            open: Some(HashMap::new()),
        }));
        let heard = waiting.clone();
        let reader = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || hear(output, &heard))
            .map_err(|error| unfit(error.to_string()))?;
        let helper = Helper {
            engine: engine.clone(),
            child,
            input: Mutex::new(input),
            waiting,
            reader: Some(reader),
        };
        let version = VERSION;
        match helper.ask(Request::Open { version }, &[])? {
            (Answer::Done, _) => Ok(helper),
            _ => Err(helper.odd()),
        }
    }

    fn ask(&self, request: Request, bytes: &[u8]) -> Result<Whole> {
        let gone = || Error::Unreachable {
            engine: self.engine.clone(),
            detail: "its helper has ended".into(),
        };
        let (send, receive) = channel();
        let number = {
            let mut waiting = lock(&self.waiting);
            let number = waiting.next;
            waiting.next += 1;
            waiting.open.as_mut().ok_or_else(gone)?.insert(number, send);
            number
        };
        let written = frames::write(&mut *lock(&self.input), &Asked { number, request }, bytes);
        if let Err(error) = written {
            if let Some(open) = &mut lock(&self.waiting).open {
                open.remove(&number);
            }
            let engine = self.engine.clone();
            let detail = format!("its helper takes no request: {error}");
            return Err(match error.kind() {
                ErrorKind::InvalidInput => Error::Refused { engine, detail },
                _ => Error::Unreachable { engine, detail },
            });
        }
        // The helper bounds every request in time, and its end closes the channel.
        match receive.recv().map_err(|_| gone())? {
            (
                Answer::Failed {
                    kind,
                    engine,
                    detail,
                },
                _,
            ) => Err(match kind {
                Failed::Unreachable => Error::Unreachable { engine, detail },
                Failed::Unfit => Error::Unfit { engine, detail },
                Failed::Refused => Error::Refused { engine, detail },
            }),
            answer => Ok(answer),
        }
    }

    fn odd(&self) -> Error {
        Error::Unfit {
            engine: self.engine.clone(),
            detail: "its helper answers something else; build both programs from one source".into(),
        }
    }
}

/// Hands answers to whoever waits for them, until there are no more.
fn hear(output: ChildStdout, waiting: &Mutex<Waiting>) {
    let mut output = BufReader::new(output);
    while let Ok(Some((answered, bytes))) = frames::read::<Answered>(&mut output) {
        let mut waiting = lock(waiting);
        let sender = waiting
            .open
            .as_mut()
            .and_then(|open| open.remove(&answered.number));
        if let Some(sender) = sender {
            let _ = sender.send((answered.answer, bytes));
        }
    }
    // Whoever waits hears that nothing comes.
    lock(waiting).open = None;
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Queue for Helper {
    fn offer(&self, job: &Digest, body: &[u8]) -> Result<()> {
        queue::bounded(&self.engine, body)?;
        match self.ask(Request::Offer { job: *job }, body)? {
            (Answer::Done, _) => Ok(()),
            _ => Err(self.odd()),
        }
    }

    fn take(&self, within: Duration) -> Result<Option<Taken>> {
        let within = within.as_secs_f64();
        match self.ask(Request::Take { within }, &[])? {
            (Answer::Taken(taken), body) => Ok(Some(Taken { body, ..taken })),
            (Answer::Nothing, _) => Ok(None),
            _ => Err(self.odd()),
        }
    }

    fn settle(&self, lease: &str, act: Lease) -> Result<()> {
        let lease = lease.to_owned();
        match self.ask(Request::Settle { lease, act }, &[])? {
            (Answer::Done, _) => Ok(()),
            _ => Err(self.odd()),
        }
    }

    fn outstanding(&self) -> Result<BTreeSet<Digest>> {
        match self.ask(Request::Outstanding, &[])? {
            (Answer::Jobs(jobs), _) => Ok(jobs),
            _ => Err(self.odd()),
        }
    }
}

impl Store for Helper {
    fn put(&self, bytes: &[u8]) -> Result<Digest> {
        match self.ask(Request::Put, bytes)? {
            (Answer::Kept(digest), _) if digest == Digest::of(bytes) => Ok(digest),
            _ => Err(self.odd()),
        }
    }

    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        match self.ask(Request::Get { digest: *digest }, &[])? {
            (Answer::Nothing, _) => Ok(None),
            (Answer::Bytes, bytes) => {
                let found = Digest::of(&bytes);
                match found == *digest {
                    true => Ok(Some(bytes)),
                    false => Err(Error::Corrupt {
                        engine: self.engine.clone(),
                        name: digest.to_string(),
                        found: found.to_string(),
                    }),
                }
            }
            _ => Err(self.odd()),
        }
    }

    fn claim(&self, name: &Name, value: &[u8]) -> Result<Vec<u8>> {
        store::bounded(&self.engine, value)?;
        let name = name.as_str().to_owned();
        match self.ask(Request::Claim { name }, value)? {
            (Answer::Bytes, stands) => Ok(stands),
            _ => Err(self.odd()),
        }
    }

    fn claimed(&self, name: &Name) -> Result<Option<Vec<u8>>> {
        let name = name.as_str().to_owned();
        match self.ask(Request::Claimed { name }, &[])? {
            (Answer::Nothing, _) => Ok(None),
            (Answer::Bytes, value) => Ok(Some(value)),
            _ => Err(self.odd()),
        }
    }
}

impl Records for Helper {
    fn place(&self) -> String {
        self.engine.clone()
    }

    fn ready(&self) -> Result<()> {
        match self.ask(Request::Ready, &[])? {
            (Answer::Done, _) => Ok(()),
            _ => Err(self.odd()),
        }
    }

    fn add(&self, table: Table, row: &[String]) -> Result<bool> {
        records::fits(&self.engine, table, row)?;
        let row = row.to_vec();
        match self.ask(Request::Add { table, row }, &[])? {
            (Answer::Added(added), _) => Ok(added),
            _ => Err(self.odd()),
        }
    }

    fn append(&self, previous: Option<&str>, row: &[String]) -> Result<bool> {
        records::fits(&self.engine, Table::Decisions, row)?;
        let (previous, row) = (previous.map(str::to_owned), row.to_vec());
        match self.ask(Request::Append { previous, row }, &[])? {
            (Answer::Added(added), _) => Ok(added),
            _ => Err(self.odd()),
        }
    }

    fn newest(&self, table: Table, key: Option<&str>) -> Result<Option<Row>> {
        let key = key.map(str::to_owned);
        match self.ask(Request::Newest { table, key }, &[])? {
            (Answer::Rows(rows), _) => Ok(rows.into_iter().next()),
            _ => Err(self.odd()),
        }
    }

    fn all(&self, table: Table) -> Result<Vec<Row>> {
        match self.ask(Request::All { table }, &[])? {
            (Answer::Rows(rows), _) => Ok(rows),
            _ => Err(self.odd()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown_and_a_missing_helper_is_named() {
        for (url, safe) in [
            ("nats://me:secret@host:4222", "nats://host:4222"),
            ("nats://host", "nats://host"),
            ("s3://bucket/a@b", "s3://bucket/a@b"),
            ("wss://u:p@[::1]:443/x", "wss://[::1]:443/x"),
            ("nats://u:p@host?queue=q", "nats://host?queue=q"),
            ("postgres://u:p@host:5432/db", "postgres://host:5432/db"),
            // Not escaped as they should be.
            ("postgres://u:a/b@c?d@host/db", "postgres://host/db"),
            (
                "postgresql://host/db?user=u&password=secret",
                "postgresql://host/db",
            ),
        ] {
            assert_eq!(shown(url), safe);
        }
        let place = Place::queue("nats://me:secret@host", Duration::from_secs(1), None);
        let said = Helper::start_with("/nowhere/fedseal-engines", &place)
            .unwrap_err()
            .to_string();
        assert!(said.contains("nats://host cannot be used"), "{said}");
        assert!(
            said.contains("--features network") && !said.contains("secret"),
            "{said}"
        );
    }
}
