//! A guest does not find what an earlier guest left in the same slot.

use crate::common::{guest, limits, run};
use fedseal_sandbox::{Policy, RunOutcome, Sandbox};

/// Pages that a guest begins with, and pages that it has after growing: within and beyond what a
/// slot keeps resident between two guests (128 KiB).
const PAGES: u32 = 1;
const GROWN: u32 = 32;

/// More modules than there are slots for memories (16 executions of at most 4 each): whichever slot
/// the next one gets, somebody has been there.
const MODULES: u32 = 70;

/// Looks through memory, table and global first, then writes a secret everywhere. Traps when it
/// finds anything, ends without a submission when it does not. `number` makes it another module.
fn looks_then_fills(number: u32) -> String {
    let bytes = GROWN << 16;
    format!(
        r#"(module
  (memory (export "memory") {PAGES})
  (table $table 64 funcref)
  (global $global (mut i64) (i64.const 0))
  (elem declare func $secret)
  (func $secret (result i32) (i32.const {number}))
  (data (i32.const 8) "image")
  (func (export "run") (result i32) (local $i i32)
    (if (i64.ne (global.get $global) (i64.const 0)) (then unreachable))
    (if (i32.eqz (ref.is_null (table.get $table (i32.const 7)))) (then unreachable))
    (if (i32.ne (memory.grow (i32.const {})) (i32.const {PAGES})) (then unreachable))
    ;; What the module itself puts there is there, and nothing beside it.
    (if (i64.ne (i64.load (i32.const 8)) (i64.const 0x6567616d69)) (then unreachable))
    (i64.store (i32.const 8) (i64.const 0))
    (loop $next
      (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then unreachable))
      (local.set $i (i32.add (local.get $i) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const {bytes}))))
    (memory.fill (i32.const 0) (i32.const 0x5e) (i32.const {bytes}))
    (table.set $table (i32.const 7) (ref.func $secret))
    (global.set $global (i64.const {number}))
    ;; The result's place, as the caller reads it: a good end.
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.const 0)))"#,
        GROWN - PAGES
    )
}

fn compile(sandbox: &Sandbox, number: u32) -> Policy {
    sandbox.compile(&guest(&looks_then_fills(number))).unwrap()
}

fn found_nothing(outcome: RunOutcome) {
    let failure = outcome.submission.unwrap_err();
    assert_eq!(failure.reason, "no-submission", "{}", failure.detail);
    assert_eq!(
        outcome.used.peak_memory_bytes,
        u64::from(GROWN) << 16,
        "it filled all of its memory"
    );
}

/// The pool gives a module the slot that it had before, with its pages still there.
#[test]
fn the_same_module_in_the_slot_that_it_had() {
    let sandbox = Sandbox::new(limits()).unwrap();
    let policy = compile(&sandbox, 1);
    for _ in 0..50 {
        found_nothing(run(&sandbox, &policy));
    }
}

/// Another module gets a free slot first; once all have been used it gets somebody else's.
#[test]
fn another_module_in_a_slot_that_somebody_had() {
    let sandbox = Sandbox::new(limits()).unwrap();
    for number in 1..=MODULES {
        found_nothing(run(&sandbox, &compile(&sandbox, number)));
    }
}

/// The guest does see what is there: it traps on its own secret.
#[test]
fn a_secret_that_is_there_is_seen() {
    let text = looks_then_fills(1).replace("(global.get $global)", "(i64.load (i32.const 8))");
    let sandbox = Sandbox::new(limits()).unwrap();
    let policy = sandbox.compile(&guest(&text)).unwrap();
    let failure = run(&sandbox, &policy).submission.unwrap_err();
    assert_eq!(failure.reason, "trap", "{}", failure.detail);
}
