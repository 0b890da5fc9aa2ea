//! One model with options from bytes: whatever they are, the result is a value or an error that
//! names the option. The fuzz target `options` and a test with drawn bytes share it.

use std::ops::ControlFlow;

use fedseal_tuning::*;

/// Names of options; every refusal of a number contains one of them.
const OPTIONS: [&str; 20] = [
    "accumulation",
    "alpha",
    "batch_size",
    "beta1",
    "beta2",
    "clip_norm",
    "dropout",
    "epsilon",
    "examples",
    "learning_rate",
    "max_length",
    "max_response_tokens",
    "proximal_mu",
    "rank",
    "steps",
    "stop",
    "target",
    "temperature",
    "top_p",
    "weight_decay",
];

/// Numbers at the ends of types and bounds. None is large and allowed where the work would grow
/// with it.
const SIZES: [usize; 12] = [
    0,
    1,
    2,
    3,
    7,
    limits::MAX_RANK + 1,
    limits::MAX_STEP_EXAMPLES + 1,
    u32::MAX as usize,
    1 << 40,
    i64::MAX as usize,
    usize::MAX - 1,
    usize::MAX,
];

const NUMBERS: [f32; 16] = [
    0.0,
    -0.0,
    1e-45,
    f32::MIN_POSITIVE,
    1e-3,
    0.5,
    0.999_999_9,
    1.0,
    1.5,
    1e30,
    f32::MAX,
    -1.0,
    -1e30,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
];

const WORDS: [&str; 6] = [
    "",
    "a cat",
    "the dog sat on",
    "\u{fc}\u{fffd}\0",
    "<|im_end|>",
    "q",
];

const TARGETS: [&str; 7] = [
    "q_proj",
    "v_proj",
    "down_proj",
    "up_proj",
    "input_layernorm",
    "norm",
    "lm_head",
];

/// Draws values from bytes; zeros after their end.
struct Draw<'a>(&'a [u8]);

impl Draw<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::from(self.byte()) % list.len()]
    }

    /// Draws mostly `usual`, so that more than one wrong option is the exception.
    fn size(&mut self, usual: usize) -> usize {
        match self.byte() % 4 {
            0 => self.of(&SIZES),
            _ => usual,
        }
    }

    fn number(&mut self, usual: f32) -> f32 {
        match self.byte() % 4 {
            0 => self.of(&NUMBERS),
            1 => f32::from_bits(u32::from_le_bytes([0; 4].map(|_: u8| self.byte()))),
            _ => usual,
        }
    }

    /// Draws a text of up to some hundred tokens.
    fn text(&mut self) -> String {
        let word = self.of(&WORDS);
        word.repeat(usize::from(self.byte()) % 40)
    }

    fn texts(&mut self) -> Vec<String> {
        (0..self.byte() % 4).map(|_| self.text()).collect()
    }
}

fn adapter_config(draw: &mut Draw<'_>) -> AdapterConfig {
    let method = draw.of(&[Method::Lora, Method::Lora, Method::Ia3, Method::LayerNorm]);
    AdapterConfig {
        rank: draw.size(1),
        alpha: draw.number(2.0),
        dropout: draw.number(0.0),
        targets: (0..=draw.byte() % 3)
            .map(|_| draw.of(&TARGETS).to_owned())
            .collect(),
        rslora: draw.byte() % 8 == 1,
        method,
    }
}

fn train_config(draw: &mut Draw<'_>) -> TrainConfig {
    TrainConfig {
        steps: draw.size(2),
        batch_size: draw.size(2),
        accumulation: draw.size(1),
        learning_rate: draw.number(1e-2),
        schedule: draw.of(&Schedule::ALL),
        warmup_steps: draw.size(0),
        max_length: draw.size(24),
        max_response_tokens: draw.size(12),
        weight_decay: draw.number(0.0),
        beta1: draw.number(0.9),
        beta2: draw.number(0.999),
        epsilon: draw.number(1e-8),
        clip_norm: match draw.byte() % 2 {
            0 => None,
            _ => Some(draw.number(1.0)),
        },
        seed: draw.size(5) as u64,
        proximal_mu: draw.number(0.0),
        recompute: draw.byte() % 2 == 1,
        whole_passes: draw.byte() % 2 == 1,
    }
}

fn generate_config(draw: &mut Draw<'_>) -> GenerateConfig {
    GenerateConfig {
        max_new_tokens: draw.size(4),
        temperature: draw.number(0.0),
        top_k: draw.size(0),
        top_p: draw.number(1.0),
        seed: draw.size(0) as u64,
        stop: match draw.byte() % 4 {
            0 => draw.texts(),
            _ => Vec::new(),
        },
        batch_size: draw.size(2),
        min_new_tokens: draw.size(0),
    }
}

/// Checks that a refusal names the refused option.
fn judge<T>(result: Result<T, TuningError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(TuningError::Config(text)) => {
            let named = OPTIONS.iter().any(|option| text.contains(option));
            assert!(named, "{text}");
            None
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// Makes an adapter, trains, writes and scores, with options from `bytes`.
///
/// # Panics
/// When the engine panics or does not keep to the model's positions.
pub(crate) fn drive(model: &Model, bytes: &[u8]) {
    let draw = &mut Draw(bytes);
    let positions = model.config().max_positions;
    let adapter = judge(model.new_adapter(&adapter_config(draw), 1));
    let examples: Vec<Example> = (0..draw.byte() % 4)
        .map(|_| Example::new(draw.text(), draw.text()))
        .collect();
    let trained = adapter.map(|start| {
        let config = train_config(draw);
        let mut two = |event: StepEvent| match event.step < 2 {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        let trained = judge(train(model, &start, &examples, &config, &mut two));
        trained.map_or(start, |trained| trained.adapter)
    });
    let config = generate_config(draw);
    let prompts: Vec<Vec<Message>> = draw
        .texts()
        .into_iter()
        .map(|text| vec![Message::new(Role::User, text)])
        .collect();
    let mut go_on = |_: Piece<'_>| ControlFlow::Continue(());
    let written = generate_stream(model, trained.as_ref(), &prompts, &config, &mut go_on);
    for (prompt, text) in prompts.iter().zip(judge(written).unwrap_or_default()) {
        let tokens = model.encode_messages(prompt).map_or(0, |ids| ids.len());
        assert!(tokens + text.tokens <= positions, "{text:?}");
        assert!(text.tokens <= config.max_new_tokens, "{text:?}");
        if text.finish == Finish::Positions {
            assert_eq!(tokens + text.tokens, positions);
        }
    }
    let pairs: Vec<(String, String)> = (0..draw.byte() % 3)
        .map(|_| (draw.text(), draw.text()))
        .collect();
    let scores = judge(score(model, trained.as_ref(), &pairs));
    assert!(scores.is_none_or(|scores| scores.len() == pairs.len()));
}
