//! The frozen decoder: Llama's blocks over packed tokens.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{
    ModelConfig, TuningError,
    adapter::Target,
    lora::Lora,
    ops::{self, FrozenWeight, RopeTable, Segments},
    weights::WeightSource,
};

/// One decoder block.
pub(crate) struct Layer {
    pub(crate) attention_norm: Tensor<1>,
    pub(crate) ffn_norm: Tensor<1>,
    /// By [`Target`], in its order.
    pub(crate) weights: [FrozenWeight; 7],
}

/// All frozen tensors of a model.
pub(crate) struct Decoder {
    pub(crate) embedding: FrozenWeight,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Tensor<1>,
    /// `None` when the embedding is the output matrix.
    head: Option<FrozenWeight>,
    pub(crate) rope: RopeTable,
    pub(crate) config: ModelConfig,
}

/// Attention of one block: takes queries, keys and values after rotation (`[tokens, heads,
/// head_dim]` and `[tokens, kv_heads, head_dim]`) and the block's number, and returns
/// `[tokens, heads, head_dim]`.
pub(crate) trait Attend {
    fn attend(&mut self, layer: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3>;
}

/// Attention within packed examples.
impl Attend for &Segments {
    fn attend(&mut self, _: usize, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
        ops::attention(q, k, v, self)
    }
}

impl Decoder {
    /// Takes every tensor of the configuration out of the source.
    pub(crate) fn load(
        source: &dyn WeightSource,
        config: &ModelConfig,
        device: &Device,
    ) -> Result<Self, TuningError> {
        config.validate()?;
        let matrix = |name: &str, [out, inner]: [usize; 2]| {
            source
                .tensor(name, &[out, inner])
                .map(|data| FrozenWeight::new(data, out, inner, device))
        };
        let vector = |name: &str| {
            source
                .tensor(name, &[config.d_model])
                .map(|data| Tensor::<1>::from_data(TensorData::new(data, [config.d_model]), device))
        };
        let vocab = [config.vocab, config.d_model];
        let embedding = matrix("model.embed_tokens.weight", vocab)?;
        let head = match config.tied_embeddings {
            true => None,
            false => Some(matrix("lm_head.weight", vocab)?),
        };
        let mut layers = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let load = |target: Target| matrix(&name(&target.path()), target.shape(config));
            layers.push(Layer {
                attention_norm: vector(&name("input_layernorm"))?,
                ffn_norm: vector(&name("post_attention_layernorm"))?,
                weights: [
                    load(Target::Q)?,
                    load(Target::K)?,
                    load(Target::V)?,
                    load(Target::O)?,
                    load(Target::Gate)?,
                    load(Target::Up)?,
                    load(Target::Down)?,
                ],
            });
        }
        Ok(Self {
            embedding,
            layers,
            norm: vector("model.norm.weight")?,
            head,
            rope: RopeTable::new(
                config.head_dim,
                config.rope_theta,
                config.max_positions,
                config.rope_scaling,
            ),
            config: config.clone(),
        })
    }

    /// The output matrix, `[vocab, d_model]`.
    pub(crate) fn vocab(&self) -> &FrozenWeight {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Final hidden states, `[rows, d_model]`, of the tokens that `rows` names (all when `None`).
    ///
    /// `ids` and `positions` are `[tokens]`. Ids must be below the vocabulary and positions below
    /// the table's length; [`check`](Self::check) makes sure of both.
    pub(crate) fn forward(
        &self,
        ids: &[u32],
        positions: &[u32],
        mut attend: impl Attend,
        lora: Option<&Lora>,
        rows: Option<&[usize]>,
    ) -> Tensor<2> {
        let config = &self.config;
        let eps = config.norm_eps as f32;
        let tokens = ids.len();
        let mut x = self.embedding.rows(ids);
        for (index, layer) in self.layers.iter().enumerate() {
            let project = |x: Tensor<2>, target: Target| {
                let weight = &layer.weights[target as usize];
                match lora.and_then(|lora| lora.pair(index, target).map(|pair| (lora, pair))) {
                    Some((lora, pair)) => lora.apply(x, weight, pair, index, target),
                    None => weight.forward(x),
                }
            };
            let heads = |x: Tensor<2>, n: usize| x.reshape([tokens, n, config.head_dim]);
            let normed = ops::rms_norm(x.clone(), &layer.attention_norm, eps);
            let q = heads(project(normed.clone(), Target::Q), config.heads);
            let k = heads(project(normed.clone(), Target::K), config.kv_heads);
            let v = heads(project(normed, Target::V), config.kv_heads);
            let q = ops::rope(q, &self.rope, positions);
            let k = ops::rope(k, &self.rope, positions);
            let mixed = attend
                .attend(index, q, k, v)
                .reshape([tokens, config.heads * config.head_dim]);
            // After the last attention only the rows that are asked for matter.
            let last = index + 1 == self.layers.len();
            let (mixed, residual) = match rows {
                Some(rows) if last && rows.len() < tokens => {
                    (pick_rows(mixed, rows), pick_rows(x, rows))
                }
                _ => (mixed, x),
            };
            x = residual + project(mixed, Target::O);
            let normed = ops::rms_norm(x.clone(), &layer.ffn_norm, eps);
            let gate = project(normed.clone(), Target::Gate);
            let up = project(normed, Target::Up);
            x = x + project(ops::swiglu(gate, up), Target::Down);
        }
        ops::rms_norm(x, &self.norm, eps)
    }

    /// An error when an id or a length does not fit this decoder.
    pub(crate) fn check(&self, ids: &[u32]) -> Result<(), TuningError> {
        let config = &self.config;
        if ids.len() > config.max_positions {
            return Err(TuningError::Config(format!(
                "{} tokens, the model takes {}",
                ids.len(),
                config.max_positions
            )));
        }
        match ids.iter().find(|id| **id as usize >= config.vocab) {
            Some(id) => Err(TuningError::Tokenizer(format!(
                "id {id} of {}",
                config.vocab
            ))),
            None => Ok(()),
        }
    }
}

/// These rows of a matrix, in this order.
fn pick_rows(x: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let count = indices.len();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [count]), &x.device());
    x.select(0, indices)
}
