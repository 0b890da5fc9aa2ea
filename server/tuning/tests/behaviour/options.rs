//! Options at and beyond their bounds: prompt and answer fit the model's positions together, a
//! refusal names option, value and bound, and nothing of an option's size is allocated before the
//! option is checked.

use std::{ops::ControlFlow, path::PathBuf};

use fedseal_tuning::*;
use proptest::prelude::*;

use super::{CONFIG, adapter, drive::drive, examples, tiny};

/// The model that ships with the project, with 256 positions.
fn embedded() -> Model {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../federation/model");
    Model::load(&folder, &ModelOptions::default()).unwrap()
}

fn ask(model: &Model, prompt: &str, tokens: usize) -> Result<Generated, TuningError> {
    let config = GenerateConfig {
        max_new_tokens: tokens,
        ..GenerateConfig::default()
    };
    let prompts = [vec![Message::new(Role::User, prompt)]];
    let texts = generate_stream(model, None, &prompts, &config, &mut |_| {
        ControlFlow::Continue(())
    })?;
    Ok(texts.into_iter().next().unwrap())
}

#[test]
fn a_prompt_is_read_as_a_whole_whatever_its_answer_may_have() {
    let model = embedded();
    let prompt = "Reverse the letters of stone.";
    let usual = ask(&model, prompt, 16).unwrap();
    assert_eq!(usual.finish, Finish::End, "{usual:?}");
    for tokens in [254, 256, 512, usize::MAX] {
        assert_eq!(ask(&model, prompt, tokens).unwrap(), usual, "{tokens}");
    }
}

#[test]
fn an_answer_ends_with_the_positions() {
    let model = tiny();
    let positions = model.config().max_positions;
    let prompt = "the cat ".repeat(6);
    let length = model.encode_prompt(&prompt).unwrap().len();
    let config = |max_new_tokens| GenerateConfig {
        max_new_tokens,
        min_new_tokens: usize::MAX,
        ..GenerateConfig::default()
    };
    let write = |tokens| {
        let prompts = [vec![Message::new(Role::User, &prompt)]];
        let mut go_on = |_: Piece<'_>| ControlFlow::Continue(());
        let texts = generate_stream(&model, None, &prompts, &config(tokens), &mut go_on);
        texts.unwrap().remove(0)
    };
    let room = positions - length;
    let whole = write(usize::MAX);
    assert_eq!((whole.tokens, whole.finish), (room, Finish::Positions));
    let exact = write(room);
    assert_eq!((exact.tokens, exact.finish), (room, Finish::Length));
    assert_eq!(exact.text, whole.text);
    let shorter = write(room - 1);
    assert_eq!((shorter.tokens, shorter.finish), (room - 1, Finish::Length));
}

#[test]
fn what_does_not_fit_is_refused_with_both_numbers() {
    let model = tiny();
    let prompt = "the cat ".repeat(80);
    let length = model.encode_prompt(&prompt).unwrap().len();
    assert!(length > 128);
    for error in [
        ask(&model, &prompt, 1).unwrap_err(),
        score(&model, None, &[(prompt.clone(), "a dog".to_owned())]).unwrap_err(),
    ] {
        let TuningError::Positions {
            tokens, positions, ..
        } = error
        else {
            panic!("{error}");
        };
        assert!(tokens >= length && positions == 128);
        let text = error.to_string();
        assert!(
            text.contains(&tokens.to_string()) && text.contains("128"),
            "{text}"
        );
    }
    // The error names the index of the bad one, from 1.
    let pair = |prompt: &str, answer: String| (prompt.to_owned(), answer);
    let pairs = [
        pair("a", "b".to_owned()),
        pair("the dog", "sat ".repeat(130)),
    ];
    let error = score(&model, None, &pairs).unwrap_err().to_string();
    assert!(error.contains("answer 2"), "{error}");
}

#[test]
fn what_training_leaves_out_is_counted() {
    let model = tiny();
    let start = adapter(&model, 0.0);
    let mut examples = examples();
    let config = TrainConfig {
        steps: 1,
        batch_size: 14,
        max_length: 256,
        ..CONFIG()
    };
    let cut = |examples: &[Example]| {
        let mut trainer = Trainer::new(&model, &start, examples, &config).unwrap();
        trainer.step().unwrap();
        trainer.cut()
    };
    assert_eq!(cut(&examples), 0);
    examples.push(Example::new("dog ".repeat(200), "cat"));
    examples.push(Example::new("dog", "cat ".repeat(200)));
    assert_eq!(cut(&examples), 2);
}

