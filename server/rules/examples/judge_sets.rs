//! Classes that the judge of four classes gives to labelled answers: counts by set, label and class, as JSON.
//!
//! `cargo run --example judge_sets FILE`, a line of FILE being {"set", "label", "request", "answer"}; see
//! `tests/oracles/judge`.

use std::collections::BTreeMap;

use fedseal_rules::evaluation::four_classes::Class;
use fedseal_rules::evaluation::rule::is_refusal;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Labelled {
    set: String,
    label: String,
    request: String,
    answer: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("name the file of labelled answers")?;
    let text = std::fs::read_to_string(path)?;
    let mut classes: BTreeMap<String, BTreeMap<String, BTreeMap<&str, u64>>> = BTreeMap::new();
    let mut by_rule: BTreeMap<String, BTreeMap<String, [u64; 2]>> = BTreeMap::new();
    for line in text.lines() {
        let one: Labelled = serde_json::from_str(line)?;
        let class = Class::of(&one.request, &one.answer).name();
        let refused = is_refusal(&one.answer);
        let labels = classes.entry(one.set.clone()).or_default();
        *labels
            .entry(one.label.clone())
            .or_default()
            .entry(class)
            .or_default() += 1;
        let labels = by_rule.entry(one.set).or_default();
        labels.entry(one.label).or_default()[usize::from(refused)] += 1;
    }
    println!("{}", json!({"classes": classes, "rule": by_rule}));
    Ok(())
}
