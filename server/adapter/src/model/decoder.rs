//! Differences of a decoder from Llama's.

use serde::{Deserialize, Serialize};

use fedseal_kernels::{attention::Rule, gated::Activation};

use super::family::{Architecture, HeadNorm, NormPlaces};
use crate::{AdapterError, ModelConfig, Target};

/// Differences of a decoder from Llama's; the default has none.
///
/// Its JSON is a part of a model's digest: a new field is left out of it at its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Family {
    /// Architecture whose arrangement of norms, scales and names applies.
    pub architecture: Architecture,
    /// Biases of queries, keys and values.
    pub qkv_bias: bool,
    /// Bias of the attention's output.
    pub output_bias: bool,
    /// Biases of the feed-forward block.
    pub mlp_bias: bool,
    /// Tokens that a token in a sliding layer attends to, itself included.
    pub window: Option<usize>,
    /// Whether each layer has a sliding window; empty when none does.
    pub sliding: Vec<bool>,
    /// Base of the rotary frequencies in sliding layers, which are not scaled; `None` where they are
    /// those of the other layers.
    pub local_rope_theta: Option<f64>,
    /// Products of queries and keys are divided by the root of this value, or by the root of a
    /// head's size when `None`.
    pub query_scale: Option<f64>,
    /// Attention scores become `cap · tanh(score / cap)`.
    pub attention_cap: Option<f64>,
    /// Logits become `cap · tanh(logit / cap)`.
    pub logit_cap: Option<f64>,
    /// Factor of the products of queries and keys, in place of a root (Granite).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_multiplier: Option<f64>,
    /// Factor of the embeddings (Granite).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_multiplier: Option<f64>,
    /// Factor of what each half of a block adds (Granite).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual_multiplier: Option<f64>,
    /// Logits are divided by this value (Granite).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_divisor: Option<f64>,
    /// Whether each layer is without rotary embedding; empty when none is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unrotated: Vec<bool>,
    /// Leading values of a head that are rotated, where it is not all of them; even.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotary_dim: Option<usize>,
}

impl Family {
    /// Whether nothing differs from Llama's decoder.
    pub fn is_llama(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn validate(&self, layers: usize, head_dim: usize) -> Result<(), AdapterError> {
        let bad = |text: String| Err(AdapterError::Format(text));
        if self.window == Some(0) {
            return bad("sliding_window is 0".to_owned());
        }
        for (name, list) in [
            ("layer_types", &self.sliding),
            ("no_rope_layers", &self.unrotated),
        ] {
            if !list.is_empty() && list.len() != layers {
                return bad(format!("{name} names {} layers of {layers}", list.len()));
            }
        }
        if let Some(rotary) = self.rotary_dim
            && (rotary == 0 || !rotary.is_multiple_of(2) || rotary > head_dim)
        {
            return bad(format!(
                "partial_rotary_factor rotates {rotary} of {head_dim} values of a head"
            ));
        }
        for (name, value) in [
            ("rope_local_base_freq", self.local_rope_theta),
            ("query_pre_attn_scalar", self.query_scale),
            ("attn_logit_softcapping", self.attention_cap),
            ("final_logit_softcapping", self.logit_cap),
            ("attention_multiplier", self.attention_multiplier),
            ("embedding_multiplier", self.embedding_multiplier),
            ("residual_multiplier", self.residual_multiplier),
            ("logits_scaling", self.logit_divisor),
        ] {
            if let Some(value) = value
                && !(value.is_finite() && value > 0.0 && value < 1e9)
            {
                return bad(format!("{name} is {value}"));
            }
        }
        Ok(())
    }
}

impl ModelConfig {
    /// Whether a layer attends only to its sliding window.
    pub fn slides(&self, layer: usize) -> bool {
        self.family.sliding.get(layer).copied().unwrap_or(false)
    }

    /// Whether a layer's queries and keys are rotated by position.
    pub fn rotates(&self, layer: usize) -> bool {
        !self.family.unrotated.get(layer).copied().unwrap_or(false)
    }

    /// Leading values of a head that are rotated.
    pub fn rotary_dim(&self) -> usize {
        self.family.rotary_dim.unwrap_or(self.head_dim)
    }

    /// How a layer's products of queries and keys become weights.
    pub fn attention_rule(&self, layer: usize) -> Rule {
        let usual = Rule::of_dim(self.head_dim);
        let family = &self.family;
        let of_root = family.query_scale.map(|scale| (1.0 / scale.sqrt()) as f32);
        let given = family.attention_multiplier.map(|scale| scale as f32);
        Rule {
            scale: given.or(of_root).unwrap_or(usual.scale),
            cap: family.attention_cap.map(|cap| cap as f32),
            window: family.window.filter(|_| self.slides(layer)),
        }
    }

