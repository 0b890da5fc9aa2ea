//! Compiles modules and runs them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use fedseal_client_sdk::attestation::Limits;
use fedseal_client_sdk::digest::Digest;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTableError};
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use crate::bindings;
use crate::cache::CompiledCache;
use crate::compiler;
use crate::component::inspect;
use crate::engine::Engine;
use crate::error::SandboxError;
use crate::host::{Ask, HostState, MAX_MEMORIES, MAX_TABLES, add_wasi, finish, serve};
use crate::reason::{Reason, Stop, printable};
use crate::run::{RunInput, RunOutcome};
use crate::runtime::{self, MAX_RUNS, Slots, Ticker};
use crate::threads::Threads;
use fedseal_client_sdk::attestation::FIXED_LIMITS;

/// Native stack of a guest's thread beside the Wasm stack, bytes: host calls run on it.
const HOST_STACK: usize = 2 << 20;

/// Runs policies under one set of limits. Shared by reference between threads; executions know
/// nothing of each other.
pub struct Sandbox {
    limits: Limits,
    engine: wasmtime::Engine,
    linker: Linker<HostState>,
    slots: Arc<Slots>,
    threads: Threads,
    cache: Option<CompiledCache>,
    _ticker: Ticker,
}

/// A compiled module. Cheap to clone; runs only in the sandbox that compiled it.
#[derive(Clone)]
pub struct Policy {
    pre: bindings::PolicyPre<HostState>,
    digest: Digest,
}

