//! What can go wrong before a guest runs.

use crate::reason::Reason;

/// A module that cannot be run, or a sandbox that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A limit is outside what the runtime can keep.
    #[error("limit {name} is {value}: {why}")]
    Limit {
        /// The field of `Limits`.
        name: &'static str,
        /// Its value.
        value: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The component is too large.
    #[error("the module has {bytes} bytes, module_bytes is {limit}")]
    ModuleSize {
        /// Its size, bytes.
        bytes: u64,
        /// `Limits::module_bytes`.
        limit: u64,
    },
    /// Not a component, or not a valid one.
    #[error("not a valid component: {detail}")]
    BadComponent {
        /// The parser's or the compiler's words.
        detail: String,
    },
    /// It imports something that no policy may have.
    #[error(
        "the module imports {name:?}; only {:?} and what a language runtime needs of WASI 0.2 are \
         there for it",
        crate::component::HOST_INTERFACE
    )]
    BadImport {
        /// The import's name.
        name: String,
    },
    /// It imports the host interface, but not as the world has it, or does not export `run`.
    #[error("the module does not fit the world fedseal:policy: {detail}")]
    BadWorld {
        /// [`Reason::BadImport`] or [`Reason::BadExport`].
        reason: Reason,
        /// The linker's words.
        detail: String,
    },
    /// It needs more memory, tables or instances from the start than the limits give.
    #[error("the module asks for too much at its start: {detail}")]
    StartSize {
        /// [`Reason::Memory`], [`Reason::Tables`] or [`Reason::Instances`].
        reason: Reason,
        /// What and how much.
        detail: String,
    },
    /// Compilation did not end in time.
    #[error("compilation took longer than {seconds} seconds")]
    CompileTime {
        /// `Limits::compile_seconds`.
        seconds: u64,
    },
    /// The runtime itself failed.
    #[error("sandbox: {0}")]
    Runtime(String),
}

impl SandboxError {
    /// The stable id for records.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::ModuleSize { .. } => Reason::ModuleSize,
            Self::BadComponent { .. } => Reason::BadComponent,
            Self::BadImport { .. } => Reason::BadImport,
            Self::BadWorld { reason, .. } | Self::StartSize { reason, .. } => *reason,
            Self::CompileTime { .. } => Reason::CompileTime,
            Self::Limit { .. } | Self::Runtime(_) => Reason::Host,
        }
    }
}
