//! Formulas of which a run has other versions than this program: what an auditor does not compute again,
//! and what nobody goes on with.

use std::path::Path;

use fedseal_rules::experiment::Experiment;
use fedseal_rules::formulas::{Other, Others, Versions, text};

use crate::error::{Error, Result};
use crate::rundir::Plan;

/// Formulas of a run of which `here` has another version.
///
/// # Errors
/// An arm that is not known.
pub fn others(plan: &Plan, experiment: &Experiment, here: &Versions) -> Result<Others> {
    let measures: Vec<&str> = plan.measures.iter().map(|one| one.name.as_str()).collect();
    Ok(here.others(experiment, &measures, &plan.versions)?)
}

/// Refuses to go on with a run that was begun under other formulas: its second half would not follow from
/// the same rules as its first.
///
/// # Errors
/// [`Error::RunDir`] names them.
pub fn same(dir: &Path, plan: &Plan, experiment: &Experiment, here: &Versions) -> Result<()> {
    let others = others(plan, experiment, here)?;
    let names: Vec<String> = others.iter().map(Other::to_string).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(Error::RunDir {
            dir: dir.to_owned(),
            problem: format!("{}; go on with the program that began it", names.join("; ")),
        }),
    }
}

/// Refuses to execute updates of a run again that were trained on another text.
///
/// # Errors
/// [`Error::RunDir`] names it.
pub fn same_text(dir: &Path, experiment: &Experiment, others: &Others) -> Result<()> {
    match others.get(&text(&experiment.model.template)) {
        None => Ok(()),
        Some(other) => Err(Error::RunDir {
            dir: dir.to_owned(),
            problem: format!("{other}, so nothing of it can be executed again"),
        }),
    }
}
