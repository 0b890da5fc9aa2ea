//! The effect `replay`: an update that fails such a check is executed again by the server and
//! counts only with equal bits.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use crate::double::{Double, create_from, experiment, options};
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::{Effect, Record};
use fedseal_ledger::{Log, LogReader};
use fedseal_record::events::Event;
use fedseal_record::verify::verify;
use fedseal_rules::admission::CheckConfig;

/// Every update fails the norm check, so every one is executed again.
fn run(dir: &Path, lab: Double) -> Vec<Record> {
    let options = options(dir);
    let mut small = experiment();
    small.federation.rounds = 2;
    small.evaluation.every = 0;
    small.arms = ["clean", "fedavg", "provenance"].map(String::from).to_vec();
    small.admission.provenance = Some(vec![CheckConfig {
        effect: "replay".into(),
        ..CheckConfig::new("norm").with("max_ratio", 0.0)
    }]);
    create_from(&dir.join("run"), &options, lab, small)
        .unwrap()
        .execute(&mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
    read(dir)
}

fn key(dir: &Path) -> SigningKey {
    SigningKey::load(dir.join("keys/node.pem")).unwrap()
}

fn read(dir: &Path) -> Vec<Record> {
    let log = LogReader::open(dir.join("run/log"), &key(dir).public()).unwrap();
    let entries = log.entries().unwrap();
    entries
        .iter()
        .map(|bytes| Record::from_bytes(bytes).unwrap())
        .collect()
}

fn verdicts<'a>(records: &'a [Record], of: &'a str) -> impl Iterator<Item = (Effect, &'a str)> {
    records.iter().filter_map(move |record| match record {
        Record::Verdict {
            arm, effect, fact, ..
        } if arm == of => Some((*effect, fact.as_str())),
        _ => None,
    })
}

#[test]
fn equal_bits_pass_and_other_bits_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let records = run(dir.path(), Double::new());
    assert_eq!(verdicts(&records, "provenance").count(), 6);
    for (effect, fact) in verdicts(&records, "provenance") {
        assert_eq!(effect, Effect::Accept);
        assert!(fact.contains("executed again: equal"), "{fact}");
    }
    verify(dir.path().join("run")).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let unsteady = Double {
        unsteady: true,
        ..Double::new()
    };
    let records = run(dir.path(), unsteady);
    for (effect, fact) in verdicts(&records, "provenance") {
        assert_eq!(effect, Effect::Reject);
        assert!(
            fact.contains("executed again: transcript entry 1: another result"),
            "{fact}"
        );
    }
    // Arms that demand nothing let the same updates count.
    assert!(verdicts(&records, "fedavg").all(|(effect, _)| effect == Effect::Accept));
    verify(dir.path().join("run")).unwrap();
}

#[test]
fn an_acceptance_that_skips_the_replay_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let mut records = run(dir.path(), Double::new());
    for record in &mut records {
        if let Record::Verdict { arm, fact, .. } = record
            && arm == "provenance"
        {
            *fact = fact.replace("; executed again: equal transcript and adapter", "");
        }
    }
    let folder = dir.path().join("run/log");
    let reader = LogReader::open(&folder, &key(dir.path()).public()).unwrap();
    let origin = reader.checkpoint().origin.clone();
    fs::remove_dir_all(&folder).unwrap();
    let mut log = Log::create(&folder, &origin, key(dir.path())).unwrap();
    for record in &records {
        log.append(&record.to_bytes().unwrap()).unwrap();
    }
    log.publish().unwrap();
    let error = verify(dir.path().join("run")).unwrap_err().to_string();
    assert!(error.contains("is not what the checks say"), "{error}");
}

#[test]
fn checks_are_tried_on_a_run_that_is_over() {
    use fedseal_record::dryrun::dry_run;
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), Double::new());
    let folder = dir.path().join("run");
    let check = |name: &str, effect: &str| CheckConfig {
        effect: effect.into(),
        ..CheckConfig::new(name)
    };
    let dry = dry_run(&folder, &[check("lineage", "")], None).unwrap();
    assert!(dry.left_out.is_empty());
    let by_kind = dry.by_kind();
    assert_eq!(by_kind["benign"].refused, 0);
    let attackers: u64 = by_kind
        .iter()
        .filter(|(kind, _)| ["malicious-gen", "unaligned-data"].contains(&kind.as_str()))
        .map(|(_, count)| {
            assert_eq!(count.counted, 0);
            count.refused
        })
        .sum();
    assert!(attackers > 0, "no attacker was drawn");
    let replayed = dry_run(&folder, &[check("lineage", "replay")], Some("fedavg")).unwrap();
    for row in &replayed.rows {
        assert!(row.would.counts() && row.arm == "fedavg");
        assert_eq!(
            row.replay,
            ["malicious-gen", "unaligned-data"].contains(&row.kind.as_str())
        );
    }
    assert!(dry_run(&folder, &[check("lineage", "")], Some("krum")).is_err());
    assert!(dry_run(&folder, &[check("nonsense", "")], None).is_err());
}
