//! The decoder on the CPU kernels alone, for texts that grow: no tensors, no graph.
//!
//! The same kernels as in training, in the same order: a text that is read token by token
//! with its cache gives the bits of [`Decoder::forward`] over the whole of it.

use crate::{
    Adapter, TuningError,
    adapter::{Target, peft_name},
    decoder::Decoder,
    kernels::{
        attention::{Feed, Heads, KeyValues, forward_cached},
        gemm::{self, Packed},
        lora::{PackedPair, Pair},
        norm,
        rope::{self, Angles},
        swiglu,
    },
    lora::to_host,
    ops::Panels,
};

/// A frozen matrix, with its pair when the adapter has one.
struct Linear<'a> {
    weight: &'a Packed,
    pair: Option<PackedPair>,
}

impl Linear<'_> {
    fn apply(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let mut out = gemm::product(x, rows, self.weight);
        if let Some(pair) = &self.pair {
            pair.add(x, rows, &mut out);
        }
        out
    }
}

struct Layer<'a> {
    attention_norm: Vec<f32>,
    ffn_norm: Vec<f32>,
    /// By [`Target`], in its order.
    linear: [Linear<'a>; 7],
}

/// A decoder and an adapter, ready to read texts.
pub(crate) struct CpuDecoder<'a> {
    decoder: &'a Decoder,
    embedding: &'a Panels,
    vocab: &'a Packed,
    layers: Vec<Layer<'a>>,
    norm: Vec<f32>,
    heads: Heads,
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
    /// At least one; positions within the rotary table.
    pub(crate) ids: &'a [u32],
}

impl<'a> CpuDecoder<'a> {
    /// `None` when the decoder lies on another device.
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
            let a = adapter.tensors.get(&peft_name(layer, target, 'A'))?;
            let b = adapter.tensors.get(&peft_name(layer, target, 'B'))?;
            let (rank, scale) = (a.shape[0], adapter.config.scale());
            Some(PackedPair::new(Pair {
                a: &a.data,
                b: &b.data,
                rank,
                scale,
            }))
        };
        let (Some(embedding), Some(vocab)) = (decoder.embedding.panels(), decoder.vocab().panels())
        else {
            return Ok(None);
        };
        let mut layers = Vec::with_capacity(decoder.layers.len());
        for (index, layer) in decoder.layers.iter().enumerate() {
            let mut linear = Vec::with_capacity(Target::ALL.len());
            for (target, weight) in Target::ALL.into_iter().zip(&layer.weights) {
                let Some(panels) = weight.panels() else {
                    return Ok(None);
                };
                linear.push(Linear {
                    weight: panels.forward(),
                    pair: pair(index, target),
                });
            }
            let Ok(linear) = linear.try_into() else {
                return Ok(None);
            };
            layers.push(Layer {
                attention_norm: to_host(layer.attention_norm.clone())?,
                ffn_norm: to_host(layer.ffn_norm.clone())?,
                linear,
            });
        }
        Ok(Some(Self {
            decoder,
            embedding,
            vocab: vocab.forward(),
            layers,
            norm: to_host(decoder.norm.clone())?,
            heads: Heads {
                query: config.heads,
                kv: config.kv_heads,
                dim: config.head_dim,
            },
        }))
    }

    /// Bytes of all matrices that one token passes through.
    pub(crate) fn bytes(&self) -> usize {
        let linear = self.layers.iter().flat_map(|layer| &layer.linear);
        linear.map(|linear| linear.weight.bytes()).sum::<usize>() + self.vocab.bytes()
    }

    /// The cache of a text that is still empty, with room for `tokens`.
    pub(crate) fn cache(&self, tokens: usize) -> TextCache {
        let empty = |_: &Layer<'_>| KeyValues::with_capacity(self.heads, tokens);
        TextCache {
            layers: self.layers.iter().map(empty).collect(),
        }
    }

    /// A text that goes on from where `cache` is, with room for `tokens` in all.
    pub(crate) fn continued(&self, cache: &TextCache, tokens: usize) -> TextCache {
        let copy = |layer: &KeyValues| layer.copy_with_capacity(self.heads, tokens);
        TextCache {
            layers: cache.layers.iter().map(copy).collect(),
        }
    }

    /// Reads new tokens of several texts; final hidden states of the last token of each,
    /// `[texts, d_model]`.
    pub(crate) fn read(&self, texts: &mut [Text<'_>]) -> Vec<f32> {
        let config = &self.decoder.config;
        let (width, eps) = (config.d_model, config.norm_eps as f32);
        let mut positions = Vec::new();
        let mut last_rows = Vec::with_capacity(texts.len());
        for text in texts.iter() {
            let before = text.cache.tokens();
            positions.extend((before..before + text.ids.len()).map(|position| position as u32));
            last_rows.push(positions.len().saturating_sub(1));
        }
        let (cos, sin) = self.decoder.rope.angles(&positions);
        let angles = Angles {
            cos: &cos,
            sin: &sin,
            half: config.head_dim / 2,
        };
        let mut rows = positions.len();
        let mut x = vec![0.0; rows * width];
        let ids = texts.iter().flat_map(|text| text.ids);
        for (id, row) in ids.zip(x.chunks_exact_mut(width)) {
            self.embedding.copy_row(*id as usize, row);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let apply = |target: Target, x: &[f32], rows: usize| {
                layer.linear[target as usize].apply(x, rows)
            };
            let normed = norm::forward(&x, &layer.attention_norm, eps);
            let q = apply(Target::Q, &normed, rows);
            let k = apply(Target::K, &normed, rows);
            let v = apply(Target::V, &normed, rows);
            let q = rope::rotate(&q, self.heads.query, angles, false);
            let k = rope::rotate(&k, self.heads.kv, angles, false);
            let mut feeds: Vec<Feed<'_>> = texts
                .iter_mut()
                .map(|text| Feed {
                    cache: &mut text.cache.layers[index],
                    tokens: text.ids.len(),
                })
                .collect();
            let mut mixed = forward_cached(&q, &k, &v, self.heads, &mut feeds);
            // After the last attention only the last token of each text matters.
            if index + 1 == self.layers.len() && last_rows.len() < rows {
                mixed = pick_rows(&mixed, self.heads.query_width(), &last_rows);
                x = pick_rows(&x, width, &last_rows);
                rows = last_rows.len();
            }
            norm::add_in_place(&mut x, &apply(Target::O, &mixed, rows));
            let normed = norm::forward(&x, &layer.ffn_norm, eps);
            let gate = apply(Target::Gate, &normed, rows);
            let up = apply(Target::Up, &normed, rows);
            let active = swiglu::forward(&gate, &up);
            norm::add_in_place(&mut x, &apply(Target::Down, &active, rows));
        }
        norm::forward(&x, &self.norm, eps)
    }

    /// Logits of the next token, `[texts, vocab]`, from what [`read`](Self::read) gave.
    pub(crate) fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        gemm::product(
            hidden,
            hidden.len() / self.decoder.config.d_model,
            self.vocab,
        )
    }
}

