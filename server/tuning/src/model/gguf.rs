//! GGUF files: header, metadata, tensors, vocabulary.
//!
//! The layout is that of the GGUF specification, versions 2 and 3, little-endian. Every length in
//! the file is checked against what is left of it before anything is allocated.

mod architecture;
mod blocks;
mod i_quants;
mod k_quants;
mod matrix;
mod metadata;
mod names;
mod parts;
mod reader;
mod rope;
mod small;
mod source;
mod split;
mod tensors;
mod vocabulary;

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use crate::{Tokenizer, TuningError, model::files::Parts};
use metadata::Metadata;
use source::GgufSource;
use tensors::Tensors;

/// First bytes of a GGUF file.
const MAGIC: &[u8; 4] = b"GGUF";

/// Whether a file begins as GGUF files do; its name does not count.
pub(crate) fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read =
        path.is_file() && File::open(path).is_ok_and(|mut f| f.read_exact(&mut magic).is_ok());
    read && magic == *MAGIC
}

/// Returns the GGUF file that a folder stands for: its only one, or the first of its only split.
/// `None` where there is none.
pub(crate) fn in_folder(folder: &Path) -> Result<Option<PathBuf>, TuningError> {
    let entries = std::fs::read_dir(folder).map_err(TuningError::io(folder))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_gguf(path))
        .collect();
    files.sort();
    // Later files of a split belong to its first.
    let later = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name
            .and_then(|name| name.rsplit_once("-of-")?.0.rsplit_once('-'))
            .map(|(_, number)| number);
        number.is_some_and(|number| number.len() == 5 && number != "00001")
    };
    let several = files.len() > 1;
    files.retain(|path| !(several && later(path)));
    match files.as_slice() {
        [] => Ok(None),
        [file] => Ok(Some(file.clone())),
        [first, second, ..] => Err(TuningError::Format(format!(
            "{}: several GGUF files, {} and {} among them; name the file",
            folder.display(),
            first.display(),
            second.display()
        ))),
    }
}

/// Reads a GGUF file, or all files of its split, into memory and opens the model.
pub(crate) fn open(path: &Path) -> Result<(GgufSource, Parts), TuningError> {
    let (tensors, metadata) = split::read(path)?;
    model(tensors, &metadata)
}

/// Opens a GGUF file in memory.
#[cfg(test)]
pub(crate) fn parse(bytes: Vec<u8>) -> Result<(GgufSource, Parts), TuningError> {
    let (tensors, metadata) = split::whole(bytes)?;
    model(tensors, &metadata)
}

impl Tokenizer {
    /// Reads the vocabulary of a GGUF file; the file need not have tensors.
    ///
    /// # Errors
    /// [`TuningError::Io`] for a file that cannot be read; [`TuningError::Format`],
    /// [`TuningError::Unsupported`] and [`TuningError::Tokenizer`] for faults in it.
    pub fn from_gguf(path: &Path) -> Result<Self, TuningError> {
        let (_, metadata) = split::read(path)?;
        vocabulary::tokenizer(&metadata)
    }
}

/// Returns the values of whole blocks of a tensor type, `Q4_K` and so on; `None` for a type that is not
/// read. For programs that compare them.
#[doc(hidden)]
pub fn ggml_values(name: &str, blocks: &[u8]) -> Option<Vec<f32>> {
    Some(blocks::BlockType::from_name(name)?.decode(blocks))
}

fn model(tensors: Tensors, metadata: &Metadata) -> Result<(GgufSource, Parts), TuningError> {
    let shape = architecture::shape(metadata, &tensors)?;
    let config = shape.config.clone();
    let source = GgufSource::new(tensors, shape)?;
    let parts = vocabulary::parts(metadata, config)?;
    Ok((source, parts))
}

#[cfg(test)]
mod tests;
