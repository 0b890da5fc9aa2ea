//! `[aggregation]`: settings of the rules.

use super::super::locate::Located;
use super::Section;
use crate::aggregation::AggregationConfig;
use crate::error::Result;

impl AggregationConfig {
    /// Checks the names and ranges of every rule's section.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>) -> Result<()> {
        let section = Section::new("aggregation", at);
        let fits = self.validate();
        fits.map_err(|bad| section.error(&bad.key, bad.problem))
    }
}
