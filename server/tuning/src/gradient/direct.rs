//! A training step of the mode `fast` on the kernels alone: no tensors, no graph, the way back
//! written by hand.
//!
//! Products that read the same activations run together, activations are rounded to bf16 where
//! they are made, residuals are what a product's sums start from, and what the way back needs is
//! kept in bf16 where only products read it. Nothing below the lowest adapter is differentiated,
//! and after the last attention only rows that the loss counts are computed.

use std::ops::Range;

use super::{ByName as Sums, Packed};
use crate::{
    Adapter, Method, TuningError,
    adapter::{Target, peft_name},
    decoder::{Angles, Decoder},
    family::Norm,
    kernels::{
        attention::{self, Heads, Inputs, Layout},
        fused,
        gemm::{
            Matrix, Start,
            pairs::{
                PackedPairs, Rows, multiply_each, multiply_pairs, multiply_sum, widen_rows,
                words_of,
            },
        },
        lora::{self, PackedPair, Pair},
        loss, math,
        memory::{self, Shared, filled, with_scratch},
        norm, rope,
    },
    lora::to_host,
    ops::Panels,
};

/// A pair of an adapter, and its matrices packed.
struct LoraPair<'a> {
    plain: Pair<'a>,
    packed: PackedPair,
}

struct Linear<'a> {
    target: Target,
    panels: &'a Panels,
    bias: Option<Vec<f32>>,
    pair: Option<LoraPair<'a>>,
}

struct Layer<'a> {
    index: usize,
    attention_norm: Vec<f32>,
    ffn_norm: Vec<f32>,
    /// By [`Target`].
    linear: [Linear<'a>; 7],
}

/// A decoder with an adapter, ready for a step.
pub(super) struct Direct<'a> {
    decoder: &'a Decoder,
    embedding: &'a Panels,
    vocab: &'a Panels,
    layers: Vec<Layer<'a>>,
    norm: Vec<f32>,
    /// The first layer with a pair.
    lowest: usize,
}

/// What a block computed on the way forward.
struct Saved {
    /// `[tokens, d_model]`
    x: Vec<f32>,
    /// Words, `[tokens, d_model]`, where a pair reads them again.
    normed: Option<Vec<f32>>,
    /// Queries, keys and values one after the other, turned.
    qkv: Vec<f32>,
    attention: attention::Output,
    /// Words of the attention's output, where a pair reads them again.
    mixed: Option<Vec<f32>>,
    /// `[rows, d_model]`, as everything from here on.
    middle: Vec<f32>,
    middle_normed: Option<Vec<f32>>,
    /// Words of gate and up.
    gate: Vec<f32>,
    up: Vec<f32>,
    active: Option<Vec<f32>>,
    /// By [`Target`]: what [`PackedPair::add`] gave.
    low: [Vec<f32>; 7],
}

/// What is kept of a block for the way back.
#[allow(clippy::large_enum_variant)]
enum Kept {
    All(Saved),
    Input(Vec<f32>),
}

/// What all blocks share.
struct Context<'a> {
    eps: f32,
    usual: Angles,
    local: Option<Angles>,
    shared: usize,
    examples: &'a [Range<usize>],
    rows: &'a [usize],
}

/// Words that `fill` writes, all of them.
fn new_words(len: usize, fill: impl FnOnce(&mut [u32])) -> Vec<f32> {
    // SAFETY: nobody else knows the memory; every word is written, as the callers' kernels do.
    unsafe { filled(len, |out| fill(memory::words_mut(out.slice(0, len)))) }
}

