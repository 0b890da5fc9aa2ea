//! The decoder on the kernels compared with whole passes, and with itself in other storage.

use super::*;
use crate::{
    AdapterConfig, Architecture, Base, Family, Model, ModelConfig, ModelOptions,
    adapter::lora::Lora,
    kernels::tests_support::noise,
    model::{base::Kept, weights::WeightSource},
    ops::Segments,
};
use burn::tensor::Device;

struct Noise;

impl WeightSource for Noise {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError> {
        let seed = name
            .bytes()
            .fold(7, |seed, byte| seed * 31 % 65_521 + u64::from(byte));
        let values = noise(shape.iter().product(), seed);
        Ok(values.into_iter().map(|value| value * 0.3).collect())
    }
}

#[test]
fn texts_that_grow_get_the_bits_of_the_whole_pass() {
    for architecture in Architecture::ALL {
        let gemma = architecture.is_gemma();
        let family = Family {
            architecture,
            qkv_bias: architecture == Architecture::Qwen2,
            output_bias: architecture == Architecture::Llama,
            window: Some(7),
            sliding: match architecture {
                Architecture::Mistral => vec![true; 3],
                _ if gemma => vec![true, false, true],
                _ => Vec::new(),
            },
            local_rope_theta: (architecture == Architecture::Gemma3).then_some(500.0),
            query_scale: gemma.then_some(12.0),
            attention_cap: (architecture == Architecture::Gemma2).then_some(3.0),
            logit_cap: gemma.then_some(5.0),
            ..Family::default()
        };
        grows_to_the_bits_of_the_whole_pass(family);
    }
}

fn grows_to_the_bits_of_the_whole_pass(family: Family) {
    let config = ModelConfig {
        d_model: 48,
        layers: 3,
        heads: 6,
        kv_heads: 2,
        head_dim: 8,
        ffn: 80,
        vocab: 101,
        rope_theta: 10_000.0,
        rope_scaling: Default::default(),
        norm_eps: 1e-5,
        max_positions: 64,
        tied_embeddings: true,
        family,
    };
    let device = Device::flex();
    let decoder = Decoder::load(&Noise, &config, &device, Numerics::Exact).unwrap();
    let mut shape = AdapterConfig::default();
    if config.family.architecture == Architecture::Phi3 {
        // It has queries, keys and values in one matrix.
        shape.targets = vec!["qkv_proj".to_owned()];
    }
    let mut adapter = Adapter::init(&shape, &config, 1).unwrap();
    for (seed, tensor) in adapter.tensors.values_mut().enumerate() {
        tensor.data = noise(tensor.data.len(), seed as u64 + 9);
    }
    let lora = Lora::upload(&adapter, &config, &device, false).unwrap();
    let cpu = CpuDecoder::new(&decoder, Some(&adapter)).unwrap().unwrap();

    let texts: [Vec<u32>; 2] = [(0..40).map(|i| i * 7 % 101).collect(), (0..9).collect()];
    let segments = Segments::from_lengths(texts.iter().map(Vec::len));
    let ids: Vec<u32> = texts.concat();
    let positions = segments.positions();
    let whole = decoder.forward(&ids, &positions, &segments, Some(&lora), None);
    let whole = to_host(whole).unwrap();
    let row = |token: usize| &whole[token * config.d_model..(token + 1) * config.d_model];

    // The first text in three parts; a copy of the cache reads the second part.
    let mut first = cpu.cache(4);
    let hidden = cpu.read(&mut [Text {
        cache: &mut first,
        ids: &texts[0][..30],
    }]);
    assert_eq!(hidden, row(29));
    let mut first = cpu.continued(&first, 40);
    let mut second = cpu.cache(9);
    let mut both = [
        Text {
            cache: &mut first,
            ids: &texts[0][30..31],
        },
        Text {
            cache: &mut second,
            ids: &texts[1],
        },
    ];
    let hidden = cpu.read(&mut both);
    assert_eq!(hidden, [row(30), row(48)].concat());
    let hidden = cpu.read(&mut [Text {
        cache: &mut first,
        ids: &texts[0][31..],
    }]);
    assert_eq!(hidden, row(39));
    assert_eq!((first.tokens(), second.tokens()), (40, 9));
    let logits = cpu.logits(&hidden);
    let last = decoder.forward(
        &ids[..40],
        &positions[..40],
        &Segments::from_lengths([40]),
        Some(&lora),
        Some(&[39]),
    );
    assert_eq!(logits.len(), config.vocab);
    for (ours, real) in logits.iter().zip(to_host(decoder.logits(last)).unwrap()) {
        assert!((ours - real).abs() < 1e-5, "{ours} {real}");
    }
}

