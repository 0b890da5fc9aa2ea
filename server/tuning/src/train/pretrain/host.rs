//! Gradients on the kernels, with a backward pass written by hand.

use std::{collections::BTreeMap, ops::Range};

use super::{Network, Part, Sequence, Values, parts};
use fedseal_adapter::Target;

use crate::{
    TuningError,
    kernels::{
        Numerics,
        attention::{self, Heads, Inputs, Layout},
        gated::{self, Activation},
        gemm::{self, Left, Right, Start},
        loss, norm,
        rope::{self, Angles},
    },
};

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
const NORM: &str = "model.norm.weight";

/// A trained matrix `[out, inner]`: packed for the forward pass, in place for the backward pass.
struct Matrix<'a> {
    name: String,
    forward: gemm::Matrix,
    values: &'a [f32],
}

/// A trained norm.
struct Scale<'a> {
    name: String,
    values: &'a [f32],
}

struct Layer<'a> {
    attention_norm: Scale<'a>,
    ffn_norm: Scale<'a>,
    /// Matrices, indexed by [`Target`].
    matrices: [Matrix<'a>; 7],
}

/// Values of one block that the forward pass saves, all `[tokens, width]`.
struct Saved {
    x: Vec<f32>,
    normed: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attention: attention::Output,
    middle: Vec<f32>,
    middle_normed: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    act: Vec<f32>,
}

type Sums = BTreeMap<String, Vec<f32>>;

impl Network<'_> {
    /// As `gradients`, without tensors.
    pub(super) fn gradients_on_host(
        &self,
        values: &Values,
        batch: &[&Sequence],
    ) -> Result<(f32, Sums), TuningError> {
        let scale = |name: String| -> Result<_, TuningError> {
            Ok(Scale {
                values: lookup(values, &name)?.1,
                name,
            })
        };
        let matrix = |name: String| -> Result<_, TuningError> {
            let (shape, values) = lookup(values, &name)?;
            let [out, inner] = shape else {
                return Err(TuningError::MissingTensor(name));
            };
            Ok(Matrix {
                forward: gemm::Matrix::new(values, *out, *inner, Numerics::Exact),
                values,
                name,
            })
        };
        let layers = (0..self.config.layers)
            .map(|layer| {
                let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
                let load = |target: Target| matrix(name(&target.path()));
                Ok(Layer {
                    attention_norm: scale(name("input_layernorm"))?,
                    ffn_norm: scale(name("post_attention_layernorm"))?,
                    matrices: [
                        load(Target::Q)?,
                        load(Target::K)?,
                        load(Target::V)?,
                        load(Target::O)?,
                        load(Target::Gate)?,
                        load(Target::Up)?,
                        load(Target::Down)?,
                    ],
                })
            })
            .collect::<Result<Vec<_>, TuningError>>()?;
        let head = if self.config.tied_embeddings {
            EMBEDDING
        } else {
            HEAD
        };
        let pass = Pass {
            network: self,
            embedding: lookup(values, EMBEDDING)?.1,
            layers,
            norm: scale(NORM.to_owned())?,
            head: matrix(head.to_owned())?,
        };
        let mut sums: Sums = values
            .iter()
            .map(|(name, (_, values))| (name.clone(), vec![0.0; values.len()]))
            .collect();
        let (mut loss, mut counted) = (0.0, 0);
        for part in parts(batch).iter().filter(|part| !part.rows.is_empty()) {
            loss += pass.run(part, &mut sums);
            counted += part.rows.len();
        }
        let factor = 1.0 / counted.max(1) as f32;
        for value in sums.values_mut().flatten() {
            *value *= factor;
        }
        let loss = (loss / counted.max(1) as f64) as f32;
        if !loss.is_finite() {
            return Err(TuningError::NotFinite("the loss".to_owned()));
        }
        Ok((loss, sums))
    }
}

fn lookup<'a>(values: &'a Values, name: &str) -> Result<(&'a [usize], &'a [f32]), TuningError> {
    let (shape, values) = values
        .get(name)
        .ok_or_else(|| TuningError::MissingTensor(name.to_owned()))?;
    Ok((shape, values))
}

/// The weights of one step.
struct Pass<'a> {
    network: &'a Network<'a>,
    embedding: &'a [f32],
    layers: Vec<Layer<'a>>,
    norm: Scale<'a>,
    head: Matrix<'a>,
}

