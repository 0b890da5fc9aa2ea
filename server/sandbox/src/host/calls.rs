//! The world's functions.

use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::Kind;
use fedseal_tuning::Example;
use serde_json::json;
use wasmtime::component::Resource;

use super::adapters::adapter_bytes;
use super::state::{HostState, number};
use crate::bindings::fedseal::policy::host as wit;
use crate::objects::{AdapterHandle, Dataset, ITEM_BYTES, Item, example_bytes, items};
use crate::reason::{Reason, Stop, printable};
use crate::refusal::{CallError, Ended, Refusal, invalid};
use crate::run::examples_digest;

/// Cost of a part of a `concat` besides its examples: its handle is looked up and written down.
const PART_BYTES: u64 = 64;

/// A call that has no error in the world can only end the execution.
fn or_stop<T>(result: Result<T, CallError>) -> wasmtime::Result<T> {
    result.map_err(|error| match *error.0 {
        Ended::Stop(stop) => stop.into(),
        Ended::Refused(refusal) => Stop::new(Reason::Host, format_args!("{refusal:?}")).into(),
    })
}

fn to_guest(example: &Example) -> wit::Example {
    wit::Example {
        prompt: example.prompt.clone(),
        response: example.response.clone(),
    }
}

impl HostState {
    /// The slice of a dataset that the guest asks for, written into the arguments.
    fn slice(&mut self, data: &Dataset, offset: u32, count: u32) -> (u32, u32) {
        let offset = self.counted(offset, data.len());
        let count = self.counted(count, data.len() - data.len().min(offset));
        self.args.set("data", data.node);
        self.args.set("offset", offset);
        self.args.set("count", count);
        (offset, count)
    }
}

impl wit::Host for HostState {
    fn convert_error(&mut self, error: CallError) -> wasmtime::Result<wit::Error> {
        match *error.0 {
            Ended::Refused(Refusal::Invalid(text)) => Ok(wit::Error::Invalid(text)),
            Ended::Refused(Refusal::NotFinite(text)) => Ok(wit::Error::NotFinite(text)),
            Ended::Stop(stop) => Err(stop.into()),
        }
    }

