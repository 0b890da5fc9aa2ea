//! Causal attention over packed examples.

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
    tensor::{Bool, Tensor, activation::softmax},
};

use super::cpu;
use crate::kernels::attention as kernel;
pub use kernel::Rule;

/// Where each of several packed examples starts, and how long it is.
///
/// Examples may begin with the same tokens: these come first, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    /// `starts[i]..starts[i + 1]` are the tokens of example `i` after the shared ones, which are
    /// the tokens before `starts[0]`.
    starts: Vec<usize>,
}

impl Segments {
    /// Returns segments of these lengths, one after the other.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        Self::sharing(0, lengths)
    }

    /// Returns examples that begin with the same `shared` tokens and add these numbers of own
    /// tokens.
    pub fn sharing(shared: usize, lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut starts = vec![shared];
        let mut end = shared;
        for length in lengths {
            end += length;
            starts.push(end);
        }
        Self { starts }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is no example at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of tokens that all examples begin with.
    pub fn shared(&self) -> usize {
        self.starts[0]
    }

    /// Number of tokens, the shared ones counted once.
    pub fn tokens(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Returns the ranges of the examples' own tokens.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.starts.windows(2).map(|pair| pair[0]..pair[1])
    }

    fn layout<'a>(&self, examples: &'a [std::ops::Range<usize>]) -> kernel::Layout<'a> {
        kernel::Layout {
            shared: self.shared(),
            examples,
        }
    }

    /// Returns the position of every token within its example.
    pub fn positions(&self) -> Vec<u32> {
        let shared = self.shared() as u32;
        let own = self.ranges().flat_map(|range| 0..range.len() as u32);
        (0..shared).chain(own.map(|i| shared + i)).collect()
    }
}

/// Computes causal attention with grouped heads; a token attends to the tokens of its own example
/// up to and including itself.
///
/// `q` is `[tokens, heads, head_dim]`, `k` and `v` are `[tokens, kv_heads, head_dim]` with
/// `heads` a multiple of `kv_heads`; the result is `[tokens, heads, head_dim]`. The rule says how
/// products become weights.
///
/// # Panics
/// When the segments do not cover the tokens.
pub fn attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    segments: &Segments,
    rule: Rule,
) -> Tensor<3> {
    let [tokens, _, _] = q.dims();
    assert_eq!(tokens, segments.tokens(), "segments must cover the tokens");
    if !cpu::is_cpu(&q.device()) {
        return plain(q, k, v, segments, rule);
    }
    let (q, k, v) = (q.into_dispatch(), k.into_dispatch(), v.into_dispatch());
    Tensor::from_dispatch(Dispatch::causal_attention(
        q,
        k,
        v,
        Arc::new(segments.clone()),
        rule,
    ))
}

/// Plain expression in burn tensors.
pub(super) fn plain(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    segments: &Segments,
    rule: Rule,
) -> Tensor<3> {
    let [_, heads, head_dim] = q.dims();
    let kv_heads = k.dims()[1];
    let group = heads / kv_heads;
    let shared = 0..segments.shared();
    let mut outputs = Vec::with_capacity(segments.len() + 1);
    // The shared beginning separately; then the examples, which also attend to it.
    let examples = segments.ranges().map(|range| (shared.len(), range));
    for (before, range) in std::iter::once((0, shared.clone())).chain(examples) {
        let length = range.len();
        if length == 0 {
            continue;
        }
        let keys = before + length;
        let seen = |x: &Tensor<3>| {
            let part = |range| x.clone().slice([range, 0..kv_heads, 0..head_dim]);
            match before {
                0 => part(range.clone()),
                _ => Tensor::cat(vec![part(shared.clone()), part(range.clone())], 0),
            }
        };
        let (k, v) = (seen(&k), seen(&v));
        let q = q.clone().slice([range.clone(), 0..heads, 0..head_dim]);
        // [kv_heads, group, length, head_dim] against [kv_heads, 1, keys, head_dim]
        let q = q
            .reshape([length, kv_heads, group, head_dim])
            .permute([1, 2, 0, 3]);
        let k = k.swap_dims(0, 1).unsqueeze_dim::<4>(1);
        let v = v.swap_dims(0, 1).unsqueeze_dim::<4>(1);
        let mut scores = q.matmul(k.swap_dims(2, 3)).mul_scalar(rule.scale);
        if let Some(cap) = rule.cap {
            scores = scores.div_scalar(cap).tanh().mul_scalar(cap);
        }
        let shape = [length, keys];
        let wide = |mask: Tensor<2, Bool>| {
            mask.unsqueeze::<4>()
                .expand([kv_heads, group, length, keys])
        };
        let later = Tensor::<2, Bool>::tril_mask(shape, before as i64, &scores.device());
        scores = scores.mask_fill(wide(later), f32::NEG_INFINITY);
        if let Some(window) = rule.window.filter(|window| *window < keys) {
            // True outside the upper triangle: the keys before the window.
            let first = before as i64 + 1 - window as i64;
            let before = Tensor::<2, Bool>::triu_mask(shape, first, &scores.device());
            scores = scores.mask_fill(wide(before), f32::NEG_INFINITY);
        }
        let weights = softmax(scores, 3);
        let mixed = weights.matmul(v).permute([2, 0, 1, 3]);
        outputs.push(mixed.reshape([length, heads, head_dim]));
    }
    Tensor::cat(outputs, 0)
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait AttentionOps: Backend {
    /// As [`attention`].
    fn causal_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        segments: Arc<Segments>,
        rule: Rule,
    ) -> FloatTensor<Self>;
}

