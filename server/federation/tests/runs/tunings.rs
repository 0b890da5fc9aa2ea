//! Arms whose own global adapter the server tunes: before the first round, or after rounds.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::double::{Double, create_from, experiment, options, resume};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::record::Record;
use fedseal_federation::Error;
use fedseal_record::events::Event;
use fedseal_record::opened::OpenRun;
use fedseal_record::report::Report;
use fedseal_record::verify::verify;
use fedseal_rules::aggregation::ServerInput;
use fedseal_rules::experiment::Experiment;

/// Vaccine before the rounds, Lisa after every second one, Panacea after the last.
fn tuned() -> Experiment {
    let mut all = experiment().to_toml().unwrap().replace(
        "arms = [\"clean\", \"fedavg\", \"median\", \"krum\", \"provenance\", \"behaviour\", \"defended\"]",
        "arms = [\"fedavg\", \"vaccine\", \"lisa\", \"panacea\"]",
    );
    all.push_str(
        "\n[arm.vaccine]\ndefence = \"vaccine\"\nwhen = \"first\"\n\
         parameters = { steps = 6, safety_examples = 5, learning_rate = 1e-2 }\n\
         [arm.lisa]\ndefence = \"lisa\"\nwhen = \"rounds\"\nevery = 2\n\
         parameters = { steps = 3, safety_examples = 5, learning_rate = 1e-3 }\n\
         [arm.panacea]\ndefence = \"panacea\"\nrepairs = \"lisa\"\n\
         parameters = { steps = 4, harmful_examples = 7, helpful_examples = 5 }\n",
    );
    Experiment::parse(&all, "tuned.toml").unwrap()
}

fn last(report: &Report, arm: &str) -> String {
    let arm = report.arms.iter().find(|view| view.id == arm).unwrap();
    arm.final_adapter.unwrap().to_string()
}

#[test]
fn tunings_are_logged_where_they_are_due_and_a_stopped_run_ends_alike() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let whole = dir.path().join("whole");
    let mut go_on = |_: &Event| ControlFlow::Continue(());
    let report = create_from(&whole, &options, Double::new(), tuned())
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    assert_eq!(report.progress.done, report.progress.total);
    assert_eq!(verify(&whole).unwrap().aggregations, 12);
    let counts = |arm: &str| {
        let view = report.defence.iter().find(|view| view.arm == arm).unwrap();
        view.counts.clone()
    };
    assert_eq!(counts("vaccine")["safety"], 5);
    assert_eq!(counts("lisa")["safety"], 5);
    assert_eq!(counts("panacea")["harmful"], 7);
    // Four rounds: one tuning before them, and one after the second and the fourth.
    let plan = fedseal_record::rundir::RunDir::new(&whole)
        .read_plan()
        .unwrap();
    let log = fedseal_ledger::LogReader::open(whole.join("log"), &plan.node).unwrap();
    let mut found = Vec::new();
    let mut after = None;
    for bytes in log.entries().unwrap() {
        match Record::from_bytes(&bytes).unwrap() {
            Record::Tuned {
                arm,
                round,
                adapter,
                ..
            } => {
                after = Some((arm.clone(), adapter));
                found.push((arm, round.map(|round| round.0)));
            }
            // The next round begins with what was tuned.
            Record::RoundOpened { arm, global, .. } => {
                if let Some((tuned, adapter)) = after.take_if(|(tuned, _)| *tuned == arm) {
                    assert_eq!(global, adapter, "{tuned}");
                }
            }
            _ => {}
        }
    }
    let expected = [
        ("vaccine".to_owned(), None),
        ("lisa".to_owned(), Some(1)),
        ("lisa".to_owned(), Some(3)),
    ];
    assert_eq!(found, expected);
    assert_ne!(last(&report, "lisa"), last(&report, "fedavg"));
    assert_ne!(last(&report, "vaccine"), last(&report, "fedavg"));
    // A history begins where its arm did; one with tunings after rounds is not aggregated again.
    let mut opened = OpenRun::read(&whole).unwrap();
    let nobody = BTreeSet::new();
    let history = opened.history(Some("vaccine")).unwrap();
    let same = opened.undone(&history, &nobody).unwrap();
    assert_eq!(Digest(same.digest()).to_string(), last(&report, "vaccine"));
    let history = opened.history(Some("lisa")).unwrap();
    let error = opened.undone(&history, &nobody).unwrap_err().to_string();
    assert!(error.contains("arm lisa is tuned"), "{error}");

    let stopped = dir.path().join("stopped");
    drop(create_from(&stopped, &options, Double::new(), tuned()).unwrap());
    let again = loop {
        let mut events = 0;
        let mut watch = |event: &Event| {
            events += usize::from(*event != Event::Tick);
            match events > 9 {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let mut run = resume(&stopped, &options, Double::new()).unwrap();
        match run.execute(&mut watch) {
            Ok(report) => break report,
            Err(Error::Interrupted) => {}
            Err(error) => panic!("{error}"),
        }
    };
    for arm in ["fedavg", "vaccine", "lisa", "panacea"] {
        assert_eq!(last(&again, arm), last(&report, arm), "{arm}");
    }
    verify(&stopped).unwrap();
}

#[test]
fn rules_get_an_input_of_the_server_s_in_every_round_and_verify_applies_them_again() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let rules = ["fltrust", "safe-fedllm", "spectral", "behaviour-weighted"];
    let mut served = experiment();
    served.arms = rules.map(String::from).to_vec();
    for rule in ["safe-fedllm", "spectral"] {
        let own = served.aggregation.clone().with(rule, "simulated", 2);
        served.aggregation = own.with(rule, "examples", 8);
    }
    let run = dir.path().join("run");
    let mut go_on = |_: &Event| ControlFlow::Continue(());
    create_from(&run, &options, Double::new(), served)
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    assert_eq!(verify(&run).unwrap().aggregations, 16);
    let plan = fedseal_record::rundir::RunDir::new(&run)
        .read_plan()
        .unwrap();
    let log = fedseal_ledger::LogReader::open(run.join("log"), &plan.node).unwrap();
    let mut inputs = std::collections::BTreeMap::<String, Vec<_>>::new();
    for bytes in log.entries().unwrap() {
        if let Record::ServerInput {
            arm, adapter, data, ..
        } = Record::from_bytes(&bytes).unwrap()
        {
            inputs.entry(arm).or_default().push((data, adapter));
        }
    }
    for rule in rules {
        let own = &inputs[rule];
        assert_eq!(own.len(), 4, "{rule}");
        // FLTrust alone has an adapter; what is learned of simulated clients is learned once.
        let trained = own.iter().all(|(_, adapter)| adapter.is_some());
        assert_eq!(trained, rule == "fltrust", "{rule}");
        let once = own.iter().all(|input| *input == own[0]);
        assert_eq!(once, ["safe-fedllm", "spectral"].contains(&rule), "{rule}");
    }
}

