//! What is measured: refusals by phrase ([`rule`]), exact answers ([`helpfulness`]) and the
//! interval of a share ([`wilson`]). Pure functions over texts and counts.

pub mod helpfulness;
pub mod rule;
pub mod wilson;
