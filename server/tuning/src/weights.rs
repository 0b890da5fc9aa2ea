//! Where a decoder's tensors come from: safetensors files, GGUF files, or memory. All sources
//! speak Hugging Face names and give f32.

use std::{collections::BTreeMap, path::Path};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use crate::{
    TuningError,
    kernels::gemm::compact::{Bits, Compact, Format},
};

/// A set of named tensors.
pub(crate) trait WeightSource: Sync {
    /// The values of a tensor of exactly this shape, row-major.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError>;

    /// The same values of a matrix `[out, inner]`, in few bits where the source has them so.
    fn matrix(&self, name: &str, [out, inner]: [usize; 2]) -> Result<Stored, TuningError> {
        self.tensor(name, &[out, inner]).map(Stored::Dense)
    }
}

/// A matrix, `[out, inner]`.
pub(crate) enum Stored {
    /// Row-major.
    Dense(Vec<f32>),
    /// In few bits.
    Compact(Compact),
}

/// The safetensors files of a checkpoint, in memory.
pub(crate) struct SafetensorsSource {
    files: Vec<Vec<u8>>,
    index: BTreeMap<String, Entry>,
}

struct Entry {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    range: std::ops::Range<usize>,
}

impl SafetensorsSource {
    /// `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    pub(crate) fn open(dir: &Path) -> Result<Self, TuningError> {
        let single = dir.join("model.safetensors");
        if single.is_file() {
            let bytes = std::fs::read(&single).map_err(TuningError::io(&single))?;
            return Self::from_files(vec![bytes]);
        }
        let path = dir.join("model.safetensors.index.json");
        let index = std::fs::read(&path).map_err(TuningError::io(&path))?;
        let index: serde_json::Value = serde_json::from_slice(&index)
            .map_err(|error| TuningError::Format(format!("{}: {error}", path.display())))?;
        let mut names: Vec<&str> = index
            .get("weight_map")
            .and_then(serde_json::Value::as_object)
            .ok_or_else(|| TuningError::Format(format!("{}: no weight_map", path.display())))?
            .values()
            .filter_map(serde_json::Value::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        let mut files = Vec::with_capacity(names.len());
        for name in names {
            // A name with a folder in it could read anything on the disk.
            if name.contains(['/', '\\']) || name.starts_with('.') {
                return Err(TuningError::Format(format!("shard name {name:?}")));
            }
            let path = dir.join(name);
            files.push(std::fs::read(&path).map_err(TuningError::io(&path))?);
        }
        Self::from_files(files)
    }

    /// Reads the headers; a tensor in two files is an error.
    pub(crate) fn from_files(files: Vec<Vec<u8>>) -> Result<Self, TuningError> {
        let mut index = BTreeMap::new();
        for (file, bytes) in files.iter().enumerate() {
            let tensors = SafeTensors::deserialize(bytes)
                .map_err(|error| TuningError::Format(format!("safetensors: {error}")))?;
            let base = bytes.as_ptr() as usize;
            for (name, view) in tensors.iter() {
                let start = view.data().as_ptr() as usize - base;
                let entry = Entry {
                    file,
                    dtype: view.dtype(),
                    shape: view.shape().to_vec(),
                    range: start..start + view.data().len(),
                };
                if index.insert(name.to_owned(), entry).is_some() {
                    return Err(TuningError::Format(format!("tensor {name} occurs twice")));
                }
            }
        }
        Ok(Self { files, index })
    }

    /// Names of all tensors, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }
}

impl SafetensorsSource {
    fn raw(&self, name: &str, shape: &[usize]) -> Result<(Dtype, &[u8]), TuningError> {
        let entry = self
            .index
            .get(name)
            .ok_or_else(|| TuningError::MissingTensor(name.to_owned()))?;
        check_shape(name, &entry.shape, shape)?;
        let raw = self
            .files
            .get(entry.file)
            .and_then(|file| file.get(entry.range.clone()))
            .ok_or_else(|| TuningError::Format(format!("tensor {name} is cut off")))?;
        Ok((entry.dtype, raw))
    }
}

impl WeightSource for SafetensorsSource {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError> {
        let (dtype, raw) = self.raw(name, shape)?;
        let values: Vec<f32> = match dtype {
            Dtype::F32 => raw
                .as_chunks()
                .0
                .iter()
                .map(|c| f32::from_le_bytes(*c))
                .collect(),
            Dtype::F16 => raw
                .as_chunks()
                .0
                .iter()
                .map(|c| f16::from_le_bytes(*c).to_f32())
                .collect(),
            Dtype::BF16 => raw
                .as_chunks()
                .0
                .iter()
                .map(|c| bf16::from_le_bytes(*c).to_f32())
                .collect(),
            other => {
                return Err(TuningError::Unsupported(format!(
                    "tensor {name} of type {other:?}"
                )));
            }
        };
        check_finite(name, &values)?;
        Ok(values)
    }

    fn matrix(&self, name: &str, [out, inner]: [usize; 2]) -> Result<Stored, TuningError> {
        let (dtype, raw) = self.raw(name, &[out, inner])?;
        let (bits, exponent) = match dtype {
            Dtype::F16 => (Bits::F16, 0x7c00),
            Dtype::BF16 => (Bits::Bf16, 0x7f80),
            _ => return self.tensor(name, &[out, inner]).map(Stored::Dense),
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

/// An error unless both shapes are the same.
pub(crate) fn check_shape(
    name: &str,
    found: &[usize],
    expected: &[usize],
) -> Result<(), TuningError> {
    if found == expected {
        return Ok(());
    }
    Err(TuningError::Shape {
        name: name.to_owned(),
        found: found.to_vec(),
        expected: expected.to_vec(),
    })
}

/// An error unless every value is finite.
pub(crate) fn check_finite(name: &str, values: &[f32]) -> Result<(), TuningError> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(TuningError::NotFinite(format!("tensor {name}")))
}