fn pick_rows(x: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    let row = |&row: &usize| &x[row * width..(row + 1) * width];
    rows.iter().flat_map(row).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AdapterConfig, ModelConfig, kernels::tests_support::noise, lora::Lora, ops::Segments,
        weights::WeightSource,
    };
    use burn::tensor::Device;

    struct Noise;

    impl WeightSource for Noise {
        fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError> {
            let seed = name
                .bytes()
                .fold(7, |seed, byte| seed * 31 % 65_521 + u64::from(byte));
            let values = noise(shape.iter().product(), seed);
            Ok(values.into_iter().map(|value| value * 0.3).collect())
        }
    }

    #[test]
    fn texts_that_grow_get_the_bits_of_the_whole_pass() {
        let config = ModelConfig {
            d_model: 48,
            layers: 3,
            heads: 6,
            kv_heads: 2,
            head_dim: 8,
            ffn: 80,
            vocab: 101,
            rope_theta: 10_000.0,
            rope_scaling: Default::default(),
            norm_eps: 1e-5,
            max_positions: 64,
            tied_embeddings: true,
        };
        let device = Device::flex();
        let decoder = Decoder::load(&Noise, &config, &device).unwrap();
        let mut adapter = Adapter::init(&AdapterConfig::default(), &config, 1).unwrap();
        for (seed, tensor) in adapter.tensors.values_mut().enumerate() {
            tensor.data = noise(tensor.data.len(), seed as u64 + 9);
        }
        let lora = Lora::upload(&adapter, &config, &device, false).unwrap();
        let cpu = CpuDecoder::new(&decoder, Some(&adapter)).unwrap().unwrap();

        let texts: [Vec<u32>; 2] = [(0..40).map(|i| i * 7 % 101).collect(), (0..9).collect()];
        let segments = Segments::from_lengths(texts.iter().map(Vec::len));
        let ids: Vec<u32> = texts.concat();
        let positions = segments.positions();
        let whole = decoder.forward(&ids, &positions, &segments, Some(&lora), None);
        let whole = to_host(whole).unwrap();
        let row = |token: usize| &whole[token * config.d_model..(token + 1) * config.d_model];

        // The first text in three parts, of which the second is read by a copy of the cache.
        let mut first = cpu.cache(4);
        let hidden = cpu.read(&mut [Text {
            cache: &mut first,
            ids: &texts[0][..30],
        }]);
        assert_eq!(hidden, row(29));
        let mut first = cpu.continued(&first, 40);
        let mut second = cpu.cache(9);
        let mut both = [
            Text {
                cache: &mut first,
                ids: &texts[0][30..31],
            },
            Text {
                cache: &mut second,
                ids: &texts[1],
            },
        ];
        let hidden = cpu.read(&mut both);
        assert_eq!(hidden, [row(30), row(48)].concat());
        let hidden = cpu.read(&mut [Text {
            cache: &mut first,
            ids: &texts[0][31..],
        }]);
        assert_eq!(hidden, row(39));
        assert_eq!((first.tokens(), second.tokens()), (40, 9));
        assert_eq!(cpu.logits(&hidden).len(), config.vocab);
    }
}
