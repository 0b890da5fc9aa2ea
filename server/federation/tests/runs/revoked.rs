//! An author's key that is revoked while a run goes on: what was logged before stands, what comes
//! after does not count in any arm, and the auditor sees both.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use crate::double::{Double, create_from, experiment, options, resume};
use fedseal_client_sdk::keys::{RevokedKey, SigningKey, TrustStore};
use fedseal_client_sdk::record::{Effect, Record};
use fedseal_client_sdk::tlog::verifier_key;
use fedseal_federation::Error;
use fedseal_federation::runner::Options;
use fedseal_ledger::{Log, LogReader};
use fedseal_record::events::Event;
use fedseal_record::rundir::RunDir;
use fedseal_record::verify::verify;

/// Revokes the author's key in the trust file of the run's machine.
pub(crate) fn revoke(options: &Options) {
    let file = options.keys.join("trusted.toml");
    let mut store = TrustStore::load(&file).unwrap();
    store.revoke(RevokedKey {
        key: store.keys[0].key,
        reason: "laptop lost".into(),
        logs: Default::default(),
    });
    store.save(&file).unwrap();
}

fn records(run: &Path, options: &Options) -> Vec<Record> {
    let key = SigningKey::load(options.keys.join("node.pem")).unwrap();
    let log = LogReader::open(run.join("log"), &key.public()).unwrap();
    log.entries()
        .unwrap()
        .iter()
        .map(|bytes| Record::from_bytes(bytes).unwrap())
        .collect()
}

/// A run that is stopped after its first round, whose author is revoked, and that goes on.
fn interrupted(dir: &Path) -> Options {
    let options = options(dir);
    let mut small = experiment();
    small.federation.rounds = 3;
    small.evaluation.every = 0;
    small.arms = ["clean", "fedavg", "provenance"].map(String::from).to_vec();
    let run = dir.join("run");
    let stopped = create_from(&run, &options, Double::new(), small)
        .unwrap()
        .execute(&mut |event: &Event| match event {
            Event::Round { arm, round: 0, .. } if arm == "provenance" => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    revoke(&options);
    for _ in 0..2 {
        // Twice, as after a crash: it is revoked once.
        resume(&run, &options, Double::new()).unwrap();
    }
    resume(&run, &options, Double::new())
        .unwrap()
        .execute(&mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
    options
}

#[test]
fn revoked_from_a_place_in_the_log_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = interrupted(dir.path());
    let run = dir.path().join("run");
    let records = records(&run, &options);
    let at = records
        .iter()
        .position(|r| matches!(r, Record::KeyRevoked { .. }))
        .unwrap();
    let (mut before, mut after) = (0, 0);
    for (index, record) in records.iter().enumerate() {
        match record {
            Record::KeyRevoked { reason, .. } => {
                assert_eq!((index, reason.as_str()), (at, "laptop lost"))
            }
            Record::Verdict {
                effect,
                check,
                fact,
                round,
                ..
            } if round.0 > 0 => {
                assert!(index > at);
                assert_eq!(
                    (*effect, check.as_str()),
                    (Effect::Reject, "revoked"),
                    "{fact}"
                );
                assert!(fact.contains(&format!("log entry {at}")), "{fact}");
                after += 1;
            }
            Record::Verdict { check, .. } => {
                assert_ne!(check, "revoked");
                before += 1;
            }
            _ => (),
        }
    }
    assert!(before > 0 && after > 0);
    verify(&run).unwrap();
    // A new run with this author's modules does not even begin.
    let again = create_from(
        &dir.path().join("again"),
        &options,
        Double::new(),
        experiment(),
    );
    let error = again.err().unwrap().to_string();
    assert!(error.contains("laptop lost"), "{error}");
}

#[test]
fn a_node_that_leaves_the_revocation_out_or_ignores_it_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let options = interrupted(dir.path());
    let run = dir.path().join("run");
    let key = SigningKey::load(options.keys.join("node.pem")).unwrap();
    let all = records(&run, &options);
    let rewrite = |records: &[Record]| {
        let folder = run.join("log");
        let reader = LogReader::open(&folder, &key.public()).unwrap();
        let origin = reader.checkpoint().origin.clone();
        fs::remove_dir_all(&folder).unwrap();
        let mut log = Log::create(&folder, &origin, key.clone()).unwrap();
        for record in records {
            log.append(&record.to_bytes().unwrap()).unwrap();
        }
        log.publish().unwrap();
        verify(&run).unwrap_err().to_string()
    };
    let without: Vec<Record> = all
        .iter()
        .filter(|r| !matches!(r, Record::KeyRevoked { .. }))
        .cloned()
        .collect();
    let error = rewrite(&without);
    assert!(error.contains("is not what the checks say"), "{error}");
    let mut ignored = all;
    for record in &mut ignored {
        if let Record::Verdict {
            effect,
            weight,
            check,
            fact,
            ..
        } = record
            && check == "revoked"
        {
            (*effect, *weight) = (Effect::Accept, 1.0);
            *check = "all".into();
            *fact = "digests, round, client, shape and values are as they must be".into();
        }
    }
    let error = rewrite(&ignored);
    assert!(error.contains("revoked"), "{error}");
}

#[test]
fn an_auditors_own_trust_file_is_held_against_the_same_positions() {
    use fedseal_record::verify::authors;
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let store = TrustStore::load(options.keys.join("trusted.toml")).unwrap();
    let mut small = experiment();
    small.federation.rounds = 1;
    small.evaluation.every = 0;
    small.arms = ["clean"].map(String::from).to_vec();
    let run = dir.path().join("run");
    create_from(&run, &options, Double::new(), small)
        .unwrap()
        .execute(&mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
    authors(&run, &store).unwrap();
    assert!(
        authors(&run, &TrustStore::default()).is_err(),
        "nobody is trusted"
    );
    let records = records(&run, &options);
    let last = records
        .iter()
        .rposition(|r| matches!(r, Record::Update { .. }))
        .unwrap() as u64;
    let revoked = |logs: &[(&str, u64)]| {
        let mut store = store.clone();
        store.revoke(RevokedKey {
            key: store.keys[0].key,
            reason: "laptop lost".into(),
            logs: logs
                .iter()
                .map(|(log, n)| ((*log).to_owned(), *n))
                .collect(),
        });
        authors(&run, &store)
    };
    let plan = RunDir::new(&run).read_plan().unwrap();
    let log = verifier_key(&plan.origin, &plan.node);
    let another = SigningKey::from_seed([9; 32]).public();
    revoked(&[(&log, last + 1)]).unwrap();
    for bad in [
        revoked(&[(&log, last)]),
        // A log of this origin that another key signs, and another log of this key.
        revoked(&[(&verifier_key(&plan.origin, &another), last + 1)]),
        revoked(&[(&verifier_key("another", &plan.node), last + 1)]),
        revoked(&[]),
    ] {
        let error = bad.unwrap_err().to_string();
        assert!(error.contains("laptop lost"), "{error}");
    }
    let mut expired = store.clone();
    expired.keys[0].expires = Some("2000-01-01T00:00:00Z".into());
    assert!(
        authors(&run, &expired)
            .unwrap_err()
            .to_string()
            .contains("expired")
    );
}