    /// Factor of the embeddings.
    pub fn embedding_scale(&self) -> f32 {
        match self.family.embedding_multiplier {
            Some(factor) => factor as f32,
            None if self.family.architecture.is_gemma() => (self.d_model as f64).sqrt() as f32,
            None => 1.0,
        }
    }

    /// Factor of what each half of a block adds to the residual stream.
    pub fn residual_scale(&self) -> f32 {
        self.family.residual_multiplier.unwrap_or(1.0) as f32
    }

    /// Factor of the final hidden states, which scales the logits.
    pub fn hidden_scale(&self) -> f32 {
        self.family
            .logit_divisor
            .map_or(1.0, |by| (1.0 / by) as f32)
    }

    /// Activation of the feed-forward block.
    pub fn activation(&self) -> Activation {
        if self.family.architecture.is_gemma() {
            Activation::GeluTanh
        } else {
            Activation::Silu
        }
    }

    /// Offset added to a checkpoint's norm weights: 1 for Gemma, which stores them minus one.
    pub fn norm_offset(&self) -> f32 {
        if self.family.architecture.is_gemma() {
            1.0
        } else {
            0.0
        }
    }

    /// Cap of the logits.
    pub fn logit_cap(&self) -> Option<f32> {
        self.family.logit_cap.map(|cap| cap as f32)
    }

    /// Whether queries and keys are normalised head by head, not each as a whole.
    pub fn norms_by_head(&self) -> bool {
        self.family.architecture.row().head_norm != HeadNorm::Whole
    }

    /// Whether a matrix has a bias.
    pub fn has_bias(&self, target: Target) -> bool {
        match target {
            Target::Q | Target::K | Target::V => self.family.qkv_bias,
            Target::O => self.family.output_bias,
            Target::Gate | Target::Up | Target::Down => self.family.mlp_bias,
        }
    }
}

/// A norm of a decoder block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Norm {
    /// Before the attention.
    AttentionIn,
    /// After the attention.
    AttentionOut,
    /// Before the feed-forward part.
    FfnIn,
    /// After the feed-forward part.
    FfnOut,
    /// On queries: each head's, or all of them.
    Query,
    /// On keys: each head's, or all of them.
    Key,
}

impl Norm {
    /// All norms.
    pub const ALL: [Self; 6] = [
        Self::AttentionIn,
        Self::AttentionOut,
        Self::FfnIn,
        Self::FfnOut,
        Self::Query,
        Self::Key,
    ];

    /// The path inside a layer, as in `model.layers.0.input_layernorm`; `None` where the
    /// architecture has no such norm.
    pub fn path(self, architecture: Architecture) -> Option<&'static str> {
        let row = architecture.row();
        let (before, after) = match row.norms {
            NormPlaces::Before => (true, false),
            NormPlaces::Around => (true, true),
            NormPlaces::After => (false, true),
        };
        let on_heads = row.head_norm != HeadNorm::None;
        match self {
            Self::AttentionIn if before => Some("input_layernorm"),
            // Llama names the norm before its second block after the first.
            Self::FfnIn if before && after => Some("pre_feedforward_layernorm"),
            Self::FfnIn if before => Some("post_attention_layernorm"),
            Self::AttentionOut if after => Some("post_attention_layernorm"),
            Self::FfnOut if after => Some("post_feedforward_layernorm"),
            Self::Query if on_heads => Some("self_attn.q_norm"),
            Self::Key if on_heads => Some("self_attn.k_norm"),
            _ => None,
        }
    }

    /// Whether some architecture has a norm of this name.
    pub fn is_name(name: &str) -> bool {
        Architecture::ALL.into_iter().any(|architecture| {
            let paths = Self::ALL.map(|norm| norm.path(architecture));
            let mut names = paths.iter().flatten().map(|path| path.rsplit('.').next());
            names.any(|last| last == Some(name))
        })
    }

    /// Number of weights.
    pub fn width(self, config: &ModelConfig) -> usize {
        let heads = match (self, config.norms_by_head()) {
            (Self::Query, false) => config.heads,
            (Self::Key, false) => config.kv_heads,
            (Self::Query | Self::Key, true) => 1,
            _ => return config.d_model,
        };
        heads * config.head_dim
    }
}
