//! Shared parts of repairs by an aligned adapter: how that adapter is made, the audit of its data, and the
//! products of LoRA matrices with it.
//!
//! The aligned adapter is a fresh one, tuned on refusals and helpful answers that the unattacked base writes
//! (the refusals after a safety reminder). Nothing of the attacked adapter is in it.

use std::ops::Bound;

use fedseal_adapter::Adapter;

use super::data::DefenceData;
use super::definition::{Case, Number};
use super::given;
use super::written::pairs_kept;

/// Most steps and examples.
const MOST: f64 = 100_000.0;

/// Optimiser steps of the aligned adapter.
pub const STEPS: Number = Number::whole(
    "steps",
    "optimiser steps of the aligned adapter",
    300.0,
    (1.0, MOST),
);
/// Its batch size.
pub const BATCH_SIZE: Number = given::batch_size(16.0);
/// Safety pairs.
pub const SAFETY_EXAMPLES: Number =
    Number::whole("safety_examples", "safety pairs", 200.0, (1.0, MOST));
/// Helpful pairs.
pub const HELPFUL_EXAMPLES: Number =
    Number::whole("helpful_examples", "helpful pairs", 600.0, (0.0, MOST));

/// Optimiser steps of a repair that tunes towards the aligned adapter.
pub const REPAIR_STEPS: Number = Number::whole(
    "repair_steps",
    "optimiser steps of the repair",
    100.0,
    (1.0, MOST),
);

/// Least cosine of a matrix's change and its projection at which the change is kept.
pub const fn tau(default: f64) -> Number {
    Number {
        key: "tau",
        help: "a matrix whose change has at most this cosine to its projection is repaired",
        default: Some(default),
        range: (Bound::Included(-1.0), Bound::Included(1.0)),
        whole: false,
    }
}

/// Checks that the pairs passed the filters and are no more than may be tried. The tuning is for a replay.
pub(super) fn audit(case: &Case<'_>, data: &DefenceData, repaired: &Adapter) -> Result<(), String> {
    audit_with(case, data, repaired, &[])
}

/// As [`audit`], of data that have further lists.
pub(super) fn audit_with(
    case: &Case<'_>,
    data: &DefenceData,
    repaired: &Adapter,
    further: &[&str],
) -> Result<(), String> {
    let lists = [&["safety", "helpful"][..], further].concat();
    if !data.has(&["safety_tried", "helpful_tried"], &lists) {
        return Err("has other counts or lists than this repair".into());
    }
    if !repaired.same_shape(case.attacked) {
        return Err("gives an adapter of another shape".into());
    }
    pairs_kept(case, data, 0)
}

/// A small square matrix, row by row.
type Square = Vec<Vec<f64>>;

/// The LoRA matrices of one weight, A `[rank, inner]` and B `[outer, rank]`, by rows.
struct Matrices<'a> {
    a: Vec<&'a [f32]>,
    b: Vec<&'a [f32]>,
    scale: f64,
}

impl<'a> Matrices<'a> {
    fn of(adapter: &'a Adapter, a: &str, b: &str) -> Option<Self> {
        let rows = |name: &str| {
            let tensor = adapter.tensors.get(name)?;
            let width = tensor.shape[1].max(1);
            Some(tensor.data.chunks(width).collect::<Vec<_>>())
        };
        Some(Matrices {
            a: rows(a)?,
            b: rows(b)?,
            scale: f64::from(adapter.config.scale()),
        })
    }

