//! The process that compiles: takes its limits upon itself, reads one module from standard input,
//! writes one answer to standard output.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use fedseal_client_sdk::digest::Digest;
use wasmtime::{Engine, OutOfMemory};

use super::answer::{Answer, Kind};
use super::program;
use crate::runtime::{compiling_engine, fingerprint};

/// The first argument of a program that is to compile.
const ARGUMENT: &str = "--compile-one-module";

/// Compiles one module and gives the exit code, if this process was started for that; else notes
/// that this program can be. The first thing that `main` does in a program that makes sandboxes.
pub fn serve_if_asked() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next().as_deref() != Some(OsStr::new(ARGUMENT)) {
        program::this_one();
        return None;
    }
    let answer = Order::read(words).map_or_else(
        || {
            Some(failed(
                "it is started by fedseal alone, to compile a module",
            ))
        },
        |order| serve(&order),
    );
    // Without an answer nobody is there to hear one.
    let heard = answer.is_none_or(|answer| answer.write(&mut io::stdout().lock()).is_ok());
    Some(if heard {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Arguments of a compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Processor time of all threads, seconds.
    pub(super) seconds: u64,
    /// Memory, bytes.
    pub(super) memory: u64,
    /// Bytes of the module that come on standard input.
    pub(super) length: u64,
    /// Fingerprint of the engine that the code is for.
    pub(super) fingerprint: Digest,
}

impl Order {
    pub(super) fn words(&self) -> [String; 5] {
        [
            ARGUMENT.to_owned(),
            self.seconds.to_string(),
            self.memory.to_string(),
            self.length.to_string(),
            self.fingerprint.to_string(),
        ]
    }

    /// Reads an order from the words after the first.
    fn read(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut word = || words.next()?.into_string().ok();
        let order = Self {
            seconds: word()?.parse().ok()?,
            memory: word()?.parse().ok()?,
            length: word()?.parse().ok()?,
            fingerprint: word()?.parse().ok()?,
        };
        words.next().is_none().then_some(order)
    }
}

fn failed(words: &str) -> Answer {
    Answer::text(Kind::Failed, words)
}

/// The answer; none where whoever asked is gone.
fn serve(order: &Order) -> Option<Answer> {
    if let Err(error) = limit(order) {
        return Some(failed(&format!(
            "the compiler could not limit itself: {error}"
        )));
    }
    let engine = match compiling_engine() {
        Ok(engine) => engine,
        Err(error) => return Some(failed(&error.to_string())),
    };
    if fingerprint(&engine) != order.fingerprint {
        return Some(failed(
            "the compiler is of another build than the program that asks it; build both again",
        ));
    }
    let mut bytes = Vec::new();
    let whole = bytes
        .try_reserve_exact(usize::try_from(order.length).unwrap_or(usize::MAX))
        .map(|()| {
            io::stdin()
                .lock()
                .take(order.length)
                .read_to_end(&mut bytes)
        });
    match whole {
        Err(_) => return Some(Answer::text(Kind::Memory, "")),
        Ok(Ok(count)) if count as u64 == order.length => {}
        Ok(_) => return None,
    }
    Some(compile(&engine, &bytes))
}

fn compile(engine: &Engine, bytes: &[u8]) -> Answer {
    // What a panic leaves half done is dropped with this process.
    match catch_unwind(AssertUnwindSafe(|| engine.precompile_component(bytes))) {
        Ok(Ok(body)) => Answer {
            kind: Kind::Code,
            body,
        },
        Ok(Err(error)) if error.is::<OutOfMemory>() => Answer::text(Kind::Memory, ""),
        Ok(Err(error)) => Answer::text(Kind::Refused, &format!("{error:#}")),
        Err(_) => failed("the compiler panicked"),
    }
}

/// Limits this process: it leaves no image of its memory, is ended by SIGXCPU when its processor time
/// is used up, gets no more memory than `memory`, and ends with the process that started it.
#[cfg(unix)]
fn limit(order: &Order) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let set = |resource, soft: u64, hard: u64| {
        // A process may not raise a limit that was set for it.
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        setrlimit(
            resource,
            Rlimit {
                current: Some(soft.min(most)),
                maximum: Some(hard.min(most)),
            },
        )
    };
    set(Resource::Core, 0, 0)?;
    // At the second limit the system kills, should the first signal not end it.
    set(
        Resource::Cpu,
        order.seconds,
        order.seconds.saturating_add(1),
    )?;
    // Counts what can be written: not the address space that allocators and stacks reserve.
    set(Resource::Data, order.memory, order.memory)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

/// Does nothing: here the system has no such limits, and the other side's waiting time is the only one.
#[cfg(not(unix))]
fn limit(_order: &Order) -> io::Result<()> {
    Ok(())
}
