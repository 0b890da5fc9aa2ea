//! Causal attention within one example, forward and backward, by blocks of queries.
//!
//! The forward pass keeps one number per row (the logarithm of its sum of exponentials); the
//! backward pass recomputes the weights. An example and a key-value head are one unit of work on
//! one thread, so sums have a fixed order. Examples may begin with the same tokens: these are
//! stored, and computed, once.

mod backward;
mod cache;
mod forward;

use std::ops::Range;

pub use backward::backward;
pub use cache::{Feed, KeyValues, forward_cached};
pub use forward::forward;
use forward::{Queries, attend_group};
pub(super) use forward::{exp_row, max_of};

use super::{
    gemm::{Left, NR, Right, Start, fill_panel, multiply_into},
    math,
    memory::Shared,
};

/// Queries per block.
const BLOCK: usize = 56;

/// How products of queries and keys become weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Factor of every product.
    pub scale: f32,
    /// Scores become `cap · tanh(score / cap)`.
    pub cap: Option<f32>,
    /// Tokens that a token attends to, itself included; all before it when `None`.
    pub window: Option<usize>,
}

impl Rule {
    /// Returns the rule that only divides products by the root of a head's size.
    pub fn of_dim(dim: usize) -> Self {
        Self {
            scale: 1.0 / (dim as f32).sqrt(),
            cap: None,
            window: None,
        }
    }

    /// Returns the first key that the token at `position` attends to.
    pub fn first_key(self, position: usize) -> usize {
        self.window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// Returns the first key that a block starting at `position` computes with: the first key of
    /// its first token, rounded down to a whole panel.
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
    /// Rule that turns products into weights.
    pub rule: Rule,
}

impl Heads {
    /// Returns heads of these sizes with the default rule.
    pub fn new(query: usize, kv: usize, dim: usize) -> Self {
        Self {
            query,
            kv,
            dim,
            rule: Rule::of_dim(dim),
        }
    }

    /// Returns heads of these sizes under another rule.
    pub fn with(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// Number of query heads per key-value head.
    pub fn group(self) -> usize {
        self.query / self.kv
    }

    /// Width of one token's queries.
    pub fn query_width(self) -> usize {
        self.query * self.dim
    }

    /// Width of one token's keys.
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
    /// Sizes of the heads, and their rule.
    pub heads: Heads,
}

/// Output of the forward pass.
#[derive(Debug)]
pub struct Output {
    /// `[tokens, query heads, dim]`
    pub mixed: Vec<f32>,
    /// Logarithm of the sum of exponentials, `[tokens, query heads]`.
    pub log_sum: Vec<f32>,
}

impl Output {
    /// Borrows the output for the backward pass.
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
    /// Gradient in `q`, of the same shape.
    pub q: Vec<f32>,
    /// Gradient in `k`, of the same shape.
    pub k: Vec<f32>,
    /// Gradient in `v`, of the same shape.
    pub v: Vec<f32>,
}

/// Division of the tokens into examples.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// Number of first tokens that every example begins with.
    pub shared: usize,
    /// Tokens that each example adds to the shared beginning; the ranges follow each other.
    pub examples: &'a [Range<usize>],
}

/// Consecutive tokens, and how many of the first tokens they attend to besides themselves.
#[derive(Clone, Copy, Debug)]
struct Part {
    before: usize,
    start: usize,
    length: usize,
    /// Number of the example; `None` for the shared beginning.
    example: Option<usize>,
}

impl Part {
    /// Number of keys that the last token attends to.
    fn keys(self) -> usize {
        self.before + self.length
    }

    /// Returns the token of the i-th key.
    fn key(self, i: usize) -> usize {
        match i < self.before {
            true => i,
            false => self.start + i - self.before,
        }
    }
}

impl<'a> Layout<'a> {
    /// Layout of examples that share nothing.
    pub fn apart(examples: &'a [Range<usize>]) -> Self {
        Self {
            shared: 0,
            examples,
        }
    }

