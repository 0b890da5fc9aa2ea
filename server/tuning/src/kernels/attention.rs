//! Causal attention within one example, forward and backward, by blocks of queries.
//!
//! The forward pass keeps one number a row (the logarithm of its sum of exponentials); the
//! backward pass computes the weights again. An example and a key-value head are one unit of
//! work on one thread, so sums have a fixed order.

mod cache;

use std::ops::Range;

pub use cache::{Feed, KeyValues, forward_cached};

use super::{
    LANES,
    gemm::{Left, NR, Right, Start, fill_panel, multiply_into, multiply_serial},
    math::{self, Lanes, dot, larger, max_lanes, sum_lanes},
    memory::{self, Shared, with_scratch},
    parallel,
};

/// Queries of one block.
const BLOCK: usize = 56;

/// How products of queries and keys become weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Factor of every product.
    pub scale: f32,
    /// Scores become `cap · tanh(score / cap)`.
    pub cap: Option<f32>,
    /// Tokens that a token sees, itself included; all before it when `None`.
    pub window: Option<usize>,
}

impl Rule {
    /// Products divided by the root of the heads' size, nothing else.
    pub fn of_dim(dim: usize) -> Self {
        Self {
            scale: 1.0 / (dim as f32).sqrt(),
            cap: None,
            window: None,
        }
    }

    /// The first key that the token at `position` sees.
    pub fn first_key(self, position: usize) -> usize {
        self.window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// The first key that a block from `position` on computes with: that of its first token,
    /// rounded down to a whole panel.
    fn first_panel(self, position: usize) -> usize {
        self.first_key(position) / NR * NR
    }
}

/// Sizes of the heads, and their rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Query heads, a multiple of `kv`.
    pub query: usize,
    /// Key-value heads.
    pub kv: usize,
    /// Size of a head.
    pub dim: usize,
    /// From products to weights.
    pub rule: Rule,
}

impl Heads {
    /// Heads of these sizes with the usual rule.
    pub fn new(query: usize, kv: usize, dim: usize) -> Self {
        Self {
            query,
            kv,
            dim,
            rule: Rule::of_dim(dim),
        }
    }

    /// The same heads under another rule.
    pub fn with(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// Query heads of one key-value head.
    pub fn group(self) -> usize {
        self.query / self.kv
    }

    /// Queries of one token.
    pub fn query_width(self) -> usize {
        self.query * self.dim
    }

    /// Keys of one token.
    pub fn kv_width(self) -> usize {
        self.kv * self.dim
    }
}

/// The inputs, row-major by token.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// `[tokens, query heads, dim]`
    pub q: &'a [f32],
    /// `[tokens, kv heads, dim]`
    pub k: &'a [f32],
    /// `[tokens, kv heads, dim]`
    pub v: &'a [f32],
    /// Sizes.
    pub heads: Heads,
}

/// What the forward pass gives.
#[derive(Debug)]
pub struct Output {
    /// `[tokens, query heads, dim]`
    pub mixed: Vec<f32>,
    /// Logarithm of the sum of exponentials, `[tokens, query heads]`.
    pub log_sum: Vec<f32>,
}

impl Output {
    /// Borrowed, for the way back.
    pub fn saved(&self) -> Saved<'_> {
        Saved {
            mixed: &self.mixed,
            log_sum: &self.log_sum,
        }
    }
}

/// An [`Output`], borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// `[tokens, query heads, dim]`
    pub mixed: &'a [f32],
    /// `[tokens, query heads]`
    pub log_sum: &'a [f32],
}

/// Gradients of the inputs.
#[derive(Debug)]
pub struct Gradients {
    /// As `q`.
    pub q: Vec<f32>,
    /// As `k`.
    pub k: Vec<f32>,
    /// As `v`.
    pub v: Vec<f32>,
}

