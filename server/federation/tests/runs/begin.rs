//! Beginning a run and going on with it: one process a folder, one experiment a run, a log of its own;
//! and what a run says in which updates fail.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use crate::double::{Double, create, create_from, experiment, options, resume};
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::Record;
use fedseal_client_sdk::tlog::origin_names;
use fedseal_federation::runner::{Options, Run};
use fedseal_federation::{Error, Result};
use fedseal_ledger::{Log, LogReader};
use fedseal_record::dryrun::dry_run;
use fedseal_record::events::Event;
use fedseal_record::formulas;
use fedseal_record::monitor::observe;
use fedseal_record::read::read_experiment;
use fedseal_record::report::{ArmView, Report};
use fedseal_record::rundir::{FORMULAS, RunDir};
use fedseal_record::verify::{VerifyReport, verify, verify_by};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::formulas::Versions;

fn go_on(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn text<T>(result: Result<T>) -> String {
    result.err().unwrap().to_string()
}

/// One arm, two rounds.
fn small(arms: &[&str]) -> Experiment {
    let mut small = experiment();
    small.arms = arms.iter().map(|arm| (*arm).to_owned()).collect();
    small.federation.rounds = 2;
    small.evaluation.every = 0;
    small
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn of_several_that_begin_one_run_at_once_one_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    // The node's key is made before: this is about the run.
    drop(
        create_from(
            &dir.path().join("first"),
            &options,
            Double::new(),
            small(&["clean"]),
        )
        .unwrap(),
    );
    for turn in 0..4 {
        let run = dir.path().join(format!("run-{turn}"));
        let together = Barrier::new(3);
        let begin = || {
            together.wait();
            create_from(&run, &options, Double::new(), small(&["clean"]))
                .and_then(|mut begun| begun.execute(&mut go_on).map(drop))
        };
        let all: Vec<Result<()>> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..3).map(|_| scope.spawn(begin)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let mut ended = 0;
        for one in all {
            match one {
                Ok(()) => ended += 1,
                Err(error) => {
                    let said = error.to_string();
                    assert!(
                        said.contains("another process") || said.contains("a run is here already"),
                        "{said}"
                    );
                }
            }
        }
        assert_eq!(ended, 1);
        verify(&run).unwrap();
    }
}

#[test]
fn nothing_is_written_into_a_folder_that_another_process_holds() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let run = dir.path().join("run");
    fs::create_dir(&run).unwrap();
    let held = RunDir::new(&run).lock().unwrap();
    let said = text(create(&run, &options, Double::new()));
    assert!(said.contains("another process"), "{said}");
    assert_eq!(names(&run), Vec::<PathBuf>::new());
    drop(held);
    create(&run, &options, Double::new()).unwrap();
}

#[test]
fn a_place_that_cannot_be_a_runs_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    for name in ["my run", ".hidden", "a+b", "a~b", &"n".repeat(129)] {
        let place = dir.path().join(name);
        let said = text(create(&place, &options, Double::new()));
        assert!(said.contains("letters a to z"), "{name}: {said}");
        // Before a model is loaded, too: there is none of this name.
        let mut unknown = small(&["clean"]);
        unknown.model.source = "no such model".into();
        let said = text(Run::create(&place, unknown, options.clone()));
        assert!(said.contains("letters a to z"), "{name}: {said}");
        assert!(!place.exists(), "{name}");
    }
    let run = dir.path().join("run");
    drop(create(&run, &options, Double::new()).unwrap());
    let inside = run.join("again");
    let said = text(create(&inside, &options, Double::new()));
    assert!(said.contains("is a run"), "{said}");
    assert!(!inside.exists());
}

#[test]
fn a_run_goes_on_with_what_it_was_begun_with_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let run = dir.path().join("run");
    drop(create_from(&run, &options, Double::new(), small(&["clean"])).unwrap());
    let before = fs::read(run.join("run.json")).unwrap();
    let mut other = small(&["clean", "fedavg"]);
    other.federation.rounds = 5;
    let said = text(Run::resume(&run, Some(&other), options.clone()));
    for part in [
        "`federation.rounds` is 2 in the run and 5 now",
        "`arms` is [\"clean\"] in the run and [\"clean\",\"fedavg\"] now",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let seed = Options {
        seed: Some(9),
        ..options.clone()
    };
    let said = text(resume(&run, &seed, Double::new()));
    assert!(said.contains("seed 3, not 9"), "{said}");
    // The same experiment passes, and the next thing is looked at: the model.
    let said = text(Run::resume(&run, Some(&small(&["clean"])), options.clone()));
    assert!(said.contains("base model"), "{said}");
    assert_eq!(fs::read(run.join("run.json")).unwrap(), before);
    let same = Options {
        seed: Some(3),
        ..options
    };
    resume(&run, &same, Double::new())
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    verify(&run).unwrap();
}

