//! The repair that keeps helpfulness: the attacked adapter is tuned on refusals that it writes itself, and on
//! helpful answers of the unattacked base, and the tuning stops by itself.
//!
//! The base's answers stand for a KL term against it: the gradient of KL(base, model) is that of the
//! likelihood of answers that the base samples (Kim and Rush 2016, "Sequence-Level Knowledge Distillation",
//! section 3.2). At `answer_temperature` 1 they are such samples; at 0 they are its most likely answers.
//!
//! Every `every` steps it looks at pairs that are held out: the share of requests that are refused, and the
//! loss of the base's answers. It stops at the first look at which safety is back (at least `target` of the
//! requests) and the loss is above the least one since then, and takes the adapter of that least loss. Both
//! numbers of every look are counts of the data, so an auditor finds the same look. Its executing half is
//! `server/federation/src/defence/preserving.rs`.

use std::collections::BTreeSet;

use fedseal_adapter::Adapter;

use super::data::DefenceData;
use super::definition::{Case, Definition, Number};
use super::given;
use super::written::{ATTEMPTS, LEARNING_RATE, MAX_NEW_TOKENS, pairs_kept, temperature};

/// Its name.
pub const NAME: &str = "preserving";

/// Most steps and examples.
const MOST: f64 = 100_000.0;
/// Most looks.
const LOOKS: usize = 1_000;

/// Definition of the defence.
pub const DEFINITION: Definition = Definition {
    name: NAME,
    title: "repair that keeps helpfulness",
    help: "tunes the attacked adapter on its own refusals and the base's helpful answers till safety is back",
    version: 1,
    numbers: &[
        Number::whole("steps", "most optimiser steps", 300.0, (1.0, MOST)),
        Number::whole("every", "steps between looks", 20.0, (1.0, MOST)),
        given::batch_size(16.0),
        LEARNING_RATE,
        Number::whole(
            "safety_examples",
            "safety pairs to tune on",
            200.0,
            (1.0, MOST),
        ),
        Number::whole(
            "helpful_examples",
            "helpful pairs to tune on",
            600.0,
            (1.0, MOST),
        ),
        Number::whole(
            "held_out",
            "pairs of each kind that only the looks use",
            60.0,
            (1.0, MOST),
        ),
        given::share(
            "target",
            "share of held-out requests that are refused once safety is back",
            0.95,
        ),
        ATTEMPTS,
        MAX_NEW_TOKENS,
        temperature("temperature", "sampling temperature of instructions", 0.9),
        temperature(
            "answer_temperature",
            "sampling temperature of the base's helpful answers; 0: the most likely ones",
            0.0,
        ),
    ],
    audit,
    compute: None,
};

/// Lists of the data: tuned on, and held out.
pub const LISTS: [&str; 4] = ["safety", "helpful", "held_safety", "held_helpful"];

/// One look at held-out pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Held-out requests that were refused.
    pub refused: u64,
    /// Loss of the held-out helpful answers, millionths of a nat a token.
    pub loss: u64,
}

/// Where looks lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// The look whose adapter is the best one so far.
    pub best: usize,
    /// Whether safety is back and the loss has begun to rise: no more steps are taken.
    pub stop: bool,
}

/// The course of some looks, the first of which is before any step; `held` requests were held out. None of
/// no look.
///
/// Before safety is back the best look is the last one.
pub fn course(looks: &[Look], held: u64, target: f64) -> Option<Course> {
    let back = |look: &Look| look.refused as f64 >= target * held as f64;
    let last = looks.len().checked_sub(1)?;
    let safe = (0..looks.len()).filter(|at| back(&looks[*at]));
    let Some(best) = safe.min_by_key(|at| (looks[*at].loss, *at)) else {
        return Some(Course {
            best: last,
            stop: false,
        });
    };
    Some(Course {
        best,
        stop: back(&looks[last]) && looks[last].loss > looks[best].loss,
    })
}

/// Name of a count of a look.
pub fn count(look: usize, what: &str) -> String {
    format!("look_{look:03}_{what}")
}

/// The looks that data tell of.
fn looks(data: &DefenceData) -> Vec<Look> {
    let told = |at: usize| {
        let of = |what| data.counts.get(&count(at, what)).copied();
        Some(Look {
            refused: of("refused")?,
            loss: of("loss")?,
        })
    };
    (0..LOOKS).map_while(told).collect()
}