fn check(inputs: Inputs<'_>, examples: &[Range<usize>]) -> usize {
    let heads = inputs.heads;
    let tokens = inputs.q.len() / heads.query_width();
    assert!(
        heads.query.is_multiple_of(heads.kv)
            && inputs.q.len() == tokens * heads.query_width()
            && inputs.k.len() == tokens * heads.kv_width()
            && inputs.v.len() == inputs.k.len(),
        "shapes of queries, keys and values"
    );
    let mut end = 0;
    for range in examples {
        assert!(
            range.start == end && range.end >= end,
            "examples cover the tokens in order"
        );
        end = range.end;
    }
    assert_eq!(end, tokens, "examples cover the tokens in order");
    tokens
}

/// Multiply-adds of one unit of work, on average.
fn cost(heads: Heads, tokens: usize, examples: &[Range<usize>]) -> usize {
    tokens * tokens / examples.len().max(1).pow(2) * heads.dim * heads.group()
}

/// Attention of every token over its example up to itself.
///
/// # Panics
/// When the inputs differ in tokens, or the examples do not cover them in order.
pub fn forward(inputs: Inputs<'_>, examples: &[Range<usize>]) -> Output {
    let heads = inputs.heads;
    let tokens = check(inputs, examples);
    let mut log_sum = vec![0.0; tokens * heads.query];
    let log_sums = Shared::new(&mut log_sum);
    let fill = |mixed: Shared| {
        let units = examples.len() * heads.kv;
        parallel::for_ranges(units, cost(heads, tokens, examples), &|range| {
            for unit in range {
                let example = examples[unit / heads.kv].clone();
                if example.is_empty() {
                    continue;
                }
                forward_unit(inputs, example, unit % heads.kv, mixed, log_sums);
            }
        });
    };
    // SAFETY: the units of work write every head of every token.
    let mixed = unsafe { memory::filled(tokens * heads.query_width(), fill) };
    Output { mixed, log_sum }
}

/// `[panel][dim][NR]`: a head's keys (or values) as right operand `[dim, tokens]`.
fn transpose_head(
    source: &[f32],
    heads: Heads,
    head: usize,
    tokens: Range<usize>,
    target: &mut [f32],
) {
    for (panel, target) in target.chunks_exact_mut(heads.dim * NR).enumerate() {
        let first = panel * NR;
        let rows = NR.min(tokens.len() - first);
        if rows < NR {
            target.fill(0.0);
        }
        let at = |row: usize| (tokens.start + first + row) * heads.kv_width() + head * heads.dim;
        fill_panel(target, rows, heads.dim, |row, k| source[at(row) + k]);
    }
}

fn forward_unit(
    inputs: Inputs<'_>,
    tokens: Range<usize>,
    kv_head: usize,
    mixed: Shared,
    log_sums: Shared,
) {
    let heads = inputs.heads;
    let (dim, length) = (heads.dim, tokens.len());
    let width = heads.query_width();
    with_scratch(length.div_ceil(NR) * NR * dim, |keys| {
        transpose_head(inputs.k, heads, kv_head, tokens.clone(), keys);
        let values = &inputs.v[tokens.start * heads.kv_width() + kv_head * dim..];
        let queries = Queries {
            q: &inputs.q[tokens.start * width..tokens.end * width],
            heads,
            before: 0,
        };
        let keys = Right::panels(keys, dim);
        let values = Right::rows(values, heads.kv_width());
        let mixed = mixed.part(tokens.start * width, length * width);
        let logs = log_sums.part(tokens.start * heads.query, length * heads.query);
        // SAFETY: nobody else writes the heads of this group for these tokens.
        unsafe { attend_group(queries, kv_head, keys, values, mixed, Some(logs)) };
    });
}

/// Queries of consecutive tokens.
#[derive(Clone, Copy)]
struct Queries<'a> {
    /// `[tokens, query heads, dim]`
    q: &'a [f32],
    heads: Heads,
    /// Keys that all of these tokens see before their own.
    before: usize,
}

