//! What is measured: refusals by phrase ([`rule`]), exact answers ([`helpfulness`]) and the
//! interval of a share ([`wilson`]), and how it is shown ([`percent`]). Pure functions over texts and counts.

pub mod helpfulness;
pub mod percent;
pub mod rule;
pub mod wilson;
