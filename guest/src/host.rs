//! The host's calls as a trait, and the policy that makes them.

use crate::{Context, Error, Example, GenerateOptions, Model, TrainOptions};

/// The calls of `wit/policy.wit`. Breaking a limit ends the run and does not come back as an
/// [`Error`].
pub trait Host {
    /// A handle to training data that the host holds.
    type Dataset;
    /// A handle to LoRA tensors that the host holds.
    type Adapter;

    /// The round, the client and the bounds of this run.
    fn context(&mut self) -> Context;
    /// The client's own registered data.
    fn shard(&mut self) -> Self::Dataset;
    /// Examples that the client handed in beside its module; empty for most.
    fn attachment(&mut self) -> Vec<Example>;
    /// A dataset of examples that the policy brings: generated ones if they stand verbatim in
    /// what [`Host::generate`] returned, literal ones otherwise.
    fn examples(&mut self, items: &[Example]) -> Result<Self::Dataset, Error>;
    /// How many examples a dataset has.
    fn count(&mut self, data: &Self::Dataset) -> u32;
    /// Examples `offset .. offset + count`, cut at the end.
    fn read_examples(&mut self, data: &Self::Dataset, offset: u32, count: u32) -> Vec<Example>;
    /// One dataset of several, in the given order.
    fn concat(&mut self, parts: &[&Self::Dataset]) -> Result<Self::Dataset, Error>;
    /// Examples `offset .. offset + count` as a dataset, cut at the end.
    fn take(
        &mut self,
        data: &Self::Dataset,
        offset: u32,
        count: u32,
    ) -> Result<Self::Dataset, Error>;
    /// One answer for each prompt, in order.
    fn generate(
        &mut self,
        prompts: &[String],
        options: &GenerateOptions,
    ) -> Result<Vec<String>, Error>;
    /// Mean log-likelihood of each response after its prompt, nats a token; e to the negative of it is the
    /// perplexity.
    fn log_likelihood(&mut self, items: &[Example], model: Model) -> Result<Vec<f64>, Error>;
    /// The adapter that this round starts from.
    fn global(&mut self) -> Self::Adapter;
    /// Trains a copy of `start` on `data`.
    fn train(
        &mut self,
        start: &Self::Adapter,
        data: &Self::Dataset,
        options: &TrainOptions,
    ) -> Result<Self::Adapter, Error>;
    /// As [`Host::train`], with every step corrected by SCAFFOLD's control variates, which the host
    /// keeps over the rounds.
    fn train_controlled(
        &mut self,
        start: &Self::Adapter,
        data: &Self::Dataset,
        options: &TrainOptions,
    ) -> Result<Self::Adapter, Error>;
    /// `factor * (source - global) + global`.
    fn scale(&mut self, source: &Self::Adapter, factor: f64) -> Result<Self::Adapter, Error>;
    /// `left_factor * left + right_factor * right`.
    fn add(
        &mut self,
        left: &Self::Adapter,
        left_factor: f64,
        right: &Self::Adapter,
        right_factor: f64,
    ) -> Result<Self::Adapter, Error>;
    /// Adds Gaussian noise of standard deviation `std` to every value.
    fn noise(
        &mut self,
        source: &Self::Adapter,
        std: f64,
        seed: Option<u64>,
    ) -> Result<Self::Adapter, Error>;
    /// Shortens `source - global` to at most `norm` (Euclidean).
    fn clip(&mut self, source: &Self::Adapter, norm: f64) -> Result<Self::Adapter, Error>;
    /// Inner product of `left - global` and `right - global`.
    fn dot(&mut self, left: &Self::Adapter, right: &Self::Adapter) -> Result<f64, Error>;
    /// All values in canonical order.
    fn read_raw(&mut self, source: &Self::Adapter) -> Vec<f32>;
    /// An adapter of `like`'s shapes with these values.
    fn write_raw(&mut self, like: &Self::Adapter, values: &[f32]) -> Result<Self::Adapter, Error>;
    /// The next number of the run's deterministic stream.
    fn random_u64(&mut self) -> u64;
    /// One line for the people who read the run.
    fn log(&mut self, line: &str);
    /// Names the run's update and its weight in local examples. Exactly once. A server rejects a
    /// weight above the number of examples in the client's registered shard.
    fn submit(&mut self, source: &Self::Adapter, examples: u32) -> Result<(), Error>;
}

/// A local update policy: what one client does in one round.
pub trait Policy {
    /// Runs the round; ends with one [`Host::submit`]. An error is recorded as the reason that
    /// the client has no update.
    fn run<H: Host>(host: &mut H) -> Result<(), Error>;
}

impl Context {
    /// The round's own training options.
    #[must_use]
    pub fn train_options(&self) -> TrainOptions {
        TrainOptions {
            steps: self.steps,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            proximal_mu: self.proximal_mu,
        }
    }
}
