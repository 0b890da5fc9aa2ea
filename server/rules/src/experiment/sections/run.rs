//! `[run]`: how the run uses the machine.

use serde::{Deserialize, Serialize};

use super::super::locate::Located;
use super::Section;
use crate::error::Result;

/// Most threads and workers.
const MOST_THREADS: usize = 1024;

/// How the run uses the machine. Nothing here changes an adapter's digest on the CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// `auto` (the best card, else the CPU), `cpu`, `wgpu`, `vulkan` or `cuda`.
    pub device: String,
    /// `exact` (the same bits on every processor) or `fast` (bf16 products; the bits depend on
    /// the processor's kernel). Part of the engine's name in every attestation.
    pub numerics: String,
    /// Threads of the CPU device; 0: as many as there are cores.
    pub threads: usize,
    /// Updates and evaluations executed side by side; 0: as many as there are cores.
    pub workers: usize,
}

impl Default for RunConfig {
    fn default() -> Self {
        RunConfig {
            device: "cpu".into(),
            numerics: "exact".into(),
            threads: 0,
            workers: 0,
        }
    }
}

impl RunConfig {
    /// Checks the names and ranges.
    pub(in crate::experiment) fn check(&self, at: &Located<'_>) -> Result<()> {
        let section = Section::new("run", at);
        section.one_of("device", "device", &self.device, &fedseal_adapter::DEVICES)?;
        section.one_of(
            "numerics",
            "numeric mode",
            &self.numerics,
            &["exact", "fast"],
        )?;
        section.most(MOST_THREADS, "threads", self.threads)?;
        section.most(MOST_THREADS, "workers", self.workers)
    }
}
