//! The decoder on the CPU kernels alone, for texts that grow: without tensors or a graph.
//!
//! It uses the same kernels as training, in the same order: a text that is read token by token with
//! its cache gets the same bits as [`Decoder::forward`] over the whole text.

use fedseal_adapter::{LAST_NORM_NAME, Norm, Target, norm_name};

use crate::{
    Adapter, TuningError,
    kernels::{
        Numerics,
        attention::{Feed, Heads, KeyValues, forward_cached},
        gated,
        gemm::{self, Matrix},
        lora::{PackedPair, Pair},
        math, norm, parallel,
        rope::{self, Angles},
    },
    model::decoder::Decoder,
    ops::{Panels, to_host},
};

/// A frozen matrix, with its pair when the adapter has one.
struct Linear<'a> {
    weight: &'a Matrix,
    pair: Option<PackedPair>,
    bias: Option<Vec<f32>>,
    /// Factors of the outputs, or of the inputs.
    factors: Option<Vec<f32>>,
    scales_input: bool,
}

impl Linear<'_> {
    /// Scales the inputs of the product; `None` where they are `x` itself.
    fn inputs(&self, x: &[f32]) -> Option<Vec<f32>> {
        let factors = self.factors.as_ref().filter(|_| self.scales_input)?;
        let mut x = x.to_vec();
        norm::multiply_rows(&mut x, factors);
        Some(x)
    }

    /// Adds the pair's product and the bias to the product, and scales it by the output factors.
    fn finish(&self, x: &[f32], rows: usize, out: &mut [f32]) {
        if let Some(pair) = &self.pair {
            pair.add(x, rows, out);
        }
        if let Some(bias) = &self.bias {
            norm::add_to_rows(out, bias);
        }
        if let Some(factors) = self.factors.as_ref().filter(|_| !self.scales_input) {
            norm::multiply_rows(out, factors);
        }
    }
}

struct Layer<'a> {
    /// Norm weights, indexed by [`Norm`].
    norms: [Option<Vec<f32>>; 6],
    /// Matrices, indexed by [`Target`].
    linear: [Linear<'a>; 7],
}

/// A decoder and an adapter, ready to read texts.
pub(crate) struct CpuDecoder<'a> {
    decoder: &'a Decoder,
    embedding: &'a Panels,
    vocab: &'a Matrix,
    layers: Vec<Layer<'a>>,
    norm: Vec<f32>,
    heads: Heads,
    /// Whether integer products may be used where a matrix has them.
    integers: bool,
}

impl Layer<'_> {
    /// Computes products of the same rows with several matrices.
    fn apply<const N: usize>(
        &self,
        targets: [Target; N],
        x: &[f32],
        rows: usize,
        integers: bool,
    ) -> [Vec<f32>; N] {
        let linears = targets.map(|target| &self.linear[target as usize]);
        // A matrix with scaled inputs is always multiplied alone.
        let scaled = linears.first().and_then(|linear| linear.inputs(x));
        let x = scaled.as_deref().unwrap_or(x);
        let matrices = linears.map(|linear| linear.weight);
        let mut outputs = gemm::products(x, rows, matrices, integers);
        for (linear, out) in linears.iter().zip(&mut outputs) {
            linear.finish(x, rows, out);
        }
        outputs
    }

    /// As [`norm`](Self::norm), for values that are needed again.
    fn normed(&self, x: &[f32], which: Norm, eps: f32) -> Vec<f32> {
        match &self.norms[which as usize] {
            Some(weight) => norm::forward(x, weight, eps),
            None => x.to_vec(),
        }
    }

    /// Applies the norm, where there is one.
    fn norm(&self, x: Vec<f32>, which: Norm, eps: f32) -> Vec<f32> {
        match &self.norms[which as usize] {
            Some(weight) => norm::forward(&x, weight, eps),
            None => x,
        }
    }
}

/// Keys and values of one text, by layer.
pub(crate) struct TextCache {
    layers: Vec<KeyValues>,
}

impl TextCache {
    /// Number of tokens read so far.
    pub(crate) fn tokens(&self) -> usize {
        self.layers.first().map_or(0, KeyValues::tokens)
    }
}

/// New tokens of a text.
pub(crate) struct Text<'a> {
    pub(crate) cache: &'a mut TextCache,
    /// Token ids, at least one; positions within the rotary table.
    pub(crate) ids: &'a [u32],
}

