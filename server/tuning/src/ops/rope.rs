//! Rotary position embeddings.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

/// How a checkpoint stretches its positions beyond the trained length.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum RopeScaling {
    /// Positions as they are.
    #[default]
    None,
    /// Every frequency divided by `factor` (`rope_type` "linear").
    Linear {
        /// How many times longer the context became.
        factor: f64,
    },
    /// Frequencies scaled by wavelength (`rope_type` "llama3").
    Llama3 {
        /// How many times longer the context became.
        factor: f64,
        /// `low_freq_factor` of the configuration.
        low_freq_factor: f64,
        /// `high_freq_factor` of the configuration.
        high_freq_factor: f64,
        /// `original_max_position_embeddings` of the configuration.
        original_positions: f64,
    },
}

impl RopeScaling {
    fn apply(self, frequency: f64) -> f64 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_positions,
            } => {
                let wavelength = 2.0 * std::f64::consts::PI / frequency;
                if wavelength < original_positions / high_freq_factor {
                    frequency
                } else if wavelength > original_positions / low_freq_factor {
                    frequency / factor
                } else {
                    let smooth = (original_positions / wavelength - low_freq_factor)
                        / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        }
    }
}

/// Cosines and sines of every position, made once per model.
#[derive(Clone, Debug)]
pub struct RopeTable {
    half: usize,
    positions: usize,
    /// `[positions, half]`
    cos: Arc<Vec<f32>>,
    /// `[positions, half]`
    sin: Arc<Vec<f32>>,
}

impl RopeTable {
    /// Angles `position · theta^(-2i / head_dim)` for positions below `max_positions`.
    ///
    /// Computed in f64 and rounded once, so the table does not depend on the C library.
    ///
    /// # Panics
    /// When `head_dim` is odd.
    pub fn new(head_dim: usize, theta: f64, max_positions: usize, scaling: RopeScaling) -> Self {
        assert!(head_dim % 2 == 0, "rotary embeddings need an even head size");
        let half = head_dim / 2;
        // The frequency is rounded to f32 first, as the reference implementation does.
        let frequencies: Vec<f64> = (0..half)
            .map(|i| {
                let frequency = theta.powf(-(2.0 * i as f64) / head_dim as f64);
                f64::from(scaling.apply(frequency) as f32)
            })
            .collect();
        let mut cos = Vec::with_capacity(max_positions * half);
        let mut sin = Vec::with_capacity(max_positions * half);
        for position in 0..max_positions {
            for frequency in &frequencies {
                // The product too is an f32 there; far positions would differ otherwise.
                let angle = f64::from((position as f64 * frequency) as f32);
                cos.push(angle.cos() as f32);
                sin.push(angle.sin() as f32);
            }
        }
        Self {
            half,
            positions: max_positions,
            cos: Arc::new(cos),
            sin: Arc::new(sin),
        }
    }

    /// Size of a head.
    pub fn head_dim(&self) -> usize {
        2 * self.half
    }

    /// Number of positions in the table.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Cosines of one position, `[head_dim / 2]`.
    pub(crate) fn cos(&self, position: usize) -> &[f32] {
        &self.cos[position * self.half..(position + 1) * self.half]
    }

    /// Sines of one position, `[head_dim / 2]`.
    pub(crate) fn sin(&self, position: usize) -> &[f32] {
        &self.sin[position * self.half..(position + 1) * self.half]
    }
}

/// Rotates `[tokens, heads, head_dim]` by position, halves against each other (the layout
/// of Hugging Face checkpoints).
///
/// # Panics
/// When a position lies outside the table, or there is not one position per token.
pub fn rope(x: Tensor<3>, table: &RopeTable, positions: &[u32]) -> Tensor<3> {
    let [tokens, heads, head_dim] = x.dims();
    assert_eq!(tokens, positions.len(), "one position per token");
    assert_eq!(head_dim, table.head_dim(), "the table belongs to another head size");
    let gather = |row: &dyn Fn(usize) -> Vec<f32>| -> Tensor<3> {
        let data: Vec<f32> = positions.iter().flat_map(|&p| row(p as usize)).collect();
        Tensor::from_data(TensorData::new(data, [tokens, 1, table.half]), &x.device())
            .without_autodiff()
    };
    let cos = gather(&|p| table.cos(p).to_vec());
    let sin = gather(&|p| table.sin(p).to_vec());
    let left = x.clone().slice([0..tokens, 0..heads, 0..table.half]);
    let right = x.slice([0..tokens, 0..heads, table.half..head_dim]);
    Tensor::cat(
        vec![
            left.clone() * cos.clone() - right.clone() * sin.clone(),
            right * cos + left * sin,
        ],
        2,
    )
}
