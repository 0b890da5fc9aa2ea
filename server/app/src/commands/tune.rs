//! `fedseal tune DATA... --out DIR`

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use fedseal_record::rundir::write_atomically;
use fedseal_tuning::{
    Adapter, AdapterConfig, Conversation, Method, Model, Schedule, StepEvent, TrainConfig, Trainer,
    TuningError,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::base::{self, hex};
use super::engine::{self, ModelChoice};
use super::rows::{CutRows, DataChoice, DataRead, FileRead, Place};
use crate::failure::{Failure, Outcome};
use crate::{output, stop};

/// Trains an adapter on data files and writes it as PEFT reads it. A training that was stopped or
/// killed goes on with --resume and ends with the same digest.
#[derive(Args)]
pub(crate) struct Tune {
    /// Data files: JSON or JSONL, also in gzip or zstd, or Parquet.
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

fn schedule(name: &str) -> Result<Schedule, String> {
    Schedule::parse(name).ok_or_else(|| {
        let known = Schedule::ALL.map(Schedule::name).join(", ");
        format!("known schedules: {known}")
    })
}

/// The checkpoint's name in the folder of the adapter.
const CHECKPOINT: &str = "checkpoint.bin";
/// The record of how an adapter was made.
const RECORD: &str = "tune.json";
/// Files that only a training which did not end leaves.
const LEFT: [&str; 6] = [
    CHECKPOINT,
    "checkpoint.tmp",
    "tune.tmp",
    "README.tmp",
    "adapter_model.tmp",
    "adapter_config.tmp",
];
/// Files of an adapter: a training's own beside one of [`LEFT`], else somebody's.
const ADAPTER: [&str; 4] = [
    "adapter_model.safetensors",
    "adapter_config.json",
    base::CARD,
    base::FOLDER,
];

/// Examples that are learned.
struct Examples {
    examples: Vec<Conversation>,
    files: Vec<FileRead>,
    cut: Option<CutRows>,
}

/// The folder of an adapter while it is made.
struct Locked {
    _folder: std::fs::File,
    /// Folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // They go only while they are empty.
        for folder in &self.made {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

impl Tune {
    /// Reads, trains, writes.
    pub(crate) fn execute(self) -> Outcome {
        let checkpoint = self.out.join(CHECKPOINT);
        let _lock = self.lock()?;
        self.check_folder(&checkpoint)?;
        let data = self.reading.read(&self.data)?;
        let model = self.model.load()?;
        let start = self.start(&model)?;
        // Before every row is encoded: what is wrong with an option is said at once.
        let options = self.config(1)?;
        options.validate().map_err(Failure::usage)?;
        let Examples {
            examples,
            files,
            cut,
        } = self.examples(data, &model, &options)?;
        let config = self.config(examples.len())?;
        config.validate().map_err(Failure::usage)?;
        let show = Show::new(self.json, self.quiet, config.steps);
        for file in &files {
            show.event("data", json!(file), &file.text());
        }
        if let Some(cut) = &cut {
            show.event("cut", json!(cut), &cut.text(examples.len()));
        }
        let mut trainer = match self.resume && checkpoint.exists() {
            false => Trainer::new(&model, &start, &examples, &config).map_err(Failure::usage)?,
            true => {
                let bytes =
                    std::fs::read(&checkpoint).map_err(|error| Failure::io(&checkpoint, &error))?;
                Trainer::resume(&model, &start, &examples, &config, &bytes).map_err(|error| {
                    Failure::usage(format!("{}: {error}", checkpoint.display())).hint(
                        "Give the arguments and data of the training that wrote it, or another --out.",
                    )
                })?
            }
        };
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
                write_atomically(&checkpoint, &bytes)?;
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
        let trained = trainer.finish().map_err(Failure::new)?;
        let loss = trained.losses.last().copied();
        self.write(&model, &start, &config, &trained, &files)
            .map_err(|failure| {
                // Nobody is to take half a result for an adapter.
                for file in ADAPTER {
                    let _ = std::fs::remove_file(self.out.join(file));
                }
                let _ = std::fs::remove_dir_all(self.out.join(base::FOLDER));
                failure.hint(match checkpoint.exists() {
                    true => "Make room, then --resume goes on from the last checkpoint.",
                    false => "Make room, then run it again; there is no checkpoint yet.",
                })
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

    /// Makes the folder and keeps other trainings out of it. A folder that was made for nothing goes when
    /// the lock does.
    fn lock(&self) -> Outcome<Locked> {
        let io = |error: std::io::Error| Failure::io(&self.out, &error);
        let missing = self.out.ancestors().take_while(|path| {
            let named = !path.as_os_str().is_empty();
            named && path.symlink_metadata().is_err()
        });
        let made = missing.map(Path::to_owned).collect();
        std::fs::create_dir_all(&self.out).map_err(io)?;
        let folder = std::fs::File::open(&self.out).map_err(io)?;
        match folder.try_lock() {
            Ok(()) if is_still(&folder, &self.out) => Ok(Locked {
                _folder: folder,
                made,
            }),
            Ok(()) | Err(std::fs::TryLockError::WouldBlock) => {
                let name = self.out.display();
                let failure = Failure::new(format!("{name}: another training is writing into it"));
                Err(failure.hint("Wait for it, or name another folder with --out."))
            }
            Err(std::fs::TryLockError::Error(error)) => Err(io(error)),
        }
    }

    /// A folder with an adapter or a checkpoint in it is nothing to write over by accident, nor is one that
    /// holds anything else.
    fn check_folder(&self, checkpoint: &Path) -> Outcome {
        let name = self.out.display();
        if self.out.join(RECORD).exists() {
            let failure = Failure::usage(format!("{name}: there is a finished adapter already"));
            return Err(failure.hint("Name another folder with --out."));
        }
        if checkpoint.exists() && !self.resume {
            let failure = Failure::usage(format!("{name}: there is an unfinished training"));
            return Err(
                failure.hint("--resume goes on with it; or name another folder with --out.")
            );
        }
        // Whoever resumes has the folder of the training, with whatever was put beside it.
        if checkpoint.exists() {
            return Ok(());
        }
        let io = |error: std::io::Error| Failure::io(&self.out, &error);
        let entries = match std::fs::read_dir(&self.out) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        let begun = LEFT.iter().any(|left| self.out.join(left).exists());
        for entry in entries {
            let other = entry.map_err(io)?.file_name();
            let is = |names: &[&str]| names.iter().any(|own| other == *own);
            let own = is(&LEFT) || (begun && is(&ADAPTER));
            if !own {
                let other = other.to_string_lossy();
                let failure = Failure::usage(format!(
                    "{name}: holds {other}, which no unfinished training left"
                ));
                return Err(failure.hint("Name a new or an empty folder with --out."));
            }
        }
        Ok(())
    }

    /// Makes the examples, and encodes each once: what the template refuses or a limit cuts is known
    /// before the first step.
    fn examples(
        &self,
        mut data: DataRead,
        model: &Model,
        config: &TrainConfig,
    ) -> Outcome<Examples> {
        let examples = |data: &DataRead| -> (Vec<Place>, Vec<Conversation>) {
            let answers = |conversation: &Conversation| match self.answers {
                Answers::Last => vec![conversation.clone()],
                Answers::Every => conversation.every_answer(),
            };
            data.conversations
                .iter()
                .flat_map(|(place, conversation)| {
                    let answers = answers(conversation).into_iter();
                    answers.map(|answer| (*place, answer))
                })
                .unzip()
        };
        let (mut places, mut all) = examples(&data);
        let fits = model.check_fit(&all, config.max_length, config.max_response_tokens);
        let (mut cuts, mut bad) = (Vec::new(), Vec::<(Place, TuningError)>::new());
        for (place, fit) in places.iter().zip(fits) {
            match fit {
                Ok(cut) => cuts.push((*place, cut)),
                Err(error) if bad.last().is_none_or(|(last, _)| last != place) => {
                    bad.push((*place, error));
                }
                Err(_) => {}
            }
        }
        if !bad.is_empty() {
            let rows: HashSet<Place> = bad.iter().map(|(place, _)| *place).collect();
            cuts.retain(|(place, _)| !rows.contains(place));
            data.pass_over(bad)?;
            (places, all) = examples(&data);
        }
        debug_assert_eq!(places.len(), cuts.len());
        let positions = model.config().max_positions;
        Ok(Examples {
            cut: CutRows::of(&cuts, &data, config.max_length, positions),
            examples: all,
            files: data.files,
        })
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

    /// The adapter as PEFT reads it, then the record: who finds the record finds a whole adapter.
    fn write(
        &self,
        model: &Model,
        start: &Adapter,
        config: &TrainConfig,
        trained: &fedseal_tuning::Trained,
        files: &[FileRead],
    ) -> Outcome {
        let name = self.model.name();
        let placed = base::name_of(name, &self.out)?;
        let adapter = &trained.adapter;
        adapter
            .save_peft(&self.out, Some(&placed))
            .map_err(Failure::new)?;
        base::write(name, &self.out)?;
        let provenance = [
            ("adapter, SHA-256", hex(&adapter.digest())),
            ("start, SHA-256", hex(&start.digest())),
            ("base", placed.clone()),
            ("base, SHA-256 of its tensors", hex(&model.digest())),
            ("engine", fedseal_tuning::fingerprint(model)),
            ("steps", trained.losses.len().to_string()),
        ];
        let check = format!(
            "`{RECORD}` has the training's options, data files and losses. On one engine the same command \
             gives the same adapter: `sha256sum adapter_model.safetensors` prints its digest. \
             `fedseal adapter sign DIR` signs the folder, `fedseal verify DIR --key KEY` checks that.\n"
        );
        let card = base::card("Adapter", &placed, adapter, &provenance, &check);
        write_atomically(&self.out.join(base::CARD), card.as_bytes())?;
        let record = json!({
            "model": { "name": self.model.name(), "digest": hex(&model.digest()) },
            "engine": fedseal_tuning::fingerprint(model),
            "start": hex(&start.digest()),
            "adapter": hex(&trained.adapter.digest()),
            "training": config,
            "data": files,
            "tokens": trained.tokens,
            "losses": trained.losses,
        });
        let text = format!("{record:#}\n");
        Ok(write_atomically(&self.out.join(RECORD), text.as_bytes())?)
    }
}

/// Whether an open folder is still the one at this path.
fn is_still(folder: &std::fs::File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let place = |it: std::fs::Metadata| (it.dev(), it.ino());
        let here = path.metadata().map(place).ok();
        here.is_some() && folder.metadata().map(place).ok() == here
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        path.is_dir()
    }
}

/// Progress for people (standard error) or events for programs (standard output).
struct Show {
    json: bool,
    quiet: bool,
    bar: Option<ProgressBar>,
}

impl Show {
    fn new(json: bool, quiet: bool, steps: usize) -> Self {
        let bar = (!json && !quiet && std::io::stderr().is_terminal()).then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template(
                "{elapsed_precise} {bar:32} {pos}/{len} {wide_msg} ETA {eta}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Show { json, quiet, bar }
    }

    fn event(&self, name: &str, mut fields: serde_json::Value, text: &str) {
        if self.json {
            fields["event"] = name.into();
            output::line(fields);
        } else if name == "finished" {
            output::line(text);
        } else if let Some(bar) = &self.bar {
            bar.println(text);
        } else if !self.quiet {
            output::note(format_args!("    {text}"));
        }
    }

    /// An event that people need not see.
    fn quiet_event(&self, name: &str, mut fields: serde_json::Value) {
        if self.json {
            fields["event"] = name.into();
            output::line(fields);
        }
    }

    fn step(&self, event: StepEvent, speed: f64) {
        let text = format!("loss {:.4}, {speed:.0} tokens/s", event.loss);
        if self.json {
            output::line(json!({
                "event": "step", "step": event.step, "steps": event.steps, "loss": event.loss,
                "tokens": event.tokens, "tokens_per_second": speed,
                "learning_rate": event.learning_rate,
            }));
        } else if let Some(bar) = &self.bar {
            bar.set_position(event.step as u64);
            bar.set_message(text);
        } else if !self.quiet && (event.step.is_multiple_of(10) || event.step == event.steps) {
            output::note(format_args!(
                "    step {} of {}: {text}",
                event.step, event.steps
            ));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