impl Pass<'_> {
    /// Adds the gradient of a part's summed loss to `sums` and returns the summed loss, nats.
    fn run(&self, part: &Part, sums: &mut Sums) -> f64 {
        let config = self.network.config;
        let (width, eps) = (config.d_model, config.norm_eps as f32);
        let tokens = part.ids.len();
        let (cos, sin) = self.network.rope.angles(&part.segments.positions());
        let context = Context {
            tokens,
            eps,
            heads: Heads::new(config.heads, config.kv_heads, config.head_dim),
            angles: Angles {
                cos: &cos,
                sin: &sin,
                half: config.head_dim / 2,
                dim: config.head_dim,
            },
            examples: &part.segments.ranges().collect::<Vec<_>>(),
        };
        let mut x = Vec::with_capacity(tokens * width);
        for &id in &part.ids {
            x.extend_from_slice(row(self.embedding, id as usize, width));
        }
        let mut saved = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (next, layer) = layer.forward(x, &context);
            saved.push(layer);
            x = next;
        }
        // Only the counted rows matter from here on.
        let mut last = Vec::with_capacity(part.rows.len() * width);
        for &index in &part.rows {
            last.extend_from_slice(row(&x, index, width));
        }
        let hidden = norm::forward(&last, self.norm.values, eps);
        let (loss, grad) = self.head_gradient(&hidden, &part.targets, sums);
        self.norm.add(&last, eps, &grad, sums);
        let grad = norm::backward(&last, self.norm.values, eps, &grad);
        let mut grad_x = vec![0.0; tokens * width];
        for (&index, grad) in part.rows.iter().zip(grad.chunks_exact(width)) {
            add_row(&mut grad_x, index, grad);
        }
        for (layer, saved) in self.layers.iter().zip(saved).rev() {
            grad_x = layer.backward(saved, grad_x, &context, sums);
        }
        if let Some(sum) = sums.get_mut(EMBEDDING) {
            for (&id, grad) in part.ids.iter().zip(grad_x.chunks_exact(width)) {
                add_row(sum, id as usize, grad);
            }
        }
        loss
    }

    /// Returns the summed loss of the counted rows and its gradient in `hidden`.
    fn head_gradient(&self, hidden: &[f32], targets: &[u32], sums: &mut Sums) -> (f64, Vec<f32>) {
        let (vocab, width) = (self.head.forward.out(), self.head.forward.inner());
        let mut grad = vec![0.0; hidden.len()];
        let mut loss = 0.0;
        loss::blocks(hidden, &self.head.forward, None, targets, |block| {
            let loss::Block {
                probabilities,
                targets,
                first,
                logs,
                ..
            } = block;
            loss -= logs.iter().map(|&log| f64::from(log)).sum::<f64>();
            let rows = targets.len();
            for (row, &target) in probabilities.chunks_exact_mut(vocab).zip(targets) {
                if let Some(value) = row.get_mut(target as usize) {
                    *value -= 1.0;
                }
            }
            let part = first * width..(first + rows) * width;
            let (Some(grad), Some(hidden)) = (grad.get_mut(part.clone()), hidden.get(part)) else {
                return;
            };
            self.head.back(probabilities, rows, grad, Start::Zero);
            self.head.add(probabilities, hidden, rows, sums);
        });
        (loss, grad)
    }
}

/// Values that all blocks share.
struct Context<'a> {
    tokens: usize,
    eps: f32,
    heads: Heads,
    angles: Angles<'a>,
    examples: &'a [Range<usize>],
}