    fn context(&mut self) -> wasmtime::Result<wit::RoundContext> {
        or_stop(self.call("context", |host| {
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
                "learning-rate": number(context.learning_rate),
                "proximal-mu": number(context.proximal_mu),
                "shard-examples": context.shard_examples,
            });
            Ok((context, written))
        }))
    }

    fn shard(&mut self) -> wasmtime::Result<Resource<Dataset>> {
        or_stop(self.call("shard", |host| {
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
        or_stop(self.call("attachment", |host| {
            let attachment = host.input.attachment.clone();
            let bytes = attachment.iter().map(example_bytes).sum();
            host.budget.result(bytes)?;
            host.budget.work(bytes)?;
            let written = json!({
                "examples": attachment.len(),
                "digest": examples_digest(&attachment).to_string(),
            });
            Ok((attachment.iter().map(to_guest).collect(), written))
        }))
    }

    fn examples(&mut self, given: Vec<wit::Example>) -> Result<Resource<Dataset>, CallError> {
        self.call("examples", |host| {
            let given: Vec<Example> = given
                .into_iter()
                .map(|pair| Example::new(pair.prompt, pair.response))
                .collect();
            host.literal(given)
        })
    }

    fn count(&mut self, data: Resource<Dataset>) -> wasmtime::Result<u32> {
        or_stop(self.quick("count", |host| {
            let data = host.get(&data)?;
            host.args.set("data", data.node);
            Ok((data.len(), u64::from(data.len())))
        }))
    }

    fn read_examples(
        &mut self,
        data: Resource<Dataset>,
        offset: u32,
        count: u32,
    ) -> wasmtime::Result<Vec<wit::Example>> {
        or_stop(self.call("read-examples", |host| {
            let data = host.get(&data)?;
            let (offset, count) = host.slice(&data, offset, count);
            let items = &data.items[data.range(offset, count)];
            let bytes = Dataset::text_bytes(items);
            host.budget.result(bytes)?;
            host.budget.work(bytes)?;
            let examples: Vec<_> = items.iter().map(|item| to_guest(item.example())).collect();
            Ok((examples, json!({"examples": items.len()})))
        }))
    }

    fn concat(&mut self, parts: Vec<Resource<Dataset>>) -> Result<Resource<Dataset>, CallError> {
        self.call("concat", |host| {
            host.may_list(parts.len())?;
            host.budget.work(parts.len() as u64 * PART_BYTES)?;
            let parts: Vec<Dataset> = parts
                .iter()
                .map(|part| host.get(part))
                .collect::<Result<_, _>>()?;
            let nodes: Vec<u32> = parts.iter().map(|part| part.node).collect();
            host.args.set("parts", nodes.clone());
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
        self.call("take", |host| {
            let data = host.get(&data)?;
            let (offset, count) = host.slice(&data, offset, count);
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
        self.call("generate", |host| host.written(prompts, options))
    }

    fn log_likelihood(
        &mut self,
        items: Vec<wit::Example>,
        model: wit::Model,
    ) -> Result<Vec<f64>, CallError> {
        self.call("log-likelihood", |host| host.scored(items, model))
    }

    fn global(&mut self) -> wasmtime::Result<Resource<AdapterHandle>> {
        or_stop(self.call("global", |host| {
            let node = host.global_node()?;
            let handle = host.push(AdapterHandle {
                node,
                adapter: host.input.global.clone(),
                digest: host.input.global_digest,
            })?;
            Ok((handle, json!({"node": node})))
        }))
    }

    fn train(
        &mut self,
        start: Resource<AdapterHandle>,
        data: Resource<Dataset>,
        options: wit::TrainOptions,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("train", |host| host.trained(&start, &data, options, false))
    }

    fn train_controlled(
        &mut self,
        start: Resource<AdapterHandle>,
        data: Resource<Dataset>,
        options: wit::TrainOptions,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("train-controlled", |host| {
            host.trained(&start, &data, options, true)
        })
    }

    fn scale(
        &mut self,
        source: Resource<AdapterHandle>,
        factor: f64,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("scale", |host| host.scaled(&source, factor))
    }

    fn add(
        &mut self,
        left: Resource<AdapterHandle>,
        left_factor: f64,
        right: Resource<AdapterHandle>,
        right_factor: f64,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("add", |host| {
            host.added((&left, left_factor), (&right, right_factor))
        })
    }

    fn noise(
        &mut self,
        source: Resource<AdapterHandle>,
        std: f64,
        seed: Option<u64>,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("noise", |host| host.noised(&source, std, seed))
    }

    fn clip(
        &mut self,
        source: Resource<AdapterHandle>,
        norm: f64,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("clip", |host| host.shortened(&source, norm))
    }

    fn dot(
        &mut self,
        left: Resource<AdapterHandle>,
        right: Resource<AdapterHandle>,
    ) -> Result<f64, CallError> {
        self.call("dot", |host| host.product(&left, &right))
    }

    fn read_raw(&mut self, source: Resource<AdapterHandle>) -> wasmtime::Result<Vec<f32>> {
        or_stop(self.call("read-raw", |host| host.raw_out(&source)))
    }

    fn write_raw(
        &mut self,
        like: Resource<AdapterHandle>,
        values: Vec<f32>,
    ) -> Result<Resource<AdapterHandle>, CallError> {
        self.call("write-raw", |host| host.raw_in(&like, &values))
    }

    fn random_u64(&mut self) -> wasmtime::Result<u64> {
        or_stop(self.quick("random-u64", |host| {
            let value = host.numbers.guest();
            Ok((value, value))
        }))
    }

    fn log(&mut self, line: String) -> wasmtime::Result<()> {
        or_stop(self.call("log", |host| {
            host.budget.work(line.len() as u64)?;
            let recorded = host.input.recording.log_lines;
            if recorded {
                host.args.set("bytes", line.len());
                host.args
                    .set("digest", Digest::of(line.as_bytes()).to_string());
            }
            let record = usize::try_from(host.budget.limits().log_record_bytes);
            let line = printable(&line, record.unwrap_or(usize::MAX));
            host.budget.log(line.len() as u64 + 1)?;
            let written = match recorded {
                true => json!({"kept": line.len()}),
                false => json!({}),
            };
            host.log.push(line);
            Ok(((), written))
        }))
    }

    fn submit(&mut self, source: Resource<AdapterHandle>, examples: u32) -> Result<(), CallError> {
        self.call("submit", |host| host.submission(&source, examples))
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
