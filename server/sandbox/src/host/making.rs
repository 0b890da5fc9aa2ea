//! Calls that make objects of data and models, or ask a model: literal examples, generation, scores,
//! training, and the submission.

use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::Kind;
use fedseal_tuning::Example;
use serde_json::{Value, json};
use wasmtime::component::Resource;

use super::adapters::{adapter_bytes, finite};
use super::state::{HostState, number};
use crate::bindings::fedseal::policy::host as wit;
use crate::engine::{GenerateOptions, TrainOptions};
use crate::objects::{
    AdapterHandle, Dataset, ITEM_BYTES, Item, TRAINED_BYTES, example_bytes, items,
};
use crate::reason::{Reason, Stop};
use crate::refusal::{CallError, invalid, not_finite};
use crate::run::{Submission, examples_bytes, examples_digest};
use fedseal_client_sdk::recording::rounded_down;

/// Longest prompt of a `generate` call and longest pair of a `log-likelihood` call, bytes. No template of a
/// policy comes near it, and no model here reads as much.
const MAX_PROMPT_BYTES: usize = 16 << 10;
/// Longest example of a `train` call, bytes: encoding it takes seconds, in which nobody can stop it,
/// and no model here reads as much.
const MAX_EXAMPLE_BYTES: u64 = 1 << 20;
/// Bytes of a text in a list beside its characters.
const TEXT_BYTES: u64 = size_of::<String>() as u64;

impl HostState {
    pub(super) fn dataset(
        &mut self,
        node: u32,
        items: Arc<[Item]>,
    ) -> Result<(Resource<Dataset>, Value), CallError> {
        let written = json!({"node": node, "examples": items.len()});
        Ok((self.push(Dataset { node, items })?, written))
    }

    pub(super) fn global_node(&mut self) -> Result<u32, Stop> {
        if let Some(node) = self.global {
            return Ok(node);
        }
        let digest = self.input.global_digest;
        let node = self.node(Kind::Global, vec![], Some(digest), None, &[])?;
        self.global = Some(node);
        Ok(node)
    }

    /// A dataset of the guest's own examples: one source node for each run of equal origin.
    pub(super) fn literal(
        &mut self,
        given: Vec<Example>,
    ) -> Result<(Resource<Dataset>, Value), CallError> {
        let bytes: u64 = given.iter().map(example_bytes).sum();
        self.budget.hold(bytes + given.len() as u64 * ITEM_BYTES)?;
        // Once for the digest of the whole, once for the digests of the runs.
        self.budget.work(bytes.saturating_mul(2))?;
        self.budget
            .work((given.len() as u64).saturating_mul(self.corpus.cost()))?;
        let json = examples_bytes(&given);
        // If they are trained on, a copy and its JSON are what the run leaves of them.
        self.budget.hold(bytes.saturating_add(json.len() as u64))?;
        self.args.set("examples", given.len());
        let all = Digest::of(&json);
        drop(json);
        self.args.set("digest", all.to_string());
        let source = Arc::new(given);
        let items = items(&source, |index| self.corpus.origin(&source[index]));

        let mut runs = Vec::new();
        let (mut literal, mut generated) = (0_u32, 0_u32);
        for run in items.chunk_by(|a, b| a.origin == b.origin) {
            let start = literal.saturating_add(generated) as usize;
            let digest = match run.len() == source.len() {
                true => all,
                false => examples_digest(&source[start..start + run.len()]),
            };
            let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
            // A non-empty run has a first item.
            let origin = run.first().map_or(Kind::Literal, |item| item.origin);
            let inputs = if origin == Kind::Generated {
                generated += count;
                self.base
                    .into_iter()
                    .chain(self.wrote_global.then_some(self.global).flatten())
                    .collect()
            } else {
                literal += count;
                Vec::new()
            };
            runs.push(self.node(origin, inputs, Some(digest), Some(count), &[])?);
        }
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let node = match runs.as_slice() {
            [] => self.node(
                Kind::Literal,
                vec![],
                Some(examples_digest(&[])),
                Some(0),
                &[],
            )?,
            [only] => *only,
            _ => self.node(Kind::Concat, runs, None, Some(count), &[])?,
        };
        let (handle, _) = self.dataset(node, items)?;
        let written = json!({"node": node, "literal": literal, "generated": generated});
        Ok((handle, written))
    }

