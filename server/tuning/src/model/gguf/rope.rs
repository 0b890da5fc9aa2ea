//! Rotary embeddings in GGUF files: scalings in the metadata, and divisors of the frequencies in
//! tensors.

use super::{
    metadata::Keys,
    reader::{bad, widened},
    tensors::Tensors,
};
use crate::{ModelConfig, TuningError, ops::RopeScaling};
use fedseal_adapter::{longrope_magnitude, yarn_magnitude};

/// Divisors that llama.cpp's converter computes from Llama 3's parameters.
const FREQS: &str = "rope_freqs.weight";
/// LongRoPE's divisors, for texts beyond the original length and up to it.
const LONG: &str = "rope_factors_long.weight";
const SHORT: &str = "rope_factors_short.weight";

/// Tensors that are read here.
pub(super) const TENSORS: [&str; 3] = [FREQS, LONG, SHORT];

/// Sets `rope_theta` and `rope_scaling`, and for LongRoPE `max_positions`, of a configuration whose
/// head size and positions are known.
pub(super) fn read(
    keys: &Keys,
    tensors: &Tensors,
    config: &mut ModelConfig,
) -> Result<(), TuningError> {
    config.rope_theta = keys.positive("rope.freq_base")?.unwrap_or(10_000.0);
    // Whether somebody trained the model with the scaling changes nothing.
    keys.name("rope.scaling.finetuned");
    let original = keys.size("rope.scaling.original_context_length")?;
    let factor = match keys.positive("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        None => keys.positive("rope.scale_linear")?,
    };
    let half = config.head_dim / 2;
    let kind = keys.text("rope.scaling.type")?.unwrap_or("linear");
    let scaling = match kind {
        "none" => RopeScaling::None,
        // A type without a factor scales nothing, as llama.cpp has it.
        "linear" => match factor {
            None | Some(1.0) => RopeScaling::None,
            Some(factor) => RopeScaling::Linear { factor },
        },
        "yarn" => yarn(keys, config, factor, original)?,
        "longrope" => RopeScaling::None,
        other => {
            return Err(TuningError::Unsupported(format!(
                "GGUF: {} {other:?}, only none, linear, yarn, longrope",
                keys.name("rope.scaling.type")
            )));
        }
    };
    let freqs = divisors(tensors, FREQS, half)?;
    let long = divisors(tensors, LONG, half)?;
    let short = divisors(tensors, SHORT, half)?;
    let both = |tensor: &str| bad(format!("{tensor} beside another rope scaling"));
    config.rope_scaling = match (scaling, freqs, long, short) {
        (scaling, None, None, None) if kind != "longrope" => scaling,
        (RopeScaling::None, Some(freqs), None, None) if kind != "longrope" => {
            of_divisors(freqs, config)
        }
        (RopeScaling::None, None, Some(long), Some(short)) => {
            let stretched = config.max_positions;
            // Texts up to the original length use the short divisors.
            let first = original.unwrap_or(stretched).min(stretched);
            let usual = longrope_magnitude(stretched as f64 / first.max(1) as f64, first as f64);
            config.max_positions = first;
            RopeScaling::LongRope {
                short,
                long,
                attention_factor: keys.positive("rope.scaling.attn_factor")?.unwrap_or(usual),
                stretched_positions: stretched,
            }
        }
        (_, Some(_), _, _) => return Err(both(FREQS)),
        (_, _, Some(_), None) => return Err(bad(format!("{LONG} without {SHORT}"))),
        (_, _, None, Some(_)) => return Err(bad(format!("{SHORT} without {LONG}"))),
        (_, _, Some(_), Some(_)) => return Err(both(LONG)),
        (_, None, None, None) => return Err(bad(format!("longrope without {LONG}"))),
    };
    if !config.rope_scaling.attention_factor().is_finite() {
        return Err(bad("rope.scaling.original_context_length is 1"));
    }
    Ok(())
}

