//! The world's functions.

use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::Kind;
use fedseal_tuning::Example;
use serde_json::{Value, json};
use wasmtime::component::Resource;

use super::adapters::{adapter_bytes, finite};
use super::data::{ITEM_BYTES, Item, example_bytes, items};
use super::{AdapterHandle, Args, CallError, Dataset, HostState, invalid};
use crate::bindings::fedseal::policy::host as wit;
use crate::engine::{GenerateOptions, TrainOptions};
use crate::reason::{Reason, Stop, printable};
use crate::run::{Submission, examples_digest};

/// Longest prompt of a `generate` call, bytes. No template of a policy comes near it, and no
/// model here reads as much.
const MAX_PROMPT_BYTES: usize = 16 << 10;

/// A call that has no error in the world can only end the execution.
fn or_stop<T>(result: Result<T, CallError>) -> wasmtime::Result<T> {
    result.map_err(|error| match error {
        CallError::Stop(stop) => stop.into(),
        CallError::Refused(error) => Stop::new(Reason::Host, error).into(),
    })
}

fn to_guest(example: &Example) -> wit::Example {
    wit::Example {
        prompt: example.prompt.clone(),
        response: example.response.clone(),
    }
}

impl wit::Host for HostState {
    fn convert_error(&mut self, error: CallError) -> wasmtime::Result<wit::Error> {
        match error {
            CallError::Refused(error) => Ok(error),
            CallError::Stop(stop) => Err(stop.into()),
        }
    }

    fn context(&mut self) -> wasmtime::Result<wit::RoundContext> {
        or_stop(self.call("context", |host, _| {
            let (input, training) = (&host.input, &host.input.training);
            let context = wit::RoundContext {
                client: input.client.as_str().to_owned(),
                round: input.round.0,
                rounds: input.rounds,
                seed: input.seed.0,
                steps: training.steps,
                batch_size: training.batch_size,
                learning_rate: training.learning_rate,
                proximal_mu: training.proximal_mu,
                shard_examples: u32::try_from(input.shard.len()).unwrap_or(u32::MAX),
            };
            let written = json!({
                "client": context.client,
                "round": context.round,
                "rounds": context.rounds,
                "seed": context.seed,
                "steps": context.steps,
                "batch-size": context.batch_size,
                "learning-rate": super::number(context.learning_rate),
                "proximal-mu": super::number(context.proximal_mu),
                "shard-examples": context.shard_examples,
            });
            Ok((context, written))
        }))
    }

    fn shard(&mut self) -> wasmtime::Result<Resource<Dataset>> {
        or_stop(self.call("shard", |host, _| {
            let (shard, digest) = (host.input.shard.clone(), host.input.shard_digest);
            host.budget.hold(shard.len() as u64 * ITEM_BYTES)?;
            host.budget.work(shard.len() as u64 * ITEM_BYTES)?;
            let items = items(&shard, |_| Kind::Shard);
            let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
            let node = host.node(Kind::Shard, vec![], Some(digest), Some(count), &[])?;
            host.dataset(node, items)
        }))
    }

    fn attachment(&mut self) -> wasmtime::Result<Vec<wit::Example>> {
        or_stop(self.call("attachment", |host, _| {
            let attachment = host.input.attachment.clone();
            host.budget
                .work(attachment.iter().map(example_bytes).sum())?;
            let written = json!({
                "examples": attachment.len(),
                "digest": examples_digest(&attachment).to_string(),
            });
            Ok((attachment.iter().map(to_guest).collect(), written))
        }))
    }

    fn examples(&mut self, given: Vec<wit::Example>) -> Result<Resource<Dataset>, CallError> {
        self.call("examples", |host, args| {
            let given: Vec<Example> = given
                .into_iter()
                .map(|pair| Example::new(pair.prompt, pair.response))
                .collect();
            host.literal(args, given)
        })
    }

    fn count(&mut self, data: Resource<Dataset>) -> wasmtime::Result<u32> {
        or_stop(self.call("count", |host, args| {
            let data = host.get(&data)?;
            args.set("data", data.node);
            Ok((data.len(), json!(data.len())))
        }))
    }

