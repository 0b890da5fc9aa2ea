//! How checkpoints stretch their positions: frequencies, and a factor on the rotated values.
//! The formulas are those of transformers' `modeling_rope_utils`.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How a checkpoint stretches its positions beyond the trained length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum RopeScaling {
    /// Positions unchanged.
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
    /// High frequencies unchanged, low ones divided, a ramp between them (`rope_type` "yarn", Peng
    /// et al. 2023).
    Yarn {
        /// How many times longer the context became.
        factor: f64,
        /// Rotations over the original length above which a frequency stays.
        beta_fast: f64,
        /// Rotations over the original length below which a frequency is divided by the whole
        /// factor.
        beta_slow: f64,
        /// Whether the ramp's ends are rounded to whole dimensions.
        truncate: bool,
        /// Factor of cosines and sines.
        attention_factor: f64,
        /// `original_max_position_embeddings` of the configuration.
        original_positions: f64,
    },
    /// An individual divisor for every frequency (`rope_type` "longrope", Ding et al. 2024). Texts
    /// up to the original length use the short divisors. Longer texts would need the long ones for
    /// all of their tokens and are refused.
    LongRope {
        /// `short_factor` of the configuration, `[head_dim / 2]`.
        short: Vec<f64>,
        /// `long_factor`, kept for saving, `[head_dim / 2]`.
        long: Vec<f64>,
        /// Factor of cosines and sines.
        attention_factor: f64,
        /// `max_position_embeddings`, kept for saving.
        stretched_positions: usize,
    },
}

impl RopeScaling {
    /// Factor of cosines and sines.
    pub fn attention_factor(&self) -> f64 {
        match self {
            Self::Yarn {
                attention_factor, ..
            }
            | Self::LongRope {
                attention_factor, ..
            } => *attention_factor,
            _ => 1.0,
        }
    }

    /// Frequencies of a head, `[head_dim / 2]`: `theta^(-2i / head_dim)`, scaled.
    pub fn frequencies(&self, head_dim: usize, theta: f64) -> Vec<f64> {
        let plain = (0..head_dim / 2).map(|i| theta.powf(-(2.0 * i as f64) / head_dim as f64));
        match self {
            Self::None => plain.collect(),
            Self::Linear { factor } => plain.map(|frequency| frequency / factor).collect(),
            Self::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_positions,
            } => plain
                .map(|frequency| {
                    let wavelength = 2.0 * PI / frequency;
                    if wavelength < original_positions / high_freq_factor {
                        frequency
                    } else if wavelength > original_positions / low_freq_factor {
                        frequency / factor
                    } else {
                        let smooth = (original_positions / wavelength - low_freq_factor)
                            / (high_freq_factor - low_freq_factor);
                        (1.0 - smooth) * frequency / factor + smooth * frequency
                    }
                })
                .collect(),
            Self::Yarn {
                factor,
                beta_fast,
                beta_slow,
                truncate,
                original_positions,
                ..
            } => {
                // The dimension whose frequency makes this many rotations over the original length.
                let dimension = |rotations: f64| {
                    head_dim as f64 * (original_positions / (rotations * 2.0 * PI)).ln()
                        / (2.0 * theta.ln())
                };
                let (mut low, mut high) = (dimension(*beta_fast), dimension(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, mut high) = (low.max(0.0), high.min(head_dim as f64 - 1.0));
                if low == high {
                    high += 0.001;
                }
                plain
                    .enumerate()
                    .map(|(i, frequency)| {
                        let divided = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                        frequency / factor * divided + frequency * (1.0 - divided)
                    })
                    .collect()
            }
            // The lists' lengths were checked when the configuration was read.
            Self::LongRope { short, .. } => plain
                .zip(short)
                .map(|(frequency, factor)| frequency / factor)
                .collect(),
        }
    }
}

/// YaRN's default factor of cosines and sines: `0.1 · mscale · ln(factor) + 1`.
pub fn yarn_magnitude(factor: f64, mscale: f64) -> f64 {
    if factor <= 1.0 {
        1.0
    } else {
        0.1 * mscale * factor.ln() + 1.0
    }
}

/// LongRoPE's default factor: `sqrt(1 + ln(factor) / ln(original))`.
pub fn longrope_magnitude(factor: f64, original_positions: f64) -> f64 {
    if factor <= 1.0 {
        1.0
    } else {
        (1.0 + factor.ln() / original_positions.ln()).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yarn_keeps_the_fast_and_divides_the_slow() {
        let yarn = |truncate: bool| RopeScaling::Yarn {
            factor: 4.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            truncate,
            attention_factor: 1.0,
            original_positions: 4096.0,
        };
        let plain = RopeScaling::None.frequencies(64, 10_000.0);
        for truncate in [true, false] {
            let scaled = yarn(truncate).frequencies(64, 10_000.0);
            assert_eq!(scaled[0], plain[0]);
            assert_eq!(scaled[31], plain[31] / 4.0);
            let ratios: Vec<f64> = plain.iter().zip(&scaled).map(|(p, s)| p / s).collect();
            assert!(ratios.is_sorted() && ratios[15] > 1.0 && ratios[15] < 4.0);
        }
        assert_ne!(
            yarn(true).frequencies(64, 10_000.0),
            yarn(false).frequencies(64, 10_000.0)
        );
    }

    #[test]
    fn magnitudes_are_those_of_the_papers() {
        assert_eq!(yarn_magnitude(1.0, 1.0), 1.0);
        assert!((yarn_magnitude(4.0, 1.0) - 1.138_629_436_111_989).abs() < 1e-15);
        assert_eq!(longrope_magnitude(1.0, 4096.0), 1.0);
        assert!((longrope_magnitude(32.0, 4096.0) - 1.190_238_071_423_808_3).abs() < 1e-12);
    }
}
