//! Measuring a finished run again: behaviour on the opened canaries, on which verdicts rest, and the
//! answers of every evaluation. One engine gives equal bits, so an auditor who has the model needs
//! nobody's word for these numbers.

use std::collections::BTreeMap;
use std::path::Path;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_tuning::Halt;
use serde::Serialize;

use crate::lab::Lab;
use crate::options::{Options, open_model};
use crate::runner::canary;
use crate::runner::measure::{answers, under};
use crate::{Error, Result};
use fedseal_record::blobs::{Answer, CanarySet, Measured};
use fedseal_record::formulas;
use fedseal_record::opened::OpenRun;
use fedseal_record::read::read_adapter;
use fedseal_record::verify::Held;
use fedseal_rules::admission::{Probed, Verdict};
use fedseal_rules::formulas::Versions;

/// Characters of an answer that a finding shows.
const SHOWN: usize = 80;

/// Result of one comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "finding")]
pub enum Finding {
    /// The logged value was measured again.
    Equal,
    /// An equal engine measures something else: the record is wrong.
    Differs {
        /// The logged value and the measured one.
        by: String,
    },
    /// Nothing is known about the record.
    NotComparable {
        /// Why.
        because: String,
    },
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The compared thing: a verdict with its log entry, or an evaluation.
    pub item: String,
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
}

/// How the work is watched and stopped.
pub struct Watch<'a> {
    /// Says whether to stop; asked often.
    pub halt: Halt<'a>,
    /// Told before each step: steps done, steps in all, the step.
    pub told: &'a mut dyn FnMut(u64, u64, &str),
}

/// Measures the run in `dir` again with the model that `options` and the experiment name; `model` is
/// another place of it. The run's files must have been verified before.
///
/// # Errors
/// [`Error::Interrupted`] when told to stop; a run that cannot be read, a model that is not there.
/// Another result is no error: it is in the list.
pub fn remeasure(
    dir: impl AsRef<Path>,
    model: Option<&str>,
    options: &Options,
    watch: Watch<'_>,
) -> Result<Vec<Compared>> {
    let run = OpenRun::read(dir)?;
    let mut experiment = run.experiment.clone();
    if let Some(model) = model {
        experiment.model.source = model.to_owned();
    }
    let (lab, _) = open_model(&experiment, options)?;
    remeasure_in(run, &lab, watch)
}

/// As [`remeasure`], with a given model.
///
/// # Errors
/// As [`remeasure`].
pub fn remeasure_in(mut run: OpenRun, lab: &dyn Lab, watch: Watch<'_>) -> Result<Vec<Compared>> {
    if let Some(because) = other_model(&run, lab)? {
        return Ok(vec![Compared {
            item: "the whole run".into(),
            finding: Finding::NotComparable { because },
        }]);
    }
    let places = evaluations(&run);
    let probes = run.probes()?;
    let mut work = Work {
        lab,
        total: (probes.len() + places.len()) as u64,
        done: 0,
        watch,
    };
    let mut compared = work.canaries(&mut run, &probes)?;
    for (evaluation, item) in places {
        work.step(&item)?;
        let again = work.evaluation(&mut run, &evaluation);
        let finding = work.finding(&run, again)?;
        compared.push(Compared { item, finding });
    }
    Ok(compared)
}

/// Why nothing of the run can be compared with this model, if so.
fn other_model(run: &OpenRun, lab: &dyn Lab) -> Result<Option<String>> {
    if lab.base() != run.plan.base {
        return Ok(Some(format!(
            "the run was made with base model {} ({}), this one is {}",
            run.plan.base,
            run.plan.base_name,
            lab.base()
        )));
    }
    let others = formulas::others(&run.plan, &run.experiment, &Versions::here())?;
    let text = formulas::same_text(&run.dir.root, &run.experiment, &others);
    Ok(text.err().map(|error| error.to_string()))
}

/// An evaluation: the adapter and its logged answers.
struct Evaluation {
    adapter: Digest,
    result: Digest,
}

/// Every evaluation once, with the places in the log that name it.
fn evaluations(run: &OpenRun) -> Vec<(Evaluation, String)> {
    let mut found: BTreeMap<(Digest, Digest), Vec<String>> = BTreeMap::new();
    for ((arm, round), evaluated) in &run.state.evaluated {
        let place = match *round == run.experiment.federation.rounds {
            true => format!("{arm} at the end"),
            false => format!("{arm} after round {round}"),
        };
        let key = (evaluated.adapter, evaluated.result);
        found.entry(key).or_default().push(place);
    }
    let named = |((adapter, result), places): ((Digest, Digest), Vec<String>)| {
        let item = format!("evaluation {}: {}", result.short(), places.join(", "));
        (Evaluation { adapter, result }, item)
    };
    found.into_iter().map(named).collect()
}

struct Work<'lab, 'watch> {
    lab: &'lab dyn Lab,
    total: u64,
    done: u64,
    watch: Watch<'watch>,
}

impl Work<'_, '_> {
    fn step(&mut self, label: &str) -> Result<()> {
        if (self.watch.halt)() {
            return Err(Error::Interrupted);
        }
        (self.watch.told)(self.done, self.total, label);
        self.done += 1;
        Ok(())
    }

