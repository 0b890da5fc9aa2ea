//! The coordinator's books: which federations there are, who enrolled, and what was refused. Rounds are those
//! of a run ([`Gathering`](crate::runner::Gathering)); whoever serves requests calls both.
//!
//! - [`books`]: the state folder. [`journal`]: what is written down beside the run's log. [`commands`]: those
//!   of the administrator. [`ended`]: what nodes may read of a federation that is over.

pub mod books;
pub mod commands;
pub mod ended;
pub mod journal;
