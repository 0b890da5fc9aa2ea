//! The threads that share the work.

use std::sync::{Arc, Mutex, OnceLock};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::memory;

/// Most threads of the CPU device.
pub const MAX_THREADS: usize = 1024;

static POOL: OnceLock<Mutex<Option<Arc<ThreadPool>>>> = OnceLock::new();

fn pool_slot() -> &'static Mutex<Option<Arc<ThreadPool>>> {
    POOL.get_or_init(|| Mutex::new(None))
}

/// Sets how many threads the CPU device uses from now on, [`MAX_THREADS`] at most; 0 means all
/// cores. Results do not depend on the number.
pub fn set_threads(threads: usize) {
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads.min(MAX_THREADS))
        .build()
        .ok()
        .map(Arc::new);
    *pool_slot()
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner()) = pool;
}

/// Runs `work` on the threads of [`set_threads`], or on rayon's own pool.
pub fn run<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    memory::keep_freed_memory();
    let pool = pool_slot()
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .as_ref()
        .cloned();
    match pool {
        Some(pool) => pool.install(work),
        // Runs on a thread of the pool: called from outside, every product would wait for a
        // wake-up.
        None => rayon::scope(|_| work()),
    }
}
