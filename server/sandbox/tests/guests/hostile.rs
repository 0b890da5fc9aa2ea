//! Guests that mean harm: what there is to say beyond `hostile_table.rs`, in which every file of
//! `tests/hostile` ends with its recorded reason.

use std::sync::Arc;

use crate::common::{Double, HostileGuest, hostile, input, limits, run};
use fedseal_client_sdk::lineage::Kind;
use fedseal_sandbox::{Limits, Reason, RunOutcome, Sandbox, component};

/// Runs a guest, checks its reason, then runs an honest one in the same sandbox.
fn ends_with(name: &str, reason: Reason) -> RunOutcome {
    ends_within(name, reason, limits())
}

fn ends_within(name: &str, reason: Reason, limits: Limits) -> RunOutcome {
    let sandbox = Sandbox::new(limits).unwrap();
    let policy = sandbox.compile(&hostile(name)).unwrap();
    let outcome = run(&sandbox, &policy);
    let failure = outcome
        .submission
        .as_ref()
        .expect_err("it hands nothing in");
    assert_eq!(failure.reason, reason.id(), "{}", failure.detail);
    assert!(!failure.detail.is_empty() && !failure.detail.contains(char::is_control));
    assert!(outcome.data.is_empty() && outcome.datasets.is_empty());
    outcome.lineage.validate().unwrap();
    assert!(outcome.lineage.output.is_none());
    unaffected(&sandbox);
    outcome
}

/// Checks that an honest guest gets the same in this sandbox as in a fresh one.
fn unaffected(sandbox: &Sandbox) {
    let policy = sandbox.compile(&hostile("scaled.wat")).unwrap();
    let after = run(sandbox, &policy);
    let fresh = Sandbox::new(*sandbox.limits()).unwrap();
    let policy = fresh.compile(&hostile("scaled.wat")).unwrap();
    let alone = run(&fresh, &policy);
    let submission = after.submission.expect("the next client is served");
    assert_eq!(submission, alone.submission.unwrap());
    assert_eq!(after.transcript.root(), alone.transcript.root());
    assert_eq!(after.used, alone.used);
}

#[test]
fn endless_loop_ends_by_fuel() {
    let outcome = ends_with("endless-loop.wat", Reason::Fuel);
    assert_eq!(outcome.used.fuel, limits().fuel);
}

#[test]
fn memory_bomb() {
    let outcome = ends_with("memory-bomb.wat", Reason::Memory);
    assert!(outcome.used.peak_memory_bytes <= limits().memory_bytes);
    assert!(outcome.used.peak_memory_bytes > limits().memory_bytes / 2);
}

#[test]
fn message_longer_than_memory() {
    // The list is said to be longer than the guest's whole memory, which is seen first.
    ends_with("huge-message.wat", Reason::Trap);
}

#[test]
fn message_larger_than_allowed() {
    ends_with("amplified-message.wat", Reason::CallBytes);
}

#[test]
fn log_flood() {
    let outcome = ends_with("log-flood.wat", Reason::LogLimit);
    let kept: usize = outcome.log.iter().map(|line| line.len() + 1).sum();
    assert!(kept as u64 <= limits().log_total_bytes);
}

#[test]
fn log_lines_are_printable_and_short() {
    let outcome = ends_with("control-log.wat", Reason::NoSubmission);
    assert_eq!(outcome.log, ["a[2Jb c"]);
    let limits = Limits {
        log_record_bytes: 3,
        ..limits()
    };
    let outcome = ends_within("control-log.wat", Reason::NoSubmission, limits);
    assert_eq!(outcome.log, ["a[2"]);
}

#[test]
fn host_call_flood() {
    let outcome = ends_with("host-call-flood.wat", Reason::HostCalls);
    assert_eq!(outcome.used.host_calls, limits().host_calls);
    // The call that broke the limit is in the transcript, and the last one.
    assert_eq!(outcome.transcript.len() as u64, limits().host_calls + 1);
}

#[test]
fn handle_exhaustion() {
    ends_with("handle-exhaustion.wat", Reason::Handles);
}

