//! Compares two transcripts of one update step by step: finds the first difference, and decides whether
//! the engine alone explains all of them.
//!
//! A guest is a function of its host's answers. As long as those are equal, it makes the same calls with
//! the same arguments on any engine. An engine makes adapters, which a guest holds by handles and cannot
//! see, and texts and numbers, which it can.

use fedseal_client_sdk::transcript::Transcript;
use serde_json::json;

use super::dispute::Dispute;
use crate::Result;

/// Calls whose results an engine makes.
const MADE: [&str; 4] = ["train", "train-controlled", "generate", "log-likelihood"];
/// Calls whose results follow from adapters that an engine made.
const DERIVED: [&str; 9] = [
    "scale",
    "add",
    "noise",
    "clip",
    "dot",
    "read-raw",
    "write-raw",
    "submit",
    "site-leave",
];
/// Calls that show the guest an engine's result. Its later calls may depend on it.
const SHOWN: [&str; 4] = ["generate", "log-likelihood", "dot", "read-raw"];

/// Returns the first step in which two transcripts differ. The caller knows that they do.
pub(super) fn first_step(logged: &Transcript, again: &Transcript) -> Result<Dispute> {
    let mut first: Option<Dispute> = None;
    // Whether the engine explains every difference so far; whether the guest has seen one.
    let (mut by_engine, mut seen) = (true, false);
    for (entry, (left, right)) in logged
        .entries()?
        .into_iter()
        .zip(again.entries()?)
        .enumerate()
    {
        let call = left.call.clone();
        for (what, logged, again) in [
            ("call", json!(left.call), json!(right.call)),
            ("arguments", left.args, right.args),
            ("result", left.result, right.result),
        ] {
            if logged == again {
                continue;
            }
            let made = MADE.contains(&call.as_str());
            let derived = first.is_some() && DERIVED.contains(&call.as_str());
            by_engine &= seen || (what == "result" && (made || derived));
            seen |= what == "result" && SHOWN.contains(&call.as_str());
            first.get_or_insert(Dispute {
                entry: Some(entry),
                what,
                logged,
                again,
                by_engine: false,
            });
            break;
        }
    }
    by_engine &= seen || logged.len() == again.len();
    Ok(match first {
        Some(first) => Dispute { by_engine, ..first },
        None => Dispute {
            entry: Some(logged.len().min(again.len())),
            what: "length",
            logged: json!(logged.len()),
            again: json!(again.len()),
            by_engine: false,
        },
    })
}
