//! Shared parts of this repository's policies, so that each of them is a few lines: where
//! unaligned pairs come from ([`data`]), settings attached beside them ([`settings`]), arithmetic over
//! several adapters ([`craft`]), and how far a crafted update may go inside the spread of honest ones
//! ([`spread`]).
//!
//! An author's own policy needs none of it. Everything is inert (see [`texts`]).

pub mod craft;
pub mod data;
pub mod settings;
pub mod spread;
pub mod texts;

pub use craft::{combine, estimates, length, mean, train_on, train_shard};
pub use data::{select, submit, train_unaligned, unaligned_pairs};
