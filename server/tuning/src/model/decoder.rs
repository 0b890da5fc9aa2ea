//! The frozen decoder: its blocks over packed tokens.

use burn::tensor::{Device, Int, Tensor, TensorData};

use fedseal_adapter::{Norm, Target};

use crate::{
    ModelConfig, TuningError,
    adapter::lora::{Lora, Place, times_columns},
    kernels::Numerics,
    model::weights::WeightSource,
    ops::{self, FrozenWeight, RopeScaling, RopeTable, Rule, Segments},
};

/// One decoder block.
pub(crate) struct Layer {
    /// Norm weights, indexed by [`Norm`].
    pub(crate) norms: [Option<Tensor<1>>; 6],
    /// Frozen matrices, indexed by [`Target`].
    pub(crate) weights: [FrozenWeight; 7],
    /// Biases, indexed by [`Target`].
    pub(crate) biases: [Option<Tensor<1>>; 7],
}

/// Cosines and sines, `[positions, head_dim / 2]` each.
pub(crate) type Angles = (Vec<f32>, Vec<f32>);

/// All frozen tensors of a model.
pub(crate) struct Decoder {
    pub(crate) embedding: FrozenWeight,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Tensor<1>,
    /// Output matrix; `None` when it is the embedding.
    head: Option<FrozenWeight>,
    rope: RopeTable,
    /// Rotary table of sliding layers, when it differs.
    local_rope: Option<RopeTable>,
    pub(crate) config: ModelConfig,
}

/// Attention of one block. It takes queries, keys and values after rotation
/// (`[tokens, heads, head_dim]` and `[tokens, kv_heads, head_dim]`), the block's number and its
/// rule, and returns `[tokens, heads, head_dim]`.
pub(crate) trait Attend {
    fn attend(
        &mut self,
        layer: usize,
        rule: Rule,
        q: Tensor<3>,
        k: Tensor<3>,
        v: Tensor<3>,
    ) -> Tensor<3>;
}

/// Attention within packed examples.
impl Attend for &Segments {
    fn attend(
        &mut self,
        _: usize,
        rule: Rule,
        q: Tensor<3>,
        k: Tensor<3>,
        v: Tensor<3>,
    ) -> Tensor<3> {
        ops::attention(q, k, v, self, rule)
    }
}

impl Decoder {
    /// Takes every tensor of the configuration from the source.
    pub(crate) fn load(
        source: &dyn WeightSource,
        config: &ModelConfig,
        device: &Device,
        numerics: Numerics,
    ) -> Result<Self, TuningError> {
        config.validate()?;
        let matrix = |name: &str, [out, inner]: [usize; 2]| {
            let stored = source.matrix(name, [out, inner])?;
            let weight = FrozenWeight::of_stored(stored, [out, inner], device, numerics);
            Ok::<_, TuningError>(weight)
        };
        let vector = |name: &str, width: usize, offset: f32| {
            let mut data = source.tensor(name, &[width])?;
            if offset != 0.0 {
                data.iter_mut().for_each(|value| *value += offset);
            }
            let data = TensorData::new(data, [width]);
            Ok::<_, TuningError>(Tensor::<1>::from_data(data, device))
        };
        let offset = config.norm_offset();
        let vocab = [config.vocab, config.d_model];
        let embedding = matrix("model.embed_tokens.weight", vocab)?;
        let head = match config.tied_embeddings {
            true => None,
            false => Some(matrix("lm_head.weight", vocab)?),
        };
        let table = |theta: f64, scaling: &RopeScaling| {
            let sizes = [config.head_dim, config.rotary_dim()];
            RopeTable::partial(sizes, theta, config.max_positions, scaling)
        };
        let mut layers = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let load = |target: Target| {
                let place = config.place(target);
                let name = name(place.module.path);
                let stored = source.rows(&name, place.shape, place.rows)?;
                let shape = target.shape(config);
                let weight = FrozenWeight::of_stored(stored, shape, device, numerics);
                Ok::<_, TuningError>(weight)
            };
            let mut norms = [const { None }; 6];
            for (slot, norm) in norms.iter_mut().zip(Norm::ALL) {
                if let Some(path) = norm.path(config.family.architecture) {
                    *slot = Some(vector(&name(path), norm.width(config), offset)?);
                }
            }
            let mut biases = [const { None }; 7];
            for (slot, target) in biases.iter_mut().zip(Target::ALL) {
                if config.has_bias(target) {
                    let name = format!("model.layers.{layer}.{}.bias", target.path());
                    *slot = Some(vector(&name, target.shape(config)[0], 0.0)?);
                }
            }
            layers.push(Layer {
                norms,
                biases,
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
            norm: vector("model.norm.weight", config.d_model, offset)?,
            head,
            rope: table(config.rope_theta, &config.rope_scaling),
            local_rope: config
                .family
                .local_rope_theta
                .map(|theta| table(theta, &RopeScaling::None)),
            config: config.clone(),
        })
    }

