//! Executing half of the anchor repair; [`fedseal_rules::defence::anchor`] says what it does.

use fedseal_tuning::Anchor as Hook;

use super::executing::{Defence, Repaired, Tools};
use super::{aligned, pairs};
use crate::Result;
use fedseal_rules::defence::{Case, DefenceData, Definition, Parameters, anchor};

/// The repair.
pub struct Anchor;

impl Defence for Anchor {
    fn definition(&self) -> &'static Definition {
        &anchor::DEFINITION
    }

    fn writes(&self, parameters: &Parameters) -> Option<(&'static str, usize)> {
        Some(("max_new_tokens", parameters.whole("max_new_tokens")))
    }

    fn data(&self, case: &Case<'_>, tools: &Tools<'_>) -> Result<DefenceData> {
        aligned::written(anchor::NAME, case, tools)
    }

    /// Without a pair of either kind the adapter stays as it is.
    fn repair(&self, case: &Case<'_>, data: &DefenceData, tools: &Tools<'_>) -> Result<Repaired> {
        let anchors = data.listed("safety").iter();
        let anchors = anchors.take(case.parameters.whole("anchors"));
        let anchors: Vec<String> = anchors.map(|pair| pair.prompt.clone()).collect();
        let aligned = match anchors.is_empty() {
            true => None,
            false => aligned::tuned(case, data, tools)?,
        };
        let Some(aligned) = aligned else {
            return Ok(case.attacked.clone().into());
        };
        let hook = Hook::new(aligned, anchors, case.parameters.number("alpha"));
        let config = aligned::repairing(case, tools);
        let helpful = data.listed("helpful");
        Ok(pairs::train(case, tools, helpful, &config, Some(Box::new(hook)))?.into())
    }
}
