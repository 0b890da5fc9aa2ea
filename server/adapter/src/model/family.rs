//! Published architectures: a name and a row of traits for each. A row says what the architecture's own code
//! in transformers 5.24 does, and what its configuration class takes where `config.json` is silent.

use serde::{Deserialize, Serialize};

/// A published decoder architecture. What sets it apart is its row at the end of this file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Llama 2 and 3, SmolLM2, TinyLlama, Falcon 3.
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
    /// Gemma 1: Llama with Gemma's norms, scaled embeddings and GELU.
    Gemma,
    /// Phi 3, 3.5 and 4: queries, keys and values in one matrix, gate and up in another.
    Phi3,
    /// SmolLM 3: layers without rotary embedding.
    SmolLm3,
    /// Granite 3: multipliers of embeddings, scores, blocks and logits.
    Granite,
    /// OLMo 2: norms after each block, and over all queries and all keys.
    Olmo2,
    /// Ministral: Mistral whose layers slide or not.
    Ministral,
    /// OLMo 3: OLMo 2 with sliding layers, whose rotary embedding is not scaled.
    Olmo3,
}

impl Architecture {
    /// All architectures.
    pub const ALL: [Self; ROWS.len()] = {
        let mut all = [Self::Llama; ROWS.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = ROWS[i].architecture;
            i += 1;
        }
        all
    };

    /// Traits that set the architecture apart.
    pub(super) fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// `model_type` of `config.json`.
    pub fn model_type(self) -> &'static str {
        self.row().model_type
    }

    /// Name of the class in transformers.
    pub(super) fn class(self) -> &'static str {
        self.row().class
    }

    /// Whether it is a Gemma: norms multiply by one plus their weight, embeddings are scaled by the
    /// root of their width, the gate is a GELU.
    pub fn is_gemma(self) -> bool {
        self.row().gemma
    }

    /// Whether a checkpoint keeps queries, keys and values in one matrix, and gate and up in another.
    pub fn is_fused(self) -> bool {
        self.row().fused
    }
}

/// Norms of a block, beside those of queries and keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NormPlaces {
    /// Before the attention and before the feed-forward part.
    Before,
    /// Before and after both.
    Around,
    /// After both.
    After,
}

/// Norms of queries and keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadNorm {
    None,
    /// Each head by itself.
    EachHead,
    /// All heads together.
    Whole,
}

/// Layers that have a sliding window where `layer_types` does not name them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Windows {
    /// None, whatever the file says.
    Never,
    /// All, where there is a size: the file's or this one.
    Every(Option<usize>),
    /// With `use_sliding_window`, those from `max_window_layers` on.
    FromLayer,
    /// With `use_sliding_window`, those without rotary embedding.
    Unrotated,
    /// All but each last of so many.
    AllBut(usize),
}

/// Biases of the attention.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Biases {
    /// All four or none, by `attention_bias`.
    Asked,
    /// Queries, keys and values always, the output never.
    Inputs,
    /// None, whatever the file says.
    Never,
}

/// Traits that set an architecture apart.
pub(super) struct Row {
    pub(super) architecture: Architecture,
    pub(super) model_type: &'static str,
    /// Class in transformers.
    pub(super) class: &'static str,
    pub(super) norms: NormPlaces,
    pub(super) head_norm: HeadNorm,
    /// Norms with 1 + w, embeddings times the root of their width, GELU.
    pub(super) gemma: bool,
    /// Fused matrices: `qkv_proj` and `gate_up_proj`.
    pub(super) fused: bool,
    pub(super) biases: Biases,
    /// Whether `mlp_bias` is read.
    pub(super) mlp_bias: bool,
    pub(super) windows: Windows,
    /// Whether `no_rope_layers` is read.
    pub(super) unrotated: bool,
    /// Whether `partial_rotary_factor` is read.
    pub(super) partial_rotary: bool,
    /// Whether rotary settings are kept by kind of layer.
    pub(super) nested_rope: bool,
    /// Whether Granite's multipliers are read.
    pub(super) multipliers: bool,
    /// Size of a head; `None` is `hidden_size / num_attention_heads`.
    pub(super) head_dim: Option<usize>,
    pub(super) rope_theta: f64,
    pub(super) norm_eps: f64,
    pub(super) max_positions: usize,
    pub(super) tied: bool,
}

