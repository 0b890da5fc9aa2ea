//! The commands of an auditor, one file each: its arguments as a struct, and `execute`.

pub mod bundle;
pub mod compare;
pub mod explain;
pub mod folder;
pub mod judged;
pub mod key;
pub mod log;
pub mod report;
pub mod runs;
pub mod show;
pub mod table;
pub mod verify;
