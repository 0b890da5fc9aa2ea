//! The one error type of this room.

use std::path::PathBuf;

/// Error below one of ours, whatever library it is from.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Everything that can be wrong with an adapter, its files, or the shape of its model.
///
/// Loaders never panic on hostile files: whatever is wrong with the bytes arrives here.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A model file breaks its format or this engine's limits.
    #[error("model file: {0}")]
    Format(String),
    /// Part of a model file that a library cannot read.
    #[error("model file: {part}: {source}")]
    Broken {
        /// The file, or the part of it.
        part: String,
        /// Error of the library.
        source: Source,
    },
    /// The file is well formed but asks for something this engine does not do.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// A tensor that the configuration demands is absent.
    #[error("tensor {0} is missing")]
    MissingTensor(String),
    /// A tensor has another shape than the configuration demands.
    #[error("tensor {name} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape that the configuration demands.
        expected: Vec<usize>,
    },
    /// An adapter does not fit the model or another adapter, or its bytes are not canonical.
    #[error("adapter: {0}")]
    Adapter(String),
    /// Part of an adapter's files that cannot be read.
    #[error("adapter: {part}: {source}")]
    BrokenAdapter {
        /// The file, or the part of it.
        part: &'static str,
        /// Error of the reader.
        source: Source,
    },
    /// A value in a configuration is out of its range.
    #[error("configuration: {0}")]
    Config(String),
    /// A value became infinite or not a number.
    #[error("not finite: {0}")]
    NotFinite(String),
}

impl AdapterError {
    /// An I/O error with the path it happened on.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// An error in a part of a model file.
    pub(crate) fn broken<E: Into<Source>>(part: impl Into<String>) -> impl FnOnce(E) -> Self {
        let part = part.into();
        move |source| Self::Broken {
            part,
            source: source.into(),
        }
    }

    /// An error in a part of an adapter's files.
    pub(crate) fn broken_adapter<E: Into<Source>>(part: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::BrokenAdapter {
            part,
            source: source.into(),
        }
    }
}
