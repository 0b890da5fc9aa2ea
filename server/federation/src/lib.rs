//! The federation: rounds of federated instruction tuning in which every client update carries
//! proof of how it was made.
//!
//! This room decides. It samples clients, has their modules executed by the sandbox, attests and
//! logs what came out, admits or refuses it, aggregates, defends, evaluates and reports. It never
//! touches a tensor library or a Wasm engine itself (rooms `tuning` and `sandbox` do), never opens
//! a socket, and never decides anything that the log does not record.
//!
//! In the order a reader meets them:
//!
//! - [`lab`]: the model behind a trait. [`pretraining`]: the embedded model.
//! - [`own`]: own files of an experiment, read. [`options`]: where a run's things are.
//! - [`guard`]: site rules around a module's executor. [`defence`]: repair after the last round.
//!   [`device`]: aggregation on the run's device.
//! - [`runner`]: executes an experiment, resumable at any point. [`mod@replay`]: executes an update
//!   again, [`mod@remeasure`] measures a run again. [`planning`]: how long it takes. [`attribution`]: who took
//!   safety away, [`undoing`]: a run without some clients. [`work`]: jobs that other processes do, [`worker`]:
//!   such a process. [`panel`]: tests every policy alone against every check.
//! - [`node`]: a data holder's side of a federation, [`coordinator`] the books of the other side,
//!   [`protocol`] the words between them.

#![forbid(unsafe_code)]

pub mod attribution;
mod control;
pub mod coordinator;
pub mod defence;
pub mod device;
pub mod execute;
pub mod guard;
pub mod lab;
pub mod node;
pub mod options;
pub mod own;
pub mod panel;
pub mod planning;
pub mod pretraining;
pub mod protocol;
pub mod remeasure;
pub mod replay;
pub mod runner;
pub mod undoing;
pub mod work;
pub mod worker;

pub use fedseal_record::{Error, Result, error};
