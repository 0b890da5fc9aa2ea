//! Compiles modules in a process of their own, within limits of memory and processor time.
//!
//! The cost of compiling a module cannot be told from its bytes, and a thread cannot be stopped from
//! outside. A process can: it sets its own limits before it reads a byte of the module
//! (`compiler/child.rs`), ends at the first limit that it hits, and is always killed and waited for here.
//!
//! The process is this program, started anew, where its `main` begins with [`serve_if_asked`]; else
//! the program `fedseal-compile`, beside this one or a folder above (tests, examples).

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use fedseal_client_sdk::attestation::{COMPILE_BYTES, Limits};
use wasmtime::Engine;

use crate::code::Code;
use crate::error::{SandboxError, bad_component as bad};
use crate::reason::printable;
use crate::runtime::{Slots, fingerprint};

mod answer;
mod child;
mod program;

pub use child::serve_if_asked;

use answer::{Answer, Kind};
use child::Order;

/// Compilations at once in this process, of all sandboxes together: each may take `compile_bytes`.
/// A further one waits.
pub const AT_ONCE: u32 = 2;

/// Bytes of compiled code: Python's interpreter, a module of 18 MB, becomes 35 MiB.
pub const CODE_BYTES: u64 = 128 << 20;

/// Threads of one compilation, each of which may take `compile_seconds` of a processor. Always so
/// many, since time and memory that a module needs depend on it: on every machine the same ones fit.
const THREADS: u64 = 4;

/// Wall-clock time for each second of `compile_seconds`, seconds. A compiler that gets less of the
/// machine than that is given up.
const WALL_PER_SECOND: u64 = 20;

/// Wall-clock time in addition to that, seconds: for starting a process on a busy machine.
const WALL_START: u64 = 60;

/// Bytes that are kept of what the compiler says on standard error.
const SAID: u64 = 4_096;

/// Words of the standard library when there is no memory, before it aborts.
const NO_MEMORY: &str = "memory allocation of ";

static PLACES: Slots = Slots::new(AT_ONCE);

/// Compiles a component for an engine of this configuration.
///
/// # Errors
/// [`SandboxError::CompileTime`], [`SandboxError::CompileWall`], [`SandboxError::CompileMemory`]
/// and [`SandboxError::CodeSize`] for what hit a bound; [`SandboxError::BadComponent`] with the
/// compiler's words; [`SandboxError::NoCompiler`] and [`SandboxError::Runtime`] where it is not the
/// module's doing.
pub(crate) fn compile(
    bytes: &[u8],
    engine: &Engine,
    limits: &Limits,
) -> Result<Code, SandboxError> {
    // The fuzzer's process has limits itself, and sees what the compiler does only in there.
    #[allow(unexpected_cfgs, reason = "cargo-fuzz sets it")]
    if cfg!(fuzzing) {
        return Code::here(engine, bytes).map_err(|error| bad(format!("{error:#}")));
    }
    within(bytes, engine, &Bounds::of(limits))
}

fn within(bytes: &[u8], engine: &Engine, bounds: &Bounds) -> Result<Code, SandboxError> {
    if bounds.processor() == 0 {
        return Err(bounds.too_long());
    }
    let order = Order {
        seconds: bounds.processor(),
        memory: bounds.memory,
        length: bytes.len() as u64,
        fingerprint: fingerprint(engine),
    };
    let _place = PLACES.take();
    let mut process = Process(start(&order)?);
    let (end, said) = process.talk(bytes, bounds)?;
    let status = process.end()?;
    judge(end, status, &said, bounds)
}

/// Limits of one compilation.
struct Bounds {
    seconds: u64,
    wall: Duration,
    memory: u64,
    code: u64,
}

impl Bounds {
    fn of(limits: &Limits) -> Self {
        let seconds = limits.compile_seconds;
        let wall = seconds.saturating_mul(WALL_PER_SECOND);
        Self {
            seconds,
            wall: Duration::from_secs(wall.saturating_add(WALL_START)),
            memory: limits.compile_bytes.unwrap_or(COMPILE_BYTES),
            code: CODE_BYTES,
        }
    }

    /// Processor time of all threads together, seconds.
    fn processor(&self) -> u64 {
        self.seconds.saturating_mul(THREADS)
    }

    fn too_long(&self) -> SandboxError {
        SandboxError::CompileTime {
            seconds: self.seconds,
            processor: self.processor(),
        }
    }
}

/// Starts the compiler. Its environment is empty but for what it needs to start: a module that
/// breaks out of a compiler finds no secrets there.
fn start(order: &Order) -> Result<Child, SandboxError> {
    let program = program::find()?;
    let mut command = Command::new(&program);
    command
        .args(order.words())
        .env_clear()
        .env("RAYON_NUM_THREADS", THREADS.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for name in ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SystemRoot"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.spawn().map_err(SandboxError::system(format!(
        "the compiler {}",
        program.display()
    )))
}

/// A compiler at work; killed and waited for when dropped.
struct Process(Child);

