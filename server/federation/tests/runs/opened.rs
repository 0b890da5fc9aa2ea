//! A run whose run.json or experiment.toml is another file than its log vouches for: no reader
//! believes a name of it, and none compiles or executes a module.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::double::{Double, Doubled, create_from, experiment, options, resume};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_federation::replay::{Selector, replay_in};
use fedseal_record::dryrun::dry_run;
use fedseal_record::events::Event;
use fedseal_record::explain::explain;
use fedseal_record::export::final_adapter;
use fedseal_record::opened::{OpenRun, Pinned};
use fedseal_record::rundir::{Plan, RunDir};
use fedseal_record::verify;

fn small() -> fedseal_rules::experiment::Experiment {
    let mut small = experiment();
    small.federation.rounds = 1;
    small.evaluation.every = 0;
    small.arms = ["clean", "fedavg"].map(String::from).to_vec();
    small
}

/// Everybody who reads a run and has to refuse this one, naming the file. Verify is held against
/// forged runs elsewhere.
fn refused(run: &Path, update: &str, file: &str) {
    let lab = Doubled::new(Double::new());
    let which = Selector::Prefix(update.to_owned());
    let mut texts = vec![
        ("explain", explain(run, update).err().map(|e| e.to_string())),
        (
            "replay",
            replay_in(run, &which, &lab).err().map(|e| e.to_string()),
        ),
        ("bundle", OpenRun::read(run).err().map(|e| e.to_string())),
        (
            "export",
            final_adapter(run, "clean").err().map(|e| e.to_string()),
        ),
        (
            "admission check",
            dry_run(run, &[], None).err().map(|e| e.to_string()),
        ),
        (
            "authors",
            verify::authors(run, &TrustStore::default())
                .err()
                .map(|e| e.to_string()),
        ),
    ];
    let keys = options(run.parent().unwrap());
    let resumed = resume(run, &keys, Double::new());
    texts.push(("resume", resumed.err().map(|e| e.to_string())));
    for (who, text) in texts {
        let text = text.unwrap_or_else(|| panic!("{who} believes {file}"));
        assert!(text.contains(file), "{who}: {text}");
    }
    assert!(!lab.asked.load(Ordering::SeqCst), "modules were compiled");
}

#[test]
fn a_changed_plan_or_experiment_is_believed_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut finished = create_from(&run, &options(dir.path()), Double::new(), small()).unwrap();
    let report = finished
        .execute(&mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
    drop(finished);
    let clean = report.arms.iter().find(|arm| arm.id == "clean").unwrap();
    let update = clean.rounds[0].clients[0].update.unwrap().to_string();
    assert!(explain(&run, &update).is_ok() && Pinned::read(&run).is_ok());
    let longer = Pinned::read_within(&run, 3).err().unwrap().to_string();
    assert!(longer.contains("more than 3 entries"), "{longer}");
    let files = RunDir::new(&run);
    let (plan_bytes, toml) = (
        fs::read(files.plan()).unwrap(),
        fs::read(files.experiment()).unwrap(),
    );

    type Bend = fn(&mut Plan);
    let bends: [Bend; 6] = [
        // Mallory's module under the honest one's name, by an author who is called alice.
        |plan| {
            let mallory = SigningKey::from_seed([7; 32]).public();
            plan.authors = TrustStore::default();
            plan.authors.add("alice", mallory);
            plan.modules.iter_mut().for_each(|m| m.signer = mallory);
        },
        |plan| plan.modules.swap(0, 1),
        |plan| plan.clients[0].kind = "benign-er".into(),
        |plan| plan.clients[0].honest.examples += 1,
        |plan| plan.base_name = "a better model".into(),
        |plan| plan.created = "2001-01-01T00:00:00Z".into(),
    ];
    for bend in bends {
        let mut plan: Plan = canonical::from_slice(&plan_bytes).unwrap();
        bend(&mut plan);
        fs::write(files.plan(), canonical::to_vec(&plan).unwrap()).unwrap();
        refused(&run, &update, "run.json");
        let text = Pinned::read(&run).err().unwrap().to_string();
        assert!(text.contains("run.json"), "{text}");
    }
    fs::write(files.plan(), "{}").unwrap();
    refused(&run, &update, "run.json: ");
    // Another experiment.toml, also with a run.json that names it.
    let other = String::from_utf8(toml).unwrap() + "\n# changed\n";
    fs::write(files.experiment(), &other).unwrap();
    let mut plan: Plan = canonical::from_slice(&plan_bytes).unwrap();
    plan.experiment = Digest::of(other.as_bytes());
    fs::write(files.plan(), canonical::to_vec(&plan).unwrap()).unwrap();
    refused(&run, &update, "run.json");
    fs::write(files.plan(), &plan_bytes).unwrap();
    refused(&run, &update, "experiment.toml");
}

#[test]
fn a_report_that_was_changed_after_the_run_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    create_from(&run, &options(dir.path()), Double::new(), small())
        .unwrap()
        .execute(&mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
    let opened = OpenRun::read(&run).unwrap();
    let mut report = opened.report().unwrap();
    report.seconds += 1.0;
    fs::write(opened.dir.report(), report.to_bytes().unwrap()).unwrap();
    let text = opened.report().unwrap_err().to_string();
    assert!(
        text.contains("report.json: is not the logged report"),
        "{text}"
    );
}
