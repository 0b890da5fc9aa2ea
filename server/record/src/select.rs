//! Chooses updates of a run: by the beginning of an id, or drawn.

use crate::error::{Error, Result};
use crate::state::{RunState, UpdateRef};
use fedseal_rules::sampling::{choose, rng};

/// Which updates to execute again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The update whose id (attestation digest) begins so; must be unambiguous.
    Prefix(String),
    /// So many, drawn by a seed.
    Sample {
        /// How many; all when there are fewer.
        count: usize,
        /// The seed.
        seed: u64,
    },
}

/// The chosen updates, in the order of the log.
pub fn select<'a>(state: &'a RunState, selector: &Selector) -> Result<Vec<&'a UpdateRef>> {
    let mut all: Vec<&UpdateRef> = state.updates.values().collect();
    all.sort_by_key(|update| update.entry);
    match selector {
        Selector::Prefix(prefix) => {
            let prefix = prefix.to_lowercase();
            let found: Vec<&UpdateRef> = all
                .into_iter()
                .filter(|update| {
                    !prefix.is_empty() && update.attestation.to_string().starts_with(&prefix)
                })
                .collect();
            match found.len() {
                1 => Ok(found),
                0 => Err(Error::Missing {
                    what: format!("update `{prefix}`"),
                    hint: "no update of this run has an id that begins so; the report lists them"
                        .into(),
                }),
                n => Err(Error::Missing {
                    what: format!("one update `{prefix}`"),
                    hint: format!("{n} ids begin so; give more digits"),
                }),
            }
        }
        Selector::Sample { count, seed } => {
            if all.is_empty() {
                return Err(Error::Missing {
                    what: "updates".into(),
                    hint: "the run has none yet".into(),
                });
            }
            let chosen = choose(&mut rng("replay", *seed, &[]), all.len(), *count);
            Ok(chosen
                .into_iter()
                .filter_map(|index| all.get(index).copied())
                .collect())
        }
    }
}
