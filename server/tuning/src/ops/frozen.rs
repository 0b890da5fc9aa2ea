//! Products with matrices that are never trained.

use std::sync::{Arc, OnceLock};

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
    tensor::{Device, Tensor, TensorData},
};

use super::{
    cpu,
    dense::{Dense, Half},
};
use crate::{
    TuningError,
    kernels::{
        Numerics,
        gemm::{Matrix, compact::Compact},
        lora,
    },
};

/// A matrix, `[out, inner]`.
pub(crate) enum Stored {
    /// Row-major.
    Dense(Vec<f32>),
    /// In few bits.
    Compact(Compact),
}

/// A matrix of the frozen base, `[out, inner]` row-major as in a checkpoint.
///
/// On the CPU it is packed for the kernels, in the storage of its numeric mode: once for the
/// forward pass and, from the first gradient on, once more for the backward pass. Cloning is cheap,
/// because the values are shared.
#[derive(Clone, Debug)]
pub struct FrozenWeight {
    out: usize,
    inner: usize,
    store: Store,
}

// One value a matrix, so the size of the larger variant costs nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
enum Store {
    Packed(Arc<Panels>),
    Dense(Dense),
}

/// The packings of a frozen matrix.
#[derive(Debug)]
pub(crate) struct Panels {
    /// Storage of the values.
    stored: Matrix,
    numerics: Numerics,
    /// 16-bit packing of values that are stored in few bits and multiplied in fast mode.
    wide: OnceLock<Matrix>,
    back: OnceLock<Matrix>,
}

impl Panels {
    fn new(stored: Matrix, numerics: Numerics) -> Self {
        Self {
            stored,
            numerics,
            wide: OnceLock::new(),
            back: OnceLock::new(),
        }
    }

    /// Returns the stored values, which generation multiplies with.
    pub(crate) fn stored(&self) -> &Matrix {
        &self.stored
    }

    /// Returns the packing for `x · Wᵀ` of many rows.
    pub(crate) fn forward(&self) -> &Matrix {
        match (&self.stored, self.numerics) {
            (Matrix::Compact(compact), Numerics::Fast) => {
                // As in `back`.
                if let Some(wide) = self.wide.get() {
                    return wide;
                }
                let (out, inner) = (compact.out(), compact.inner());
                let wide = Matrix::new(&compact.values(), out, inner, Numerics::Fast);
                self.wide.get_or_init(|| wide)
            }
            _ => &self.stored,
        }
    }

    /// Returns the packing for `grad · W`.
    pub(crate) fn back(&self) -> &Matrix {
        if let Some(back) = self.back.get() {
            return back;
        }
        // Not inside `get_or_init`: packing waits for other threads. A waiting rayon thread may
        // start another training on this matrix, which would then wait for itself. Two trainings
        // that start together pack twice, and one result is kept.
        let back = self.forward().transposed();
        self.back.get_or_init(|| back)
    }

    /// Copies a row of the matrix.
    pub(crate) fn copy_row(&self, row: usize, target: &mut [f32]) {
        match (self.back.get(), &self.stored) {
            // Values of a row are nearly adjacent in the transpose.
            (Some(back), Matrix::F32(_) | Matrix::Pairs(_)) => back.copy_column(row, target),
            _ => self.stored.copy_row(row, target),
        }
    }
}

impl FrozenWeight {
    /// Takes the values of a matrix `[out, inner]`, row-major.
    ///
    /// # Panics
    /// When `data` does not hold `out * inner` values; loaders check shapes before.
    pub fn new(data: Vec<f32>, out: usize, inner: usize, device: &Device) -> Self {
        Self::with_numerics(data, out, inner, device, Numerics::Exact)
    }

