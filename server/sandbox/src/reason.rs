//! Why a module gave no update, as stable ids.

use std::fmt;

use fedseal_client_sdk::attestation::Failure;

/// Longest detail of a failure, bytes: it goes into the attestation, and a guest can write it.
const MAX_DETAIL: usize = 400;

/// The reasons. Their texts are in attestations and the log: never rename one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The component is larger than `module_bytes`.
    ModuleSize,
    /// Not a component, or not a valid one.
    BadComponent,
    /// It imports something other than this version of `fedseal:policy/host` and virtual WASI.
    BadImport,
    /// It does not export `run` with the right type.
    BadExport,
    /// It declares more of something than a module may.
    Declarations,
    /// Compilation took more processor time than `compile_seconds` gives, or did not end at all.
    CompileTime,
    /// Compilation took more memory than `compile_bytes`, or made too much code.
    CompileMemory,
    /// `fuel` is used up.
    Fuel,
    /// The guest's own code ran longer than `guest_seconds`.
    GuestTime,
    /// The execution, host calls included, ran longer than `wall_seconds`.
    WallTime,
    /// Linear memory beyond `memory_bytes`.
    Memory,
    /// Table elements beyond `tables`.
    Tables,
    /// Core instances, memories or tables beyond their number.
    Instances,
    /// The Wasm stack beyond `stack_bytes`.
    StackOverflow,
    /// More than `call_bytes` in one host call.
    CallBytes,
    /// More than `handles` alive at once.
    Handles,
    /// More than `host_calls`.
    HostCalls,
    /// More than `host_bytes` held by the host for the guest, or a transcript or lineage larger than
    /// its bound.
    HostMemory,
    /// More than `host_work_bytes` copied, hashed and compared by the host.
    HostWork,
    /// More than `train_steps`.
    TrainSteps,
    /// More than `train_tokens`.
    TrainTokens,
    /// More than `generated_tokens`.
    GeneratedTokens,
    /// More than `log_total_bytes`.
    LogLimit,
    /// More than `log_second_bytes` within a second.
    LogRate,
    /// The guest trapped: `unreachable` (a Rust panic), memory out of bounds, division by zero.
    Trap,
    /// A value of the update is not finite.
    NotFinite,
    /// A second `submit`.
    DoubleSubmit,
    /// `run` ended well without `submit`.
    NoSubmission,
    /// `run` returned an error.
    GuestError,
    /// The training engine failed.
    Engine,
    /// The host failed; not the guest's doing.
    Host,
}

impl Reason {
    /// The stable id.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::ModuleSize => "module-size",
            Self::BadComponent => "bad-component",
            Self::BadImport => "bad-import",
            Self::BadExport => "bad-export",
            Self::Declarations => "declarations",
            Self::CompileTime => "compile-time",
            Self::CompileMemory => "compile-memory",
            Self::Fuel => "fuel",
            Self::GuestTime => "guest-time",
            Self::WallTime => "wall-time",
            Self::Memory => "memory",
            Self::Tables => "tables",
            Self::Instances => "instances",
            Self::StackOverflow => "stack-overflow",
            Self::CallBytes => "call-bytes",
            Self::Handles => "handles",
            Self::HostCalls => "host-calls",
            Self::HostMemory => "host-memory",
            Self::HostWork => "host-work",
            Self::TrainSteps => "train-steps",
            Self::TrainTokens => "train-tokens",
            Self::GeneratedTokens => "generated-tokens",
            Self::LogLimit => "log-limit",
            Self::LogRate => "log-rate",
            Self::Trap => "trap",
            Self::NotFinite => "not-finite",
            Self::DoubleSubmit => "double-submit",
            Self::NoSubmission => "no-submission",
            Self::GuestError => "guest-error",
            Self::Engine => "engine",
            Self::Host => "host",
        }
    }

    /// Whether the same inputs give the same reason again. Reasons of time and of the host do
    /// not, so a replay does not compare them.
    #[must_use]
    pub fn is_deterministic(self) -> bool {
        !matches!(
            self,
            Self::CompileTime
                | Self::CompileMemory
                | Self::GuestTime
                | Self::WallTime
                | Self::LogRate
                | Self::Engine
                | Self::Host
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// Early end of an execution: a reason and what happened, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Stop {
    /// The stable reason.
    pub reason: Reason,
    /// One line, without control characters, of bounded length.
    pub detail: String,
}

impl Stop {
    /// A stop; `detail` is made one short printable line.
    pub fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        let detail = printable(&detail.to_string(), MAX_DETAIL);
        Self { reason, detail }
    }

    /// A limit by name, with its value.
    pub fn limit(reason: Reason, name: &str, value: u64) -> Self {
        Self::new(reason, format_args!("{name} is {value}"))
    }

    /// As attestations carry it.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure {
            reason: self.reason.id().to_owned(),
            detail: self.detail.clone(),
        }
    }
}

/// `text` without control characters (line ends become spaces), cut to at most `bytes` at a
/// character's end.
pub(crate) fn printable(text: &str, bytes: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes));
    for c in text.chars() {
        let c = match c {
            '\n' | '\t' => ' ',
            c if c.is_control() || is_format(c) => continue,
            c => c,
        };
        if out.len() + c.len_utf8() > bytes {
            break;
        }
        out.push(c);
    }
    out
}

/// Characters that change how the text around them is shown: direction marks, zero widths and
/// line separators. A log line must not be able to rewrite its neighbours.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_is_one_line_that_ends_at_a_character() {
        assert_eq!(printable("a\nb\u{1b}[31mc\u{202e}d", 99), "a b[31mcd");
        assert_eq!(printable("äöü", 5), "äö");
        assert_eq!(printable("", 0), "");
    }
}
