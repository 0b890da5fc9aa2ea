//! Records of a guest's own choices, where a data holder wants less of them.

use crate::common::{Double, guest, input, limits};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::Kind;
use fedseal_client_sdk::transcript::Entry;
use fedseal_sandbox::{Limits, Recording, RunInput, RunOutcome, Sandbox};
use serde_json::{Value, json};

/// Says `secret` wherever it can: as a log line, a prompt, a factor, a seed, an offset, a count.
const TALKS: &str = r#"(module
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (import "fedseal:policy/host@0.1.0" "generate" (func $generate (param i32 i32 i32 i32 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "take" (func $take (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "train" (func $train (param i32 i32 i32 i32 f64 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "scale" (func $scale (param i32 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "noise" (func $noise (param i32 f64 i32 i64 i32)))
  (import "fedseal:policy/host@0.1.0" "dot" (func $dot (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "\30\00\00\00\06\00\00\00")
  (data (i32.const 48) "secret")
  (func (export "run") (result i32)
    (call $log (i32.const 48) (i32.const 6))
    (call $generate (i32.const 32) (i32.const 1) (i32.const 0) (i32.const 5) (f64.const 0.123456) (i32.const 64))
    (call $take (call $shard) (i32.const 1952670054) (i32.const 1952670054) (i32.const 64))
    (call $train (call $global) (call $shard) (i32.const 1952670054) (i32.const 8) (f64.const 0.1) (f64.const 0) (i32.const 64))
    (call $train (call $global) (call $shard) (i32.const 4) (i32.const 8) (f64.const 0.0123456) (f64.const 0) (i32.const 64))
    (call $scale (i32.load (i32.const 68)) (f64.const 1.23456) (i32.const 64))
    (call $noise (i32.load (i32.const 68)) (f64.const 0.00123456) (i32.const 1) (i64.const 1952670054) (i32.const 64))
    (call $dot (i32.load (i32.const 68)) (i32.load (i32.const 68)) (i32.const 80))
    (call $submit (i32.load (i32.const 68)) (i32.const 137) (i32.const 96))
    (i32.const 0)))"#;

fn run(recording: Recording) -> (RunOutcome, Vec<Entry>) {
    let sandbox = Sandbox::new(limits()).unwrap();
    let policy = sandbox.compile(&guest(TALKS)).unwrap();
    let input = RunInput {
        recording,
        ..input()
    };
    let outcome = sandbox.run(&policy, &input, &Double);
    let again = sandbox.run(&policy, &input, &Double);
    assert_eq!(outcome.submission, again.submission);
    assert_eq!(outcome.transcript.root(), again.transcript.root());
    assert!(outcome.submission.is_ok(), "{:?}", outcome.submission);
    let entries = outcome.transcript.entries().unwrap();
    (outcome, entries)
}

/// The arguments of the last call of this name.
fn args<'a>(entries: &'a [Entry], call: &str) -> &'a Value {
    let found = entries.iter().rfind(|entry| entry.call == call);
    &found.unwrap().args
}

#[test]
fn by_default_all_of_it() {
    let (outcome, entries) = run(Recording::default());
    assert_eq!(args(&entries, "log")["bytes"], 6);
    assert!(args(&entries, "generate")["digest"].is_string());
    assert_eq!(args(&entries, "generate")["temperature"], 0.123456);
    assert_eq!(args(&entries, "take")["offset"], 1_952_670_054);
    assert_eq!(args(&entries, "scale")["factor"], 1.23456);
    assert_eq!(args(&entries, "noise")["seed"], 1_952_670_054);
    assert_eq!(args(&entries, "submit")["examples"], 137);
    assert_eq!(outcome.submission.unwrap().examples, 137);
}

#[test]
fn texts_only_by_their_number() {
    let (outcome, entries) = run(Recording {
        log_lines: false,
        prompts: false,
        digits: None,
    });
    assert_eq!(args(&entries, "log"), &json!({}));
    assert!(args(&entries, "generate").get("digest").is_none());
    assert_eq!(args(&entries, "generate")["prompts"], 1);
    // The line is there for whoever may read it.
    assert_eq!(outcome.log, ["secret"]);
}

#[test]
fn numbers_with_few_digits() {
    let (outcome, entries) = run(Recording {
        digits: Some(2),
        ..Recording::default()
    });
    assert_eq!(args(&entries, "generate")["temperature"], 0.12);
    // Forty examples are there.
    assert_eq!(args(&entries, "take")["offset"], 40);
    assert_eq!(args(&entries, "take")["count"], 0);
    let trained: Vec<&Entry> = entries.iter().filter(|e| e.call == "train").collect();
    assert_eq!(trained[0].args["steps"], 5);
    assert_eq!(
        trained[0].result["error"]["invalid"],
        "steps is 5, at most 4"
    );
    assert_eq!(trained[1].args["learning-rate"], 0.012);
    assert_eq!(args(&entries, "scale")["factor"], 1.2);
    assert_eq!(args(&entries, "noise")["std"], 0.0012);
    assert_eq!(args(&entries, "noise")["seed"], Value::Null);
    assert_eq!(args(&entries, "submit")["examples"], 130);
    let dot = entries.iter().find(|entry| entry.call == "dot").unwrap();
    let digits = format!("{:e}", dot.result.as_f64().unwrap());
    assert!(digits.split('e').next().unwrap().len() <= 3, "{digits}");
    // What is recorded is what was done: the factor of the lineage is the one that was used.
    let nodes = &outcome.lineage.nodes;
    let scaled = nodes.iter().find(|node| node.kind == Kind::Scale).unwrap();
    assert_eq!(scaled.params["factor"], 1.2);
    let (whole, _) = run(Recording::default());
    let digest = |outcome: &RunOutcome| {
        let nodes = &outcome.lineage.nodes;
        nodes
            .iter()
            .find(|node| node.kind == Kind::Scale)
            .unwrap()
            .digest
    };
    assert_ne!(digest(&outcome), digest(&whole));
    assert_eq!(outcome.submission.unwrap().examples, 130);
}

/// Asks how likely two responses are, of two and of three bytes, and scales by the second answer.
const SCORES: &str = r#"(module
  (import "fedseal:policy/host@0.1.0" "log-likelihood" (func $score (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "scale" (func $scale (param i32 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "\60\00\00\00\01\00\00\00\60\00\00\00\02\00\00\00")
  (data (i32.const 48) "\60\00\00\00\01\00\00\00\60\00\00\00\03\00\00\00")
  (data (i32.const 96) "abc")
  (func (export "run") (result i32)
    (call $score (i32.const 32) (i32.const 2) (i32.const 0) (i32.const 64))
    (call $scale (call $global) (f64.load offset=8 (i32.load (i32.const 68))) (i32.const 112))
    (call $submit (i32.load (i32.const 116)) (i32.const 40) (i32.const 144))
    (i32.const 0)))"#;

#[test]
fn scores_are_numbers_of_the_guest_and_digests_in_the_transcript() {
    let run = |recording: Recording, limits: Limits| {
        let sandbox = Sandbox::new(limits).unwrap();
        let policy = sandbox.compile(&guest(SCORES)).unwrap();
        let input = RunInput {
            recording,
            ..input()
        };
        sandbox.run(&policy, &input, &Double)
    };
    let outcome = run(Recording::default(), limits());
    assert!(outcome.submission.is_ok(), "{:?}", outcome.submission);
    let entries = outcome.transcript.entries().unwrap();
    assert_eq!(args(&entries, "scale")["factor"], -3);
    let of = |entries: &[Entry]| {
        let found = entries.iter().find(|entry| entry.call == "log-likelihood");
        let found = found.unwrap();
        (found.args.clone(), found.result.clone())
    };
    let (asked, said) = of(&entries);
    assert_eq!(
        (&asked["examples"], &asked["model"]),
        (&json!(2), &json!("base"))
    );
    assert!(asked["digest"].is_string());
    let bytes = [-2.0_f64, -3.0].map(f64::to_le_bytes).concat();
    let digest = Digest::of(&bytes).to_string();
    assert_eq!(said, json!({"scores": 2, "digest": digest}));
    // No object: what it was asked about is no data of the update.
    let kinds: Vec<Kind> = outcome.lineage.nodes.iter().map(|node| node.kind).collect();
    assert_eq!(kinds, [Kind::Global, Kind::Scale]);

    let quiet = Recording {
        prompts: false,
        ..Recording::default()
    };
    let entries = run(quiet, limits()).transcript.entries().unwrap();
    let (asked, said) = of(&entries);
    assert_eq!(asked, json!({"examples": 2, "model": "base"}));
    assert_eq!(said, json!({"scores": 2}));

    // Reading counts as prompts do: 16 bytes for each token that may be written.
    let few = Limits {
        generated_tokens: 1,
        ..limits()
    };
    let stopped = run(Recording::default(), few).submission.unwrap_err();
    assert_eq!(stopped.detail, "generated_tokens is 1");
}
