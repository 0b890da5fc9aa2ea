//! `fedseal tune DATA... --out DIR`

mod examples;
mod folder;
mod record;
mod show;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use fedseal_record::rundir::write_atomically;
use fedseal_tuning::{
    Adapter, AdapterConfig, Conversation, Method, Model, Schedule, TrainConfig, Trainer,
};
use serde_json::json;

use super::base::hex;
use super::engine::{self, ModelChoice};
use super::rows::DataChoice;
use crate::failure::{Failure, Outcome};
use crate::{output, stop};
use examples::Examples;
use folder::Folder;
use record::Ended;
use show::Show;

/// Trains an adapter on data files and writes it as PEFT reads it. A training that was stopped or
/// killed goes on with --resume and ends with the same digest.
#[derive(Args)]
pub(crate) struct Tune {
    /// Data files: JSON or JSONL, also in gzip or zstd, Parquet or Arrow.
    #[arg(required = true)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    reading: DataChoice,
    /// Learn every answer of a conversation, or its last one.
    #[arg(long, default_value = "every")]
    answers: Answers,
    #[command(flatten)]
    model: ModelChoice,
    /// Folder of the adapter.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on from the checkpoint in DIR, where there is one.
    #[arg(long)]
    resume: bool,
    /// Write a checkpoint after every N steps.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: u64,
    /// Start from this adapter instead of a fresh one; its shape is kept.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["method", "rank", "alpha", "dropout", "rslora", "targets"])]
    start: Option<PathBuf>,
    /// Kind of the adapter: pairs of matrices, factors of outputs, or weights of norms.
    #[arg(long, default_value = "lora")]
    method: MethodName,
    /// Inner width of the adapter's matrices.
    #[arg(long)]
    rank: Option<usize>,
    /// Their product is scaled by alpha / rank; by default twice the rank.
    #[arg(long)]
    alpha: Option<f32>,
    /// Share of the inputs that training sets to zero.
    #[arg(long)]
    dropout: Option<f32>,
    /// Scale by alpha / sqrt(rank) instead.
    #[arg(long)]
    rslora: bool,
    /// Modules that carry a part of the adapter, by commas: q_proj, k_proj, v_proj, o_proj, gate_proj,
    /// up_proj, down_proj (qkv_proj and gate_up_proj where a model fuses them); with --method norm
    /// input_layernorm, post_attention_layernorm, norm.
    #[arg(long, value_delimiter = ',')]
    targets: Option<Vec<String>>,
    /// Passes over the data, each of as many steps as its examples need; the last step of a pass may
    /// have fewer.
    #[arg(long, default_value_t = 1.0, conflicts_with = "steps")]
    epochs: f64,
    /// Optimiser steps, instead of --epochs; each of them has --batch-size examples.
    #[arg(long)]
    steps: Option<usize>,
    /// Examples a step.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    batch_size: u64,
    /// Batches whose gradients make one step, as if they were one batch of N times as many.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    accumulation: u64,
    /// Learning rate of AdamW.
    #[arg(long, default_value_t = 2e-4)]
    learning_rate: f32,
    /// How the learning rate goes on after the warm-up: constant, linear or cosine (both to 0).
    #[arg(long, default_value = "constant", value_parser = schedule)]
    schedule: Schedule,
    /// Steps in which the learning rate rises from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    warmup_steps: usize,
    /// Gradient checkpointing: less memory, about a third more time, the same result.
    #[arg(long, alias = "gradient-checkpointing")]
    recompute: bool,
    /// Pull towards the adapter of --start with MU / 2 times the squared distance.
    #[arg(long, value_name = "MU", requires = "start")]
    proximal: Option<f32>,
    /// Longest example, tokens, and never more than the model's positions; a longer prompt loses its
    /// beginning, then an answer its end. Which rows are cut is said before the first step.
    #[arg(long, default_value_t = 512)]
    max_length: usize,
    /// Decoupled weight decay.
    #[arg(long, default_value_t = 0.0)]
    weight_decay: f32,
    /// Names the start, the order of the data and the dropout.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print events as JSON, one a line.
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum MethodName {
    Lora,
    Ia3,
    Norm,
}

#[derive(Clone, Copy, ValueEnum)]
enum Answers {
    Every,
    Last,
}

impl Answers {
    /// Returns the examples of a conversation.
    fn parts(self) -> fn(&Conversation) -> Vec<Conversation> {
        match self {
            Answers::Every => Conversation::every_answer,
            Answers::Last => |conversation: &Conversation| vec![conversation.clone()],
        }
    }
}

fn schedule(name: &str) -> Result<Schedule, String> {
    Schedule::parse(name).ok_or_else(|| {
        let known = Schedule::ALL.map(Schedule::name).join(", ");
        format!("known schedules: {known}")
    })
}

impl Tune {
    /// Reads, trains, writes.
    pub(crate) fn execute(self) -> Outcome {
        let folder = Folder::lock(&self.out)?;
        folder.check(self.resume)?;
        let data = self.reading.read(&self.data)?;
        let model = self.model.load()?;
        let start = self.start(&model)?;
        // Before every row is encoded: what is wrong with an option is said at once.
        let options = self.config(1)?;
        options.validate().map_err(Failure::usage)?;
        let Examples {
            examples,
            tokens,
            files,
            cut,
        } = Examples::new(data, self.answers.parts(), &model, &options)?;
        let config = self.config(examples.len())?;
        config.validate().map_err(Failure::usage)?;
        let show = Show::new(self.json, self.quiet, config.steps);
        for file in &files {
            show.event("data", json!(file), &file.text());
        }
        if let Some(cut) = &cut {
            show.event("cut", json!(cut), &cut.text(examples.len()));
        }
        let mut trainer = Trainer::new(&model, &start, &examples, &config)
            .and_then(|trainer| trainer.with_tokens(tokens))
            .map_err(Failure::usage)?;
        let checkpoint = folder.checkpoint();
        if self.resume && checkpoint.exists() {
            let bytes =
                std::fs::read(&checkpoint).map_err(|error| Failure::io(&checkpoint, &error))?;
            trainer = trainer.go_on_from(&bytes).map_err(|error| {
                Failure::usage(format!("{}: {error}", checkpoint.display())).hint(
                    "Give the arguments and data of the training that wrote it, or another --out.",
                )
            })?;
        }
        let parameters: usize = start.tensors.values().map(|tensor| tensor.data.len()).sum();
        show.event(
            "start",
            json!({ "examples": examples.len(), "steps": config.steps, "done": trainer.steps(),
                    "parameters": parameters }),
            &format!(
                "{} examples, {} steps of {}, {parameters} trained parameters{}",
                examples.len(),
                config.steps,
                config.batch_size * config.accumulation,
                match trainer.steps() {
                    0 => String::new(),
                    done => format!("; going on after step {done}"),
                }
            ),
        );
        stop::watch("stopping after this step; --resume goes on");
        let clock = Instant::now();
        let begun = trainer.steps();
        let mut tokens = 0;
        while let Some(event) = trainer.step().map_err(Failure::new)? {
            tokens += event.tokens;
            let speed = tokens as f64 / clock.elapsed().as_secs_f64();
            show.step(event, speed);
            let last = event.step == event.steps;
            let due = (event.step as u64).is_multiple_of(self.checkpoint_every);
            if (due || stop::asked()) && !last {
                let bytes = trainer.checkpoint().map_err(Failure::new)?;
                write_atomically(&checkpoint, &bytes)
                    .map_err(|error| folder.unwritten(Failure::new(error)))?;
                let text = json!({ "step": event.step, "file": checkpoint.display().to_string() });
                show.quiet_event("checkpoint", text);
            }
            if stop::asked() && !last {
                show.end();
                return Err(Failure::new(format!(
                    "stopped after step {} of {}",
                    event.step, event.steps
                ))
                .hint("The same command with --resume goes on."));
            }
        }
        show.end();
        let seconds = clock.elapsed().as_secs_f64();
        let steps = trainer.steps() - begun;
        let cut = trainer.cut();
        let trained = trainer.trained().map_err(Failure::new)?;
        let loss = trained.losses.last().copied();
        let ended = Ended {
            model: &model,
            name: self.model.name(),
            start: &start,
            config: &config,
            files: &files,
            trained: &trained,
        };
        ended.write(&folder).map_err(|failure| {
            folder.clear();
            // What the adapter's files have left free may hold the last step.
            if let Ok(bytes) = trainer.checkpoint() {
                let _ = write_atomically(&checkpoint, &bytes);
            }
            folder.unwritten(failure)
        })?;
        let _ = std::fs::remove_file(&checkpoint);
        let digest = hex(&trained.adapter.digest());
        let name = self.out.display();
        show.event(
            "finished",
            json!({ "adapter": digest, "dir": name.to_string(), "seconds": seconds,
                    "steps": steps, "loss": loss, "cut": cut }),
            &format!(
                "{name}: adapter {digest}, last loss {:.4}, {steps} steps in {}{}",
                loss.unwrap_or(f32::NAN),
                output::duration(seconds),
                match cut {
                    0 => String::new(),
                    cut => format!(
                        "\n{cut} of {} examples did not fit and were cut",
                        examples.len()
                    ),
                }
            ),
        );
        Ok(())
    }

