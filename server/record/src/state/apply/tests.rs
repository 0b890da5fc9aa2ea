use fedseal_client_sdk::ids::Seed;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::Effect;

use super::*;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn key(seed: u8) -> PublicKey {
    SigningKey::from_seed([seed; 32]).public()
}

fn opened(round: u32, clients: &[&str], global: &str) -> Record {
    Record::RoundOpened {
        arm: "clean".into(),
        round: Round(round),
        clients: clients.iter().map(|name| ClientId::from(*name)).collect(),
        global: digest(global),
        seed: Seed(1),
        learning_rate: 0.5,
        controls: None,
    }
}

fn update(name: &str, client: &str) -> Record {
    Record::Update {
        key: digest(name),
        client: client.into(),
        round: Round(0),
        attestation: digest(&format!("attestation of {name}")),
        update: None,
    }
}

fn verdict(name: &str, client: &str, effect: Effect, weight: f64) -> Record {
    Record::Verdict {
        arm: "clean".into(),
        round: Round(0),
        client: client.into(),
        attestation: digest(&format!("attestation of {name}")),
        effect,
        weight,
        check: "all".into(),
        fact: "none".into(),
    }
}

fn aggregated(clients: &[&str]) -> Record {
    Record::Aggregated {
        arm: "clean".into(),
        round: Round(0),
        rule: "fedavg".into(),
        weights: clients
            .iter()
            .map(|name| (ClientId::from(*name), 1.0))
            .collect(),
        global: digest("next"),
        device: None,
    }
}

/// A whole small run, record by record.
fn run() -> Vec<Record> {
    let some = digest("some");
    vec![
        Record::RunOpened {
            run_config: some,
            base: some,
            node: key(1),
            seed: Seed(1),
            created: "2026-01-02T03:04:05Z".into(),
        },
        Record::ModuleRegistered {
            module: some,
            envelope: some,
            name: "benign".into(),
            signer: key(2),
        },
        Record::ClientRegistered {
            client: "a".into(),
            key: key(3),
            shard: some,
            examples: 8,
            kind: None,
        },
        Record::CanariesSealed { digest: some },
        opened(0, &["a", "b"], "first"),
        update("one", "a"),
        update("two", "b"),
        verdict("one", "a", Effect::Accept, 1.0),
        verdict("two", "b", Effect::Accept, 1.0),
        aggregated(&["a", "b"]),
        Record::Evaluated {
            key: some,
            arm: "clean".into(),
            round: Round(1),
            adapter: digest("next"),
            result: some,
        },
        Record::Defended {
            arm: "repaired".into(),
            adapter: some,
            data: some,
        },
        Record::KeyRevoked {
            key: key(2),
            reason: "lost".into(),
        },
        Record::NodeRotated {
            old: key(1),
            new: key(4),
            statement: some,
        },
        Record::CanariesOpened { digest: some },
        Record::Report { digest: some },
        Record::Closed,
    ]
}

/// The state after so many records of [`run`].
fn after(count: usize) -> RunState {
    let mut state = RunState::default();
    for record in run().iter().take(count) {
        state.apply(record, digest("first")).unwrap();
    }
    state
}

/// Place of the first record of [`run`] like this one.
fn place(like: fn(&Record) -> bool) -> usize {
    run().iter().position(like).unwrap()
}

#[test]
fn a_whole_run_is_taken_in() {
    let all = run();
    let state = after(all.len());
    assert_eq!(state.entries, all.len() as u64);
    assert!(state.closed && state.canaries_open);
    assert_eq!(state.global("clean", digest("first")), digest("next"));
    let update = state.update(&digest("attestation of two")).unwrap();
    assert_eq!((update.client.as_str(), update.entry), ("b", 6));
    assert_eq!(state.node_ends(), Some((key(1), key(4))));
    assert_eq!(state.revoked.get(&key(2)), Some(&12));
}

#[test]
fn no_record_comes_twice() {
    let last = place(|r| matches!(r, Record::CanariesOpened { .. }));
    for (index, record) in run().iter().enumerate().take(last + 1) {
        let problem = after(last + 1).apply(record, digest("first"));
        assert!(problem.is_err(), "entry {index} is taken in twice");
    }
}