impl<'a> CpuDecoder<'a> {
    /// Returns `None` when the decoder is on another device.
    ///
    /// # Errors
    /// [`TuningError::Adapter`] when the adapter does not fit.
    pub(crate) fn new(
        decoder: &'a Decoder,
        adapter: Option<&Adapter>,
    ) -> Result<Option<Self>, TuningError> {
        let config = &decoder.config;
        if let Some(adapter) = adapter {
            adapter.check_fits(config)?;
        }
        let pair = |layer: usize, target: Target| -> Option<PackedPair> {
            let adapter = adapter?;
            let (a, b) = adapter.pair(config, layer, target)?;
            let (rank, scale) = (adapter.config.rank, adapter.config.scale());
            Some(PackedPair::new(Pair { a, b, rank, scale }))
        };
        let factors = |layer, target| Some(adapter?.factors(config, layer, target)?.to_vec());
        let own = |name: &str| Some(adapter?.tensors.get(name)?.data.clone());
        let own_norm = |name: &str| {
            let mut weight = own(name)?;
            let offset = config.norm_offset();
            if offset != 0.0 {
                weight.iter_mut().for_each(|value| *value += offset);
            }
            Some(weight)
        };
        let (Some(embedding), Some(vocab)) = (decoder.embedding.panels(), decoder.vocab().panels())
        else {
            return Ok(None);
        };
        let mut layers = Vec::with_capacity(decoder.layers.len());
        for (index, layer) in decoder.layers.iter().enumerate() {
            let mut linear = Vec::with_capacity(Target::ALL.len());
            let weights = Target::ALL.into_iter().zip(&layer.weights);
            for ((target, weight), bias) in weights.zip(&layer.biases) {
                let Some(panels) = weight.panels() else {
                    return Ok(None);
                };
                linear.push(Linear {
                    weight: panels.stored(),
                    pair: pair(index, target),
                    bias: bias.clone().map(to_host).transpose()?,
                    factors: factors(index, target),
                    scales_input: target.scales_input(),
                });
            }
            let Ok(linear) = linear.try_into() else {
                return Ok(None);
            };
            let mut norms = [const { None }; 6];
            for ((slot, norm), weight) in norms.iter_mut().zip(Norm::ALL).zip(&layer.norms) {
                let path = norm.path(config.family.architecture);
                *slot = match path.and_then(|path| own_norm(&norm_name(index, path))) {
                    Some(own) => Some(own),
                    None => weight.clone().map(to_host).transpose()?,
                };
            }
            layers.push(Layer { norms, linear });
        }
        Ok(Some(Self {
            decoder,
            embedding,
            vocab: vocab.stored(),
            layers,
            norm: match own_norm(LAST_NORM_NAME) {
                Some(own) => own,
                None => to_host(decoder.norm.clone())?,
            },
            heads: Heads::new(config.heads, config.kv_heads, config.head_dim),
            integers: decoder.vocab().numerics() == Numerics::Fast,
        }))
    }

    /// Number of bytes of all matrices that one token passes through.
    pub(crate) fn bytes(&self) -> usize {
        let linear = self.layers.iter().flat_map(|layer| &layer.linear);
        linear.map(|linear| linear.weight.bytes()).sum::<usize>() + self.vocab.bytes()
    }

    /// Returns the cache of an empty text, with room for `tokens`.
    pub(crate) fn cache(&self, tokens: usize) -> TextCache {
        let empty = |_: &Layer<'_>| KeyValues::with_capacity(self.heads, tokens);
        TextCache {
            layers: self.layers.iter().map(empty).collect(),
        }
    }

    /// Returns the cache of a text that continues after `cache`, with room for `tokens` in all.
    pub(crate) fn continued(&self, cache: &TextCache, tokens: usize) -> TextCache {
        let copy = |layer: &KeyValues| layer.copy_with_capacity(self.heads, tokens);
        TextCache {
            layers: cache.layers.iter().map(copy).collect(),
        }
    }

