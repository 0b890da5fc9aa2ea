//! Differences of published architectures from Llama's.

use serde::{Deserialize, Serialize};

use fedseal_kernels::{attention::Rule, gated::Activation};

use crate::{AdapterError, ModelConfig, Target};

/// A published decoder architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Llama 2 and 3, SmolLM2, TinyLlama.
    #[default]
    Llama,
    /// Llama with a sliding window.
    Mistral,
    /// Qwen 2 and 2.5: queries, keys and values have biases.
    Qwen2,
    /// Qwen 3: queries and keys are normalised by head.
    Qwen3,
    /// Gemma 2: norms before and after each block, capped scores and logits.
    Gemma2,
    /// Gemma 3, its text decoder: Gemma 2 with normalised queries and keys, and rotary
    /// frequencies of their own in sliding layers.
    Gemma3,
}

impl Architecture {
    /// All architectures.
    pub const ALL: [Self; 6] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::Gemma2,
        Self::Gemma3,
    ];

    /// `model_type` of `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3_text",
        }
    }

    /// Name of the class in transformers.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Gemma2 => "Gemma2ForCausalLM",
            Self::Gemma3 => "Gemma3ForCausalLM",
        }
    }

    /// Whether it is a Gemma: norms multiply by one plus their weight and also follow each block,
    /// embeddings are scaled by the root of their width, the gate is a GELU.
    pub fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }
}

/// Differences of a decoder from Llama's; the default has none.
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
    /// Base of the rotary frequencies in sliding layers, when it differs from `rope_theta`.
    pub local_rope_theta: Option<f64>,
    /// Products of queries and keys are divided by the root of this value, or by the root of a
    /// head's size when `None`.
    pub query_scale: Option<f64>,
    /// Attention scores become `cap · tanh(score / cap)`.
    pub attention_cap: Option<f64>,
    /// Logits become `cap · tanh(logit / cap)`.
    pub logit_cap: Option<f64>,
}

impl Family {
    /// Whether nothing differs from Llama's decoder.
    pub fn is_llama(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn validate(&self, layers: usize) -> Result<(), AdapterError> {
        let bad = |text: String| Err(AdapterError::Format(text));
        if self.window == Some(0) {
            return bad("sliding_window is 0".to_owned());
        }
        if !self.sliding.is_empty() && self.sliding.len() != layers {
            return bad(format!(
                "layer_types names {} layers of {layers}",
                self.sliding.len()
            ));
        }
        for (name, value) in [
            ("rope_local_base_freq", self.local_rope_theta),
            ("query_pre_attn_scalar", self.query_scale),
            ("attn_logit_softcapping", self.attention_cap),
            ("final_logit_softcapping", self.logit_cap),
        ] {
            if value.is_some_and(|value| !(value.is_finite() && value > 0.0 && value < 1e9)) {
                return bad(format!("{name} is {value:?}"));
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

    /// How a layer's products of queries and keys become weights.
    pub fn attention_rule(&self, layer: usize) -> Rule {
        let usual = Rule::of_dim(self.head_dim);
        let scale = self.family.query_scale;
        Rule {
            scale: scale.map_or(usual.scale, |scale| (1.0 / scale.sqrt()) as f32),
            cap: self.family.attention_cap.map(|cap| cap as f32),
            window: self.family.window.filter(|_| self.slides(layer)),
        }
    }

    /// Factor of the embeddings.
    pub fn embedding_scale(&self) -> f32 {
        if self.family.architecture.is_gemma() {
            (self.d_model as f64).sqrt() as f32
        } else {
            1.0
        }
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
    /// On each head's queries.
    Query,
    /// On each head's keys.
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
        let gemma = architecture.is_gemma();
        let by_head = matches!(architecture, Architecture::Qwen3 | Architecture::Gemma3);
        match self {
            Self::AttentionIn => Some("input_layernorm"),
            // Llama names the norm before its second block after the first.
            Self::FfnIn if gemma => Some("pre_feedforward_layernorm"),
            Self::FfnIn => Some("post_attention_layernorm"),
            Self::AttentionOut if gemma => Some("post_attention_layernorm"),
            Self::FfnOut if gemma => Some("post_feedforward_layernorm"),
            Self::Query if by_head => Some("self_attn.q_norm"),
            Self::Key if by_head => Some("self_attn.k_norm"),
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
        match self {
            Self::Query | Self::Key => config.head_dim,
            _ => config.d_model,
        }
    }
}
