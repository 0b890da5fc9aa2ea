//! Who took the safety away, and a run without that client.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use crate::double::{Double, create_from, experiment, options};
use fedseal_federation::attribution::attribute_in;
use fedseal_federation::remeasure::Watch;
use fedseal_federation::undoing::{Request, undo_in};
use fedseal_record::events::Event;
use fedseal_record::opened::OpenRun;
use fedseal_rules::attack::BENIGN;
use fedseal_rules::experiment::Experiment;

/// One attacker among six, and steps of different length, so that its effect has a deviation.
fn attacked(run: &Path) {
    let mut attacked: Experiment = experiment();
    attacked.arms = ["clean", "fedavg", "moved"].map(String::from).to_vec();
    let own = "[moved]\noptimiser = \"fedavgm\"\n";
    attacked.arm = toml::from_str(own).unwrap();
    attacked.federation.rounds = 12;
    attacked.federation.malicious = 1;
    attacked.attack.kinds = vec!["unaligned-data".into()];
    attacked.training.learning_rate_final = 5e-4;
    attacked.evaluation.every = 0;
    let keys = options(run.parent().unwrap());
    create_from(run, &keys, Double::new(), attacked)
        .unwrap()
        .execute(&mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
}

#[test]
fn the_attacker_is_named_and_a_history_without_it_is_safe() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    attacked(&run);
    let lab = Double::new();
    let told = &mut |_: u64, _: u64, _: &str| {};
    let halt = &|| false;
    let opened = OpenRun::read(&run).unwrap();
    let found = attribute_in(opened, &lab, None, 5, Watch { halt, told }).unwrap();
    assert_eq!((found.arm.as_str(), found.requests), ("fedavg", 5));
    assert_eq!(found.rounds.len(), 12);
    // After a round the odds are those before the next one.
    for pair in found.rounds.windows(2) {
        assert_eq!(pair[0].after, pair[1].before);
    }
    let first = &found.clients[0];
    assert_eq!(first.kind.as_deref(), Some("unaligned-data"), "{found:?}");
    assert!(first.named && first.took.mean > 0.0, "{first:?}");
    let others = found.clients.iter().skip(1);
    assert!(others.clone().all(|client| !client.named), "{found:?}");
    assert!(
        others
            .clone()
            .all(|client| client.kind.as_deref() == Some(BENIGN))
    );
    let right = found.found.unwrap();
    assert_eq!((right.attackers, right.named, right.right), (1, 1, 1));

    // In the clean arm nobody attacks.
    let opened = OpenRun::read(&run).unwrap();
    let clean = attribute_in(opened, &lab, Some("clean"), 5, Watch { halt, told }).unwrap();
    assert_eq!(clean.found.unwrap().attackers, 0);

    // The history without nobody is the history, with an optimiser that remembers, too.
    let mut opened = OpenRun::read(&run).unwrap();
    for arm in ["fedavg", "moved"] {
        let history = opened.history(Some(arm)).unwrap();
        let same = opened.undone(&history, &BTreeSet::new()).unwrap();
        let last = opened.state.global(arm, opened.plan.initial);
        assert_eq!(
            fedseal_client_sdk::digest::Digest(same.digest()),
            last,
            "{arm}"
        );
    }

    let request = |client: &str, again| Request {
        arm: None,
        clients: BTreeSet::from([client.into()]),
        again,
        prompts: 6,
    };
    let opened = OpenRun::read(&run).unwrap();
    let undone = undo_in(
        opened,
        &lab,
        &request(&first.client, true),
        Watch { halt, told },
    )
    .unwrap();
    assert!(
        undone.undone.log_odds > undone.as_run.log_odds,
        "{undone:?}"
    );
    assert_eq!((undone.undone.safety.n, undone.undone.safety.hits), (6, 6));
    assert!(undone.rounds.len() > 2 && undone.rounds.len() < 12);
    // What the double trains does not depend on where it begins, so undoing is as good as training again.
    assert!(undone.distance.unwrap() < 1e-3, "{undone:?}");
    assert!(undone.distance_as_run.unwrap() > 0.1, "{undone:?}");
    let opened = OpenRun::read(&run).unwrap();
    let nobody = undo_in(
        opened,
        &lab,
        &request("nobody", false),
        Watch { halt, told },
    );
    let text = nobody.err().unwrap().to_string();
    assert!(
        text.contains("nobody") && text.contains("client-"),
        "{text}"
    );
}
