//! Reading tokens with burn's tensors: any device, and the oracle of the CPU kernels.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::{
    Model, TuningError,
    adapter::lora::Lora,
    model::decoder::Attend,
    ops::{self, Rule, Segments, to_host},
};

/// Keys and values of one text, by layer: `[tokens, kv_heads * head_dim]`.
pub(super) struct HostCache {
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

impl HostCache {
    /// Returns the cache of an empty text.
    pub(super) fn new(layers: usize) -> Self {
        Self {
            keys: vec![Vec::new(); layers],
            values: vec![Vec::new(); layers],
        }
    }
}

/// Reads whole prompts (into empty caches) or one new token per text. Returns the final hidden
/// state of each text's last token, `[texts, d_model]`.
pub(super) fn read(
    model: &Model,
    lora: Option<&Lora>,
    caches: &mut [&mut HostCache],
    fresh: &[&[u32]],
) -> Result<Tensor<2>, TuningError> {
    let shape = model.config();
    let width = (shape.kv_heads * shape.head_dim).max(1);
    let ids: Vec<u32> = fresh.iter().copied().flatten().copied().collect();
    let mut error = None;
    let before = |cache: &HostCache| cache.keys.first().map_or(0, |keys| keys.len() / width);
    let hidden = if caches.iter().all(|cache| before(cache) == 0) {
        let segments = Segments::from_lengths(fresh.iter().map(|ids| ids.len()));
        let last: Vec<usize> = segments.ranges().map(|range| range.end - 1).collect();
        let attend = Prefill {
            segments: &segments,
            caches,
            width,
            error: &mut error,
        };
        model
            .decoder()
            .forward(&ids, &segments.positions(), attend, lora, Some(&last))
    } else {
        let positions: Vec<u32> = caches.iter().map(|cache| before(cache) as u32).collect();
        let attend = Cached {
            caches,
            error: &mut error,
        };
        model
            .decoder()
            .forward(&ids, &positions, attend, lora, None)
    };
    error.map_or(Ok(hidden), Err)
}

/// Attention over prompts; it fills the caches.
struct Prefill<'a, 'b> {
    segments: &'a Segments,
    caches: &'a mut [&'b mut HostCache],
    width: usize,
    error: &'a mut Option<TuningError>,
}

impl Attend for Prefill<'_, '_> {
    fn attend(
        &mut self,
        layer: usize,
        rule: Rule,
        q: Tensor<3>,
        k: Tensor<3>,
        v: Tensor<3>,
    ) -> Tensor<3> {
        match (to_host(k.clone()), to_host(v.clone())) {
            (Ok(keys), Ok(values)) => {
                for (cache, range) in self.caches.iter_mut().zip(self.segments.ranges()) {
                    let range = range.start * self.width..range.end * self.width;
                    cache.keys[layer].extend_from_slice(&keys[range.clone()]);
                    cache.values[layer].extend_from_slice(&values[range]);
                }
            }
            (Err(error), _) | (_, Err(error)) => *self.error = Some(error),
        }
        ops::attention(q, k, v, self.segments, rule)
    }
}

/// Attention of one new token per row over its cache, on the host.
struct Cached<'a, 'b> {
    caches: &'a mut [&'b mut HostCache],
    error: &'a mut Option<TuningError>,
}

impl Attend for Cached<'_, '_> {
    fn attend(
        &mut self,
        layer: usize,
        rule: Rule,
        q: Tensor<3>,
        k: Tensor<3>,
        v: Tensor<3>,
    ) -> Tensor<3> {
        let device = q.device();
        let [tokens, heads, head_dim] = q.dims();
        let kv_heads = k.dims()[1];
        let (q, k, v) = match (to_host(q), to_host(k), to_host(v)) {
            (Ok(q), Ok(k), Ok(v)) => (q, k, v),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
                *self.error = Some(error);
                return Tensor::zeros([tokens, heads, head_dim], &device);
            }
        };
        let width = kv_heads * head_dim;
        let mut mixed = vec![0.0f32; tokens * heads * head_dim];
        self.caches
            .par_iter_mut()
            .zip(mixed.par_chunks_exact_mut(heads * head_dim))
            .zip(q.par_chunks_exact(heads * head_dim))
            .zip(k.par_chunks_exact(width).zip(v.par_chunks_exact(width)))
            .for_each(|(((cache, mixed), q), (k, v))| {
                let keys = &mut cache.keys[layer];
                let values = &mut cache.values[layer];
                keys.extend_from_slice(k);
                values.extend_from_slice(v);
                attend_row(q, keys, values, mixed, kv_heads, head_dim, rule);
            });
        Tensor::from_data(TensorData::new(mixed, [tokens, heads, head_dim]), &device)
    }
}

/// Computes one token's attention: `q` and `mixed` are `[heads, head_dim]`, `keys` and `values`
/// `[positions, kv_heads, head_dim]`.
fn attend_row(
    q: &[f32],
    keys: &[f32],
    values: &[f32],
    mixed: &mut [f32],
    kv_heads: usize,
    head_dim: usize,
    rule: Rule,
) {
    let group = q.len() / head_dim / kv_heads;
    let width = kv_heads * head_dim;
    let last = (keys.len() / width).saturating_sub(1);
    let seen = rule.first_key(last) * width..;
    let (keys, values) = (&keys[seen.clone()], &values[seen]);
    let mut scores = vec![0.0f32; keys.len() / width];
    for (head, (q, mixed)) in q
        .chunks_exact(head_dim)
        .zip(mixed.chunks_exact_mut(head_dim))
        .enumerate()
    {
        let offset = head / group * head_dim;
        let mut top = f32::NEG_INFINITY;
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(width)) {
            *score = dot(q, &key[offset..offset + head_dim]) * rule.scale;
            if let Some(cap) = rule.cap {
                *score = cap * (*score / cap).tanh();
            }
            top = top.max(*score);
        }
        let mut total = 0.0;
        for score in &mut scores {
            *score = (*score - top).exp();
            total += *score;
        }
        for (score, value) in scores.iter().zip(values.chunks_exact(width)) {
            let weight = score / total;
            for (mixed, value) in mixed.iter_mut().zip(&value[offset..offset + head_dim]) {
                *mixed += weight * value;
            }
        }
    }
}

/// Computes a dot product in eight fixed lanes, so that it vectorises and its bits do not change.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a8, a1) = a.as_chunks::<8>();
    let (b8, b1) = b.as_chunks::<8>();
    let mut lanes = [0.0f32; 8];
    for (a, b) in a8.iter().zip(b8) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let tail: f32 = a1.iter().zip(b1).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + tail
}
