//! The shape of a decoder, as `config.json` or GGUF metadata give it.

mod decoder;
mod family;
mod json;
mod rope_scaling;
mod target;

use serde::{Deserialize, Serialize};

pub use decoder::{Family, Norm};
pub use family::Architecture;
pub use rope_scaling::{RopeScaling, longrope_magnitude, yarn_magnitude};
pub use target::{Module, Place, Target};

use crate::AdapterError;

/// Shape and constants of a decoder. Field names are those of this project; `config.json` is read
/// and written with the names of Hugging Face's Llama configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of decoder blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Inner width of the SwiGLU block.
    pub ffn: usize,
    /// Number of token ids.
    pub vocab: usize,
    /// Base of the rotary position frequencies.
    pub rope_theta: f64,
    /// How positions beyond the trained length are stretched.
    #[serde(default)]
    pub rope_scaling: RopeScaling,
    /// Epsilon of RMSNorm.
    pub norm_eps: f64,
    /// Longest sequence in tokens.
    pub max_positions: usize,
    /// Whether the output matrix is the embedding matrix.
    pub tied_embeddings: bool,
    /// Differences from Llama's decoder.
    #[serde(default, skip_serializing_if = "Family::is_llama")]
    pub family: Family,
}

/// Largest value of any dimension that is accepted from a file.
const MAX_DIM: usize = 1 << 20;
/// Most decoder blocks that are accepted from a file.
pub const MAX_LAYERS: usize = 512;

impl ModelConfig {
    /// Checks that the numbers fit each other and stay within the engine's limits.
    ///
    /// # Errors
    /// [`AdapterError::Format`] that names the field.
    pub fn validate(&self) -> Result<(), AdapterError> {
        let bad = |text: String| Err(AdapterError::Format(text));
        for (name, value) in [
            ("hidden_size", self.d_model),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("intermediate_size", self.ffn),
            ("vocab_size", self.vocab),
            ("max_position_embeddings", self.max_positions),
        ] {
            if value == 0 || value > MAX_DIM {
                return bad(format!("{name} is {value}, not in 1..={MAX_DIM}"));
            }
        }
        if self.layers == 0 || self.layers > MAX_LAYERS {
            return bad(format!("{} layers, not in 1..={MAX_LAYERS}", self.layers));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return bad(format!(
                "{} heads over {} key heads",
                self.heads, self.kv_heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) || self.head_dim > 1024 {
            return bad(format!("head size {} is odd or above 1024", self.head_dim));
        }
        // The rotary table has a cosine and a sine for each; this bounds it at 128 MiB.
        if self.max_positions * self.head_dim > 1 << 25 {
            return bad(format!(
                "{} positions for heads of {}",
                self.max_positions, self.head_dim
            ));
        }
        // Keeps every product of two widths far below overflow.
        if self.heads * self.head_dim > MAX_DIM {
            return bad(format!("{} heads of {}", self.heads, self.head_dim));
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 1.0) {
            return bad(format!("rope_theta is {}", self.rope_theta));
        }
        if !(self.norm_eps.is_finite() && self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return bad(format!("rms_norm_eps is {}", self.norm_eps));
        }
        self.family.validate(self.layers, self.head_dim)
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        let matrices = Target::ALL.map(|target| {
            let [out, inner] = target.shape(self);
            out * inner + if self.has_bias(target) { out } else { 0 }
        });
        let architecture = self.family.architecture;
        let norms = Norm::ALL.map(|norm| norm.path(architecture).map_or(0, |_| norm.width(self)));
        let layer = matrices.iter().sum::<usize>() + norms.iter().sum::<usize>();
        let head = if self.tied_embeddings {
            0
        } else {
            self.vocab * self.d_model
        };
        self.layers * layer + self.vocab * self.d_model + self.d_model + head
    }

    /// A configuration small enough for unit tests.
    #[doc(hidden)]
    pub fn tiny() -> Self {
        Self {
            d_model: 16,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 4,
            ffn: 24,
            vocab: 40,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            norm_eps: 1e-5,
            max_positions: 64,
            tied_embeddings: true,
            family: Family::default(),
        }
    }
}
