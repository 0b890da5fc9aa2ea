//! SCAFFOLD over whole runs: variates follow from the log by the paper's formulas, go into the runs
//! of the next round, are verified and replayed, and cannot be others.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use crate::double::{Double, create_from, experiment, options, resume};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::lineage::Kind;
use fedseal_client_sdk::record::Record;
use fedseal_record::controls::Controls;
use fedseal_record::events::Event;
use fedseal_record::opened::OpenRun;
use fedseal_rules::experiment::Experiment;

use fedseal_federation::replay::{Selector, replay_in};
use fedseal_ledger::{Blobs, Log, LogReader};
use fedseal_record::verify::verify;
use fedseal_tuning::Adapter;

/// Four of six clients run SCAFFOLD in the attacked arms.
fn scaffolded() -> Experiment {
    let mut small = experiment();
    small.federation.rounds = 3;
    small.federation.malicious = 4;
    small.attack.kinds = vec!["scaffold".into()];
    small.evaluation.every = 0;
    small.arms = ["clean", "fedavg", "provenance"].map(String::from).to_vec();
    small
}

fn go_on(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn made(dir: &Path) -> std::path::PathBuf {
    let run = dir.join("run");
    let mut run_of = create_from(&run, &options(dir), Double::new(), scaffolded()).unwrap();
    run_of.execute(&mut go_on).unwrap();
    run
}

fn records(run: &Path, key: &SigningKey) -> Vec<Record> {
    let log = LogReader::open(run.join("log"), &key.public()).unwrap();
    let entries = log.entries().unwrap();
    let record = |bytes: Vec<u8>| Record::from_bytes(&bytes).unwrap();
    entries.into_iter().map(record).collect()
}

fn node(dir: &Path) -> SigningKey {
    SigningKey::load(dir.join("keys/node.pem")).unwrap()
}

fn adapter(blobs: &Blobs, digest: &Digest) -> Vec<f32> {
    Adapter::from_bytes(&blobs.get(digest).unwrap())
        .unwrap()
        .flat()
}

fn close(left: &[f32], right: &[f32]) -> bool {
    let pairs = left.iter().zip(right);
    left.len() == right.len()
        && pairs
            .into_iter()
            .all(|(l, r)| (l - r).abs() <= 1e-4 * (1.0 + r.abs()))
}

#[test]
fn variates_are_the_papers() {
    let dir = tempfile::tempdir().unwrap();
    let run = made(dir.path());
    let blobs = Blobs::open(run.join("blobs")).unwrap();
    let records = records(&run, &node(dir.path()));
    // (controls, global, learning rate) by round; updates by attestation; counted ones by round.
    let mut rounds = BTreeMap::new();
    let mut updates = BTreeMap::new();
    let mut counted: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for record in &records {
        match record {
            Record::RoundOpened {
                arm,
                round,
                controls,
                global,
                learning_rate,
                ..
            } => {
                if arm == "fedavg" {
                    rounds.insert(round.0, (*controls, *global, *learning_rate));
                } else if arm == "clean" {
                    assert_eq!(*controls, None, "nobody trains so there");
                }
            }
            Record::Update {
                attestation,
                update,
                ..
            } => {
                updates.insert(*attestation, *update);
            }
            Record::Verdict {
                arm,
                round,
                client,
                attestation,
                weight,
                ..
            } if arm == "fedavg" => {
                assert_eq!(*weight, 1.0);
                counted
                    .entry(round.0)
                    .or_default()
                    .push((client.clone(), *attestation));
            }
            _ => {}
        }
    }
    assert_eq!(rounds[&0].0, None, "all are zero before the first round");
    let run_of = OpenRun::read(&run).unwrap();
    let read = |digest: &Digest| -> Controls {
        canonical::from_slice(&blobs.get(digest).unwrap()).unwrap()
    };
    let mut corrected = 0;
    for round in 0..2 {
        let (before, global, rate) = rounds[&round];
        let before = before.as_ref().map(&read);
        let after = read(&rounds[&(round + 1)].0.unwrap());
        let x = adapter(&blobs, &global);
        let zero = vec![0.0; x.len()];
        let c = before
            .as_ref()
            .map_or(zero.clone(), |b| adapter(&blobs, &b.server));
        let mut server: Vec<f64> = c.iter().map(|v| f64::from(*v)).collect();
        let rates = 2.0 * rate;
        for (client, attestation) in &counted[&round] {
            let own = before.as_ref().and_then(|b| b.clients.get(client));
            let scaffold = run_of.plan.client(client).unwrap().1.kind == "scaffold";
            assert_eq!(after.clients.contains_key(client), scaffold);
            if !scaffold {
                continue;
            }
            let y = adapter(&blobs, &updates[attestation].unwrap());
            let own = own.map_or(zero.clone(), |digest| adapter(&blobs, digest));
            let next = adapter(&blobs, &after.clients[client]);
            let mut expected = Vec::new();
            for i in 0..x.len() {
                let drift = (f64::from(x[i]) - f64::from(y[i])) / rates;
                let value = f64::from(own[i]) - f64::from(c[i]) + drift;
                server[i] += (value - f64::from(own[i])) / 6.0;
                expected.push(value as f32);
            }
            assert!(close(&next, &expected), "{client} after round {round}");
            corrected += usize::from(own.iter().zip(&c).any(|(own, c)| own != c));
        }
        let server: Vec<f32> = server.iter().map(|v| *v as f32).collect();
        assert!(
            close(&adapter(&blobs, &after.server), &server),
            "round {round}"
        );
    }
    assert!(corrected > 0, "some step was corrected");
}

#[test]
fn a_run_verifies_replays_resumes_and_explains() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut steps = 0;
    let stopped = create_from(&run, &options(dir.path()), Double::new(), scaffolded())
        .unwrap()
        .execute(&mut |event: &Event| {
            // In the second round, whose variates are then read from the log.
            steps += u32::from(matches!(event, Event::Update { round: 1, .. }));
            if steps > 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
    assert!(stopped.is_err());
    let mut again = resume(&run, &options(dir.path()), Double::new()).unwrap();
    let report = again.execute(&mut go_on).unwrap();
    verify(&run).unwrap();
    let all = Selector::Sample { count: 99, seed: 1 };
    let replays = replay_in(&run, &all, &Double::new()).unwrap();
    assert!(
        replays.iter().all(|replayed| replayed.equal()),
        "{replays:?}"
    );
    // The configured checks let an honest SCAFFOLD client in.
    let arm = report
        .arms
        .iter()
        .find(|arm| arm.id == "provenance")
        .unwrap();
    let mut seen = 0;
    for client in arm.rounds.iter().flat_map(|round| &round.clients) {
        let verdict = client.verdict.as_ref().unwrap();
        assert_eq!(verdict.check, "all", "{} {}", client.kind, verdict.fact);
        seen += u32::from(client.kind == "scaffold");
    }
    assert!(seen > 0);

    let mut opened = OpenRun::read(&run).unwrap();
    let ids: Vec<Digest> = opened.state.attestations.keys().copied().collect();
    let mut named = 0;
    for id in ids {
        let (_, attested) = opened.update(&id.to_string()).unwrap();
        let variates = attested
            .lineage
            .nodes
            .iter()
            .filter(|n| n.kind == Kind::Control);
        named += u32::from(variates.filter(|node| node.digest.is_some()).count() == 2);
    }
    assert!(
        named > 0,
        "later rounds name both variates by their digests"
    );
}

/// The double's updates are some 1e-3 long whatever the learning rate, as those of a guest would be that
/// trains with next to none where its site adds noise.
#[test]
fn what_no_steps_make_moves_no_variate() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut slow = scaffolded();
    slow.training.learning_rate = 1e-6;
    slow.training.learning_rate_final = 1e-6;
    let mut run_of = create_from(&run, &options(dir.path()), Double::new(), slow).unwrap();
    run_of.execute(&mut go_on).unwrap();
    verify(&run).unwrap();
    let mut opened = 0;
    for record in records(&run, &node(dir.path())) {
        if let Record::RoundOpened { controls, .. } = record {
            assert_eq!(controls, None);
            opened += 1;
        }
    }
    assert_eq!(opened, 9);
}

/// Both attacked arms have the same variates, so every blob is still referred to when one of them
/// opens its last round with those of the round before.
#[test]
fn other_variates_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let run = made(dir.path());
    let key = node(dir.path());
    let records = records(&run, &key);
    let folder = run.join("log");
    let reader = LogReader::open(&folder, &key.public()).unwrap();
    let origin = reader.checkpoint().origin.clone();
    drop(reader);
    std::fs::remove_dir_all(&folder).unwrap();
    let mut log = Log::create(&folder, &origin, key).unwrap();
    let (mut earlier, mut bent) = (None, 0);
    for mut record in records {
        if let Record::RoundOpened {
            arm,
            round,
            controls,
            ..
        } = &mut record
            && arm == "provenance"
        {
            if round.0 == 2 {
                assert_ne!(*controls, earlier);
                *controls = earlier;
                bent += 1;
            }
            earlier = *controls;
        }
        log.append(&record.to_bytes().unwrap()).unwrap();
    }
    log.publish().unwrap();
    assert_eq!(bent, 1);
    let error = verify(&run).unwrap_err().to_string();
    assert!(error.contains("other control variates"), "{error}");
}
