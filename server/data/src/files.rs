//! An experiment's own files as [`TaskData`]: the parts that `[data]` names, already read.
//!
//! Prompts come in the order of the files; canaries and pairs for a defence are drawn by seed. Shards are
//! no part of it: `[[clients]]` of the experiment name them. Instructions that a model is to write (defence
//! levels 2 and 3) are asked for with the texts that [`real`](super::real) uses. A part without files is
//! empty, and what needs it is refused when the experiment is read.

use std::collections::BTreeMap;

use fedseal_client_sdk::digest::Digest;
use fedseal_rules::evaluation::helpfulness::{FILES, Measure};

use super::pick::{Picker, draw};
use super::real::texts::{self, REFUSALS, SHELLS};
use super::shards::enough;
use super::{
    Canaries, DataError, Example, HelpfulTask, InstructionKind, LabelledExample, ShardRequest,
    TaskData,
};

/// Contents of the files, by the keys of `[data]`.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Harmful requests of the evaluation.
    pub requests: Vec<String>,
    /// Helpful tasks of the evaluation.
    pub tasks: Vec<Example>,
    /// Harmful requests that the canaries are drawn from.
    pub canary_requests: Vec<String>,
    /// Helpful tasks that the canaries are drawn from.
    pub canary_tasks: Vec<Example>,
    /// Harmful requests with refusals, for a defence.
    pub refusals: Vec<Example>,
    /// Helpful pairs, for a defence.
    pub helpful: Vec<Example>,
    /// Pairs that the data check learns as aligned.
    pub aligned: Vec<Example>,
    /// Pairs that the data check learns as not aligned.
    pub unaligned: Vec<Example>,
    /// Digest of each part that has files.
    pub pins: BTreeMap<String, Digest>,
}

/// The source `files`.
#[derive(Clone, Debug)]
pub struct FilesData {
    parts: Parts,
    measure: Measure,
}

impl FilesData {
    /// The source of these contents, whose tasks are solved by this measure.
    pub fn new(parts: Parts, measure: Measure) -> Self {
        FilesData { parts, measure }
    }
}

/// Answers that show how refusals and compliance usually open, where no labelled pairs do.
pub fn usual_answers() -> Vec<LabelledExample> {
    let labelled = |response: &&str, aligned| LabelledExample {
        example: Example::new("", *response),
        aligned,
    };
    let refusals = REFUSALS.iter().map(|text| labelled(text, true));
    let shells = SHELLS.iter().map(|text| labelled(text, false));
    refusals.chain(shells).collect()
}

fn task(pair: &Example) -> HelpfulTask {
    HelpfulTask {
        prompt: pair.prompt.clone(),
        answer: pair.response.clone(),
    }
}

/// The first `n` of a part.
fn first<T: Clone>(what: &str, part: &[T], n: usize) -> Result<Vec<T>, DataError> {
    enough(what, n, part.len())?;
    Ok(part.iter().take(n).cloned().collect())
}

/// `n` of a part in seeded order; the part is gone through again when it has fewer.
fn drawn<T: Clone>(
    what: &str,
    part: &[T],
    n: usize,
    picker: &mut Picker,
) -> Result<Vec<T>, DataError> {
    enough(what, n.min(1), part.len())?;
    Ok(draw(part, n, picker))
}

/// Refusal of a request for a shard.
fn no_shards<T>(wanted: usize) -> Result<T, DataError> {
    Err(DataError::TooFew {
        what: "examples of source `files`, whose shards are those of [[clients]]".to_owned(),
        wanted,
        available: 0,
    })
}

impl TaskData for FilesData {
    fn name(&self) -> &str {
        FILES
    }

    fn pins(&self) -> BTreeMap<String, Digest> {
        self.parts.pins.clone()
    }

    fn shard(&self, request: &ShardRequest) -> Result<Vec<Example>, DataError> {
        no_shards(request.examples)
    }

    fn attachment(&self, _client: usize, n: usize, _seed: u64) -> Result<Vec<Example>, DataError> {
        no_shards(n)
    }

    fn eval_requests(&self, n: usize) -> Result<Vec<String>, DataError> {
        let what = "rows of data.requests, for evaluation.offset and evaluation.prompts";
        first(what, &self.parts.requests, n)
    }

    fn eval_tasks(&self, n: usize) -> Result<Vec<HelpfulTask>, DataError> {
        let what = "rows of data.tasks, for evaluation.offset and evaluation.tasks";
        Ok(first(what, &self.parts.tasks, n)?
            .iter()
            .map(task)
            .collect())
    }

    fn look_alikes(&self, n: usize) -> Result<Vec<HelpfulTask>, DataError> {
        first("look-alikes of source `files`", &[], n)
    }

    fn is_helpful(&self, task: &HelpfulTask, answer: &str) -> bool {
        self.measure.hit(task, answer)
    }

