//! A node that executes an honest module on a real model and hands in something a little worse: how
//! much of it another engine tells apart.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::double::{Doubled, experiment, options};
use crate::forge::reattest;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::transcript::Transcript;
use fedseal_data::TaskData;
use fedseal_data::world::World;
use fedseal_federation::lab::{Lab, TuningLab};
use fedseal_federation::replay::{Selector, distance, replay_in};
use fedseal_federation::runner::Run;
use fedseal_record::events::Event;
use fedseal_record::opened::OpenRun;
use fedseal_sandbox::TrainOptions;
use fedseal_tuning::Adapter;

/// A node executes the module honestly and mixes a share of a poisoned update in. Transcript,
/// attestation and log say the mixed one, all signed by the node.
#[test]
fn a_poisoned_share_above_the_measured_bound_is_told_apart_by_another_engine() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let options = options(dir.path());
    let mut small = experiment();
    small.arms = vec!["clean".into()];
    small.federation.rounds = 1;
    small.training.local_steps = 8;
    let load = |numerics: &str| {
        let mut own = small.clone();
        own.run.numerics = numerics.into();
        Doubled::new(TuningLab::load(&own, Path::new("models"), "cpu").unwrap().0)
    };
    let (exact, fast) = (load("exact"), load("fast"));
    let (lab, data) = (Arc::new(load("exact")), Arc::new(World::new()));
    Run::create_with(&run, small.clone(), &options, lab, "embedded", data)
        .unwrap()
        .execute(&mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
    let key = SigningKey::load(options.keys.join("node.pem")).unwrap();
    let replayed = |id: Digest| {
        let which = Selector::Prefix(id.to_string());
        replay_in(&run, &which, &fast).unwrap().remove(0)
    };

    let mut opened = OpenRun::read(&run).unwrap();
    let first = opened
        .state
        .updates
        .values()
        .min_by_key(|u| u.entry)
        .unwrap();
    let id = first.attestation;
    let (_, attested) = opened.update(&id.to_string()).unwrap();
    let adapter =
        |digest: &Digest| Adapter::from_bytes(&opened.blobs.get(digest).unwrap()).unwrap();
    let honest = adapter(&attested.update.unwrap());
    let global = adapter(&attested.global);
    // Unaligned data by the same steps, from the same global adapter.
    let unaligned = World::new().attachment(0, 24, 1).unwrap();
    let options = TrainOptions {
        steps: small.training.local_steps,
        batch_size: small.training.batch_size,
        learning_rate: small.training.learning_rate,
        proximal_mu: 0.0,
        seed: attested.seed.0,
    };
    let (poisoned, _) = exact
        .engine()
        .train(&global, &unaligned, &options, &mut || {
            ControlFlow::Continue(())
        })
        .unwrap();

    let genuine = replayed(id);
    let (between, bound) = (genuine.distance.unwrap(), genuine.bound.unwrap());
    assert!(genuine.near() && between <= bound);
    let mixed = |share: f64| {
        honest
            .scale((1.0 - share) as f32)
            .add_scaled(&poisoned, share as f32)
            .unwrap()
    };
    // The share that moves the update as far from the fast engine's as the bound times `factor`, if
    // the two directions have nothing to do with one another.
    let share_at = |factor: f64| {
        let want = ((factor * bound).powi(2) - between.powi(2)).sqrt();
        want / distance(&honest, &poisoned, &global).unwrap()
    };
    for (factor, told_apart) in [(1.15, true), (0.85, false)] {
        let share = share_at(factor);
        assert!(share > 0.0 && share < 1.0, "{share}");
        let forged = mixed(share);
        let copy = dir.path().join(format!("copy-{told_apart}"));
        copy_all(&run, &copy);
        let old = attested.update.unwrap().to_string();
        let new = Digest(forged.digest());
        let id = reattest(&copy, &key, id, |predicate, blobs| {
            blobs.put(&forged.to_bytes()).unwrap();
            let logged = blobs.get(&predicate.transcript.blob).unwrap();
            let mut transcript = Transcript::new();
            for entry in Transcript::from_bytes(&logged).unwrap().entries().unwrap() {
                let result = entry.result.to_string().replace(&old, &new.to_string());
                let result = serde_json::from_str(&result).unwrap();
                transcript.push(&entry.call, &entry.args, &result);
            }
            predicate.transcript.root = transcript.root();
            predicate.transcript.blob = blobs.put(&transcript.to_bytes()).unwrap();
            predicate.update = Some(new);
            let output = predicate.lineage.output.unwrap() as usize;
            predicate.lineage.nodes[output].digest = Some(new);
        });
        let which = Selector::Prefix(id.to_string());
        let again = replay_in(&copy, &which, &fast).unwrap().remove(0);
        let apart = again.distance.unwrap();
        eprintln!(
            "{:.1} % poisoned: {apart:.4} apart, at most {bound:.4}",
            100.0 * share
        );
        assert!(!again.equal());
        assert_eq!(again.near(), !told_apart, "{apart} apart, at most {bound}");
        // Before bounds were measured, a quarter of the length was near on any engine.
        assert!(apart < 0.25, "{apart}");
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_all(&path, &target),
            false => drop(fs::copy(&path, target).unwrap()),
        }
    }
}
