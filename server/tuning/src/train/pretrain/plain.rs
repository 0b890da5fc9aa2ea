//! Gradients by burn's automatic differentiation, on any device; also the oracle of the kernels.

use std::collections::BTreeMap;

use burn::tensor::{Gradients, Int, Tensor, TensorData, activation::log_softmax};

use super::{Network, Part, Sequence, Values, parts};
use fedseal_adapter::Target;

use crate::{
    TuningError,
    ops::{self, to_host},
};

/// Trainable tensors of one step, all matrices `[out, in]`.
struct Leaves {
    matrices: BTreeMap<String, Tensor<2>>,
    vectors: BTreeMap<String, Tensor<1>>,
}

impl Network<'_> {
    fn leaves(&self, values: &Values) -> Leaves {
        let mut leaves = Leaves {
            matrices: BTreeMap::new(),
            vectors: BTreeMap::new(),
        };
        for (name, (shape, values)) in values {
            let data = TensorData::new(values.clone(), shape.clone());
            if shape.len() == 2 {
                let tensor = Tensor::<2>::from_data(data, &self.device)
                    .autodiff()
                    .require_grad();
                leaves.matrices.insert(name.clone(), tensor);
            } else {
                let tensor = Tensor::<1>::from_data(data, &self.device)
                    .autodiff()
                    .require_grad();
                leaves.vectors.insert(name.clone(), tensor);
            }
        }
        leaves
    }

    /// Returns the mean loss over the batch's counted tokens, and its gradient by name.
    pub(super) fn gradients(
        &self,
        values: &Values,
        batch: &[&Sequence],
    ) -> Result<(f32, BTreeMap<String, Vec<f32>>), TuningError> {
        let leaves = self.leaves(values);
        let parts = parts(batch);
        let counted: usize = parts.iter().map(|part| part.rows.len()).sum();
        let mut sums = BTreeMap::new();
        let mut loss_sum = 0.0;
        for part in parts.iter().filter(|part| !part.rows.is_empty()) {
            let loss = self.loss(&leaves, part);
            let share = part.rows.len() as f64 / counted as f64;
            let value = to_host(loss.clone().without_autodiff())?
                .first()
                .copied()
                .unwrap_or(f32::NAN);
            if !value.is_finite() {
                return Err(TuningError::NotFinite("the loss".to_owned()));
            }
            loss_sum += f64::from(value) * share;
            leaves.add_gradients(&mut loss.mul_scalar(share).backward(), &mut sums)?;
        }
        Ok((loss_sum as f32, sums))
    }

    /// Returns the mean loss of a packed part that has counted tokens.
    fn loss(&self, leaves: &Leaves, part: &Part) -> Tensor<1> {
        let config = self.config;
        let eps = config.norm_eps as f32;
        let positions = part.segments.positions();
        let tokens = part.ids.len();
        let ints = |values: &mut dyn Iterator<Item = i64>| {
            let values: Vec<i64> = values.collect();
            let count = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [count]), &self.device)
        };
        let ids = ints(&mut part.ids.iter().map(|&id| i64::from(id)));
        let rows = ints(&mut part.rows.iter().map(|&row| row as i64));
        let targets = ints(&mut part.targets.iter().map(|&id| i64::from(id)));
        let matrix = |name: &str| leaves.matrices[name].clone();
        let ones = Tensor::<1>::ones([config.d_model], &self.device);
        // The fused norm takes a frozen weight; the trained one is a separate factor.
        let norm = |x: Tensor<2>, name: &str| {
            ops::rms_norm(x, &ones, eps) * leaves.vectors[name].clone().unsqueeze::<2>()
        };
        let embedding = matrix("model.embed_tokens.weight");
        let mut x = embedding.clone().select(0, ids);
        for layer in 0..config.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let project =
                |x: Tensor<2>, target: Target| x.matmul(matrix(&name(&target.path())).transpose());
            let heads = |x: Tensor<2>, n: usize| x.reshape([tokens, n, config.head_dim]);
            let normed = norm(x.clone(), &name("input_layernorm"));
            let q = heads(project(normed.clone(), Target::Q), config.heads);
            let k = heads(project(normed.clone(), Target::K), config.kv_heads);
            let v = heads(project(normed, Target::V), config.kv_heads);
            let q = ops::rope(q, &self.rope, &positions);
            let k = ops::rope(k, &self.rope, &positions);
            let mixed = ops::attention(q, k, v, &part.segments, config.attention_rule(layer))
                .reshape([tokens, config.heads * config.head_dim]);
            x = x + project(mixed, Target::O);
            let normed = norm(x.clone(), &name("post_attention_layernorm"));
            let gate = project(normed.clone(), Target::Gate);
            let up = project(normed, Target::Up);
            x = x + project(ops::gated(gate, up, config.activation()), Target::Down);
        }
        let hidden = norm(x, "model.norm.weight").select(0, rows);
        let head = match config.tied_embeddings {
            true => embedding,
            false => matrix("lm_head.weight"),
        };
        let logits = hidden.matmul(head.transpose());
        let targets = targets.unsqueeze_dim::<2>(1);
        log_softmax(logits, 1).gather(1, targets).mean().neg()
    }
}

impl Leaves {
    fn add_gradients(
        &self,
        gradients: &mut Gradients,
        sums: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<(), TuningError> {
        let mut add = |name: &String, values: Vec<f32>| {
            let sum = sums.entry(name.clone()).or_default();
            if sum.is_empty() {
                *sum = values;
            } else {
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum += value;
                }
            }
        };
        for (name, tensor) in &self.matrices {
            if let Some(gradient) = tensor.grad_remove(gradients) {
                add(name, to_host(gradient)?);
            }
        }
        for (name, tensor) in &self.vectors {
            if let Some(gradient) = tensor.grad_remove(gradients) {
                add(name, to_host(gradient)?);
            }
        }
        Ok(())
    }
}
