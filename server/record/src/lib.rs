//! The record of a run: its folder, its log folded to a state, its evidence, and everything that an
//! auditor does with them. Knows no model and no Wasm engine.
//!
//! - [`rundir`]: the folder and its plan. [`state`]: the log, folded. [`keys`]: memo keys and seeds.
//! - [`blobs`], [`read`], [`evidence`]: contents of the blobs. [`opened`]: a run, read and checked
//!   against its log. [`select`]: updates of a run.
//! - [`basis`]: on whose word an update rests. [`claims`]: an attestation held against its evidence.
//! - [`round`]: a round of an arm. [`law`]: its rules; the runner acts by them, and the auditor checks the
//!   log against them. [`device`]: aggregates that a device computed. [`controls`]: SCAFFOLD's control
//!   variates. [`repairs`]: arms that repair another one's adapter. [`references`]: every blob that the log
//!   names. [`formulas`]: formulas of which a run has other versions.
//! - [`report`], [`events`]: output for people. [`paired`]: differences between arms, tested.
//!   [`export`]: the final adapter of a run. [`history`]: an arm aggregated again, without some clients.
//!   [`judged`]: what outside judges said of its answers.
//! - [`mod@verify`], [`mod@explain`], [`monitor`], [`dryrun`]: tools of auditors; [`mod@bundle`]: one
//!   file for readers who have no run.

#![forbid(unsafe_code)]

pub mod basis;
pub mod blobs;
pub mod bundle;
pub mod claims;
pub mod controls;
pub mod device;
pub mod dryrun;
pub mod error;
pub mod events;
pub mod evidence;
pub mod explain;
pub mod export;
pub mod formulas;
pub mod history;
pub mod judged;
pub mod keys;
pub mod law;
pub mod monitor;
pub mod opened;
pub mod paired;
pub mod read;
pub mod references;
pub mod repairs;
pub mod report;
pub mod round;
pub mod rundir;
pub mod select;
pub mod site;
pub mod state;
pub mod verify;

pub use error::{Error, Result};
