//! The post-hoc defence (PAPER, "Post-hoc defence"): the attacked adapter is tuned further on safety
//! pairs (harmful request, refusal) and ordinary helpful pairs. Its executing half is
//! `server/federation/src/defence/posthoc.rs`.
//!
//! Pairs that a model wrote were filtered, so an auditor filters again; the tuning itself is for a
//! replay.

use std::collections::BTreeSet;
use std::ops::Bound;

use fedseal_adapter::{Adapter, Example, limits};

use super::data::DefenceData;
use super::definition::{Case, Definition, Number};
use crate::evaluation::rule;

/// Its name.
pub const NAME: &str = super::data::POSTHOC;

/// Numbers below it round to a finite f32, as the engine takes them.
const END_OF_SINGLES: f64 = 3.402_823_567_797_336_6e38;
/// Most steps, examples and attempts.
const MOST: f64 = 1_000_000.0;

/// Definition of the defence. The table `[defence]` has the same numbers for every arm.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "post-hoc defence",
    help: "tunes the attacked adapter on refusals of harmful requests and on helpful answers",
    version: 1,
    numbers: &[
        Number::whole(
            "level",
            "1: given data, 2: the base writes them, 3: the attacked model writes them",
            3.0,
            (1.0, 3.0),
        ),
        Number::whole("steps", "optimiser steps", 500.0, (1.0, MOST)),
        Number::whole(
            "batch_size",
            "examples a step",
            16.0,
            (1.0, limits::MAX_STEP_EXAMPLES as f64),
        ),
        Number {
            key: "learning_rate",
            help: "learning rate, constant",
            default: Some(5e-5),
            range: (Bound::Excluded(0.0), Bound::Excluded(END_OF_SINGLES)),
            whole: false,
        },
        Number::whole("safety_examples", "safety pairs", 500.0, (1.0, MOST)),
        Number::whole("helpful_examples", "helpful pairs", 500.0, (0.0, MOST)),
        Number::whole(
            "attempts",
            "generations that may be tried for each kept pair",
            8.0,
            (1.0, MOST),
        ),
        Number::whole(
            "max_new_tokens",
            "longest generated instruction or answer, tokens",
            128.0,
            (1.0, (1 << 20) as f64),
        ),
        Number {
            key: "temperature",
            help: "sampling temperature of instructions; answers are greedy",
            default: Some(0.9),
            range: (Bound::Included(0.0), Bound::Included(2.0)),
            whole: false,
        },
    ],
    audit,
    compute: None,
};

/// Checks that the data are of the level, passed the filters, and are no more than may be tried.
fn audit(case: &Case<'_>, data: &DefenceData, repaired: &Adapter) -> Result<(), String> {
    let bad = |problem: &str| Err(problem.to_owned());
    if !data.has(
        &["level", "safety_tried", "helpful_tried"],
        &["safety", "helpful"],
    ) {
        return bad("has other counts or lists than the post-hoc defence");
    }
    let level = case.parameters.whole("level");
    if data.counted("level") != level as u64 || !kept(level, data) {
        return bad("is of another level, or holds pairs that the filters refuse");
    }
    let fits = |list: &str| {
        let wanted = case.parameters.whole(&format!("{list}_examples"));
        let tried = data.counted(&format!("{list}_tried"));
        let most = wanted.saturating_mul(case.parameters.whole("attempts"));
        counts_fit(level, data.listed(list), wanted, tried, most as u64)
    };
    if !fits("safety") || !fits("helpful") {
        return bad(
            "holds more pairs, or was tried more often, than the experiment's defence gives",
        );
    }
    let pairs = data.examples.values().map(Vec::len).sum::<usize>();
    if pairs == 0 && repaired.digest() != case.attacked.digest() {
        return bad("holds no pair, and yet the adapter is not the one before the defence");
    }
    Ok(())
}

/// Whether the filters let every pair through. Pairs of level 1 are given and were not filtered.
fn kept(level: usize, data: &DefenceData) -> bool {
    let harmless = |pair: &Example| !pair.response.is_empty() && !rule::is_refusal(&pair.response);
    let refused = |pair: &Example| rule::is_refusal(&pair.response);
    level == 1
        || (data.listed("safety").iter().all(refused)
            && data.listed("helpful").iter().all(harmless))
}

/// Whether the prompts differ, there are no more pairs than were wanted and tried, and no more were
/// tried than the numbers allow. Given pairs count none as tried.
fn counts_fit(level: usize, pairs: &[Example], wanted: usize, tried: u64, most: u64) -> bool {
    if level == 1 {
        return pairs.len() <= wanted && tried == 0;
    }
    let prompts = pairs.iter().map(|pair| pair.prompt.to_lowercase());
    let different: BTreeSet<String> = prompts.collect();
    different.len() == pairs.len()
        && pairs.len() <= wanted
        && pairs.len() as u64 <= tried
        && tried <= most
}
