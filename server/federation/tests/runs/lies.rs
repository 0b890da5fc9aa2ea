//! A node that lies: its log is signed with its own key and hashes to its root, but says something
//! that does not follow. The auditor must see it all the same.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use crate::double::{Double, create_from, experiment, options};
use crate::forge::reattest;
use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::lineage::Kind;
use fedseal_client_sdk::record::{Effect, Record};
use fedseal_federation::replay::{Selector, replay_in};
use fedseal_ledger::{Log, LogReader};
use fedseal_record::events::Event;
use fedseal_record::opened::OpenRun;
use fedseal_record::verify::verify;

/// Makes a small run, hands every record to `bend`, and writes the log anew, signed by the node.
fn lie(bend: impl Fn(&mut Record)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let options = options(dir.path());
    let mut small = experiment();
    small.federation.rounds = 2;
    small.evaluation.every = 1;
    small.arms = ["clean", "fedavg", "provenance", "behaviour", "defended"]
        .map(String::from)
        .to_vec();
    create_from(&run, &options, Double::new(), small)
        .unwrap()
        .execute(&mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
    rewrite(&run, &options.keys.join("node.pem"), bend);
    verify(&run)
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

pub(crate) fn rewrite(run: &Path, key: &Path, bend: impl Fn(&mut Record)) {
    let key = SigningKey::load(key).unwrap();
    let folder = run.join("log");
    let reader = LogReader::open(&folder, &key.public()).unwrap();
    let origin = reader.checkpoint().origin.clone();
    let entries = reader.entries().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let mut log = Log::create(&folder, &origin, key).unwrap();
    for bytes in entries {
        let mut record = Record::from_bytes(&bytes).unwrap();
        bend(&mut record);
        log.append(&record.to_bytes().unwrap()).unwrap();
    }
    log.publish().unwrap();
}

#[test]
fn the_same_log_written_at_once_still_verifies_but_for_the_head_in_the_report() {
    // Tiles and root are the same; so is the prefix that the report names.
    assert_eq!(lie(|_| {}), "");
}

#[test]
fn a_refusal_turned_into_an_acceptance() {
    let text = lie(|record| {
        if let Record::Verdict {
            arm,
            effect,
            weight,
            ..
        } = record
            && arm == "provenance"
            && *effect == Effect::Reject
        {
            (*effect, *weight) = (Effect::Accept, 1.0);
        }
    });
    assert!(text.contains("is not what the checks say"), "{text}");
}

#[test]
fn an_acceptance_turned_into_a_refusal() {
    let text = lie(|record| {
        if let Record::Verdict {
            arm,
            effect,
            weight,
            check,
            ..
        } = record
            && arm == "fedavg"
        {
            (*effect, *weight, *check) = (Effect::Reject, 0.0, "lineage".into());
        }
    });
    assert!(text.contains("is not what the checks say"), "{text}");
}

#[test]
fn other_weights() {
    let text = lie(|record| {
        if let Record::Aggregated { weights, .. } = record {
            weights.iter_mut().for_each(|(_, weight)| *weight /= 2.0);
        }
    });
    assert!(text.contains("other weights"), "{text}");
}

#[test]
fn another_global_adapter() {
    // The last rounds' adapters, so that no later round names them.
    let text = lie(|record| {
        if let Record::Aggregated {
            round, global, arm, ..
        } = record
            && round.0 == 1
            && arm == "clean"
        {
            *global = Digest::of(b"another");
        }
    });
    assert!(
        text.contains("is missing") || text.contains("not what its updates"),
        "{text}"
    );
}

#[test]
fn other_clients_in_a_round() {
    let text = lie(|record| {
        if let Record::RoundOpened { learning_rate, .. } = record {
            *learning_rate *= 2.0;
        }
    });
    assert!(text.contains("learning rate"), "{text}");
    let text = lie(|record| {
        if let Record::RoundOpened { seed, .. } = record {
            seed.0 += 1;
        }
    });
    assert!(text.contains("seed"), "{text}");
}

#[test]
fn an_attestation_about_somebody_else() {
    let text = lie(|record| {
        if let Record::Update { update, .. } = record {
            *update = None;
        }
    });
    assert!(text.contains("something else than attestation"), "{text}");
}

#[test]
fn a_measure_of_another_arm() {
    let text = lie(|record| {
        if let Record::Evaluated { arm, .. } = record {
            match arm.as_str() {
                "clean" => *arm = "fedavg".into(),
                "fedavg" => *arm = "clean".into(),
                _ => {}
            }
        }
    });
    assert!(text.contains("another adapter"), "{text}");
}

#[test]
fn a_record_left_out() {
    let text = lie(|record| {
        if let Record::CanariesOpened { digest } = record {
            *digest = Digest::of(b"others");
        }
    });
    assert!(text.contains("not the sealed ones"), "{text}");
}

#[test]
fn a_replay_compares_everything_that_an_attestation_claims() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let options = options(dir.path());
    let mut small = experiment();
    small.federation.rounds = 2;
    small.arms = vec!["clean".into(), "fedavg".into()];
    create_from(&run, &options, Double::new(), small)
        .unwrap()
        .execute(&mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
    let key = SigningKey::load(options.keys.join("node.pem")).unwrap();
    let mut opened = OpenRun::read(&run).unwrap();
    let ids: Vec<Digest> = opened.state.attestations.keys().copied().collect();
    // An update that was trained on data that its module brought along.
    let (mut id, honest) = ids
        .iter()
        .map(|id| (*id, opened.update(&id.to_string()).unwrap().1))
        .find(|(_, attested)| attested.data[0].origin == "literal")
        .unwrap();
    let replayed = |id: Digest| {
        let which = Selector::Prefix(id.to_string());
        replay_in(&run, &which, &Double::new()).unwrap().remove(0)
    };
    assert!(replayed(id).equal());
    type Bend = fn(&mut UpdatePredicate);
    let bends: [(&str, Bend); 8] = [
        ("lineage", |p| {
            let nodes = &mut p.lineage.nodes;
            let node = nodes.iter_mut().find(|n| n.kind == Kind::Literal);
            node.unwrap().kind = Kind::Shard;
        }),
        ("data", |p| p.data[0].origin = "shard".into()),
        ("examples", |p| p.examples += 1),
        ("limits", |p| p.limits.fuel -= 1),
        ("data score", |p| p.data_score = Some(1.0)),
        ("seed", |p| p.seed.0 ^= 1),
        ("module", |p| p.module = Digest::of(b"another")),
        ("global adapter", |p| p.global = Digest::of(b"another")),
    ];
    for (what, bend) in bends {
        id = reattest(&run, &key, id, |predicate, _| {
            *predicate = (*honest).clone();
            bend(predicate);
        });
        let again = replayed(id);
        let dispute = again
            .dispute
            .clone()
            .unwrap_or_else(|| panic!("{what} is believed"));
        assert_eq!((dispute.what, dispute.entry), (what, None));
        assert!(!again.equal() && !again.near());
    }
}
