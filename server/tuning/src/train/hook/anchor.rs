//! Safety bottleneck regularisation (SBR, arXiv 2605.05995) as a repair: the final hidden state of the last
//! token of an anchor prompt, from which the answer's first token follows, is drawn to that of an aligned
//! reference.
//!
//! A step's loss is that of its batch and `alpha` times the mean squared difference of the two hidden
//! states, over the values of a state and over the prompts where there are several (declared). Dropout is
//! not drawn for anchors.

use super::{Passes, StepHook};
use crate::{
    Adapter, Tokens, TuningError,
    train::gradient::{BatchGradients, anchored::Anchored},
};

/// Steps that are drawn to a reference's hidden states.
#[derive(Debug)]
pub struct Anchor {
    reference: Adapter,
    prompts: Vec<String>,
    alpha: f32,
    anchored: Vec<Anchored>,
}

impl Anchor {
    /// With the aligned reference, the anchor prompts, and the weight of their distance.
    pub fn new(reference: Adapter, prompts: Vec<String>, alpha: f64) -> Self {
        Self {
            reference,
            prompts,
            alpha: alpha as f32,
            anchored: Vec::new(),
        }
    }
}

impl StepHook for Anchor {
    fn gradient(
        &mut self,
        passes: &Passes<'_>,
        adapter: &Adapter,
        batch: &[Tokens],
    ) -> Result<BatchGradients, TuningError> {
        if self.anchored.is_empty() {
            let prompts = self.prompts.iter();
            let anchored = prompts.map(|prompt| passes.anchored(&self.reference, prompt));
            self.anchored = anchored.collect::<Result<_, _>>()?;
        }
        let mut found = passes.plain(adapter, batch)?;
        let pull = passes.pull(adapter, &self.anchored)?;
        for (name, values) in pull.sums {
            let sum = found.sums.entry(name).or_default();
            sum.resize(values.len(), 0.0);
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum += self.alpha * value;
            }
        }
        found.loss += self.alpha * pull.loss;
        found.computed += pull.computed;
        Ok(found)
    }
}
