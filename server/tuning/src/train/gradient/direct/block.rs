//! A block of a direct step: the forward pass, and the backward pass from its saved values.

use super::{
    super::packed::ByName as Sums,
    parts::{Context, Direct, Layer, Saved},
    product::{Input, Linear, sum_new, together},
};
use fedseal_adapter::Target;

use crate::kernels::{
    attention::{self, Heads, Inputs, Layout},
    fused,
    gemm::pairs::{Rows, rounded, words_of},
    memory::{self, with_scratch},
    rope,
};

impl Direct<'_> {
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
        let dim = config.head_dim;
        rope::Angles {
            cos,
            sin,
            half,
            dim,
        }
    }

    /// Returns the block's output (in the last block only the counted rows) and the values that the
    /// backward pass needs.
    pub(super) fn forward(
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

        let normed = fused::normed(&x, &layer.attention_norm, eps);
        let sizes = [heads.query_width(), heads.kv_width(), heads.kv_width()].map(|n| n * tokens);
        let mut qkv = together(memory::words(&normed), [wq, wk, wv]);
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
        let mixed = rounded(mixed, heads.query_width());
        let input = Input::new(memory::words(&mixed), heads.query_width());
        low[Target::O as usize] = wo.onto(&input, rows, &mut middle);

        let middle_normed = fused::normed(&middle, &layer.ffn_norm, eps);
        let size = rows * config.ffn;
        let mut both = together(memory::words(&middle_normed), [wgate, wup]);
        let (gate, up) = both.split_at_mut(size);
        let input = Input::new(memory::words(&middle_normed), width);
        for (linear, out) in [(wgate, &mut *gate), (wup, &mut *up)] {
            low[linear.target as usize] = linear.add(&input, rows, out);
        }
        let [active, gates, ups] = fused::gated([gate, up], config.ffn, config.activation());
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

    /// Returns the gradient in the block's input, of all tokens; `None` where nothing below is
    /// trained.
    pub(super) fn backward(
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
            wdown.pair_back(&input, rows, &saved.low, &grad, of_x, sums);
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
                linear.pair_back(&input, rows, &saved.low, &grad, of_x, sums);
            }
        }
        if !below && !has(&[wq, wk, wv, wo]) {
            return None;
        }
        let mut of_mixed = Vec::new();
        // The next product reads the rounded sum.
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
            wo.pair_back(&input, rows, &saved.low, &grad, of_x, sums);
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
                linear.pair_back(&input, tokens, &saved.low, grad, of_x, sums);
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

fn pick_rows(x: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    let row = |&row: &usize| &x[row * width..(row + 1) * width];
    rows.iter().flat_map(row).copied().collect()
}

/// Inverse of [`pick_rows`]: zeros where no row was picked. A row may be picked twice.
fn spread_rows(x: &[f32], width: usize, rows: &[usize], tokens: usize) -> Vec<f32> {
    let mut all = vec![0.0; tokens * width];
    for (&row, x) in rows.iter().zip(x.chunks_exact(width)) {
        for (value, x) in all[row * width..(row + 1) * width].iter_mut().zip(x) {
            *value += x;
        }
    }
    all
}
