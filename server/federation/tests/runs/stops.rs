//! A stop is heard in the middle of whatever a run computes: a guest's training and generation, the
//! evaluation, the canaries, the defence.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use crate::double::{Double, Endless, create_from, experiment, options, options_with_guest};
use fedseal_federation::Error;
use fedseal_record::events::Event;
use fedseal_rules::experiment::Experiment;

/// A guest that has a model write, and submits the global adapter.
const WRITES: &str = r#"(module
  (import "fedseal:policy/host@0.1.0" "generate" (func $generate (param i32 i32 i32 i32 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (data (i32.const 32) "\30\00\00\00\05\00\00\00")
  (data (i32.const 48) "hello")
  (func (export "run") (result i32)
    (call $generate (i32.const 32) (i32.const 1) (i32.const 0) (i32.const 5) (f64.const 0) (i32.const 64))
    (call $submit (call $global) (i32.const 20) (i32.const 96))
    (i32.const 0)))"#;

fn small(arms: &[&str]) -> Experiment {
    let mut small = experiment();
    small.federation.rounds = 1;
    small.arms = arms.iter().map(ToString::to_string).collect();
    small
}

/// Runs it until the endless call was begun, and stops it then.
fn stops(call: &'static str, mut experiment: Experiment) {
    let dir = tempfile::tempdir().unwrap();
    let guests = call == "generate";
    if guests {
        // The one guest is the honest clients' module.
        experiment.federation.malicious = 0;
    }
    let options = match guests {
        true => options_with_guest(dir.path(), WRITES),
        false => options(dir.path()),
    };
    let endless = Endless {
        call,
        ..Endless::default()
    };
    let lab = Double {
        guests,
        endless: Some(endless.clone()),
        ..Double::new()
    };
    let ended = create_from(&dir.path().join("run"), &options, lab, experiment)
        .unwrap()
        .execute(
            &mut |_: &Event| match endless.begun.load(Ordering::SeqCst) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            },
        );
    assert!(
        matches!(ended, Err(Error::Interrupted)),
        "{call}: {:?}",
        ended.err()
    );
    assert!(
        endless.stopped.load(Ordering::SeqCst),
        "{call} was not told"
    );
}

#[test]
fn a_guests_training() {
    stops("train", small(&["clean"]));
}

#[test]
fn a_guests_generation() {
    stops("generate", small(&["clean"]));
}

#[test]
fn an_evaluation() {
    stops("answer", small(&["clean"]));
}

#[test]
fn canaries() {
    stops("score", small(&["behaviour"]));
}

#[test]
fn a_defence() {
    stops("tune", small(&["fedavg", "defended"]));
}