impl<'a> Direct<'a> {
    /// `None` for what this way does not know: other numeric modes and devices, dropout, other
    /// adapters than LoRA, and architectures with more than two norms a block.
    pub(super) fn new(
        decoder: &'a Decoder,
        adapter: &'a Adapter,
    ) -> Result<Option<Self>, TuningError> {
        let config = &decoder.config;
        if adapter.config.method != Method::Lora || adapter.config.dropout > 0.0 {
            return Ok(None);
        }
        let fast = |panels: Option<&'a std::sync::Arc<Panels>>| {
            panels.filter(|panels| matches!(panels.forward(), Matrix::Pairs(_)))
        };
        let (Some(embedding), Some(vocab)) = (
            fast(decoder.embedding.panels()),
            fast(decoder.vocab().panels()),
        ) else {
            return Ok(None);
        };
        adapter.check_fits(config)?;
        let pair = |layer: usize, target: Target| {
            let a = adapter.tensors.get(&peft_name(layer, target, 'A'))?;
            let b = adapter.tensors.get(&peft_name(layer, target, 'B'))?;
            let plain = Pair {
                a: &a.data,
                b: &b.data,
                rank: a.shape[0],
                scale: adapter.config.scale(),
            };
            let packed = PackedPair::new(plain);
            Some(LoraPair { plain, packed })
        };
        let mut layers = Vec::with_capacity(decoder.layers.len());
        for (index, layer) in decoder.layers.iter().enumerate() {
            let others = [Norm::AttentionOut, Norm::FfnOut, Norm::Query, Norm::Key];
            if others.iter().any(|&n| layer.norms[n as usize].is_some()) {
                return Ok(None);
            }
            let (Some(attention_norm), Some(ffn_norm)) = (
                layer.norms[Norm::AttentionIn as usize].clone(),
                layer.norms[Norm::FfnIn as usize].clone(),
            ) else {
                return Ok(None);
            };
            let mut linear = Vec::with_capacity(7);
            for target in Target::ALL {
                let Some(panels) = fast(layer.weights[target as usize].panels()) else {
                    return Ok(None);
                };
                linear.push(Linear {
                    target,
                    panels,
                    bias: layer.biases[target as usize]
                        .clone()
                        .map(to_host)
                        .transpose()?,
                    pair: pair(index, target),
                });
            }
            let Ok(linear) = linear.try_into() else {
                return Ok(None);
            };
            layers.push(Layer {
                index,
                attention_norm: to_host(attention_norm)?,
                ffn_norm: to_host(ffn_norm)?,
                linear,
            });
        }
        let has_pair = |layer: &Layer<'_>| layer.linear.iter().any(|one| one.pair.is_some());
        Ok(Some(Self {
            decoder,
            embedding,
            vocab,
            lowest: layers.iter().position(has_pair).unwrap_or(layers.len()),
            layers,
            norm: to_host(decoder.norm.clone())?,
        }))
    }

    /// Adds the gradient of a part's summed loss, times `factor`, to `sums`; returns the summed
    /// loss, nats. With `recompute`, blocks keep their input alone and are computed once more on
    /// the way back: the same bits.
    pub(super) fn run(&self, part: &Packed, factor: f32, recompute: bool, sums: &mut Sums) -> f64 {
        let config = &self.decoder.config;
        let width = config.d_model;
        let (usual, local) = self.decoder.angles(&part.segments.positions());
        let context = Context {
            eps: config.norm_eps as f32,
            usual,
            local,
            shared: part.segments.shared(),
            examples: &part.segments.ranges().collect::<Vec<_>>(),
            rows: &part.rows,
        };
        let mut x = vec![0.0; part.ids.len() * width];
        for (&id, row) in part.ids.iter().zip(x.chunks_exact_mut(width)) {
            self.embedding.copy_row(id as usize, row);
        }
        if config.embedding_scale() != 1.0 {
            math::scale(&mut x, config.embedding_scale());
        }
        let mut saved = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let trained = layer.index >= self.lowest;
            let input = (trained && recompute).then(|| x.clone());
            let (next, all) = self.forward(layer, x, &context, trained && !recompute);
            saved.extend(all.map(Kept::All).or(input.map(Kept::Input)));
            x = next;
        }
        let hidden = norm::forward(&x, &self.norm, context.eps);
        let cap = config.logit_cap();
        let (forward, back) = (self.vocab.forward(), self.vocab.back());
        let (logs, mut of_hidden) = loss::with_gradient(&hidden, forward, back, cap, &part.targets);
        math::scale(&mut of_hidden, factor);
        let mut grad = vec![0.0; x.len()];
        fused::add_norm_gradient(&x, &self.norm, context.eps, &of_hidden, &mut grad, None);
        for layer in self.layers.iter().rev() {
            let saved = match saved.pop() {
                Some(Kept::All(saved)) => Some(saved),
                Some(Kept::Input(x)) => self.forward(layer, x, &context, true).1,
                None => None,
            };
            let Some(saved) = saved else {
                break;
            };
            match self.backward(layer, saved, grad, &context, sums) {
                Some(next) => grad = next,
                None => break,
            }
        }
        -logs.iter().map(|&log| f64::from(log)).sum::<f64>()
    }

    fn heads(&self, layer: usize) -> Heads {
        let config = &self.decoder.config;
        Heads::new(config.heads, config.kv_heads, config.head_dim)
            .with(config.attention_rule(layer))
    }

    fn angles<'c>(&self, layer: usize, context: &'c Context<'_>) -> rope::Angles<'c> {
        let config = &self.decoder.config;
        let (cos, sin) = match &context.local {
            Some(local) if config.slides(layer) => local,
            _ => &context.usual,
        };
        let half = config.head_dim / 2;
        rope::Angles { cos, sin, half }
    }

    /// The block's output, of the counted rows after the last block, and what the way back needs.
    fn forward(
        &self,
        layer: &Layer<'_>,
        x: Vec<f32>,
        context: &Context<'_>,
        keep: bool,
    ) -> (Vec<f32>, Option<Saved>) {
        let config = &self.decoder.config;
        let (width, eps) = (config.d_model, context.eps);
        let tokens = x.len() / width;
        let heads = self.heads(layer.index);
        let [wq, wk, wv, wo, wgate, wup, wdown] = &layer.linear;
        let mut low: [Vec<f32>; 7] = Default::default();

        let normed = new_words(tokens * words_of(width), |words| {
            fused::norm(&x, &layer.attention_norm, eps, words);
        });
        let sizes = [heads.query_width(), heads.kv_width(), heads.kv_width()].map(|n| n * tokens);
        let mut qkv = together(memory::words(&normed), [wq, wk, wv], sizes);
        let (q, rest) = qkv.split_at_mut(sizes[0]);
        let (k, v) = rest.split_at_mut(sizes[1]);
        let input = Input::new(memory::words(&normed), width);
        for (linear, out) in [(wq, &mut *q), (wk, &mut *k), (wv, &mut *v)] {
            low[linear.target as usize] = linear.add(&input, tokens, out);
        }
        let angles = self.angles(layer.index, context);
        rope::rotate_in_place(q, heads.query, angles, false);
        rope::rotate_in_place(k, heads.kv, angles, false);
        let inputs = Inputs { q, k, v, heads };
        let attention = attention::forward(inputs, layout(context));

        // After the last attention only the counted rows matter.
        let picked = (layer.index + 1 == self.layers.len() && context.rows.len() < tokens)
            .then(|| pick_rows(&attention.mixed, heads.query_width(), context.rows));
        let mixed = picked.as_deref().unwrap_or(&attention.mixed);
        let mut middle = match picked {
            Some(_) => pick_rows(&x, width, context.rows),
            None => x.clone(),
        };
        let rows = middle.len() / width;
        let mixed = new_words(rows * words_of(heads.query_width()), |words| {
            crate::kernels::gemm::pairs::round_all(mixed, heads.query_width(), words);
        });
        let input = Input::new(memory::words(&mixed), heads.query_width());
        low[Target::O as usize] = wo.onto(&input, rows, &mut middle);

        let middle_normed = new_words(rows * words_of(width), |words| {
            fused::norm(&middle, &layer.ffn_norm, eps, words);
        });
        let size = rows * config.ffn;
        let mut both = together(memory::words(&middle_normed), [wgate, wup], [size; 2]);
        let (gate, up) = both.split_at_mut(size);
        let input = Input::new(memory::words(&middle_normed), width);
        for (linear, out) in [(wgate, &mut *gate), (wup, &mut *up)] {
            low[linear.target as usize] = linear.add(&input, rows, out);
        }
        let len = rows * words_of(config.ffn);
        let (mut gates, mut ups) = (Vec::new(), Vec::new());
        let active = new_words(len, |active| {
            gates = new_words(len, |gates| {
                ups = new_words(len, |ups| {
                    let saved = [gates, ups];
                    fused::gate([gate, up], config.ffn, config.activation(), active, saved);
                });
            });
        });
        drop(both);
        let mut next = middle.clone();
        let input = Input::new(memory::words(&active), config.ffn);
        low[Target::Down as usize] = wdown.onto(&input, rows, &mut next);
        let has = |linear: &[&Linear<'_>]| linear.iter().any(|one| one.pair.is_some());
        let saved = keep.then(|| Saved {
            x,
            normed: has(&[wq, wk, wv]).then_some(normed),
            qkv,
            attention,
            mixed: has(&[wo]).then_some(mixed),
            middle,
            middle_normed: has(&[wgate, wup]).then_some(middle_normed),
            gate: gates,
            up: ups,
            active: has(&[wdown]).then_some(active),
            low,
        });
        (next, saved)
    }

    /// Gradient in the block's input, of all tokens; `None` below which nothing is trained.
    fn backward(
        &self,
        layer: &Layer<'_>,
        saved: Saved,
        mut grad: Vec<f32>,
        context: &Context<'_>,
        sums: &mut Sums,
    ) -> Option<Vec<f32>> {
        let config = &self.decoder.config;
        let (width, ffn, eps) = (config.d_model, config.ffn, context.eps);
        let [wq, wk, wv, wo, wgate, wup, wdown] = &layer.linear;
        let has = |linear: &[&Linear<'_>]| linear.iter().any(|one| one.pair.is_some());
        let below = layer.index > self.lowest;
        let rows = grad.len() / width;
        let tokens = saved.x.len() / width;

        // The feed-forward part.
        let mut of_active = Rows::with(&grad, width, |grad| wdown.back_new(grad));
        if let Some(active) = &saved.active {
            let input = Input::new(memory::words(active), ffn);
            let of_x = Some(&mut of_active[..]);
            wdown.pair_back(layer.index, &input, rows, &saved.low, &grad, of_x, sums);
        }
        let Saved {
            gate: mut of_gate,
            up: mut of_up,
            ..
        } = saved;
        let inputs = [&mut of_gate, &mut of_up].map(|words| memory::words_mut(words));
        fused::gate_back(inputs, ffn, config.activation(), &of_active);
        drop(of_active);
        let (gates, ups) = (
            Rows::new(memory::words(&of_gate), ffn),
            Rows::new(memory::words(&of_up), ffn),
        );
        let mut of_normed = sum_new(&[(gates, wgate), (ups, wup)]);
        if let Some(normed) = &saved.middle_normed {
            let input = Input::new(memory::words(normed), width);
            for (linear, words) in [(wgate, &of_gate), (wup, &of_up)] {
                let grad = Input::new(memory::words(words), ffn).widened();
                let of_x = Some(&mut of_normed[..]);
                linear.pair_back(layer.index, &input, rows, &saved.low, &grad, of_x, sums);
            }
        }
        if !below && !has(&[wq, wk, wv, wo]) {
            return None;
        }
        let mut of_mixed = Vec::new();
        // The rounded sum is what the next product reads.
        with_scratch(rows * words_of(width), |scratch| {
            let words = memory::words_mut(scratch);
            let (x, weight) = (&saved.middle, &layer.ffn_norm);
            fused::add_norm_gradient(x, weight, eps, &of_normed, &mut grad, Some(words));
            of_mixed = wo.back_new(Rows::new(words, width));
        });
        drop(of_normed);
        let heads = self.heads(layer.index);
        if let Some(mixed) = &saved.mixed {
            let input = Input::new(memory::words(mixed), heads.query_width());
            let of_x = Some(&mut of_mixed[..]);
            wo.pair_back(layer.index, &input, rows, &saved.low, &grad, of_x, sums);
        }
        if !below && !has(&[wq, wk, wv]) {
            return None;
        }
        if rows < tokens {
            of_mixed = spread_rows(&of_mixed, heads.query_width(), context.rows, tokens);
            grad = spread_rows(&grad, width, context.rows, tokens);
        }

        // Attention.
        let sizes = [heads.query_width(), heads.kv_width()].map(|width| width * tokens);
        let (q, rest) = saved.qkv.split_at(sizes[0]);
        let (k, v) = rest.split_at(sizes[1]);
        let inputs = Inputs { q, k, v, heads };
        let output = saved.attention.saved();
        let mut grads = attention::backward(inputs, layout(context), output, &of_mixed);
        drop(of_mixed);
        let angles = self.angles(layer.index, context);
        rope::rotate_in_place(&mut grads.q, heads.query, angles, true);
        rope::rotate_in_place(&mut grads.k, heads.kv, angles, true);
        let each = [(wq, &grads.q), (wk, &grads.k), (wv, &grads.v)];
        let mut of_normed = below.then(|| {
            Rows::with(&grads.q, heads.query_width(), |q| {
                Rows::with(&grads.k, heads.kv_width(), |k| {
                    Rows::with(&grads.v, heads.kv_width(), |v| {
                        sum_new(&[(q, wq), (k, wk), (v, wv)])
                    })
                })
            })
        });
        if let Some(normed) = &saved.normed {
            let input = Input::new(memory::words(normed), width);
            for (linear, grad) in each {
                let of_x = of_normed.as_deref_mut();
                linear.pair_back(layer.index, &input, tokens, &saved.low, grad, of_x, sums);
            }
        }
        let of_normed = of_normed?;
        let (x, weight) = (&saved.x, &layer.attention_norm);
        fused::add_norm_gradient(x, weight, eps, &of_normed, &mut grad, None);
        Some(grad)
    }
}

fn layout<'a>(context: &Context<'a>) -> Layout<'a> {
    Layout {
        shared: context.shared,
        examples: context.examples,
    }
}

