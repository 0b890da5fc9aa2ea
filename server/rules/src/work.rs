//! Work of an experiment, counted before anything is done: what arms share and what is left.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::admission::Admission;
use crate::aggregation::Need;
use crate::arms::{Arm, Kind, When};
use crate::attack::{self, BENIGN};
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::sampling::sampled;

/// Jobs of one seed of an experiment. Arms that ask for the same update share it, which is known beforehand of
/// the first round alone: the numbers of later rounds are upper bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Arms, the base and repaired ones among them.
    pub arms: usize,
    /// Arms with rounds.
    pub federated: usize,
    /// Rounds.
    pub rounds: u32,
    /// Arms with rounds, by what they share.
    pub sharing: Sharing,
    /// Updates of the first round, each once.
    pub first_round: usize,
    /// Updates that the arms' first rounds would take if they shared none.
    pub first_round_alone: usize,
    /// Updates in all, at most.
    pub updates: usize,
    /// Trainings of a round's steps by the server, for rules that ask for what it learns from them.
    pub server: usize,
    /// Training steps of updates and server; a module that trains several times counts as often.
    pub steps: usize,
    /// Texts that their modules have a model write, about.
    pub texts: usize,
    /// Probes of adapters on canaries, at most.
    pub probes: usize,
    /// Texts that a probe scores.
    pub scored: usize,
    /// Answers of measures between rounds, at most.
    pub answers_between: usize,
    /// Answers of the measures at the end, at most.
    pub answers_end: usize,
    /// Names of the arms that repair another.
    pub repairs: Vec<String>,
}

/// Arms by what they share of their first round. An arm that tunes its own adapter before it shares nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sharing {
    /// Groups of arms that make the same updates, at least two in each.
    pub alike: Vec<Vec<String>>,
    /// Arms that share some of theirs with others.
    pub partly: Vec<String>,
    /// Arms that share none.
    pub alone: Vec<String>,
}

/// An update of the first round: client, kind there, and the arm whose own adapter it begins with, if any.
type Place<'a> = (usize, &'a str, &'a str);

