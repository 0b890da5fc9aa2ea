//! A node's key that is rotated while a run goes on: the run stays with its key, a new one has the new
//! key, both logs say so, and who knows the old key can follow.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use crate::double::{Double, create_from, experiment, options, resume};
use fedseal_client_sdk::bundle::Trust;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::{PublicKey, SigningKey, rotate};
use fedseal_client_sdk::record::Record;
use fedseal_federation::Error;
use fedseal_federation::runner::Options;
use fedseal_ledger::LogReader;
use fedseal_record::bundle::bundle;
use fedseal_record::events::Event;
use fedseal_record::opened::OpenRun;
use fedseal_record::verify::verify;
use fedseal_rules::experiment::Experiment;

const BEGIN: &str = "2026-01-01T00:00:00Z";
const END: &str = "2026-02-01T00:00:00Z";

/// Rotates the node's key in the folder of keys as `fedseal key rotate` does. Returns the old key.
fn rotated(keys: &Path, statement: &str) -> PublicKey {
    let node = keys.join("node.pem");
    let old = SigningKey::load(&node).unwrap();
    let new = SigningKey::generate().unwrap();
    let envelope = rotate(&old, &new, BEGIN, END).unwrap();
    fs::write(keys.join(statement), envelope.to_bytes()).unwrap();
    let kept = keys.join(format!("node-{}.pem", old.public().key_id()));
    fs::rename(&node, kept).unwrap();
    new.save_new(&node).unwrap();
    old.public()
}

fn small() -> Experiment {
    let mut small = experiment();
    small.federation.rounds = 2;
    small.evaluation.every = 0;
    small.arms = ["clean", "fedavg"].map(String::from).to_vec();
    small
}

fn go_on(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn rotations(run: &Path, node: &PublicKey) -> Vec<(PublicKey, PublicKey)> {
    let log = LogReader::open(run.join("log"), node).unwrap();
    let entries = log.entries().unwrap();
    let records = entries.iter().map(|e| Record::from_bytes(e).unwrap());
    records
        .filter_map(|record| match record {
            Record::NodeRotated { old, new, .. } => Some((old, new)),
            _ => None,
        })
        .collect()
}

fn node(options: &Options) -> PublicKey {
    SigningKey::load(options.keys.join("node.pem"))
        .unwrap()
        .public()
}

#[test]
fn old_runs_go_on_and_new_ones_have_the_new_key() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    let stopped = create_from(&before, &options, Double::new(), small())
        .unwrap()
        .execute(&mut |event: &Event| match event {
            Event::Round { round: 0, .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let first = rotated(&options.keys, "node-rotation-1.json");
    let second = rotated(&options.keys, "node-rotation.json");
    let third = node(&options);

    // The old run goes on under the first key; its log says what follows, once.
    for _ in 0..2 {
        resume(&before, &options, Double::new()).unwrap();
    }
    let mut run = resume(&before, &options, Double::new()).unwrap();
    run.execute(&mut go_on).unwrap();
    let report = verify(&before).unwrap();
    assert_eq!(report.node, first.to_string());
    assert!(report.node_before.is_empty());
    let chain = [(first, second), (second, third)];
    assert_eq!(rotations(&before, &first), chain);

    // A new one has the third, and leads back to the first.
    let mut run = create_from(&after, &options, Double::new(), small()).unwrap();
    run.execute(&mut go_on).unwrap();
    let report = verify(&after).unwrap();
    assert_eq!(report.node, third.to_string());
    assert_eq!(report.node_before, [second, first]);
    assert_eq!(rotations(&after, &third), [chain[1], chain[0]]);

    // So does a bundle out of it; one out of the old run has nothing to lead back from.
    let bundled = |run: &Path| {
        let opened = OpenRun::read(run).unwrap();
        let update = opened.state.updates.values().next().unwrap();
        let bundle = bundle(&opened, update, true).unwrap();
        (bundle, opened.plan.trusted_authors())
    };
    for (run, signed, known) in [
        (&before, first, &[first][..]),
        (&after, third, &[first, second, third]),
    ] {
        let (bundle, authors) = bundled(run);
        for node in [first, second, third] {
            let verified = bundle.verify(&Trust {
                node,
                authors: &authors,
                origin: None,
                policy: None,
            });
            assert_eq!(
                verified.ok().map(|v| v.node),
                known.contains(&node).then_some(signed),
                "{node}"
            );
        }
    }
}

#[test]
fn without_the_kept_key_or_with_a_forged_statement_nothing_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let run = dir.path().join("run");
    create_from(&run, &options, Double::new(), small()).unwrap();
    let old = rotated(&options.keys, "node-rotation.json");
    let kept = options.keys.join(format!("node-{}.pem", old.key_id()));
    let away = dir.path().join("away.pem");
    fs::rename(&kept, &away).unwrap();
    let error = resume(&run, &options, Double::new()).err().unwrap();
    assert!(error.to_string().contains(&old.key_id().0), "{error}");
    fs::rename(&away, &kept).unwrap();

    // The old key alone did not agree: somebody else's key claims to follow it.
    let path = options.keys.join("node-rotation.json");
    let mut envelope = Envelope::from_bytes(&fs::read(&path).unwrap()).unwrap();
    envelope.signatures.truncate(1);
    fs::write(&path, envelope.to_bytes()).unwrap();
    let error = resume(&run, &options, Double::new()).err().unwrap();
    assert!(error.to_string().contains("node-rotation.json"), "{error}");
}
