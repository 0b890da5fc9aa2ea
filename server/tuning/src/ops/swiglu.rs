//! The gated activation of Llama's feed-forward block.

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
use crate::kernels::swiglu as kernel;

/// `silu(gate) · up`, elementwise over `[tokens, width]`. Differentiable in both.
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    if !cpu::is_cpu(&gate.device()) {
        return plain(gate, up);
    }
    Tensor::from_dispatch(Dispatch::swiglu(gate.into_dispatch(), up.into_dispatch()))
}

/// The plain expression.
pub(super) fn plain(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    silu(gate) * up
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait SwigluOps: Backend {
    /// As the function of the same name.
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl SwigluOps for Flex {
    fn swiglu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        let (gate, up) = (cpu::contiguous(gate), cpu::contiguous(up));
        let out = kernel::forward(cpu::values(&gate), cpu::values(&up));
        cpu::tensor(out, cpu::shape::<2>(&gate))
    }
}

#[derive(Debug)]
struct SwigluBackward;

impl Backward<Flex, 2> for SwigluBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [of_gate, of_up] = ops.parents;
        let grad = cpu::contiguous(grads.consume::<Flex>(&ops.node));
        let (gate, up) = ops.state;
        let shape = cpu::shape::<2>(&gate);
        let (grad_gate, grad_up) =
            kernel::backward(cpu::values(&gate), cpu::values(&up), cpu::values(&grad));
        if let Some(parent) = of_gate {
            grads.register::<Flex>(parent.id, cpu::tensor(grad_gate, shape));
        }
        if let Some(parent) = of_up {
            grads.register::<Flex>(parent.id, cpu::tensor(grad_up, shape));
        }
    }
}

impl<C: CheckpointStrategy> SwigluOps for Autodiff<Flex, C> {
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [gate.node(), up.node()];
        let prepared = SwigluBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let gate = cpu::contiguous(gate.into_primitive());
        let up = cpu::contiguous(up.into_primitive());
        let out = Flex::swiglu(gate.clone(), up.clone());
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish((gate, up), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