    fn read_examples(
        &mut self,
        data: Resource<Dataset>,
        offset: u32,
        count: u32,
    ) -> wasmtime::Result<Vec<wit::Example>> {
        or_stop(self.call("read-examples", |host, args| {
            let data = host.get(&data)?;
            args.set("data", data.node);
            args.set("offset", offset);
            args.set("count", count);
            let items = &data.items[data.range(offset, count)];
            host.budget.work(Dataset::text_bytes(items))?;
            let examples: Vec<_> = items.iter().map(|item| to_guest(item.example())).collect();
            Ok((examples, json!({"examples": items.len()})))
        }))
    }

    fn concat(&mut self, parts: Vec<Resource<Dataset>>) -> Result<Resource<Dataset>, CallError> {
        self.call("concat", |host, args| {
            let parts: Vec<Dataset> = parts
                .iter()
                .map(|part| host.get(part))
                .collect::<Result<_, _>>()?;
            let nodes: Vec<u32> = parts.iter().map(|part| part.node).collect();
            args.set("parts", nodes.clone());
            let total: u64 = parts.iter().map(|part| u64::from(part.len())).sum();
            let count = u32::try_from(total).map_err(|_| invalid("too many examples"))?;
            host.budget
                .hold(total * ITEM_BYTES + nodes.len() as u64 * 4)?;
            host.budget.work(total * ITEM_BYTES)?;
            let items = parts
                .iter()
                .flat_map(|part| part.items.iter().cloned())
                .collect();
            let node = host.node(Kind::Concat, nodes, None, Some(count), &[])?;
            host.dataset(node, items)
        })
    }

    fn take(
        &mut self,
        data: Resource<Dataset>,
        offset: u32,
        count: u32,
    ) -> Result<Resource<Dataset>, CallError> {
        self.call("take", |host, args| {
            let data = host.get(&data)?;
            args.set("data", data.node);
            args.set("offset", offset);
            args.set("count", count);
            let range = data.range(offset, count);
            host.budget.hold(range.len() as u64 * ITEM_BYTES)?;
            host.budget.work(range.len() as u64 * ITEM_BYTES)?;
            // The lineage has what was really taken, so that it adds up.
            let kept = u32::try_from(range.len()).unwrap_or(u32::MAX);
            let params = [("offset", json!(range.start)), ("count", json!(kept))];
            let items: Arc<[Item]> = data.items[range].into();
            let node = host.node(Kind::Take, vec![data.node], None, Some(kept), &params)?;
            host.dataset(node, items)
        })
    }

    fn generate(
        &mut self,
        prompts: Vec<String>,
        options: wit::GenerateOptions,
    ) -> Result<Vec<String>, CallError> {
        self.call("generate", |host, args| {
            host.written(args, prompts, options)
        })
    }

    fn global(&mut self) -> wasmtime::Result<Resource<AdapterHandle>> {
        or_stop(self.call("global", |host, _| {
            let node = host.global_node()?;
            let adapter = host.input.global.clone();
            let handle = host.push(AdapterHandle { node, adapter })?;
            Ok((handle, json!({"node": node})))
        }))
    }

    fn train(
        &mut self,
        start: Resource<AdapterHandle>,
        data: Resource<Dataset>,
        options: wit::TrainOptions,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("train", |host, args| {
            host.trained(args, &start, &data, options)
        })
    }

    fn scale(
        &mut self,
        source: Resource<AdapterHandle>,
        factor: f64,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("scale", |host, args| host.scaled(args, &source, factor))
    }

    fn add(
        &mut self,
        left: Resource<AdapterHandle>,
        left_factor: f64,
        right: Resource<AdapterHandle>,
        right_factor: f64,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("add", |host, args| {
            host.added(args, (&left, left_factor), (&right, right_factor))
        })
    }

    fn noise(
        &mut self,
        source: Resource<AdapterHandle>,
        std: f64,
        seed: Option<u64>,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("noise", |host, args| host.noised(args, &source, std, seed))
    }

    fn clip(
        &mut self,
        source: Resource<AdapterHandle>,
        norm: f64,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("clip", |host, args| host.shortened(args, &source, norm))
    }

    fn read_raw(&mut self, source: Resource<AdapterHandle>) -> wasmtime::Result<Vec<f32>> {
        or_stop(self.call("read-raw", |host, args| host.raw_out(args, &source)))
    }

    fn write_raw(
        &mut self,
        like: Resource<AdapterHandle>,
        values: Vec<f32>,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("write-raw", |host, args| host.raw_in(args, &like, &values))
    }

