//! A guest that has read its shard tells it in every possible way, under site rules. Nothing that the
//! rules deny is in the feed, the report, the statement or the transcript; where it is, the auditor
//! sees it.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::double::{Double, create_from, experiment, options_with_guest};
use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::transcript::Transcript;
use fedseal_federation::replay::{Selector, replay_in};
use fedseal_record::events::Event;
use fedseal_record::opened::OpenRun;
use fedseal_record::verify::verify;
use fedseal_rules::site::{SiteRules, audit_record};
use fedseal_tuning::Example;

/// A guest that reads the first example of its shard, trains as an honest one does, and then does
/// `what`. `$at` and `$length` are where the example's prompt is.
fn guest(what: &str) -> String {
    format!(
        r#"(module
  (import "fedseal:policy/host@0.1.0" "shard" (func $shard (result i32)))
  (import "fedseal:policy/host@0.1.0" "read-examples" (func $read-examples (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "examples" (func $examples (param i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "take" (func $take (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "global" (func $global (result i32)))
  (import "fedseal:policy/host@0.1.0" "train" (func $train (param i32 i32 i32 i32 f64 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "scale" (func $scale (param i32 f64 i32)))
  (import "fedseal:policy/host@0.1.0" "log" (func $log (param i32 i32)))
  (import "fedseal:policy/host@0.1.0" "log-likelihood" (func $score (param i32 i32 i32 i32)))
  (import "fedseal:policy/host@0.1.0" "submit" (func $submit (param i32 i32 i32)))
  (memory (export "memory") 4)
  (global $next (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "run") (result i32)
    (local $data i32) (local $adapter i32) (local $at i32) (local $length i32)
    (local.set $data (call $shard))
    (call $read-examples (local.get $data) (i32.const 0) (i32.const 1) (i32.const 64))
    (local.set $at (i32.load (i32.load (i32.const 64))))
    (local.set $length (i32.load (i32.add (i32.load (i32.const 64)) (i32.const 4))))
    (call $train (call $global) (local.get $data) (i32.const 1) (i32.const 1) (f64.const 0.001) (f64.const 0) (i32.const 64))
    (local.set $adapter (i32.load (i32.const 68)))
    {what}
    (call $submit (local.get $adapter) (i32.const 20) (i32.const 96))
    (i32.const 0)))"#
    )
}

const LOG: &str = "(call $log (local.get $at) (local.get $length))";
const ERROR: &str = "(i32.store (i32.const 256) (i32.const 1))
    (i32.store (i32.const 260) (local.get $at))
    (i32.store (i32.const 264) (local.get $length))
    (return (i32.const 256))";
/// One of two ways to trap, by a letter; before it the prompt as a refused and as a taken number.
const TRAP: &str = "(call $scale (local.get $adapter) (f64.convert_i32_u (i32.load (local.get $at))) (i32.const 64))
    (if (i32.and (i32.load8_u (local.get $at)) (i32.const 1))
      (then (unreachable))
      (else (drop (i32.load (i32.const -1)))))";
/// Four letters as a factor, and an offset.
const NUMBERS: &str = "(call $scale (local.get $adapter) (f64.add (f64.const 1) (f64.div
      (f64.convert_i32_u (i32.load (local.get $at))) (f64.const 4294967296))) (i32.const 64))
    (local.set $adapter (i32.load (i32.const 68)))
    (call $take (local.get $data) (i32.load (local.get $at)) (i32.const 1) (i32.const 64))";
/// The prompt as an example of the module's own, trained on.
const DATA: &str = "(i32.store (i32.const 256) (local.get $at))
    (i32.store (i32.const 260) (local.get $length))
    (call $examples (i32.const 256) (i32.const 1) (i32.const 64))
    (call $train (call $global) (i32.load (i32.const 68)) (i32.const 1) (i32.const 1) (f64.const 0.001) (f64.const 0) (i32.const 64))
    (local.set $adapter (i32.load (i32.const 68)))";

/// The prompt as a pair that a model is asked about.
const SCORES: &str = "(i32.store (i32.const 256) (local.get $at))
    (i32.store (i32.const 260) (local.get $length))
    (i32.store (i32.const 264) (local.get $at))
    (i32.store (i32.const 268) (local.get $length))
    (call $score (i32.const 256) (i32.const 1) (i32.const 0) (i32.const 64))";

/// Everything that left of a run's first update, and the prompt that was told.
struct Left {
    prompt: String,
    attested: Arc<UpdatePredicate>,
    transcript: Transcript,
    /// Feed, report, statement, transcript and data of the update, one after the other.
    text: String,
    folder: tempfile::TempDir,
}

impl Left {
    fn holds(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    fn reason(&self) -> &str {
        self.attested
            .failure
            .as_ref()
            .map_or("", |f| f.reason.as_str())
    }

    fn detail(&self) -> &str {
        self.attested
            .failure
            .as_ref()
            .map_or("", |f| f.detail.as_str())
    }
}

fn rule(more: &str) -> String {
    format!("[[allow]]\nname = \"plain\"\nsigners = [\"alice\"]\nshards = [\"*\"]\n{more}")
}

fn rules(more: &str) -> SiteRules {
    let rules: SiteRules = toml::from_str(&rule(more)).unwrap();
    rules.validate().unwrap();
    rules
}

/// Runs a round of such guests under a rule; verifies it, replays it.
fn run(what: &str, more: &str) -> Left {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let options = options_with_guest(dir, &guest(what));
    let mut small = experiment();
    small.federation.rounds = 1;
    small.federation.clients = 2;
    small.federation.sampled = 2;
    small.federation.malicious = 0;
    small.evaluation.every = 0;
    small.arms = vec!["clean".into()];
    small.site = Some(rules(more));
    let lab = || Double {
        guests: true,
        ..Double::new()
    };
    let run = dir.join("run");
    let mut feed = String::new();
    create_from(&run, &options, lab(), small)
        .unwrap()
        .execute(&mut |event: &Event| {
            feed.push_str(&format!("{event:?}\n"));
            ControlFlow::Continue(())
        })
        .unwrap();
    verify(&run).unwrap();
    let all = Selector::Sample { count: 9, seed: 1 };
    let replayed = replay_in(&run, &all, &lab()).unwrap();
    assert_eq!(replayed.len(), 2);
    assert!(replayed.iter().all(|one| one.equal()), "{replayed:?}");

    let mut opened = OpenRun::read(&run).unwrap();
    let id = *opened.state.attestations.keys().next().unwrap();
    let (_, attested) = opened.update(&id.to_string()).unwrap();
    let (_, planned) = opened.plan.client(&attested.client).unwrap();
    let shard = opened.blobs.get(&planned.honest.shard).unwrap();
    let shard: Vec<Example> = serde_json::from_slice(&shard).unwrap();
    let transcript = opened.blobs.get(&attested.transcript.blob).unwrap();
    let mut text = feed;
    for file in ["events.jsonl", "report.json"] {
        text.push_str(&std::fs::read_to_string(run.join(file)).unwrap());
    }
    text.push_str(&serde_json::to_string(&*attested).unwrap());
    text.push_str(&String::from_utf8(transcript.clone()).unwrap());
    for used in attested.data.iter().filter(|used| used.origin != "shard") {
        if let Ok(data) = opened.blobs.get(&used.digest) {
            text.push_str(&String::from_utf8(data).unwrap());
        }
    }
    Left {
        prompt: shard[0].prompt.clone(),
        attested,
        transcript: Transcript::from_bytes(&transcript).unwrap(),
        text,
        folder,
    }
}

#[test]
fn log_lines() {
    let told = run(LOG, "log_lines = true");
    assert!(told.holds(&told.prompt), "the guest says nothing");
    let digest = Digest::of(told.prompt.as_bytes()).to_string();
    assert!(told.holds(&digest));
    let kept = run(LOG, "");
    assert_eq!(kept.reason(), "", "{}", kept.detail());
    assert!(!kept.holds(&kept.prompt) && !kept.holds(&digest));
    let last = kept.transcript.entries().unwrap().pop().unwrap();
    assert_eq!(last.result["log-lines"], 1);
    // Had it left, the auditor would say so.
    let problem = audit_record(&rules("").allow[0], &told.attested, &told.transcript);
    assert!(problem.unwrap_err().contains("(log)"));
    audit_record(&rules("").allow[0], &kept.attested, &kept.transcript).unwrap();
}

#[test]
fn scores() {
    let digests = |left: &Left| {
        let mut entries = left.transcript.entries().unwrap().into_iter();
        let entry = entries.find(|entry| entry.call == "log-likelihood");
        let entry = entry.unwrap();
        [entry.args, entry.result].map(|said| said.get("digest").is_some())
    };
    let told = run(SCORES, "literal_data = true");
    assert_eq!((told.reason(), digests(&told)), ("", [true, true]));
    let kept = run(SCORES, "");
    assert_eq!((kept.reason(), digests(&kept)), ("", [false, false]));
    let strict = &rules("").allow[0];
    audit_record(strict, &kept.attested, &kept.transcript).unwrap();
    let problem = audit_record(strict, &told.attested, &told.transcript).unwrap_err();
    assert!(problem.contains("(log-likelihood)"), "{problem}");
}

#[test]
fn error_text() {
    let told = run(ERROR, "error_text = true");
    assert_eq!(told.detail(), told.prompt);
    assert_eq!(told.reason(), "guest-error");
    let kept = run(ERROR, "");
    assert_eq!(kept.reason(), "guest-error");
    assert!(!kept.holds(&kept.prompt));
    assert_eq!(kept.detail(), "its words stay at the site");
    let strict = &rules("").allow[0];
    audit_record(strict, &kept.attested, &kept.transcript).unwrap();
    let problem = audit_record(strict, &told.attested, &told.transcript).unwrap_err();
    assert!(
        problem.contains("the transcript of a failure left"),
        "{problem}"
    );
    let mut lies = (*kept.attested).clone();
    if let Some(failure) = &mut lies.failure {
        failure.detail.clone_from(&kept.prompt);
    }
    let problem = audit_record(strict, &lies, &kept.transcript).unwrap_err();
    assert!(problem.contains("the words of a failure left"), "{problem}");
}

#[test]
fn the_way_of_a_trap_and_what_came_before_it() {
    let told = run(TRAP, "error_text = true");
    assert!(told.text.contains("\"factor\":"), "{}", told.text);
    let kept = run(TRAP, "");
    assert_eq!((told.reason(), kept.reason()), ("trap", "trap"));
    assert_eq!(kept.detail(), "its words stay at the site");
    assert!(!kept.text.contains("\"factor\":"), "{}", kept.text);
    let entries = kept.transcript.entries().unwrap();
    let calls: Vec<&str> = entries.iter().map(|entry| entry.call.as_str()).collect();
    assert_eq!(calls, ["site-before", "withheld", "site-leave"]);
    assert_eq!(entries[1].result["calls"], 5);
}

#[test]
fn numbers() {
    let letters = |left: &Left| {
        let bytes: [u8; 4] = left.prompt.as_bytes()[..4].try_into().unwrap();
        u32::from_le_bytes(bytes)
    };
    let args = |left: &Left, call: &str| {
        let mut entries = left.transcript.entries().unwrap().into_iter();
        entries.find(|entry| entry.call == call).unwrap().args
    };
    let told = run(NUMBERS, "");
    let factor = args(&told, "scale")["factor"].as_f64().unwrap();
    assert_eq!((factor - 1.0) * 4_294_967_296.0, f64::from(letters(&told)));
    assert_eq!(args(&told, "take")["offset"], letters(&told));
    let coarse = "leave = { significant_digits = 2 }";
    let kept = run(NUMBERS, coarse);
    let factor = args(&kept, "scale")["factor"].as_f64().unwrap();
    assert_eq!(factor, (factor * 10.0).round() / 10.0);
    assert_eq!(args(&kept, "take")["offset"], 20);
    let strict = &rules(coarse).allow[0];
    audit_record(strict, &kept.attested, &kept.transcript).unwrap();
    let problem = audit_record(strict, &told.attested, &told.transcript).unwrap_err();
    assert!(problem.contains("`factor` has more than 2"), "{problem}");
    // All that is said together has a bound as well.
    let kept = run(NUMBERS, "leave = { max_record_bytes = 1000 }");
    assert_eq!(kept.detail(), "`plain` does not let it leave: record-bytes");
    assert!(!kept.text.contains("\"factor\":"));
    let strict = &rules("leave = { max_record_bytes = 1000 }").allow[0];
    let problem = audit_record(strict, &told.attested, &told.transcript).unwrap_err();
    assert!(problem.contains("lets 1000 leave"), "{problem}");
}

#[test]
fn examples_of_its_own() {
    let told = run(DATA, "literal_data = true");
    assert_eq!(told.reason(), "", "{}", told.detail());
    assert!(told.holds(&told.prompt), "the guest says nothing");
    let digest = told
        .attested
        .data
        .iter()
        .find(|used| used.origin == "literal");
    let digest = digest.unwrap().digest.to_string();
    let kept = run(DATA, "");
    assert_eq!(kept.detail(), "`plain` does not let it leave: literal-data");
    assert!(!kept.holds(&kept.prompt) && !kept.holds(&digest));
    assert!(kept.folder.path().join("run").is_dir());
}

#[test]
fn a_limit_that_was_hit_is_said() {
    let endless = "(loop $again (br $again))";
    let kept = run(endless, "limits = { fuel = 1000000 }");
    assert_eq!((kept.reason(), kept.detail()), ("fuel", "fuel is 1000000"));
}
