//! Commands as people give them: the program started on files of its own.

#[path = "../program/mod.rs"]
mod program;

mod author;
mod engine;
mod keys;
mod positions;
mod registry;
mod run;
mod serve;
mod tune;
