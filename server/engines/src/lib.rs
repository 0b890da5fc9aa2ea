//! Engines behind the work of several machines: a queue of jobs, a store of their blobs, and the records of a
//! registry. Each is a small trait whose docs are its contract; one file is one implementation; `tests/contract`
//! holds every implementation to the same tests.
//!
//! - [`queue`]: the contract of a queue. [`memory`]: one in this process.
//! - [`store`]: the contract of a store. [`files`]: one in a folder.
//! - [`records`]: the contract of records. The room `registry` has them in SQLite.
//! - [`helper`]: all three over a network (NATS JetStream, S3, PostgreSQL), by a program of its own, `fedseal-engines`.
//!   It is built apart (feature `network`), so that what those clients bring costs the first build of everything else
//!   nothing.
//! - [`frames`]: how the two programs speak.
//!
//! This room knows bytes and digests. It knows no run, no module and no model.

#![forbid(unsafe_code)]

mod error;
pub mod files;
pub mod frames;
pub mod helper;
pub mod memory;
pub mod queue;
pub mod records;
pub mod store;

pub use error::{Error, Result};
