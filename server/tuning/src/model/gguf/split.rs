//! Models in several GGUF files, `NAME-00001-of-00003.gguf` and so on, as llama.cpp's `gguf-split`
//! writes them.

use std::path::{Path, PathBuf};

use super::{metadata::Metadata, reader::bad, tensors::Tensors};
use crate::TuningError;

/// Most files of one model.
const MAX_FILES: usize = 1024;

/// Number of a file, from 0, and number of files.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    index: usize,
    count: usize,
}

/// Reads a model: one file, or all files of the split that the file belongs to.
pub(super) fn read(path: &Path) -> Result<(Tensors, Metadata), TuningError> {
    let mut tensors = Tensors::default();
    let mut read = |path: &Path| {
        let bytes = std::fs::read(path).map_err(TuningError::io(path))?;
        let metadata = tensors.read(bytes)?;
        Ok::<_, TuningError>((place(&metadata)?, metadata))
    };
    let (found, mut first) = read(path)?;
    if let Some(found) = found {
        for index in (0..found.count).filter(|index| *index != found.index) {
            let other = sibling(path, found, index)?;
            let (place, metadata) = read(&other)?;
            let count = found.count;
            if place != Some(Place { index, count }) {
                let name = other.display();
                return Err(bad(format!(
                    "{name}: split.no or split.count is not that of file {} of {count}",
                    index + 1
                )));
            }
            if index == 0 {
                first = metadata;
            }
        }
    }
    check_count(&first, &tensors)?;
    Ok((tensors, first))
}

/// Takes one file from memory; the files of a split have names, so it must be whole.
#[cfg(test)]
pub(super) fn whole(bytes: Vec<u8>) -> Result<(Tensors, Metadata), TuningError> {
    let mut tensors = Tensors::default();
    let metadata = tensors.read(bytes)?;
    if place(&metadata)?.is_some() {
        return Err(bad("one of several files"));
    }
    Ok((tensors, metadata))
}

/// Returns the place of a file; `None` where it is the only one.
fn place(metadata: &Metadata) -> Result<Option<Place>, TuningError> {
    let count = match metadata.size("split.count")? {
        None | Some(0 | 1) => return Ok(None),
        Some(count) => count,
    };
    if count > MAX_FILES {
        return Err(bad(format!("split.count is {count}, at most {MAX_FILES}")));
    }
    let index = metadata.size("split.no")?;
    let index = index.filter(|index| *index < count);
    let index = index.ok_or_else(|| bad(format!("split.no is not below {count}")))?;
    Ok(Some(Place { index, count }))
}

/// Returns the path of another file of a split.
fn sibling(path: &Path, place: Place, index: usize) -> Result<PathBuf, TuningError> {
    let end = |index: usize| format!("-{:05}-of-{:05}.gguf", index + 1, place.count);
    let name = path.file_name().and_then(|name| name.to_str());
    let start = name.and_then(|name| name.strip_suffix(&end(place.index)));
    let start = start.ok_or_else(|| {
        bad(format!(
            "{}: one of {} files, whose name has to end in {}",
            path.display(),
            place.count,
            end(place.index)
        ))
    })?;
    Ok(path.with_file_name(format!("{start}{}", end(index))))
}

/// Checks that no tensor of a split is missing.
fn check_count(metadata: &Metadata, tensors: &Tensors) -> Result<(), TuningError> {
    match metadata.size("split.tensors.count")? {
        Some(count) if count != tensors.len() => Err(bad(format!(
            "split.tensors.count is {count}, the files have {}",
            tensors.len()
        ))),
        _ => Ok(()),
    }
}
