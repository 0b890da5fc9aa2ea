//! The host side of one execution: the state behind a guest's calls.
//!
//! One file an idea: [`state`] is what an execution has, [`budget`] counts what is used, [`adapters`]
//! calculates with adapters, [`random`] makes the run's numbers, [`service`] asks the training engine,
//! [`making`] makes datasets and adapters with it, [`control`] has SCAFFOLD's control variates,
//! [`calls`] implements the world's functions, [`wasi`] is what a language runtime finds of WASI and
//! [`linked`] how a run has it, [`outcome`] turns the state into the result.
//!
//! Two invariants hold for every call: it is counted before it does anything, and it is in the
//! transcript when it returns, refused or not.

mod adapters;
mod budget;
mod calls;
mod control;
mod linked;
mod making;
mod outcome;
mod random;
mod service;
mod state;
mod wasi;

pub use adapters::noisy;
pub(crate) use budget::{MAX_MEMORIES, MAX_TABLES};
pub(crate) use linked::add_to_linker as add_wasi;
pub(crate) use outcome::finish;
pub(crate) use service::{Ask, serve};
pub(crate) use state::HostState;
pub(crate) use wasi::allowed as wasi_allowed;