/// The heads that share one key-value head, for consecutive tokens: writes their part of
/// `mixed`, `[tokens, query heads, dim]`, and of `log_sums`, `[tokens, query heads]`.
///
/// # Safety
/// Nobody else may touch these heads of `mixed` and `log_sums` during the call.
unsafe fn attend_group(
    queries: Queries<'_>,
    kv_head: usize,
    keys: Right<'_>,
    values: Right<'_>,
    mixed: Shared,
    log_sums: Option<Shared>,
) {
    let Queries { q, heads, before } = queries;
    let (dim, width) = (heads.dim, heads.query_width());
    let tokens = q.len() / width;
    with_scratch(BLOCK.min(tokens) * (before + tokens), |scores| {
        for head in kv_head * heads.group()..(kv_head + 1) * heads.group() {
            for first in (0..tokens).step_by(BLOCK) {
                let end = tokens.min(first + BLOCK);
                // Keys before the window of the block's first token weigh nothing.
                let from = heads.rule.first_panel(before + first);
                let (rows, seen) = (end - first, before + end - from);
                let at = first * width + head * dim;
                let scores = &mut scores[..rows * seen];
                let left = Left::rows(&q[at..], width);
                let right = keys.from_panel(from / NR);
                multiply_serial((rows, seen, dim), left, right, scores, seen, Start::Zero);
                let mut sums = [0.0; BLOCK];
                let mut logs = [0.0; BLOCK];
                let (sums, logs) = (&mut sums[..rows], &mut logs[..rows]);
                let view = View {
                    first: before + first,
                    from,
                };
                softmax_rows(scores, seen, view, heads.rule, sums, logs);
                let out = mixed.part(at, (rows - 1) * width + dim);
                let left = Left::rows(scores, seen);
                let shape = (rows, dim, seen);
                let right = values.from_row(from);
                // SAFETY: the caller's promise.
                unsafe { multiply_into(shape, left, right, out, width, Start::Zero, false) };
                for row in 0..rows {
                    // SAFETY: one head of one token, by the caller's promise; written by now.
                    let out = unsafe { out.slice(row * width, dim) };
                    math::scale(out, 1.0 / sums[row]);
                    if let Some(log_sums) = log_sums {
                        // SAFETY: as above.
                        let log = unsafe { log_sums.slice((first + row) * heads.query + head, 1) };
                        log[0] = logs[row];
                    }
                }
            }
        }
    });
}

/// Where a block of scores lies: its first row's token, and the key of its first column.
#[derive(Clone, Copy)]
struct View {
    first: usize,
    from: usize,
}

impl View {
    /// The columns that row `i` counts.
    #[inline(always)]
    fn columns(self, i: usize, rule: Rule) -> Range<usize> {
        let token = self.first + i;
        rule.first_key(token).saturating_sub(self.from)..token + 1 - self.from
    }
}

/// Splits a row into what comes before, within and after these columns.
#[inline(always)]
fn split(row: &mut [f32], columns: Range<usize>) -> [&mut [f32]; 3] {
    let (row, after) = row.split_at_mut(columns.end);
    let (before, row) = row.split_at_mut(columns.start);
    [before, row, after]
}

/// Products to capped scores, with the rule's factor in them.
#[inline(always)]
fn cap_row(row: &mut [f32], scale: f32, cap: f32) {
    let inverse = scale / cap;
    for value in row {
        *value = cap * math::tanh(*value * inverse);
    }
}