#[test]
fn refusals_name_option_value_and_bound() {
    let model = tiny();
    let start = adapter(&model, 0.0);
    let training = |config: TrainConfig| {
        let mut go_on = |_: StepEvent| ControlFlow::Continue(());
        let result = train(&model, &start, &examples(), &config, &mut go_on);
        result.unwrap_err().to_string()
    };
    let writing = |config: GenerateConfig| {
        let result = generate(&model, None, &["a".to_owned()], &config);
        result.unwrap_err().to_string()
    };
    let making = |config: AdapterConfig| model.new_adapter(&config, 1).unwrap_err().to_string();
    let usual = GenerateConfig::default;
    let lora = AdapterConfig::default;
    let max = usize::MAX;
    for (error, names) in [
        (
            training(TrainConfig {
                steps: max,
                ..CONFIG()
            }),
            ["steps", "2147483647"],
        ),
        (
            training(TrainConfig {
                batch_size: max,
                ..CONFIG()
            }),
            ["batch_size", "65536"],
        ),
        (
            training(TrainConfig {
                batch_size: 65_537,
                ..CONFIG()
            }),
            ["65537", "65536"],
        ),
        (
            training(TrainConfig {
                accumulation: 0,
                ..CONFIG()
            }),
            ["accumulation 0", "1..="],
        ),
        (
            training(TrainConfig {
                max_length: 1,
                ..CONFIG()
            }),
            ["max_length 1", "2"],
        ),
        (
            training(TrainConfig {
                learning_rate: f32::INFINITY,
                ..CONFIG()
            }),
            ["learning_rate inf", "from 0"],
        ),
        (
            training(TrainConfig {
                epsilon: 0.0,
                ..CONFIG()
            }),
            ["epsilon 0", "above 0"],
        ),
        (
            training(TrainConfig {
                clip_norm: Some(f32::NAN),
                ..CONFIG()
            }),
            ["clip_norm NaN", "above 0"],
        ),
        (
            writing(GenerateConfig {
                batch_size: 0,
                ..usual()
            }),
            ["batch_size 0", "1..="],
        ),
        (
            writing(GenerateConfig {
                batch_size: max,
                ..usual()
            }),
            ["batch_size", "65536"],
        ),
        (
            writing(GenerateConfig {
                temperature: f32::NAN,
                ..usual()
            }),
            ["temperature NaN", "from 0"],
        ),
        (
            writing(GenerateConfig {
                top_p: 0.0,
                ..usual()
            }),
            ["top_p 0", "(0, 1]"],
        ),
        (
            writing(GenerateConfig {
                stop: vec!["a".repeat(5000)],
                ..usual()
            }),
            ["5000 bytes", "4096"],
        ),
        (
            writing(GenerateConfig {
                stop: vec!["a".to_owned(); 65],
                ..usual()
            }),
            ["stop has 65", "64"],
        ),
        (
            making(AdapterConfig {
                rank: max,
                ..lora()
            }),
            ["rank", "4096"],
        ),
        (
            making(AdapterConfig {
                dropout: 1.0,
                ..lora()
            }),
            ["dropout 1", "[0, 1)"],
        ),
        (
            making(AdapterConfig {
                alpha: f32::INFINITY,
                ..lora()
            }),
            ["alpha inf", "finite"],
        ),
    ] {
        assert!(
            names.iter().all(|name| error.contains(name)),
            "{error}: {names:?}"
        );
    }
    // A step that makes every weight infinite ends with an error, too.
    let config = TrainConfig {
        learning_rate: 1e30,
        clip_norm: None,
        ..CONFIG()
    };
    let error = training(config);
    assert!(error.contains("not finite"), "{error}");
}

/// A rank that is in range, but too large for a wide model, is refused before allocation: this one
/// would take 64 GiB.
#[test]
fn the_values_of_an_adapter_are_bounded() {
    let wide = ModelConfig {
        d_model: 1 << 16,
        layers: 32,
        ..tiny().config().clone()
    };
    let config = AdapterConfig {
        rank: 4096,
        ..AdapterConfig::default()
    };
    let error = Adapter::init(&config, &wide, 1).unwrap_err().to_string();
    assert!(
        error.contains("rank 4096") && error.contains("1073741824"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_options_end_in_a_value_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..160),
    ) {
        static MODEL: std::sync::OnceLock<Model> = std::sync::OnceLock::new();
        drive(MODEL.get_or_init(tiny), &bytes);
    }
}
