//! The gated activation of a feed-forward block.

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
    tensor::{Tensor, activation::silu},
};

use super::cpu;
use crate::kernels::gated as kernel;
pub use kernel::Activation;

/// Computes `activation(gate) · up`, elementwise over `[tokens, width]`. Differentiable in both.
pub fn gated(gate: Tensor<2>, up: Tensor<2>, activation: Activation) -> Tensor<2> {
    if !cpu::is_cpu(&gate.device()) {
        return plain(gate, up, activation);
    }
    let (gate, up) = (gate.into_dispatch(), up.into_dispatch());
    Tensor::from_dispatch(Dispatch::gated(gate, up, activation))
}

/// Plain expression in burn tensors.
pub(super) fn plain(gate: Tensor<2>, up: Tensor<2>, activation: Activation) -> Tensor<2> {
    let active = match activation {
        Activation::Silu => silu(gate),
        Activation::GeluTanh => {
            let cube = gate.clone().powi_scalar(3).mul_scalar(0.044_715);
            let inner = (gate.clone() + cube).mul_scalar((2.0 / std::f64::consts::PI).sqrt());
            gate.mul_scalar(0.5) * inner.tanh().add_scalar(1.0)
        }
    };
    active * up
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait GatedOps: Backend {
    /// As the function of the same name.
    fn gated(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

impl GatedOps for Flex {
    fn gated(gate: FlexTensor, up: FlexTensor, activation: Activation) -> FlexTensor {
        let (gate, up) = (cpu::contiguous(gate), cpu::contiguous(up));
        let out = kernel::forward(cpu::values(&gate), cpu::values(&up), activation);
        cpu::tensor(out, cpu::shape::<2>(&gate))
    }
}

#[derive(Debug)]
struct GatedBackward;

impl Backward<Flex, 2> for GatedBackward {
    type State = (FlexTensor, FlexTensor, Activation);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [of_gate, of_up] = ops.parents;
        let grad = cpu::contiguous(grads.consume::<Flex>(&ops.node));
        let (gate, up, activation) = ops.state;
        let shape = cpu::shape::<2>(&gate);
        let [gate, up, grad] = [&gate, &up, &grad].map(cpu::values);
        let (grad_gate, grad_up) = kernel::backward(gate, up, grad, activation);
        if let Some(parent) = of_gate {
            grads.register::<Flex>(parent.id, cpu::tensor(grad_gate, shape));
        }
        if let Some(parent) = of_up {
            grads.register::<Flex>(parent.id, cpu::tensor(grad_up, shape));
        }
    }
}

impl<C: CheckpointStrategy> GatedOps for Autodiff<Flex, C> {
    fn gated(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let nodes = [gate.node(), up.node()];
        let prepared = GatedBackward.prepare::<C>(nodes).compute_bound().stateful();
        let gate = cpu::contiguous(gate.into_primitive());
        let up = cpu::contiguous(up.into_primitive());
        let out = Flex::gated(gate.clone(), up.clone(), activation);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((gate, up, activation), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