multiversion! {
    /// Rows of products, `[rows, width]`, to exponentials (not yet divided by their sum);
    /// columns that a row does not count become zero.
    fn softmax_rows(
        scores: &mut [f32],
        width: usize,
        view: View,
        rule: Rule,
        sums: &mut [f32],
        logs: &mut [f32],
    ) {
        for (i, row) in scores.chunks_exact_mut(width).enumerate() {
            let [before, row, after] = split(row, view.columns(i, rule));
            before.fill(0.0);
            after.fill(0.0);
            let mut scale = rule.scale;
            if let Some(cap) = rule.cap {
                cap_row(row, scale, cap);
                scale = 1.0;
            }
            let largest = max_of(row) * scale;
            sums[i] = exp_row(row, scale, largest);
            logs[i] = largest + math::ln(sums[i]);
        }
    }

    /// Products of rows, again, to weights: `exp(score - log_sum)`; zero where a row does not
    /// count. With a cap, `slopes` gets the derivative of each score.
    fn weight_rows(
        scores: &mut [f32],
        slopes: &mut [f32],
        width: usize,
        view: View,
        rule: Rule,
        logs: &[f32],
    ) {
        for (i, row) in scores.chunks_exact_mut(width).enumerate() {
            let columns = view.columns(i, rule);
            let [before, row, after] = split(row, columns.clone());
            before.fill(0.0);
            after.fill(0.0);
            let mut scale = rule.scale;
            if let Some(cap) = rule.cap {
                cap_row(row, scale, cap);
                scale = 1.0;
                let slopes = &mut slopes[i * width..][columns];
                for (slope, score) in slopes.iter_mut().zip(row.iter()) {
                    let tanh = score / cap;
                    *slope = 1.0 - tanh * tanh;
                }
            }
            for value in row {
                *value = math::exp(value.mul_add(scale, -logs[i]));
            }
        }
    }

    /// Gradients of weights to gradients of products: `p · (dp - delta) · scale`.
    fn score_gradients(
        weights: &[f32],
        gradients: &mut [f32],
        width: usize,
        scale: f32,
        delta: &[f32],
    ) {
        let rows = weights.chunks_exact(width).zip(gradients.chunks_exact_mut(width));
        for ((weights, gradients), &delta) in rows.zip(delta) {
            for (gradient, &weight) in gradients.iter_mut().zip(weights) {
                *gradient = weight * (*gradient - delta) * scale;
            }
        }
    }

    /// Gradients of capped scores to those of scores, where a row counts.
    fn cap_gradients(gradients: &mut [f32], slopes: &[f32], width: usize, view: View, rule: Rule) {
        for (i, row) in gradients.chunks_exact_mut(width).enumerate() {
            let columns = view.columns(i, rule);
            let slopes = &slopes[i * width..][columns.clone()];
            for (gradient, &slope) in row[columns].iter_mut().zip(slopes) {
                *gradient *= slope;
            }
        }
    }

    fn row_dots(a: &[f32], b: &[f32], stride: usize, dim: usize, out: &mut [f32]) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = dot(&a[i * stride..i * stride + dim], &b[i * stride..i * stride + dim]);
        }
    }
}

/// Largest value of a row that is not empty.
#[inline(always)]
pub(super) fn max_of(row: &[f32]) -> f32 {
    let mut acc: Lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, tail) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            acc[i] = larger(acc[i], chunk[i]);
        }
    }
    for i in 0..tail.len() {
        acc[i] = larger(acc[i], tail[i]);
    }
    max_lanes(acc)
}

/// Replaces a row by `exp(scale · x - largest)` and returns the sum.
#[inline(always)]
pub(super) fn exp_row(row: &mut [f32], scale: f32, largest: f32) -> f32 {
    let mut acc: Lanes = [0.0; LANES];
    let (chunks, tail) = row.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            chunk[i] = math::exp(chunk[i].mul_add(scale, -largest));
            acc[i] += chunk[i];
        }
    }
    for i in 0..tail.len() {
        tail[i] = math::exp(tail[i].mul_add(scale, -largest));
        acc[i] += tail[i];
    }
    sum_lanes(acc)
}

/// Gradients of the inputs; `output` is what [`forward`] gave, `grad` that of its `mixed`.
///
/// # Panics
/// As [`forward`], and when `grad` has another length.
pub fn backward(
    inputs: Inputs<'_>,
    examples: &[Range<usize>],
    output: Saved<'_>,
    grad: &[f32],
) -> Gradients {
    let heads = inputs.heads;
    let tokens = check(inputs, examples);
    assert_eq!(grad.len(), inputs.q.len(), "shape of the gradient");
    let mut q = vec![0.0; inputs.q.len()];
    let mut k = vec![0.0; inputs.k.len()];
    let mut v = vec![0.0; inputs.v.len()];
    let shared = [
        Shared::new(&mut q),
        Shared::new(&mut k),
        Shared::new(&mut v),
    ];
    let units = examples.len() * heads.kv;
    parallel::for_ranges(units, 3 * cost(heads, tokens, examples), &|range| {
        for unit in range {
            let example = examples[unit / heads.kv].clone();
            if !example.is_empty() {
                backward_unit(inputs, example, unit % heads.kv, output, grad, shared);
            }
        }
    });
    Gradients { q, k, v }
}

