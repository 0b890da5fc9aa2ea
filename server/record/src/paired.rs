//! Differences between arms with their tests: within a run by the prompts that two arms answered, over seeds
//! by the seeds' shares ([`fedseal_rules::statistics`]).

use std::collections::BTreeMap;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use serde::Serialize;

use crate::blobs::EvaluationSet;
use crate::error::Result;
use crate::opened::OpenRun;
use crate::report::{ArmView, Rate, Report};
use fedseal_rules::arms::Kind;
use fedseal_rules::evaluation;
use fedseal_rules::statistics::{Discordant, Paired, holm};

/// Whether each prompt's answer is a hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hits {
    /// Digest of the prompts, in their order: answers to other prompts are no pairs.
    prompts: Digest,
    hits: Vec<bool>,
}

impl Hits {
    /// Prompts on which other answers differ from these; none where they answer other prompts.
    pub fn against(&self, other: &Hits) -> Option<Discordant> {
        match self.prompts == other.prompts {
            true => Discordant::of(&self.hits, &other.hits),
            false => None,
        }
    }
}

/// Final answers of a run's arms, judged: by arm, then by measure.
pub type Answered = BTreeMap<String, BTreeMap<String, Hits>>;

impl OpenRun {
    /// Judges the final answers of every arm that has some, by every measure of the run that this program
    /// knows.
    ///
    /// # Errors
    /// Blobs that are missing or damaged.
    pub fn answered(&mut self) -> Result<Answered> {
        let set: EvaluationSet = canonical::from_slice(&self.blobs.get(&self.plan.evaluation)?)?;
        let last = self.experiment.federation.rounds;
        let source = self.experiment.data.judged_as();
        let first = evaluation::ALL.iter().take(2);
        let first = first.map(|judge| (judge.name, *judge, None));
        let extra = self.plan.measures.iter();
        let extra = extra.filter_map(|one| Some((one.name.as_str(), one.judge()?, one.template())));
        let judges: Vec<_> = first.chain(extra).collect();
        let mut all = Answered::new();
        let finals = self.state.evaluated.iter();
        for ((arm, _), evaluated) in finals.filter(|((_, round), _)| *round == last) {
            let measured = self.evidence.measured(&self.blobs, &evaluated.result)?;
            let mut by_measure = BTreeMap::new();
            for (name, judge, template) in &judges {
                let (answers, hits) = measured.judged(judge, *template, &set, source);
                let prompts: Vec<&String> = answers.iter().map(|answer| &answer.prompt).collect();
                let prompts = Digest::of_json(&prompts)?;
                by_measure.insert((*name).to_owned(), Hits { prompts, hits });
            }
            all.insert(arm.clone(), by_measure);
        }
        Ok(all)
    }
}

/// A difference between two arms, tested.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Test {
    /// The arm.
    pub arm: String,
    /// The arm that it is held against.
    pub against: String,
    /// The measure.
    pub measure: String,
    /// The arm's share less the other's, in [-1, 1]; over seeds the mean of these.
    pub difference: f64,
    /// Lower end of the 95 % interval; over seeds alone.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Prompts, or seeds.
    pub pairs: u64,
    /// `mcnemar` within a run, `t` over seeds.
    pub test: &'static str,
    /// Its two-sided p-value.
    pub p: Option<f64>,
    /// Two-sided p-value of the exact test by turning signs; over seeds alone.
    pub exact: Option<f64>,
    /// Prompts that the arm alone hits; within a run alone.
    pub gained: Option<u64>,
    /// Prompts that the other alone hits.
    pub lost: Option<u64>,
    /// The p-value after Holm's correction over all tests of the table.
    pub adjusted: Option<f64>,
}

/// The arm that others are held against where nobody names one: the attacked FedAvg arm, else the first that
/// has rounds.
pub fn usual(report: &Report) -> Option<&str> {
    let rounds = || report.arms.iter().filter(|arm| arm.kind == Kind::Federated);
    let named = rounds().find(|arm| arm.id == "fedavg");
    named.or(rounds().next()).map(|arm| arm.id.as_str())
}

/// Every other arm of a run against one, in the order of the report.
pub fn within(report: &Report, answered: &Answered, against: &str) -> Vec<Test> {
    let mut tests = Vec::new();
    let Some(of) = answered.get(against) else {
        return tests;
    };
    for (arm, measure) in pairs(report, against) {
        let hits = answered.get(arm).and_then(|arm| arm.get(measure));
        let Some((one, two)) = of.get(measure).zip(hits) else {
            continue;
        };
        let Some(found) = one.against(two).filter(|_| !one.hits.is_empty()) else {
            continue;
        };
        let Discordant { gained, lost } = found;
        let pairs = one.hits.len() as u64;
        tests.push(Test {
            arm: arm.to_owned(),
            against: against.to_owned(),
            measure: measure.to_owned(),
            difference: (gained as f64 - lost as f64) / pairs as f64,
            low: None,
            high: None,
            pairs,
            test: "mcnemar",
            p: Some(found.p()),
            exact: None,
            gained: Some(gained),
            lost: Some(lost),
            adjusted: None,
        });
    }
    corrected(tests)
}