#[test]
fn adapters_that_the_host_keeps() {
    let bytes = input().global.len() as u64 * 4;
    let limits = Limits {
        host_bytes: 10 * bytes,
        ..limits()
    };
    let outcome = ends_within("adapter-hoard.wat", Reason::HostMemory, limits);
    let kept = outcome
        .lineage
        .nodes
        .iter()
        .filter(|node| node.kind == Kind::Scale)
        .count();
    assert_eq!(kept, 10);
    let limits = Limits {
        host_work_bytes: 100 * bytes,
        handles: 10_000,
        ..limits
    };
    let limits = Limits {
        host_bytes: 1 << 30,
        ..limits
    };
    ends_within("adapter-hoard.wat", Reason::HostWork, limits);
}

#[test]
fn handles_that_nobody_gave() {
    ends_with("forged-handle.wat", Reason::Trap);
    ends_with("wrong-type-handle.wat", Reason::Trap);
}

/// The record of a run is bounded, whatever the guest: the statement about it can be made.
#[test]
fn records_stay_small() {
    for (name, words) in [
        ("concat-of-nothing.wat", "the lineage has 4194304 bytes"),
        ("concat-in-few-calls.wat", "the transcript has 321536 bytes"),
        ("concat-of-many.wat", "the transcript has 2625536 bytes"),
    ] {
        let case = HostileGuest::read(name);
        let outcome = ends_within(name, Reason::HostMemory, case.limits);
        let failure = outcome.submission.unwrap_err();
        assert_eq!(failure.detail, words, "{name}");
        let lineage = serde_json::to_vec(&outcome.lineage).unwrap().len();
        assert!(lineage <= 4 << 20, "{name}: {lineage}");
        let transcript = outcome.transcript.to_bytes().len() as u64;
        assert!(transcript <= outcome.transcript.bytes_at_most());
        // The last entry says why it ended.
        let most = case.limits.host_calls * 256 + (64 << 10) + 1_000;
        assert!(transcript <= most, "{name}: {transcript}");
    }
}

#[test]
fn a_model_that_writes_too_long_is_stopped() {
    let limits = HostileGuest::read("generate-dawdles.wat").limits;
    let outcome = ends_within("generate-dawdles.wat", Reason::WallTime, limits);
    let words = outcome.submission.unwrap_err().detail;
    assert_eq!(words, "wall_seconds ran out while generating");
    // It would be a minute.
    assert!(outcome.seconds < 40.0, "{}", outcome.seconds);
}

#[test]
fn nan_update() {
    let outcome = ends_with("nan-update.wat", Reason::NotFinite);
    assert!(
        outcome
            .lineage
            .nodes
            .iter()
            .any(|node| node.kind == Kind::RawWrite)
    );
    let last = outcome.transcript.entries().unwrap().pop().unwrap();
    assert_eq!(last.call, "submit");
    assert!(
        last.result.to_string().contains("not-finite"),
        "{}",
        last.result
    );
}

#[test]
fn refused_arguments_are_in_the_transcript() {
    for name in ["short-raw.wat", "nan-factor.wat"] {
        let outcome = ends_with(name, Reason::NoSubmission);
        let last = outcome.transcript.entries().unwrap().pop().unwrap();
        assert!(
            last.result.to_string().contains("invalid"),
            "{}",
            last.result
        );
    }
}

#[test]
fn a_prompt_that_the_engine_has_no_room_for_is_told_to_the_guest() {
    let outcome = ends_with("engine-refuses.wat", Reason::NoSubmission);
    let last = outcome.transcript.entries().unwrap().pop().unwrap();
    assert_eq!(last.call, "generate");
    let told = last.result.to_string();
    assert!(
        told.contains("invalid") && told.contains("300 tokens, 256 positions"),
        "{told}"
    );
}

#[test]
fn an_engine_that_fails_or_panics() {
    let outcome = ends_with("engine-fails.wat", Reason::Engine);
    assert_eq!(outcome.submission.unwrap_err().detail, "asked to fail");
    ends_with("engine-panics.wat", Reason::Engine);
}

#[test]
fn no_submission() {
    ends_with("no-submission.wat", Reason::NoSubmission);
}

#[test]
fn double_submit() {
    ends_with("double-submit.wat", Reason::DoubleSubmit);
}

