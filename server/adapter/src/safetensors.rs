//! Tensors of safetensors files.

use std::{collections::BTreeMap, path::Path};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use crate::AdapterError;

/// The safetensors files of a checkpoint, in memory.
pub struct SafetensorsSource {
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
    ///
    /// # Errors
    /// [`AdapterError::Io`] for a file that cannot be read, [`AdapterError::Broken`] and
    /// [`AdapterError::Format`] for a broken one.
    pub fn open(dir: &Path) -> Result<Self, AdapterError> {
        let single = dir.join("model.safetensors");
        if single.is_file() {
            let bytes = std::fs::read(&single).map_err(AdapterError::io(&single))?;
            return Self::from_files(vec![bytes]);
        }
        let path = dir.join("model.safetensors.index.json");
        let index = std::fs::read(&path).map_err(AdapterError::io(&path))?;
        let index: serde_json::Value = serde_json::from_slice(&index)
            .map_err(AdapterError::broken(path.display().to_string()))?;
        let mut names: Vec<&str> = index
            .get("weight_map")
            .and_then(serde_json::Value::as_object)
            .ok_or_else(|| AdapterError::Format(format!("{}: no weight_map", path.display())))?
            .values()
            .filter_map(serde_json::Value::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        let mut files = Vec::with_capacity(names.len());
        for name in names {
            // A name with a folder in it could read any file on the disk.
            if name.contains(['/', '\\']) || name.starts_with('.') {
                return Err(AdapterError::Format(format!("shard name {name:?}")));
            }
            let path = dir.join(name);
            files.push(std::fs::read(&path).map_err(AdapterError::io(&path))?);
        }
        Self::from_files(files)
    }

    /// Reads the headers; a tensor in two files is an error.
    ///
    /// # Errors
    /// [`AdapterError::Broken`] for a broken file, [`AdapterError::Format`] for a repeated tensor.
    pub fn from_files(files: Vec<Vec<u8>>) -> Result<Self, AdapterError> {
        let mut index = BTreeMap::new();
        for (file, bytes) in files.iter().enumerate() {
            let tensors =
                SafeTensors::deserialize(bytes).map_err(AdapterError::broken("safetensors"))?;
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
                    return Err(AdapterError::Format(format!("tensor {name} occurs twice")));
                }
            }
        }
        Ok(Self { files, index })
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }
}

impl SafetensorsSource {
    /// Type and bytes of a tensor of exactly this shape.
    ///
    /// # Errors
    /// [`AdapterError::MissingTensor`] and [`AdapterError::Shape`].
    pub fn raw(&self, name: &str, shape: &[usize]) -> Result<(Dtype, &[u8]), AdapterError> {
        let entry = self
            .index
            .get(name)
            .ok_or_else(|| AdapterError::MissingTensor(name.to_owned()))?;
        check_shape(name, &entry.shape, shape)?;
        let raw = self
            .files
            .get(entry.file)
            .and_then(|file| file.get(entry.range.clone()))
            .ok_or_else(|| AdapterError::Format(format!("tensor {name} is cut off")))?;
        Ok((entry.dtype, raw))
    }

    /// The values of a tensor of exactly this shape, row-major: f32, f16 or bf16 in the file.
    ///
    /// # Errors
    /// As [`raw`](Self::raw); [`AdapterError::Unsupported`] for another type,
    /// [`AdapterError::NotFinite`] for a value that is not finite.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, AdapterError> {
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
                return Err(AdapterError::Unsupported(format!(
                    "tensor {name} of type {other:?}"
                )));
            }
        };
        check_finite(name, &values)?;
        Ok(values)
    }
}

/// Checks that both shapes are the same.
///
/// # Errors
/// [`AdapterError::Shape`] when they are not.
pub fn check_shape(name: &str, found: &[usize], expected: &[usize]) -> Result<(), AdapterError> {
    if found == expected {
        return Ok(());
    }
    Err(AdapterError::Shape {
        name: name.to_owned(),
        found: found.to_vec(),
        expected: expected.to_vec(),
    })
}

/// Checks that every value is finite.
///
/// # Errors
/// [`AdapterError::NotFinite`] when one is not.
pub fn check_finite(name: &str, values: &[f32]) -> Result<(), AdapterError> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(AdapterError::NotFinite(format!("tensor {name}")))
}
