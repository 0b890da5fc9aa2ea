//! The product of a LoRA pair alone, for inputs with dropout.

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
    tensor::{Shape, Tensor, TensorData},
};

use crate::{DeviceKind, kernels::lora};

/// Computes `scale · (x · Aᵀ) · Bᵀ`: `x` is `[tokens, inner]`, `a` is `[rank, inner]`, `b` is
/// `[out, rank]`; the result is `[tokens, out]`. Differentiable in all three.
pub(crate) fn low_rank(x: Tensor<2>, a: Tensor<2>, b: Tensor<2>, scale: f32) -> Tensor<2> {
    if DeviceKind::of(&x.device()) != DeviceKind::Cpu {
        return x
            .matmul(a.transpose())
            .matmul(b.transpose())
            .mul_scalar(scale);
    }
    let (x, a, b) = (x.into_dispatch(), a.into_dispatch(), b.into_dispatch());
    Tensor::from_dispatch(Dispatch::low_rank(x, a, b, scale))
}

/// The product as an operation of a backend.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait LowRankOps: Backend {
    /// As the function of the same name.
    fn low_rank(
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;
}

impl LowRankOps for Flex {
    fn low_rank(x: FlexTensor, a: FlexTensor, b: FlexTensor, scale: f32) -> FlexTensor {
        State::new(x, a, b, scale).forward().0
    }
}

/// State for the backward pass.
#[derive(Clone, Debug)]
struct State {
    x: FlexTensor,
    a: FlexTensor,
    b: FlexTensor,
    scale: f32,
    /// `scale · x · Aᵀ`
    low: Arc<Vec<f32>>,
}

fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

fn values(tensor: &FlexTensor) -> &[f32] {
    match tensor.as_slice::<f32>() {
        Some(values) => values,
        None => unreachable!("operations take contiguous f32 tensors"),
    }
}

fn tensor(values: Vec<f32>, shape: [usize; 2]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, Shape::from(shape)))
}

fn shape(tensor: &FlexTensor) -> [usize; 2] {
    tensor.layout().shape().dims()
}

impl State {
    fn new(x: FlexTensor, a: FlexTensor, b: FlexTensor, scale: f32) -> Self {
        let [x, a, b] = [x, a, b].map(contiguous);
        Self {
            x,
            a,
            b,
            scale,
            low: Arc::default(),
        }
    }

    fn pair(&self) -> lora::Pair<'_> {
        let [rank, _] = shape(&self.a);
        lora::Pair {
            a: values(&self.a),
            b: values(&self.b),
            rank,
            scale: self.scale,
        }
    }

    fn forward(mut self) -> (FlexTensor, Self) {
        let ([tokens, _], [width, _]) = (shape(&self.x), shape(&self.b));
        let mut out = vec![0.0; tokens * width];
        let low = lora::PackedPair::new(self.pair()).add(values(&self.x), tokens, &mut out);
        self.low = Arc::new(low);
        (tensor(out, [tokens, width]), self)
    }
}

#[derive(Debug)]
struct LowRankBackward;

impl Backward<Flex, 3> for LowRankBackward {
    type State = State;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [of_x, of_a, of_b] = ops.parents;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let state = ops.state;
        let [tokens, inner] = shape(&state.x);
        let mut grad_x = of_x.is_some().then(|| vec![0.0; tokens * inner]);
        let pair = lora::backward(
            values(&state.x),
            tokens,
            &state.low,
            state.pair(),
            values(&grad),
            grad_x.as_deref_mut(),
        );
        if let (Some(parent), Some(grad_x)) = (of_x, grad_x) {
            grads.register::<Flex>(parent.id, tensor(grad_x, [tokens, inner]));
        }
        if let Some(parent) = of_a {
            grads.register::<Flex>(parent.id, tensor(pair.a, shape(&state.a)));
        }
        if let Some(parent) = of_b {
            grads.register::<Flex>(parent.id, tensor(pair.b, shape(&state.b)));
        }
    }
}

impl<C: CheckpointStrategy> LowRankOps for Autodiff<Flex, C> {
    fn low_rank(
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), a.node(), b.node()];
        let prepared = LowRankBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let [x, a, b] = [x, a, b].map(|tensor| tensor.into_primitive());
        let (out, state) = State::new(x, a, b, scale).forward();
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish(state, out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_kernel_and_the_plain_expression_agree() {
        let leaf = |shape: [usize; 2], phase: f32| {
            let values = (0..shape[0] * shape[1])
                .map(|i| (i as f32 * 0.7 + phase).sin())
                .collect();
            let data = TensorData::new::<f32, _>(values, shape);
            Tensor::<2>::from_data(data, &Device::flex())
                .autodiff()
                .require_grad()
        };
        let plain = |x: Tensor<2>, a: Tensor<2>, b: Tensor<2>| {
            x.matmul(a.transpose())
                .matmul(b.transpose())
                .mul_scalar(0.5)
        };
        let fast = |x: Tensor<2>, a: Tensor<2>, b: Tensor<2>| low_rank(x, a, b, 0.5);
        let run = |function: &dyn Fn(Tensor<2>, Tensor<2>, Tensor<2>) -> Tensor<2>| {
            let leaves = [leaf([5, 6], 0.0), leaf([2, 6], 1.0), leaf([4, 2], 2.0)];
            let [x, a, b] = leaves.clone();
            let out = function(x, a, b);
            let mut grads = out.clone().powi_scalar(2).sum().backward();
            let mut all = vec![out.inner()];
            all.extend(
                leaves
                    .iter()
                    .filter_map(|leaf| leaf.grad_remove(&mut grads)),
            );
            all.into_iter()
                .map(|t| t.into_data().try_into_vec::<f32>().unwrap())
                .collect::<Vec<_>>()
        };
        let (fast, plain) = (run(&fast), run(&plain));
        assert_eq!(fast.len(), 4);
        for (fast, plain) in fast.iter().flatten().zip(plain.iter().flatten()) {
            assert!((fast - plain).abs() < 1e-4, "{fast} {plain}");
        }
    }
}
