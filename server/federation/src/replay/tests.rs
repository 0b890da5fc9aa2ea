use fedseal_tuning::{AdapterConfig, AdapterTensor};

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
    assert!(share([1.0, 1.0], [1.0, 1.1]) > TOLERANCE);
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
