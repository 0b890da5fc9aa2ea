//! The canonical bytes of an adapter: a safetensors file that PEFT reads. Given values have exactly
//! one such file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Adapter, AdapterConfig, AdapterError, AdapterTensor, limits::MAX_ADAPTER_VALUES};

/// Longest header that is read, bytes.
const MAX_HEADER: usize = 8 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    /// [`AdapterConfig`] as JSON text, because safetensors metadata are strings.
    fedseal: String,
    format: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

#[derive(Serialize, Deserialize)]
struct Header {
    // "__metadata__" sorts before every tensor name, which starts with "base_model".
    #[serde(rename = "__metadata__")]
    metadata: Metadata,
    #[serde(flatten)]
    tensors: BTreeMap<String, Entry>,
}

fn bad(text: impl Into<String>) -> AdapterError {
    AdapterError::Adapter(text.into())
}

/// The shape in a file: PEFT's norms have one dimension.
fn file_shape(name: &str, [rows, columns]: [usize; 2]) -> Vec<usize> {
    if name.ends_with("ln_tuning_layers.weight") {
        vec![columns]
    } else {
        vec![rows, columns]
    }
}

impl Adapter {
    /// The canonical safetensors bytes: names sorted, tensors in that order without gaps, f32
    /// little-endian, metadata with the configuration, header padded to 8 bytes with spaces.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut offset = 0;
        let tensors = self
            .tensors
            .iter()
            .map(|(name, tensor)| {
                let start = offset;
                offset += tensor.data.len() * 4;
                let entry = Entry {
                    dtype: "F32".to_owned(),
                    shape: file_shape(name, tensor.shape),
                    data_offsets: [start, offset],
                };
                (name.clone(), entry)
            })
            .collect();
        // Both structures have only string keys and plain values, so this cannot fail; an empty
        // header would be refused by every reader, ours included.
        let fedseal = serde_json::to_string(&self.config).unwrap_or_default();
        let metadata = Metadata {
            fedseal,
            format: "pt".to_owned(),
        };
        let mut header = serde_json::to_vec(&Header { metadata, tensors }).unwrap_or_default();
        while !header.len().is_multiple_of(8) {
            header.push(b' ');
        }
        let mut bytes = Vec::with_capacity(8 + header.len() + offset);
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        for tensor in self.tensors.values() {
            // In one piece, which is a copy on most machines.
            let start = bytes.len();
            bytes.resize(start + 4 * tensor.data.len(), 0);
            let (_, room) = bytes.split_at_mut(start);
            let (room, _) = room.as_chunks_mut::<4>();
            for (place, value) in room.iter_mut().zip(&tensor.data) {
                *place = value.to_le_bytes();
            }
        }
        bytes
    }

    /// Reads canonical bytes and refuses all others: every adapter has exactly one byte string, so
    /// its digest identifies it.
    ///
    /// # Errors
    /// [`AdapterError::BrokenAdapter`] for a broken header, [`AdapterError::Config`] for a
    /// configuration out of range, [`AdapterError::Adapter`] for a shape that contradicts its
    /// offsets, a value that is not finite, or any other deviation.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AdapterError> {
        let (length, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or_else(|| bad("too short"))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| bad("header"))?;
        if length > MAX_HEADER || length > rest.len() {
            return Err(bad(format!(
                "header of {length} bytes in a file of {}",
                bytes.len()
            )));
        }
        let (header, body) = rest.split_at(length);
        let header: Header =
            serde_json::from_slice(header).map_err(AdapterError::broken_adapter("header"))?;
        let config: AdapterConfig = serde_json::from_str(&header.metadata.fedseal)
            .map_err(AdapterError::broken_adapter("configuration"))?;
        config.validate()?;
        let mut tensors = BTreeMap::new();
        let mut expected = 0usize;
        for (name, entry) in header.tensors {
            let shape = match entry.shape.as_slice() {
                [width] => [1, *width],
                [rows, columns] => [*rows, *columns],
                other => return Err(bad(format!("{name} has shape {other:?}"))),
            };
            let values = shape[0]
                .checked_mul(shape[1])
                .filter(|&values| values <= MAX_ADAPTER_VALUES)
                .ok_or_else(|| bad(format!("{name} is too large")))?;
            let [start, end] = entry.data_offsets;
            if entry.dtype != "F32"
                || start != expected
                || end.checked_sub(start) != Some(values * 4)
            {
                return Err(bad(format!("{name}: type, shape and offsets do not agree")));
            }
            expected = end;
            let raw = body
                .get(start..end)
                .ok_or_else(|| bad(format!("{name} is cut off")))?;
            let data: Vec<f32> = raw
                .as_chunks::<4>()
                .0
                .iter()
                .map(|chunk| f32::from_le_bytes(*chunk))
                .collect();
            if data.iter().any(|value| !value.is_finite()) {
                return Err(bad(format!("{name} has a value that is not finite")));
            }
            tensors.insert(name, AdapterTensor { shape, data });
        }
        let adapter = Self { tensors, config };
        if adapter.to_bytes() != bytes {
            return Err(bad("the bytes are not in canonical form"));
        }
        Ok(adapter)
    }

    /// SHA-256 of the canonical bytes: the adapter's name everywhere.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelConfig;

    fn adapter() -> Adapter {
        let config = AdapterConfig {
            rank: 2,
            ..AdapterConfig::default()
        };
        Adapter::init(&config, &ModelConfig::tiny(), 3).unwrap()
    }

    #[test]
    fn bytes_return_the_adapter() {
        let adapter = adapter();
        let bytes = adapter.to_bytes();
        assert_eq!(Adapter::from_bytes(&bytes).unwrap(), adapter);
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.len(), adapter.tensors.len());
    }

    #[test]
    fn every_deviation_is_refused() {
        let adapter = adapter();
        let bytes = adapter.to_bytes();
        for length in [0, 7, 8, 40, bytes.len() - 1] {
            assert!(
                Adapter::from_bytes(&bytes[..length]).is_err(),
                "cut at {length}"
            );
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(Adapter::from_bytes(&longer).is_err(), "trailing byte");
        let mut nan = bytes.clone();
        let end = nan.len();
        nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(Adapter::from_bytes(&nan).is_err(), "NaN");
        let mut huge = bytes.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(Adapter::from_bytes(&huge).is_err(), "huge header");
        // Same meaning, other bytes: one more space in the header's padding.
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut spaced = (length as u64 + 8).to_le_bytes().to_vec();
        spaced.extend_from_slice(&bytes[8..8 + length]);
        spaced.extend_from_slice(&[b' '; 8]);
        spaced.extend_from_slice(&bytes[8 + length..]);
        assert!(Adapter::from_bytes(&spaced).is_err(), "padding");
    }
}
