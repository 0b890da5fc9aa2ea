//! Matrices of a decoder block.

use super::ModelConfig;

/// A matrix of a decoder block that can carry a LoRA pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// The attention's output.
    O,
    /// The gate of the feed-forward block.
    Gate,
    /// The matrix whose output is multiplied by the activated gate.
    Up,
    /// The feed-forward block's output.
    Down,
}

impl Target {
    /// All targets, in the order of a block.
    pub const ALL: [Self; 7] = [
        Self::Q,
        Self::K,
        Self::V,
        Self::O,
        Self::Gate,
        Self::Up,
        Self::Down,
    ];

    /// The matrix of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// The name of the projection, without its block.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The path inside a layer, as in `model.layers.0.self_attn.q_proj`.
    pub fn path(self) -> String {
        let block = match self {
            Self::Q | Self::K | Self::V | Self::O => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        };
        format!("{block}.{}", self.name())
    }

    /// Whether (IA)^3 scales the matrix's input.
    pub fn scales_input(self) -> bool {
        self == Self::Down
    }

    /// `[out, in]` of the frozen matrix.
    pub fn shape(self, config: &ModelConfig) -> [usize; 2] {
        let q = config.heads * config.head_dim;
        let kv = config.kv_heads * config.head_dim;
        match self {
            Self::Q => [q, config.d_model],
            Self::K | Self::V => [kv, config.d_model],
            Self::O => [config.d_model, q],
            Self::Gate | Self::Up => [config.ffn, config.d_model],
            Self::Down => [config.d_model, config.ffn],
        }
    }
}
