//! Parts of a run's record that leave next to its update: decided by the rule, and checked by an auditor.
//!
//! A module that has read the data chooses what it logs, how it fails and which numbers it asks for.
//! Numbers are rounded and log lines left unrecorded where they would be written (see
//! [`Recording`](fedseal_client_sdk::recording::Recording)). This module decides what is left of a
//! failure.

use fedseal_client_sdk::attestation::{Failure, Limits, UpdatePredicate};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::lineage::{Kind, Lineage};
use fedseal_client_sdk::recording::{rounded, rounded_down};
use fedseal_client_sdk::transcript::{Entry, Transcript};
use serde_json::{Value, json};

use super::{Allow, Denial, REASON};

/// The transcript's entry that stands for the calls of a run without an update.
const WITHHELD: &str = "withheld";
/// Words that stand for a failure's own.
const WORDS: &str = "its words stay at the site";
/// The ids of all denials.
const CLASSES: [&str; 6] = [
    "raw-read",
    "raw-write",
    "generated-tokens",
    "literal-data",
    "norm",
    "record-bytes",
];
/// Entries of what a module writes for people.
const LINES: [&str; 3] = ["log", "stdout", "stderr"];
/// Call that says how likely a model finds the module's texts.
const SCORES: &str = "log-likelihood";
/// Arguments and parameters that are numbers of the module's choice.
const NUMBERS: [&str; 8] = [
    "factor",
    "left-factor",
    "right-factor",
    "std",
    "norm",
    "learning-rate",
    "proximal-mu",
    "temperature",
];

/// Keeps only the number of calls and the class of the failure of a run without an update.
pub fn withhold(
    transcript: &mut Transcript,
    lineage: &mut Lineage,
    failure: Option<&mut Failure>,
    limits: &Limits,
) {
    let calls = transcript.len();
    *transcript = Transcript::new();
    transcript.push(WITHHELD, &json!({}), &json!({ "calls": calls }));
    *lineage = Lineage::default();
    if let Some(failure) = failure
        && !says_a_limit(failure, limits)
        && failure.reason != REASON
    {
        WORDS.clone_into(&mut failure.detail);
    }
}

/// Whether the words are those for a limit that was hit: name and value, which the attestation has
/// anyway.
fn says_a_limit(failure: &Failure, limits: &Limits) -> bool {
    let said = |(name, value): (String, u64)| failure.detail == format!("{name} is {value}");
    limits.by_name().into_iter().any(said)
}

/// Whether transcript (without the site's last word) and lineage are small enough to leave.
pub fn small_enough(
    rule: &Allow,
    transcript: &Transcript,
    lineage: &Lineage,
) -> Result<(), Denial> {
    if rule.leave.max_record_bytes.is_none() {
        return Ok(());
    }
    // A lineage always has a canonical form; without one it would not be attested.
    let lineage = canonical::to_vec(lineage).map_or(u64::MAX, |bytes| bytes.len() as u64);
    rule.record_leaves(lineage.saturating_add(transcript.to_bytes().len() as u64))
}

