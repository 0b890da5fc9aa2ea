use fedseal_tuning::{AdapterConfig, AdapterTensor};

use super::steps::first_step;
use super::*;

fn transcript(calls: &[(&str, i64, i64)]) -> Transcript {
    let mut all = Transcript::new();
    for (call, args, result) in calls {
        all.push(call, &json!(args), &json!(result));
    }
    all
}

fn adapter(values: [f32; 2]) -> Adapter {
    let tensor = AdapterTensor {
        shape: [1, 2],
        data: values.to_vec(),
    };
    Adapter {
        tensors: [("a".to_owned(), tensor)].into(),
        config: AdapterConfig::default(),
    }
}

#[test]
fn a_distance_is_a_share_of_the_updates_length() {
    let start = adapter([1.0, 1.0]);
    let share = |logged, again| distance(&adapter(logged), &adapter(again), &start).unwrap();
    assert_eq!(share([1.0, 3.0], [1.5, 3.0]), 0.25);
    assert_eq!(share([1.0, 1.0], [1.0, 1.0]), 0.0);
    // An update that changed nothing has nothing near it.
    assert_eq!(share([1.0, 1.0], [1.0, 1.1]), f64::INFINITY);
    assert!(share([1.0, 3.0], [f32::NAN, 3.0]).is_nan());
}

#[test]
fn the_first_step_that_differs() {
    let logged = transcript(&[("shard", 1, 1), ("train", 2, 2), ("submit", 3, 3)]);
    for (again, entry, what) in [
        (
            transcript(&[("shard", 1, 1), ("train", 2, 9), ("submit", 3, 9)]),
            1,
            "result",
        ),
        (
            transcript(&[("shard", 1, 1), ("train", 8, 2), ("submit", 3, 3)]),
            1,
            "arguments",
        ),
        (
            transcript(&[("log", 1, 1), ("train", 2, 2), ("submit", 3, 3)]),
            0,
            "call",
        ),
        (transcript(&[("shard", 1, 1), ("train", 2, 2)]), 2, "length"),
    ] {
        let dispute = first_step(&logged, &again).unwrap();
        assert_eq!((dispute.entry, dispute.what), (Some(entry), what));
        assert!(
            dispute
                .to_string()
                .contains(&format!("entry {entry}: another {what}"))
        );
    }
}

#[test]
fn only_what_an_engine_makes_may_differ_between_engines() {
    let all = |calls: &[(&str, i64, i64)]| transcript(calls);
    let logged = all(&[
        ("shard", 1, 1),
        ("train", 2, 2),
        ("clip", 3, 3),
        ("submit", 4, 4),
    ]);
    for (again, by_engine) in [
        // Another adapter, and what follows from it.
        (
            all(&[
                ("shard", 1, 1),
                ("train", 2, 9),
                ("clip", 3, 9),
                ("submit", 4, 9),
            ]),
            true,
        ),
        // A training with other arguments, before or after one that differs by its engine.
        (
            all(&[
                ("shard", 1, 1),
                ("train", 9, 9),
                ("clip", 3, 9),
                ("submit", 4, 9),
            ]),
            false,
        ),
        (
            all(&[
                ("shard", 1, 1),
                ("train", 2, 9),
                ("clip", 9, 9),
                ("submit", 4, 9),
            ]),
            false,
        ),
        // Arithmetic on equal adapters, data, a call more, a call less.
        (
            all(&[
                ("shard", 1, 1),
                ("train", 2, 2),
                ("clip", 3, 9),
                ("submit", 4, 9),
            ]),
            false,
        ),
        (
            all(&[
                ("shard", 1, 9),
                ("train", 2, 9),
                ("clip", 3, 9),
                ("submit", 4, 9),
            ]),
            false,
        ),
        (
            all(&[
                ("shard", 1, 1),
                ("train", 2, 9),
                ("clip", 3, 9),
                ("submit", 4, 9),
                ("log", 5, 5),
            ]),
            false,
        ),
        (
            all(&[("shard", 1, 1), ("train", 2, 9), ("submit", 4, 9)]),
            false,
        ),
    ] {
        let dispute = first_step(&logged, &again).unwrap();
        assert_eq!(dispute.by_engine, by_engine, "{dispute}");
    }
    // A guest may act on any result of an engine that it has seen.
    let logged = all(&[("generate", 1, 1), ("examples", 2, 2), ("submit", 3, 3)]);
    let again = all(&[("generate", 1, 9), ("examples", 9, 9), ("log", 3, 3)]);
    assert!(first_step(&logged, &again).unwrap().by_engine);
}

#[test]
fn a_distance_without_a_measured_bound_is_not_near() {
    assert!(within(Some(0.1), Some(0.1)));
    assert!(!within(Some(0.1), None));
    assert!(!within(None, Some(0.1)));
    assert!(!within(Some(f64::NAN), Some(0.1)));
    assert!(!within(Some(0.11), Some(0.1)));
}
