//! Tests of differences: exact ones of two answers to the same prompts ([`mcnemar`]), paired ones over seeds
//! ([`paired`]), the correction for a table of many ([`holm()`]), and what a detector's
//! scores tell ([`detector`]). Pure functions of counts and numbers.
//!
//! Within a seed a prompt is the unit: two arms answered the same prompts. Between arms of several seeds a
//! seed is the unit: prompts of one seed share its attackers, sampling and first adapter, so they are not
//! independent, and a test over pooled prompts would find differences that the next seed does not have.

pub mod detector;
pub mod holm;
pub mod mcnemar;
pub mod paired;
mod special;

pub use detector::true_positives;
pub use holm::holm;
pub use mcnemar::Discordant;
pub use paired::Paired;

#[cfg(test)]
pub(crate) fn fixture(name: &str) -> Vec<serde_json::Value> {
    let text = include_str!("../../../../tests/fixtures/statistics.json");
    let all: serde_json::Value = serde_json::from_str(text).unwrap();
    let cases = all[name].as_array().unwrap().clone();
    assert!(cases.len() >= 5, "{name}");
    cases
}

#[cfg(test)]
fn numbers(case: &serde_json::Value, key: &str) -> Vec<f64> {
    let values = case[key].as_array().unwrap().iter();
    values.map(|value| value.as_f64().unwrap()).collect()
}
