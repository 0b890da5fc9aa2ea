//! Words of a failure: what the host knows about its cause is in them.

use crate::common::{Double, guest, input, limits};
use fedseal_sandbox::{Reason, Recording, RunInput, Sandbox};

/// A guest that logs a line, asks for too many steps, and ends as `end` says.
fn ending(end: &str) -> Vec<u8> {
    guest(&format!(
        r#"(module
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (import "fedseal:policy/host@0.1.0" "train"
    (func $train (param i32 i32 i32 i32 f64 f64 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "panicked at a line")
  (data (i32.const 40) "\01\00\00\00\38\00\00\00\0a\00\00\00")
  (data (i32.const 56) "own reason")
  (func (export "run") (result i32)
    (call $train (call $global) (call $shard) (i32.const 99) (i32.const 1)
      (f64.const 0.1) (f64.const 0) (i32.const 128))
    (call $log (i32.const 16) (i32.const 18))
    {end}))"#
    ))
}

fn words(end: &str, reason: Reason, input: &RunInput) -> String {
    let sandbox = Sandbox::new(limits()).unwrap();
    let policy = sandbox.compile(&ending(end)).unwrap();
    let failure = sandbox.run(&policy, input, &Double).submission.unwrap_err();
    assert_eq!(failure.reason, reason.id(), "{}", failure.detail);
    failure.detail
}

#[test]
fn a_failure_says_what_was_refused_and_what_was_logged_last() {
    let refused = "the last refused call: train: steps is 99, at most 4";
    let trapped = words("unreachable", Reason::Trap, &input());
    assert!(trapped.contains("unreachable"), "{trapped}");
    assert!(
        trapped.contains("its log ends: panicked at a line"),
        "{trapped}"
    );
    assert!(trapped.ends_with(refused), "{trapped}");

    let own = words("(i32.const 40)", Reason::GuestError, &input());
    assert_eq!(own, format!("own reason; {refused}"));
    let nothing = words("(i32.const 0)", Reason::NoSubmission, &input());
    assert_eq!(nothing, format!("run ended without submit; {refused}"));

    // A limit's words are the limit's alone: site rules know them by their form.
    let flood = "(loop $more (call $log (i32.const 16) (i32.const 18)) (br $more)) (i32.const 0)";
    let limit = words(flood, Reason::LogLimit, &input());
    assert_eq!(
        limit,
        format!("log_total_bytes is {}", limits().log_total_bytes)
    );
}

/// Where log lines may not leave, they do not leave as a failure's words either.
#[test]
fn log_lines_that_may_not_leave_stay() {
    let input = RunInput {
        recording: Recording {
            log_lines: false,
            ..Recording::default()
        },
        ..input()
    };
    let trapped = words("unreachable", Reason::Trap, &input);
    assert!(!trapped.contains("panicked"), "{trapped}");
    assert!(trapped.contains("train: steps is 99"), "{trapped}");
}