fn arm<'a>(report: &'a Report, id: &str) -> &'a ArmView {
    report.arms.iter().find(|arm| arm.id == id).unwrap()
}

/// Accepted, refused and failed by arm and kind.
fn counts(report: &Report, arm: &str, kind: &str) -> (u64, u64, Option<u64>) {
    let mut all = report.verdicts.iter();
    let count = all.find(|count| count.arm == arm && count.kind == kind);
    let count = count.unwrap_or_else(|| panic!("no {kind} in {arm}"));
    (count.accepted, count.refused, count.failed)
}

#[test]
fn failures_are_counted_apart_and_a_round_that_changes_nothing_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let run = dir.path().join("run");
    let lab = || Double {
        failing: Some("malicious-gen"),
        ..Double::new()
    };
    let mut arms = small(&["clean", "fedavg", "provenance"]);
    // Every client attacks, so that an attacked round has nobody left.
    arms.federation.malicious = arms.federation.clients;
    arms.attack.kinds = vec!["malicious-gen".into()];
    let mut unchanged = 0;
    let report = create_from(&run, &options, lab(), arms)
        .unwrap()
        .execute(&mut |event: &Event| {
            if let Event::Round {
                arm,
                counted,
                unchanged: true,
                ..
            } = event
            {
                assert!(arm != "clean" && *counted == 0, "{event:?}");
                unchanged += 1;
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(unchanged, 4, "two rounds of two arms");
    // Nobody refused them: there was nothing that could be refused.
    let sampled = 2 * experiment().federation.sampled as u64;
    for arm in ["fedavg", "provenance"] {
        assert_eq!(counts(&report, arm, "malicious-gen"), (0, 0, Some(sampled)));
    }
    assert_eq!(counts(&report, "clean", "benign"), (sampled, 0, Some(0)));
    for (id, changed) in [("clean", true), ("fedavg", false), ("provenance", false)] {
        for round in &arm(&report, id).rounds {
            assert_eq!(round.unchanged, !changed, "{id}");
            assert_eq!(round.changed_nothing(), !changed, "{id}");
        }
    }
    assert!(!report.unchanged && !report.changed_nothing());
    let dry = dry_run(&run, &fedseal_rules::admission::default_provenance(), None).unwrap();
    let count = dry.by_kind()["malicious-gen"];
    assert_eq!((count.refused, count.failed), (0, 2 * sampled));
    verify(&run).unwrap();
}

#[test]
fn a_run_without_one_counted_update_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let run = dir.path().join("run");
    let lab = Double {
        failing: Some("benign"),
        ..Double::new()
    };
    let report = create_from(&run, &options, lab, small(&["clean"]))
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    assert!(report.unchanged && report.changed_nothing());
    let feed = fs::read_to_string(run.join("events.jsonl")).unwrap();
    assert!(feed.contains("no update counted in any round"), "{feed}");
    assert!(feed.lines().last().unwrap().contains("finished"));
    verify(&run).unwrap();
    // A run without a round is no such run.
    let none = create_from(
        &dir.path().join("none"),
        &options,
        Double::new(),
        small(&["clean"]),
    );
    let mut none = none.unwrap();
    let mut first = |event: &Event| match event {
        Event::Round { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    assert!(matches!(none.execute(&mut first), Err(Error::Interrupted)));
    drop(none);
    let bytes = fs::read(dir.path().join("none/report.json")).unwrap();
    assert!(!Report::from_bytes(&bytes).unwrap().changed_nothing());
}

fn records(run: &Path, node: &SigningKey) -> Vec<Record> {
    let log = LogReader::open(run.join("log"), &node.public()).unwrap();
    let entries = log.entries().unwrap();
    let records = entries.iter().map(|entry| Record::from_bytes(entry));
    records.map(std::result::Result::unwrap).collect()
}

#[test]
fn each_run_has_a_log_of_its_own_which_names_its_node() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let make = |path: &str| {
        let run = dir.path().join(path);
        create_from(&run, &options, Double::new(), small(&["clean"]))
            .unwrap()
            .execute(&mut go_on)
            .unwrap();
        verify(&run).unwrap();
        let plan = RunDir::new(&run).read_plan().unwrap();
        assert_eq!(plan.formulas, FORMULAS);
        assert!(origin_names(&plan.origin, &plan.node), "{}", plan.origin);
        (run, plan)
    };
    let (first, plan) = make("a/tiny");
    let (second, other) = make("b/tiny");
    let (_, seed) = make("demo/seed-1");
    assert!(seed.origin.starts_with("fedseal/run/demo~seed-1/"));
    assert_ne!(plan.origin, other.origin);
    // Who pinned the one and looks at the other is told so: it is no split view.
    let read = |run: &Path| LogReader::open(run.join("log"), &plan.node).unwrap();
    let pinned = read(&first).checkpoint().clone();
    let error = observe(&read(&second), Some(&pinned), &[]).unwrap_err();
    let other_log = matches!(error, Error::Ledger(fedseal_ledger::Error::OtherLog { .. }));
    assert!(other_log, "{error}");

    // A node cannot take the name of another's log.
    let node = SigningKey::load(options.keys.join("node.pem")).unwrap();
    let theirs = SigningKey::from_seed([9; 32]).public();
    let origin = fedseal_client_sdk::tlog::run_origin("tiny", &theirs).unwrap();
    let all = records(&second, &node);
    let mut forged = other;
    forged.origin = origin.clone();
    let bytes = fedseal_client_sdk::canonical::to_vec(&forged).unwrap();
    fs::write(second.join("run.json"), bytes).unwrap();
    fs::remove_dir_all(second.join("log")).unwrap();
    let mut log = Log::create(second.join("log"), &origin, node).unwrap();
    for record in all {
        log.append(&record.to_bytes().unwrap()).unwrap();
    }
    log.publish().unwrap();
    let said = text(verify(&second));
    assert!(said.contains("is not one of node key"), "{said}");
}

/// A run that was made before failures were counted apart and before origins named their keys, as a
/// ustar file: the double's seven arms, in which module `benign` fails.
const OLD: &[u8] = include_bytes!("../old_run.tar");

/// The key of its node, made for it alone.
const OLD_NODE: &str = "d430981b65b852001acce6d3b3ade8b2c8c2ddb83a5105b5c05167d5d2ef1047";

/// Unpacks a ustar file's regular files below a folder.
fn unpack(tar: &[u8], to: &Path) {
    let field = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0);
        String::from_utf8(bytes[..end.unwrap_or(bytes.len())].to_vec()).unwrap()
    };
    let mut rest = tar;
    while rest.first().is_some_and(|byte| *byte != 0) {
        let (header, after) = rest.split_at(512);
        let size = usize::from_str_radix(field(&header[124..136]).trim(), 8).unwrap();
        if header[156] == b'0' {
            let path = to.join(field(&header[..100]));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &after[..size]).unwrap();
        }
        rest = &after[size.next_multiple_of(512)..];
    }
}