/// How the talk with a compiler ended.
#[derive(Debug)]
enum End {
    /// All that it had to say came.
    Said(Answer),
    /// It has more to say than it may.
    TooMuch(u64),
    /// It ended before it had said all.
    Cut,
    /// It was still at work when its wall-clock time was over.
    Late,
}

impl Process {
    /// Hands the module over and hears what becomes of it, and what was said on standard error. The
    /// process is told to end before this returns, whatever it did.
    fn talk(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<(End, String), SandboxError> {
        let child = &mut self.0;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(SandboxError::Runtime("the compiler has no pipes".into()));
        };
        let (done, answer) = sync_channel(1);
        let code = bounds.code;
        thread::scope(|scope| {
            let named = || thread::Builder::new().name("compile".into());
            let begun = named()
                // A compiler that is gone already is seen at its answer. The end of the thread
                // closes the pipe.
                .spawn_scoped(scope, move || drop(stdin.write_all(bytes)))
                .and_then(|_| {
                    named().spawn_scoped(scope, move || drop(done.send(hear(stdout, code))))
                })
                .and_then(|_| named().spawn_scoped(scope, move || tail(stderr)));
            let end = match answer.recv_timeout(bounds.wall) {
                Ok(end) => end,
                Err(RecvTimeoutError::Timeout) => End::Late,
                Err(RecvTimeoutError::Disconnected) => End::Cut,
            };
            // Closes the pipes, and with them ends the threads. What has ended by itself keeps its
            // status.
            let _ = child.kill();
            let said = begun
                .map_err(SandboxError::system("compile thread"))?
                .join()
                .unwrap_or_default();
            Ok((end, said))
        })
    }

    /// Waits for its end.
    fn end(mut self) -> Result<ExitStatus, SandboxError> {
        let wait = SandboxError::system("the compiler cannot be waited for");
        self.0.wait().map_err(wait)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both do nothing for a process that was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads an answer whose body has at most `most` bytes.
fn hear(mut from: impl Read, most: u64) -> End {
    match Answer::read(&mut from, most) {
        Ok(Ok(answer)) => End::Said(answer),
        Ok(Err(bytes)) => End::TooMuch(bytes),
        Err(_) => End::Cut,
    }
}

/// The last bytes of what is said there, and reads on to its end.
fn tail(mut from: impl Read) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut part = [0; 1_024];
    loop {
        match from.read(&mut part) {
            Ok(0) => break,
            Ok(count) => kept.extend_from_slice(part.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        }
        let over = kept.len().saturating_sub(SAID as usize);
        kept.drain(..over);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Result of a compilation, by how its process ended: the code, or the error.
fn judge(end: End, status: ExitStatus, said: &str, bounds: &Bounds) -> Result<Code, SandboxError> {
    let text = |body: &[u8]| printable(&String::from_utf8_lossy(body), 400);
    let memory = || SandboxError::CompileMemory {
        bytes: bounds.memory,
    };
    match end {
        End::Said(Answer { kind, body }) => match kind {
            Kind::Code => Ok(Code::trusted(body)),
            Kind::Refused => Err(bad(text(&body))),
            Kind::Memory => Err(memory()),
            Kind::Failed => Err(SandboxError::Runtime(text(&body))),
        },
        End::TooMuch(bytes) => Err(SandboxError::CodeSize {
            bytes,
            most: bounds.code,
        }),
        End::Late => Err(SandboxError::CompileWall {
            seconds: bounds.wall.as_secs(),
        }),
        End::Cut => Err(match died(status) {
            Death::Processor => bounds.too_long(),
            Death::Crash(_) if said.contains(NO_MEMORY) => memory(),
            Death::Crash(signal) => bad(format!("the compiler crashed on it, signal {signal}")),
            Death::Interrupted => SandboxError::Interrupted,
            Death::Killed => SandboxError::Runtime(
                "the compiler was killed; the system does that to programs when it has no memory \
                 left"
                    .into(),
            ),
            Death::Unknown => SandboxError::Runtime(format!(
                "the compiler gave no answer, {status}: {}",
                text(said.as_bytes())
            )),
        }),
    }
}

/// Cause of death of a process that had more to say.
enum Death {
    /// Its limit of processor time.
    Processor,
    /// A signal that a program brings upon itself.
    Crash(i32),
    /// A person at the terminal, or a service that ends.
    Interrupted,
    /// A signal from outside, not from this process.
    Killed,
    Unknown,
}

#[cfg(unix)]
fn died(status: ExitStatus) -> Death {
    use rustix::process::Signal;
    use std::os::unix::process::ExitStatusExt as _;
    let Some(signal) = status.signal() else {
        return Death::Unknown;
    };
    let polite = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
    match signal {
        _ if signal == Signal::XCPU.as_raw() => Death::Processor,
        _ if signal == Signal::KILL.as_raw() => Death::Killed,
        _ if polite.iter().any(|known| known.as_raw() == signal) => Death::Interrupted,
        _ => Death::Crash(signal),
    }
}

#[cfg(not(unix))]
fn died(_status: ExitStatus) -> Death {
    Death::Unknown
}

#[cfg(test)]
mod tests;
