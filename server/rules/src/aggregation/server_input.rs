//! Input of the server's own to a rule: what it trained or measured for a round, as a blob of the log, so that
//! an auditor applies the rule again.

use std::collections::BTreeMap;

use fedseal_adapter::Adapter;
use fedseal_client_sdk::canonical;
use serde::{Deserialize, Serialize};

use crate::admission::Behaviour;
use crate::error::Result;

/// Kind of input that a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// An adapter that the server trained from the round's global one, on its own data.
    OwnUpdate,
    /// Behaviour of the updates and of the global adapter on the round's canaries.
    Behaviour,
    /// Facts that the rule learns from updates of clients that the server simulates, once for an arm.
    Simulated,
}

/// Input of the server's own to a rule in a round; an adapter of its own is a blob beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerInput {
    /// The rule.
    pub rule: String,
    /// Numbers by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, Vec<f64>>,
}

/// Names of the numbers of a behaviour: those of the sampled clients in order, then the global adapter's.
const BEHAVIOUR: [&str; 2] = ["refusal", "loss"];

/// Number in place of one that is not finite: worse than any that is measured.
const WORST: f64 = 1e6;

impl ServerInput {
    /// Input with numbers alone.
    pub fn of_numbers(rule: &str, numbers: BTreeMap<String, Vec<f64>>) -> Self {
        ServerInput {
            rule: rule.to_owned(),
            numbers,
        }
    }

    /// Input of behaviours: of the sampled clients' updates, and of the global adapter. A client without an
    /// update has that of the global one.
    pub fn of_behaviours(rule: &str, clients: &[Option<Behaviour>], global: Behaviour) -> Self {
        let of = |number: fn(&Behaviour) -> f64, worst: f64| -> Vec<f64> {
            let clients = clients.iter().map(|one| one.unwrap_or(global));
            let numbers = clients.chain([global]).map(|one| number(&one));
            numbers
                .map(|number| if number.is_finite() { number } else { worst })
                .collect()
        };
        let refusals = of(|behaviour| behaviour.refusal, -WORST);
        let losses = of(|behaviour| behaviour.loss, WORST);
        let names = BEHAVIOUR.map(str::to_owned);
        Self::of_numbers(rule, names.into_iter().zip([refusals, losses]).collect())
    }

    /// Numbers of a name; none where there are none.
    pub fn named(&self, name: &str) -> &[f64] {
        self.numbers.get(name).map_or(&[], Vec::as_slice)
    }

    /// Behaviours of so many sampled clients' updates, and of the global adapter.
    pub fn behaviours(&self, clients: usize) -> Option<(Vec<Behaviour>, Behaviour)> {
        let [refusals, losses] = BEHAVIOUR.map(|name| self.named(name));
        if refusals.len() != clients + 1 || losses.len() != clients + 1 {
            return None;
        }
        let pairs = refusals.iter().zip(losses);
        let all = pairs.map(|(&refusal, &loss)| Behaviour { refusal, loss });
        let mut all: Vec<Behaviour> = all.collect();
        let global = all.pop()?;
        Some((all, global))
    }

    /// The blob's bytes.
    ///
    /// # Errors
    /// Numbers that are not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(canonical::to_vec(self)?)
    }

    /// Reads [`ServerInput::to_bytes`] back.
    ///
    /// # Errors
    /// Bytes of another form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Ok(canonical::from_slice(bytes)?)
    }
}

/// Input of the server as a rule gets it.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The global adapter that updates are differences from.
    pub global: &'a Adapter,
    /// The input.
    pub input: &'a ServerInput,
    /// The server's own update, as long as the clients'; empty where there is none.
    pub own: &'a [f32],
    /// Behaviours of the updates that count, in order, and of the global adapter; none where there are none.
    pub behaviours: Option<(&'a [Behaviour], Behaviour)>,
    /// Names of the clients whose updates count, in order.
    pub clients: &'a [&'a str],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviours_come_back_and_a_failed_client_has_the_global_one() {
        let behaviour = |refusal, loss| Behaviour { refusal, loss };
        let global = behaviour(1.5, 0.25);
        let one = behaviour(-2.0, 0.5);
        let input = ServerInput::of_behaviours("x", &[Some(one), None], global);
        let read = ServerInput::from_bytes(&input.to_bytes().unwrap()).unwrap();
        assert_eq!(read, input);
        assert_eq!(read.behaviours(2), Some((vec![one, global], global)));
        assert_eq!(read.behaviours(3), None);
        let broken =
            ServerInput::of_behaviours("x", &[Some(behaviour(f64::NAN, f64::INFINITY))], global);
        let (found, _) = broken.behaviours(1).unwrap();
        assert_eq!(found, [behaviour(-WORST, WORST)]);
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use fedseal_adapter::{AdapterConfig, AdapterTensor};

    use super::*;

    /// Applies `with` to the server's own update over an adapter of one tensor of zeros.
    pub(crate) fn known<T>(own: &[f32], with: impl FnOnce(&Known<'_>) -> T) -> T {
        let tensor = AdapterTensor {
            shape: [1, own.len()],
            data: vec![0.0; own.len()],
        };
        let global = Adapter {
            tensors: [("x.norm.weight".to_owned(), tensor)].into(),
            config: AdapterConfig::default(),
        };
        with(&Known {
            global: &global,
            input: &ServerInput::of_numbers("x", BTreeMap::new()),
            own,
            behaviours: None,
            clients: &[],
        })
    }
}