#[test]
fn guest_error_is_one_printable_line() {
    let outcome = ends_with("guest-error.wat", Reason::GuestError);
    assert_eq!(outcome.submission.unwrap_err().detail, "no[2J upd");
}

/// Refused before anything is compiled, or by the compiler.
fn refused(bytes: &[u8], reason: Reason) -> String {
    let sandbox = Sandbox::new(limits()).unwrap();
    let error = sandbox.compile(bytes).expect_err("it is not compiled");
    assert_eq!(error.reason(), reason, "{error}");
    unaffected(&sandbox);
    error.to_string()
}

#[test]
fn other_imports() {
    for name in ["wasi:http/types@0.2.0", "fedseal:policy/host@0.2.0", "host"] {
        let text = format!(r#"(component (import "{name}" (instance)))"#);
        let message = refused(&wat::parse_str(text).unwrap(), Reason::BadImport);
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn unknown_function_of_the_host() {
    let text = r#"(component (import "fedseal:policy/host@0.1.0"
        (instance (export "open-file" (func (param "path" string))))))"#;
    let message = refused(&wat::parse_str(text).unwrap(), Reason::BadImport);
    assert!(message.contains("open-file"), "{message}");
}

#[test]
fn malformed_bytes() {
    refused(b"", Reason::BadComponent);
    refused(b"(component)", Reason::BadComponent);
    refused(b"\0asm\x01\0\0\0", Reason::BadComponent);
    let whole = hostile("nan-update.wat");
    for cut in [9, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..cut], Reason::BadComponent);
    }
}

/// No flipped byte of a component may panic or hang the host.
#[test]
fn flipped_bytes() {
    let whole = hostile("scaled.wat");
    let sandbox = Sandbox::new(limits()).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        if let Ok(policy) = sandbox.compile(&bytes) {
            let _ = run(&sandbox, &policy);
        }
    }
    unaffected(&sandbox);
}

#[test]
fn too_much_from_the_start() {
    refused(&hostile("big-table.wat"), Reason::Tables);
    refused(&hostile("big-memory.wat"), Reason::Memory);
}

/// Many at once, more than there are slots: each is served, none disturbs another.
#[test]
fn hostile_neighbours() {
    let sandbox = Arc::new(Sandbox::new(limits()).unwrap());
    let names = ["memory-bomb.wat", "trap.wat", "scaled.wat", "recursion.wat"];
    let policies: Vec<_> = names
        .iter()
        .map(|name| sandbox.compile(&hostile(name)).unwrap())
        .collect();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..40)
            .map(|i| {
                let (sandbox, policy) = (&sandbox, &policies[i % 4]);
                scope.spawn(move || sandbox.run(policy, &input(), &Double))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for (i, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.transcript.root(), outcomes[i % 4].transcript.root());
        assert_eq!(outcome.submission.is_ok(), i % 4 == 2);
    }
}

/// Resident size of this process, as the operating system gives it, bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0)
        << 10
}

#[test]
fn host_memory_stays_bounded() {
    let sandbox = Sandbox::new(limits()).unwrap();
    let names = [
        "memory-bomb.wat",
        "amplified-message.wat",
        "log-flood.wat",
        "adapter-hoard.wat",
    ];
    let policies: Vec<_> = names
        .iter()
        .map(|name| sandbox.compile(&hostile(name)).unwrap())
        .collect();
    let round = || {
        policies
            .iter()
            .for_each(|policy| drop(run(&sandbox, policy)))
    };
    (0..5).for_each(|_| round());
    let before = resident();
    (0..40).for_each(|_| round());
    let grown = resident().saturating_sub(before);
    // Other tests of this program run beside this one, so the bound is generous; a leak of one
    // bomb a round would be 320 MB.
    assert!(grown < 160 << 20, "{} MB more", grown >> 20);
}

#[test]
fn limits_that_cannot_be_kept_are_refused() {
    for limits in [
        Limits {
            memory_bytes: 1 << 40,
            ..limits()
        },
        Limits {
            stack_bytes: 1 << 40,
            ..limits()
        },
        Limits {
            instances: 0,
            ..limits()
        },
    ] {
        assert!(Sandbox::new(limits).is_err());
    }
}

#[test]
fn componentize_refuses_what_is_no_policy() {
    assert!(component::componentize(b"no wasm").is_err());
}
