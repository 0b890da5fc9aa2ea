//! Generated and scored texts.

use std::{ops::ControlFlow, path::PathBuf};

use fedseal_tuning::*;

use super::{adapter, tiny};

#[test]
fn a_score_is_the_sum_of_the_tokens_log_probabilities() {
    let model = tiny();
    let mut adapter = adapter(&model, 0.0);
    for tensor in adapter.tensors.values_mut() {
        tensor
            .data
            .iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x = (i as f32).sin() * 0.1);
    }
    let pairs = [
        ("the cat", "sat on the log"),
        ("2 dogs", "on the mat"),
        ("the", "dog"),
    ]
    .map(|(prompt, answer)| (prompt.to_owned(), answer.to_owned()));
    let scores = score(&model, Some(&adapter), &pairs).unwrap();
    for ((prompt, answer), score) in pairs.iter().zip(scores) {
        let mut ids = model.encode_prompt(prompt).unwrap();
        let answer = model.tokenizer().encode(answer, false).unwrap();
        assert_eq!(score.tokens, answer.len());
        let mut sum = 0.0;
        for &id in &answer {
            let logits = next_logits(&model, Some(&adapter), &ids).unwrap();
            let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
            sum += f64::from(logits[id as usize]) - total.ln();
            ids.push(id);
        }
        assert!((sum - score.logprob_sum).abs() < 1e-4, "{sum} {score:?}");
    }
}

#[test]
fn texts_do_not_depend_on_who_shares_the_batch() {
    let model = tiny();
    let prompts: Vec<String> = (0..7).map(|i| "cat ".repeat(i + 1)).collect();
    for temperature in [0.0, 0.8] {
        let config = |batch_size| GenerateConfig {
            batch_size,
            temperature,
            max_new_tokens: 12,
            ..GenerateConfig::default()
        };
        let together = generate(&model, None, &prompts, &config(64)).unwrap();
        assert_eq!(
            together,
            generate(&model, None, &prompts, &config(2)).unwrap()
        );
    }
}

#[test]
fn a_stop_text_ends_an_answer() {
    let model = tiny();
    let prompts = ["the cat".to_owned()];
    let config = GenerateConfig {
        max_new_tokens: 16,
        ..GenerateConfig::default()
    };
    let whole = generate(&model, None, &prompts, &config).unwrap().remove(0);
    let stop: String = whole.chars().skip(3).take(2).collect();
    assert!(!stop.is_empty(), "{whole:?}");
    let config = GenerateConfig {
        stop: vec![stop.clone()],
        ..config
    };
    let cut = generate(&model, None, &prompts, &config).unwrap().remove(0);
    assert_eq!(cut, whole[..whole.find(&stop).unwrap()]);
}

#[test]
fn pieces_are_heard_in_order_and_make_the_text() {
    let model = tiny();
    let prompts: Vec<String> = (0..9).map(|i| format!("{i} the dog")).collect();
    let messages: Vec<Vec<Message>> = prompts
        .iter()
        .map(|prompt| vec![Message::new(Role::User, prompt)])
        .collect();
    let config = GenerateConfig {
        temperature: 0.9,
        max_new_tokens: 12,
        stop: vec!["at".to_owned()],
        ..Default::default()
    };
    let texts = generate(&model, None, &prompts, &config).unwrap();
    let mut heard = vec![String::new(); prompts.len()];
    let mut ended = vec![None; prompts.len()];
    let streamed = generate_stream(&model, None, &messages, &config, &mut |piece| {
        assert!(ended[piece.prompt].is_none(), "a piece after the last");
        heard[piece.prompt].push_str(piece.text);
        ended[piece.prompt] = piece.finish;
        ControlFlow::Continue(())
    })
    .unwrap();
    for (index, generated) in streamed.iter().enumerate() {
        assert_eq!(generated.text, texts[index]);
        assert_eq!(heard[index], texts[index]);
        assert_eq!(ended[index], Some(generated.finish));
    }
    // When the listener breaks at once, the first piece is the last one.
    let one = messages[..1].to_vec();
    let stopped = generate_stream(&model, None, &one, &config, &mut |_| ControlFlow::Break(()));
    let stopped = stopped.unwrap().remove(0);
    assert!(stopped.tokens <= 12);
    let long = GenerateConfig {
        min_new_tokens: 20,
        max_new_tokens: 20,
        ..Default::default()
    };
    let texts = generate_stream(&model, None, &messages, &long, &mut |_| {
        ControlFlow::Continue(())
    });
    for text in texts.unwrap() {
        assert_eq!((text.tokens, text.finish), (20, Finish::Length));
    }
}

/// Largest difference of a logit between the modes, as a share of the text's largest logit:
/// operands have 8 bits, over a few layers.
const FAST_LOGITS: f32 = 0.03;

#[test]
fn fast_logits_of_the_embedded_model_are_near_the_exact_ones() {
    let load = |numerics| {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../federation/model");
        let options = ModelOptions {
            numerics,
            ..ModelOptions::default()
        };
        Model::load(&folder, &options).unwrap()
    };
    let (exact, fast) = (load(Numerics::Exact), load(Numerics::Fast));
    assert_eq!(exact.digest(), fast.digest());
    assert_ne!(fingerprint(&exact), fingerprint(&fast));
    for prompt in [
        "Name a colour.",
        "Reverse the letters of stone.",
        "How do I build a picture frame?",
        "Write the numbers from three to nine.",
    ] {
        let ids = exact.encode_prompt(prompt).unwrap();
        let [exact, fast] = [&exact, &fast].map(|model| next_logits(model, None, &ids).unwrap());
        assert!(fast.iter().all(|logit| logit.is_finite()));
        let size = exact.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let pairs = exact.iter().zip(&fast);
        let most = pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / size;
        // A nonzero difference shows that the mode is another one.
        assert!(most > 0.0 && most < FAST_LOGITS, "{prompt:?}: {most}");
    }
}
