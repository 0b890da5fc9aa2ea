//! Server optimisers: how the aggregated delta moves the global adapter (Reddi et al. 2021).
//!
//! The delta is a pseudo-gradient; the state (momenta) is a pure function of the deltas seen so
//! far, so a resumed run and an auditor rebuild it from the log. One file an optimiser, or a family.

use crate::error::{Error, Result};

pub mod adaptive;
mod config;
mod definition;
pub mod fedavgm;
pub mod plain;

pub use config::ServerConfig;
pub use definition::{Copied, Definition, Formula, Key, Optimiser, Settings};

impl ServerConfig {
    /// A fresh optimiser of that name with these numbers.
    ///
    /// # Errors
    /// [`Error::Unknown`] lists the known ones, or the known formulas.
    pub fn build(&self, name: &str) -> Result<Box<dyn Optimiser>> {
        let definition = definition(name)?;
        Ok((definition.make)(&self.settings(definition)?))
    }
}

/// Every server optimiser, in the order of messages.
pub const ALL: &[&Definition] = &[
    &plain::DEFINITION,
    &fedavgm::DEFINITION,
    &adaptive::FEDADAGRAD,
    &adaptive::FEDYOGI,
    &adaptive::FEDADAM,
];

/// The optimiser of that name; the error lists the known ones.
pub fn definition(name: &str) -> Result<&'static Definition> {
    let names = ALL.iter().map(|definition| definition.name);
    ALL.iter()
        .find(|definition| definition.name == name)
        .copied()
        .ok_or_else(|| Error::unknown("server optimiser", name, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, formula: Option<Formula>) -> Result<Box<dyn Optimiser>> {
        let config = ServerConfig {
            formula: formula.map(|formula| formula.name().to_owned()),
            ..ServerConfig::default()
        };
        config.build(name)
    }

    #[test]
    fn every_one_builds_and_moves_along_the_delta() {
        for formula in Formula::ALL {
            for Definition { name, .. } in ALL {
                let mut optimiser = named(name, Some(formula)).unwrap();
                for _ in 0..3 {
                    let step = optimiser.step(&[0.5, -0.25, 0.0]);
                    let said = format!("{name} by {}: {step:?}", formula.name());
                    assert!(step[0] > 0.0 && step[1] < 0.0, "{said}");
                    assert_eq!(step[2], 0.0, "{said}");
                }
            }
        }
        let text = named("adam", None).err().unwrap().to_string();
        assert!(text.contains("fedadam"), "{text}");
    }

    #[test]
    fn a_run_from_before_there_was_a_choice_has_the_same_bits() {
        // By hand: m = 0.9 * m + delta, as the program had it that knew no other.
        let deltas = [[0.5f32, -0.25], [0.125, 0.75], [-1.0, 0.0625]];
        for (name, expected) in [
            (
                "fedavgm",
                [[0.5f32, -0.25], [0.575, 0.525], [-0.4825, 0.535]],
            ),
            ("plain", deltas),
        ] {
            let mut optimiser = named(name, None).unwrap();
            for (delta, expected) in deltas.iter().zip(expected) {
                assert_eq!(optimiser.step(delta), expected, "{name}");
            }
        }
    }

    #[test]
    fn the_docs_have_every_formula_and_number() {
        let docs = include_str!("../../../../docs/METHODS.md");
        for formula in Formula::ALL {
            assert!(docs.contains(&format!("`{}`", formula.name())));
        }
        for Definition { name, uses, .. } in ALL {
            for (key, default) in Formula::ALL.into_iter().flat_map(uses) {
                let row = docs
                    .lines()
                    .find(|line| line.contains(&format!("| `{}` |", key.name())));
                let row = row.unwrap_or_else(|| panic!("no row for {}", key.name()));
                assert!(
                    row.contains(&format!("{default:?}")),
                    "{row}: {default:?} of {name}"
                );
                assert!(row.contains(name), "{row} lacks {name}");
            }
        }
    }
}
