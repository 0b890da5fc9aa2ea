//! Products of a direct step: products of words, each with its pair and bias.

use super::super::packed::ByName as Sums;
use fedseal_adapter::{Module, Target, peft_name};

use crate::{
    kernels::{
        gemm::{
            Matrix,
            pairs::{PackedPairs, Rows, add_product, products_together, sum_of_products, widened},
        },
        lora::{self, PackedPair, Pair},
        norm,
    },
    ops::Panels,
};

/// A pair of an adapter, with its packed matrices.
pub(super) struct LoraPair<'a> {
    pub(super) plain: Pair<'a>,
    pub(super) packed: PackedPair,
}

/// A frozen matrix with its bias and LoRA pair.
pub(super) struct Linear<'a> {
    pub(super) layer: usize,
    pub(super) target: Target,
    pub(super) module: &'static Module,
    pub(super) panels: &'a Panels,
    pub(super) bias: Option<Vec<f32>>,
    pub(super) pair: Option<LoraPair<'a>>,
}

/// Activations as words, widened to f32 when the first pair needs them.
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
        self.wide.get_or_init(|| widened(self.words, self.inner))
    }

    pub(super) fn widened(self) -> Vec<f32> {
        self.values();
        self.wide.into_inner().unwrap_or_default()
    }
}

/// Returns the 16-bit packing of a matrix; [`Direct::new`](super::parts::Direct::new) accepts no other matrices.
fn pairs(matrix: &Matrix) -> &PackedPairs {
    match matrix {
        Matrix::Pairs(packed) => packed,
        Matrix::F32(_) | Matrix::Compact(_) => unreachable!("a direct step is of fast matrices"),
    }
}

/// Multiplies the same rows with several matrices: the outputs follow one after the other.
pub(super) fn together<const N: usize>(x: &[u32], linear: [&Linear<'_>; N]) -> Vec<f32> {
    let weights = linear.map(|one| pairs(one.panels.forward()));
    products_together(Rows::new(x, weights[0].inner()), weights)
}

/// Returns `Σ grad · W`, a new matrix.
pub(super) fn sum_new(terms: &[(Rows<'_>, &Linear<'_>)]) -> Vec<f32> {
    let terms: Vec<(Rows<'_>, &PackedPairs)> = terms
        .iter()
        .map(|&(grad, linear)| (grad, pairs(linear.panels.back())))
        .collect();
    sum_of_products(&terms)
}

impl Linear<'_> {
    /// Adds the bias and the pair's product; returns what the pair's backward pass needs.
    pub(super) fn add(&self, input: &Input<'_>, rows: usize, out: &mut [f32]) -> Vec<f32> {
        if let Some(bias) = &self.bias {
            norm::add_to_rows(out, bias);
        }
        match &self.pair {
            Some(pair) => pair.packed.add(input.values(), rows, out),
            None => Vec::new(),
        }
    }

    /// Adds the whole product to the content of `out`.
    pub(super) fn onto(&self, input: &Input<'_>, rows: usize, out: &mut [f32]) -> Vec<f32> {
        let x = Rows::new(input.words, input.inner);
        add_product(x, pairs(self.panels.forward()), out);
        self.add(input, rows, out)
    }

    /// Returns `grad · W`, a new matrix.
    pub(super) fn back_new(&self, grad: Rows<'_>) -> Vec<f32> {
        sum_new(&[(grad, self)])
    }

    /// Backward pass of the pair: adds its gradients to `sums`, and the gradient of its input to
    /// `of_x`.
    pub(super) fn pair_back(
        &self,
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
            let sum = sums
                .entry(peft_name(self.layer, self.module, side))
                .or_default();
            if sum.is_empty() {
                *sum = gradient;
            } else {
                norm::add_in_place(sum, &gradient);
            }
        }
    }
}
