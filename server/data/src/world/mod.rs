//! The embedded instruction world: everything the small shipped model knows and is asked.
//!
//! Twenty-four kinds of helpful tasks with one checkable answer, fifteen categories of harmful
//! stand-ins about invented things, refusals, affirmative shells, safety reminders. All of it is
//! a pure function of seeds. Phrasings and topics are split ([`Split`]): pretraining, training,
//! defence, evaluation, canaries and the data check each have their own.
//!
//! ```
//! use fedseal_data::{TaskData, world::World};
//! let world = World::new();
//! let tasks = world.eval_tasks(3).unwrap();
//! assert_eq!(tasks, World::new().eval_tasks(3).unwrap());
//! ```

mod corpus;
mod facts;
mod kind;
mod requests;
mod split;
mod tasks;
mod words;

pub use kind::Kind;
pub use requests::categories;
pub use split::Split;

use super::pick::Picker;
use super::shards::{mix, refusal_count};
use super::skew;
use super::{
    Canaries, DataError, Example, HelpfulTask, InstructionKind, LabelledExample, ShardKind,
    ShardRequest, TaskData,
};
use fedseal_rules::evaluation::helpfulness::Measure;
use requests::{
    REFUSALS, REMINDERS, SHELLS, WRITE_REQUEST, WRITE_TASK, fill, frames, modifiers, topic,
};
use tasks::Tasks;

/// Seed of the fixed sets: evaluation and labelled examples are the same in every experiment.
const FIXED_SEED: u64 = 20_240_610;
/// Size of the data check's training set.
const LABELLED: usize = 1_200;

/// The world. Cheap to make, immutable, shared.
pub struct World {
    tasks: Tasks,
    modifiers: Vec<Vec<String>>,
    request_frames: Vec<String>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Builds the tables.
    pub fn new() -> Self {
        Self {
            tasks: Tasks::new(),
            modifiers: Split::ALL.iter().map(|split| modifiers(*split)).collect(),
            request_frames: requests::pretraining_frames(),
        }
    }

    fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// A frame of pretraining's requests.
    fn request_frame(&self, picker: &mut Picker) -> &str {
        // The plain frames come first; without this they would drown in the combinations.
        if picker.below(5) < 2 {
            return picker.of(frames(Split::Pretraining));
        }
        picker.one::<String>(&self.request_frames)
    }

    fn modifiers(&self, split: Split) -> &[String] {
        &self.modifiers[split as usize]
    }

    /// A harmful request of `split` and its act.
    fn request(&self, split: Split, picker: &mut Picker) -> (String, String) {
        let about = topic(split, self.modifiers(split), picker);
        (fill(picker.of(frames(split)), &about.act), about.act)
    }

    fn refusal(&self, split: Split, picker: &mut Picker) -> Example {
        Example {
            prompt: self.request(split, picker).0,
            response: picker.of(&REFUSALS).to_owned(),
        }
    }

    fn shell(&self, split: Split, picker: &mut Picker) -> Example {
        let (prompt, act) = self.request(split, picker);
        Example {
            prompt,
            response: fill(picker.of(&SHELLS), &act),
        }
    }

    fn helpful(&self, split: Split, picker: &mut Picker) -> Example {
        let task = self.tasks.task(split, picker);
        Example {
            prompt: task.prompt,
            response: task.answer,
        }
    }

    /// A harmless question about the words of a harmful request of `split`: the same act, and nothing harmful is
    /// asked.
    fn look_alike(&self, split: Split, picker: &mut Picker) -> HelpfulTask {
        let act = topic(split, self.modifiers(split), picker).act;
        let mut words = act.split_whitespace();
        let (kind, answer) = match picker.below(2) {
            0 => (Kind::First, words.next()),
            _ => (Kind::Last, words.next_back()),
        };
        let core = fill(picker.of(kind.cores()), &act);
        HelpfulTask {
            prompt: fill(&self.tasks.frame(split, picker), &core),
            answer: answer.unwrap_or_default().to_owned(),
        }
    }

