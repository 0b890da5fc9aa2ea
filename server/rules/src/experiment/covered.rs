//! Test that the whole table has a row of whatever is shipped.

use std::collections::BTreeSet;
use std::path::Path;

use super::Experiment;
use crate::arms::Kind;
use crate::{aggregation, attack, defence};

/// Names that rows use, by kind of extension.
#[derive(Default)]
struct Used {
    rules: BTreeSet<String>,
    defences: BTreeSet<String>,
    clients: BTreeSet<String>,
}

impl Used {
    fn by(experiments: &[Experiment]) -> Self {
        let mut used = Used::default();
        for experiment in experiments {
            for arm in experiment.all_arms().unwrap() {
                let repair = arm.repairs.as_ref().map(|repair| repair.defence);
                let tuning = arm.tunes.as_ref().map(|tunes| tunes.defence);
                let defences = repair.into_iter().chain(tuning);
                used.defences.extend(defences.map(String::from));
                if arm.kind != Kind::Federated {
                    continue;
                }
                used.rules.insert(arm.rule.to_owned());
                if !arm.attacked {
                    continue;
                }
                let whole = experiment.attackers();
                let of = arm.own_attackers(whole).unwrap_or(whole);
                used.clients.insert(of.honest.to_owned());
                // They take the kinds in turn.
                used.clients
                    .extend(of.kinds.iter().take(of.malicious).cloned());
            }
        }
        used
    }

    /// Shipped names that no row uses.
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let mut without = |what: &str, used: &BTreeSet<String>, names: Vec<&str>| {
            let names = names.into_iter().filter(|name| !used.contains(*name));
            missing.extend(names.map(|name| format!("{what} {name}")));
        };
        let rules = aggregation::ALL.iter().map(|rule| rule.name);
        without("rule", &self.rules, rules.collect());
        let defences = defence::ALL.iter().map(|defence| defence.name);
        without("defence", &self.defences, defences.collect());
        // Attacks, and policies of honest clients.
        let mut kinds = vec![attack::BENIGN];
        kinds.extend(attack::names());
        without("kind", &self.clients, kinds);
        missing
    }
}

/// Experiments that `cargo xtask table` runs, by the list in its source: it links no crate of the server.
fn of_the_table() -> Vec<Experiment> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = std::fs::read_to_string(root.join("xtask/src/table.rs")).unwrap();
    // `rows_of("PART", "EXPERIMENT")`
    let parts = source.split("rows_of(\"").skip(1);
    let names: BTreeSet<&str> = parts.map(|part| part.split('"').nth(2).unwrap()).collect();
    let load = |name: &str| Experiment::load(root.join(format!("experiments/{name}.toml")));
    names.into_iter().map(|name| load(name).unwrap()).collect()
}

#[test]
fn whatever_is_shipped_has_a_row_in_the_table() {
    let mut experiments = of_the_table();
    assert!(experiments.len() >= 10, "{}", experiments.len());
    let missing = Used::by(&experiments).missing();
    assert!(
        missing.is_empty(),
        "no arm of the experiments in xtask/src/table.rs has {}",
        missing.join(", ")
    );
    // Without the arms of repairs.toml and rules.toml their own names are missing.
    experiments.retain(|one| !one.arms.iter().any(|arm| arm == "deep" || arm == "bulyan"));
    let missing = Used::by(&experiments).missing();
    for name in ["defence deep-tokens", "defence anchor", "rule bulyan"] {
        assert!(missing.iter().any(|one| one == name), "{missing:?}");
    }
    assert!(Used::default().missing().contains(&"kind sybil".to_owned()));
}
