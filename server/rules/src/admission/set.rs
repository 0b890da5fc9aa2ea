//! A set of checks: what it decides about an update, and whether a logged verdict is one that it gives.

use fedseal_client_sdk::record::Effect;

use super::check::{NEAR, NEAR_BEFORE};
use super::{BadCheck, binding, build};
use super::{Behaviour, Built, Check, CheckConfig, Facts, Paired, Replay, Said, Verdict};

/// Words between the fact of a check that demanded a replay and the replay's own fact.
const AGAIN: &str = "; executed again: ";

/// Effects from the mildest to the severest: the severest of the failed checks decides.
pub fn severity(effect: Effect) -> u8 {
    match effect {
        Effect::Accept => 0,
        Effect::DownWeight => 1,
        Effect::Quarantine => 2,
        Effect::Reject => 3,
    }
}

/// A set of checks.
pub struct Admission {
    pub(super) checks: Vec<Built>,
}

impl Admission {
    /// A set of checks from its entries.
    pub fn new(configs: &[CheckConfig]) -> Result<Self, BadCheck> {
        Ok(Admission {
            checks: configs.iter().map(build).collect::<Result<_, _>>()?,
        })
    }

    /// Whether any check needs the canaries.
    pub fn needs_behaviour(&self) -> bool {
        self.checks
            .iter()
            .any(|built| built.check.needs_behaviour())
    }

    /// Rounds before an update's whose verdicts the checks need.
    pub fn window(&self) -> u32 {
        let windows = self.checks.iter().map(|built| built.check.window());
        windows.max().unwrap_or(0)
    }

    /// The checks that an auditor without a model has to skip.
    pub fn left_out(&self) -> Vec<String> {
        self.checks
            .iter()
            .filter(|built| built.check.needs_behaviour())
            .map(|built| built.name.to_owned())
            .collect()
    }

    /// Whether any check may ask for a replay.
    pub fn may_replay(&self) -> bool {
        self.checks.iter().any(|built| built.replay)
    }

    /// Whether an update must be executed again before it is decided about: a check with effect
    /// `replay` fails, and without it the update would count.
    pub fn demands_replay(&self, facts: &Facts<'_>) -> bool {
        self.demands_replay_by(facts, |_| true)
    }

    fn demands_replay_by(&self, facts: &Facts<'_>, which: fn(&dyn Check) -> bool) -> bool {
        let fails = |built: &Built| {
            built.replay && which(built.check.as_ref()) && !built.check.look(facts).passed
        };
        let equal = Replay::equal();
        let with = Facts {
            replayed: Some(&equal),
            ..*facts
        };
        self.checks.iter().any(fails) && self.decide_by(&with, which).effect.counts()
    }

    /// Verdicts that an auditor accepts. If a replay is demanded: the verdicts for equal bits, for other
    /// bits, and on a GPU for near ones. Otherwise the one verdict that follows.
    pub fn expected(&self, facts: &Facts<'_>) -> Vec<Verdict> {
        self.expected_by(facts, |_| true)
    }

    /// Whether a logged verdict is one that the checks can give. Behaviour cannot be measured without the
    /// model: the verdict must follow from the numbers that it names, which come back. The outcome of a
    /// demanded replay is the server's word; the fact of a rejected one goes on with the difference.
    ///
    /// # Errors
    /// A verdict that the checks give.
    pub fn agrees(&self, facts: &Facts<'_>, logged: &Verdict) -> Result<Vec<Said>, Verdict> {
        let asked: Vec<&dyn Check> = self
            .checks
            .iter()
            .map(|built| built.check.as_ref())
            .filter(|check| check.needs_behaviour() && facts.attested.update.is_some())
            .collect();
        let behaviours: Vec<Option<(Behaviour, Behaviour)>> = match asked.is_empty() {
            true => vec![None],
            false => possible(&asked, &logged.fact)
                .into_iter()
                .map(Some)
                .collect(),
        };
        let pairs = paired(&asked, &logged.fact);
        let mut first = None;
        for (behaviour, paired) in behaviours
            .iter()
            .flat_map(|behaviour| pairs.iter().map(move |paired| (*behaviour, *paired)))
        {
            let possible = self.expected(&Facts {
                behaviour,
                paired,
                ..*facts
            });
            if follows(logged, &possible) {
                return Ok(asked
                    .iter()
                    .flat_map(|check| check.said(&logged.fact))
                    .collect());
            }
            first = first.take().or(possible.into_iter().next());
        }
        Err(first.unwrap_or_else(|| Verdict::reject("all", "no verdict is possible")))
    }

    /// Whether a logged verdict is one that the checks give for these facts, with the behaviour that
    /// somebody measured in them.
    ///
    /// # Errors
    /// A verdict that the checks give.
    pub fn gives(&self, facts: &Facts<'_>, logged: &Verdict) -> Result<(), Verdict> {
        let possible = self.expected(facts);
        if follows(logged, &possible) {
            return Ok(());
        }
        let first = possible.into_iter().next();
        Err(first.unwrap_or_else(|| Verdict::reject("all", "no verdict is possible")))
    }

    /// As [`Admission::expected`], of the checks that need no model.
    pub fn expected_without_behaviour(&self, facts: &Facts<'_>) -> Vec<Verdict> {
        self.expected_by(facts, |check| !check.needs_behaviour())
    }

