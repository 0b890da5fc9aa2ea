//! Sources of a decoder's tensors: safetensors files, GGUF files, or memory. All sources use
//! Hugging Face names and return f32.

use fedseal_adapter::safetensors::SafetensorsSource;
use safetensors::Dtype;

use crate::{
    TuningError,
    kernels::gemm::compact::{Bits, Compact, Format},
    ops::Stored,
};

/// A set of named tensors.
pub(crate) trait WeightSource: Sync {
    /// Returns the values of a tensor of exactly this shape, row-major.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError>;

    /// Returns the values of a matrix `[out, inner]`, in few bits where the source stores them so.
    fn matrix(&self, name: &str, [out, inner]: [usize; 2]) -> Result<Stored, TuningError> {
        self.tensor(name, &[out, inner]).map(Stored::Dense)
    }
}

impl WeightSource for SafetensorsSource {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError> {
        Ok(self.tensor(name, shape)?)
    }

    fn matrix(&self, name: &str, [out, inner]: [usize; 2]) -> Result<Stored, TuningError> {
        let (dtype, raw) = self.raw(name, &[out, inner])?;
        let (bits, exponent) = match dtype {
            Dtype::F16 => (Bits::F16, 0x7c00),
            Dtype::BF16 => (Bits::Bf16, 0x7f80),
            _ => return Ok(Stored::Dense(self.tensor(name, &[out, inner])?)),
        };
        let words = raw.as_chunks::<2>().0;
        let word = |i: usize| words.get(i).map_or(0, |bytes| u16::from_le_bytes(*bytes));
        if (0..words.len()).any(|i| word(i) & exponent == exponent) {
            return Err(TuningError::NotFinite(format!("tensor {name}")));
        }
        let value = |row: usize, k: usize| word(row * inner + k);
        let format = Format::floats(bits);
        Ok(Stored::Compact(Compact::from_floats(
            out, inner, format, &value,
        )))
    }
}
