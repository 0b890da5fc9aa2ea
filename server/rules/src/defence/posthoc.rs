//! The post-hoc defence (PAPER, "Post-hoc defence"): the attacked adapter is tuned further on safety
//! pairs (harmful request, refusal) and ordinary helpful pairs. Its executing half is
//! `server/federation/src/defence/posthoc.rs`.
//!
//! Pairs that a model wrote were filtered, so an auditor filters again; the tuning itself is for a
//! replay.

use fedseal_adapter::{Adapter, Example};

use super::data::DefenceData;
use super::definition::{Case, Definition, Number};
use super::given;
use super::written::{self, MAX_NEW_TOKENS, TEMPERATURE, harmless, refused};

/// Its name.
pub const NAME: &str = super::data::POSTHOC;

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
        given::steps(500.0),
        given::batch_size(16.0),
        given::learning_rate("learning rate, constant", 5e-5),
        given::examples("safety_examples", "safety pairs", 500.0, 1.0),
        given::examples("helpful_examples", "helpful pairs", 500.0, 0.0),
        Number::whole(
            "attempts",
            "generations that may be tried for each kept pair",
            8.0,
            (1.0, given::MOST),
        ),
        MAX_NEW_TOKENS,
        TEMPERATURE,
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
    level == 1
        || (data.listed("safety").iter().all(refused)
            && data.listed("helpful").iter().all(harmless))
}

/// As [`written::counts_fit`]; given pairs may be the same, and count none as tried.
fn counts_fit(level: usize, pairs: &[Example], wanted: usize, tried: u64, most: u64) -> bool {
    if level == 1 {
        return pairs.len() <= wanted && tried == 0;
    }
    written::counts_fit(pairs, wanted, tried, most)
}
