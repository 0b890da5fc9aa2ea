//! Matrices of a decoder block, and the modules that hold them.

use std::ops::Range;

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

/// A module of a decoder block with a matrix, as checkpoints and PEFT name it: one of our matrices, or
/// several, one below the other.
#[derive(Debug, PartialEq, Eq)]
pub struct Module {
    /// Name of the module, without its block.
    pub name: &'static str,
    /// Path inside a layer, as in `self_attn.q_proj`.
    pub path: &'static str,
    /// The matrices, from the first row on.
    pub parts: &'static [Target],
}

/// Modules with one matrix each, in the order of a block.
const SINGLE: [Module; 7] = [
    module("q_proj", "self_attn.q_proj", &[Target::Q]),
    module("k_proj", "self_attn.k_proj", &[Target::K]),
    module("v_proj", "self_attn.v_proj", &[Target::V]),
    module("o_proj", "self_attn.o_proj", &[Target::O]),
    module("gate_proj", "mlp.gate_proj", &[Target::Gate]),
    module("up_proj", "mlp.up_proj", &[Target::Up]),
    module("down_proj", "mlp.down_proj", &[Target::Down]),
];

/// Modules of an architecture that fuses matrices with the same input.
const FUSED: [Module; 4] = [
    module(
        "qkv_proj",
        "self_attn.qkv_proj",
        &[Target::Q, Target::K, Target::V],
    ),
    module("o_proj", "self_attn.o_proj", &[Target::O]),
    module(
        "gate_up_proj",
        "mlp.gate_up_proj",
        &[Target::Gate, Target::Up],
    ),
    module("down_proj", "mlp.down_proj", &[Target::Down]),
];

const fn module(name: &'static str, path: &'static str, parts: &'static [Target]) -> Module {
    Module { name, path, parts }
}

impl Module {
    /// Whether some architecture has a module of this name.
    pub fn is_name(name: &str) -> bool {
        Self::all().any(|module| module.name == name)
    }

    /// Every module of any architecture, in the order of a block.
    pub fn all() -> impl Iterator<Item = &'static Module> {
        SINGLE.iter().chain(&FUSED)
    }

    /// `[out, in]` of the whole matrix.
    pub fn shape(&self, config: &ModelConfig) -> [usize; 2] {
        let shapes = self.parts.iter().map(|part| part.shape(config));
        shapes.fold([0, 0], |[rows, _], [out, inner]| [rows + out, inner])
    }

    /// Whether (IA)^3 scales the input.
    pub fn scales_input(&self) -> bool {
        self.parts.iter().any(|part| part.scales_input())
    }
}

/// Place of a matrix in its module.
pub struct Place {
    /// The module.
    pub module: &'static Module,
    /// Rows of the module's matrix.
    pub rows: Range<usize>,
    /// `[out, in]` of the module's matrix.
    pub shape: [usize; 2],
}

impl ModelConfig {
    /// Modules of a block that have a matrix, in order.
    pub fn modules(&self) -> &'static [Module] {
        match self.family.architecture.is_fused() {
            true => &FUSED,
            false => &SINGLE,
        }
    }

    /// The place of a matrix in the module that a checkpoint keeps it in.
    pub fn place(&self, target: Target) -> Place {
        let (module, index) = match (self.family.architecture.is_fused(), target) {
            (false, _) => (&SINGLE[target as usize], 0),
            (true, Target::Q) => (&FUSED[0], 0),
            (true, Target::K) => (&FUSED[0], 1),
            (true, Target::V) => (&FUSED[0], 2),
            (true, Target::O) => (&FUSED[1], 0),
            (true, Target::Gate) => (&FUSED[2], 0),
            (true, Target::Up) => (&FUSED[2], 1),
            (true, Target::Down) => (&FUSED[3], 0),
        };
        let before = module.parts.iter().take(index);
        let start = before.map(|part| part.shape(self)[0]).sum();
        Place {
            module,
            rows: start..start + target.shape(self)[0],
            shape: module.shape(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Family};

    #[test]
    fn every_matrix_lies_in_its_module() {
        for architecture in Architecture::ALL {
            let config = ModelConfig {
                family: Family {
                    architecture,
                    ..Family::default()
                },
                ..ModelConfig::tiny()
            };
            for target in Target::ALL {
                let place = config.place(target);
                assert!(place.module.parts.contains(&target));
                assert_eq!(place.rows.len(), target.shape(&config)[0]);
            }
            for module in config.modules() {
                let ends = module.parts.iter().map(|part| config.place(*part).rows);
                let end = ends.fold(0, |end, rows| {
                    assert_eq!(rows.start, end);
                    rows.end
                });
                assert_eq!(end, module.shape(&config)[0]);
            }
        }
    }
}