    pub(super) fn written(
        &mut self,
        prompts: Vec<String>,
        options: wit::GenerateOptions,
    ) -> Result<(Vec<String>, Value), CallError> {
        let bytes: u64 = prompts.iter().map(|prompt| prompt.len() as u64).sum();
        self.budget.work(bytes)?;
        let global = matches!(options.model, wit::Model::Global);
        let temperature = self.given(options.temperature);
        self.args.set("prompts", prompts.len());
        if self.input.recording.prompts {
            self.args.set("digest", texts_digest(&prompts).to_string());
        }
        self.args
            .set("model", if global { "global" } else { "base" });
        self.args.set("max-new-tokens", options.max_new_tokens);
        self.args.set("temperature", number(temperature));
        if options.max_new_tokens == 0 {
            return Err(invalid("max-new-tokens is 0"));
        }
        if !(0.0..=2.0).contains(&temperature) {
            return Err(invalid(format_args!("temperature is {temperature}")));
        }
        if let Some(long) = prompts
            .iter()
            .find(|prompt| prompt.len() > MAX_PROMPT_BYTES)
        {
            return Err(invalid(format_args!(
                "a prompt has {} bytes, at most {MAX_PROMPT_BYTES}",
                long.len()
            )));
        }
        let most = (prompts.len() as u64).saturating_mul(options.max_new_tokens.into());
        self.budget.may_generate(most, bytes)?;
        let seed = self.numbers.host();
        self.args.set("seed", seed);
        if self.base.is_none() {
            let digest = self.input.base;
            self.base = Some(self.node(Kind::Base, vec![], Some(digest), None, &[])?);
        }
        if global {
            self.global_node()?;
            self.wrote_global = true;
        }
        let adapter = global.then(|| self.input.global.clone());
        let wanted = prompts.len();
        let options = GenerateOptions {
            max_new_tokens: options.max_new_tokens,
            temperature,
            seed,
        };
        let (texts, tokens) = self.service.generate(adapter, prompts, options)?;
        if texts.len() != wanted {
            let detail = format_args!("{} texts for {wanted} prompts", texts.len());
            return Err(Stop::new(Reason::Engine, detail).into());
        }
        // Decoded text does not always give the same tokens again, so what is counted afterwards
        // can be a little more than what was allowed.
        self.budget.generated(tokens.min(most));
        let bytes: u64 = texts.iter().map(|text| text.len() as u64).sum();
        self.budget
            .result(bytes.saturating_add(texts.len() as u64 * TEXT_BYTES))?;
        self.budget
            .hold(bytes.saturating_mul(2) + texts.len() as u64 * 128)?;
        self.budget.work(bytes)?;
        for text in &texts {
            self.corpus.add(text);
        }
        let written = json!({
            "texts": texts.len(),
            "digest": texts_digest(&texts).to_string(),
            "tokens": tokens.min(most),
        });
        Ok((texts, written))
    }

    pub(super) fn scored(
        &mut self,
        items: Vec<wit::Example>,
        model: wit::Model,
    ) -> Result<(Vec<f64>, Value), CallError> {
        let given: Vec<Example> = items
            .into_iter()
            .map(|pair| Example::new(pair.prompt, pair.response))
            .collect();
        let bytes: u64 = given.iter().map(example_bytes).sum();
        // Once for their digest, once for their tokens.
        self.budget.work(bytes.saturating_mul(2))?;
        let global = matches!(model, wit::Model::Global);
        let recorded = self.input.recording.prompts;
        self.args.set("examples", given.len());
        if recorded {
            let digest = examples_digest(&given).to_string();
            self.args.set("digest", digest);
        }
        self.args
            .set("model", if global { "global" } else { "base" });
        if given.iter().any(|pair| pair.response.is_empty()) {
            return Err(invalid("a response is empty"));
        }
        let text = |pair: &Example| pair.prompt.len() + pair.response.len();
        if let Some(long) = given.iter().map(text).find(|len| *len > MAX_PROMPT_BYTES) {
            return Err(invalid(format_args!(
                "a pair has {long} bytes, at most {MAX_PROMPT_BYTES}"
            )));
        }
        // Nothing is written; reading costs the engine too.
        self.budget.may_generate(0, bytes)?;
        let wanted = given.len();
        self.budget
            .result(wanted as u64 * size_of::<f64>() as u64)?;
        let adapter = global.then(|| self.input.global.clone());
        let values = self.service.log_likelihood(adapter, given)?;
        if values.len() != wanted {
            let detail = format_args!("{} scores for {wanted} pairs", values.len());
            return Err(Stop::new(Reason::Engine, detail).into());
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(not_finite("a log-likelihood"));
        }
        // The numbers tell of texts that the guest chose: who withholds their digest withholds this one.
        let written = match recorded {
            true => json!({"scores": wanted, "digest": numbers_digest(&values).to_string()}),
            false => json!({"scores": wanted}),
        };
        Ok((values, written))
    }

