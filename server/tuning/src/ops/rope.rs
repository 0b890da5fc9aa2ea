//! Rotary position embeddings.

use std::sync::Arc;

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{Tensor, TensorData},
};

use super::{RopeScaling, cpu};
use crate::kernels::rope as kernel;

/// Cosines and sines of every position, computed once per model.
#[derive(Clone, Debug)]
pub struct RopeTable {
    head_dim: usize,
    /// Rotated pairs of a head.
    half: usize,
    positions: usize,
    /// `[positions, half]`
    cos: Arc<Vec<f32>>,
    /// `[positions, half]`
    sin: Arc<Vec<f32>>,
}

impl RopeTable {
    /// Computes angles `position · theta^(-2i / head_dim)` for positions below `max_positions`.
    ///
    /// They are computed in f64 and rounded once, so the table does not depend on the C library.
    ///
    /// # Panics
    /// When `head_dim` is odd.
    pub fn new(head_dim: usize, theta: f64, max_positions: usize, scaling: &RopeScaling) -> Self {
        Self::partial([head_dim, head_dim], theta, max_positions, scaling)
    }

    /// As [`new`](Self::new), for heads of which only the leading `rotary_dim` values are rotated.
    ///
    /// # Panics
    /// When `rotary_dim` is odd or above `head_dim`.
    pub fn partial(
        [head_dim, rotary_dim]: [usize; 2],
        theta: f64,
        max_positions: usize,
        scaling: &RopeScaling,
    ) -> Self {
        assert!(
            rotary_dim.is_multiple_of(2) && rotary_dim <= head_dim,
            "rotary embeddings need an even size within the head"
        );
        let half = rotary_dim / 2;
        // The frequency is rounded to f32 first, as the reference implementation does.
        let frequencies: Vec<f64> = scaling
            .frequencies(rotary_dim, theta)
            .into_iter()
            .map(|frequency| f64::from(frequency as f32))
            .collect();
        // The reference rounds the cosine to f32 before it is multiplied.
        let magnitude = scaling.attention_factor() as f32;
        let mut cos = Vec::with_capacity(max_positions * half);
        let mut sin = Vec::with_capacity(max_positions * half);
        for position in 0..max_positions {
            for frequency in &frequencies {
                // The reference also rounds the product to f32; far positions would differ
                // otherwise.
                let angle = f64::from((position as f64 * frequency) as f32);
                cos.push(angle.cos() as f32 * magnitude);
                sin.push(angle.sin() as f32 * magnitude);
            }
        }
        Self {
            head_dim,
            half,
            positions: max_positions,
            cos: Arc::new(cos),
            sin: Arc::new(sin),
        }
    }

    /// Size of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Number of positions in the table.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Returns the rows of a table for these positions, one after the other.
    fn gather(&self, table: &[f32], positions: &[u32]) -> Vec<f32> {
        let row = |&p: &u32| &table[p as usize * self.half..(p as usize + 1) * self.half];
        positions.iter().flat_map(row).copied().collect()
    }

    /// Returns cosines and sines of these positions, `[positions, rotary_dim / 2]` each.
    pub(crate) fn angles(&self, positions: &[u32]) -> (Vec<f32>, Vec<f32>) {
        (
            self.gather(&self.cos, positions),
            self.gather(&self.sin, positions),
        )
    }
}

/// Rotates `[tokens, heads, head_dim]` by position, halves against each other (the layout
/// of Hugging Face checkpoints).
///
/// # Panics
/// When a position lies outside the table, or there is not one position per token.
pub fn rope(x: Tensor<3>, table: &RopeTable, positions: &[u32]) -> Tensor<3> {
    let [tokens, _, head_dim] = x.dims();
    assert_eq!(tokens, positions.len(), "one position per token");
    assert_eq!(
        head_dim,
        table.head_dim(),
        "the table belongs to another head size"
    );
    if !cpu::is_cpu(&x.device()) {
        return plain(x, table, positions);
    }
    let turn = Arc::new(Turn {
        cos: table.gather(&table.cos, positions),
        sin: table.gather(&table.sin, positions),
        half: table.half,
        dim: table.head_dim,
    });
    Tensor::from_dispatch(Dispatch::rotate(x.into_dispatch(), turn))
}

/// Plain expression in burn tensors.
pub(super) fn plain(x: Tensor<3>, table: &RopeTable, positions: &[u32]) -> Tensor<3> {
    let [tokens, heads, head_dim] = x.dims();
    let device = x.device().without_autodiff();
    let upload = |values: Vec<f32>| -> Tensor<3> {
        Tensor::from_data(TensorData::new(values, [tokens, 1, table.half]), &device)
    };
    let cos = upload(table.gather(&table.cos, positions));
    let sin = upload(table.gather(&table.sin, positions));
    let left = x.clone().slice([0..tokens, 0..heads, 0..table.half]);
    let rotated = 2 * table.half;
    let right = x.clone().slice([0..tokens, 0..heads, table.half..rotated]);
    let mut parts = vec![
        left.clone() * cos.clone() - right.clone() * sin.clone(),
        right * cos + left * sin,
    ];
    if rotated < head_dim {
        parts.push(x.slice([0..tokens, 0..heads, rotated..head_dim]));
    }
    Tensor::cat(parts, 2)
}

/// Angles of these tokens, `[tokens, half]` each.
#[derive(Debug)]
pub(crate) struct Turn {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
    dim: usize,
}

impl Turn {
    fn turn(&self, x: &FlexTensor, back: bool) -> FlexTensor {
        let [tokens, heads, dim] = cpu::shape(x);
        let angles = kernel::Angles {
            cos: &self.cos,
            sin: &self.sin,
            half: self.half,
            dim: self.dim,
        };
        cpu::tensor(
            kernel::rotate(cpu::values(x), heads, angles, back),
            [tokens, heads, dim],
        )
    }
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait RopeOps: Backend {
    /// Rotates every head of `[tokens, heads, head_dim]`.
    fn rotate(x: FloatTensor<Self>, turn: Arc<Turn>) -> FloatTensor<Self>;
}

impl RopeOps for Flex {
    fn rotate(x: FlexTensor, turn: Arc<Turn>) -> FlexTensor {
        turn.turn(&cpu::contiguous(x), false)
    }
}

#[derive(Debug)]
struct RopeBackward;

impl Backward<Flex, 1> for RopeBackward {
    type State = Arc<Turn>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [parent] = ops.parents;
        let grad = cpu::contiguous(grads.consume::<Flex>(&ops.node));
        if let Some(parent) = parent {
            // A rotation's transpose is the inverse rotation.
            grads.register::<Flex>(parent.id, ops.state.turn(&grad, true));
        }
    }
}

impl<C: CheckpointStrategy> RopeOps for Autodiff<Flex, C> {
    fn rotate(x: FloatTensor<Self>, turn: Arc<Turn>) -> FloatTensor<Self> {
        let prepared = RopeBackward
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful();
        let out = Flex::rotate(x.into_primitive(), turn.clone());
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish(turn, out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
