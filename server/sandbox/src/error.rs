//! Errors that end an attempt before a guest runs.

use crate::reason::{Reason, printable};
use crate::way_out;

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
        /// Reason why the runtime cannot keep it.
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
         there for it{}",
        crate::component::HOST_INTERFACE,
        way_out::of_import(.name)
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
        /// The resource, and how much of it.
        detail: String,
    },
    /// It declares more of something than a module may.
    #[error("the module declares {count} {what}, more than the {most} that one may have")]
    Declarations {
        /// Kind of the declarations.
        what: &'static str,
        /// How many there are, as far as they were counted.
        count: u64,
        /// The bound.
        most: u64,
    },
    /// Compilation took too much of the processor.
    #[error(
        "compiling the module took more than {processor} seconds of processor time, which is what \
         compile_seconds = {seconds} gives to all threads together"
    )]
    CompileTime {
        /// `Limits::compile_seconds`.
        seconds: u64,
        /// Processor time of all threads together, seconds.
        processor: u64,
    },
    /// Compilation did not end, whatever its processor time.
    #[error(
        "compiling the module did not end within {seconds} seconds, of which it was given too \
         little of the processor; the machine may be overloaded"
    )]
    CompileWall {
        /// The bound on wall-clock time, seconds.
        seconds: u64,
    },
    /// Compilation took too much memory.
    #[error("compiling the module took more than {bytes} bytes of memory (compile_bytes)")]
    CompileMemory {
        /// `Limits::compile_bytes`, or its default.
        bytes: u64,
    },
    /// The compiled code is too large.
    #[error("the module becomes {bytes} bytes of compiled code, more than the {most} allowed")]
    CodeSize {
        /// Its size, bytes.
        bytes: u64,
        /// The bound, bytes.
        most: u64,
    },
    /// Somebody interrupted the compilation: at a terminal Ctrl-C reaches its process, too.
    #[error("compiling the module was interrupted")]
    Interrupted,
    /// There is no program to compile with.
    #[error(
        "no program that compiles modules: this one does not, and {name} is neither beside it nor \
         one folder above ({looked}); `cargo build -p fedseal-sandbox --bins` makes it"
    )]
    NoCompiler {
        /// The program's file name.
        name: String,
        /// Places where it was looked for.
        looked: String,
    },
    /// The runtime itself failed.
    #[error("sandbox: {0}")]
    Runtime(String),
    /// The runtime does not start.
    #[error("sandbox: {0:#}")]
    Engine(#[source] wasmtime::Error),
    /// The system refused a thread, a process or a file.
    #[error("sandbox: {doing}: {source}")]
    System {
        /// Action of the sandbox that failed.
        doing: String,
        /// Error of the system.
        source: std::io::Error,
    },
}

/// An error in a component, in words that came from outside.
pub(crate) fn bad_component(error: impl std::fmt::Display) -> SandboxError {
    let detail = printable(&error.to_string(), 400);
    let hint = way_out::of_parser(&detail);
    SandboxError::BadComponent {
        detail: detail + &hint,
    }
}

impl SandboxError {
    /// An error of the system while the sandbox was `doing` something.
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }

    /// The stable id for records.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::ModuleSize { .. } => Reason::ModuleSize,
            Self::BadComponent { .. } => Reason::BadComponent,
            Self::BadImport { .. } => Reason::BadImport,
            Self::BadWorld { reason, .. } | Self::StartSize { reason, .. } => *reason,
            Self::Declarations { .. } => Reason::Declarations,
            Self::CompileTime { .. } | Self::CompileWall { .. } => Reason::CompileTime,
            Self::CompileMemory { .. } | Self::CodeSize { .. } => Reason::CompileMemory,
            Self::Limit { .. }
            | Self::Interrupted
            | Self::NoCompiler { .. }
            | Self::Runtime(_)
            | Self::Engine(_)
            | Self::System { .. } => Reason::Host,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_error_below_is_kept_with_its_whole_text() {
        let start = wasmtime::Error::msg("no address space").context("the pool cannot be made");
        let error = SandboxError::Engine(start);
        assert_eq!(
            error.to_string(),
            "sandbox: the pool cannot be made: no address space"
        );
        assert!(error.source().is_some());
        let refused = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        let said = refused.to_string();
        let error = SandboxError::system("ticker thread")(refused);
        assert_eq!(error.to_string(), format!("sandbox: ticker thread: {said}"));
        assert!(error.source().is_some_and(|it| it.is::<std::io::Error>()));
    }
}