#[test]
fn an_older_run_verifies_and_goes_on_as_it_was_made() {
    let dir = tempfile::tempdir().unwrap();
    unpack(OLD, dir.path());
    let run = dir.path().join("run");
    let checked = verify(&run).unwrap();
    assert_eq!((checked.entries, checked.aggregations), (184, 24));
    let plan = RunDir::new(&run).read_plan().unwrap();
    assert_eq!(
        (plan.formulas, plan.origin.as_str()),
        (0, "fedseal/run/run")
    );
    let bytes = fs::read(run.join("report.json")).unwrap();
    let report = Report::from_bytes(&bytes).unwrap();
    // The same bytes again: nothing is added to an old report.
    assert_eq!(report.to_bytes().unwrap(), bytes);
    assert!(plan.measures.is_empty() && report.measures.is_empty());
    // It has its failures among the refusals; whoever counts them now finds them.
    let (accepted, refused, failed) = counts(&report, "clean", "benign");
    assert_eq!((accepted, failed), (0, None));
    assert!(refused > 0);
    let now = report.verdict_counts();
    let clean = now.iter().find(|count| count.arm == "clean").unwrap();
    assert_eq!((clean.refused, clean.failed), (0, Some(refused)));
    assert!(
        arm(&report, "clean")
            .rounds
            .iter()
            .all(|round| round.changed_nothing())
    );

    // As it stood halfway, it goes on and gets the report that it had, in the form that it had.
    let options = options(dir.path());
    let mut seed = [0; 32];
    for (at, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&OLD_NODE[2 * at..2 * at + 2], 16).unwrap();
    }
    let node = SigningKey::from_seed(seed);
    node.save_new(options.keys.join("node.pem")).unwrap();
    let mut half = records(&run, &node);
    half.truncate(half.len() / 2);
    fs::remove_dir_all(run.join("log")).unwrap();
    fs::remove_file(run.join("report.json")).unwrap();
    let mut log = Log::create(run.join("log"), &plan.origin, node).unwrap();
    for record in half {
        log.append(&record.to_bytes().unwrap()).unwrap();
    }
    log.publish().unwrap();
    drop(log);
    let lab = Double {
        failing: Some("benign"),
        ..Double::new()
    };
    let again = resume(&run, &options, lab)
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    assert_eq!(again.verdicts, report.verdicts);
    for before in &report.arms {
        let after = arm(&again, &before.id);
        assert!(after.measures.is_empty());
        assert_eq!(after.final_adapter, before.final_adapter, "{}", before.id);
    }
    verify(&run).unwrap();
}

