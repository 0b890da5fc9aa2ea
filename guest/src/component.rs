//! The host's calls of a guest inside the sandbox.

use crate::bindings::fedseal::policy::host as wit;
use crate::{Context, Error, Example, GenerateOptions, Host, Model, TrainOptions};

/// Writes a panic's place and words into the log, whose end the host puts into the recorded reason: the
/// target has no standard error, and the panic itself is a bare `unreachable`.
#[cfg(target_arch = "wasm32")]
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| wit::log(&panic.to_string())));
}

/// Calls the host that the component was instantiated with. Outside Wasm every call panics: use
/// [`crate::testing::FakeHost`] there.
pub struct ComponentHost;

impl Host for ComponentHost {
    type Dataset = wit::Dataset;
    type Adapter = wit::Adapter;

    fn context(&mut self) -> Context {
        wit::context()
    }

    fn shard(&mut self) -> Self::Dataset {
        wit::shard()
    }

    fn attachment(&mut self) -> Vec<Example> {
        wit::attachment()
    }

    fn examples(&mut self, items: &[Example]) -> Result<Self::Dataset, Error> {
        wit::examples(items)
    }

    fn count(&mut self, data: &Self::Dataset) -> u32 {
        wit::count(data)
    }

    fn read_examples(&mut self, data: &Self::Dataset, offset: u32, count: u32) -> Vec<Example> {
        wit::read_examples(data, offset, count)
    }

    fn concat(&mut self, parts: &[&Self::Dataset]) -> Result<Self::Dataset, Error> {
        wit::concat(parts)
    }

    fn take(
        &mut self,
        data: &Self::Dataset,
        offset: u32,
        count: u32,
    ) -> Result<Self::Dataset, Error> {
        wit::take(data, offset, count)
    }

    fn generate(
        &mut self,
        prompts: &[String],
        options: &GenerateOptions,
    ) -> Result<Vec<String>, Error> {
        wit::generate(prompts, *options)
    }

    fn log_likelihood(&mut self, items: &[Example], model: Model) -> Result<Vec<f64>, Error> {
        wit::log_likelihood(items, model)
    }

    fn global(&mut self) -> Self::Adapter {
        wit::global()
    }

    fn train(
        &mut self,
        start: &Self::Adapter,
        data: &Self::Dataset,
        options: &TrainOptions,
    ) -> Result<Self::Adapter, Error> {
        wit::train(start, data, *options)
    }

    fn train_controlled(
        &mut self,
        start: &Self::Adapter,
        data: &Self::Dataset,
        options: &TrainOptions,
    ) -> Result<Self::Adapter, Error> {
        wit::train_controlled(start, data, *options)
    }

    fn scale(&mut self, source: &Self::Adapter, factor: f64) -> Result<Self::Adapter, Error> {
        wit::scale(source, factor)
    }

    fn add(
        &mut self,
        left: &Self::Adapter,
        left_factor: f64,
        right: &Self::Adapter,
        right_factor: f64,
    ) -> Result<Self::Adapter, Error> {
        wit::add(left, left_factor, right, right_factor)
    }

    fn noise(
        &mut self,
        source: &Self::Adapter,
        std: f64,
        seed: Option<u64>,
    ) -> Result<Self::Adapter, Error> {
        wit::noise(source, std, seed)
    }

    fn clip(&mut self, source: &Self::Adapter, norm: f64) -> Result<Self::Adapter, Error> {
        wit::clip(source, norm)
    }

    fn dot(&mut self, left: &Self::Adapter, right: &Self::Adapter) -> Result<f64, Error> {
        wit::dot(left, right)
    }

    fn read_raw(&mut self, source: &Self::Adapter) -> Vec<f32> {
        wit::read_raw(source)
    }

    fn write_raw(&mut self, like: &Self::Adapter, values: &[f32]) -> Result<Self::Adapter, Error> {
        wit::write_raw(like, values)
    }

    fn random_u64(&mut self) -> u64 {
        wit::random_u64()
    }

    fn log(&mut self, line: &str) {
        wit::log(line);
    }

    fn submit(&mut self, source: &Self::Adapter, examples: u32) -> Result<(), Error> {
        wit::submit(source, examples)
    }
}