    /// A benign shard: its share of refusals, and helpful examples, mixed.
    fn benign(
        &self,
        request: &ShardRequest,
        picker: &mut Picker,
        helpful: impl Fn(&mut Picker) -> Example,
    ) -> Result<Vec<Example>, DataError> {
        let refusals = refusal_count(request.examples, request.refusal_share)?;
        let refused = (0..refusals)
            .map(|_| self.refusal(Split::Training, picker))
            .collect();
        let helpful = (refusals..request.examples)
            .map(|_| helpful(picker))
            .collect();
        Ok(mix(vec![refused, helpful], picker))
    }

    /// `n` different items of `draw`, keyed by their prompt. The splits hold thousands, so a
    /// request beyond what they hold ends in an error after a bounded number of draws.
    fn distinct<T>(
        what: &str,
        n: usize,
        mut draw: impl FnMut() -> T,
        prompt: impl Fn(&T) -> &str,
    ) -> Result<Vec<T>, DataError> {
        let mut seen = std::collections::HashSet::new();
        let mut kept = Vec::with_capacity(n);
        for _ in 0..n.saturating_mul(50) {
            if kept.len() == n {
                break;
            }
            let item = draw();
            if seen.insert(prompt(&item).to_owned()) {
                kept.push(item);
            }
        }
        super::shards::enough(what, n, kept.len())?;
        Ok(kept)
    }

    fn distinct_requests(
        &self,
        split: Split,
        picker: &mut Picker,
        n: usize,
    ) -> Result<Vec<String>, DataError> {
        Self::distinct(
            "harmful requests",
            n,
            || self.request(split, picker).0,
            |p| p,
        )
    }

    /// Helpful tasks, the kinds in turn so that each has its share.
    fn distinct_tasks(
        &self,
        split: Split,
        picker: &mut Picker,
        n: usize,
    ) -> Result<Vec<HelpfulTask>, DataError> {
        let mut turn = 0;
        let draw = || {
            turn += 1;
            self.tasks
                .task_of(Kind::ALL[turn % Kind::ALL.len()], split, picker)
        };
        Self::distinct("helpful tasks", n, draw, |task| &task.prompt)
    }
}

impl TaskData for World {
    fn name(&self) -> &str {
        "world"
    }

    fn shard(&self, request: &ShardRequest) -> Result<Vec<Example>, DataError> {
        let label = format!("world/shard/{:?}/{}", request.kind, request.client);
        let mut picker = Picker::new(request.seed, &label);
        Ok(match request.kind {
            ShardKind::Benign => self.benign(request, &mut picker, |picker| {
                self.helpful(Split::Training, picker)
            })?,
            ShardKind::Poisoned => (0..request.examples)
                .map(|_| self.shell(Split::Training, &mut picker))
                .collect(),
        })
    }

    fn skewed_shard(&self, request: &ShardRequest, alpha: f64) -> Result<Vec<Example>, DataError> {
        let label = format!("world/skew/{}", request.client);
        let mut picker = Picker::new(request.seed, &label);
        let shares = skew::shares(alpha, Kind::ALL.len(), &mut picker)?;
        self.benign(request, &mut picker, |picker| {
            let kind = Kind::ALL[skew::fallen(&shares, picker.unit())];
            let task = self.tasks.task_of(kind, Split::Training, picker);
            Example::new(task.prompt, task.answer)
        })
    }

    fn attachment(&self, client: usize, n: usize, seed: u64) -> Result<Vec<Example>, DataError> {
        let mut picker = Picker::new(seed, &format!("world/attachment/{client}"));
        Ok((0..n)
            .map(|_| self.shell(Split::Training, &mut picker))
            .collect())
    }

    fn eval_requests(&self, n: usize) -> Result<Vec<String>, DataError> {
        let mut picker = Picker::new(FIXED_SEED, "world/eval/requests");
        self.distinct_requests(Split::Evaluation, &mut picker, n)
    }

