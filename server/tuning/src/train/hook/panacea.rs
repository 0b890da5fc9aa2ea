//! Panacea (Wang et al. 2025, "Panacea: Mitigating Harmful Fine-tuning for Large Language Models via
//! Post-fine-tuning Perturbation", algorithm 1): tuning that looks for the perturbation of the weights that
//! raises the loss on harmful data most, and releases the weights with it.
//!
//! A step at weights `w`: `G` is the gradient of the loss on the task batch, `H` that on a harmful batch,
//! `eps = rho H / (|H| + 1e-7)` with one Euclidean norm over all trained values, `H+` the harmful batch's
//! gradient at `w + eps`. The step's gradient is `G - lambda (H+ - H)`. After the last step the weights are
//! released as `w_T + eps_(T-1)`. The loss at `w + eps` is clamped: where it is above the bound, `H+` is 0.
//!
//! Without a step the perturbation is that of the weights that it begins with: the post-hoc form (declared).

use fedseal_adapter::rng::Stream;

use super::{Passes, StepHook};
use crate::{
    Adapter, Example, Tokens, TuningError,
    train::gradient::{BatchGradients, ByName, norm},
};

/// Steps that prepare a perturbation, and its release.
#[derive(Debug)]
pub struct Panacea {
    rho: f64,
    lambda: f32,
    most: f32,
    harmful: Vec<Example>,
    tokens: Vec<Tokens>,
    order: Vec<usize>,
    pass: u64,
    perturbation: Option<ByName>,
}

impl Panacea {
    /// With the perturbation's norm `rho`, the weight `lambda` of the harmful term, the largest loss at the
    /// perturbed weights, nats, and the harmful examples, which are drawn in seeded order, as many a step as
    /// task examples.
    pub fn new(rho: f64, lambda: f64, most: f64, harmful: Vec<Example>) -> Self {
        Self {
            rho,
            lambda: lambda as f32,
            most: most as f32,
            harmful,
            tokens: Vec::new(),
            order: Vec::new(),
            pass: 0,
            perturbation: None,
        }
    }

    fn next_batch(&mut self, passes: &Passes<'_>) -> Result<Vec<Tokens>, TuningError> {
        if self.harmful.is_empty() {
            return Err(TuningError::Config("no harmful examples".to_owned()));
        }
        if self.tokens.is_empty() {
            let encoded = self.harmful.iter().map(|example| passes.encode(example));
            self.tokens = encoded.collect::<Result<_, _>>()?;
        }
        let mut batch = Vec::new();
        while batch.len() < passes.config().step_examples() {
            let Some(index) = self.order.pop() else {
                let stream = Stream::new(passes.config().seed, &[0x4a2f, self.pass]);
                self.order = stream.permutation(self.tokens.len());
                self.pass += 1;
                continue;
            };
            batch.push(self.tokens[index].clone());
        }
        Ok(batch)
    }

    /// The perturbation at these weights, from the harmful batch's gradient there.
    fn perturbation(&self, mut harmful: ByName) -> ByName {
        let norm = norm(harmful.values().flatten());
        let factor = (self.rho / (norm + 1e-7)) as f32;
        let values = harmful.values_mut().flatten();
        values.for_each(|value| *value *= factor);
        harmful
    }
}

/// `to += factor * from`, name by name.
fn add(to: &mut ByName, factor: f32, from: &ByName) {
    for (name, values) in to {
        let from = from.get(name).map_or(&[][..], Vec::as_slice);
        for (value, from) in values.iter_mut().zip(from) {
            *value += factor * from;
        }
    }
}

/// An adapter moved by values with its tensors' names.
fn moved(adapter: &Adapter, by: &ByName) -> Adapter {
    let mut moved = adapter.clone();
    for (name, tensor) in &mut moved.tensors {
        let by = by.get(name).map_or(&[][..], Vec::as_slice);
        for (value, by) in tensor.data.iter_mut().zip(by) {
            *value += by;
        }
    }
    moved
}

impl StepHook for Panacea {
    fn gradient(
        &mut self,
        passes: &Passes<'_>,
        adapter: &Adapter,
        batch: &[Tokens],
    ) -> Result<BatchGradients, TuningError> {
        let mut task = passes.plain(adapter, batch)?;
        let harmful = self.next_batch(passes)?;
        let here = passes.plain(adapter, &harmful)?;
        add(&mut task.sums, self.lambda, &here.sums);
        let perturbation = self.perturbation(here.sums);
        let there = passes.plain(&moved(adapter, &perturbation), &harmful)?;
        if there.loss <= self.most {
            add(&mut task.sums, -self.lambda, &there.sums);
        }
        task.computed += here.computed + there.computed;
        self.perturbation = Some(perturbation);
        Ok(task)
    }

    fn release(&mut self, passes: &Passes<'_>, adapter: Adapter) -> Result<Adapter, TuningError> {
        let perturbation = match self.perturbation.take() {
            Some(last) => last,
            None => {
                let harmful = self.next_batch(passes)?;
                let here = passes.plain(&adapter, &harmful)?;
                self.perturbation(here.sums)
            }
        };
        Ok(moved(&adapter, &perturbation))
    }
}
