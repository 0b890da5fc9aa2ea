//! Sources of a decoder's tensors: safetensors files, GGUF files, or memory. All sources use
//! Hugging Face names and return f32.

use std::ops::Range;

use fedseal_adapter::safetensors::{SafetensorsSource, check_finite};
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

    /// Returns some rows of a matrix `[out, inner]`, as [`matrix`](Self::matrix) does.
    fn rows(
        &self,
        name: &str,
        shape: [usize; 2],
        rows: Range<usize>,
    ) -> Result<Stored, TuningError> {
        if rows == (0..shape[0]) {
            return self.matrix(name, shape);
        }
        let values = self.tensor(name, &shape)?;
        let part = rows.start * shape[1]..rows.end * shape[1];
        let part = values.get(part).unwrap_or_default();
        Ok(Stored::Dense(part.to_vec()))
    }
}

impl WeightSource for SafetensorsSource {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError> {
        Ok(self.tensor(name, shape)?)
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Stored, TuningError> {
        self.rows(name, shape, 0..shape[0])
    }

    fn rows(
        &self,
        name: &str,
        [out, inner]: [usize; 2],
        rows: Range<usize>,
    ) -> Result<Stored, TuningError> {
        let (dtype, raw) = self.raw(name, &[out, inner])?;
        let (bits, exponent) = match dtype {
            Dtype::F16 => (Bits::F16, 0x7c00),
            Dtype::BF16 => (Bits::Bf16, 0x7f80),
            Dtype::F32 => {
                let words = raw.as_chunks::<4>().0;
                let words = words.get(rows.start * inner..rows.end * inner);
                let values = words.unwrap_or_default().iter();
                let values: Vec<f32> = values.map(|bytes| f32::from_le_bytes(*bytes)).collect();
                check_finite(name, &values)?;
                return Ok(Stored::Dense(values));
            }
            _ => {
                let mut values = self.tensor(name, &[out, inner])?;
                values.truncate(rows.end * inner);
                values.drain(..(rows.start * inner).min(values.len()));
                return Ok(Stored::Dense(values));
            }
        };
        let words = raw.as_chunks::<2>().0;
        let words = words.get(rows.start * inner..rows.end * inner);
        let words = words.unwrap_or_default();
        let word = |i: usize| words.get(i).map_or(0, |bytes| u16::from_le_bytes(*bytes));
        if (0..words.len()).any(|i| word(i) & exponent == exponent) {
            return Err(TuningError::NotFinite(format!("tensor {name}")));
        }
        let value = |row: usize, k: usize| word(row * inner + k);
        let format = Format::floats(bits);
        Ok(Stored::Compact(Compact::from_floats(
            rows.len(),
            inner,
            format,
            &value,
        )))
    }
}
