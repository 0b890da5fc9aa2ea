//! The tensors of a model's GGUF files, by llama.cpp's names.

use std::collections::BTreeMap;

use super::{
    blocks::BlockType,
    metadata::Metadata,
    reader::{Reader, TensorInfo, bad},
};
use crate::TuningError;

/// Most metadata entries and most tensors of a file.
const MAX_ENTRIES: u64 = 1 << 16;

/// The tensors of all files of a model.
#[derive(Default)]
pub(super) struct Tensors {
    files: Vec<File>,
    index: BTreeMap<String, TensorInfo>,
}

struct File {
    bytes: Vec<u8>,
    /// Offset of the tensor data.
    start: usize,
}

impl Tensors {
    /// Reads one more file and returns its metadata.
    pub(super) fn read(&mut self, bytes: Vec<u8>) -> Result<Metadata, TuningError> {
        let mut reader = Reader::new(&bytes);
        if reader.take(4)? != super::MAGIC {
            return Err(bad("no magic"));
        }
        let version = reader.u32()?;
        if (2..=3).contains(&version.swap_bytes()) {
            return Err(TuningError::Unsupported("GGUF: big-endian".to_owned()));
        }
        if !(2..=3).contains(&version) {
            return Err(TuningError::Unsupported(format!("GGUF version {version}")));
        }
        let (tensors, entries) = (reader.u64()?, reader.u64()?);
        if tensors > MAX_ENTRIES || entries > MAX_ENTRIES {
            return Err(bad(format!(
                "{tensors} tensors and {entries} metadata entries, at most {MAX_ENTRIES}"
            )));
        }
        let mut metadata = Metadata::default();
        for _ in 0..entries {
            let key = reader.name()?;
            let kind = reader.u32()?;
            metadata.insert(key, reader.value(kind)?)?;
        }
        let mut index = BTreeMap::new();
        for _ in 0..tensors {
            let name = reader.name()?;
            let info = reader.tensor(&name, self.files.len())?;
            if self.index.contains_key(&name) || index.contains_key(&name) {
                return Err(bad(format!("tensor {name} occurs twice")));
            }
            index.insert(name, info);
        }
        let alignment = metadata.size("general.alignment")?.unwrap_or(32);
        if !alignment.is_power_of_two() || alignment > 1 << 16 {
            return Err(bad(format!("general.alignment is {alignment}")));
        }
        let start = reader.position().next_multiple_of(alignment);
        check_places(&index, bytes.len().saturating_sub(start))?;
        self.index.append(&mut index);
        self.files.push(File { bytes, start });
        Ok(metadata)
    }

    /// Number of tensors.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// Returns shape, type and bytes of a tensor.
    pub(super) fn get(&self, name: &str) -> Option<(&[usize], BlockType, &[u8])> {
        let info = self.index.get(name)?;
        let file = self.files.get(info.file)?;
        // The places were checked when the file was read.
        let start = file.start.checked_add(info.offset)?;
        let raw = file.bytes.get(start..start.checked_add(info.length)?)?;
        Some((&info.shape, info.kind, raw))
    }
}

/// Checks that every tensor is within the `length` bytes of the data and that no two overlap: files
/// whose tensors share bytes could require any multiple of their size in memory.
fn check_places(index: &BTreeMap<String, TensorInfo>, length: usize) -> Result<(), TuningError> {
    let mut places = Vec::with_capacity(index.len());
    for (name, info) in index {
        let end = info.offset.checked_add(info.length);
        let end = end
            .filter(|end| *end <= length)
            .ok_or_else(|| bad(format!("tensor {name} is cut off")))?;
        places.push((info.offset, end, name));
    }
    places.sort_unstable();
    for pair in places.windows(2) {
        if let [(_, end, first), (start, _, second)] = pair
            && start < end
        {
            return Err(bad(format!("tensors {first} and {second} overlap")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_that_share_bytes_are_refused() {
        let index = |places: &[(usize, usize)]| -> BTreeMap<String, TensorInfo> {
            let info = |(offset, length): (usize, usize)| TensorInfo {
                shape: vec![length / 4],
                kind: BlockType::F32,
                file: 0,
                offset,
                length,
            };
            (0..)
                .map(|n: u32| format!("t{n}"))
                .zip(places.iter().map(|place| info(*place)))
                .collect()
        };
        assert!(check_places(&index(&[(32, 32), (0, 32), (64, 0), (64, 8)]), 72).is_ok());
        for (places, problem) in [
            (&[(0, 32), (0, 32)][..], "t0 and t1 overlap"),
            (&[(32, 32), (0, 33)], "t1 and t0 overlap"),
            (&[(0, 32), (64, 9)], "t1 is cut off"),
            (&[(usize::MAX, 32)], "t0 is cut off"),
        ] {
            let error = check_places(&index(places), 72).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