    pub(super) fn trained(
        &mut self,
        start: &Resource<AdapterHandle>,
        data: &Resource<Dataset>,
        options: wit::TrainOptions,
        controlled: bool,
    ) -> Result<(Resource<AdapterHandle>, Value), CallError> {
        let most = self.input.training;
        // One above what is allowed is refused like any other.
        let options = wit::TrainOptions {
            steps: self.counted(options.steps, most.steps.saturating_add(1)),
            batch_size: self.counted(options.batch_size, most.batch_size.saturating_add(1)),
            learning_rate: self.given(options.learning_rate),
            proximal_mu: self.given(options.proximal_mu),
        };
        self.args.set("steps", options.steps);
        self.args.set("batch-size", options.batch_size);
        self.args
            .set("learning-rate", number(options.learning_rate));
        self.args.set("proximal-mu", number(options.proximal_mu));
        let data = self.get(data)?;
        self.args.set("data", data.node);
        let start = self.operand("start", start)?;
        let within = |name: &str, value: u32, most: u32| match value {
            0 => Err(invalid(format_args!("{name} is 0"))),
            _ if value > most => Err(invalid(format_args!("{name} is {value}, at most {most}"))),
            _ => Ok(()),
        };
        let positive = |name: &str, value: f64| match finite(name, value)? {
            short if short < 0.0 => Err(invalid(format_args!("{name} is {value}"))),
            _ => Ok(()),
        };
        within("steps", options.steps, most.steps)?;
        within("batch-size", options.batch_size, most.batch_size)?;
        positive("learning-rate", options.learning_rate)?;
        positive("proximal-mu", options.proximal_mu)?;
        if data.items.is_empty() {
            return Err(invalid("the dataset is empty"));
        }
        if data.longest() > MAX_EXAMPLE_BYTES {
            return Err(invalid(format_args!(
                "an example has {} bytes, at most {MAX_EXAMPLE_BYTES}",
                data.longest()
            )));
        }
        if !start.adapter.is_finite() {
            return Err(not_finite("the start adapter"));
        }
        self.budget.train_steps(options.steps)?;
        self.budget.work(Dataset::text_bytes(&data.items))?;
        let control = if controlled {
            let control = self.controls()?;
            self.args.set("control-server", control.server);
            self.args.set("control-client", control.client);
            Some(control)
        } else {
            None
        };
        let seed = self.numbers.host();
        self.args.set("seed", seed);
        let engine_options = TrainOptions {
            steps: options.steps,
            batch_size: options.batch_size,
            learning_rate: options.learning_rate,
            proximal_mu: options.proximal_mu,
            seed,
        };
        self.room()?;
        self.budget.hold(data.items.len() as u64 * TRAINED_BYTES)?;
        let taken = data.training_bytes();
        self.budget.hold(taken)?;
        let asked = self.service.train(
            start.adapter.clone(),
            data.examples(),
            engine_options,
            control.as_ref().map(|control| control.variates.clone()),
        );
        self.budget.release(taken);
        let (adapter, tokens) = asked?;
        self.budget.train_tokens(tokens)?;
        if !adapter.same_shape(&self.input.global) {
            return Err(Stop::new(Reason::Engine, "trained to other shapes").into());
        }
        let params = [
            ("steps", json!(options.steps)),
            ("batch-size", json!(options.batch_size)),
            ("learning-rate", number(options.learning_rate)),
            ("proximal-mu", number(options.proximal_mu)),
            ("seed", json!(seed)),
            ("tokens", json!(tokens)),
        ];
        let mut inputs = vec![start.node, data.node];
        inputs.extend(control.iter().flat_map(|c| [c.server, c.client]));
        let (handle, written) = self.keep(adapter, Kind::Train, inputs, &params)?;
        let node = self.get(&handle)?.node;
        self.trained.push((node, data.items));
        Ok((handle, written))
    }

    pub(super) fn submission(
        &mut self,
        source: &Resource<AdapterHandle>,
        examples: u32,
    ) -> Result<((), Value), CallError> {
        let examples = match self.input.recording.digits {
            Some(digits) => rounded_down(examples, digits),
            None => examples,
        };
        self.args.set("examples", examples);
        let source = self.operand("source", source)?;
        if self.submitted.is_some() {
            return Err(Stop::new(Reason::DoubleSubmit, "a second submit").into());
        }
        if !source.adapter.is_finite() {
            let text = "a value of the update is not finite";
            self.refused = Some(Stop::new(Reason::NotFinite, text));
            return Err(not_finite(text));
        }
        self.budget.work(adapter_bytes(&source.adapter))?;
        let digest = source.digest;
        let submission = Submission {
            adapter: source.adapter,
            digest,
            examples,
            bytes: self.bytes.take().filter(|bytes| bytes.digest() == digest),
        };
        self.submitted = Some((submission, source.node));
        Ok(((), json!({"digest": digest.to_string()})))
    }
}

/// The digest of a list of numbers: eight bytes each, little-endian.
fn numbers_digest(values: &[f64]) -> Digest {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    Digest::of(&bytes)
}

/// The digest of a list of texts: canonical JSON, an array of strings.
fn texts_digest(texts: &[String]) -> Digest {
    // Strings always have a canonical form, so there is no error to hand on.
    Digest::of(&fedseal_client_sdk::canonical::to_vec(texts).unwrap_or_default())
}
