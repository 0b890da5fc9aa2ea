//! Numbers of defences, and audits of those that train on pairs which the source gives.

use std::ops::Bound;

use fedseal_adapter::{Adapter, limits};

use super::data::DefenceData;
use super::definition::{Case, Number};

/// Most steps, examples and attempts.
pub(super) const MOST: f64 = 1_000_000.0;
/// Numbers below it round to a finite f32, as the engine takes them.
const END_OF_SINGLES: f64 = 3.402_823_567_797_336_6e38;

/// Number of optimiser steps.
pub(super) const fn steps(default: f64) -> Number {
    Number::whole("steps", "optimiser steps", default, (1.0, MOST))
}

/// Number of examples a step.
pub(super) const fn batch_size(default: f64) -> Number {
    let most = limits::MAX_STEP_EXAMPLES as f64;
    Number::whole("batch_size", "examples a step", default, (1.0, most))
}

/// The learning rate.
pub(super) const fn learning_rate(help: &'static str, default: f64) -> Number {
    Number {
        key: "learning_rate",
        help,
        default: Some(default),
        range: (Bound::Excluded(0.0), Bound::Excluded(END_OF_SINGLES)),
        whole: false,
    }
}

/// Number of pairs in one of the lists.
pub(super) const fn examples(
    key: &'static str,
    help: &'static str,
    default: f64,
    least: f64,
) -> Number {
    Number::whole(key, help, default, (least, MOST))
}

/// A number from 0 on.
pub(super) const fn not_negative(key: &'static str, help: &'static str, default: f64) -> Number {
    Number {
        key,
        help,
        default: Some(default),
        range: (Bound::Included(0.0), Bound::Excluded(END_OF_SINGLES)),
        whole: false,
    }
}

/// A number from 0 to 1.
pub(super) const fn share(key: &'static str, help: &'static str, default: f64) -> Number {
    Number {
        key,
        help,
        default: Some(default),
        range: (Bound::Included(0.0), Bound::Included(1.0)),
        whole: false,
    }
}

/// Checks that the data have these lists alone, none longer than its number (`NAME_examples`) says, and that
/// nothing was made of nothing.
pub(super) fn audit(
    case: &Case<'_>,
    data: &DefenceData,
    made: &Adapter,
    lists: &[&str],
) -> Result<(), String> {
    if !data.has(&[], lists) {
        return Err("has other counts or lists than its defence".into());
    }
    for list in lists {
        let most = case.parameters.whole(&format!("{list}_examples"));
        if data.listed(list).len() > most {
            return Err(format!(
                "holds more {list} pairs than the experiment gives it"
            ));
        }
    }
    let none = data.examples.values().all(Vec::is_empty);
    if none && made.digest() != case.attacked.digest() {
        return Err("holds no pair, and yet the adapter is not the one before".into());
    }
    Ok(())
}

/// Checks that the adapter moved by a norm, up to the rounding of its values to f32.
pub(super) fn moved_by(case: &Case<'_>, made: &Adapter, norm: f64) -> Result<(), String> {
    let step = made.sub(case.attacked).map_err(|error| error.to_string())?;
    let found = step.norm_l2();
    let rounding = 1e-3 * norm + 1e-6 * case.attacked.norm_l2();
    match (found - norm).abs() <= rounding {
        true => Ok(()),
        false => Err(format!(
            "gives a step of norm {found:.6}, that of the perturbation is {norm:.6}"
        )),
    }
}