#[test]
fn what_a_rule_remembers_of_clients_is_logged_and_derived_again() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let mut served = experiment();
    let rule = "safe-fedllm";
    served.arms = vec![rule.to_owned()];
    for (key, number) in [
        ("level", 4),
        ("evidence", 1),
        ("simulated", 2),
        ("examples", 8),
    ] {
        served.aggregation = served.aggregation.with(rule, key, number);
    }
    let run = dir.path().join("run");
    let mut go_on = |_: &Event| ControlFlow::Continue(());
    create_from(&run, &options, Double::new(), served)
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    verify(&run).unwrap();
    let opened = OpenRun::read(&run).unwrap();
    let remembered: Vec<usize> = opened.state.arms[rule]
        .iter()
        .map(|round| {
            let (data, _) = round.input.unwrap();
            let input = ServerInput::from_bytes(&opened.blobs.get(&data).unwrap()).unwrap();
            let names = input.numbers.keys();
            names
                .filter(|name| name.starts_with("evidence of "))
                .count()
        })
        .collect();
    assert_eq!(remembered.len(), 4);
    assert_eq!(remembered[0], 0);
    // Three clients are drawn in the first round.
    assert_eq!(remembered[1], 3);
    assert!(
        remembered.is_sorted() && remembered[3] > 3,
        "{remembered:?}"
    );
}

#[test]
fn repairs_towards_an_aligned_adapter_are_verified() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let run = dir.path().join("run");
    let mut small = experiment();
    small.federation.rounds = 1;
    small.arms = ["fedavg", "anchored", "deep"].map(String::from).to_vec();
    let mut all = small.to_toml().unwrap();
    for (arm, defence, further) in [
        ("anchored", "anchor", "anchors = 2"),
        ("deep", "deep-tokens", "harmful_examples = 7"),
    ] {
        all.push_str(&format!(
            "\n[arm.{arm}]\nrepairs = \"fedavg\"\ndefence = \"{defence}\"\n\
             parameters = {{ steps = 3, repair_steps = 2, safety_examples = 3, helpful_examples = 4, {further} }}\n"
        ));
    }
    let both = Experiment::parse(&all, "both.toml").unwrap();
    let report = create_from(&run, &options, Double::new(), both)
        .unwrap()
        .execute(&mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
    verify(&run).unwrap();
    for (arm, harmful) in [("anchored", None), ("deep", Some(7))] {
        let view = report.defence.iter().find(|view| view.arm == arm).unwrap();
        let count = |list: &str| view.counts.get(list).copied();
        let counts = [count("safety"), count("helpful"), count("harmful")];
        assert_eq!(counts, [Some(3), Some(4), harmful], "{arm}");
        assert_ne!(last(&report, arm), last(&report, "fedavg"));
    }
}
