//! WASI 0.2 for guests whose language runtime imports it, all of it virtual.
//!
//! A language runtime (CPython, QuickJS, libc) imports clocks, random numbers, standard streams, a file
//! system and sockets whether its program uses them or not. Here they are there, and there is
//! nothing behind them: time is counted and not measured, random numbers come from the run's seed,
//! sleeping returns at once, standard input is at its end, standard output and error are lines of
//! the guest's log, there is no environment, no argument, no file, no host that can be reached.
//! Same inputs, same answers: a replay gives the same transcript.
//!
//! The calls themselves are not in the transcript, because nothing comes in through them; what a
//! guest writes to its streams is, with its digest. Rust guests import none of this and pay nothing:
//! the state is made at the first call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fedseal_client_sdk::attestation::Limits;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::p2::{
    DynPollable, OutputStream, Pollable, StreamError, StreamResult, subscribe,
};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, async_trait};

use super::random::Numbers;
use crate::reason::{Reason, Stop};

/// The interfaces that a guest may import beside the host's, in any release of WASI 0.2. Files and
/// sockets are among them in name only: nothing is preopened and every socket is refused.
pub(crate) const INTERFACES: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// 2000-01-01T00:00:00Z: where every guest's wall clock starts, seconds since 1970.
const START: u64 = 946_684_800;

/// How far a reading of the clock moves it on, nanoseconds: loops that wait for time to pass end.
const READING: u64 = 1_000;

/// Most bytes of one request for random numbers.
const MAX_RANDOM: u64 = 64 << 10;

/// Whether a guest may import this, for example `wasi:io/streams@0.2.9`.
pub(crate) fn allowed(import: &str) -> bool {
    let Some((name, version)) = import.split_once('@') else {
        return false;
    };
    let patch = version.strip_prefix("0.2.");
    let released = patch.is_some_and(|patch| patch.parse::<u32>().is_ok());
    released && INTERFACES.contains(&name)
}

/// The state behind WASI, made when it is first asked for.
#[derive(Default)]
pub(super) struct Wasi(pub(super) Option<Box<Behind>>);

pub(super) struct Behind {
    pub(super) context: WasiCtx,
    pub(super) time: Time,
    pub(super) streams: [Lines; 2],
}

impl Wasi {
    pub(super) fn get(&mut self, numbers: &Numbers, limits: &Limits) -> &mut Behind {
        self.0.get_or_insert_with(|| {
            let time = Time(Arc::default());
            let streams = [Lines::new(limits), Lines::new(limits)];
            let context = WasiCtxBuilder::new()
                .stdin(MemoryInputPipe::new(Vec::new()))
                .stdout(streams[0].clone())
                .stderr(streams[1].clone())
                .secure_random(numbers.wasi(b"secure"))
                .insecure_random(numbers.wasi(b"plain\0"))
                .insecure_random_seed(numbers.wasi_seed())
                .max_random_size(MAX_RANDOM)
                .wall_clock(time.clone())
                .monotonic_clock(time.clone())
                .build();
            Box::new(Behind {
                context,
                time,
                streams,
            })
        })
    }
}

/// The run's own time, nanoseconds since its start: moved on by readings and by sleep.
#[derive(Clone)]
pub(super) struct Time(Arc<AtomicU64>);

impl Time {
    fn read(&self) -> u64 {
        self.advance(READING)
    }

    fn advance(&self, nanoseconds: u64) -> u64 {
        let now = self.0.load(Ordering::Relaxed).saturating_add(nanoseconds);
        self.0.store(now, Ordering::Relaxed);
        now
    }
}

impl HostMonotonicClock for Time {
    fn resolution(&self) -> u64 {
        READING
    }

    fn now(&self) -> u64 {
        self.read()
    }
}

impl HostWallClock for Time {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(READING)
    }

    fn now(&self) -> Duration {
        Duration::from_secs(START).saturating_add(Duration::from_nanos(self.read()))
    }
}

impl HasData for Time {
    type Data<'a> = TimeView<'a>;
}

pub(super) struct TimeView<'a> {
    pub(super) time: &'a Time,
    pub(super) table: &'a mut ResourceTable,
}

impl TimeView<'_> {
    /// Something to wait for that is ready already.
    fn slept(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.time.advance(nanoseconds);
        let ready = self.table.push(Ready)?;
        subscribe(self.table, ready)
    }
}

impl monotonic_clock::Host for TimeView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.time.read())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(READING)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.time.advance(0);
        self.slept(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.slept(duration)
    }
}

struct Ready;

#[async_trait]
impl Pollable for Ready {
    async fn ready(&mut self) {}
}

/// One of the standard streams: bytes until the host takes them as lines. All of a guest's handles
/// to it write to the same.
#[derive(Clone)]
pub(super) struct Lines {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Most bytes between two host calls; the log keeps no more anyway.
    limit: u64,
}

impl Lines {
    fn new(limits: &Limits) -> Self {
        Self {
            bytes: Arc::default(),
            limit: limits.log_total_bytes,
        }
    }

    pub(super) fn take(&self, all: bool) -> Vec<u8> {
        // Bytes are appended whole, so they are right even after a panic elsewhere.
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map(|at| at + 1);
        let end = if all { bytes.len() } else { lines.unwrap_or(0) };
        bytes.drain(..end).collect()
    }
}

impl OutputStream for Lines {
    fn write(&mut self, more: bytes::Bytes) -> StreamResult<()> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if (bytes.len() + more.len()) as u64 > self.limit {
            let stop = Stop::limit(Reason::LogLimit, "log_total_bytes", self.limit);
            return Err(StreamError::Trap(stop.into()));
        }
        bytes.extend_from_slice(&more);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(8192)
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    // Only WASI 0.3 would ask for this form, and it is not linked.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(MemoryOutputPipe::new(0))
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_released_interfaces_of_the_list_are_allowed() {
        for name in [
            "wasi:io/streams@0.2.0",
            "wasi:sockets/udp-create-socket@0.2.12",
        ] {
            assert!(allowed(name), "{name}");
        }
        for name in [
            "wasi:http/types@0.2.0",
            "wasi:io/streams",
            "wasi:io/streams@0.3.0",
            "wasi:io/streams@0.2.0-rc-2023-11-10",
            "wasi:io/streams@0.2.",
            "evil:io/streams@0.2.0",
        ] {
            assert!(!allowed(name), "{name}");
        }
    }

    #[test]
    fn time_passes_by_reading_and_by_sleeping_alone() {
        let time = Time(Arc::default());
        assert_eq!((time.read(), time.read()), (1_000, 2_000));
        let mut table = ResourceTable::new();
        let mut view = TimeView {
            time: &time,
            table: &mut table,
        };
        use monotonic_clock::Host;
        view.subscribe_duration(5_000_000_000).unwrap();
        assert_eq!(time.read(), 5_000_003_000);
        let mut view = TimeView {
            time: &time,
            table: &mut table,
        };
        view.subscribe_instant(u64::MAX).unwrap();
        assert_eq!(time.read(), u64::MAX);
    }

    #[test]
    fn a_stream_gives_whole_lines_and_at_the_end_the_rest() {
        let limits = Limits {
            log_total_bytes: 8,
            ..Limits::default()
        };
        let mut lines = Lines::new(&limits);
        lines.write("ab\nc".into()).unwrap();
        assert_eq!(lines.take(false), b"ab\n");
        assert_eq!(lines.take(false), b"");
        assert_eq!(lines.take(true), b"c");
        assert!(lines.write("123456789".into()).is_err());
    }
}