    /// Returns the output matrix, `[vocab, d_model]`.
    pub(crate) fn vocab(&self) -> &FrozenWeight {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Returns the rotary angles of a layer; `None` where it rotates nothing.
    pub(crate) fn rope(&self, layer: usize) -> Option<&RopeTable> {
        Some(match &self.local_rope {
            _ if !self.config.rotates(layer) => return None,
            Some(local) if self.config.slides(layer) => local,
            _ => &self.rope,
        })
    }

    /// Returns cosines and sines of these positions: those of full layers, and those of sliding
    /// layers when they differ.
    pub(crate) fn angles(&self, positions: &[u32]) -> (Angles, Option<Angles>) {
        let local = self.local_rope.as_ref();
        (
            self.rope.angles(positions),
            local.map(|table| table.angles(positions)),
        )
    }

    /// Returns the logits, `[rows, vocab]`, of final hidden states.
    pub(crate) fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        let logits = self.vocab().forward(hidden);
        match self.config.logit_cap() {
            Some(cap) => ops::soft_cap(logits, cap),
            None => logits,
        }
    }

    /// Returns the final hidden states, `[rows, d_model]`, of the tokens in `rows` (all when
    /// `None`).
    ///
    /// `ids` and `positions` are `[tokens]`. Ids must be below the vocabulary and positions below
    /// the table's length; [`check`](Self::check) ensures both.
    pub(crate) fn forward(
        &self,
        ids: &[u32],
        positions: &[u32],
        mut attend: impl Attend,
        lora: Option<&Lora>,
        rows: Option<&[usize]>,
    ) -> Tensor<2> {
        let mut x = self.embed(ids);
        for index in 0..self.layers.len() {
            x = self.block(index, x, positions, &mut attend, lora, rows);
        }
        self.finish(x, lora)
    }

    /// Input of the first block, `[tokens, d_model]`.
    pub(crate) fn embed(&self, ids: &[u32]) -> Tensor<2> {
        let x = self.embedding.rows(ids);
        match self.config.embedding_scale() {
            1.0 => x,
            scale => x.mul_scalar(scale),
        }
    }