impl Sharing {
    fn of(firsts: &[(&str, Vec<Place<'_>>)]) -> Self {
        let mut found = Sharing::default();
        for (arm, first) in firsts {
            let same: Vec<&str> = firsts
                .iter()
                .filter(|(_, other)| other == first)
                .map(|(name, _)| *name)
                .collect();
            let some = firsts.iter().any(|(name, other)| {
                name != arm && other.iter().any(|place| first.contains(place))
            });
            match (same.as_slice(), some) {
                // The first of a group brings the others along.
                ([one, _, ..], _) if one == arm => {
                    let names = same.iter().map(|name| (*name).to_owned());
                    found.alike.push(names.collect());
                }
                ([_, _, ..], _) => {}
                (_, true) => found.partly.push((*arm).to_owned()),
                (_, false) => found.alone.push((*arm).to_owned()),
            }
        }
        found
    }
}

/// Openings of refusals that a probe scores of each request, and as many of compliance.
pub const OPENINGS: usize = 3;

impl Experiment {
    /// Counts the work of a seed.
    ///
    /// # Errors
    /// An arm or a check that is not known.
    pub fn work(&self, seed: u64) -> Result<Work> {
        let federation = &self.federation;
        let arms = self.all_arms()?;
        let federated: Vec<&Arm> = arms
            .iter()
            .filter(|arm| arm.kind == Kind::Federated)
            .collect();
        let mut shared: BTreeSet<Place<'_>> = BTreeSet::new();
        let (mut alone, mut probes, mut server) = (0, 0, 0);
        let (mut later, mut firsts) = (Vec::new(), Vec::new());
        let rounds = federation.rounds as usize;
        for arm in &federated {
            let own = matches!(
                arm.tunes.as_ref().map(|tunes| tunes.when),
                Some(When::First)
            );
            let start = if own { arm.id.as_str() } else { "" };
            let first = self.drawn(arm, seed, 0).into_iter();
            let first: Vec<Place<'_>> = first.map(|(client, kind)| (client, kind, start)).collect();
            alone += first.len();
            shared.extend(first.iter().copied());
            firsts.push((arm.id.as_str(), first));
            let rest = (1..federation.rounds).flat_map(|round| self.drawn(arm, seed, round));
            later.extend(rest.map(|(_, kind)| kind));
            let checks = Admission::new(&self.checks(arm)).map_err(|bad| Error::Experiment {
                file: "experiment".into(),
                line: None,
                key: format!("admission.{}", arm.id),
                problem: bad.problem.into(),
            })?;
            let need = self.aggregation.rule(arm.rule)?.input();
            server += match need {
                Some(Need::OwnUpdate) => rounds,
                // Honest clients and as many harmful ones, once.
                Some(Need::Simulated) => 2 * self.aggregation.numbers(arm.rule)?.whole("simulated"),
                Some(Need::Behaviour) | None => 0,
            };
            if checks.needs_behaviour() || need == Some(Need::Behaviour) {
                probes += rounds * (federation.sampled + 1);
            }
        }
        let evaluation = &self.evaluation;
        let measured = (rounds.saturating_sub(1)).checked_div(evaluation.every as usize);
        let between = evaluation.round_prompts + evaluation.round_tasks;
        let end = evaluation.prompts * (1 + evaluation.templates.len())
            + evaluation.tasks
            + evaluation.lookalikes;
        let updates = shared.len() + later.len();
        let kinds = shared.iter().map(|(_, kind, _)| *kind).chain(later);
        let (mut trainings, mut written) = (0, 0);
        for attack in kinds.map(attack::kind) {
            trainings += attack.map_or(1, |attack| usize::from(attack.trains));
            written += attack.map_or(0, |attack| usize::from(attack.writes));
        }
        let training = &self.training;
        let steps = training.local_steps as usize;
        let seen = steps.saturating_mul(training.batch_size as usize);
        let seen = seen.min(federation.examples_per_client);
        let repairs = arms.iter().filter(|arm| arm.kind == Kind::Defended);
        Ok(Work {
            arms: arms.len(),
            federated: federated.len(),
            rounds: federation.rounds,
            sharing: Sharing::of(&firsts),
            first_round: shared.len(),
            first_round_alone: alone,
            updates,
            server,
            steps: (trainings + server) * steps,
            texts: written * seen,
            probes,
            scored: self.canaries.per_round * (2 * OPENINGS + 1),
            answers_between: measured.unwrap_or(0) * federated.len() * between,
            answers_end: arms.len() * end,
            repairs: repairs.map(|arm| arm.id.clone()).collect(),
        })
    }

    /// The clients of an arm's round, with their kinds there.
    fn drawn<'a>(&'a self, arm: &'a Arm, seed: u64, round: u32) -> Vec<(usize, &'a str)> {
        let federation = &self.federation;
        let drawn = sampled(seed, round, federation.clients, federation.sampled).into_iter();
        if !self.clients.is_empty() {
            let own = drawn.filter(|client| {
                let honest = self.clients.get(*client).is_none_or(|client| client.honest);
                arm.attacked || honest
            });
            return own.map(|client| (client, "own")).collect();
        }
        if !arm.attacked {
            return drawn.map(|client| (client, BENIGN)).collect();
        }
        let whole = self.attackers();
        let attackers = arm.own_attackers(whole).unwrap_or(whole);
        let kinds = attackers.among(seed, federation.clients);
        drawn
            .filter_map(|client| Some((client, *kinds.get(client)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_share_their_first_round() {
        let text = "arms = [\"base\", \"clean\", \"fedavg\", \"krum\", \"behaviour\", \"defended\", \"few\"]\n\
            [federation]\nclients = 4\nsampled = 4\nmalicious = 2\nrounds = 5\n\
            [training]\nlocal_steps = 3\n[attack]\nkinds = [\"sybil\"]\n\
            [evaluation]\nprompts = 20\ntasks = 10\nevery = 2\nround_prompts = 6\nround_tasks = 4\n\
            lookalikes = 5\ntemplates = [\"alpaca\"]\n\
            [canaries]\nsealed = 8\nper_round = 2\n\
            [arm.few]\nmalicious = 1\n";
        let work = Experiment::parse(text, "x.toml").unwrap().work(1).unwrap();
        assert_eq!((work.arms, work.federated, work.rounds), (7, 5, 5));
        // Four honest updates and two of attackers: every arm takes its own among these.
        assert_eq!((work.first_round, work.first_round_alone), (6, 20));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let sharing = Sharing {
            alike: vec![names(&["fedavg", "krum", "behaviour"])],
            // The honest ones of both, and the attacker that `few` has as well.
            partly: names(&["clean", "few"]),
            alone: vec![],
        };
        assert_eq!(work.sharing, sharing);
        assert_eq!((work.updates, work.steps), (6 + 4 * 20, 3 * 86));
        assert_eq!((work.probes, work.scored), (5 * 5, 14));
        assert_eq!(work.texts, 0);
        // After rounds 2 and 4 of five.
        assert_eq!(work.answers_between, 2 * 5 * 10);
        assert_eq!(work.answers_end, 7 * (2 * 20 + 10 + 5));
        assert_eq!(work.repairs, ["defended"]);
    }

    #[test]
    fn who_begins_with_an_adapter_of_its_own_shares_nothing() {
        let text = "arms = [\"fedavg\", \"median\", \"ia3\"]\n[federation]\nclients = 4\nsampled = 2\nmalicious = 0\n\
            [arm.ia3]\ndefence = \"ia3\"\nwhen = \"first\"\n";
        let work = Experiment::parse(text, "x.toml").unwrap().work(1).unwrap();
        assert_eq!((work.first_round, work.first_round_alone), (4, 6));
        assert_eq!(work.sharing.alike, [["fedavg", "median"]]);
        assert_eq!(work.sharing.alone, ["ia3"]);
    }

    #[test]
    fn rules_with_an_input_of_the_server_s_own_count() {
        let text = "arms = [\"fltrust\", \"spectral\", \"behaviour-weighted\"]\n[federation]\nclients = 2\n\
            sampled = 2\nmalicious = 0\nrounds = 3\n[training]\nlocal_steps = 3\n\
            [aggregation.spectral]\nsimulated = 4\n";
        let work = Experiment::parse(text, "x.toml").unwrap().work(1).unwrap();
        // An update of its own each round; four honest and four harmful clients, once.
        assert_eq!(work.server, 3 + 8);
        // The first round is shared, two later ones of each arm are not.
        assert_eq!((work.updates, work.steps), (2 + 3 * 4, 3 * (14 + 11)));
        assert_eq!(work.probes, 3 * 3);
    }

    #[test]
    fn modules_that_train_twice_or_write_count_so() {
        let text = "arms = [\"fedavg\"]\n[federation]\nclients = 2\nsampled = 2\nmalicious = 2\nrounds = 3\n\
            examples_per_client = 20\n[training]\nlocal_steps = 3\nbatch_size = 8\n\
            [attack]\nkinds = [\"neurotoxin\", \"malicious-gen\"]\n";
        let work = Experiment::parse(text, "x.toml").unwrap().work(1).unwrap();
        // Each round one that trains twice and one that trains once and writes two texts for each of 20 examples.
        assert_eq!((work.updates, work.steps), (6, 3 * 3 * 3));
        assert_eq!(work.texts, 3 * 2 * 20);
    }

    #[test]
    fn shipped_experiments_are_counted() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
        let mut counted = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let experiment = Experiment::load(&path).unwrap();
            for seed in &experiment.seeds {
                let work = experiment.work(*seed).unwrap();
                assert!(
                    work.updates > 0 && work.answers_end > 0,
                    "{}",
                    path.display()
                );
                assert!(
                    work.first_round <= work.first_round_alone,
                    "{}",
                    path.display()
                );
                counted += 1;
            }
        }
        assert!(counted > 5);
    }
}
