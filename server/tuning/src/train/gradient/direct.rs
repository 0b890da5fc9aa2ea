//! A training step of the mode `fast` on the kernels alone: without tensors or a graph, and with a
//! backward pass written by hand.
//!
//! Products that read the same activations run together. Activations are rounded to 16 bits where
//! they are computed. A product's sums start from the residual. Values that only the backward
//! pass's products read are kept in 16 bits. Nothing below the lowest adapter is differentiated,
//! and after the last attention only rows that the loss counts are computed.

mod block;
mod parts;
mod product;

use super::packed::{ByName as Sums, Packed};
use fedseal_adapter::{Norm, Target};

use crate::{
    Adapter, Method, TuningError,
    kernels::{
        fused,
        gemm::Matrix,
        lora::{PackedPair, Pair},
        loss, math, norm, parallel,
    },
    model::decoder::Decoder,
    ops::{Panels, to_host},
};
use parts::{Context, Kept, Layer};
use product::{Linear, LoraPair};

pub(super) use parts::Direct;

impl<'a> Direct<'a> {
    /// Returns `None` for cases that this step does not support: other numeric modes and devices,
    /// dropout, adapters other than LoRA, and architectures whose blocks are not two norms and seven
    /// matrices over rotated heads.
    pub(super) fn new(
        decoder: &'a Decoder,
        adapter: &'a Adapter,
    ) -> Result<Option<Self>, TuningError> {
        let config = &decoder.config;
        if adapter.config.method != Method::Lora || adapter.config.dropout > 0.0 {
            return Ok(None);
        }
        let family = &config.family;
        let plain = !family.architecture.is_fused()
            && family.unrotated.is_empty()
            && family.rotary_dim.is_none()
            && config.residual_scale() == 1.0
            && config.hidden_scale() == 1.0;
        if !plain {
            return Ok(None);
        }
        let fast = |panels: Option<&'a std::sync::Arc<Panels>>| {
            panels.filter(|panels| matches!(panels.forward(), Matrix::Pairs(_)))
        };
        let (Some(embedding), Some(vocab)) = (
            fast(decoder.embedding.panels()),
            fast(decoder.vocab().panels()),
        ) else {
            return Ok(None);
        };
        adapter.check_fits(config)?;
        let pair = |layer: usize, target: Target| {
            let (a, b) = adapter.pair(config, layer, target)?;
            let plain = Pair {
                a,
                b,
                rank: adapter.config.rank,
                scale: adapter.config.scale(),
            };
            let packed = PackedPair::new(plain);
            Some(LoraPair { plain, packed })
        };
        let mut layers = Vec::with_capacity(decoder.layers.len());
        for (index, layer) in decoder.layers.iter().enumerate() {
            let others = [Norm::AttentionOut, Norm::FfnOut, Norm::Query, Norm::Key];
            if others.iter().any(|&n| layer.norms[n as usize].is_some()) {
                return Ok(None);
            }
            let (Some(attention_norm), Some(ffn_norm)) = (
                layer.norms[Norm::AttentionIn as usize].clone(),
                layer.norms[Norm::FfnIn as usize].clone(),
            ) else {
                return Ok(None);
            };
            let mut linear = Vec::with_capacity(7);
            for target in Target::ALL {
                let Some(panels) = fast(layer.weights[target as usize].panels()) else {
                    return Ok(None);
                };
                linear.push(Linear {
                    layer: index,
                    target,
                    module: config.place(target).module,
                    panels,
                    bias: layer.biases[target as usize]
                        .clone()
                        .map(to_host)
                        .transpose()?,
                    pair: pair(index, target),
                });
            }
            let Ok(linear) = linear.try_into() else {
                return Ok(None);
            };
            layers.push(Layer {
                index,
                attention_norm: to_host(attention_norm)?,
                ffn_norm: to_host(ffn_norm)?,
                linear,
            });
        }
        let has_pair = |layer: &Layer<'_>| layer.linear.iter().any(|one| one.pair.is_some());
        Ok(Some(Self {
            decoder,
            embedding,
            vocab,
            lowest: layers.iter().position(has_pair).unwrap_or(layers.len()),
            layers,
            norm: to_host(decoder.norm.clone())?,
        }))
    }

    /// Adds the gradient of a part's summed loss, times `factor`, to `sums`, and returns the summed
    /// loss, nats. With `recompute`, blocks keep only their input and are recomputed in the
    /// backward pass, with the same bits.
    pub(super) fn run(&self, part: &Packed, factor: f32, recompute: bool, sums: &mut Sums) -> f64 {
        let config = &self.decoder.config;
        let width = config.d_model;
        let (usual, local) = self.decoder.angles(&part.segments.positions());
        let context = Context {
            eps: config.norm_eps as f32,
            usual,
            local,
            shared: part.segments.shared(),
            examples: &part.segments.ranges().collect::<Vec<_>>(),
            rows: &part.rows,
        };
        let mut x = vec![0.0; part.ids.len() * width];
        parallel::for_rows(&mut x, width, 4 * width, &|token, row| {
            self.embedding.copy_row(part.ids[token] as usize, row);
        });
        if config.embedding_scale() != 1.0 {
            math::scale(&mut x, config.embedding_scale());
        }
        let mut saved = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let trained = layer.index >= self.lowest;
            let input = (trained && recompute).then(|| x.clone());
            let (next, all) = self.forward(layer, x, &context, trained && !recompute);
            saved.extend(all.map(Kept::All).or(input.map(Kept::Input)));
            x = next;
        }
        let hidden = norm::forward(&x, &self.norm, context.eps);
        let cap = config.logit_cap();
        let (forward, back) = (self.vocab.forward(), self.vocab.back());
        let (logs, mut of_hidden) = loss::with_gradient(&hidden, forward, back, cap, &part.targets);
        math::scale(&mut of_hidden, factor);
        let mut grad = vec![0.0; x.len()];
        fused::add_norm_gradient(&x, &self.norm, context.eps, &of_hidden, &mut grad, None);
        for layer in self.layers.iter().rev() {
            let saved = match saved.pop() {
                Some(Kept::All(saved)) => Some(saved),
                Some(Kept::Input(x)) => self.forward(layer, x, &context, true).1,
                None => None,
            };
            let Some(saved) = saved else {
                break;
            };
            match self.backward(layer, saved, grad, &context, sums) {
                Some(next) => grad = next,
                None => break,
            }
        }
        -logs.iter().map(|&log| f64::from(log)).sum::<f64>()
    }
}

#[cfg(test)]
mod tests;