const LLAMA: Row = Row {
    architecture: Architecture::Llama,
    model_type: "llama",
    class: "LlamaForCausalLM",
    norms: NormPlaces::Before,
    head_norm: HeadNorm::None,
    gemma: false,
    fused: false,
    biases: Biases::Asked,
    mlp_bias: true,
    windows: Windows::Never,
    unrotated: false,
    partial_rotary: false,
    nested_rope: false,
    multipliers: false,
    head_dim: None,
    rope_theta: 10_000.0,
    norm_eps: 1e-6,
    max_positions: 2048,
    tied: false,
};

const MISTRAL: Row = Row {
    architecture: Architecture::Mistral,
    model_type: "mistral",
    class: "MistralForCausalLM",
    biases: Biases::Never,
    mlp_bias: false,
    windows: Windows::Every(Some(4096)),
    max_positions: 131_072,
    ..LLAMA
};

const QWEN2: Row = Row {
    architecture: Architecture::Qwen2,
    model_type: "qwen2",
    class: "Qwen2ForCausalLM",
    biases: Biases::Inputs,
    mlp_bias: false,
    windows: Windows::FromLayer,
    max_positions: 32_768,
    ..LLAMA
};

const GEMMA: Row = Row {
    architecture: Architecture::Gemma,
    model_type: "gemma",
    class: "GemmaForCausalLM",
    gemma: true,
    mlp_bias: false,
    head_dim: Some(256),
    max_positions: 8192,
    tied: true,
    ..LLAMA
};

const OLMO2: Row = Row {
    architecture: Architecture::Olmo2,
    model_type: "olmo2",
    class: "Olmo2ForCausalLM",
    norms: NormPlaces::After,
    head_norm: HeadNorm::Whole,
    mlp_bias: false,
    norm_eps: 1e-5,
    ..LLAMA
};

/// The rows, in the order of [`Architecture`].
const ROWS: &[Row] = &[
    LLAMA,
    MISTRAL,
    QWEN2,
    Row {
        architecture: Architecture::Qwen3,
        model_type: "qwen3",
        class: "Qwen3ForCausalLM",
        head_norm: HeadNorm::EachHead,
        biases: Biases::Asked,
        head_dim: Some(128),
        ..QWEN2
    },
    Row {
        architecture: Architecture::Gemma2,
        model_type: "gemma2",
        class: "Gemma2ForCausalLM",
        norms: NormPlaces::Around,
        windows: Windows::AllBut(2),
        ..GEMMA
    },
    Row {
        architecture: Architecture::Gemma3,
        model_type: "gemma3_text",
        class: "Gemma3ForCausalLM",
        norms: NormPlaces::Around,
        head_norm: HeadNorm::EachHead,
        windows: Windows::AllBut(6),
        nested_rope: true,
        rope_theta: 1_000_000.0,
        max_positions: 131_072,
        ..GEMMA
    },
    GEMMA,
    Row {
        architecture: Architecture::Phi3,
        model_type: "phi3",
        class: "Phi3ForCausalLM",
        fused: true,
        biases: Biases::Never,
        mlp_bias: false,
        windows: Windows::Every(None),
        partial_rotary: true,
        norm_eps: 1e-5,
        max_positions: 4096,
        ..LLAMA
    },
    Row {
        architecture: Architecture::SmolLm3,
        model_type: "smollm3",
        class: "SmolLM3ForCausalLM",
        windows: Windows::Unrotated,
        unrotated: true,
        rope_theta: 2_000_000.0,
        max_positions: 32_768,
        tied: true,
        ..LLAMA
    },
    Row {
        architecture: Architecture::Granite,
        model_type: "granite",
        class: "GraniteForCausalLM",
        multipliers: true,
        ..LLAMA
    },
    OLMO2,
    Row {
        architecture: Architecture::Ministral,
        model_type: "ministral",
        class: "MinistralForCausalLM",
        ..MISTRAL
    },
    Row {
        architecture: Architecture::Olmo3,
        model_type: "olmo3",
        class: "Olmo3ForCausalLM",
        windows: Windows::AllBut(4),
        nested_rope: true,
        rope_theta: 500_000.0,
        ..OLMO2
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_architectures() {
        for (index, architecture) in Architecture::ALL.into_iter().enumerate() {
            assert_eq!(architecture as usize, index);
            assert_eq!(architecture.row().architecture, architecture);
        }
    }
}
