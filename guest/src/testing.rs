//! A host in memory, for tests of a policy without Wasm.
//!
//! It keeps the meaning of the calls (what is generated, what is literal, what is refused) but not
//! their cost: adapters are short vectors. "Training" adds the learning rate times the steps to
//! every value, and a hundredth of the answers' mean length to the last one too, so that other data
//! give another update. The sandbox's own tests run the same policies as components.

use crate::{Context, Error, Example, GenerateOptions, Host, Model, TrainOptions};

/// Update that the policy handed in.
#[derive(Clone, Debug, PartialEq)]
pub struct Submitted {
    /// The adapter's values.
    pub values: Vec<f32>,
    /// The weight in local examples.
    pub examples: u32,
}

/// Model that answers [`Host::generate`]: prompt in, answer out.
pub type Answer = Box<dyn FnMut(&str) -> String>;

/// Model that [`Host::log_likelihood`] reads with: a pair in, nats a token out.
pub type Likelihood = Box<dyn FnMut(&Example) -> f64>;

/// A host in memory. The fields are inputs before a run and records after it.
pub struct FakeHost {
    /// Result of [`Host::context`].
    pub context: Context,
    /// The client's own data.
    pub shard: Vec<Example>,
    /// Result of [`Host::attachment`].
    pub attachment: Vec<Example>,
    /// The global adapter's values.
    pub global: Vec<f32>,
    /// The model behind [`Host::generate`]; by default it repeats the prompt.
    pub answer: Answer,
    /// The model behind [`Host::log_likelihood`]; by default every pair has -1.
    pub likelihood: Likelihood,
    /// Everything that `generate` returned.
    pub outputs: Vec<String>,
    /// Literal examples handed in by the policy.
    pub literal: Vec<Example>,
    /// Generated examples handed in by the policy.
    pub generated: Vec<Example>,
    /// Data and options of every `train` call.
    pub trained: Vec<(Vec<Example>, TrainOptions)>,
    /// How many of those were `train_controlled`.
    pub controlled: usize,
    /// The server's control variate minus the client's, for every value.
    pub control: f32,
    /// Log lines.
    pub lines: Vec<String>,
    /// The update, once handed in.
    pub submitted: Option<Submitted>,
    random: u64,
}

impl FakeHost {
    /// A host whose shard has `examples` invented pairs.
    #[must_use]
    pub fn new(examples: u32) -> Self {
        let pair = |index| Example {
            prompt: format!("question {index}"),
            response: format!("answer {index}"),
        };
        Self {
            context: Context {
                client: "client-00".into(),
                round: 0,
                rounds: 1,
                seed: 7,
                steps: 4,
                batch_size: 2,
                learning_rate: 0.5,
                proximal_mu: 0.0,
                shard_examples: examples,
            },
            shard: (0..examples).map(pair).collect(),
            attachment: Vec::new(),
            global: vec![0.0, 1.0],
            answer: Box::new(str::to_owned),
            likelihood: Box::new(|_| -1.0),
            outputs: Vec::new(),
            literal: Vec::new(),
            generated: Vec::new(),
            trained: Vec::new(),
            controlled: 0,
            control: 0.0,
            lines: Vec::new(),
            submitted: None,
            random: 0,
        }
    }

    /// A host whose shard has `examples` pairs with answers of different lengths, so that training on
    /// other slices gives other updates.
    #[must_use]
    pub fn uneven(examples: u32) -> Self {
        let mut host = Self::new(examples);
        for (index, pair) in host.shard.iter_mut().enumerate() {
            pair.response = "x".repeat(10 * index + 1);
        }
        host
    }

    fn around_global(&self, source: &[f32], factor: f64) -> Vec<f32> {
        let pairs = source.iter().zip(&self.global);
        pairs
            .map(|(value, global)| global + factor as f32 * (value - global))
            .collect()
    }
}

fn slice(data: &[Example], offset: u32, count: u32) -> Vec<Example> {
    let kept = data.iter().skip(offset as usize).take(count as usize);
    kept.cloned().collect()
}

impl Host for FakeHost {
    type Dataset = Vec<Example>;
    type Adapter = Vec<f32>;

    fn context(&mut self) -> Context {
        self.context.clone()
    }

    fn shard(&mut self) -> Self::Dataset {
        self.shard.clone()
    }

    fn attachment(&mut self) -> Vec<Example> {
        self.attachment.clone()
    }

    fn examples(&mut self, items: &[Example]) -> Result<Self::Dataset, Error> {
        for item in items {
            let made = |text: &str| self.outputs.iter().any(|output| output.contains(text));
            if made(&item.prompt) && made(&item.response) {
                self.generated.push(item.clone());
            } else {
                self.literal.push(item.clone());
            }
        }
        Ok(items.to_vec())
    }

    fn count(&mut self, data: &Self::Dataset) -> u32 {
        data.len() as u32
    }

    fn read_examples(&mut self, data: &Self::Dataset, offset: u32, count: u32) -> Vec<Example> {
        slice(data, offset, count)
    }

    fn concat(&mut self, parts: &[&Self::Dataset]) -> Result<Self::Dataset, Error> {
        Ok(parts.iter().copied().flatten().cloned().collect())
    }