/// Inputs of an attention, and its output with the numbers that the backward pass needs.
#[derive(Clone, Debug)]
struct State {
    q: FlexTensor,
    k: FlexTensor,
    v: FlexTensor,
    segments: Arc<Segments>,
    rule: Rule,
}

impl State {
    fn new(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        segments: Arc<Segments>,
        rule: Rule,
    ) -> Self {
        Self {
            q: cpu::contiguous(q),
            k: cpu::contiguous(k),
            v: cpu::contiguous(v),
            segments,
            rule,
        }
    }

    fn inputs(&self) -> kernel::Inputs<'_> {
        let [_, query, dim] = cpu::shape(&self.q);
        let [_, kv, _] = cpu::shape(&self.k);
        kernel::Inputs {
            q: cpu::values(&self.q),
            k: cpu::values(&self.k),
            v: cpu::values(&self.v),
            heads: kernel::Heads::new(query, kv, dim).with(self.rule),
        }
    }

    /// Returns the output, and the logarithm of every row's sum.
    fn forward(&self) -> (FlexTensor, Vec<f32>) {
        let examples: Vec<_> = self.segments.ranges().collect();
        let layout = self.segments.layout(&examples);
        let output = kernel::forward(self.inputs(), layout);
        (
            cpu::tensor(output.mixed, cpu::shape::<3>(&self.q)),
            output.log_sum,
        )
    }
}

impl AttentionOps for Flex {
    fn causal_attention(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        segments: Arc<Segments>,
        rule: Rule,
    ) -> FlexTensor {
        State::new(q, k, v, segments, rule).forward().0
    }
}

#[derive(Debug)]
struct AttentionBackward;

impl Backward<Flex, 3> for AttentionBackward {
    /// Inputs, output, logarithms of the sums.
    type State = (State, FlexTensor, Arc<Vec<f32>>);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = cpu::contiguous(grads.consume::<Flex>(&ops.node));
        let (state, mixed, log_sum) = ops.state;
        let examples: Vec<_> = state.segments.ranges().collect();
        let saved = kernel::Saved {
            mixed: cpu::values(&mixed),
            log_sum: &log_sum,
        };
        let layout = state.segments.layout(&examples);
        let gradients = kernel::backward(state.inputs(), layout, saved, cpu::values(&grad));
        let parts = [
            (gradients.q, &state.q),
            (gradients.k, &state.k),
            (gradients.v, &state.v),
        ];
        for (parent, (values, like)) in ops.parents.into_iter().zip(parts) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, cpu::tensor(values, cpu::shape::<3>(like)));
            }
        }
    }
}

impl<C: CheckpointStrategy> AttentionOps for Autodiff<Flex, C> {
    fn causal_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        segments: Arc<Segments>,
        rule: Rule,
    ) -> FloatTensor<Self> {
        let nodes = [q.node(), k.node(), v.node()];
        let prepared = AttentionBackward
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful();
        let (q, k, v) = (q.into_primitive(), k.into_primitive(), v.into_primitive());
        let state = State::new(q, k, v, segments, rule);
        let (out, log_sum) = state.forward();
        match prepared {
            OpsKind::Tracked(prepared) => {
                prepared.finish((state, out.clone(), Arc::new(log_sum)), out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}
