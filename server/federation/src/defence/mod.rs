//! Repair of an attacked adapter after the last round.

pub mod posthoc;