impl Policy {
    /// The digest of the component's bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A sandbox with these limits.
    ///
    /// # Errors
    /// [`SandboxError::Limit`] for a limit that the runtime cannot keep;
    /// [`SandboxError::Engine`] when it does not start, for example for want of address space.
    pub fn new(limits: Limits) -> Result<Self, SandboxError> {
        let engine = runtime::engine(&limits)?;
        let mut linker = Linker::new(&engine);
        bindings::Policy::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)
            .and_then(|()| add_wasi(&mut linker))
            .map_err(SandboxError::Engine)?;
        let ticker = Ticker::start(&engine)?;
        Ok(Self {
            limits,
            engine,
            linker,
            slots: Arc::new(Slots::new(MAX_RUNS)),
            threads: Threads::new(limits.stack_bytes as usize + HOST_STACK),
            cache: None,
            _ticker: ticker,
        })
    }

    /// This sandbox with a cache on disk: compiled modules are kept there, and not compiled again.
    #[must_use]
    pub fn with_cache(self, cache: CompiledCache) -> Self {
        Self {
            cache: Some(cache),
            ..self
        }
    }

    /// The limits of every execution here, as far as its input names no tighter ones.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The limits of one execution: the sandbox's, or the input's where they are tighter.
    fn limits_of(&self, input: &RunInput) -> Limits {
        let Some(own) = &input.limits else {
            return self.limits;
        };
        let mut most = own.by_name();
        most.retain(|name, _| !FIXED_LIMITS.contains(&name.as_str()));
        self.limits.within(&most)
    }

    /// Checks a component (see [`inspect`]), compiles it in a process of its own (see
    /// [`crate::compiler`]), and checks that it fits the world.
    ///
    /// Signatures are not looked at here: verify them first.
    ///
    /// # Errors
    /// [`SandboxError`], whose [`SandboxError::reason`] is the stable id.
    pub fn compile(&self, bytes: &[u8]) -> Result<Policy, SandboxError> {
        inspect(bytes, &self.limits)?;
        let digest = Digest::of(bytes);
        let component = self.compiled(&digest, bytes)?;
        let world = |reason| {
            move |error: wasmtime::Error| SandboxError::BadWorld {
                reason,
                detail: printable(&format!("{error:#}"), 400),
            }
        };
        let pre = self
            .linker
            .instantiate_pre(&component)
            .map_err(world(Reason::BadImport))?;
        let pre = bindings::PolicyPre::new(pre).map_err(world(Reason::BadExport))?;
        Ok(Policy { pre, digest })
    }

    /// The compiled module: from the cache, or compiled now and kept there.
    fn compiled(&self, digest: &Digest, bytes: &[u8]) -> Result<Component, SandboxError> {
        let cached = self.cache.as_ref();
        if let Some(component) = cached.and_then(|cache| cache.load(digest, &self.engine)) {
            return Ok(component);
        }
        let code = compiler::compile(bytes, &self.engine, &self.limits)?;
        let loaded = code.load(&self.engine);
        let component = loaded.map_err(|error| load_error(error, &self.limits))?;
        if let Some(cache) = cached {
            cache.store(digest, &self.engine, &code);
        }
        Ok(component)
    }

    /// Runs a policy for one client in one round. Whatever the guest does, this returns, within
    /// the limits, with everything up to where it ended.
    ///
    /// The same policy, input, limits and engine fingerprint give the same transcript root and
    /// the same submission, unless the reason is one of time (see [`Reason::is_deterministic`]).
    pub fn run(&self, policy: &Policy, input: &RunInput, engine: &dyn Engine) -> RunOutcome {
        let started = Instant::now();
        let limits = self.limits_of(input);
        let (ask, questions) = sync_channel(0);
        let (done, outcome) = sync_channel(1);
        let (slots, pre, own) = (self.slots.clone(), policy.pre.clone(), input.clone());
        let begun = self.threads.begin(Box::new(move || {
            let _ = done.send(guarded(&slots, &pre, &own, limits, ask));
        }));
        let ended = begun.and_then(|_lent| {
            // Ends when the guest's thread has dropped its end.
            serve(&questions, engine);
            let gone = || SandboxError::Runtime("the guest's thread panicked".into());
            outcome.recv().map_err(|_| gone())
        });
        ended.unwrap_or_else(|error| lost(input, limits, &error, started))
    }

    /// Lends a thread for guests to `work`, which may run as many as it likes there, one after the
    /// other; the calling thread serves them the engine meanwhile. Saves each run two changes of thread.
    ///
    /// # Errors
    /// [`SandboxError::System`] when there is no thread to be had, [`SandboxError::Runtime`] when
    /// `work` panics.
    pub fn session<T: Send>(
        &self,
        engine: &dyn Engine,
        work: impl FnOnce(&Runner<'_>) -> T + Send,
    ) -> Result<T, SandboxError> {
        let (ask, questions) = sync_channel(0);
        let stack = self.limits.stack_bytes as usize + HOST_STACK;
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("guest".into())
                .stack_size(stack)
                .spawn_scoped(scope, move || work(&Runner { sandbox: self, ask }))
                .map_err(SandboxError::system("no thread for the guest"))?;
            // Ends when the guests' thread has dropped its end.
            serve(&questions, engine);
            thread
                .join()
                .map_err(|_| SandboxError::Runtime("the guest's thread panicked".into()))
        })
    }
}

/// Runs guests on the thread of a [`Sandbox::session`].
pub struct Runner<'a> {
    sandbox: &'a Sandbox,
    ask: Ask,
}

impl Runner<'_> {
    /// As [`Sandbox::run`].
    #[must_use]
    pub fn run(&self, policy: &Policy, input: &RunInput) -> RunOutcome {
        let limits = self.sandbox.limits_of(input);
        guarded(
            &self.sandbox.slots,
            &policy.pre,
            input,
            limits,
            self.ask.clone(),
        )
    }
}

/// One execution on this thread, in a slot; a panic is a failure of the host.
fn guarded(
    slots: &Slots,
    pre: &bindings::PolicyPre<HostState>,
    input: &RunInput,
    limits: Limits,
    ask: Ask,
) -> RunOutcome {
    let _slot = slots.take();
    let started = Instant::now();
    // All that a panic leaves half done is the store, which is dropped with it.
    catch_unwind(AssertUnwindSafe(|| {
        execute(pre, input.clone(), limits, ask, started)
    }))
    .unwrap_or_else(|_| {
        let error = SandboxError::Runtime("the guest's thread panicked".into());
        lost(input, limits, &error, started)
    })
}