fn yarn(
    keys: &Keys,
    config: &ModelConfig,
    factor: Option<f64>,
    original: Option<usize>,
) -> Result<RopeScaling, TuningError> {
    let factor = factor.ok_or_else(|| bad("yarn without rope.scaling.factor"))?;
    let original = original.unwrap_or(config.max_positions);
    if original == 0 {
        return Err(bad("rope.scaling.original_context_length is 0"));
    }
    if let Some(other) = keys.positive("rope.scaling.yarn_ext_factor")?
        && other != 1.0
    {
        let key = keys.name("rope.scaling.yarn_ext_factor");
        return Err(TuningError::Unsupported(format!("GGUF: {key} {other}")));
    }
    Ok(RopeScaling::Yarn {
        factor,
        beta_fast: keys
            .positive("rope.scaling.yarn_beta_fast")?
            .unwrap_or(32.0),
        beta_slow: keys.positive("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
        truncate: true,
        // The converter writes what config.json has there: the whole factor.
        attention_factor: keys
            .positive("rope.scaling.yarn_attn_factor")?
            .unwrap_or_else(|| yarn_magnitude(factor, 1.0)),
        original_positions: original as f64,
    })
}

/// Returns a tensor of one divisor for every frequency.
fn divisors(tensors: &Tensors, name: &str, half: usize) -> Result<Option<Vec<f64>>, TuningError> {
    let Some((shape, kind, raw)) = tensors.get(name) else {
        return Ok(None);
    };
    fedseal_adapter::safetensors::check_shape(name, shape, &[half])?;
    let values = kind.decode(raw);
    if values
        .iter()
        .any(|value| !(value.is_finite() && *value > 0.0))
    {
        return Err(bad(format!(
            "tensor {name} has a value that is not above 0"
        )));
    }
    Ok(Some(values.into_iter().map(widened).collect()))
}

/// Lengths that Llama 3's models were first trained with; theirs comes first.
fn first_lengths() -> impl Iterator<Item = f64> {
    std::iter::once(8192.0).chain((3..=20).map(|power| f64::from(1u32 << power)))
}

/// Returns the scaling with these divisors. The converter keeps no parameters of Llama 3's; where the
/// divisors are those of some parameters, these give the frequencies without the rounding of f32.
fn of_divisors(divisors: Vec<f64>, config: &ModelConfig) -> RopeScaling {
    let factor = divisors.iter().copied().fold(1.0, f64::max);
    if divisors.iter().all(|divisor| *divisor == 1.0) {
        return RopeScaling::None;
    }
    let plain = RopeScaling::None.frequencies(config.head_dim, config.rope_theta);
    for original_positions in first_lengths() {
        let scaling = RopeScaling::Llama3 {
            factor,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_positions,
        };
        let scaled = scaling.frequencies(config.head_dim, config.rope_theta);
        let same = plain.iter().zip(scaled).zip(&divisors);
        let same = same.fold(true, |same, ((plain, scaled), divisor)| {
            same && (plain / scaled / divisor - 1.0).abs() < 1e-5
        });
        if same {
            return scaling;
        }
    }
    RopeScaling::LongRope {
        long: divisors.clone(),
        short: divisors,
        attention_factor: 1.0,
        stretched_positions: config.max_positions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors_give_back_their_parameters() {
        let config = ModelConfig {
            head_dim: 64,
            rope_theta: 500_000.0,
            max_positions: 4096,
            ..ModelConfig::tiny()
        };
        let plain = RopeScaling::None.frequencies(64, config.rope_theta);
        let divisors = |scaling: &RopeScaling| -> Vec<f64> {
            let scaled = scaling.frequencies(64, config.rope_theta);
            let divisor = |(plain, scaled): (&f64, f64)| f64::from((plain / scaled) as f32);
            plain.iter().zip(scaled).map(divisor).collect()
        };
        for (factor, original_positions) in [(8.0, 8192.0), (32.0, 8192.0), (4.0, 64.0)] {
            let scaling = RopeScaling::Llama3 {
                factor,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_positions,
            };
            assert_eq!(of_divisors(divisors(&scaling), &config), scaling);
        }
        // Other parameters keep their divisors.
        let other = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 2.0,
            high_freq_factor: 5.0,
            original_positions: 8192.0,
        };
        let kept = of_divisors(divisors(&other), &config);
        assert!(matches!(kept, RopeScaling::LongRope { .. }), "{kept:?}");
        for (kept, other) in kept
            .frequencies(64, config.rope_theta)
            .iter()
            .zip(other.frequencies(64, config.rope_theta))
        {
            assert!((kept / other - 1.0).abs() < 1e-6);
        }
        assert_eq!(of_divisors(vec![1.0; 32], &config), RopeScaling::None);
    }
}