/// Matrices of whole blocks, so that all of them can be rounded.
fn even_config() -> ModelConfig {
    ModelConfig {
        d_model: 64,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        ffn: 96,
        vocab: 101,
        rope_theta: 10_000.0,
        rope_scaling: Default::default(),
        norm_eps: 1e-5,
        max_positions: 64,
        tied_embeddings: true,
        family: Family::default(),
    }
}

/// A source with the same values as another, all of them as rows of f32.
struct Wide<'a>(&'a dyn WeightSource);

impl WeightSource for Wide<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError> {
        self.0.tensor(name, shape)
    }
}

/// Returns the logits after a prompt and after each of some more tokens of two texts.
fn written(source: &dyn WeightSource, numerics: Numerics) -> Vec<f32> {
    let config = even_config();
    let decoder = Decoder::load(source, &config, &Device::flex(), numerics).unwrap();
    let cpu = CpuDecoder::new(&decoder, None).unwrap().unwrap();
    let (mut first, mut second) = (cpu.cache(8), cpu.cache(8));
    let mut all = Vec::new();
    for [a, b] in [
        [&[3u32, 8, 5, 13, 21][..], &[34, 55]],
        [&[89], &[1, 2]],
        [&[4], &[7]],
    ] {
        let mut texts = [
            Text {
                cache: &mut first,
                ids: a,
            },
            Text {
                cache: &mut second,
                ids: b,
            },
        ];
        all.extend(cpu.step(&mut texts, true));
    }
    all
}

#[test]
fn few_bits_have_the_bits_of_f32_and_integers_are_near() {
    for base in [Base::Bf16, Base::Q8, Base::Q4] {
        let kept = Kept {
            source: &Noise,
            base,
        };
        let exact = written(&kept, Numerics::Exact);
        assert_eq!(exact, written(&Wide(&kept), Numerics::Exact), "{base}");
        // The bound is three times the error of rounding rows to 8 bits here.
        let fast = written(&kept, Numerics::Fast);
        let size = exact.iter().map(|v| v * v).sum::<f32>();
        let off = exact.iter().zip(&fast).map(|(a, b)| (a - b) * (a - b));
        let off = (off.sum::<f32>() / size).sqrt();
        assert!(off < 0.03, "{base}: {off}");
    }
}

/// Finds the real model, where it was fetched: `$FEDSEAL_MODELS/smollm2` or `models/smollm2`.
fn smollm2() -> Option<std::path::PathBuf> {
    let root = match std::env::var_os("FEDSEAL_MODELS") {
        Some(root) => root.into(),
        None => std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"),
    };
    let file = root.join("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
    if file.is_file() {
        return Some(file);
    }
    eprintln!("SKIPPED: {} is not there", file.display());
    None
}

/// Returns the distribution of the token after a prompt.
fn next(model: &Model, prompt: &str) -> Vec<f64> {
    let ids = model.encode_prompt(prompt).unwrap();
    let cpu = CpuDecoder::new(model.decoder(), None).unwrap().unwrap();
    let mut cache = cpu.cache(ids.len());
    let mut texts = [Text {
        cache: &mut cache,
        ids: &ids,
    }];
    let logits = cpu.step(&mut texts, true);
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = logits.iter().map(|value| f64::from(value - top).exp());
    let weights: Vec<f64> = weights.collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

/// Integers change the distribution of the next token less than a usual rounding of the base does.
/// The bound is a divergence of 0.03; a base in 8 bits measures up to 0.005 and rows in 8 bits up
/// to 0.015.
#[test]
fn fast_generation_of_the_real_model_is_near_the_exact_one() {
    let Some(file) = smollm2() else { return };
    let load = |numerics| {
        let options = ModelOptions {
            numerics,
            ..ModelOptions::default()
        };
        Model::load(&file, &options).unwrap()
    };
    let (exact, fast) = (load(Numerics::Exact), load(Numerics::Fast));
    for prompt in [
        "What is the capital of France?",
        "Write a poem about the river.",
        "Explain how a window works in two sentences.",
        "List three colours.",
    ] {
        let pairs = next(&exact, prompt).into_iter().zip(next(&fast, prompt));
        let terms = pairs.map(|(p, q)| {
            if p > 0.0 {
                p * (p / q.max(1e-30)).ln()
            } else {
                0.0
            }
        });
        let divergence: f64 = terms.sum();
        eprintln!("{prompt:?}: divergence {divergence}");
        assert!(divergence < 0.03, "{prompt:?}: {divergence}");
    }
}