    fn random_u64(&mut self) -> wasmtime::Result<u64> {
        or_stop(self.call("random-u64", |host, _| {
            let value = host.numbers.guest();
            Ok((value, json!(value)))
        }))
    }

    fn log(&mut self, line: String) -> wasmtime::Result<()> {
        or_stop(self.call("log", |host, args| {
            host.budget.work(line.len() as u64)?;
            args.set("bytes", line.len());
            args.set("digest", Digest::of(line.as_bytes()).to_string());
            let record = usize::try_from(host.budget.limits().log_record_bytes);
            let line = printable(&line, record.unwrap_or(usize::MAX));
            host.budget.log(line.len() as u64 + 1)?;
            let written = json!({"kept": line.len()});
            host.log.push(line);
            Ok(((), written))
        }))
    }

    fn submit(&mut self, source: Resource<AdapterHandle>, examples: u32) -> Result<(), CallError> {
        self.call("submit", |host, args| {
            host.submission(args, &source, examples)
        })
    }
}

impl wit::HostDataset for HostState {
    fn drop(&mut self, handle: Resource<Dataset>) -> wasmtime::Result<()> {
        let data = self.table.delete(handle)?;
        self.budget.release(data.items.len() as u64 * ITEM_BYTES);
        Ok(())
    }
}

impl wit::HostAdapter for HostState {
    fn drop(&mut self, handle: Resource<AdapterHandle>) -> wasmtime::Result<()> {
        let dropped = self.table.delete(handle)?;
        // Handles to the global adapter share one copy that is not the guest's.
        if !Arc::ptr_eq(&dropped.adapter, &self.input.global) {
            self.budget.release(adapter_bytes(&dropped.adapter));
        }
        Ok(())
    }
}

impl HostState {
    fn dataset(
        &mut self,
        node: u32,
        items: Arc<[Item]>,
    ) -> Result<(Resource<Dataset>, Value), CallError> {
        let written = json!({"node": node, "examples": items.len()});
        Ok((self.push(Dataset { node, items })?, written))
    }

    fn global_node(&mut self) -> Result<u32, Stop> {
        if let Some(node) = self.global {
            return Ok(node);
        }
        self.budget.work(adapter_bytes(&self.input.global))?;
        let digest = Digest(self.input.global.digest());
        let node = self.node(Kind::Global, vec![], Some(digest), None, &[])?;
        self.global = Some(node);
        Ok(node)
    }