    fn take(
        &mut self,
        data: &Self::Dataset,
        offset: u32,
        count: u32,
    ) -> Result<Self::Dataset, Error> {
        Ok(slice(data, offset, count))
    }

    fn generate(
        &mut self,
        prompts: &[String],
        _options: &GenerateOptions,
    ) -> Result<Vec<String>, Error> {
        let answers: Vec<String> = prompts.iter().map(|prompt| (self.answer)(prompt)).collect();
        self.outputs.extend(answers.iter().cloned());
        Ok(answers)
    }

    fn log_likelihood(&mut self, items: &[Example], _model: Model) -> Result<Vec<f64>, Error> {
        if items.iter().any(|pair| pair.response.is_empty()) {
            return Err(Error::Invalid("a response is empty".into()));
        }
        Ok(items.iter().map(|pair| (self.likelihood)(pair)).collect())
    }

    fn global(&mut self) -> Self::Adapter {
        self.global.clone()
    }

    fn train(
        &mut self,
        start: &Self::Adapter,
        data: &Self::Dataset,
        options: &TrainOptions,
    ) -> Result<Self::Adapter, Error> {
        if data.is_empty() {
            return Err(Error::Invalid("the dataset is empty".into()));
        }
        if options.steps > self.context.steps || options.batch_size > self.context.batch_size {
            return Err(Error::Invalid("more than the context allows".into()));
        }
        self.trained.push((data.clone(), *options));
        let change = options.learning_rate as f32 * options.steps as f32;
        let mut trained: Vec<f32> = start.iter().map(|value| value + change).collect();
        let bytes: usize = data.iter().map(|pair| pair.response.len()).sum();
        if let Some(last) = trained.last_mut() {
            *last += bytes as f32 / data.len() as f32 / 100.0;
        }
        Ok(trained)
    }

    fn train_controlled(
        &mut self,
        start: &Self::Adapter,
        data: &Self::Dataset,
        options: &TrainOptions,
    ) -> Result<Self::Adapter, Error> {
        let mut trained = self.train(start, data, options)?;
        self.controlled += 1;
        let correction = options.learning_rate as f32 * options.steps as f32 * self.control;
        trained.iter_mut().for_each(|value| *value -= correction);
        Ok(trained)
    }

    fn scale(&mut self, source: &Self::Adapter, factor: f64) -> Result<Self::Adapter, Error> {
        Ok(self.around_global(source, factor))
    }

    fn add(
        &mut self,
        left: &Self::Adapter,
        left_factor: f64,
        right: &Self::Adapter,
        right_factor: f64,
    ) -> Result<Self::Adapter, Error> {
        let sum = |(l, r): (&f32, &f32)| left_factor as f32 * l + right_factor as f32 * r;
        Ok(left.iter().zip(right).map(sum).collect())
    }

    fn noise(
        &mut self,
        source: &Self::Adapter,
        std: f64,
        _seed: Option<u64>,
    ) -> Result<Self::Adapter, Error> {
        // Plus or minus one deviation: enough to see that there is noise.
        let sign = |bits: u64| if bits & 1 == 0 { std } else { -std };
        Ok(source
            .iter()
            .map(|value| value + sign(self.random_u64()) as f32)
            .collect())
    }

    fn clip(&mut self, source: &Self::Adapter, norm: f64) -> Result<Self::Adapter, Error> {
        let pairs = source.iter().zip(&self.global);
        let length = pairs
            .map(|(v, g)| f64::from(v - g).powi(2))
            .sum::<f64>()
            .sqrt();
        let factor = if length > norm { norm / length } else { 1.0 };
        Ok(self.around_global(source, factor))
    }

    fn dot(&mut self, left: &Self::Adapter, right: &Self::Adapter) -> Result<f64, Error> {
        let change = |(value, global): (&f32, &f32)| f64::from(*value) - f64::from(*global);
        let left = left.iter().zip(&self.global).map(change);
        let right = right.iter().zip(&self.global).map(change);
        Ok(left.zip(right).map(|(l, r)| l * r).sum())
    }

    fn read_raw(&mut self, source: &Self::Adapter) -> Vec<f32> {
        source.clone()
    }

    fn write_raw(&mut self, like: &Self::Adapter, values: &[f32]) -> Result<Self::Adapter, Error> {
        if like.len() == values.len() {
            Ok(values.to_vec())
        } else {
            Err(Error::Invalid("values: wrong length".into()))
        }
    }

    fn random_u64(&mut self) -> u64 {
        // SplitMix64: short, and good enough for a double.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn log(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    fn submit(&mut self, source: &Self::Adapter, examples: u32) -> Result<(), Error> {
        if source.iter().any(|value| !value.is_finite()) {
            return Err(Error::NotFinite("the update".into()));
        }
        if self.submitted.is_some() {
            return Err(Error::Invalid("submitted already".into()));
        }
        // A node takes any number; every server rejects one above the registered shard's size.
        if examples as usize > self.shard.len() {
            return Err(Error::Invalid(format!(
                "{examples} examples claimed, the shard has {}",
                self.shard.len()
            )));
        }
        self.submitted = Some(Submitted {
            values: source.clone(),
            examples,
        });
        Ok(())
    }
}
