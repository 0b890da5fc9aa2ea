//! The record of a run: its folder, its log folded to a state, its evidence, and everything that an
//! auditor does with them. Knows no model and no Wasm engine.
//!
//! - [`rundir`]: the folder and its plan. [`state`]: the log, folded. [`keys`]: what is made once.
//! - [`blobs`], [`read`], [`evidence`]: what the blobs hold. [`opened`]: a run that is read, held
//!   against its log. [`select`]: updates of it.
//! - [`law`]: what a round must be, which the runner acts by and the auditor holds the log against.
//!   [`controls`]: SCAFFOLD's control variates. [`references`]: every blob that the log names.
//! - [`report`], [`events`]: what people see. [`export`]: what a run ends with.
//! - [`mod@verify`], [`mod@explain`], [`monitor`], [`dryrun`]: what auditors run; [`mod@bundle`]: one
//!   file for those who have no run.

#![forbid(unsafe_code)]

pub mod blobs;
pub mod bundle;
pub mod controls;
pub mod dryrun;
pub mod error;
pub mod events;
pub mod evidence;
pub mod explain;
pub mod export;
pub mod keys;
pub mod law;
pub mod monitor;
pub mod opened;
pub mod read;
pub mod references;
pub mod report;
pub mod rundir;
pub mod select;
pub mod site;
pub mod state;
pub mod verify;

pub use error::{Error, Result};
