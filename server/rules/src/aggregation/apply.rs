//! Applying a rule: its inputs, what every rule relies on, its outcome, and sums that rules share.

use std::collections::BTreeMap;

use fedseal_adapter::Adapter;
use fedseal_kernels::columns;

use super::device::{Found, Tensors};
use super::outcome::Outcome;
use super::server_input::{Known, Need, ServerInput};
use super::stream::{Stream, Sum};
use crate::error::{Error, Result};

/// One admitted update.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// Local adapter minus global adapter, flat.
    pub delta: &'a [f32],
    /// Number of examples the client trained on, times the admission's weight (1 for accept).
    pub weight: f64,
}

/// Inputs of a rule besides the updates and its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inputs {
    /// Number of sampled clients that the server expects to be malicious.
    pub expected_malicious: usize,
    /// Seed of this round, for rules that sample coordinates.
    pub seed: u64,
}

/// One aggregation rule with its parameters.
pub trait Rule: Send + Sync {
    /// Aggregates at least one update; all deltas are equally long, and finite unless
    /// [`Rule::shows_bad_values`].
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome;

    /// As [`Rule::aggregate`], with the global adapter that the updates are differences from. Rules that act
    /// on values alone do not look at it.
    fn aggregate_from(
        &self,
        updates: &[Update<'_>],
        inputs: &Inputs,
        _global: &Adapter,
    ) -> Outcome {
        self.aggregate(updates, inputs)
    }

    /// Input of the server's own that it asks for; none: it needs none.
    fn input(&self) -> Option<Need> {
        None
    }

    /// Numbers that it learns from updates of simulated clients, honest and harmful, from a global adapter.
    fn learn(
        &self,
        _global: &Adapter,
        _honest: &[Vec<f32>],
        _harmful: &[Vec<f32>],
    ) -> BTreeMap<String, Vec<f64>> {
        BTreeMap::new()
    }

    /// As [`Rule::aggregate_from`], with the server's input.
    fn aggregate_with(
        &self,
        updates: &[Update<'_>],
        inputs: &Inputs,
        known: &Known<'_>,
    ) -> Outcome {
        self.aggregate_from(updates, inputs, known.global)
    }

    /// Whether it remembers clients from round to round, in the numbers of its input.
    fn remembers(&self) -> bool {
        false
    }

    /// Whether an input, the first round's, has nothing in it that is remembered of clients.
    fn remembers_nobody(&self, _input: &ServerInput) -> bool {
        true
    }

    /// Numbers of the next round's input, by this round's and its updates.
    fn remember(&self, _updates: &[Update<'_>], known: &Known<'_>) -> BTreeMap<String, Vec<f64>> {
        known.input.numbers.clone()
    }

    /// The rule as a sum of multiples of the updates, where it needs each of them once; `weights` are the
    /// updates'.
    fn sum(&self, _weights: &[f64]) -> Option<Sum> {
        None
    }

    /// Its form for a device; none: it has none.
    fn device_form(&self) -> Option<&dyn DeviceForm> {
        None
    }

    /// Whether it wants the global adapter.
    fn needs_global(&self) -> bool {
        false
    }

    /// Whether a value that is not finite always makes the result not finite, so that looking at the result
    /// is enough. Such a rule reads large updates once less.
    fn shows_bad_values(&self) -> bool {
        false
    }
}

/// A rule by tensor code. It acts on the updates' values alone.
pub trait DeviceForm {
    /// As [`Rule::aggregate`], on a device, for updates that are finite: the same weights, and values within
    /// [`super::device::BOUND`]. None where the device cannot tell.
    ///
    /// # Errors
    /// A device that fails.
    fn aggregate_on(
        &self,
        updates: &[Update<'_>],
        inputs: &Inputs,
        device: &dyn Tensors,
    ) -> Found<Outcome>;
}

/// A rule made from its definition.
pub struct Built {
    pub(super) name: &'static str,
    pub(super) rule: Box<dyn Rule>,
}

impl Built {
    /// Applies the rule after checking what every rule relies on: at least one update, equal lengths,
    /// finite values, weights that are finite, not negative and not all zero.
    ///
    /// # Errors
    /// [`Error::Aggregation`] says which of them does not hold, or that the result is not finite.
    pub fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Result<Outcome> {
        self.checked(updates, || self.rule.aggregate(updates, inputs))
    }

    /// Whether the rule has a form for a device.
    pub fn has_device_form(&self) -> bool {
        self.rule.device_form().is_some()
    }

    /// As [`Built::aggregate`], on a device. None where the rule has no form for it, where the device cannot
    /// tell, and where its result is not finite: [`Built::aggregate`] gives the aggregate then.
    ///
    /// # Errors
    /// As [`Built::aggregate`]; a device that fails.
    pub fn aggregate_on(
        &self,
        updates: &[Update<'_>],
        inputs: &Inputs,
        device: &dyn Tensors,
    ) -> Result<Option<Outcome>> {
        let problem = |problem: String| Error::Aggregation {
            rule: self.name,
            problem,
        };
        let Some(form) = self.rule.device_form() else {
            return Ok(None);
        };
        check(updates).map_err(problem)?;
        check_values(updates).map_err(problem)?;
        let found = form.aggregate_on(updates, inputs, device);
        let found = found.map_err(problem)?;
        Ok(found.filter(|outcome| columns::all_finite(&outcome.delta)))
    }

    /// The rule for updates that come one after another, `width` values each; none where it needs all of them
    /// at once. `weights` are those of [`Update::weight`].
    ///
    /// # Errors
    /// [`Error::Aggregation`] for weights that [`Built::aggregate`] refuses.
    pub fn stream(&self, weights: &[f64], width: usize) -> Result<Option<Stream>> {
        check_weights(weights).map_err(|problem| Error::Aggregation {
            rule: self.name,
            problem,
        })?;
        let sum = self.rule.sum(weights);
        Ok(sum.map(|sum| Stream::new(self.name, sum, width, weights.len())))
    }

    /// Whether the rule wants the global adapter: it is applied by [`Built::aggregate_from`] then.
    pub fn needs_global(&self) -> bool {
        self.rule.needs_global()
    }

    /// Input of the server's own that the rule asks for: it is applied by [`Built::aggregate_with`] then.
    pub fn input(&self) -> Option<Need> {
        self.rule.input()
    }

    /// Numbers that the rule learns from updates of simulated clients.
    pub fn learn(
        &self,
        global: &Adapter,
        honest: &[Vec<f32>],
        harmful: &[Vec<f32>],
    ) -> BTreeMap<String, Vec<f64>> {
        self.rule.learn(global, honest, harmful)
    }

    /// Whether the rule remembers clients from round to round.
    pub fn remembers(&self) -> bool {
        self.rule.remembers()
    }

    /// Whether an input has nothing in it that is remembered of clients, as the first round's.
    pub fn remembers_nobody(&self, input: &ServerInput) -> bool {
        self.rule.remembers_nobody(input)
    }

    /// The next round's input, of a rule that remembers clients, by this round's and its updates.
    ///
    /// # Errors
    /// Updates that are not as long as the global adapter.
    pub fn remember(&self, updates: &[Update<'_>], known: &Known<'_>) -> Result<ServerInput> {
        self.fits(updates, known.global)?;
        check(updates).map_err(|problem| Error::Aggregation {
            rule: self.name,
            problem,
        })?;
        let numbers = self.rule.remember(updates, known);
        Ok(ServerInput::of_numbers(self.name, numbers))
    }

    /// As [`Built::aggregate_from`], with the server's input.
    ///
    /// # Errors
    /// As [`Built::aggregate_from`]; an update of the server's of another length, behaviours of another number.
    pub fn aggregate_with(
        &self,
        updates: &[Update<'_>],
        inputs: &Inputs,
        known: &Known<'_>,
    ) -> Result<Outcome> {
        let problem = |problem: String| Error::Aggregation {
            rule: self.name,
            problem,
        };
        self.fits(updates, known.global)?;
        if !known.own.is_empty() && known.own.len() != known.global.len() {
            return Err(problem(format!(
                "the server's own update has {} values, the global adapter {}",
                known.own.len(),
                known.global.len()
            )));
        }
        if let Some((behaviours, _)) = known.behaviours
            && behaviours.len() != updates.len()
        {
            return Err(problem(format!(
                "{} behaviours of {} updates",
                behaviours.len(),
                updates.len()
            )));
        }
        self.checked(updates, || self.rule.aggregate_with(updates, inputs, known))
    }

    /// As [`Built::aggregate`], with the global adapter that the updates are differences from.
    ///
    /// # Errors
    /// As [`Built::aggregate`]; an adapter of another length.
    pub fn aggregate_from(
        &self,
        updates: &[Update<'_>],
        inputs: &Inputs,
        global: &Adapter,
    ) -> Result<Outcome> {
        self.fits(updates, global)?;
        self.checked(updates, || {
            self.rule.aggregate_from(updates, inputs, global)
        })
    }

    /// Checks that updates are as long as the global adapter.
    fn fits(&self, updates: &[Update<'_>], global: &Adapter) -> Result<()> {
        let Some(update) = updates.first() else {
            return Ok(());
        };
        match update.delta.len() == global.len() {
            true => Ok(()),
            false => Err(Error::Aggregation {
                rule: self.name,
                problem: format!(
                    "updates have {} values, the global adapter {}",
                    update.delta.len(),
                    global.len()
                ),
            }),
        }
    }

    fn checked(&self, updates: &[Update<'_>], apply: impl FnOnce() -> Outcome) -> Result<Outcome> {
        let problem = |problem: String| Error::Aggregation {
            rule: self.name,
            problem,
        };
        check(updates).map_err(problem)?;
        if !self.rule.shows_bad_values() {
            check_values(updates).map_err(problem)?;
        }
        let outcome = apply();
        if columns::all_finite(&outcome.delta) {
            return Ok(outcome);
        }
        check_values(updates).map_err(problem)?;
        Err(problem("the result has a value that is not finite".into()))
    }
}

fn check_values(updates: &[Update<'_>]) -> Result<(), String> {
    let bad = updates
        .iter()
        .position(|update| !columns::all_finite(update.delta));
    bad.map_or(Ok(()), |index| {
        Err(format!("update {index} has a value that is not finite"))
    })
}

fn check(updates: &[Update<'_>]) -> Result<(), String> {
    let Some(first) = updates.first() else {
        return Err("no update to aggregate".into());
    };
    for (index, update) in updates.iter().enumerate() {
        if update.delta.len() != first.delta.len() {
            return Err(format!(
                "update {index} has {} values, the first has {}",
                update.delta.len(),
                first.delta.len()
            ));
        }
    }
    let weights: Vec<f64> = updates.iter().map(|update| update.weight).collect();
    check_weights(&weights)
}

fn check_weights(weights: &[f64]) -> Result<(), String> {
    for (index, weight) in weights.iter().enumerate() {
        if !(weight.is_finite() && *weight >= 0.0) {
            return Err(format!("update {index} has weight {weight}"));
        }
    }
    match weights.iter().all(|weight| *weight == 0.0) {
        true => Err("every update has weight 0".into()),
        false => Ok(()),
    }
}

/// The updates' values.
pub(crate) fn rows<'a>(updates: &[Update<'a>]) -> Vec<&'a [f32]> {
    updates.iter().map(|update| update.delta).collect()
}

/// `sum_i weights[i] * updates[i]` in f64, in client order, rounded once.
pub(crate) fn weighted_sum(updates: &[Update<'_>], weights: &[f64]) -> Vec<f32> {
    columns::weighted_sum(&rows(updates), weights)
}

/// As [`weighted_sum`], without reading updates whose weight is 0.
pub(crate) fn chosen_sum(updates: &[Update<'_>], weights: &[f64]) -> Vec<f32> {
    let all = || updates.iter().zip(weights);
    let counted = all().filter(|(_, weight)| **weight != 0.0);
    let (rows, own): (Vec<&[f32]>, Vec<f64>) = counted
        .map(|(update, weight)| (update.delta, *weight))
        .unzip();
    if rows.is_empty() {
        return vec![0.0; updates.first().map_or(0, |update| update.delta.len())];
    }
    // The sign of a zero is that of the whole sum: 0 times a value above 0 makes it positive.
    let negative = |value: &f32| value.to_bits() == (-0.0_f32).to_bits();
    let settle = |start: usize, values: &mut [f32]| {
        // Without a way out of the loop, so that several values are looked at together.
        let any = |any: bool, value: &f32| any | negative(value);
        if !values.iter().fold(false, any) {
            return;
        }
        for (at, value) in values.iter_mut().enumerate() {
            if negative(value) {
                let terms =
                    all().map(|(update, weight)| weight * f64::from(update.delta[start + at]));
                *value = terms.sum::<f64>() as f32;
            }
        }
    };
    columns::settled_sum(&rows, &own, &settle)
}

/// The mean of the chosen updates, on a device.
pub(crate) fn mean_on(
    updates: &[Update<'_>],
    chosen: &[usize],
    device: &dyn Tensors,
) -> Found<Outcome> {
    let weights = uniform(updates.len(), chosen);
    let delta = device.weighted_sum(&rows(updates), &weights)?;
    Ok(delta.map(|delta| Outcome { delta, weights }))
}

/// Equal weights over the chosen updates, 0 elsewhere.
pub(crate) fn uniform(n: usize, chosen: &[usize]) -> Vec<f64> {
    let mut weights = vec![0.0; n];
    for index in chosen {
        weights[*index] = 1.0 / chosen.len() as f64;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cloud, updates};
    use super::*;

    #[test]
    fn what_has_no_weight_is_not_read_and_leaves_the_same_bits() {
        let mut rows = cloud(4, 50, 2);
        // Sums that are zero: of both signs in what counts and in what does not.
        for (column, signs) in [[-0.0, 1.0, -0.0, 2.0], [-0.0, -1.0, -0.0, -2.0]]
            .iter()
            .enumerate()
        {
            for (row, value) in rows.iter_mut().zip(signs) {
                row[column] = *value;
            }
        }
        let updates = updates(&rows);
        let weights = [0.5, 0.0, 0.5, 0.0];
        let bits =
            |values: Vec<f32>| -> Vec<u32> { values.into_iter().map(f32::to_bits).collect() };
        let chosen = bits(chosen_sum(&updates, &weights));
        assert_eq!(chosen, bits(weighted_sum(&updates, &weights)));
        assert_eq!(chosen[..2], [0.0_f32.to_bits(), (-0.0_f32).to_bits()]);
    }
}
