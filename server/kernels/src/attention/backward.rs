//! Backward pass: recomputes the weights, then the gradients of queries, keys and values.

use super::{
    BLOCK, Gradients, Heads, Inputs, Layout, Part, Rows, Rule, Saved, View, cap_row, check, cost,
    split, transpose_head, transposed_len,
};
use crate::{
    gemm::{Left, NR, Right, Start, multiply_into, multiply_serial},
    math::{self, dot},
    memory::{Shared, with_scratch},
    parallel,
};

/// Computes the gradients of the inputs. `output` is what [`forward`](super::forward()) returned,
/// `grad` the gradient of its `mixed`.
///
/// # Panics
/// As [`forward`](super::forward()), and when `grad` has another length.
pub fn backward(
    inputs: Inputs<'_>,
    layout: Layout<'_>,
    output: Saved<'_>,
    grad: &[f32],
) -> Gradients {
    let heads = inputs.heads;
    check(inputs, layout);
    assert_eq!(grad.len(), inputs.q.len(), "shape of the gradient");
    let parts = layout.parts();
    let mut q = vec![0.0; inputs.q.len()];
    let mut k = vec![0.0; inputs.k.len()];
    let mut v = vec![0.0; inputs.v.len()];
    // Each example's gradients of the shared keys and values are stored separately: units run side
    // by side, and the sum over examples has one order.
    let shared = layout.shared * heads.kv_width();
    let mut shared_k = vec![0.0; layout.examples.len() * shared];
    let mut shared_v = vec![0.0; layout.examples.len() * shared];
    let targets = Targets {
        q: Shared::new(&mut q),
        own: [Shared::new(&mut k), Shared::new(&mut v)],
        shared: [Shared::new(&mut shared_k), Shared::new(&mut shared_v)],
    };
    let units = parts.len() * heads.kv;
    parallel::for_ranges(units, 3 * cost(heads, &parts), &|range| {
        for unit in range {
            let part = parts[unit / heads.kv];
            backward_unit(inputs, part, unit % heads.kv, output, grad, targets);
        }
    });
    if shared > 0 {
        for (sum, terms) in [(&mut k, &shared_k), (&mut v, &shared_v)] {
            for term in terms.chunks_exact(shared) {
                add(&mut sum[..shared], term);
            }
        }
    }
    Gradients { q, k, v }
}

/// Memory that receives the gradients.
#[derive(Clone, Copy)]
struct Targets {
    q: Shared,
    /// Gradients of keys and values, `[tokens, kv heads, dim]`.
    own: [Shared; 2],
    /// Gradients of the shared keys and values by example, `[examples, shared, kv heads, dim]`.
    shared: [Shared; 2],
}