#[test]
fn each_wrong_place_has_its_words() {
    let opening = place(|r| matches!(r, Record::RoundOpened { .. }));
    let judging = place(|r| matches!(r, Record::Verdict { .. }));
    let adding = place(|r| matches!(r, Record::Aggregated { .. }));
    let some = digest("some");
    let all = run().len();
    for (before, record, words) in [
        (all, Record::Closed, "follows `closed`"),
        (0, Record::Closed, "`run-opened` is the first entry"),
        (1, run().remove(0), "and only the first"),
        (all - 1, update("new", "a"), "follows the report"),
        (
            opening - 1,
            opened(0, &["a"], "first"),
            "canaries are sealed",
        ),
        (opening, opened(1, &["a"], "first"), "opens, 0 is next"),
        (
            opening + 1,
            opened(1, &["a"], "first"),
            "the last one ended",
        ),
        (
            adding + 1,
            opened(1, &["a"], "first"),
            "the global adapter is",
        ),
        (opening, opened(0, &["a", "a"], "first"), "a client twice"),
        (
            judging,
            verdict("none", "a", Effect::Accept, 1.0),
            "which is not logged",
        ),
        (
            judging,
            verdict("one", "b", Effect::Accept, 1.0),
            "a verdict about b in round 0; update",
        ),
        (
            judging,
            verdict("one", "a", Effect::Reject, 1.0),
            "effect reject with weight 1",
        ),
        (
            judging,
            verdict("one", "a", Effect::Accept, 0.0),
            "effect accept with weight 0",
        ),
        (
            adding + 1,
            verdict("one", "a", Effect::Accept, 1.0),
            "which is not open",
        ),
        (
            adding - 1,
            aggregated(&["a", "b"]),
            "1 verdicts for 2 clients",
        ),
        (
            adding,
            aggregated(&["b", "a"]),
            "not of the sampled clients",
        ),
        (
            adding,
            Record::NodeRotated {
                old: key(8),
                new: key(9),
                statement: some,
            },
            "is not one of the node's key",
        ),
        (
            adding,
            Record::CanariesOpened {
                digest: digest("x"),
            },
            "are not the sealed ones",
        ),
        (
            adding,
            Record::Report { digest: some },
            "before the canaries",
        ),
        (adding, Record::Closed, "closed without a report"),
    ] {
        let problem = after(before).apply(&record, digest("first")).unwrap_err();
        assert!(problem.0.contains(words), "{words}: {}", problem.0);
    }
}

#[test]
fn a_tuning_follows_the_result_that_it_tunes_and_the_next_round_begins_with_it() {
    let tuned = |round: Option<u32>| Record::Tuned {
        arm: "clean".into(),
        round: round.map(Round),
        adapter: digest("tuned"),
        data: digest("some"),
    };
    let first = digest("first");
    let opens = place(|record| matches!(record, Record::RoundOpened { .. }));
    let done = place(|record| matches!(record, Record::Aggregated { .. })) + 1;
    // Before the first round, once.
    let mut state = after(opens);
    state.apply(&tuned(None), first).unwrap();
    assert_eq!(state.global("clean", first), digest("tuned"));
    assert!(state.clone().apply(&tuned(None), first).is_err());
    assert!(state.clone().apply(&tuned(Some(0)), first).is_err());
    assert!(
        state
            .clone()
            .apply(&opened(0, &["a", "b"], "first"), first)
            .is_err()
    );
    state
        .apply(&opened(0, &["a", "b"], "tuned"), first)
        .unwrap();
    assert!(state.apply(&tuned(None), first).is_err());
    // After a round, once, and of no other round.
    assert!(after(done - 1).apply(&tuned(Some(0)), first).is_err());
    assert!(after(done).apply(&tuned(Some(1)), first).is_err());
    assert!(after(done).apply(&tuned(None), first).is_err());
    let mut state = after(done);
    state.apply(&tuned(Some(0)), first).unwrap();
    assert!(state.clone().apply(&tuned(Some(0)), first).is_err());
    assert!(
        state
            .clone()
            .apply(&opened(1, &["a"], "next"), first)
            .is_err()
    );
    state.apply(&opened(1, &["a"], "tuned"), first).unwrap();
    assert!(state.apply(&tuned(Some(0)), first).is_err());
}
