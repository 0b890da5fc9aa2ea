//! Random models of every family, beside transformers and peft.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use fedseal_tuning::{
    Adapter, AdapterConfig, Example, GenerateConfig, Model, TrainConfig, Trained, generate,
    next_logits, train,
};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Outcome, fixtures, json, largest_difference, load, set, tensor_difference};

/// Largest difference of logits, losses and the adapter after a step, as a share of the largest value.
const BOUND: f64 = 1e-5;

#[derive(Deserialize)]
struct References {
    prompt: String,
    examples: Vec<(String, String)>,
    models: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    ids: Vec<u32>,
    /// Every fourth logit of the last row.
    last: Vec<f32>,
    /// Logits of the middle row.
    middle: Vec<f32>,
    greedy: Vec<u32>,
    losses: Vec<f32>,
}

/// Differences of one model.
struct Differences {
    /// Largest of a logit.
    absolute: f64,
    logits: f64,
    step: f64,
    loss: f64,
    greedy: bool,
}

impl Differences {
    fn agree(&self) -> bool {
        let all = [self.logits, self.step, self.loss];
        self.greedy && all.iter().all(|share| *share <= BOUND)
    }
}

/// Copies the files of the tokenizer into a folder that has none.
pub(crate) fn with_tokenizer(folder: &Path) -> Outcome {
    for file in [
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ] {
        std::fs::copy(fixtures().join("tiny-llama").join(file), folder.join(file))?;
    }
    Ok(())
}

/// Compares every checkpoint. A family agrees when all of its checkpoints do.
pub(crate) fn compare(out: &Path) -> Outcome<Map<String, Value>> {
    let references: References = json(&out.join("architectures.json"))?;
    let mut figures = Map::new();
    let mut agreed: BTreeMap<&str, bool> = BTreeMap::new();
    let mut largest = 0.0_f64;
    for (name, case) in &references.models {
        let folder = out.join("architectures").join(name);
        with_tokenizer(&folder)?;
        let model = load(&folder)?;
        let differences = differences(&model, &references, case, out, name)?;
        let family = model.config().family.architecture.model_type();
        *agreed.entry(family).or_insert(true) &= differences.agree();
        largest = largest.max(differences.absolute);
        let Differences {
            logits,
            step,
            loss,
            greedy,
            ..
        } = differences;
        eprintln!(
            "    {name} ({family}): logits {logits:.1e}, step {step:.1e}, loss {loss:.1e}, greedy {greedy}"
        );
        for (measure, value) in [
            ("logits", json!(logits)),
            ("step", json!(step)),
            ("loss", json!(loss)),
            ("greedy", json!(u8::from(greedy))),
        ] {
            figures.insert(format!("families.{name}.{measure}"), value);
        }
    }
    let equal = agreed.values().filter(|agrees| **agrees).count();
    figures.insert("logits.tiny.max_abs_diff".to_owned(), json!(largest));
    figures.insert("families.total".to_owned(), json!(agreed.len()));
    figures.insert("families.agreed".to_owned(), json!(equal));
    Ok(figures)
}

fn differences(
    model: &Model,
    references: &References,
    case: &Case,
    out: &Path,
    name: &str,
) -> Outcome<Differences> {
    if model.encode_prompt(&references.prompt)? != case.ids {
        return Err(format!("{name}: other tokens").into());
    }
    let (mut absolute, mut logits) = (0.0_f64, 0.0_f64);
    let middle = &case.ids[..=case.ids.len() / 2];
    for (ids, real) in [(case.ids.as_slice(), &case.last), (middle, &case.middle)] {
        let ours = next_logits(model, None, ids)?;
        let ours: Vec<f32> = ours.into_iter().step_by(4).collect();
        let difference = largest_difference(&ours, real);
        absolute = absolute.max(difference);
        logits = logits.max(difference / largest_value(real));
    }
    let config = GenerateConfig {
        max_new_tokens: 12,
        ..GenerateConfig::default()
    };
    let text = generate(
        model,
        None,
        std::slice::from_ref(&references.prompt),
        &config,
    )?;
    let greedy = text == [model.tokenizer().decode(&case.greedy)?];

    let bytes = std::fs::read(out.join("steps").join(format!("{name}.safetensors")))?;
    let real = SafeTensors::deserialize(&bytes)?;
    let modules = model.config().modules().iter();
    let shape = AdapterConfig {
        rank: 2,
        alpha: 4.0,
        targets: modules.map(|module| module.name.to_owned()).collect(),
        ..AdapterConfig::default()
    };
    let mut start = Adapter::init(&shape, model.config(), 0)?;
    for (t, tensor) in start.tensors.values_mut().enumerate() {
        for (i, value) in tensor.data.iter_mut().enumerate() {
            *value = (0.1 * (0.7 * i as f64 + t as f64).sin()) as f32;
        }
    }
    let mut stepped = start.clone();
    set(&mut stepped, &real, "")?;
    let examples = references.examples.iter();
    let examples: Vec<Example> = examples
        .map(|(prompt, response)| Example::new(prompt, response))
        .collect();
    let run = |steps: usize, epsilon: f32| -> Outcome<Trained> {
        let config = TrainConfig {
            steps,
            batch_size: examples.len(),
            learning_rate: 1e-2,
            weight_decay: 0.01,
            epsilon,
            ..TrainConfig::default()
        };
        Ok(train(model, &start, &examples, &config, &mut |_| {
            ControlFlow::Continue(())
        })?)
    };
    let losses = run(case.losses.len(), 1e-8)?.losses;
    let loss = largest_difference(&losses, &case.losses) / largest_value(&case.losses);
    Ok(Differences {
        absolute,
        logits,
        step: tensor_difference(&run(1, 1e-5)?.adapter, &stepped),
        loss,
        greedy,
    })
}

pub(crate) fn largest_value(values: &[f32]) -> f64 {
    let sizes = values.iter().map(|value| f64::from(value.abs()));
    sizes.fold(f64::MIN_POSITIVE, f64::max)
}
