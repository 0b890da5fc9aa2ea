//! Causal attention over packed examples.

use burn::tensor::{Bool, Tensor, activation::softmax};

/// Where each of several packed examples starts, and how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    /// `starts[i]..starts[i + 1]` are the tokens of example `i`.
    starts: Vec<usize>,
}

impl Segments {
    /// Examples of these lengths, one after the other.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut starts = vec![0];
        let mut end = 0;
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

    /// Number of tokens of all examples together.
    pub fn tokens(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// The token ranges, example by example.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.starts.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// The position of every token within its example.
    pub fn positions(&self) -> Vec<u32> {
        self.ranges().flat_map(|range| 0..range.len() as u32).collect()
    }
}

/// Causal attention with grouped heads; a token sees the tokens of its own example up to
/// and including itself.
///
/// `q` is `[tokens, heads, head_dim]`, `k` and `v` are `[tokens, kv_heads, head_dim]` with
/// `heads` a multiple of `kv_heads`; the result is `[tokens, heads, head_dim]`. Scores are
/// divided by the square root of `head_dim`.
///
/// # Panics
/// When the segments do not cover the tokens.
pub fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, segments: &Segments) -> Tensor<3> {
    let [tokens, heads, head_dim] = q.dims();
    let kv_heads = k.dims()[1];
    assert_eq!(tokens, segments.tokens(), "segments must cover the tokens");
    let group = heads / kv_heads;
    let scale = 1.0 / (head_dim as f32).sqrt();
    let mut outputs = Vec::with_capacity(segments.len());
    for range in segments.ranges() {
        let length = range.len();
        if length == 0 {
            continue;
        }
        let q = q.clone().slice([range.clone(), 0..heads, 0..head_dim]);
        let k = k.clone().slice([range.clone(), 0..kv_heads, 0..head_dim]);
        let v = v.clone().slice([range.clone(), 0..kv_heads, 0..head_dim]);
        // [kv_heads, group, length, head_dim] against [kv_heads, 1, length, head_dim]
        let q = q
            .reshape([length, kv_heads, group, head_dim])
            .permute([1, 2, 0, 3]);
        let k = k.swap_dims(0, 1).unsqueeze_dim::<4>(1);
        let v = v.swap_dims(0, 1).unsqueeze_dim::<4>(1);
        let scores = q.matmul(k.swap_dims(2, 3)).mul_scalar(scale);
        let mask = Tensor::<2, Bool>::tril_mask([length, length], 0, &scores.device())
            .unsqueeze::<4>()
            .expand([kv_heads, group, length, length]);
        let weights = softmax(scores.mask_fill(mask, f32::NEG_INFINITY), 3);
        let mixed = weights.matmul(v).permute([2, 0, 1, 3]);
        outputs.push(mixed.reshape([length, heads, head_dim]));
    }
    Tensor::cat(outputs, 0)
}