/// Checks what left of an execution against the rule that allowed it.
///
/// # Errors
/// The part that should have stayed.
pub fn audit_record(
    rule: &Allow,
    attested: &UpdatePredicate,
    transcript: &Transcript,
) -> Result<(), String> {
    let entries = transcript.entries().map_err(|error| error.to_string())?;
    if let Some(failure) = &attested.failure
        && !rule.tells_errors()
    {
        return withheld(rule, attested, failure, &entries);
    }
    let recording = rule.recording();
    for entry in entries.iter().filter(|entry| !by_the_site(entry)) {
        let left = |what: &str| Err(format!("entry {} ({}): {what}", entry.seq, entry.call));
        let empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
        let lines = LINES.contains(&entry.call.as_str());
        // The call in which the run ended says so in its result.
        if lines && !recording.log_lines && !(empty(&entry.args) && told(entry, &empty)) {
            return left("it says more of a log line than that there was one");
        }
        let reads = ["generate", SCORES].contains(&entry.call.as_str());
        if !recording.prompts && reads && entry.args.get("digest").is_some() {
            return left("it has a digest of the module's prompts");
        }
        let scores = entry.call == SCORES && entry.result.get("digest").is_some();
        if !recording.prompts && scores {
            return left("it has a digest of the scores of the module's texts");
        }
        if let Some(digits) = recording.digits
            && let Some(key) = fine(entry, digits)
        {
            return left(&format!(
                "`{key}` has more than {digits} significant digits"
            ));
        }
    }
    if let Some(digits) = recording.digits {
        for node in attested.lineage.nodes.iter().filter(|node| !node.by_site()) {
            // The factor of a clip follows from its norm.
            let chosen = |key: &str| key != "factor" || node.kind != Kind::Clip;
            let fine =
                |(key, value): &(&String, &Value)| chosen(key) && is_fine(key, value, digits);
            if let Some((key, _)) = node.params.iter().find(fine) {
                return Err(format!(
                    "node {}: `{key}` has more than {digits} significant digits",
                    node.id
                ));
            }
        }
    }
    let mut before_the_last_word = Transcript::new();
    for entry in entries.iter().take(entries.len().saturating_sub(1)) {
        before_the_last_word.push(&entry.call, &entry.args, &entry.result);
    }
    match attested.update {
        Some(_) => small_enough(rule, &before_the_last_word, &attested.lineage)
            .map_err(|denial| denial.words),
        None => Ok(()),
    }
}

fn by_the_site(entry: &Entry) -> bool {
    entry.call.starts_with("site-")
}

/// Whether an entry's result is empty, or gives the reason why the run ended there.
fn told(entry: &Entry, empty: &dyn Fn(&Value) -> bool) -> bool {
    empty(&entry.result) || entry.result.get("stop").is_some()
}

/// The first argument of an entry with too many digits, or the result of an inner product.
fn fine(entry: &Entry, digits: u32) -> Option<String> {
    let mut args = entry.args.as_object().into_iter().flatten();
    if let Some((key, _)) = args.find(|(key, value)| is_fine(key, value, digits)) {
        return Some(key.clone());
    }
    let examples = entry.args.get("examples").and_then(Value::as_u64);
    match entry.call.as_str() {
        "noise" if entry.args.get("seed").is_some_and(|seed| !seed.is_null()) => {
            Some("seed".into())
        }
        "submit" if examples.is_some_and(|count| !is_round(count, digits)) => {
            Some("examples".into())
        }
        "dot"
            if entry
                .result
                .as_f64()
                .is_some_and(|value| rounded(value, digits) != value) =>
        {
            Some("result".into())
        }
        _ => None,
    }
}

fn is_fine(key: &str, value: &Value, digits: u32) -> bool {
    let number = value.as_f64().filter(|_| NUMBERS.contains(&key));
    number.is_some_and(|value| rounded(value, digits) != value)
}

fn is_round(count: u64, digits: u32) -> bool {
    u32::try_from(count).is_ok_and(|count| rounded_down(count, digits) == count)
}

/// Checks that only the class and the counts of a run without an update left.
fn withheld(
    rule: &Allow,
    attested: &UpdatePredicate,
    failure: &Failure,
    entries: &[Entry],
) -> Result<(), String> {
    let calls: Vec<&str> = entries.iter().map(|entry| entry.call.as_str()).collect();
    if calls != ["site-before", WITHHELD, "site-leave"] {
        return Err("the transcript of a failure left, which the site's rules deny".into());
    }
    if !attested.lineage.nodes.is_empty() || !attested.data.is_empty() {
        return Err("the lineage of a failure left, which the site's rules deny".into());
    }
    let class = |class: &&'static str| failure.detail == rule.told(&Denial::of(class));
    let allowed = match failure.reason == REASON {
        true => CLASSES.iter().any(class),
        false => failure.detail == WORDS || says_a_limit(failure, &attested.limits),
    };
    match allowed {
        true => Ok(()),
        false => Err("the words of a failure left, which the site's rules deny".into()),
    }
}
