//! wasmtime as this room uses it: its configuration, its epoch's ticker, its slots.

use std::hash::Hash as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use fedseal_client_sdk::attestation::Limits;
use fedseal_client_sdk::digest::Digest;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::SandboxError;
use crate::host::{MAX_MEMORIES, MAX_TABLES};

/// Executions at once. The pool has slots for so many, and [`Slots`] lets no more in.
pub(crate) const MAX_RUNS: u32 = 16;

/// How often a guest's clock is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Address space that a linear memory reserves: all that 32 bits reach, so that no bounds check
/// is needed in compiled code.
const RESERVATION: u64 = 1 << 32;

/// Bytes of a slot that stay resident between two guests: overwritten instead of unmapped, which
/// would interrupt the other processors each time.
const KEEP_RESIDENT: usize = 128 << 10;

/// As [`KEEP_RESIDENT`], for a table's slot. The step from core module to component makes a small
/// table.
const KEEP_RESIDENT_TABLE: usize = 4 << 10;

/// Configuration that compiled code depends on, the same for the process that compiles and the one that
/// runs.
///
/// Everything that could differ from run to run or from machine to machine is off or pinned:
/// NaNs are canonical, relaxed SIMD and threads are off, and nothing of WASI is there.
fn config() -> Config {
    let mut config = Config::new();
    config
        .memory_init_cow(true)
        .memory_reservation(RESERVATION)
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .concurrency_support(false)
        .generate_address_map(false);
    config
}

/// An engine that only compiles: it keeps no slots for guests.
pub(crate) fn compiling_engine() -> Result<Engine, SandboxError> {
    Engine::new(&config()).map_err(SandboxError::Engine)
}

/// Digest of what compiled code depends on besides the module: the library's release, its
/// configuration, the processor's features.
pub(crate) fn fingerprint(engine: &Engine) -> Digest {
    #[derive(Default)]
    struct Bytes(Vec<u8>);
    impl std::hash::Hasher for Bytes {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }
    let mut bytes = Bytes::default();
    engine.precompile_compatibility_hash().hash(&mut bytes);
    Digest::of(&bytes.0)
}

/// The engine for these limits.
pub(crate) fn engine(limits: &Limits) -> Result<Engine, SandboxError> {
    let memory = size("memory_bytes", limits.memory_bytes, 1 << 16, RESERVATION)?;
    let stack = size("stack_bytes", limits.stack_bytes, 64 << 10, 64 << 20)?;
    let tables = size("tables", limits.tables, 1, 10_000_000)?;
    let instances = size("instances", limits.instances, 1, 1_000)? as u32;
    size("handles", limits.handles, 1, 1_000_000)?;
    size("call_bytes", limits.call_bytes, 1, u64::from(u32::MAX))?;

    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(MAX_RUNS)
        .total_core_instances(MAX_RUNS * instances)
        .total_memories(MAX_RUNS * MAX_MEMORIES)
        .total_tables(MAX_RUNS * MAX_TABLES)
        .max_core_instances_per_component(instances)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_memories_per_module(MAX_MEMORIES)
        .max_tables_per_module(MAX_TABLES)
        .max_memory_size(memory)
        .table_elements(tables)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT_TABLE)
        .pagemap_scan(Enabled::Auto);

    let mut config = config();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .max_wasm_stack(stack);
    Engine::new(&config).map_err(SandboxError::Engine)
}

fn size(name: &'static str, value: u64, least: u64, most: u64) -> Result<usize, SandboxError> {
    let why = match value {
        _ if value < least => "too little to run anything",
        _ if value > most => "more than the runtime can keep apart",
        _ => return Ok(value as usize),
    };
    Err(SandboxError::Limit { name, value, why })
}

/// Moves the engine's epoch on, on a thread of its own, as long as it lives.
pub(crate) struct Ticker {
    // Dropping the sender wakes the thread and ends it.
    _alive: Sender<()>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> Result<Self, SandboxError> {
        let (alive, ended) = channel::<()>();
        let engine = engine.clone();
        std::thread::Builder::new()
            .name("sandbox-ticker".into())
            .spawn(move || {
                while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    engine.increment_epoch();
                }
            })
            .map_err(SandboxError::system("ticker thread"))?;
        Ok(Self { _alive: alive })
    }
}

/// Slots for what runs at once; a caller that finds none free waits.
pub(crate) struct Slots {
    free: Mutex<u32>,
    freed: Condvar,
}

impl Slots {
    pub(crate) const fn new(count: u32) -> Self {
        Self {
            free: Mutex::new(count),
            freed: Condvar::new(),
        }
    }

    pub(crate) fn take(&self) -> Slot<'_> {
        // The count is changed in one step, so it is right even after a panic elsewhere.
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(free, |free| *free == 0);
        *waited.unwrap_or_else(PoisonError::into_inner) -= 1;
        Slot(self)
    }
}

/// One place; free again when dropped.
pub(crate) struct Slot<'a>(&'a Slots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