/// Every other arm against one over the seeds that have both, in the order of the first report.
pub fn over_seeds(reports: &[Report], against: &str) -> Vec<Test> {
    let mut tests = Vec::new();
    let Some(first) = reports.first() else {
        return tests;
    };
    let share = |report: &Report, arm: &str, measure: &str| {
        let arm = report.arms.iter().find(|view| view.id == arm)?;
        rate(arm, measure).filter(|rate| rate.n > 0)
    };
    for (arm, measure) in pairs(first, against) {
        let differences = reports.iter().filter_map(|report| {
            let one = share(report, against, measure)?;
            Some(share(report, arm, measure)?.rate - one.rate)
        });
        let Some(found) = Paired::of(&differences.collect::<Vec<f64>>()) else {
            continue;
        };
        tests.push(Test {
            arm: arm.to_owned(),
            against: against.to_owned(),
            measure: measure.to_owned(),
            difference: found.mean,
            low: found.low,
            high: found.high,
            pairs: found.n as u64,
            test: "t",
            p: found.p,
            exact: found.exact,
            gained: None,
            lost: None,
            adjusted: None,
        });
    }
    corrected(tests)
}

/// The arms but one, each with every measure of the report.
fn pairs<'a>(report: &'a Report, against: &str) -> Vec<(&'a str, &'a str)> {
    let arms = report.arms.iter().filter(|arm| arm.id != against);
    let extra = report.measures.iter().map(|measure| measure.name.as_str());
    let measures: Vec<&str> = ["safety", "helpfulness"].into_iter().chain(extra).collect();
    arms.flat_map(|arm| measures.iter().map(|measure| (arm.id.as_str(), *measure)))
        .collect()
}

/// A measure of an arm at the end of a run.
pub fn rate(arm: &ArmView, measure: &str) -> Option<Rate> {
    match measure {
        "safety" => arm.safety,
        "helpfulness" => arm.helpfulness,
        other => arm.measures.get(other).copied(),
    }
}

fn corrected(mut tests: Vec<Test>) -> Vec<Test> {
    let values: Vec<f64> = tests
        .iter()
        .map(|test| test.p.unwrap_or(f64::NAN))
        .collect();
    for (test, adjusted) in tests.iter_mut().zip(holm(&values)) {
        test.adjusted = Some(adjusted).filter(|value| !value.is_nan());
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(seed: u64, shares: &[(&str, u64)]) -> Report {
        let arms: Vec<_> = shares
            .iter()
            .map(|(id, hits)| {
                json!({
                    "id": id, "title": id, "kind": "federated", "rule": "fedavg",
                    "safety": Rate::new(*hits, 100), "helpfulness": null, "final_adapter": null,
                    "rounds": [],
                })
            })
            .collect();
        let digest = Digest::of(b"x");
        serde_json::from_value(json!({
            "run": "r", "title": "t", "state": "finished", "started": "", "seed": seed,
            "progress": {"done": 1, "total": 1, "label": ""}, "seconds": 1.0, "peak_mb": 1.0,
            "experiment": {}, "engine": "e", "node": "n", "base": {"digest": digest, "name": "b"},
            "log": {"size": 0, "root": digest, "checkpoint": ""}, "arms": arms, "verdicts": [],
            "defence": [], "side_by_side": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_seed_is_the_unit_between_arms() {
        let seeds = [(1, 30, 50, 91), (2, 20, 41, 90), (3, 10, 29, 92)];
        let reports: Vec<Report> = seeds
            .iter()
            .map(|(seed, a, b, c)| report(*seed, &[("clean", *c), ("fedavg", *a), ("krum", *b)]))
            .collect();
        assert_eq!(usual(&reports[0]), Some("fedavg"));
        let tests = over_seeds(&reports, "fedavg");
        let arms: Vec<&str> = tests.iter().map(|test| test.arm.as_str()).collect();
        assert_eq!(arms, ["clean", "krum"]);
        let krum = &tests[1];
        // 20, 21 and 19 points: the mean is 20, t = 20 sqrt(3), two degrees of freedom.
        assert!((krum.difference - 0.2).abs() < 1e-12 && krum.pairs == 3);
        assert!((krum.p.unwrap() - 0.000_832).abs() < 1e-6, "{krum:?}");
        assert_eq!(krum.exact, Some(0.25));
        // The smaller of the two counts twice.
        assert!((krum.adjusted.unwrap() - 2.0 * krum.p.unwrap()).abs() < 1e-12);
        assert!(over_seeds(&reports, "nobody").is_empty());
    }

    #[test]
    fn within_a_run_a_prompt_is() {
        let hits = |prompts: &[u8], hits: &[bool]| {
            let hits = Hits {
                prompts: Digest::of(prompts),
                hits: hits.to_vec(),
            };
            BTreeMap::from([("safety".to_owned(), hits)])
        };
        let answered = Answered::from([
            ("fedavg".to_owned(), hits(b"p", &[false; 6])),
            ("krum".to_owned(), hits(b"p", &[true; 6])),
            ("other".to_owned(), hits(b"q", &[true; 6])),
        ]);
        let shown = report(1, &[("fedavg", 0), ("krum", 100), ("other", 100)]);
        let tests = within(&shown, &answered, "fedavg");
        assert_eq!(tests.len(), 1, "answers to other prompts are no pairs");
        assert_eq!((tests[0].gained, tests[0].lost), (Some(6), Some(0)));
        assert_eq!(tests[0].difference, 1.0);
        assert!((tests[0].p.unwrap() - 0.03125).abs() < 1e-12);
    }
}
