//! Root mean square normalisation (RMSNorm).

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
    tensor::Tensor,
};

use super::cpu;
use crate::kernels::norm;

/// Computes `x / sqrt(mean(x²) + eps) · weight` over the last dimension of `[tokens, width]`.
///
/// `weight` is `[width]`. Differentiable in both.
pub fn rms_norm(x: Tensor<2>, weight: &Tensor<1>, eps: f32) -> Tensor<2> {
    if !cpu::is_cpu(&x.device()) {
        return plain(x, weight, eps);
    }
    let weight = weight.clone().into_dispatch();
    Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), weight, eps))
}

/// Plain expression in burn tensors.
pub(super) fn plain(x: Tensor<2>, weight: &Tensor<1>, eps: f32) -> Tensor<2> {
    let square = x.clone().powi_scalar(2).mean_dim(1);
    let scale = square.add_scalar(eps).sqrt().recip();
    x * scale * weight.clone().unsqueeze::<2>()
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait NormOps: Backend {
    /// As the function of the same name.
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self>;
}

impl NormOps for Flex {
    fn rms_norm(x: FlexTensor, weight: FlexTensor, eps: f32) -> FlexTensor {
        let (x, weight) = (cpu::contiguous(x), cpu::contiguous(weight));
        let out = norm::forward(cpu::values(&x), cpu::values(&weight), eps);
        cpu::tensor(out, cpu::shape::<2>(&x))
    }
}

#[derive(Debug)]
struct NormBackward;

impl Backward<Flex, 2> for NormBackward {
    /// Input, weight and eps.
    type State = (FlexTensor, FlexTensor, f32);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [of_x, of_weight] = ops.parents;
        let grad = cpu::contiguous(grads.consume::<Flex>(&ops.node));
        let (x, weight, eps) = ops.state;
        let (values, grad) = (cpu::values(&x), cpu::values(&grad));
        if let Some(parent) = of_x {
            let out = norm::backward(values, cpu::values(&weight), eps, grad);
            grads.register::<Flex>(parent.id, cpu::tensor(out, cpu::shape::<2>(&x)));
        }
        if let Some(parent) = of_weight {
            let [width] = cpu::shape(&weight);
            let out = norm::backward_weight(values, width, eps, grad);
            grads.register::<Flex>(parent.id, cpu::tensor(out, [width]));
        }
    }
}

impl<C: CheckpointStrategy> NormOps for Autodiff<Flex, C> {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        let prepared = NormBackward.prepare::<C>(nodes).compute_bound().stateful();
        let x = cpu::contiguous(x.into_primitive());
        let weight = cpu::contiguous(weight.into_primitive());
        let out = Flex::rms_norm(x.clone(), weight.clone(), eps);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((x, weight, eps), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