    /// A dataset of the guest's own examples: one source node for each run of equal origin.
    fn literal(
        &mut self,
        args: &mut Args,
        given: Vec<Example>,
    ) -> Result<(Resource<Dataset>, Value), CallError> {
        let bytes: u64 = given.iter().map(example_bytes).sum();
        self.budget.hold(bytes + given.len() as u64 * ITEM_BYTES)?;
        // Once for the digest of the whole, once for the digests of the runs.
        self.budget.work(bytes.saturating_mul(2))?;
        self.budget
            .work((given.len() as u64).saturating_mul(self.corpus.cost()))?;
        args.set("examples", given.len());
        args.set("digest", examples_digest(&given).to_string());
        let source = Arc::new(given);
        let items = items(&source, |index| self.corpus.origin(&source[index]));

        let mut runs = Vec::new();
        let (mut literal, mut generated) = (0_u32, 0_u32);
        for run in items.chunk_by(|a, b| a.origin == b.origin) {
            let start = literal.saturating_add(generated) as usize;
            let digest = examples_digest(&source[start..start + run.len()]);
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

    fn written(
        &mut self,
        args: &mut Args,
        prompts: Vec<String>,
        options: wit::GenerateOptions,
    ) -> Result<(Vec<String>, Value), CallError> {
        let bytes: u64 = prompts.iter().map(|prompt| prompt.len() as u64).sum();
        self.budget.work(bytes)?;
        let global = matches!(options.model, wit::Model::Global);
        args.set("prompts", prompts.len());
        args.set("digest", texts_digest(&prompts).to_string());
        args.set("model", if global { "global" } else { "base" });
        args.set("max-new-tokens", options.max_new_tokens);
        args.number("temperature", options.temperature);
        if options.max_new_tokens == 0 {
            return Err(invalid("max-new-tokens is 0"));
        }
        if !(0.0..=2.0).contains(&options.temperature) {
            return Err(invalid(format_args!(
                "temperature is {}",
                options.temperature
            )));
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
        args.set("seed", seed);
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
            temperature: options.temperature,
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

    fn trained(
        &mut self,
        args: &mut Args,
        start: &Resource<AdapterHandle>,
        data: &Resource<Dataset>,
        options: wit::TrainOptions,
    ) -> Result<(Resource<AdapterHandle>, Value), CallError> {
        args.set("steps", options.steps);
        args.set("batch-size", options.batch_size);
        args.number("learning-rate", options.learning_rate);
        args.number("proximal-mu", options.proximal_mu);
        let data = self.get(data)?;
        args.set("data", data.node);
        let start = self.operand(args, "start", start)?;
        let within = |name: &str, value: u32, most: u32| match value {
            0 => Err(invalid(format_args!("{name} is 0"))),
            _ if value > most => Err(invalid(format_args!("{name} is {value}, at most {most}"))),
            _ => Ok(()),
        };
        let positive = |name: &str, value: f64| match finite(name, value)? {
            short if short < 0.0 => Err(invalid(format_args!("{name} is {value}"))),
            _ => Ok(()),
        };
        within("steps", options.steps, self.input.training.steps)?;
        within(
            "batch-size",
            options.batch_size,
            self.input.training.batch_size,
        )?;
        positive("learning-rate", options.learning_rate)?;
        positive("proximal-mu", options.proximal_mu)?;
        if data.items.is_empty() {
            return Err(invalid("the dataset is empty"));
        }
        if !start.adapter.is_finite() {
            return Err(CallError::Refused(wit::Error::NotFinite(
                "the start adapter".into(),
            )));
        }
        self.budget.train_steps(options.steps)?;
        self.budget.work(Dataset::text_bytes(&data.items))?;
        let seed = self.numbers.host();
        args.set("seed", seed);
        let engine_options = TrainOptions {
            steps: options.steps,
            batch_size: options.batch_size,
            learning_rate: options.learning_rate,
            proximal_mu: options.proximal_mu,
            seed,
        };
        let asked = self
            .service
            .train(start.adapter.clone(), data.examples(), engine_options);
        let (adapter, tokens) = asked?;
        self.budget.train_tokens(tokens)?;
        if !adapter.same_shape(&self.input.global) {
            return Err(Stop::new(Reason::Engine, "trained to other shapes").into());
        }
        let params = [
            ("steps", json!(options.steps)),
            ("batch-size", json!(options.batch_size)),
            ("learning-rate", super::number(options.learning_rate)),
            ("proximal-mu", super::number(options.proximal_mu)),
            ("seed", json!(seed)),
            ("tokens", json!(tokens)),
        ];
        let inputs = vec![start.node, data.node];
        let (handle, written) = self.keep(adapter, Kind::Train, inputs, &params)?;
        self.budget.hold(data.items.len() as u64 * ITEM_BYTES)?;
        let node = self.get(&handle)?.node;
        self.trained.push((node, data.items));
        Ok((handle, written))
    }

    fn submission(
        &mut self,
        args: &mut Args,
        source: &Resource<AdapterHandle>,
        examples: u32,
    ) -> Result<((), Value), CallError> {
        args.set("examples", examples);
        let source = self.operand(args, "source", source)?;
        if self.submitted.is_some() {
            return Err(Stop::new(Reason::DoubleSubmit, "a second submit").into());
        }
        if !source.adapter.is_finite() {
            let text = "a value of the update is not finite";
            self.refused = Some(Stop::new(Reason::NotFinite, text));
            return Err(CallError::Refused(wit::Error::NotFinite(text.into())));
        }
        self.budget.work(adapter_bytes(&source.adapter))?;
        let digest = Digest(source.adapter.digest());
        let submission = Submission {
            adapter: source.adapter,
            digest,
            examples,
        };
        self.submitted = Some((submission, source.node));
        Ok(((), json!({"digest": digest.to_string()})))
    }
}

/// The digest of a list of texts: canonical JSON, an array of strings.
fn texts_digest(texts: &[String]) -> Digest {
    // Strings always have a canonical form, so there is no error to hand on.
    Digest::of(&fedseal_client_sdk::canonical::to_vec(texts).unwrap_or_default())
}
