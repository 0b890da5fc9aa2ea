//! The one error type of this room.

use std::path::PathBuf;

use fedseal_adapter::{AdapterError, Source};

/// Everything that can go wrong between a file and a finished adapter.
///
/// Loaders never panic on hostile files: whatever is wrong with the bytes arrives here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuningError {
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
    /// JSON of a model or a training that cannot be written.
    #[error("model file: {0}")]
    Json(#[from] serde_json::Error),
    /// Tensors that cannot be written.
    #[error("model file: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
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
    /// The tokenizer could not be built or failed on a text.
    #[error("tokenizer: {0}")]
    Tokenizer(#[source] Source),
    /// The chat template is broken or raised an error.
    #[error("chat template: {0}")]
    Template(#[source] Source),
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
    /// A text does not fit the model's positions.
    #[error(
        "{what} {}: {tokens} tokens, but the model has {positions} positions for a prompt with its \
         answer; shorten the text or take a model with more",
        .index + 1
    )]
    Positions {
        /// Which text: a prompt, or a prompt with its answer.
        what: &'static str,
        /// Index of the text in the call, from 0; messages count from 1.
        index: usize,
        /// Number of its tokens, template included.
        tokens: usize,
        /// Number of the model's positions.
        positions: usize,
    },
    /// The device that was asked for does not exist here.
    #[error("device: {0}")]
    Device(String),
    /// The device computes wrongly or not at all.
    #[error(
        "device: {device} failed the self-check against the CPU: {source}. Use --device cpu, or \
         update the driver"
    )]
    SelfCheck {
        /// Name of the device.
        device: &'static str,
        /// Error of the device, or the operation and its difference.
        source: Source,
    },
    /// A loss, gradient or weight became infinite or not a number.
    #[error("not finite: {0}")]
    NotFinite(String),
    /// A data file, or a row of one, cannot be used.
    #[error("{path}, {}field {field}: {problem}", row_text(*.row))]
    Data {
        /// The file.
        path: PathBuf,
        /// The row, from 1 (the line of a JSONL file); 0 for the file as a whole.
        row: u64,
        /// The field, as a path into the row.
        field: String,
        /// Error of the system or the JSON reader, or a description of the problem.
        #[source]
        problem: Source,
    },
    /// The caller's progress function asked to stop.
    #[error("stopped by the caller after {steps} steps")]
    Stopped {
        /// Optimiser steps that were finished.
        steps: usize,
    },
}

/// Returns the row of a message, where there is one.
fn row_text(row: u64) -> String {
    match row {
        0 => String::new(),
        row => format!("row {row}, "),
    }
}

/// Every variant has a counterpart with the same text.
impl From<AdapterError> for TuningError {
    fn from(error: AdapterError) -> Self {
        match error {
            AdapterError::Io { path, source } => Self::Io { path, source },
            AdapterError::Format(text) => Self::Format(text),
            AdapterError::Unsupported(text) => Self::Unsupported(text),
            AdapterError::MissingTensor(name) => Self::MissingTensor(name),
            AdapterError::Shape {
                name,
                found,
                expected,
            } => Self::Shape {
                name,
                found,
                expected,
            },
            AdapterError::Broken { part, source } => Self::Broken { part, source },
            AdapterError::BrokenAdapter { part, source } => Self::BrokenAdapter { part, source },
            AdapterError::Adapter(text) => Self::Adapter(text),
            AdapterError::Config(text) => Self::Config(text),
            AdapterError::NotFinite(text) => Self::NotFinite(text),
        }
    }
}

impl TuningError {
    /// An error in a part of a model file.
    pub(crate) fn broken(part: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Broken {
            part: part.into(),
            source: source.into(),
        }
    }

    /// An I/O error with the path it happened on.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn a_library_s_error_is_kept_and_said_once() {
        let json = || serde_json::from_str::<u8>("x").unwrap_err();
        for (error, said) in [
            (
                TuningError::broken("config.json", json()),
                format!("model file: config.json: {}", json()),
            ),
            (
                AdapterError::BrokenAdapter {
                    part: "header",
                    source: json().into(),
                }
                .into(),
                format!("adapter: header: {}", json()),
            ),
            (json().into(), format!("model file: {}", json())),
            (
                TuningError::Tokenizer(json().into()),
                format!("tokenizer: {}", json()),
            ),
            (
                TuningError::Template(json().into()),
                format!("chat template: {}", json()),
            ),
        ] {
            assert_eq!(error.to_string(), said);
            assert!(
                error
                    .source()
                    .is_some_and(|it| it.is::<serde_json::Error>())
            );
        }
    }
}
