//! Every guest of `tests/hostile`, one after the other in one sandbox program: each ends with the
//! reason that its header names, in bounded memory, and the honest client after it gets what it
//! gets alone. Alone in its program, so that the memory measured is its own.

mod common;

use common::{HostileGuest, hostile, limits, run};
use fedseal_sandbox::{RunOutcome, Sandbox};

/// Memory that the host may take for one guest beyond what it had, bytes: a guest's memory, a
/// compiler at work, and above all the transcript and the lineage, which grow with every host call
/// that its limit allows (a million for the guest that takes most).
const MOST: u64 = 256 << 20;

/// The largest resident size since the last [`forget_peak`], bytes; none where the system does not
/// say.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}

fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Compiles and runs it; the reason that is recorded, `update` where there is none.
fn ends(case: &HostileGuest) -> (String, Option<RunOutcome>) {
    let sandbox = Sandbox::new(case.limits).unwrap();
    match sandbox.compile(&case.bytes) {
        Err(error) => (error.reason().id().to_owned(), None),
        Ok(policy) => {
            let outcome = run(&sandbox, &policy);
            let ends = match &outcome.submission {
                Ok(_) => "update".to_owned(),
                Err(failure) => failure.reason.clone(),
            };
            (ends, Some(outcome))
        }
    }
}

#[test]
fn every_hostile_guest_is_contained() {
    let neighbours = Sandbox::new(limits()).unwrap();
    let honest = neighbours.compile(&hostile("scaled.wat")).unwrap();
    let alone = run(&neighbours, &honest);
    let cases = HostileGuest::all();
    let (mut total, mut contained, mut most, mut largest) = (0_u32, 0_u32, 0, 0);
    let mut escaped = Vec::new();
    for case in &cases {
        assert!(!case.tries.is_empty(), "{} says nothing", case.name);
        forget_peak();
        let before = peak().unwrap_or(0);
        let (ended, outcome) = ends(case);
        let reached = peak().unwrap_or(0);
        largest = largest.max(reached);
        let grown = reached.saturating_sub(before);
        most = most.max(grown);
        let mut problems = Vec::new();
        if ended != case.ends {
            let detail = outcome.as_ref().and_then(|o| o.submission.as_ref().err());
            problems.push(format!("ends by {ended} ({detail:?}), not {}", case.ends));
        }
        if grown > MOST {
            problems.push(format!("{} MiB of memory", grown >> 20));
        }
        if let Some(outcome) = &outcome {
            if let Err(error) = outcome.lineage.validate() {
                problems.push(error.to_string());
            }
            let fails = outcome.submission.is_err();
            if fails && (outcome.lineage.output.is_some() || !outcome.data.is_empty()) {
                problems.push("leaves an update's traces".into());
            }
            let printable = |line: &String| !line.contains(char::is_control);
            if !outcome.log.iter().all(printable) {
                problems.push("writes control characters".into());
            }
        }
        let after = run(&neighbours, &honest);
        if after.submission != alone.submission
            || after.transcript.root() != alone.transcript.root()
        {
            problems.push("the next client gets something else".into());
        }
        // The two honest ones are there so that the table can tell them apart.
        if case.ends != "update" {
            total += 1;
            contained += u32::from(problems.is_empty());
        }
        if !problems.is_empty() {
            escaped.push(format!("{}: {}", case.name, problems.join("; ")));
        }
    }
    eprintln!(
        "{contained} of {total} contained, at most {} MiB",
        most >> 20
    );
    let peak_mb = (largest >> 20) as u32;
    common::count(
        "hostile",
        &[
            ("total", total),
            ("contained", contained),
            ("peak_mb", peak_mb),
        ],
    );
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
    assert!(total >= 60, "only {total}");
}

/// The table itself can fail: a guest that does something else than its header says.
#[test]
fn another_end_is_seen() {
    let mut case = HostileGuest::read("trap.wat");
    case.bytes = hostile("no-submission.wat");
    assert_ne!(ends(&case).0, case.ends);
}