    /// As [`new`](Self::new), stored and multiplied according to a numeric mode. On devices other
    /// than the CPU `fast` is bf16 where the device has it, and f32 elsewhere.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn with_numerics(
        data: Vec<f32>,
        out: usize,
        inner: usize,
        device: &Device,
        numerics: Numerics,
    ) -> Self {
        assert_eq!(
            data.len(),
            out * inner,
            "a frozen weight needs out * inner values"
        );
        let store = if cpu::is_cpu(device) {
            let stored = Matrix::new(&data, out, inner, numerics);
            Store::Packed(Arc::new(Panels::new(stored, numerics)))
        } else {
            let half = Half::of(device);
            Store::Dense(Dense::new(data, [out, inner], device, numerics, half))
        };
        Self { out, inner, store }
    }

    /// Takes a matrix as its source stores it.
    pub(crate) fn of_stored(
        stored: Stored,
        [out, inner]: [usize; 2],
        device: &Device,
        numerics: Numerics,
    ) -> Self {
        match stored {
            Stored::Compact(compact) if cpu::is_cpu(device) => Self {
                out,
                inner,
                store: Store::Packed(Arc::new(Panels::new(Matrix::Compact(compact), numerics))),
            },
            Stored::Compact(compact) => {
                Self::with_numerics(compact.values(), out, inner, device, numerics)
            }
            Stored::Dense(values) => Self::with_numerics(values, out, inner, device, numerics),
        }
    }

    /// Numeric mode of storage and products.
    pub fn numerics(&self) -> Numerics {
        match &self.store {
            Store::Packed(panels) => panels.numerics,
            Store::Dense(dense) => dense.numerics(),
        }
    }

    /// Number of output features.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Number of input features.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Returns all values, `[out, inner]` row-major.
    pub(crate) fn values(&self) -> Result<Vec<f32>, TuningError> {
        match &self.store {
            Store::Packed(panels) => {
                if let Matrix::Compact(compact) = &panels.stored {
                    return Ok(compact.values());
                }
                let mut data = vec![0.0; self.out * self.inner];
                for (row, target) in data.chunks_exact_mut(self.inner).enumerate() {
                    panels.copy_row(row, target);
                }
                Ok(data)
            }
            Store::Dense(dense) => dense.values(),
        }
    }

    /// Returns the packed matrix when it is on the CPU.
    pub(crate) fn panels(&self) -> Option<&Arc<Panels>> {
        match &self.store {
            Store::Packed(panels) => Some(panels),
            Store::Dense(_) => None,
        }
    }

    /// Computes `x · Wᵀ`: `[tokens, inner]` to `[tokens, out]`; differentiable in `x` only.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.store {
            Store::Packed(panels) => {
                let out = Dispatch::frozen_linear(x.into_dispatch(), panels.clone());
                Tensor::from_dispatch(out)
            }
            Store::Dense(dense) => dense.forward(x),
        }
    }

    /// Returns the rows with these indices, `[rows.len(), inner]`: an embedding lookup.
    ///
    /// # Panics
    /// When an index is not below [`out`](Self::out).
    pub fn rows(&self, rows: &[u32]) -> Tensor<2> {
        let count = rows.len();
        match &self.store {
            Store::Packed(panels) => {
                let mut data = vec![0.0; count * self.inner];
                for (row, target) in rows.iter().zip(data.chunks_exact_mut(self.inner)) {
                    panels.copy_row(*row as usize, target);
                }
                Tensor::from_data(TensorData::new(data, [count, self.inner]), &Device::flex())
            }
            Store::Dense(dense) => dense.rows(rows),
        }
    }

    /// Keeps the matrix as a plain tensor: the oracle of the tests.
    #[cfg(test)]
    pub(super) fn plain(data: Vec<f32>, out: usize, inner: usize) -> Self {
        let (device, numerics) = (Device::flex(), Numerics::Exact);
        let dense = Dense::new(data, [out, inner], &device, numerics, Half::None);
        let store = Store::Dense(dense);
        Self { out, inner, store }
    }
}

/// Computes `x · Wᵀ + scale · (x · Aᵀ) · Bᵀ`: a frozen matrix with a LoRA pair.
///
/// `x` is `[tokens, inner]`, `a` is `[rank, inner]`, `b` is `[out, rank]`; the result is
/// `[tokens, out]`. Differentiable in `x`, `a` and `b`.
pub fn lora_linear(
    x: Tensor<2>,
    weight: &FrozenWeight,
    a: Tensor<2>,
    b: Tensor<2>,
    scale: f32,
) -> Tensor<2> {
    match &weight.store {
        Store::Packed(panels) => Tensor::from_dispatch(Dispatch::lora_linear(
            x.into_dispatch(),
            a.into_dispatch(),
            b.into_dispatch(),
            panels.clone(),
            scale,
        )),
        Store::Dense(_) => {
            let low = x.clone().matmul(a.transpose()).matmul(b.transpose());
            weight.forward(x) + low.mul_scalar(scale)
        }
    }
}

/// The products as operations of a backend.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait FrozenOps: Backend {
    /// Computes `x · Wᵀ`.
    fn frozen_linear(x: FloatTensor<Self>, weight: Arc<Panels>) -> FloatTensor<Self>;

    /// Computes `x · Wᵀ + scale · (x · Aᵀ) · Bᵀ`.
    fn lora_linear(
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        weight: Arc<Panels>,
        scale: f32,
    ) -> FloatTensor<Self>;
}