    /// Returns the shared beginning, then the examples; empty parts are skipped.
    fn parts(self) -> Vec<Part> {
        let part = |before, range: &Range<usize>, example| Part {
            before,
            start: range.start,
            length: range.len(),
            example,
        };
        let own = self.examples.iter().enumerate();
        std::iter::once(part(0, &(0..self.shared), None))
            .chain(own.map(|(i, range)| part(self.shared, range, Some(i))))
            .filter(|part| part.length > 0)
            .collect()
    }
}

fn check(inputs: Inputs<'_>, layout: Layout<'_>) -> usize {
    let heads = inputs.heads;
    let tokens = inputs.q.len() / heads.query_width();
    assert!(
        heads.query.is_multiple_of(heads.kv)
            && inputs.q.len() == tokens * heads.query_width()
            && inputs.k.len() == tokens * heads.kv_width()
            && inputs.v.len() == inputs.k.len(),
        "shapes of queries, keys and values"
    );
    let mut end = layout.shared;
    for range in layout.examples {
        assert!(
            range.start == end && range.end >= end,
            "examples cover the tokens in order"
        );
        end = range.end;
    }
    assert_eq!(end, tokens, "examples cover the tokens in order");
    tokens
}

/// Average number of multiply-adds per unit of work.
fn cost(heads: Heads, parts: &[Part]) -> usize {
    let all: usize = parts.iter().map(|part| part.length * part.keys()).sum();
    all / parts.len().max(1) * heads.dim * heads.group()
}

/// A head's keys or values, row by row: first those of the shared beginning, then the part's own.
#[derive(Clone, Copy)]
struct Rows<'a> {
    /// Number of shared rows, and the operand that holds them.
    shared: (usize, Right<'a>),
    own: Right<'a>,
}

impl<'a> Rows<'a> {
    /// Rows stored one after the other.
    fn whole(rows: Right<'a>) -> Self {
        Self {
            shared: (0, rows),
            own: rows,
        }
    }

    fn of(source: &'a [f32], heads: Heads, kv_head: usize, part: Part) -> Self {
        let (width, at) = (heads.kv_width(), kv_head * heads.dim);
        Self {
            shared: (part.before, Right::rows(&source[at..], width)),
            own: Right::rows(&source[part.start * width + at..], width),
        }
    }

    /// Computes `C = A · B` for the rows of B from `from` on: `[m, width]` times `[width, dim]`, A
    /// row-major. Both pieces continue one chain of multiply-adds.
    ///
    /// # Safety
    /// As [`multiply_into`].
    unsafe fn multiply_into(
        self,
        a: &[f32],
        (m, dim, width): (usize, usize, usize),
        from: usize,
        c: Shared,
        c_row: usize,
    ) {
        let (shared, beginning) = self.shared;
        let first = shared.saturating_sub(from).min(width);
        let mut start = Start::Zero;
        if first > 0 {
            let (left, right) = (Left::rows(a, width), beginning.from_row(from));
            // SAFETY: the caller's promise.
            unsafe { multiply_into((m, dim, first), left, right, c, c_row, start, false) };
            start = Start::Output;
        }
        if first < width {
            let left = Left::rows(&a[first..], width);
            let right = self.own.from_row((from + first) - shared);
            let shape = (m, dim, width - first);
            // SAFETY: the caller's promise.
            unsafe { multiply_into(shape, left, right, c, c_row, start, false) };
        }
    }
}

/// Writes a head's keys (or values) as right operand `[dim, keys of the part]`: `[panel][dim][NR]`.
fn transpose_head(source: &[f32], heads: Heads, head: usize, part: Part, target: &mut [f32]) {
    for (panel, target) in target.chunks_exact_mut(heads.dim * NR).enumerate() {
        let first = panel * NR;
        let rows = NR.min(part.keys() - first);
        if rows < NR {
            target.fill(0.0);
        }
        let at = |row: usize| part.key(first + row) * heads.kv_width() + head * heads.dim;
        fill_panel(target, rows, heads.dim, |row, k| source[at(row) + k]);
    }
}

/// Number of floats in the operand of [`transpose_head`].
fn transposed_len(heads: Heads, part: Part) -> usize {
    part.keys().div_ceil(NR) * NR * heads.dim
}

/// Position of a block of scores: the token of its first row, and the key of its first column.
#[derive(Clone, Copy)]
struct View {
    first: usize,
    from: usize,
}

impl View {
    /// Returns the columns that count for row `i`.
    #[inline(always)]
    fn columns(self, i: usize, rule: Rule) -> Range<usize> {
        let token = self.first + i;
        rule.first_key(token).saturating_sub(self.from)..token + 1 - self.from
    }
}

/// Splits a row into the parts before, within and after these columns.
#[inline(always)]
fn split(row: &mut [f32], columns: Range<usize>) -> [&mut [f32]; 3] {
    let (row, after) = row.split_at_mut(columns.end);
    let (before, row) = row.split_at_mut(columns.start);
    [before, row, after]
}

/// Turns products into capped scores that include the rule's factor.
#[inline(always)]
fn cap_row(row: &mut [f32], scale: f32, cap: f32) {
    let inverse = scale / cap;
    for value in row {
        *value = cap * math::tanh(*value * inverse);
    }
}

#[cfg(test)]
mod tests;
