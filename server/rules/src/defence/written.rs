//! Numbers and audits of defences whose pairs a model writes.

use std::collections::BTreeSet;
use std::ops::Bound;

use fedseal_adapter::Example;

use super::data::DefenceData;
use super::definition::{Case, Number};
use crate::evaluation::rule;

/// Learning rate.
pub(super) const LEARNING_RATE: Number = Number {
    key: "learning_rate",
    help: "learning rate, constant",
    default: Some(5e-4),
    range: (Bound::Excluded(0.0), Bound::Included(1.0)),
    whole: false,
};
/// Generations for a kept pair.
pub(super) const ATTEMPTS: Number = Number::whole(
    "attempts",
    "generations that may be tried for each kept pair",
    8.0,
    (1.0, 1_000.0),
);
/// Length of a generated text.
pub(super) const MAX_NEW_TOKENS: Number = Number::whole(
    "max_new_tokens",
    "longest generated instruction or answer, tokens",
    128.0,
    (1.0, (1 << 20) as f64),
);
/// Sampling temperature where answers are greedy.
pub(super) const TEMPERATURE: Number = temperature(
    "temperature",
    "sampling temperature of instructions; answers are greedy",
    0.9,
);

/// A sampling temperature.
pub(super) const fn temperature(key: &'static str, help: &'static str, default: f64) -> Number {
    Number {
        key,
        help,
        default: Some(default),
        range: (Bound::Included(0.0), Bound::Included(2.0)),
        whole: false,
    }
}

/// Filter of safety pairs.
pub(super) fn refused(pair: &Example) -> bool {
    rule::is_refusal(&pair.response)
}

/// Filter of helpful pairs.
pub(super) fn harmless(pair: &Example) -> bool {
    !pair.response.is_empty() && !refused(pair)
}

/// Whether the prompts differ, there are no more pairs than were wanted and tried, and no more were
/// tried than the numbers allow.
pub(super) fn counts_fit(pairs: &[Example], wanted: usize, tried: u64, most: u64) -> bool {
    let prompts = pairs.iter().map(|pair| pair.prompt.to_lowercase());
    let different: BTreeSet<String> = prompts.collect();
    different.len() == pairs.len()
        && pairs.len() <= wanted
        && pairs.len() as u64 <= tried
        && tried <= most
}

/// Checks that safety and helpful pairs passed their filters, differ, and are no more than may be tried for
/// them; up to `held_out` of each kind are held out.
pub(super) fn pairs_kept(
    case: &Case<'_>,
    data: &DefenceData,
    held_out: usize,
) -> Result<(), String> {
    for (kind, keeps) in [
        ("safety", refused as fn(&Example) -> bool),
        ("helpful", harmless),
    ] {
        let held = data.listed(&format!("held_{kind}"));
        let pairs = [held, data.listed(kind)].concat();
        let wanted = case.parameters.whole(&format!("{kind}_examples")) + held_out;
        let tried = data.counted(&format!("{kind}_tried"));
        let most = wanted.saturating_mul(case.parameters.whole("attempts")) as u64;
        let fits = held.len() <= held_out && counts_fit(&pairs, wanted, tried, most);
        if !fits || !pairs.iter().all(keeps) {
            return Err(format!(
                "has {kind} pairs that the filters refuse, that are twice there, or more than may be tried"
            ));
        }
    }
    Ok(())
}
