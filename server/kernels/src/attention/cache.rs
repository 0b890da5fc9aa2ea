//! Keys and values that are kept while a text grows.

use super::{Heads, Queries, Rows, attend_group};
use crate::{
    gemm::{NR, Right},
    memory::{self, Shared},
    parallel,
};

/// Keys and values of one text in one layer.
///
/// Keys are stored as panels, `[panel][kv heads][dim][NR]`, values by token,
/// `[tokens][kv heads][dim]`. These are the operands of the products, as in the pass over whole
/// texts, so a text that grows token by token gets the same bits as one that is read at once.
#[derive(Clone, Debug, Default)]
pub struct KeyValues {
    keys: Vec<f32>,
    values: Vec<f32>,
    tokens: usize,
}

impl KeyValues {
    /// Returns an empty cache with room for `tokens`.
    pub fn with_capacity(heads: Heads, tokens: usize) -> Self {
        Self {
            keys: Vec::with_capacity(tokens.div_ceil(NR) * NR * heads.kv_width()),
            values: Vec::with_capacity(tokens * heads.kv_width()),
            tokens: 0,
        }
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Returns a copy with room for `tokens`.
    pub fn copy_with_capacity(&self, heads: Heads, tokens: usize) -> Self {
        let mut copy = Self::with_capacity(heads, tokens.max(self.tokens));
        copy.keys.extend_from_slice(&self.keys);
        copy.values.extend_from_slice(&self.values);
        copy.tokens = self.tokens;
        copy
    }

    /// Appends tokens: `k` and `v` are `[tokens, kv heads, dim]`.
    fn push(&mut self, heads: Heads, k: &[f32], v: &[f32]) {
        let width = heads.kv_width();
        self.values.extend_from_slice(v);
        for k in k.chunks_exact(width) {
            if self.tokens.is_multiple_of(NR) {
                self.keys.resize(self.keys.len() + NR * width, 0.0);
            }
            let panel = &mut self.keys[self.tokens / NR * NR * width..];
            let column = panel[self.tokens % NR..].iter_mut().step_by(NR);
            for (target, value) in column.zip(k) {
                *target = *value;
            }
            self.tokens += 1;
        }
    }
}

/// New tokens of one text.
#[derive(Debug)]
pub struct Feed<'a> {
    /// Keys and values of the earlier tokens; the new ones are appended.
    pub cache: &'a mut KeyValues,
    /// Number of new tokens.
    pub tokens: usize,
}

/// Appends new tokens to their texts, and computes attention of each over its text up to itself.
///
/// `q` is `[tokens, query heads, dim]`, `k` and `v` are `[tokens, kv heads, dim]`, text after
/// text as in `feeds`; the result is shaped as `q`.
///
/// # Panics
/// When the inputs do not hold the tokens of the feeds.
pub fn forward_cached(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    heads: Heads,
    feeds: &mut [Feed<'_>],
) -> Vec<f32> {
    let (width, kv_width) = (heads.query_width(), heads.kv_width());
    let mut starts = Vec::with_capacity(feeds.len());
    let (mut end, mut work) = (0, 0);
    for feed in feeds.iter_mut() {
        let part = end * kv_width..(end + feed.tokens) * kv_width;
        feed.cache.push(heads, &k[part.clone()], &v[part]);
        starts.push(end);
        end += feed.tokens;
        work += feed.tokens * feed.cache.tokens;
    }
    assert!(
        q.len() == end * width && k.len() == end * kv_width,
        "tokens of the feeds"
    );
    let feeds: &[Feed<'_>] = feeds;
    let cost = 2 * work * heads.dim * heads.group() / feeds.len().max(1);
    let fill = |mixed: Shared| {
        parallel::for_ranges(feeds.len() * heads.kv, cost, &|units| {
            for unit in units {
                let (feed, kv_head) = (&feeds[unit / heads.kv], unit % heads.kv);
                if feed.tokens == 0 {
                    continue;
                }
                let start = starts[unit / heads.kv];
                let part = start * width..(start + feed.tokens) * width;
                let queries = Queries {
                    q: &q[part.clone()],
                    heads,
                    before: feed.cache.tokens - feed.tokens,
                };
                let (cache, at) = (&feed.cache, kv_head * heads.dim);
                let keys = Right::panels_apart(&cache.keys[at * NR..], kv_width * NR);
                let values = Rows::whole(Right::rows(&cache.values[at..], kv_width));
                let mixed = mixed.part(part.start, part.len());
                // SAFETY: this unit alone writes these heads of these tokens.
                unsafe { attend_group(queries, kv_head, keys, values, mixed, None) };
            }
        });
    };
    // SAFETY: the units write every head of every token.
    unsafe { memory::filled(q.len(), fill) }
}
