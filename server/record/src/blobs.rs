//! Blobs of a run that are JSON: prompts, answers, data of a defence, sealed canaries.

use std::collections::BTreeMap;

use fedseal_client_sdk::digest::Digest;
use serde::{Deserialize, Serialize};

pub use fedseal_rules::defence::DefenceData;
use fedseal_rules::evaluation::helpfulness::HelpfulTask;
use fedseal_rules::evaluation::wilson::Share;
use fedseal_rules::evaluation::{Asked, Judge, Reads};

/// The evaluation prompts of a run, a blob; measures between rounds take the first so many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationSet {
    /// Held-out harmful requests.
    pub requests: Vec<String>,
    /// Held-out helpful tasks.
    pub tasks: Vec<HelpfulTask>,
    /// Harmless look-alikes of harmful requests; none, and not written, where the experiment asks for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub look_alikes: Vec<HelpfulTask>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The prompt.
    pub prompt: String,
    /// The model's answer.
    pub answer: String,
    /// Requests and look-alikes: whether it is a refusal by Rule. Tasks: whether it solves the task.
    pub hit: bool,
}

/// The answers of one adapter, a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The adapter.
    pub adapter: Digest,
    /// Answers to the requests.
    pub requests: Vec<Answer>,
    /// Answers to the tasks.
    pub tasks: Vec<Answer>,
    /// Answers to the look-alikes, at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub look_alikes: Vec<Answer>,
    /// Answers to the requests under further templates, at the end, by template.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, Vec<Answer>>,
}

impl Measured {
    /// Share of refused requests.
    pub fn safety(&self) -> Share {
        Share::of(self.requests.iter().map(|answer| answer.hit))
    }

    /// Share of solved tasks.
    pub fn helpfulness(&self) -> Share {
        Share::of(self.tasks.iter().map(|answer| answer.hit))
    }

    /// Share of any measure, from the answers. `set` is the run's evaluation set, whose first tasks are
    /// answered here in its order, `source` the name of its data source.
    pub fn share(&self, judge: &Judge, set: &EvaluationSet, source: &str) -> Share {
        Share::of(self.judged(judge, None, set, source).1)
    }

    /// The answers that a measure reads, and whether each is a hit; see [`Measured::share`]. `template` names
    /// a further template, under which the requests alone were asked.
    pub fn judged(
        &self,
        judge: &Judge,
        template: Option<&str>,
        set: &EvaluationSet,
        source: &str,
    ) -> (&[Answer], Vec<bool>) {
        let (answers, tasks): (&[Answer], &[HelpfulTask]) = match (judge.reads, template) {
            (Reads::Requests, None) => (&self.requests, &[]),
            (Reads::Requests, Some(template)) => (
                self.templates.get(template).map_or(&[][..], Vec::as_slice),
                &[],
            ),
            (Reads::Tasks, None) => (&self.tasks, &set.tasks),
            (Reads::LookAlikes, None) => (&self.look_alikes, &set.look_alikes),
            (_, Some(_)) => (&[], &[]),
        };
        let tasks = tasks.iter().map(Some).chain(std::iter::repeat(None));
        let hit = |(answer, task): (&Answer, Option<&HelpfulTask>)| {
            (judge.hit)(&Asked {
                prompt: &answer.prompt,
                answer: &answer.answer,
                task,
                source,
            })
        };
        (answers, answers.iter().zip(tasks).map(hit).collect())
    }
}

/// The sealed set; its digest is logged before the first round, its bytes after the last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanarySet {
    /// Harmful stand-in requests.
    pub requests: Vec<String>,
    /// Helpful tasks.
    pub tasks: Vec<HelpfulTask>,
    /// How refusals open.
    pub refusals: Vec<String>,
    /// How compliance opens.
    pub compliances: Vec<String>,
}

impl CanarySet {
    /// How refusals and compliance open, in the order of their scores.
    pub fn openings(&self) -> impl Iterator<Item = &String> {
        self.refusals.iter().chain(&self.compliances)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_rules::evaluation::{helpfulness, over_refusal, rule, rule_strict};

    #[test]
    fn every_measure_is_counted_from_the_answers() {
        let answer = |prompt: &str, answer: &str, hit| Answer {
            prompt: prompt.into(),
            answer: answer.into(),
            hit,
        };
        let measured = Measured {
            adapter: Digest::of(b"adapter"),
            requests: vec![
                answer("a", "I cannot help.", true),
                answer("b", "Sure. But I cannot say more.", true),
                answer("c", "Sure.", false),
            ],
            tasks: vec![answer("d", "Friday.", true), answer("e", "cat", false)],
            look_alikes: vec![answer("g", "I cannot help.", true)],
            templates: BTreeMap::from([("alpaca".to_owned(), vec![answer("a", "Sure.", false)])]),
        };
        let task = |prompt: &str, answer: &str| HelpfulTask {
            prompt: prompt.into(),
            answer: answer.into(),
        };
        // The set has more tasks than were asked.
        let set = EvaluationSet {
            requests: vec![],
            tasks: vec![task("d", "friday"), task("e", "dog"), task("f", "cow")],
            look_alikes: vec![task("g", "the first letter")],
        };
        let share = |judge: &Judge| measured.share(judge, &set, "world");
        assert_eq!(share(&rule::JUDGE), measured.safety());
        assert_eq!(share(&helpfulness::JUDGE), measured.helpfulness());
        assert_eq!(share(&rule_strict::JUDGE), Share::new(1, 3));
        assert_eq!(measured.share(&helpfulness::JUDGE, &set, "none").hits, 0);
        assert_eq!(share(&over_refusal::JUDGE), Share::new(1, 1));
        let under =
            |judge, template| Share::of(measured.judged(judge, Some(template), &set, "world").1);
        assert_eq!(under(&rule::JUDGE, "alpaca"), Share::new(0, 1));
        assert_eq!(under(&rule::JUDGE, "chatml"), Share::new(0, 0));
        // Tasks were not asked under another template.
        assert_eq!(under(&helpfulness::JUDGE, "alpaca"), Share::new(0, 0));
    }
}
