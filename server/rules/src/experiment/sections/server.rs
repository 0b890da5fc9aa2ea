//! `[server]`: the server optimiser.

use super::super::locate::Located;
use super::Section;
use crate::error::Result;
use crate::optimiser::{self, Definition, Key, ServerConfig};

impl ServerConfig {
    /// Checks the names and the ranges.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>) -> Result<()> {
        let section = Section::new("server", at);
        section.named("optimiser", optimiser::definition(&self.optimiser))?;
        section.named("formula", self.formula())?;
        for key in Key::ALL {
            let Some(value) = self.given(key) else {
                continue;
            };
            match key {
                Key::LearningRate | Key::Tau => section.positive(key.name(), value)?,
                Key::Momentum | Key::Beta1 | Key::Beta2 => section.below_one(key.name(), value)?,
            }
        }
        Ok(())
    }

    /// Refuses keys that have no effect on a new run with these optimisers.
    pub(in crate::experiment) fn check_used(
        &self,
        optimisers: &[&Definition],
        at: &Located<'_>,
    ) -> Result<()> {
        let section = Section::new("server", at);
        self.unused(optimisers)
            .map_err(|(key, problem)| section.error(key, problem))
    }
}
