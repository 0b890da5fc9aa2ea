//! Gradient checkpointing takes less memory. The test has a separate process, because it counts
//! every allocation of the process.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ops::ControlFlow,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use fedseal_tuning::*;

/// Counts the bytes in use, and their peak.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator with the same arguments; the counters
// beside it allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn recomputed_blocks_take_less_memory() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../federation/model");
    let model = Model::load(&folder, &ModelOptions::default()).unwrap();
    let start = Adapter::init(&AdapterConfig::default(), model.config(), 1).unwrap();
    let words = "one two three four five six seven eight nine ten ".repeat(8);
    let examples: Vec<Example> = (0..16)
        .map(|i| Example::new(format!("List {i}: {words}"), words.clone()))
        .collect();
    let most = |recompute: bool| {
        let config = TrainConfig {
            steps: 2,
            batch_size: 16,
            recompute,
            ..TrainConfig::default()
        };
        let before = NOW.load(Relaxed);
        MOST.store(before, Relaxed);
        let trained = train(&model, &start, &examples, &config, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
        (MOST.load(Relaxed) - before, trained)
    };
    // The packing for the backward pass is made once and kept.
    let _ = most(false);
    let (usual, first) = most(false);
    let (recomputed, second) = most(true);
    eprintln!("bytes of a training: {usual} as usual, {recomputed} recomputed");
    assert_eq!(first, second);
    assert!(recomputed * 10 < usual * 7, "{recomputed} of {usual}");
}