impl FrozenOps for Flex {
    fn frozen_linear(x: FlexTensor, weight: Arc<Panels>) -> FlexTensor {
        let x = cpu::contiguous(x);
        let [tokens, _] = cpu::shape(&x);
        let out = weight.forward().product(cpu::values(&x), tokens);
        cpu::tensor(out, [tokens, weight.forward().out()])
    }

    fn lora_linear(
        x: FlexTensor,
        a: FlexTensor,
        b: FlexTensor,
        weight: Arc<Panels>,
        scale: f32,
    ) -> FlexTensor {
        let state = LoraState::new(x, a, b, weight, scale);
        state.forward().0
    }
}

/// State for the backward pass through a LoRA product.
#[derive(Clone, Debug)]
struct LoraState {
    x: FlexTensor,
    a: FlexTensor,
    b: FlexTensor,
    weight: Arc<Panels>,
    scale: f32,
    /// `scale · x · Aᵀ`
    low: Arc<Vec<f32>>,
}

impl LoraState {
    fn new(x: FlexTensor, a: FlexTensor, b: FlexTensor, weight: Arc<Panels>, scale: f32) -> Self {
        Self {
            x: cpu::contiguous(x),
            a: cpu::contiguous(a),
            b: cpu::contiguous(b),
            weight,
            scale,
            low: Arc::default(),
        }
    }

    fn pair(&self) -> lora::Pair<'_> {
        let [rank, _] = cpu::shape(&self.a);
        lora::Pair {
            a: cpu::values(&self.a),
            b: cpu::values(&self.b),
            rank,
            scale: self.scale,
        }
    }

    fn forward(mut self) -> (FlexTensor, Self) {
        let [tokens, _] = cpu::shape(&self.x);
        let x = cpu::values(&self.x);
        let mut out = self.weight.forward().product(x, tokens);
        let low = lora::PackedPair::new(self.pair()).add(x, tokens, &mut out);
        let out = cpu::tensor(out, [tokens, self.weight.forward().out()]);
        self.low = Arc::new(low);
        (out, self)
    }
}

#[derive(Debug)]
struct LinearBackward;

impl Backward<Flex, 1> for LinearBackward {
    type State = Arc<Panels>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [parent] = ops.parents;
        let grad = cpu::contiguous(grads.consume::<Flex>(&ops.node));
        if let Some(parent) = parent {
            let [tokens, _] = cpu::shape(&grad);
            let back = ops.state.back();
            let out = back.product(cpu::values(&grad), tokens);
            grads.register::<Flex>(parent.id, cpu::tensor(out, [tokens, back.out()]));
        }
    }
}

#[derive(Debug)]
struct LoraBackward;

impl Backward<Flex, 3> for LoraBackward {
    type State = LoraState;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [of_x, of_a, of_b] = ops.parents;
        let grad = cpu::contiguous(grads.consume::<Flex>(&ops.node));
        let state = ops.state;
        let [tokens, inner] = cpu::shape(&state.x);
        let values = cpu::values(&grad);
        let mut grad_x = of_x
            .is_some()
            .then(|| state.weight.back().product(values, tokens));
        let x = cpu::values(&state.x);
        let pair = lora::backward(
            x,
            tokens,
            &state.low,
            state.pair(),
            values,
            grad_x.as_deref_mut(),
        );
        if let (Some(parent), Some(grad_x)) = (of_x, grad_x) {
            grads.register::<Flex>(parent.id, cpu::tensor(grad_x, [tokens, inner]));
        }
        if let Some(parent) = of_a {
            grads.register::<Flex>(parent.id, cpu::tensor(pair.a, cpu::shape::<2>(&state.a)));
        }
        if let Some(parent) = of_b {
            grads.register::<Flex>(parent.id, cpu::tensor(pair.b, cpu::shape::<2>(&state.b)));
        }
    }
}

impl<C: CheckpointStrategy> FrozenOps for Autodiff<Flex, C> {
    fn frozen_linear(x: FloatTensor<Self>, weight: Arc<Panels>) -> FloatTensor<Self> {
        let prepared = LinearBackward
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful();
        let out = Flex::frozen_linear(x.into_primitive(), weight.clone());
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish(weight, out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn lora_linear(
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        weight: Arc<Panels>,
        scale: f32,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), a.node(), b.node()];
        let prepared = LoraBackward.prepare::<C>(nodes).compute_bound().stateful();
        let (x, a, b) = (x.into_primitive(), a.into_primitive(), b.into_primitive());
        let (out, state) = LoraState::new(x, a, b, weight, scale).forward();
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish(state, out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