    /// `A A^T`, `[rank, rank]`.
    fn inner(&self) -> Square {
        let dot = |x: &[f32], y: &[f32]| -> f64 {
            let pairs = x.iter().zip(y);
            pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        let row = |x: &&[f32]| self.a.iter().map(|y| dot(x, y)).collect();
        self.a.iter().map(row).collect()
    }

    /// `B^T other`, `[rank, rank of other]`; `other` has as many rows as B.
    fn outer(&self, other: &[Vec<f64>]) -> Square {
        let width = other.first().map_or(0, Vec::len);
        let entry = |k: usize, j: usize| -> f64 {
            let rows = self.b.iter().zip(other);
            rows.map(|(own, other)| f64::from(own[k]) * other[j]).sum()
        };
        (0..self.a.len())
            .map(|k| (0..width).map(|j| entry(k, j)).collect())
            .collect()
    }

    /// B in double precision.
    fn left(&self) -> Vec<Vec<f64>> {
        let wide = |row: &&[f32]| row.iter().map(|value| f64::from(*value)).collect();
        self.b.iter().map(wide).collect()
    }
}

fn product(left: &[Vec<f64>], right: &[Vec<f64>]) -> Square {
    let width = right.first().map_or(0, Vec::len);
    let row = |row: &Vec<f64>| {
        let entry = |j: usize| row.iter().zip(right).map(|(x, other)| x * other[j]).sum();
        (0..width).map(entry).collect()
    };
    left.iter().map(row).collect()
}

/// Sum over all entries of `left * right`, entry by entry.
fn together(left: &[Vec<f64>], right: &[Vec<f64>]) -> f64 {
    let rows = left.iter().zip(right);
    rows.map(|(x, y)| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>())
        .sum()
}

/// A weight's change seen from the aligned one.
pub(super) struct Projected {
    /// Name of its A.
    pub a: String,
    /// Name of its B.
    pub b: String,
    /// Cosine of the projected change and the change; 1 where either is zero.
    pub cosine: f64,
    /// B of the projected change, row by row.
    pub projected: Vec<f32>,
}

/// Projects each weight's change `B A` by `V V^T / |V|_F`, where V is the change of the aligned adapter at
/// the same weight (Hsu et al. 2024, "Safe LoRA", section 3.2): B becomes `V V^T B / |V|_F`.
pub(super) fn project(attacked: &Adapter, aligned: &Adapter) -> Vec<Projected> {
    let names = attacked.tensors.keys();
    let of = |a: &String| {
        let b = a
            .contains(".lora_A.")
            .then(|| a.replace(".lora_A.", ".lora_B."))?;
        let own = Matrices::of(attacked, a, &b)?;
        let other = Matrices::of(aligned, a, &b)?;
        let square = other.scale * other.scale;
        let (inner, left) = (other.inner(), other.left());
        let norm = (square * together(&other.outer(&left), &inner))
            .max(0.0)
            .sqrt();
        let own_left = own.left();
        // V V^T B = scale^2 B' (A' A'^T) (B'^T B), from the right.
        let small = product(&inner, &other.outer(&own_left));
        let factor = if norm > 0.0 { square / norm } else { 0.0 };
        let projected: Vec<Vec<f64>> = product(&left, &small)
            .into_iter()
            .map(|row| row.into_iter().map(|value| value * factor).collect())
            .collect();
        let gram = own.inner();
        // <P B A, B A> = sum over (P B)^T B and A A^T; the same for the lengths.
        let between = |x: &[Vec<f64>], y: &[Vec<f64>]| together(&product(x, &gram), y);
        let lengths = between(&projected, &projected) * between(&own_left, &own_left);
        let cosine = match lengths > 0.0 {
            true => between(&projected, &own_left) / lengths.sqrt(),
            false => 1.0,
        };
        Some(Projected {
            a: a.clone(),
            b,
            cosine,
            projected: projected.concat().into_iter().map(|v| v as f32).collect(),
        })
    };
    names.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fedseal_adapter::{AdapterConfig, ModelConfig};

    use super::super::{Definition, safe_lora, safe_merge};
    use super::*;

    /// An adapter of rank 1 whose first weight has these outer columns; A is the first unit vector.
    fn adapter(columns: [f32; 2]) -> Adapter {
        let config = AdapterConfig {
            rank: 1,
            alpha: 1.0,
            ..AdapterConfig::default()
        };
        let mut adapter = Adapter::init(&config, &ModelConfig::tiny(), 1).unwrap();
        for (name, tensor) in &mut adapter.tensors {
            tensor.data.fill(0.0);
            match name.contains(".lora_A.") {
                true => tensor.data[0] = 1.0,
                false => tensor.data[..2].copy_from_slice(&columns),
            }
        }
        adapter
    }

    #[test]
    fn a_change_is_projected_onto_the_aligned_one() {
        // V = 2 e0 e0^T, so P = V V^T / |V| = 4 / 2 on e0. B = (3, 4) becomes (6, 0), cosine 3 / 5.
        let all = project(&adapter([3.0, 4.0]), &adapter([2.0, 0.0]));
        assert!(all.len() > 1);
        for one in &all {
            assert!((one.cosine - 0.6).abs() < 1e-12, "{}", one.cosine);
            assert_eq!(one.projected[..3], [6.0, 0.0, 0.0]);
            assert!(one.b.contains("lora_B") && one.a.contains("lora_A"));
        }
        // Without a change nothing is far from anything; without an aligned one nothing is left.
        assert_eq!(
            project(&adapter([0.0, 0.0]), &adapter([2.0, 0.0]))[0].cosine,
            1.0
        );
        let none = project(&adapter([3.0, 4.0]), &adapter([0.0, 0.0]));
        assert_eq!((none[0].cosine, none[0].projected[0]), (1.0, 0.0));
    }

    #[test]
    fn weights_are_repaired_where_the_cosine_is_small() {
        let (attacked, aligned) = (adapter([3.0, 4.0]), adapter([2.0, 0.0]));
        let repaired = |definition: &Definition, tau: f64| {
            let given = BTreeMap::from([("tau".to_owned(), tau)]);
            let parameters = definition.parameters(&given).unwrap();
            let case = Case {
                arm: "mended",
                seed: 1,
                parameters: &parameters,
                attacked: &attacked,
            };
            match definition.name {
                "safe-lora" => safe_lora::repaired(&case, &aligned),
                _ => safe_merge::repaired(&case, &aligned).unwrap(),
            }
        };
        for definition in [&safe_lora::DEFINITION, &safe_merge::DEFINITION] {
            assert_eq!(repaired(definition, 0.5), attacked);
            assert!(repaired(definition, 0.7).same_shape(&attacked));
        }
        let first = |adapter: &Adapter| -> Vec<f32> {
            let mut pairs = project(adapter, &aligned).into_iter();
            let one = pairs.next().unwrap();
            let (a, b) = (&adapter.tensors[&one.a], &adapter.tensors[&one.b]);
            b.data[..2].iter().map(|value| value * a.data[0]).collect()
        };
        assert_eq!(first(&repaired(&safe_lora::DEFINITION, 0.7)), [6.0, 0.0]);
        // 0.8 (3, 4) + 0.2 (2, 0).
        let merged = first(&repaired(&safe_merge::DEFINITION, 0.7));
        for (value, expected) in merged.iter().zip([2.8, 3.2]) {
            assert!((value - expected).abs() < 1e-5, "{merged:?}");
        }
    }
}
