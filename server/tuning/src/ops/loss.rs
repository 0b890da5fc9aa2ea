//! The loss of a language model.

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
    tensor::{Int, Tensor, TensorData, activation::log_softmax},
};

use super::{FrozenWeight, cpu, frozen::Panels};
use crate::kernels::loss as kernel;

/// Computes the mean cross-entropy of `targets` under `softmax(hidden · vocabᵀ)`, shape `[1]`.
///
/// `hidden` is `[rows, width]`, with only the rows whose next token counts. `targets` holds one
/// token per row. With a cap, logits become `cap · tanh(logit / cap)` first. Differentiable in
/// `hidden`.
///
/// # Panics
/// When there is not one target per row, or no row.
pub fn cross_entropy(
    hidden: Tensor<2>,
    vocab: &FrozenWeight,
    cap: Option<f32>,
    targets: &[u32],
) -> Tensor<1> {
    let rows = hidden.dims()[0];
    assert!(rows > 0 && rows == targets.len(), "one target per row");
    let Some(panels) = vocab.panels() else {
        return plain(hidden, vocab, cap, targets);
    };
    let targets: Arc<[u32]> = targets.into();
    let loss = Dispatch::mean_loss(hidden.into_dispatch(), panels.clone(), cap, targets);
    Tensor::from_dispatch(loss)
}

/// Plain expression in burn tensors.
pub(super) fn plain(
    hidden: Tensor<2>,
    vocab: &FrozenWeight,
    cap: Option<f32>,
    targets: &[u32],
) -> Tensor<1> {
    let rows = targets.len();
    let targets: Vec<i64> = targets.iter().map(|&t| i64::from(t)).collect();
    let targets =
        Tensor::<2, Int>::from_data(TensorData::new(targets, [rows, 1]), &hidden.device());
    let mut logits = vocab.forward(hidden);
    if let Some(cap) = cap {
        logits = soft_cap(logits, cap);
    }
    let log_probability = log_softmax(logits, 1).gather(1, targets);
    log_probability.mean().neg()
}

/// Computes `cap · tanh(x / cap)`.
pub(crate) fn soft_cap(x: Tensor<2>, cap: f32) -> Tensor<2> {
    x.div_scalar(cap).tanh().mul_scalar(cap)
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait LossOps: Backend {
    /// As [`cross_entropy`].
    fn mean_loss(
        hidden: FloatTensor<Self>,
        vocab: Arc<Panels>,
        cap: Option<f32>,
        targets: Arc<[u32]>,
    ) -> FloatTensor<Self>;
}

impl LossOps for Flex {
    fn mean_loss(
        hidden: FlexTensor,
        vocab: Arc<Panels>,
        cap: Option<f32>,
        targets: Arc<[u32]>,
    ) -> FlexTensor {
        let hidden = cpu::contiguous(hidden);
        let values = cpu::values(&hidden);
        let logs = kernel::log_probabilities(values, vocab.forward(), cap, &targets);
        cpu::tensor(vec![kernel::mean_negative(&logs)], [1])
    }
}

#[derive(Debug)]
struct LossBackward;

impl Backward<Flex, 1> for LossBackward {
    /// Gradient of the summed loss, computed together with the loss while the probabilities were in
    /// memory.
    type State = FlexTensor;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [parent] = ops.parents;
        let grad = cpu::contiguous(grads.consume::<Flex>(&ops.node));
        if let Some(parent) = parent {
            let [rows, width] = cpu::shape(&ops.state);
            let factor = cpu::values(&grad)[0] / rows as f32;
            let out = kernel::scaled(cpu::values(&ops.state), factor);
            grads.register::<Flex>(parent.id, cpu::tensor(out, [rows, width]));
        }
    }
}

impl<C: CheckpointStrategy> LossOps for Autodiff<Flex, C> {
    fn mean_loss(
        hidden: FloatTensor<Self>,
        vocab: Arc<Panels>,
        cap: Option<f32>,
        targets: Arc<[u32]>,
    ) -> FloatTensor<Self> {
        match LossBackward
            .prepare::<C>([hidden.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prepared) => {
                let hidden = cpu::contiguous(hidden.into_primitive());
                let values = cpu::values(&hidden);
                let (logs, gradient) =
                    kernel::with_gradient(values, vocab.forward(), vocab.back(), cap, &targets);
                let gradient = cpu::tensor(gradient, cpu::shape::<2>(&hidden));
                prepared.finish(
                    gradient,
                    cpu::tensor(vec![kernel::mean_negative(&logs)], [1]),
                )
            }
            OpsKind::UnTracked(prepared) => prepared.finish(Flex::mean_loss(
                hidden.into_primitive(),
                vocab,
                cap,
                targets,
            )),
        }
    }
}