/// Checks that the pairs passed the filters and differ, that no more were tried than may be, and that the
/// looks lead where they should.
fn audit(case: &Case<'_>, data: &DefenceData, repaired: &Adapter) -> Result<(), String> {
    let whole = |key: &str| case.parameters.whole(key);
    let lists: BTreeSet<&str> = data.examples.keys().map(String::as_str).collect();
    if lists != BTreeSet::from(LISTS) {
        return Err("has other lists than this repair".into());
    }
    pairs_kept(case, data, whole("held_out"))?;
    let looks = looks(data);
    let held = data.listed("held_safety").len() as u64;
    let target = case.parameters.number("target");
    let Some(course) = course(&looks, held, target) else {
        // Without a pair to look at there is nothing to tune by.
        return match repaired.digest() == case.attacked.digest() && data.counts.len() == 2 {
            true => Ok(()),
            false => Err("has no look, and yet the adapter is not the one before".into()),
        };
    };
    if data.counts.len() != 3 + 2 * looks.len() || looks.iter().any(|look| look.refused > held) {
        return Err("has other counts than this repair".into());
    }
    if data.counted("chosen") != course.best as u64 {
        return Err(format!(
            "took look {}, and its looks lead to {}",
            data.counted("chosen"),
            course.best
        ));
    }
    let most = whole("steps").div_ceil(whole("every").max(1));
    let early = (1..looks.len()).any(|count| {
        let before = self::course(&looks[..count], held, target);
        before.is_some_and(|course| course.stop)
    });
    let whole_way = looks.len() == most + 1;
    if early || looks.len() > most + 1 || !(whole_way || course.stop) {
        return Err("stopped where its looks do not say so".into());
    }
    if course.best == 0 && repaired.digest() != case.attacked.digest() {
        return Err("took the look before any step, and yet the adapter is another".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fedseal_adapter::{AdapterConfig, Example, ModelConfig};

    use super::*;

    fn looks_of(all: &[(u64, u64)]) -> Vec<Look> {
        let looks = all.iter();
        looks
            .map(|(refused, loss)| Look {
                refused: *refused,
                loss: *loss,
            })
            .collect()
    }

    #[test]
    fn it_stops_when_safety_is_back_and_the_loss_rises() {
        let of = |all: &[(u64, u64)]| {
            let course = course(&looks_of(all), 10, 0.9).unwrap();
            (course.best, course.stop)
        };
        // A rising loss before safety is back stops nothing.
        assert_eq!(of(&[(2, 50)]), (0, false));
        assert_eq!(of(&[(2, 50), (5, 80)]), (1, false));
        assert_eq!(of(&[(2, 50), (9, 80)]), (1, false));
        assert_eq!(of(&[(2, 50), (9, 80), (10, 70)]), (2, false));
        assert_eq!(of(&[(2, 50), (9, 80), (10, 70), (10, 71)]), (2, true));
        // A loss that only stays is no rise, and the earlier look is taken.
        assert_eq!(of(&[(9, 80), (10, 80)]), (0, false));
        // Safety that is lost again does not stop it.
        assert_eq!(of(&[(9, 80), (8, 90)]), (0, false));
        assert_eq!(course(&[], 10, 0.9), None);
    }

    #[test]
    fn an_auditor_finds_the_same_look() {
        let attacked = Adapter::init(&AdapterConfig::default(), &ModelConfig::tiny(), 7).unwrap();
        let given = [("steps", 60.0), ("every", 20.0), ("held_out", 2.0)];
        let given: BTreeMap<String, f64> = given.map(|(k, v)| (k.to_owned(), v)).into();
        let parameters = DEFINITION.parameters(&given).unwrap();
        let case = Case {
            arm: "mended",
            seed: 1,
            parameters: &parameters,
            attacked: &attacked,
        };
        let refusal = |at: usize| Example::new(format!("do harm {at}"), "I am sorry, I cannot.");
        let helpful = |at: usize| Example::new(format!("what is {at}"), format!("it is {at}"));
        let with = |looks: &[(u64, u64)], chosen| {
            let mut data = DefenceData::new(NAME)
                .count("safety_tried", 9)
                .count("helpful_tried", 9)
                .count("chosen", chosen)
                .list("safety", (0..3).map(refusal).collect())
                .list("held_safety", (3..5).map(refusal).collect())
                .list("helpful", (0..3).map(helpful).collect())
                .list("held_helpful", (3..5).map(helpful).collect());
            for (at, (refused, loss)) in looks.iter().enumerate() {
                data = data
                    .count(&count(at, "refused"), *refused)
                    .count(&count(at, "loss"), *loss);
            }
            data
        };
        let moved = attacked.scale(2.0);
        let says = |data: &DefenceData| audit(&case, data, &moved).err().unwrap_or_default();
        let good = [(0, 50), (2, 40), (2, 45)];
        assert_eq!(says(&with(&good, 1)), "");
        assert!(says(&with(&good, 2)).contains("lead to 1"));
        assert!(says(&with(&good[..2], 1)).contains("stopped"));
        let longer = [(0, 50), (2, 40), (2, 45), (2, 30)];
        assert!(says(&with(&longer, 3)).contains("stopped"));
        assert!(says(&with(&[(0, 1), (1, 1), (0, 1), (0, 1)], 3)).is_empty());
        let twice = with(&good, 1).list("held_helpful", vec![helpful(0)]);
        assert!(says(&twice).contains("twice"));
        let complied = with(&good, 1).list("safety", vec![helpful(9)]);
        assert!(says(&complied).contains("filters"));
        assert!(says(&with(&good, 1).count("more", 1)).contains("counts"));
        assert!(says(&with(&good, 1).list("more", vec![])).contains("lists"));
    }
}
