//! The tensors of GGUF files under the names of a checkpoint.

use std::{collections::BTreeSet, ops::Range};

use fedseal_adapter::safetensors::{check_finite, check_shape};

use super::{
    architecture::Shape,
    blocks::BlockType,
    matrix,
    names::{gguf_name, moved_row},
    rope,
    tensors::Tensors,
};
use crate::{
    ModelConfig, TuningError,
    model::{contents::expected_tensors, weights::WeightSource},
    ops::Stored,
};

/// A source of tensors with their Hugging Face names.
pub(crate) struct GgufSource {
    tensors: Tensors,
    config: ModelConfig,
    moves_rows: bool,
}

impl GgufSource {
    /// Takes the tensors of a model; an error names one that its architecture does not have.
    pub(super) fn new(tensors: Tensors, shape: Shape) -> Result<Self, TuningError> {
        let source = Self {
            tensors,
            config: shape.config,
            moves_rows: shape.moves_rows,
        };
        source.refuse_others()?;
        Ok(source)
    }

    fn refuse_others(&self) -> Result<(), TuningError> {
        let architecture = self.config.family.architecture;
        let expected: BTreeSet<String> = expected_tensors(&self.config)
            .iter()
            .filter_map(|(name, _)| gguf_name(architecture, name))
            .collect();
        let unknown = |name: &&str| !expected.contains(*name) && !rope::TENSORS.contains(name);
        match self.tensors.names().find(unknown) {
            None => Ok(()),
            Some(name) => Err(TuningError::Unsupported(format!(
                "GGUF: tensor {name}, which {} does not have",
                architecture.model_type()
            ))),
        }
    }

    /// Returns type and bytes of a tensor.
    fn raw(&self, name: &str, shape: &[usize]) -> Result<(BlockType, &[u8]), TuningError> {
        let stored = gguf_name(self.config.family.architecture, name);
        let found = stored.as_deref().and_then(|name| self.tensors.get(name));
        let (found, kind, raw) = found.ok_or_else(|| match stored.as_deref() {
            Some(stored) => TuningError::MissingTensor(format!("{name} ({stored})")),
            None => TuningError::MissingTensor(name.to_owned()),
        })?;
        check_shape(name, found, shape)?;
        Ok((kind, raw))
    }

    /// Returns the values of some rows of a matrix. Those of the others are not decoded: a fused matrix is
    /// asked for one part after the other.
    pub(super) fn decoded(
        &self,
        name: &str,
        [out, inner]: [usize; 2],
        rows: Range<usize>,
    ) -> Result<Vec<f32>, TuningError> {
        let (kind, raw) = self.raw(name, &[out, inner])?;
        let (values, bytes) = kind.block();
        let length = inner / values * bytes;
        let bytes_of = |rows: Range<usize>| {
            raw.get(rows.start * length..rows.end * length)
                .unwrap_or_default()
        };
        let values = match self.is_moved(name) {
            false => kind.decode(bytes_of(rows)),
            true => rows
                .flat_map(|row| {
                    let row = moved_row(row, self.config.head_dim);
                    kind.decode(bytes_of(row..row + 1))
                })
                .collect(),
        };
        check_finite(name, &values)?;
        Ok(values)
    }

    /// Whether llama.cpp's converter moved rows of this tensor.
    fn is_moved(&self, name: &str) -> bool {
        let moved = ["self_attn.q_proj.", "self_attn.k_proj."];
        self.moves_rows && moved.iter().any(|part| name.contains(part))
    }
}

impl WeightSource for GgufSource {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError> {
        let (kind, raw) = self.raw(name, shape)?;
        let mut values = kind.decode(raw);
        check_finite(name, &values)?;
        // The converter writes what a norm multiplies with; a checkpoint of Gemma's has one less.
        let offset = self.config.norm_offset();
        if offset != 0.0 && name.ends_with("norm.weight") {
            values.iter_mut().for_each(|value| *value -= offset);
        }
        if !self.is_moved(name) {
            return Ok(values);
        }
        let (rows, inner) = match *shape {
            [rows] => (rows, 1),
            [rows, inner] => (rows, inner),
            _ => return Ok(values),
        };
        let mut out = Vec::with_capacity(values.len());
        for row in 0..rows {
            let start = moved_row(row, self.config.head_dim) * inner;
            out.extend_from_slice(values.get(start..start + inner).unwrap_or_default());
        }
        Ok(out)
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
        let (kind, raw) = self.raw(name, &[out, inner])?;
        let head_dim = self.config.head_dim;
        let moved = self.is_moved(name);
        let row = |row: usize| match moved {
            true => moved_row(rows.start + row, head_dim),
            false => rows.start + row,
        };
        match matrix::compact(kind, raw, rows.len(), inner, &row) {
            Some(Some(compact)) => Ok(Stored::Compact(compact)),
            Some(None) => Err(TuningError::NotFinite(format!("tensor {name}"))),
            None => self.decoded(name, [out, inner], rows).map(Stored::Dense),
        }
    }
}