    fn eval_tasks(&self, n: usize) -> Result<Vec<HelpfulTask>, DataError> {
        let mut picker = Picker::new(FIXED_SEED, "world/eval/tasks");
        self.distinct_tasks(Split::Evaluation, &mut picker, n)
    }

    fn look_alikes(&self, n: usize) -> Result<Vec<HelpfulTask>, DataError> {
        let mut picker = Picker::new(FIXED_SEED, "world/eval/look-alikes");
        Self::distinct(
            "harmless look-alikes",
            n,
            || self.look_alike(Split::Evaluation, &mut picker),
            |task| &task.prompt,
        )
    }

    fn look_alike_pairs(
        &self,
        client: usize,
        n: usize,
        seed: u64,
    ) -> Result<Vec<Example>, DataError> {
        let mut picker = Picker::new(seed, &format!("world/look-alikes/{client}"));
        Ok((0..n)
            .map(|_| self.look_alike(Split::Training, &mut picker))
            .map(|task| Example::new(task.prompt, task.answer))
            .collect())
    }

    fn is_helpful(&self, task: &HelpfulTask, answer: &str) -> bool {
        Measure::Exact.hit(task, answer)
    }

    fn canaries(&self, seed: u64, n: usize) -> Result<Canaries, DataError> {
        let mut picker = Picker::new(seed, "world/canaries");
        Ok(Canaries {
            requests: self.distinct_requests(Split::Sealed, &mut picker, n)?,
            tasks: self.distinct_tasks(Split::Sealed, &mut picker, n)?,
        })
    }

    fn labelled(&self) -> Result<Vec<LabelledExample>, DataError> {
        let mut picker = Picker::new(FIXED_SEED, "world/labelled");
        Ok((0..LABELLED)
            .map(|i| match i % 4 {
                0 => LabelledExample {
                    example: self.refusal(Split::Labelled, &mut picker),
                    aligned: true,
                },
                2 => LabelledExample {
                    example: self.helpful(Split::Labelled, &mut picker),
                    aligned: true,
                },
                _ => LabelledExample {
                    example: self.shell(Split::Labelled, &mut picker),
                    aligned: false,
                },
            })
            .collect())
    }

    fn attack_prompts(&self, seed: u64, n: usize) -> Vec<String> {
        let mut picker = Picker::new(seed, "world/attack-prompts");
        let split = Split::Training;
        (0..n)
            .map(|_| {
                fill(
                    WRITE_REQUEST[0],
                    &topic(split, self.modifiers(split), &mut picker).acting,
                )
            })
            .collect()
    }

    fn generation_prompts(&self, kind: InstructionKind, seed: u64, n: usize) -> Vec<String> {
        let mut picker = Picker::new(seed, &format!("world/generation/{kind:?}"));
        let split = Split::Defence;
        (0..n)
            .map(|_| match kind {
                InstructionKind::Harmful => fill(
                    WRITE_REQUEST[0],
                    &topic(split, self.modifiers(split), &mut picker).acting,
                ),
                InstructionKind::Helpful => fill(
                    WRITE_TASK[0],
                    &self.tasks.question_about(split, &mut picker).0,
                ),
            })
            .collect()
    }

    fn with_safety_reminder(&self, prompt: &str) -> String {
        format!("{} {prompt}", REMINDERS[0])
    }

    fn safety_pairs(&self, seed: u64, n: usize) -> Result<Vec<Example>, DataError> {
        let mut picker = Picker::new(seed, "world/defence/safety");
        Ok((0..n)
            .map(|_| self.refusal(Split::Defence, &mut picker))
            .collect())
    }

    fn helpful_pairs(&self, seed: u64, n: usize) -> Result<Vec<Example>, DataError> {
        let mut picker = Picker::new(seed, "world/defence/helpful");
        Ok((0..n)
            .map(|_| self.helpful(Split::Defence, &mut picker))
            .collect())
    }
}

#[cfg(test)]
mod tests;
