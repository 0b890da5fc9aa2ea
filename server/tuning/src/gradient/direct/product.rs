//! Products of a direct step: of words, each with the pair and the bias beside it.

use super::Sums;
use crate::{
    adapter::{Target, peft_name},
    kernels::{
        gemm::{
            Matrix, Start,
            pairs::{
                PackedPairs, Rows, multiply_each, multiply_pairs, multiply_sum, widen_rows,
                words_of,
            },
        },
        lora::{self, PackedPair, Pair},
        memory::{Shared, filled},
        norm,
    },
    ops::Panels,
};

/// A pair of an adapter, and its matrices packed.
pub(super) struct LoraPair<'a> {
    pub(super) plain: Pair<'a>,
    pub(super) packed: PackedPair,
}

/// A frozen matrix with what stands beside it.
pub(super) struct Linear<'a> {
    pub(super) target: Target,
    pub(super) panels: &'a Panels,
    pub(super) bias: Option<Vec<f32>>,
    pub(super) pair: Option<LoraPair<'a>>,
}

/// Activations as words, widened to f32 when the first pair asks.
pub(super) struct Input<'a> {
    words: &'a [u32],
    inner: usize,
    wide: std::cell::OnceCell<Vec<f32>>,
}

impl<'a> Input<'a> {
    pub(super) fn new(words: &'a [u32], inner: usize) -> Self {
        let wide = std::cell::OnceCell::new();
        Self { words, inner, wide }
    }

    pub(super) fn values(&self) -> &[f32] {
        self.wide.get_or_init(|| {
            let rows = self.words.len() / words_of(self.inner);
            let len = rows * self.inner;
            // SAFETY: nobody else knows the memory; every value is written.
            unsafe {
                filled(len, |out| {
                    widen_rows(self.words, self.inner, out.slice(0, len));
                })
            }
        })
    }

    pub(super) fn widened(self) -> Vec<f32> {
        self.values();
        self.wide.into_inner().unwrap_or_default()
    }
}

/// The packed pairs of a matrix; [`Direct::new`] takes nothing else.
fn pairs(matrix: &Matrix) -> &PackedPairs {
    match matrix {
        Matrix::Pairs(packed) => packed,
        Matrix::F32(_) | Matrix::Compact(_) => unreachable!("a direct step is of fast matrices"),
    }
}

/// The same rows times several matrices: outputs of these sizes, one after the other.
pub(super) fn together<const N: usize>(
    x: &[u32],
    linear: [&Linear<'_>; N],
    sizes: [usize; N],
) -> Vec<f32> {
    let weights = linear.map(|one| pairs(one.panels.forward()));
    let rows = Rows::new(x, weights[0].inner());
    let fill = |out: Shared| {
        let mut products = Vec::with_capacity(N);
        let mut offset = 0;
        for (weight, size) in weights.into_iter().zip(sizes) {
            products.push((weight, out.part(offset, size), Start::Zero));
            offset += size;
        }
        // SAFETY: nobody else knows the memory; the parts do not overlap.
        unsafe { multiply_each(rows, &products) };
    };
    // SAFETY: products that start at zero write every element of every part.
    unsafe { filled(sizes.iter().sum(), fill) }
}

/// `Σ grad · W`, a new matrix.
pub(super) fn sum_new(terms: &[(Rows<'_>, &Linear<'_>)]) -> Vec<f32> {
    let terms: Vec<(Rows<'_>, &PackedPairs)> = terms
        .iter()
        .map(|&(grad, linear)| (grad, pairs(linear.panels.back())))
        .collect();
    let (rows, out) = (terms[0].0.rows(), terms[0].1.out());
    // SAFETY: nobody else knows the memory.
    let fill = |c: Shared| unsafe { multiply_sum(&terms, c, Start::Zero) };
    // SAFETY: products that start at zero write every element.
    unsafe { filled(rows * out, fill) }
}

impl Linear<'_> {
    /// Adds what stands beside the frozen product; returns what the pair's way back needs.
    pub(super) fn add(&self, input: &Input<'_>, rows: usize, out: &mut [f32]) -> Vec<f32> {
        if let Some(bias) = &self.bias {
            norm::add_to_rows(out, bias);
        }
        match &self.pair {
            Some(pair) => pair.packed.add(input.values(), rows, out),
            None => Vec::new(),
        }
    }

    /// Adds the whole of it to what `out` holds.
    pub(super) fn onto(&self, input: &Input<'_>, rows: usize, out: &mut [f32]) -> Vec<f32> {
        let weight = pairs(self.panels.forward());
        let x = Rows::new(input.words, input.inner);
        let c = Shared::new(out);
        // SAFETY: `out` is borrowed uniquely and initialised.
        unsafe { multiply_pairs(x, weight, c, weight.out(), Start::Output) };
        self.add(input, rows, out)
    }

    /// `grad · W`, a new matrix.
    pub(super) fn back_new(&self, grad: Rows<'_>) -> Vec<f32> {
        sum_new(&[(grad, self)])
    }

    /// The way back through the pair: its gradients to `sums`, that of its input onto `of_x`.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn pair_back(
        &self,
        layer: usize,
        input: &Input<'_>,
        rows: usize,
        low: &[Vec<f32>; 7],
        grad: &[f32],
        of_x: Option<&mut [f32]>,
        sums: &mut Sums,
    ) {
        let Some(pair) = &self.pair else {
            return;
        };
        let low = &low[self.target as usize];
        let gradients = lora::backward(input.values(), rows, low, pair.plain, grad, of_x);
        for (side, gradient) in [('A', gradients.a), ('B', gradients.b)] {
            let sum = sums.entry(peft_name(layer, self.target, side)).or_default();
            if sum.is_empty() {
                *sum = gradient;
            } else {
                norm::add_in_place(sum, &gradient);
            }
        }
    }
}
