//! `[server]`: the server optimiser.

use super::super::locate::Located;
use super::Section;
use crate::error::Result;
use crate::optimiser::{self, ServerConfig};

impl ServerConfig {
    /// Checks the name and the ranges.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>) -> Result<()> {
        let section = Section::new("server", at);
        section.named("optimiser", optimiser::definition(&self.optimiser))?;
        section.positive("learning_rate", self.learning_rate)?;
        section.below_one("momentum", self.momentum)?;
        section.below_one("beta1", self.beta1)?;
        section.below_one("beta2", self.beta2)?;
        section.positive("tau", self.tau)
    }
}
