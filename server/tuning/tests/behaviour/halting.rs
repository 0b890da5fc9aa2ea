//! Work that is told to stop ends at once; work that is not has the usual bits.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use fedseal_tuning::*;

use super::{CONFIG, adapter, examples, run, tiny};

/// Halts at the `after`-th call, and returns how often it was called.
fn asked(after: usize, work: impl FnOnce(Halt<'_>)) -> usize {
    let count = AtomicUsize::new(0);
    work(&|| count.fetch_add(1, Ordering::SeqCst) + 1 >= after);
    count.into_inner()
}

#[test]
fn generation_stops_between_tokens() {
    let model = tiny();
    let prompts: Vec<String> = (0..3).map(|i| "cat ".repeat(i + 1)).collect();
    let config = GenerateConfig {
        max_new_tokens: 40,
        min_new_tokens: 40,
        ..GenerateConfig::default()
    };
    let whole = generate(&model, None, &prompts, &config).unwrap();
    let all = asked(usize::MAX, |halt| {
        let texts = generate_until(&model, None, &prompts, &config, halt).unwrap();
        assert_eq!(texts, whole);
    });
    // Called before every prompt, and before every token of at least one lane.
    assert!(all >= 43, "{all}");
    for after in [1, 3, 20] {
        let count = asked(after, |halt| {
            let ended = generate_until(&model, None, &prompts, &config, halt);
            assert!(
                matches!(ended, Err(TuningError::Stopped { .. })),
                "{ended:?}"
            );
        });
        // Each other lane may call once more.
        assert!(count < after + 10, "{count} after {after}");
    }
}

#[test]
fn scoring_stops_between_passes() {
    let model = tiny();
    let pair = (
        "the cat sat on".to_owned(),
        "the mat and the log".to_owned(),
    );
    let pairs = vec![pair; 400];
    let whole = score(&model, None, &pairs).unwrap();
    let all = asked(usize::MAX, |halt| {
        let scores = score_until(&model, None, &pairs, halt).unwrap();
        assert_eq!(scores, whole);
    });
    assert!(all > 401, "{all}: all in one pass");
    for after in [7, 401] {
        let count = asked(after, |halt| {
            let ended = score_until(&model, None, &pairs, halt);
            assert!(
                matches!(ended, Err(TuningError::Stopped { .. })),
                "{ended:?}"
            );
        });
        assert_eq!(count, after);
    }
}

#[test]
fn training_stops_between_examples() {
    let model = tiny();
    let start = adapter(&model, 0.0);
    let (examples, config) = (examples(), CONFIG());
    let trainer = || Trainer::new(&model, &start, &examples, &config).unwrap();
    let mut asked = 0;
    let trained = trainer().run_while(&mut || {
        asked += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(trained.unwrap(), run(&model, &start, &config));
    assert_eq!(asked, config.steps * config.batch_size);
    // In the second step, after two of its four examples.
    let mut left = config.batch_size + 2;
    let ended = trainer().run_while(&mut || match left {
        0 => ControlFlow::Break(()),
        _ => {
            left -= 1;
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(ended, Err(TuningError::Stopped { steps: 1 })));
}