/// The old run, verified by a program that has another version of a formula.
fn by_another(run: &Path, formula: &str) -> VerifyReport {
    verify_by(run, &Versions::here().with(formula, 2)).unwrap()
}

#[test]
fn nothing_is_computed_again_by_a_formula_of_another_version() {
    let dir = tempfile::tempdir().unwrap();
    unpack(OLD, dir.path());
    let run = dir.path().join("run");
    let plain = verify(&run).unwrap();
    assert!(plain.not_computed.is_empty());
    let without = serde_json::to_value(&plain).unwrap();
    assert!(without.get("not_computed").is_none(), "{without}");

    let median = by_another(&run, "rule median");
    let said: Vec<String> = median.not_computed.iter().map(|o| o.to_string()).collect();
    assert_eq!(
        said,
        ["made under version 1 of rule median; this program has version 2"]
    );
    let left = |one: &VerifyReport| (one.verdicts, one.aggregations, one.evaluations);
    let all = left(&plain);
    // Four rounds of one arm, of three clients each.
    assert_eq!(left(&median), (all.0, all.1 - 4, all.2));
    let canaries = by_another(&run, "check canaries");
    assert_eq!(left(&canaries), (all.0 - 12, all.1, all.2));
    assert_eq!(left(&by_another(&run, "check binding")), (0, all.1, all.2));
    assert_eq!(
        left(&by_another(&run, "optimiser plain")),
        (all.0, 0, all.2)
    );
    for measure in ["measure refusal", "measure exact"] {
        let other = by_another(&run, measure);
        assert_eq!(left(&other), (all.0, all.1, 0));
        assert_eq!(other.not_computed.iter().count(), 1, "{measure}");
    }
    let score = by_another(&run, "check data-score");
    assert!(score.not_computed.score());
    // A formula that it does not use, and one that takes a model, are of no account here.
    for other in ["rule dnc", "measure overlap", "text model"] {
        assert_eq!(by_another(&run, other), plain, "{other}");
    }
    // The rest is still looked at.
    let report = run.join("report.json");
    let text = fs::read_to_string(&report).unwrap();
    fs::write(&report, text.replacen("accept", "reject", 1)).unwrap();
    let here = Versions::here().with("rule median", 2);
    let said = verify_by(&run, &here).unwrap_err().to_string();
    assert!(said.contains("report.json"), "{said}");
}

#[test]
fn nobody_goes_on_with_a_run_under_other_formulas() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let run = dir.path().join("run");
    drop(create_from(&run, &options, Double::new(), small(&["clean"])).unwrap());
    let folder = RunDir::new(&run);
    let mut plan = folder.read_plan().unwrap();
    let used = Versions::here()
        .used_by(&small(&["clean"]), &["rule-strict"])
        .unwrap();
    assert_eq!(plan.versions, used);
    assert!(!used.is_empty());

    let experiment = read_experiment(&folder, &plan).unwrap();
    let here = Versions::here();
    formulas::same(&run, &plan, &experiment, &here).unwrap();
    let text_of = |here: &Versions| {
        let others = formulas::others(&plan, &experiment, here).unwrap();
        formulas::same_text(&run, &experiment, &others)
    };
    text_of(&here).unwrap();
    let said = text(text_of(&here.with("text model", 2)));
    assert!(
        said.contains("version 1 of text model") && said.contains("executed again"),
        "{said}"
    );
    let median = Versions::here().with("rule median", 2);
    formulas::same(&run, &plan, &experiment, &median).unwrap();

    // As a program with another FedAvg began it, killed before its log had an entry.
    plan.versions = plan.versions.with("rule fedavg", 2);
    let bytes = fedseal_client_sdk::canonical::to_vec(&plan).unwrap();
    fs::write(run.join("run.json"), bytes).unwrap();
    fs::remove_dir_all(run.join("log")).unwrap();
    let said = text(resume(&run, &options, Double::new()));
    assert!(
        said.contains("made under version 2 of rule fedavg; this program has version 1"),
        "{said}"
    );
}
