//! Server optimisers: how the aggregated delta moves the global adapter (Reddi et al. 2021).
//!
//! The delta is a pseudo-gradient; the state (momenta) is a pure function of the deltas seen so
//! far, so a resumed run and an auditor rebuild it from the log. One file an optimiser, or a family.

use crate::error::{Error, Result};

pub mod adaptive;
mod definition;
pub mod fedavgm;
pub mod plain;

pub use definition::{Definition, Optimiser, ServerConfig};

impl ServerConfig {
    /// A fresh optimiser of that name with these numbers.
    ///
    /// # Errors
    /// [`Error::Unknown`] lists the known ones.
    pub fn build(&self, name: &str) -> Result<Box<dyn Optimiser>> {
        Ok((definition(name)?.make)(self))
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

    fn named(name: &str) -> Result<Box<dyn Optimiser>> {
        ServerConfig::default().build(name)
    }

    #[test]
    fn every_one_builds_and_moves_along_the_delta() {
        for Definition { name, .. } in ALL {
            let mut optimiser = named(name).unwrap();
            for _ in 0..3 {
                let step = optimiser.step(&[0.5, -0.25, 0.0]);
                assert!(step[0] > 0.0 && step[1] < 0.0, "{name}: {step:?}");
                assert_eq!(step[2], 0.0, "{name}");
            }
        }
        let text = named("adam").err().unwrap().to_string();
        assert!(text.contains("fedadam"), "{text}");
    }
}
