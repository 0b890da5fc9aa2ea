//! Forward pass: scores, exponentials, weighted values.

use super::{
    BLOCK, Heads, Inputs, Layout, Output, Part, Rows, Rule, View, cap_row, check, cost, split,
    transpose_head, transposed_len,
};
use crate::{
    LANES,
    gemm::{Left, NR, Right, Start, multiply_serial},
    math::{self, Lanes, larger, max_lanes, sum_lanes},
    memory::{self, Shared, with_scratch},
    parallel,
};

/// Computes attention of every token over its example up to itself.
///
/// # Panics
/// When the inputs differ in tokens, or the layout does not cover them in order.
pub fn forward(inputs: Inputs<'_>, layout: Layout<'_>) -> Output {
    let heads = inputs.heads;
    let tokens = check(inputs, layout);
    let parts = layout.parts();
    let mut log_sum = vec![0.0; tokens * heads.query];
    let log_sums = Shared::new(&mut log_sum);
    let fill = |mixed: Shared| {
        let units = parts.len() * heads.kv;
        parallel::for_ranges(units, cost(heads, &parts), &|range| {
            for unit in range {
                let part = parts[unit / heads.kv];
                forward_unit(inputs, part, unit % heads.kv, mixed, log_sums);
            }
        });
    };
    // SAFETY: the units of work write every head of every token.
    let mixed = unsafe { memory::filled(tokens * heads.query_width(), fill) };
    Output { mixed, log_sum }
}

fn forward_unit(inputs: Inputs<'_>, part: Part, kv_head: usize, mixed: Shared, log_sums: Shared) {
    let heads = inputs.heads;
    let width = heads.query_width();
    with_scratch(transposed_len(heads, part), |keys| {
        transpose_head(inputs.k, heads, kv_head, part, keys);
        let queries = Queries {
            q: &inputs.q[part.start * width..(part.start + part.length) * width],
            heads,
            before: part.before,
        };
        let keys = Right::panels(keys, heads.dim);
        let values = Rows::of(inputs.v, heads, kv_head, part);
        let mixed = mixed.part(part.start * width, part.length * width);
        let logs = log_sums.part(part.start * heads.query, part.length * heads.query);
        // SAFETY: nobody else writes the heads of this group for these tokens.
        unsafe { attend_group(queries, kv_head, keys, values, mixed, Some(logs)) };
    });
}

/// Queries of consecutive tokens.
#[derive(Clone, Copy)]
pub(super) struct Queries<'a> {
    /// `[tokens, query heads, dim]`
    pub(super) q: &'a [f32],
    pub(super) heads: Heads,
    /// Number of keys before their own that all of these tokens attend to.
    pub(super) before: usize,
}

/// Computes the heads that share one key-value head, for consecutive tokens. It writes their part
/// of `mixed`, `[tokens, query heads, dim]`, and of `log_sums`, `[tokens, query heads]`.
///
/// # Safety
/// Nobody else may touch these heads of `mixed` and `log_sums` during the call.
pub(super) unsafe fn attend_group(
    queries: Queries<'_>,
    kv_head: usize,
    keys: Right<'_>,
    values: Rows<'_>,
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
                // Keys before the window of the block's first token have weight 0.
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
                let shape = (rows, dim, seen);
                // SAFETY: the caller's promise.
                unsafe { values.multiply_into(scores, shape, from, out, width) };
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

multiversion! {
    /// Turns rows of products, `[rows, width]`, into exponentials (not yet divided by their sum);
    /// columns that do not count for a row become zero.
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
}

/// Largest value of a row that is not empty.
#[inline(always)]
pub(crate) fn max_of(row: &[f32]) -> f32 {
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
pub(crate) fn exp_row(row: &mut [f32], scale: f32, largest: f32) -> f32 {
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
