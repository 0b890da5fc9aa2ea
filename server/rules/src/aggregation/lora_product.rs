//! The mean of the products BA of LoRA adapters, by examples, in place of the means of A and of B, whose
//! product is another matrix.
//!
//! The products' mean is exact in stacked form (FLoRA; Wang et al. 2024, equation 5) and has up to n times
//! the rank. It is brought back to the adapters' rank by its largest singular values, as FlexLoRA does (Bai
//! et al. 2024, section 3.2). Both factors get the root of a singular value (declared). A direction whose
//! singular value is 0 gets the row of the mean A, and a zero column of B: as in a fresh adapter it changes
//! nothing and can be trained. Tensors that are no pair of matrices are averaged.

use fedseal_adapter::Adapter;

use super::definition::Definition;
use super::factors::singular;
use super::fedavg::FedAvg;
use super::lengths::shares;
use super::{Inputs, Outcome, Rule, Update};

/// Definition of the rule.
pub const DEFINITION: Definition = Definition {
    name: "lora-product",
    title: "mean of LoRA products",
    help: "mean of the products BA by examples, brought back to the rank by its singular values",
    version: 1,
    earlier: &[],
    bound: None,
    parameters: &[],
    make: |_| Box::new(LoraProduct),
};

/// The mean of products.
pub struct LoraProduct;

impl Rule for LoraProduct {
    /// Without the global adapter there are no products: the means of A and of B.
    fn aggregate(&self, updates: &[Update<'_>], inputs: &Inputs) -> Outcome {
        FedAvg.aggregate(updates, inputs)
    }

    fn needs_global(&self) -> bool {
        true
    }

    fn aggregate_from(&self, updates: &[Update<'_>], inputs: &Inputs, global: &Adapter) -> Outcome {
        let mut outcome = FedAvg.aggregate(updates, inputs);
        let examples: Vec<f64> = updates.iter().map(|update| update.weight).collect();
        let examples = shares(&examples);
        let values = global.flat();
        for (_, pair) in pairs_of(global) {
            pair.aggregate(updates, &examples, &values, &mut outcome.delta);
        }
        outcome
    }
}

/// Where a pair of matrices lies among an adapter's values: A, `[rank, inner]`, and B, `[outer, rank]`.
pub(super) struct Pair {
    pub(super) a: usize,
    pub(super) b: usize,
    pub(super) rank: usize,
    pub(super) inner: usize,
    pub(super) outer: usize,
}

/// The pairs of an adapter, by the names of their A.
pub(super) fn pairs_of(adapter: &Adapter) -> Vec<(&str, Pair)> {
    let mut starts: Vec<(&str, usize, [usize; 2])> = Vec::new();
    let mut at = 0;
    for (name, tensor) in &adapter.tensors {
        starts.push((name, at, tensor.shape));
        at += tensor.data.len();
    }
    let mut pairs = Vec::new();
    for &(name, a, [rank, inner]) in &starts {
        if !name.contains(".lora_A.") {
            continue;
        }
        let other = name.replace(".lora_A.", ".lora_B.");
        let found = starts.iter().find(|(name, ..)| *name == other);
        if let Some(&(_, b, [outer, width])) = found
            && width == rank
        {
            let pair = Pair {
                a,
                b,
                rank,
                inner,
                outer,
            };
            pairs.push((name, pair));
        }
    }
    pairs
}

impl Pair {
    /// Puts the pair of the products' mean into `delta`, which has the means of A and B.
    fn aggregate(&self, updates: &[Update<'_>], shares: &[f64], global: &[f32], delta: &mut [f32]) {
        let Pair {
            a,
            b,
            rank,
            inner,
            outer,
        } = *self;
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (update, share) in updates.iter().zip(shares) {
            let value = |at: usize| f64::from(global[at]) + f64::from(update.delta[at]);
            for k in 0..rank {
                left.push(
                    (0..outer)
                        .map(|i| share * value(b + i * rank + k))
                        .collect::<Vec<f64>>(),
                );
                right.push(
                    (0..inner)
                        .map(|j| value(a + k * inner + j))
                        .collect::<Vec<f64>>(),
                );
            }
        }
        let found = singular(&left, &right);
        let mut put = |at: usize, value: f64| delta[at] = (value - f64::from(global[at])) as f32;
        for k in 0..rank {
            let one = found.get(k);
            let root = one.map_or(0.0, |one| one.value.sqrt());
            for i in 0..outer {
                put(b + i * rank + k, one.map_or(0.0, |one| root * one.left[i]));
            }
            if let Some(one) = one {
                for j in 0..inner {
                    put(a + k * inner + j, root * one.right[j]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fedseal_adapter::{AdapterConfig, AdapterTensor};

    use super::super::testing::{ONE, updates};
    use super::*;

    /// An adapter of rank 1 beside a norm: A `[1, 2]`, B `[2, 1]`.
    fn adapter(a: [f32; 2], b: [f32; 2]) -> Adapter {
        let tensor = |shape, data: &[f32]| AdapterTensor {
            shape,
            data: data.to_vec(),
        };
        Adapter {
            tensors: [
                ("x.norm.weight".to_owned(), tensor([1, 1], &[1.0])),
                ("x.lora_A.weight".to_owned(), tensor([1, 2], &a)),
                ("x.lora_B.weight".to_owned(), tensor([2, 1], &b)),
            ]
            .into(),
            config: AdapterConfig::default(),
        }
    }

    #[test]
    fn a_worked_example() {
        // Products [[2, 0], [0, 0]] and [[0, 0], [0, 1]]; their mean's largest singular value is 1, along the
        // first axes. The means of A and B would have the product [[0.75, 0.75], [0.5, 0.5]].
        let global = adapter([1.0, 1.0], [0.0, 0.0]);
        let [first, second] = [
            adapter([1.0, 0.0], [2.0, 0.0]),
            adapter([0.0, 1.0], [0.0, 1.0]),
        ];
        let rows = [&first, &second].map(|local| local.sub(&global).unwrap().flat());
        let outcome = LoraProduct.aggregate_from(&updates(&rows), &ONE, &global);
        let next = global
            .add_scaled(&global.from_flat(&outcome.delta).unwrap(), 1.0)
            .unwrap();
        assert_eq!(next.tensors["x.lora_A.weight"].data, [1.0, 0.0]);
        assert_eq!(next.tensors["x.lora_B.weight"].data, [1.0, 0.0]);
        assert_eq!(next.tensors["x.norm.weight"].data, [1.0]);
        assert_eq!(outcome.weights, [0.5, 0.5]);
    }

    #[test]
    fn a_direction_without_a_product_keeps_the_mean_of_a() {
        let global = adapter([1.0, 3.0], [0.0, 0.0]);
        let rows = [vec![0.0, 0.5, 0.0, 0.0, 0.0], vec![0.5, 0.0, 0.0, 0.0, 0.0]];
        let outcome = LoraProduct.aggregate_from(&updates(&rows), &ONE, &global);
        assert_eq!(outcome.delta, [0.25, 0.25, 0.0, 0.0, 0.0]);
    }
}