impl Layer<'_> {
    fn forward(&self, x: Vec<f32>, context: &Context<'_>) -> (Vec<f32>, Saved) {
        let Context {
            tokens,
            eps,
            heads,
            angles,
            examples,
        } = *context;
        let product =
            |target: Target, x: &[f32]| self.matrices[target as usize].forward.product(x, tokens);
        let normed = norm::forward(&x, self.attention_norm.values, eps);
        let q = rope::rotate(&product(Target::Q, &normed), heads.query, angles, false);
        let k = rope::rotate(&product(Target::K, &normed), heads.kv, angles, false);
        let v = product(Target::V, &normed);
        let inputs = Inputs {
            q: &q,
            k: &k,
            v: &v,
            heads,
        };
        let attention = attention::forward(inputs, Layout::apart(examples));
        let mut middle = product(Target::O, &attention.mixed);
        norm::add_in_place(&mut middle, &x);
        let middle_normed = norm::forward(&middle, self.ffn_norm.values, eps);
        let gate = product(Target::Gate, &middle_normed);
        let up = product(Target::Up, &middle_normed);
        let act = gated::forward(&gate, &up, Activation::Silu);
        let mut out = product(Target::Down, &act);
        norm::add_in_place(&mut out, &middle);
        let saved = Saved {
            x,
            normed,
            q,
            k,
            v,
            attention,
            middle,
            middle_normed,
            gate,
            up,
            act,
        };
        (out, saved)
    }

    /// Returns the gradient in the block's input, and adds the gradients of its weights.
    fn backward(
        &self,
        saved: Saved,
        grad: Vec<f32>,
        context: &Context<'_>,
        sums: &mut Sums,
    ) -> Vec<f32> {
        let Context {
            tokens,
            eps,
            heads,
            angles,
            examples,
        } = *context;
        let [q, k, v, o, gate, up, down] = &self.matrices;
        let grad_act = down.back_new(&grad, tokens);
        down.add(&grad, &saved.act, tokens, sums);
        let (grad_gate, grad_up) =
            gated::backward(&saved.gate, &saved.up, &grad_act, Activation::Silu);
        gate.add(&grad_gate, &saved.middle_normed, tokens, sums);
        up.add(&grad_up, &saved.middle_normed, tokens, sums);
        let mut grad_normed = gate.back_new(&grad_gate, tokens);
        up.back(&grad_up, tokens, &mut grad_normed, Start::Output);
        self.ffn_norm.add(&saved.middle, eps, &grad_normed, sums);
        let mut grad_middle =
            norm::backward(&saved.middle, self.ffn_norm.values, eps, &grad_normed);
        norm::add_in_place(&mut grad_middle, &grad);

        let grad_mixed = o.back_new(&grad_middle, tokens);
        o.add(&grad_middle, &saved.attention.mixed, tokens, sums);
        let inputs = Inputs {
            q: &saved.q,
            k: &saved.k,
            v: &saved.v,
            heads,
        };
        let grads = attention::backward(
            inputs,
            Layout::apart(examples),
            saved.attention.saved(),
            &grad_mixed,
        );
        let grad_q = rope::rotate(&grads.q, heads.query, angles, true);
        let grad_k = rope::rotate(&grads.k, heads.kv, angles, true);
        q.add(&grad_q, &saved.normed, tokens, sums);
        k.add(&grad_k, &saved.normed, tokens, sums);
        v.add(&grads.v, &saved.normed, tokens, sums);
        let mut grad_normed = q.back_new(&grad_q, tokens);
        k.back(&grad_k, tokens, &mut grad_normed, Start::Output);
        v.back(&grads.v, tokens, &mut grad_normed, Start::Output);
        self.attention_norm.add(&saved.x, eps, &grad_normed, sums);
        let mut grad_x = norm::backward(&saved.x, self.attention_norm.values, eps, &grad_normed);
        norm::add_in_place(&mut grad_x, &grad_middle);
        grad_x
    }
}

impl Matrix<'_> {
    /// Computes `grad · W`, `[tokens, out]` to `[tokens, inner]`.
    fn back(&self, grad: &[f32], tokens: usize, out: &mut [f32], start: Start) {
        let (width, inner) = (self.forward.out(), self.forward.inner());
        let (left, right) = (Left::rows(grad, width), Right::rows(self.values, inner));
        gemm::multiply((tokens, inner, width), left, right, out, inner, start);
    }

    fn back_new(&self, grad: &[f32], tokens: usize) -> Vec<f32> {
        let mut out = vec![0.0; tokens * self.forward.inner()];
        self.back(grad, tokens, &mut out, Start::Zero);
        out
    }

    /// Adds `gradᵀ · x` to this matrix's gradient.
    fn add(&self, grad: &[f32], x: &[f32], tokens: usize, sums: &mut Sums) {
        let Some(sum) = sums.get_mut(&self.name) else {
            return;
        };
        let (out, inner) = (self.forward.out(), self.forward.inner());
        let (left, right) = (Left::transposed(grad, out), Right::rows(x, inner));
        gemm::multiply((out, inner, tokens), left, right, sum, inner, Start::Output);
    }
}

impl Scale<'_> {
    /// Adds this norm's gradient.
    fn add(&self, x: &[f32], eps: f32, grad: &[f32], sums: &mut Sums) {
        let Some(sum) = sums.get_mut(&self.name) else {
            return;
        };
        let own = norm::backward_weight(x, self.values.len(), eps, grad);
        for (sum, value) in sum.iter_mut().zip(own) {
            *sum += value;
        }
    }
}

/// Returns one row of a matrix; empty when there is no such row.
fn row(matrix: &[f32], index: usize, width: usize) -> &[f32] {
    matrix
        .get(index * width..(index + 1) * width)
        .unwrap_or_default()
}

fn add_row(matrix: &mut [f32], index: usize, grad: &[f32]) {
    let rows = matrix
        .get_mut(index * grad.len()..(index + 1) * grad.len())
        .unwrap_or_default();
    for (value, grad) in rows.iter_mut().zip(grad) {
        *value += grad;
    }
}