    /// Reads new tokens of several texts. Returns the final hidden state of each text's last token,
    /// `[texts, d_model]`.
    pub(crate) fn read(&self, texts: &mut [Text<'_>]) -> Vec<f32> {
        let config = &self.decoder.config;
        let (width, eps) = (config.d_model, config.norm_eps as f32);
        let residual = config.residual_scale();
        let mut positions = Vec::new();
        let mut last_rows = Vec::with_capacity(texts.len());
        for text in texts.iter() {
            let before = text.cache.tokens();
            positions.extend((before..before + text.ids.len()).map(|position| position as u32));
            last_rows.push(positions.len().saturating_sub(1));
        }
        let (usual, local) = self.decoder.angles(&positions);
        let mut rows = positions.len();
        let mut x = vec![0.0; rows * width];
        let ids = texts.iter().flat_map(|text| text.ids);
        for (id, row) in ids.zip(x.chunks_exact_mut(width)) {
            self.embedding.copy_row(*id as usize, row);
        }
        if config.embedding_scale() != 1.0 {
            math::scale(&mut x, config.embedding_scale());
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = layer.normed(&x, Norm::AttentionIn, eps);
            let targets = [Target::Q, Target::K, Target::V];
            let [q, k, v] = layer.apply(targets, &normed, rows, self.integers);
            let q = layer.norm(q, Norm::Query, eps);
            let k = layer.norm(k, Norm::Key, eps);
            let (cos, sin) = match &local {
                Some(local) if config.slides(index) => local,
                _ => &usual,
            };
            let angles = Angles {
                cos,
                sin,
                half: config.rotary_dim() / 2,
                dim: config.head_dim,
            };
            let rotate = |x: Vec<f32>, heads: usize| match config.rotates(index) {
                true => rope::rotate(&x, heads, angles, false),
                false => x,
            };
            let q = rotate(q, self.heads.query);
            let k = rotate(k, self.heads.kv);
            let mut feeds: Vec<Feed<'_>> = texts
                .iter_mut()
                .map(|text| Feed {
                    cache: &mut text.cache.layers[index],
                    tokens: text.ids.len(),
                })
                .collect();
            let heads = self.heads.with(config.attention_rule(index));
            let mut mixed = forward_cached(&q, &k, &v, heads, &mut feeds);
            // After the last attention only the last token of each text matters.
            if index + 1 == self.layers.len() && last_rows.len() < rows {
                mixed = pick_rows(&mixed, self.heads.query_width(), &last_rows);
                x = pick_rows(&x, width, &last_rows);
                rows = last_rows.len();
            }
            let [out] = layer.apply([Target::O], &mixed, rows, self.integers);
            let out = scaled(layer.norm(out, Norm::AttentionOut, eps), residual);
            norm::add_in_place(&mut x, &out);
            let normed = layer.normed(&x, Norm::FfnIn, eps);
            let targets = [Target::Gate, Target::Up];
            let [gate, up] = layer.apply(targets, &normed, rows, self.integers);
            let active = gated::forward(&gate, &up, config.activation());
            let [out] = layer.apply([Target::Down], &active, rows, self.integers);
            let out = scaled(layer.norm(out, Norm::FfnOut, eps), residual);
            norm::add_in_place(&mut x, &out);
        }
        scaled(norm::forward(&x, &self.norm, eps), config.hidden_scale())
    }

    /// Reads new tokens and returns the logits of each text's next token, `[texts, vocab]`.
    ///
    /// `alone` means that nothing else runs on these threads, so all of them may wait actively for
    /// the many small products of a token.
    pub(crate) fn step(&self, texts: &mut [Text<'_>], alone: bool) -> Vec<f32> {
        let mut step = || self.logits(&self.read(texts));
        if alone {
            parallel::with_team(step)
        } else {
            step()
        }
    }

    /// Returns the logits of the next token, `[texts, vocab]`, from the result of
    /// [`read`](Self::read).
    pub(crate) fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        let config = &self.decoder.config;
        let rows = hidden.len() / config.d_model;
        let [mut logits] = gemm::products(hidden, rows, [self.vocab], self.integers);
        if let Some(cap) = config.logit_cap() {
            math::soft_cap(&mut logits, cap);
        }
        logits
    }
}

/// Multiplies by a scale that mostly is 1.
fn scaled(mut x: Vec<f32>, scale: f32) -> Vec<f32> {
    if scale != 1.0 {
        math::scale(&mut x, scale);
    }
    x
}

fn pick_rows(x: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    let row = |&row: &usize| &x[row * width..(row + 1) * width];
    rows.iter().flat_map(row).copied().collect()
}

#[cfg(test)]
mod tests;