fn backward_unit(
    inputs: Inputs<'_>,
    part: Part,
    kv_head: usize,
    output: Saved<'_>,
    grad: &[f32],
    targets: Targets,
) {
    let heads = inputs.heads;
    let (dim, width) = (heads.dim, heads.query_width());
    let panels = transposed_len(heads, part);
    let block = BLOCK * part.keys();
    let slopes = if heads.rule.cap.is_some() { block } else { 0 };
    with_scratch(2 * panels + 2 * block + slopes, |scratch| {
        let (keys, rest) = scratch.split_at_mut(panels);
        let (values, rest) = rest.split_at_mut(panels);
        let (weights, rest) = rest.split_at_mut(block);
        let (gradients, slopes) = rest.split_at_mut(block);
        transpose_head(inputs.k, heads, kv_head, part, keys);
        transpose_head(inputs.v, heads, kv_head, part, values);
        let key_rows = Rows::of(inputs.k, heads, kv_head, part);
        for head in kv_head * heads.group()..(kv_head + 1) * heads.group() {
            for first in (0..part.length).step_by(BLOCK) {
                let last = part.length.min(first + BLOCK);
                let view = View {
                    first: part.before + first,
                    from: heads.rule.first_panel(part.before + first),
                };
                let (rows, seen) = (last - first, part.before + last - view.from);
                let token = part.start + first;
                let at = token * width + head * dim;
                let (weights, gradients) =
                    (&mut weights[..rows * seen], &mut gradients[..rows * seen]);
                let (queries, grads) = (&inputs.q[at..], &grad[at..]);

                let right = Right::panels(keys, dim).from_panel(view.from / NR);
                let left = Left::rows(queries, width);
                multiply_serial((rows, seen, dim), left, right, weights, seen, Start::Zero);
                let mut logs = [0.0; BLOCK];
                for (row, log) in logs[..rows].iter_mut().enumerate() {
                    *log = output.log_sum[(token + row) * heads.query + head];
                }
                weight_rows(weights, slopes, seen, view, heads.rule, &logs);

                let right = Right::panels(values, dim).from_panel(view.from / NR);
                let left = Left::rows(grads, width);
                multiply_serial((rows, seen, dim), left, right, gradients, seen, Start::Zero);
                let mut delta = [0.0; BLOCK];
                row_dots(grads, &output.mixed[at..], width, dim, &mut delta[..rows]);
                score_gradients(weights, gradients, seen, heads.rule.scale, &delta[..rows]);
                if heads.rule.cap.is_some() {
                    cap_gradients(gradients, slopes, seen, view, heads.rule);
                }

                let grad_q = targets.q.part(at, (rows - 1) * width + dim);
                // SAFETY: nobody else touches this head of these tokens, here and below.
                unsafe {
                    let shape = (rows, dim, seen);
                    key_rows.multiply_into(gradients, shape, view.from, grad_q, width);
                    let shape = (rows, seen);
                    targets.add(0, heads, kv_head, part, view, gradients, queries, shape);
                    targets.add(1, heads, kv_head, part, view, weights, grads, shape);
                }
            }
        }
    });
}

impl Targets {
    /// Adds `Aᵀ · B` to the gradients of the keys (0) or values (1) from `view.from` on. A is
    /// `[rows, seen]`, B the block's queries or gradients.
    ///
    /// # Safety
    /// Nobody else may touch the gradients of this part and head during the call.
    #[allow(clippy::too_many_arguments)]
    unsafe fn add(
        self,
        which: usize,
        heads: Heads,
        kv_head: usize,
        part: Part,
        view: View,
        a: &[f32],
        b: &[f32],
        (rows, seen): (usize, usize),
    ) {
        let (dim, kv_width) = (heads.dim, heads.kv_width());
        let right = Right::rows(b, heads.query_width());
        let column = kv_head * dim;
        let shared = part.before.saturating_sub(view.from).min(seen);
        let shared_at = part.example.unwrap_or(0) * part.before + view.from;
        let own_at = part.start + (view.from + shared - part.before);
        let pieces = [
            (self.shared[which], shared_at, 0..shared),
            (self.own[which], own_at, shared..seen),
        ];
        for (target, row, keys) in pieces {
            if keys.is_empty() {
                continue;
            }
            let span = (keys.len() - 1) * kv_width + dim;
            let c = target.part(row * kv_width + column, span);
            let left = Left::transposed(&a[keys.start..], seen);
            let shape = (keys.len(), dim, rows);
            // SAFETY: the caller's promise.
            unsafe { multiply_into(shape, left, right, c, kv_width, Start::Output, false) };
        }
    }
}

multiversion! {
    /// `sum += term`
    fn add(sum: &mut [f32], term: &[f32]) {
        for (sum, term) in sum.iter_mut().zip(term) {
            *sum += term;
        }
    }

    /// Turns recomputed rows of products into weights, `exp(score - log_sum)`; weights are zero
    /// where a row does not count. With a cap, `slopes` gets the derivative of each score.
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

    /// Turns gradients of weights into gradients of products: `p · (dp - delta) · scale`.
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

    /// Turns gradients of capped scores into gradients of scores, where a row counts.
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