fn backward_unit(
    inputs: Inputs<'_>,
    tokens: Range<usize>,
    kv_head: usize,
    output: Saved<'_>,
    grad: &[f32],
    [grad_q, grad_k, grad_v]: [Shared; 3],
) {
    let heads = inputs.heads;
    let (dim, length) = (heads.dim, tokens.len());
    let (width, kv_width) = (heads.query_width(), heads.kv_width());
    let kv_at = tokens.start * kv_width + kv_head * dim;
    let kv_span = (length - 1) * kv_width + dim;
    let (grad_k, grad_v) = (grad_k.part(kv_at, kv_span), grad_v.part(kv_at, kv_span));
    let panels = length.div_ceil(NR) * NR * dim;
    let block = BLOCK * length;
    let slopes = if heads.rule.cap.is_some() { block } else { 0 };
    with_scratch(2 * panels + 2 * block + slopes, |scratch| {
        let (keys, rest) = scratch.split_at_mut(panels);
        let (values, rest) = rest.split_at_mut(panels);
        let (weights, rest) = rest.split_at_mut(block);
        let (gradients, slopes) = rest.split_at_mut(block);
        transpose_head(inputs.k, heads, kv_head, tokens.clone(), keys);
        transpose_head(inputs.v, heads, kv_head, tokens.clone(), values);
        for head in kv_head * heads.group()..(kv_head + 1) * heads.group() {
            for first in (0..length).step_by(BLOCK) {
                let last = length.min(first + BLOCK);
                let from = heads.rule.first_panel(first);
                let (rows, seen) = (last - first, last - from);
                let at = (tokens.start + first) * width + head * dim;
                let (weights, gradients) =
                    (&mut weights[..rows * seen], &mut gradients[..rows * seen]);
                let (queries, grads) = (&inputs.q[at..], &grad[at..]);
                let view = View { first, from };

                let right = Right::panels(keys, dim).from_panel(from / NR);
                let left = Left::rows(queries, width);
                multiply_serial((rows, seen, dim), left, right, weights, seen, Start::Zero);
                let mut logs = [0.0; BLOCK];
                for (row, log) in logs[..rows].iter_mut().enumerate() {
                    *log = output.log_sum[(tokens.start + first + row) * heads.query + head];
                }
                weight_rows(weights, slopes, seen, view, heads.rule, &logs);

                let right = Right::panels(values, dim).from_panel(from / NR);
                let left = Left::rows(grads, width);
                multiply_serial((rows, seen, dim), left, right, gradients, seen, Start::Zero);
                let mut delta = [0.0; BLOCK];
                row_dots(grads, &output.mixed[at..], width, dim, &mut delta[..rows]);
                score_gradients(weights, gradients, seen, heads.rule.scale, &delta[..rows]);
                if heads.rule.cap.is_some() {
                    cap_gradients(gradients, slopes, seen, view, heads.rule);
                }

                let grad_q = grad_q.part(at, (rows - 1) * width + dim);
                let span = (seen - 1) * kv_width + dim;
                let grad_k = grad_k.part(from * kv_width, span);
                let grad_v = grad_v.part(from * kv_width, span);
                let (short, long) = ((rows, dim, seen), (seen, dim, rows));
                let left = Left::rows(gradients, seen);
                let right = Right::rows(&inputs.k[kv_at + from * kv_width..], kv_width);
                // SAFETY: nobody else touches this head of these tokens, here and below.
                unsafe { multiply_into(short, left, right, grad_q, width, Start::Zero, false) };

                let left = Left::transposed(gradients, seen);
                let right = Right::rows(queries, width);
                // SAFETY: as above.
                unsafe { multiply_into(long, left, right, grad_k, kv_width, Start::Output, false) };

                let left = Left::transposed(weights, seen);
                let right = Right::rows(grads, width);
                // SAFETY: as above.
                unsafe { multiply_into(long, left, right, grad_v, kv_width, Start::Output, false) };
            }
        }
    });
}

#[cfg(test)]
mod tests;