/// Outcome of an execution in which the host failed.
fn lost(input: &RunInput, limits: Limits, error: &SandboxError, started: Instant) -> RunOutcome {
    let (ask, _) = sync_channel(0);
    let state = HostState::new(input.clone(), limits, ask, started);
    let seconds = started.elapsed().as_secs_f64();
    finish(state, Err(Stop::new(Reason::Host, error)), 0, seconds)
}

/// Executes on the guest's thread: one store, one instance, one call.
fn execute(
    pre: &bindings::PolicyPre<HostState>,
    input: RunInput,
    limits: Limits,
    ask: Ask,
    started: Instant,
) -> RunOutcome {
    let state = HostState::new(input, limits, ask, started);
    let mut store = Store::new(pre.engine(), state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(limits.call_bytes as usize);
    // Own handles and, during a call, borrowed ones beside them.
    store.set_max_component_handles(2 * limits.handles as usize + 64);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| {
        context.data().clock.check()?;
        Ok(UpdateDeadline::Continue(1))
    });
    let result = store
        .set_fuel(limits.fuel)
        .and_then(|()| pre.instantiate(&mut store))
        .and_then(|policy| policy.call_run(&mut store));
    let fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
    let ended = result.map_err(|error| stop_of(&error, &limits));
    let seconds = started.elapsed().as_secs_f64();
    finish(store.into_data(), ended, fuel, seconds)
}

/// The reason behind an error of a call.
fn stop_of(error: &wasmtime::Error, limits: &Limits) -> Stop {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stop.clone();
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        let text = format_args!("it left by exit, with status {}", exit.0);
        return Stop::new(Reason::GuestError, text);
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return Stop::limit(Reason::Handles, "handles", limits.handles);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return Stop::limit(Reason::Fuel, "fuel", limits.fuel),
        Some(Trap::StackOverflow) => {
            return Stop::limit(Reason::StackOverflow, "stack_bytes", limits.stack_bytes);
        }
        Some(trap) => return Stop::new(Reason::Trap, trap),
        None => {}
    }
    // wasmtime has no public types for these; tests with hostile guests hold the texts. Only the cause's own
    // words count: above them stand the names of the guest's functions, which a guest chooses.
    let text = error.root_cause().to_string();
    if text.ends_with("fuel allocated for hostcalls has been exhausted") {
        return Stop::limit(Reason::CallBytes, "call_bytes", limits.call_bytes);
    }
    if text.ends_with("store handle limit exceeded") {
        return Stop::limit(Reason::Handles, "handles", limits.handles);
    }
    if text.starts_with("resource limit exceeded: instance count") {
        return Stop::limit(Reason::Instances, "instances", limits.instances);
    }
    if text.starts_with("resource limit exceeded: ") {
        return Stop::new(Reason::Instances, text);
    }
    Stop::new(Reason::Trap, text)
}

/// Error of loading compiled code. This is where a module is found for which the pool has no place.
fn load_error(error: wasmtime::Error, limits: &Limits) -> SandboxError {
    let detail = printable(&format!("{error:#}"), 400);
    if detail.contains("pooling allocator") {
        let (reason, key) = match () {
            () if detail.contains("core module instances") => (
                Reason::Instances,
                format!("instances is {}", limits.instances),
            ),
            () if detail.contains("memor") => (Reason::Memory, format!("{MAX_MEMORIES} memories")),
            () => (
                Reason::Tables,
                format!("{MAX_TABLES} tables, tables is {}", limits.tables),
            ),
        };
        let detail = format!("{key}; {detail}");
        return SandboxError::StartSize { reason, detail };
    }
    SandboxError::BadComponent { detail }
}
