//! Results of transformers and peft for random models, and how far the engine is from them: for tests and for
//! the programs of the oracles.

// Each of them uses a part.
#![allow(dead_code)]

use std::{
    collections::BTreeMap,
    error::Error,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use fedseal_tuning::{
    Adapter, AdapterConfig, Conversation, Example, GenerateConfig, Message, Model, Role,
    TrainConfig, Trained, Trainer, generate, next_logits, train,
};
use safetensors::SafeTensors;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Largest difference of logits, losses and of the adapter after a step, as a share of the largest value.
pub(crate) const BOUND: f64 = 1e-5;

/// Tokens of a greedy text, at most.
const NEW_TOKENS: usize = 12;

/// Texts that every model gets.
#[derive(Deserialize)]
pub(crate) struct Texts {
    pub(crate) prompt: String,
    /// Prompts with the answers that are learned.
    pub(crate) examples: Vec<(String, String)>,
    /// Several turns, of which the last answer is learned.
    #[serde(default)]
    pub(crate) conversation: Vec<(Role, String)>,
}

/// Results of several models.
#[derive(Deserialize)]
pub(crate) struct References {
    #[serde(flatten)]
    pub(crate) texts: Texts,
    pub(crate) models: BTreeMap<String, Case>,
}

/// Results of a model.
#[derive(Deserialize)]
pub(crate) struct Case {
    /// The prompt in its template.
    pub(crate) ids: Vec<u32>,
    /// Every fourth logit of the last row.
    last: Vec<f32>,
    /// Every fourth logit of the middle row.
    middle: Vec<f32>,
    greedy: Vec<u32>,
    losses: Vec<f32>,
    /// Loss of the conversation.
    conversation: Option<f32>,
}

/// Largest differences, all but the first as a share of the largest value.
#[derive(Clone, Copy)]
pub(crate) struct Differences {
    /// Largest difference of a logit.
    pub(crate) absolute: f64,
    pub(crate) logits: f64,
    /// Difference of the adapter after a step; none where no reference was given.
    pub(crate) step: Option<f64>,
    /// Difference of the losses of a few steps.
    pub(crate) losses: f64,
    /// Difference of a conversation's loss; none where the reference has none.
    pub(crate) conversation: Option<f64>,
    /// Whether the greedy tokens are the same, and so is their text where they spell one: SentencePiece's
    /// tokens of single bytes need not.
    pub(crate) greedy: bool,
    /// Whether the text is the same, whatever it is.
    pub(crate) spelled: bool,
}

impl Differences {
    /// Whether everything was compared and is near enough.
    pub(crate) fn agree(&self) -> bool {
        let all = [
            Some(self.logits),
            self.step,
            Some(self.losses),
            self.conversation,
        ];
        let near = |share: Option<f64>| share.is_some_and(|share| share <= BOUND);
        self.greedy && all.into_iter().all(near)
    }

    /// The larger of each.
    fn worse(self, other: Self) -> Self {
        let larger = |a: Option<f64>, b: Option<f64>| Some(a?.max(b?));
        Self {
            absolute: self.absolute.max(other.absolute),
            logits: self.logits.max(other.logits),
            step: larger(self.step, other.step),
            losses: self.losses.max(other.losses),
            conversation: larger(self.conversation, other.conversation),
            greedy: self.greedy && other.greedy,
            spelled: self.spelled && other.spelled,
        }
    }
}

/// Differences of families, each the largest of its checkpoints.
#[derive(Default)]
pub(crate) struct Families(BTreeMap<String, Differences>);

impl Families {
    /// Adds a checkpoint of a family, and says what it is.
    pub(crate) fn add(&mut self, family: &str, name: &str, differences: Differences) {
        let share = |share: Option<f64>| share.map_or("–".to_owned(), |it| format!("{it:.1e}"));
        let Differences {
            logits,
            step,
            losses,
            conversation,
            greedy,
            ..
        } = differences;
        let (step, conversation) = (share(step), share(conversation));
        eprintln!(
            "    {name} ({family}): logits {logits:.1e}, step {step}, losses {losses:.1e}, conversation \
             {conversation}, greedy {greedy}"
        );
        let all = self.0.entry(family.to_owned()).or_insert(differences);
        *all = all.worse(differences);
    }

    /// Number of families.
    pub(crate) fn total(&self) -> usize {
        self.0.len()
    }

    /// Number of families whose checkpoints all agree.
    pub(crate) fn agreed(&self) -> usize {
        self.0.values().filter(|all| all.agree()).count()
    }

    /// Largest difference of a logit.
    pub(crate) fn absolute(&self) -> f64 {
        self.0
            .values()
            .fold(0.0, |most, all| most.max(all.absolute))
    }

    /// Figures by name: `families.FAMILY.FORM.MEASURE`.
    pub(crate) fn figures(&self, form: &str) -> Map<String, Value> {
        let mut figures = Map::new();
        for (family, all) in &self.0 {
            for (measure, value) in [
                ("logits", Some(all.logits)),
                ("step", all.step),
                ("losses", Some(all.losses)),
                ("conversation", all.conversation),
                ("greedy", Some(f64::from(u8::from(all.greedy)))),
            ] {
                figures.insert(format!("families.{family}.{form}.{measure}"), value.into());
            }
        }
        figures
    }
}

/// Folder of the fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Reads a file of JSON.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Outcome<T> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// Copies the files of tiny-llama's tokenizer into a folder that has none.
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

/// Compares a model with its results; `step` is the file of the adapter after one step.
pub(crate) fn compare(
    model: &Model,
    texts: &Texts,
    case: &Case,
    step: Option<&Path>,
) -> Outcome<Differences> {
    if model.encode_prompt(&texts.prompt)? != case.ids {
        return Err(format!("{:?}: other tokens", texts.prompt).into());
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
        max_new_tokens: NEW_TOKENS,
        ..GenerateConfig::default()
    };
    let text = generate(model, None, std::slice::from_ref(&texts.prompt), &config)?;
    let real = model.tokenizer().decode(&case.greedy)?;
    let spelled = text == [real.as_str()];
    let greedy = is_greedy(model, case)? && (spelled || real.contains(char::REPLACEMENT_CHARACTER));
    let start = start(model)?;
    let examples = texts.examples.iter();
    let examples: Vec<Example> = examples
        .map(|(prompt, response)| Example::new(prompt, response))
        .collect();
    let run = |steps: usize, epsilon: f32, learning_rate: f32| -> Outcome<Trained> {
        let config = TrainConfig {
            steps,
            batch_size: examples.len(),
            learning_rate,
            weight_decay: 0.01,
            epsilon,
            ..TrainConfig::default()
        };
        Ok(train(model, &start, &examples, &config, &mut |_| {
            ControlFlow::Continue(())
        })?)
    };
    let losses = run(case.losses.len(), 1e-8, 1e-2)?.losses;
    let step = match step {
        Some(file) => {
            let bytes =
                std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            let mut stepped = start.clone();
            set(&mut stepped, &SafeTensors::deserialize(&bytes)?, "")?;
            Some(tensor_difference(&run(1, 1e-5, 1e-4)?.adapter, &stepped))
        }
        None => None,
    };
    let conversation = match case.conversation {
        Some(real) => {
            let ours = conversation_loss(model, &texts.conversation)?;
            Some(largest_difference(&[ours], &[real]) / largest_value(&[real]))
        }
        None => None,
    };
    Ok(Differences {
        absolute,
        logits,
        step,
        losses: largest_difference(&losses, &case.losses) / largest_value(&case.losses),
        conversation,
        greedy,
        spelled,
    })
}

/// Whether every greedy token is the likeliest, and so is an end where there are fewer.
fn is_greedy(model: &Model, case: &Case) -> Outcome<bool> {
    let mut ids = case.ids.clone();
    for &token in &case.greedy {
        if likeliest(&next_logits(model, None, &ids)?) != token {
            return Ok(false);
        }
        ids.push(token);
    }
    if case.greedy.len() == NEW_TOKENS {
        return Ok(true);
    }
    let last = likeliest(&next_logits(model, None, &ids)?);
    Ok(model.eos().contains(&last))
}

/// Token with the largest logit.
pub(crate) fn likeliest(logits: &[f32]) -> u32 {
    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    best.unwrap_or(0) as u32
}

/// Shape of the adapters: every matrix of the model.
fn shape(model: &Model) -> AdapterConfig {
    let modules = model.config().modules().iter();
    AdapterConfig {
        rank: 2,
        alpha: 4.0,
        targets: modules.map(|module| module.name.to_owned()).collect(),
        ..AdapterConfig::default()
    }
}

/// The adapter that the references begin with.
pub(crate) fn start(model: &Model) -> Outcome<Adapter> {
    let mut start = Adapter::init(&shape(model), model.config(), 0)?;
    for (t, tensor) in start.tensors.values_mut().enumerate() {
        for (i, value) in tensor.data.iter_mut().enumerate() {
            *value = (0.1 * (0.7 * i as f64 + t as f64).sin()) as f32;
        }
    }
    Ok(start)
}

/// Mean loss of a conversation's last answer: that of a step which changes nothing.
fn conversation_loss(model: &Model, messages: &[(Role, String)]) -> Outcome<f32> {
    let messages = messages.iter();
    let conversation = Conversation {
        messages: messages
            .map(|(role, text)| Message::new(*role, text))
            .collect(),
    };
    let examples = [conversation];
    let config = TrainConfig {
        steps: 1,
        batch_size: 1,
        learning_rate: 0.0,
        ..TrainConfig::default()
    };
    let fresh = Adapter::init(&shape(model), model.config(), 0)?;
    let mut trainer = Trainer::new(model, &fresh, &examples, &config)?;
    Ok(trainer.step()?.ok_or("no step")?.loss)
}

/// Largest difference of two values.
pub(crate) fn largest_difference(ours: &[f32], real: &[f32]) -> f64 {
    assert_eq!(ours.len(), real.len(), "values to compare");
    let pairs = ours.iter().zip(real);
    let differences = pairs.map(|(a, b)| f64::from(a - b).abs());
    // NaN must not count as no difference.
    differences.fold(
        0.0,
        |m, d| if d.is_nan() { f64::INFINITY } else { d.max(m) },
    )
}

/// Largest absolute value.
pub(crate) fn largest_value(values: &[f32]) -> f64 {
    let sizes = values.iter().map(|value| f64::from(value.abs()));
    sizes.fold(f64::MIN_POSITIVE, f64::max)
}

/// Values of a tensor in f32.
pub(crate) fn values(tensors: &SafeTensors<'_>, name: &str) -> Outcome<Vec<f32>> {
    let raw = tensors.tensor(name)?;
    let chunks = raw.data().as_chunks::<4>().0;
    Ok(chunks
        .iter()
        .map(|chunk| f32::from_le_bytes(*chunk))
        .collect())
}

/// Gives an adapter the tensors of a file, whose names have a prefix.
pub(crate) fn set(adapter: &mut Adapter, tensors: &SafeTensors<'_>, prefix: &str) -> Outcome {
    for (name, tensor) in &mut adapter.tensors {
        let data = values(tensors, &format!("{prefix}{name}"))?;
        if data.len() != tensor.data.len() {
            return Err(format!("{name}: {} values", data.len()).into());
        }
        tensor.data = data;
    }
    Ok(())
}

/// Largest relative difference of a tensor (Euclidean norms).
pub(crate) fn tensor_difference(ours: &Adapter, real: &Adapter) -> f64 {
    let pairs = ours.tensors.values().zip(real.tensors.values());
    let each = pairs.map(|(ours, real)| {
        let square = |pair: (&f32, &f32)| f64::from(pair.0 - pair.1).powi(2);
        let distance: f64 = ours.data.iter().zip(&real.data).map(square).sum();
        let size: f64 = real.data.iter().map(|&x| f64::from(x).powi(2)).sum();
        (distance / size).sqrt()
    });
    each.fold(
        0.0,
        |m, d| if d.is_nan() { f64::INFINITY } else { d.max(m) },
    )
}