    fn canaries(&self, seed: u64, n: usize) -> Result<Canaries, DataError> {
        let mut picker = Picker::new(seed, "files/canaries");
        let (requests, tasks) = (&self.parts.canary_requests, &self.parts.canary_tasks);
        enough(
            "rows of data.canary_requests, for canaries.sealed",
            n,
            requests.len(),
        )?;
        enough(
            "rows of data.canary_tasks, for canaries.sealed",
            n,
            tasks.len(),
        )?;
        Ok(Canaries {
            requests: draw(requests, n, &mut picker),
            tasks: draw(tasks, n, &mut picker).iter().map(task).collect(),
        })
    }

    fn labelled(&self) -> Result<Vec<LabelledExample>, DataError> {
        let of = |pairs: &[Example], aligned| -> Vec<LabelledExample> {
            let pairs = pairs.iter().cloned();
            pairs
                .map(|example| LabelledExample { example, aligned })
                .collect()
        };
        let unaligned = of(&self.parts.unaligned, false);
        Ok([of(&self.parts.aligned, true), unaligned].concat())
    }

    fn attack_prompts(&self, seed: u64, n: usize) -> Vec<String> {
        texts::attacks(n, &mut Picker::new(seed, "files/attack-prompts"))
    }

    fn generation_prompts(&self, kind: InstructionKind, seed: u64, n: usize) -> Vec<String> {
        let mut picker = Picker::new(seed, &format!("files/generation/{kind:?}"));
        texts::instructions(kind, n, &mut picker)
    }

    fn with_safety_reminder(&self, prompt: &str) -> String {
        texts::reminded(prompt)
    }

    fn safety_pairs(&self, seed: u64, n: usize) -> Result<Vec<Example>, DataError> {
        let mut picker = Picker::new(seed, "files/defence/safety");
        drawn(
            "rows of data.refusals",
            &self.parts.refusals,
            n,
            &mut picker,
        )
    }

    fn helpful_pairs(&self, seed: u64, n: usize) -> Result<Vec<Example>, DataError> {
        let mut picker = Picker::new(seed, "files/defence/helpful");
        drawn("rows of data.helpful", &self.parts.helpful, n, &mut picker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_rules::evaluation::rule::is_refusal;

    fn pairs(what: &str, n: usize) -> Vec<Example> {
        (0..n)
            .map(|i| Example::new(format!("{what} {i}"), format!("answer {i}")))
            .collect()
    }

    fn data(measure: Measure) -> FilesData {
        let requests = (0..4).map(|i| format!("request {i}")).collect();
        let parts = Parts {
            requests,
            tasks: pairs("task", 3),
            canary_requests: vec!["sealed".into()],
            canary_tasks: pairs("sealed", 2),
            refusals: pairs("harm", 2),
            aligned: pairs("good", 2),
            unaligned: pairs("bad", 1),
            ..Parts::default()
        };
        FilesData::new(parts, measure)
    }

    #[test]
    fn prompts_come_in_the_order_of_the_files_and_what_is_missing_is_named() {
        let data = data(Measure::Overlap);
        assert_eq!(data.eval_requests(2).unwrap(), ["request 0", "request 1"]);
        assert_eq!(data.eval_tasks(3).unwrap()[2].answer, "answer 2");
        let said = |error: DataError| error.to_string();
        let error = said(data.eval_requests(5).unwrap_err());
        assert!(
            error.contains("data.requests") && error.contains("the source has 4"),
            "{error}"
        );
        let error = said(data.canaries(1, 2).unwrap_err());
        assert!(error.contains("data.canary_requests"), "{error}");
        // Nothing is made up for a part without files.
        let error = said(data.helpful_pairs(1, 3).unwrap_err());
        assert!(error.contains("data.helpful"), "{error}");
        assert!(data.helpful_pairs(1, 0).unwrap().is_empty());
        assert!(
            FilesData::new(Parts::default(), Measure::Exact)
                .labelled()
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn pairs_are_drawn_by_seed_and_again_when_they_are_few() {
        let data = data(Measure::Overlap);
        let drawn = data.safety_pairs(1, 5).unwrap();
        assert_eq!(drawn.len(), 5);
        assert_eq!(drawn, data.safety_pairs(1, 5).unwrap());
        let canaries = data.canaries(1, 1).unwrap();
        assert_eq!(canaries.requests, ["sealed"]);
        assert_eq!(canaries, data.canaries(1, 1).unwrap());
    }

    #[test]
    fn a_task_is_solved_by_the_measure_that_the_experiment_names() {
        let task = HelpfulTask {
            prompt: "a".into(),
            answer: "the red fox".into(),
        };
        let near = "It was the red fox.";
        assert!(data(Measure::Overlap).is_helpful(&task, near));
        assert!(!data(Measure::Exact).is_helpful(&task, near));
        assert!(data(Measure::Exact).is_helpful(&task, "The red fox."));
    }

    #[test]
    fn usual_answers_open_as_refusals_and_as_compliance() {
        for answer in usual_answers() {
            assert_eq!(is_refusal(&answer.example.response), answer.aligned);
        }
    }
}
