//! Guests in the sandbox: one program, since each links the compiler of guests.
//! `compiling.rs` looks for its own compilers, `hostile_table.rs` at its own memory: each is alone.

#[path = "../common/mod.rs"]
mod common;

mod embedded;
mod hostile;
mod policies;
mod reasons;
mod recording;
mod slots;