    /// Computes one block: `[tokens, d_model]` to the same shape, or, for the last block, only its
    /// `rows`. `index` is below the number of blocks.
    pub(crate) fn block(
        &self,
        index: usize,
        x: Tensor<2>,
        positions: &[u32],
        attend: &mut impl Attend,
        lora: Option<&Lora>,
        rows: Option<&[usize]>,
    ) -> Tensor<2> {
        let config = &self.config;
        let eps = config.norm_eps as f32;
        let tokens = x.dims()[0];
        let layer = &self.layers[index];
        let project = |x: Tensor<2>, target: Target| {
            let weight = &layer.weights[target as usize];
            let factors = lora.and_then(|lora| lora.factors(index, target));
            let x = match factors {
                Some(factors) if target.scales_input() => times_columns(x, factors),
                _ => x,
            };
            let out = match lora.and_then(|lora| lora.pair(index, target).map(|pair| (lora, pair)))
            {
                Some((lora, pair)) => lora.apply(x, weight, pair, index, target),
                None => weight.forward(x),
            };
            let out = match &layer.biases[target as usize] {
                Some(bias) => out + bias.clone().unsqueeze::<2>(),
                None => out,
            };
            match factors {
                Some(factors) if !target.scales_input() => times_columns(out, factors),
                _ => out,
            }
        };
        let norm = |x: Tensor<2>, norm: Norm| {
            let own = lora.and_then(|lora| lora.norm(index, norm));
            match own.as_ref().or(layer.norms[norm as usize].as_ref()) {
                Some(weight) => ops::rms_norm(x, weight, eps),
                None => x,
            }
        };
        // Where queries and keys are normalised head by head, each head is a row.
        let by_head = |x: Tensor<2>, n: usize, which: Norm| {
            let rows = match config.norms_by_head() {
                true => x.reshape([tokens * n, config.head_dim]),
                false => x,
            };
            norm(rows, which).reshape([tokens, n, config.head_dim])
        };
        let rotate = |x: Tensor<3>| match self.rope(index) {
            Some(table) => ops::rope(x, table, positions),
            None => x,
        };
        let tapped = |x: Tensor<2>, place: Place| match lora {
            Some(lora) => lora.tapped(index, place, x),
            None => x,
        };
        // What a half of the block adds.
        let scaled = |x: Tensor<2>| match config.residual_scale() {
            1.0 => x,
            scale => x.mul_scalar(scale),
        };
        let heads = |x: Tensor<2>, n: usize| x.reshape([tokens, n, config.head_dim]);
        let normed = norm(x.clone(), Norm::AttentionIn);
        let q = project(normed.clone(), Target::Q);
        let k = project(normed.clone(), Target::K);
        let v = heads(project(normed, Target::V), config.kv_heads);
        let q = rotate(by_head(q, config.heads, Norm::Query));
        let k = rotate(by_head(k, config.kv_heads, Norm::Key));
        let mixed = attend
            .attend(index, config.attention_rule(index), q, k, v)
            .reshape([tokens, config.heads * config.head_dim]);
        // After the last attention only the requested rows matter.
        let last = index + 1 == self.layers.len();
        let (mixed, residual) = match rows {
            Some(rows) if last && rows.len() < tokens => {
                (pick_rows(mixed, rows), pick_rows(x, rows))
            }
            _ => (mixed, x),
        };
        let attended = tapped(project(mixed, Target::O), Place::AttentionOut);
        let x = residual + scaled(norm(attended, Norm::AttentionOut));
        let normed = norm(x.clone(), Norm::FfnIn);
        let gate = project(normed.clone(), Target::Gate);
        let up = project(normed, Target::Up);
        let active = ops::gated(gate, up, config.activation());
        let fed = tapped(project(active, Target::Down), Place::FfnOut);
        x + scaled(norm(fed, Norm::FfnOut))
    }

    /// Returns the final hidden states from the last block's output, with the scale of the logits in
    /// them.
    pub(crate) fn finish(&self, x: Tensor<2>, lora: Option<&Lora>) -> Tensor<2> {
        let own = lora.and_then(Lora::last_norm);
        let eps = self.config.norm_eps as f32;
        let hidden = ops::rms_norm(x, own.as_ref().unwrap_or(&self.norm), eps);
        match self.config.hidden_scale() {
            1.0 => hidden,
            scale => hidden.mul_scalar(scale),
        }
    }

    /// Checks that the ids and their number fit this decoder.
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
            Some(id) => Err(TuningError::Tokenizer(
                format!("id {id} of {}", config.vocab).into(),
            )),
            None => Ok(()),
        }
    }
}

/// Returns these rows of a matrix, in this order.
fn pick_rows(x: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let count = indices.len();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [count]), &x.device());
    x.select(0, indices)
}