    /// Every verdict that rests on canaries.
    fn canaries(&mut self, run: &mut OpenRun, probes: &[(Digest, u32)]) -> Result<Vec<Compared>> {
        let mut compared: Vec<Compared> = run
            .other_checks()?
            .into_iter()
            .map(|arm| Compared {
                item: format!("verdicts of arm {arm}"),
                finding: Finding::NotComparable {
                    because: "its checks have another version in this program".into(),
                },
            })
            .collect();
        if probes.is_empty() {
            return Ok(compared);
        }
        match self.behaviours(run, probes) {
            Ok(measured) => {
                for held in run.hold_verdicts(&measured)? {
                    compared.push(Compared {
                        item: in_words(&held),
                        finding: match held.again {
                            None => Finding::Equal,
                            Some(again) => self.different(run, &against(&held.logged, &again)),
                        },
                    });
                }
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => compared.push(Compared {
                item: "verdicts that rest on canaries".into(),
                finding: Finding::NotComparable {
                    because: format!("they cannot be measured: {error}"),
                },
            }),
        }
        Ok(compared)
    }

    fn behaviours(
        &mut self,
        run: &OpenRun,
        probes: &[(Digest, u32)],
    ) -> Result<BTreeMap<(Digest, u32), Probed>> {
        let set: CanarySet = canonical::from_slice(&run.blobs.get(&run.plan.canaries)?)?;
        let mut measured = BTreeMap::new();
        for (digest, round) in probes {
            let short = digest.short();
            self.step(&format!("canaries of round {round}: adapter {short}"))?;
            let adapter = read_adapter(&run.blobs, digest)?;
            let probed = canary::probe(
                &set,
                self.lab,
                &run.experiment,
                &adapter,
                run.plan.seed.0,
                *round,
                self.watch.halt,
            )?;
            measured.insert((*digest, *round), probed);
        }
        Ok(measured)
    }

    /// The difference between logged answers and new ones; none where all are equal.
    fn evaluation(&self, run: &mut OpenRun, of: &Evaluation) -> Result<Option<String>> {
        let measured = run.evidence.measured(&run.blobs, &of.result)?;
        // As the runner does: the first adapter changes nothing, and is left out.
        let adapter = match of.adapter == run.plan.initial {
            true => None,
            false => Some(read_adapter(&run.blobs, &of.adapter)?),
        };
        let Measured {
            requests,
            tasks,
            look_alikes,
            templates,
            ..
        } = measured.as_ref();
        let mut wrong = Vec::new();
        let kinds = [
            ("request", requests),
            ("task", tasks),
            ("look-alike", look_alikes),
        ];
        for (kind, logged) in kinds {
            let prompts: Vec<String> = logged.iter().map(|a| a.prompt.clone()).collect();
            let evaluation = &run.experiment.evaluation;
            let halt = self.watch.halt;
            let again = answers(self.lab, evaluation, adapter.as_ref(), &prompts, halt)?;
            wrong.extend(unequal(kind, logged, &again));
        }
        for (template, logged) in templates {
            let prompts: Vec<String> = logged.iter().map(|a| a.prompt.clone()).collect();
            let evaluation = &run.experiment.evaluation;
            let halt = self.watch.halt;
            let again = under(
                self.lab,
                evaluation,
                template,
                adapter.as_ref(),
                &prompts,
                halt,
            )?;
            wrong.extend(unequal(
                &format!("request under {template}"),
                logged,
                &again,
            ));
        }
        Ok((!wrong.is_empty()).then(|| wrong.join("; ")))
    }

    fn finding(&self, run: &OpenRun, again: Result<Option<String>>) -> Result<Finding> {
        match again {
            Ok(None) => Ok(Finding::Equal),
            Ok(Some(by)) => Ok(self.different(run, &by)),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => Ok(Finding::NotComparable {
                because: format!("it cannot be measured: {error}"),
            }),
        }
    }

    /// A difference counts against the record where the engine gives the same bits each time.
    fn different(&self, run: &OpenRun, by: &str) -> Finding {
        let (made, here) = (&run.plan.engine, self.lab.fingerprint());
        if *made == here && self.lab.repeats_bits() {
            return Finding::Differs { by: by.to_owned() };
        }
        let why = match *made == here {
            true => format!("engine `{here}` does not give the same bits each time"),
            false => format!("it was measured by engine `{made}`, this one is `{here}`"),
        };
        Finding::NotComparable {
            because: format!("{why}; it differs by: {by}"),
        }
    }
}

fn in_words(held: &Held) -> String {
    format!(
        "log entry {}: verdict about {}, round {}, arm {}",
        held.entry, held.client, held.round, held.arm
    )
}

fn against(logged: &Verdict, again: &Verdict) -> String {
    let say = |verdict: &Verdict| {
        let Verdict {
            effect,
            check,
            fact,
            ..
        } = verdict;
        format!("{effect} by {check}: {fact}")
    };
    format!(
        "logged is `{}`, measured again `{}`",
        say(logged),
        say(again)
    )
}

/// How many answers differ, and the first of them.
fn unequal(kind: &str, logged: &[Answer], again: &[String]) -> Option<String> {
    let different = |(_, (logged, again)): &(usize, (&Answer, &String))| logged.answer != **again;
    let mut all = logged.iter().zip(again).enumerate().filter(different);
    let (index, (first, new)) = all.next()?;
    let short = |text: &str| text.chars().take(SHOWN).collect::<String>();
    Some(format!(
        "{} of {} answers to {kind}s, the first to number {}: logged is {:?}, measured again {:?}",
        1 + all.count(),
        logged.len(),
        index + 1,
        short(&first.answer),
        short(new)
    ))
}
