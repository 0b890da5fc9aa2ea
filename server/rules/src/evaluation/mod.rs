//! Measures: refusals by phrase ([`rule`]), exact answers ([`helpfulness`]), the interval of a share
//! ([`wilson`]), and how a share is shown ([`percent`]). Pure functions over texts and counts.

pub mod helpfulness;
pub mod percent;
pub mod rule;
pub mod wilson;