    fn start(&self, model: &Model) -> Outcome<Adapter> {
        if let Some(path) = &self.start {
            return engine::adapter(path, model, &self.model);
        }
        let usual = AdapterConfig::default();
        let mut config = match self.method {
            MethodName::Lora => {
                let rank = self.rank.unwrap_or(usual.rank);
                AdapterConfig {
                    rank,
                    // As PEFT's users mostly have it.
                    alpha: self.alpha.unwrap_or(2.0 * rank as f32),
                    dropout: self.dropout.unwrap_or(usual.dropout),
                    targets: AdapterConfig::usual_targets(Method::Lora, model.config()),
                    rslora: self.rslora,
                    method: Method::Lora,
                }
            }
            _ if self.rank.is_some()
                || self.alpha.is_some()
                || self.dropout.is_some()
                || self.rslora =>
            {
                return Err(Failure::usage(
                    "--rank, --alpha, --dropout and --rslora belong to --method lora",
                ));
            }
            MethodName::Ia3 => {
                let targets = AdapterConfig::usual_targets(Method::Ia3, model.config());
                let names: Vec<&str> = targets.iter().map(String::as_str).collect();
                AdapterConfig::ia3(&names)
            }
            MethodName::Norm => {
                AdapterConfig::layer_norm(&["input_layernorm", "post_attention_layernorm", "norm"])
            }
        };
        if let Some(targets) = &self.targets {
            config.targets.clone_from(targets);
        }
        model
            .new_adapter(&config, self.seed)
            .map_err(Failure::usage)
    }

    fn config(&self, examples: usize) -> Outcome<TrainConfig> {
        let (batch_size, accumulation) = (self.batch_size as usize, self.accumulation as usize);
        let mut config = TrainConfig {
            batch_size,
            accumulation,
            whole_passes: self.steps.is_none(),
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            warmup_steps: self.warmup_steps,
            recompute: self.recompute,
            proximal_mu: self.proximal.unwrap_or(0.0),
            max_length: self.max_length,
            max_response_tokens: self.max_length,
            weight_decay: self.weight_decay,
            seed: self.seed,
            ..TrainConfig::default()
        };
        config.steps = match self.steps {
            Some(steps) => steps,
            None if self.epochs.is_finite() && self.epochs > 0.0 => {
                (config.pass_steps(examples) as f64 * self.epochs).ceil() as usize
            }
            None => return Err(Failure::usage("--epochs must be above 0")),
        };
        Ok(config)
    }
}