/// Activations as words, widened to f32 when the first pair asks.
struct Input<'a> {
    words: &'a [u32],
    inner: usize,
    wide: std::cell::OnceCell<Vec<f32>>,
}

impl<'a> Input<'a> {
    fn new(words: &'a [u32], inner: usize) -> Self {
        let wide = std::cell::OnceCell::new();
        Self { words, inner, wide }
    }

    fn values(&self) -> &[f32] {
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

    fn widened(self) -> Vec<f32> {
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
fn together<const N: usize>(x: &[u32], linear: [&Linear<'_>; N], sizes: [usize; N]) -> Vec<f32> {
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
fn sum_new(terms: &[(Rows<'_>, &Linear<'_>)]) -> Vec<f32> {
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
    fn add(&self, input: &Input<'_>, rows: usize, out: &mut [f32]) -> Vec<f32> {
        if let Some(bias) = &self.bias {
            norm::add_to_rows(out, bias);
        }
        match &self.pair {
            Some(pair) => pair.packed.add(input.values(), rows, out),
            None => Vec::new(),
        }
    }

    /// Adds the whole of it to what `out` holds.
    fn onto(&self, input: &Input<'_>, rows: usize, out: &mut [f32]) -> Vec<f32> {
        let weight = pairs(self.panels.forward());
        let x = Rows::new(input.words, input.inner);
        let c = Shared::new(out);
        // SAFETY: `out` is borrowed uniquely and initialised.
        unsafe { multiply_pairs(x, weight, c, weight.out(), Start::Output) };
        self.add(input, rows, out)
    }

    /// `grad · W`, a new matrix.
    fn back_new(&self, grad: Rows<'_>) -> Vec<f32> {
        sum_new(&[(grad, self)])
    }

    /// The way back through the pair: its gradients to `sums`, that of its input onto `of_x`.
    #[allow(clippy::too_many_arguments)]
    fn pair_back(
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

fn pick_rows(x: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    let row = |&row: &usize| &x[row * width..(row + 1) * width];
    rows.iter().flat_map(row).copied().collect()
}

/// The opposite of [`pick_rows`]: zeros where no row was picked. A row may be picked twice.
fn spread_rows(x: &[f32], width: usize, rows: &[usize], tokens: usize) -> Vec<f32> {
    let mut all = vec![0.0; tokens * width];
    for (&row, x) in rows.iter().zip(x.chunks_exact(width)) {
        for (value, x) in all[row * width..(row + 1) * width].iter_mut().zip(x) {
            *value += x;
        }
    }
    all
}

#[cfg(test)]
mod tests;
