//! Storage of the frozen base in memory.

use std::{fmt, ops::Range, str::FromStr};

use crate::{
    TuningError,
    kernels::gemm::compact::{Compact, Rounding, round_rows_to},
    model::weights::WeightSource,
    ops::Stored,
};

/// Storage of the frozen base's matrices. Norms and biases are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// As in the files: 4 and 8 bits and 16-bit floats are kept, without a change of any value.
    #[default]
    Auto,
    /// Unchanged values in f32: more memory, slower generation.
    F32,
    /// Rounded to bf16.
    Bf16,
    /// Rounded to 8 bits with a scale for every 32 values.
    Q8,
    /// Rounded to 4 bits with a scale and a least value for every 32 values.
    Q4,
}

impl Base {
    /// All variants, in the order of this page.
    pub const ALL: [Self; 5] = [Self::Auto, Self::F32, Self::Bf16, Self::Q8, Self::Q4];

    /// Name on command lines: `auto`, `f32`, `bf16`, `q8`, `q4`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Base {
    type Err = TuningError;

    fn from_str(name: &str) -> Result<Self, TuningError> {
        let found = Self::ALL.into_iter().find(|base| base.name() == name);
        found.ok_or_else(|| {
            TuningError::Config(format!("base {name:?} is none of auto, f32, bf16, q8, q4"))
        })
    }
}

/// A source whose matrices are stored as a [`Base`] says. The rounded values are the model's
/// values: digest, training and generation all use them.
pub(crate) struct Kept<'a> {
    pub(crate) source: &'a dyn WeightSource,
    pub(crate) base: Base,
}

impl Kept<'_> {
    fn rounding(&self) -> Option<Rounding> {
        match self.base {
            Base::Auto | Base::F32 => None,
            Base::Bf16 => Some(Rounding::Bf16),
            Base::Q8 => Some(Rounding::Q8),
            Base::Q4 => Some(Rounding::Q4),
        }
    }

    /// Rounds a matrix; `None` where values stay unchanged, which includes matrices whose rows are
    /// not whole blocks.
    fn rounded(&self, values: &[f32], [out, inner]: [usize; 2]) -> Option<Compact> {
        round_rows_to(values, out, inner, self.rounding()?)
    }
}

impl WeightSource for Kept<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError> {
        let values = self.source.tensor(name, shape)?;
        if let &[out, inner] = shape
            && let Some(compact) = self.rounded(&values, [out, inner])
        {
            return Ok(compact.values());
        }
        Ok(values)
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Stored, TuningError> {
        if self.base == Base::Auto {
            return self.source.matrix(name, shape);
        }
        self.rows(name, shape, 0..shape[0])
    }

    fn rows(
        &self,
        name: &str,
        shape: [usize; 2],
        rows: Range<usize>,
    ) -> Result<Stored, TuningError> {
        if self.base == Base::Auto {
            return self.source.rows(name, shape, rows);
        }
        let [_, inner] = shape;
        let count = rows.len();
        let values = match self.source.rows(name, shape, rows)? {
            Stored::Dense(values) => values,
            Stored::Compact(compact) => compact.values(),
        };
        // A row is rounded by itself.
        Ok(match self.rounded(&values, [count, inner]) {
            Some(compact) => Stored::Compact(compact),
            None => Stored::Dense(values),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for base in Base::ALL {
            assert_eq!(base.name().parse::<Base>().unwrap(), base);
        }
        assert!("q3".parse::<Base>().is_err());
    }
}