    fn expected_by(&self, facts: &Facts<'_>, which: fn(&dyn Check) -> bool) -> Vec<Verdict> {
        if !self.demands_replay_by(facts, which) {
            return vec![self.decide_by(facts, which)];
        }
        let decide = |replay: &Replay| {
            let with = Facts {
                replayed: Some(replay),
                ..*facts
            };
            self.decide_by(&with, which)
        };
        let other = |near| Replay {
            difference: Some(String::new()),
            near,
        };
        let mut verdicts = vec![decide(&Replay::equal()), decide(&other(false))];
        if !fedseal_adapter::repeats_bits(&facts.attested.engine) {
            let near = decide(&other(true));
            let fact = near.fact.replace(NEAR, NEAR_BEFORE);
            verdicts.push(Verdict {
                fact,
                ..near.clone()
            });
            verdicts.push(near);
        }
        verdicts
    }

    /// Decides about an update. The demands of every arm come first ([`binding`]), then the checks in their
    /// order. The severest failed effect decides, the earlier check among equals; weights of several
    /// down-weights multiply.
    pub fn decide(&self, facts: &Facts<'_>) -> Verdict {
        self.decide_by(facts, |_| true)
    }

    fn decide_by(&self, facts: &Facts<'_>, which: impl Fn(&dyn Check) -> bool) -> Verdict {
        if let Some(refusal) = binding::refusal(facts) {
            return refusal;
        }
        let mut verdict: Option<Verdict> = None;
        let mut passed = Vec::new();
        for built in self
            .checks
            .iter()
            .filter(|built| which(built.check.as_ref()))
        {
            let mut finding = built.check.look(facts);
            let mut effect = built.effect;
            if built.replay && !finding.passed {
                match facts.replayed {
                    Some(replay) => {
                        let (passed, outcome) = replay.outcome();
                        finding.passed = passed;
                        finding.fact.push_str(AGAIN);
                        finding.fact.push_str(&outcome);
                    }
                    // Nobody executed it again: it is not known, so it does not count.
                    None => {
                        effect = Effect::Quarantine;
                        finding.fact.push_str("; it was not executed again");
                    }
                }
            }
            if finding.passed {
                passed.push(format!("{}: {}", built.name, finding.fact));
                continue;
            }
            let kept_weight = verdict.as_ref().map_or(1.0, |v| v.weight);
            let weight = kept_weight * built.weight;
            match &mut verdict {
                Some(earlier) if severity(earlier.effect) >= severity(effect) => {
                    earlier.weight = weight
                }
                other => {
                    *other = Some(Verdict {
                        effect,
                        weight,
                        check: built.name.to_owned(),
                        fact: finding.fact,
                    });
                }
            }
        }
        verdict.unwrap_or_else(|| Verdict {
            effect: Effect::Accept,
            weight: 1.0,
            check: "all".into(),
            fact: if passed.is_empty() {
                "digests, round, client, shape and values are as they must be".into()
            } else {
                passed.join("; ")
            },
        })
    }
}

/// Whether a logged verdict is one of those that are possible.
fn follows(logged: &Verdict, possible: &[Verdict]) -> bool {
    let replays = possible.len() > 1;
    possible.iter().any(|again| {
        let same = again.effect == logged.effect
            && again.weight == logged.weight
            && again.check == logged.check;
        let told = replays
            && again.effect == Effect::Reject
            && logged.fact.len() > again.fact.len()
            && logged.fact.starts_with(&again.fact);
        same && (again.fact == logged.fact || told)
    })
}

/// Changes prompt by prompt that a fact may have been written about; none where no check asks for them.
fn paired(checks: &[&dyn Check], fact: &str) -> Vec<Option<Paired>> {
    let mut all: Vec<Paired> = Vec::new();
    for paired in checks.iter().flat_map(|check| check.pairs(fact)) {
        if !all.contains(&paired) {
            all.push(paired);
        }
    }
    if all.is_empty() {
        return vec![None];
    }
    // A fact about scores that are not finite has no numbers to check.
    let mut nowhere = Paired::default();
    nowhere.odds.after = f64::NAN;
    all.push(nowhere);
    all.into_iter().map(Some).collect()
}

/// Behaviours (the update's, the global adapter's) that a fact may have been written about. Several checks
/// name different numbers, and round them differently: each value that any of them allows for a number is
/// combined with those of the others.
fn possible(checks: &[&dyn Check], fact: &str) -> Vec<(Behaviour, Behaviour)> {
    // The update's and the global adapter's refusals, then their losses.
    let mut numbers: [Vec<f64>; 4] = Default::default();
    for (update, global) in checks.iter().flat_map(|check| check.behaviours(fact)) {
        let said = [update.refusal, global.refusal, update.loss, global.loss];
        for (values, value) in numbers.iter_mut().zip(said) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    // A fact about scores that are not finite has no numbers to check.
    let nowhere = Behaviour {
        refusal: f64::NAN,
        loss: f64::NAN,
    };
    let mut all = Vec::new();
    let [refusals, global_refusals, losses, global_losses] = &numbers;
    for &refusal in refusals {
        for &global_refusal in global_refusals {
            for &loss in losses {
                for &global_loss in global_losses {
                    let of = |refusal, loss| Behaviour { refusal, loss };
                    all.push((of(refusal, loss), of(global_refusal, global_loss)));
                }
            }
        }
    }
    all.push((nowhere, nowhere));
    all
}
