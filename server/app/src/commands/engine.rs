//! Options shared by the commands that use the engine by itself: model, adapter, and how texts are
//! drawn.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use fedseal_client_sdk::outside;
use fedseal_federation::pretraining;
use fedseal_ledger::MAX_BLOB;
use fedseal_tuning::{
    Adapter, Base, Date, Finish, GenerateConfig, Generated, Joining, Message, Model, ModelOptions,
    Numerics, Rendering, Role, Template, TuningError, limits,
};

use super::base;
use crate::failure::{Failure, Outcome};

/// Which model, and where it runs.
#[derive(Args)]
pub(super) struct ModelChoice {
    /// `embedded`, a name below the models folder, a Hugging Face folder or a .gguf file.
    #[arg(long, default_value = "embedded")]
    model: String,
    /// The text around a prompt: model (the template in its files), chatml or alpaca.
    #[arg(long, default_value = "model", value_parser = template)]
    template: Template,
    /// A variable of the model's template, as transformers' apply_chat_template takes them:
    /// enable_thinking=false. The value is JSON, else a text. May be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = Rendering::arg)]
    template_arg: Vec<(String, serde_json::Value)>,
    /// The day that a template writes where it asks for today's.
    #[arg(long, value_name = "YYYY-MM-DD", default_value_t = Date::default())]
    template_date: Date,
    /// auto (the best card, else the CPU), cpu, wgpu, vulkan or cuda.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// How products are computed: exact, in f32, has the same bits on every CPU; fast rounds the frozen
    /// matrices and what they are multiplied with, on the CPU to integers of 16 bits (from a base in 8 or
    /// 4 bits it may generate with 8, which the processor decides), on a GPU to bf16 where it has that.
    #[arg(long, value_enum, default_value_t = NumericsName::Exact)]
    numerics: NumericsName,
    /// How the frozen matrices are kept: auto, as the files have them; f32, the same values in more
    /// memory; bf16, q8 or q4, rounded (that is another model, with another digest).
    #[arg(long, default_value_t = Base::Auto)]
    base: Base,
    /// Use an adapter whose record (tune.json, fedseal.json) says that it was made on another base.
    #[arg(long)]
    any_base: bool,
    /// Threads of the CPU device; 0: all cores. Results do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads)]
    threads: usize,
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads) if threads <= limits::MAX_THREADS => Ok(threads),
        _ => Err(format!("expected 0 to {}", limits::MAX_THREADS)),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum NumericsName {
    Exact,
    Fast,
}

fn template(name: &str) -> Result<Template, String> {
    let known = Template::ALL.map(Template::name).join(", ");
    name.parse().map_err(|_| format!("known texts: {known}"))
}

impl ModelChoice {
    /// The name that was asked for.
    pub(super) fn name(&self) -> &str {
        &self.model
    }

    /// Loads the model.
    pub(super) fn load(&self) -> Outcome<Model> {
        fedseal_tuning::set_threads(self.threads);
        let options = ModelOptions {
            device: fedseal_tuning::device(&self.device).map_err(Failure::usage)?,
            template: self.template,
            rendering: Rendering {
                args: self.template_arg.iter().cloned().collect(),
                date: self.template_date,
            },
            joining: Joining::Whole,
            numerics: match self.numerics {
                NumericsName::Exact => Numerics::Exact,
                NumericsName::Fast => Numerics::Fast,
            },
            base: self.base,
        };
        if self.model == "embedded" {
            return Model::from_files(pretraining::embedded(), &options).map_err(refused);
        }
        let path = base::path_of(&self.model)?;
        if !path.exists() {
            return Err(
                Failure::usage(format!("{}: there is no model", path.display()))
                    .hint("For SmolLM2: fedseal fetch smollm2"),
            );
        }
        Model::load(&path, &options).map_err(|error| match error {
            TuningError::Config(_) => refused(error),
            error => Failure::new(format!("{}: {error}", path.display())),
        })
    }
}

/// Files of an adapter's folder, at most.
const MOST_NAMES: usize = 1000;

/// Reads an adapter for a model: a blob of a run, or a folder that PEFT or `fedseal tune` wrote. One that
/// names another base is refused unless the choice allows it.
pub(super) fn adapter(path: &Path, model: &Model, choice: &ModelChoice) -> Outcome<Adapter> {
    let failure = |error| Failure::new(format!("{}: {error}", path.display()));
    if path.is_dir() {
        // A folder that was handed over: no file in it is waited for, none is longer than memory.
        let names = outside::names(path, MOST_NAMES).map_err(|error| Failure::io(path, &error))?;
        for file in names
            .iter()
            .map(std::fs::DirEntry::path)
            .filter(|p| !p.is_dir())
        {
            outside::open_named(&file)
                .and_then(|open| outside::length(&open, MAX_BLOB))
                .map_err(|error| Failure::io(&file, &error))?;
        }
        base::check(path, model, choice.any_base)?;
        return Adapter::load_peft(path, model.config()).map_err(failure);
    }
    let bytes = outside::read_named(path, MAX_BLOB).map_err(|error| Failure::io(path, &error))?;
    Adapter::from_bytes(&bytes).map_err(failure)
}

/// The adapter of an option.
pub(super) fn optional_adapter(
    path: Option<&Path>,
    model: &Model,
    choice: &ModelChoice,
) -> Outcome<Option<Adapter>> {
    path.map(|path| adapter(path, model, choice)).transpose()
}

/// Failure for an error of the engine: a bad request, or something that failed.
pub(super) fn refused(error: TuningError) -> Failure {
    match error {
        TuningError::Config(_) | TuningError::Positions { .. } => Failure::usage(error),
        error => Failure::new(error),
    }
}

/// Note below an answer that ended because the model's positions were used up.
pub(super) fn used_up(model: &Model, answer: &Generated) -> Option<String> {
    (answer.finish == Finish::Positions).then(|| {
        format!(
            "the answer ends after {} tokens, where the model's {} positions are used up",
            answer.tokens,
            model.config().max_positions
        )
    })
}

/// A model that writes, with an adapter or without, and how its texts are drawn.
#[derive(Args)]
pub(super) struct Speaker {
    #[command(flatten)]
    model: ModelChoice,
    /// An adapter: a blob of a run, or a folder that PEFT or `fedseal tune` wrote.
    #[arg(long, value_name = "PATH")]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    drawing: Drawing,
    /// Instructions that stand before a conversation, where the model's template has a place for
    /// them.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
}

impl Speaker {
    /// Loads the model and the adapter.
    pub(super) fn load(&self) -> Outcome<(Model, Option<Adapter>)> {
        let model = self.model.load()?;
        let adapter = optional_adapter(self.adapter.as_deref(), &model, &self.model)?;
        Ok((model, adapter))
    }

    /// A conversation in which nobody has spoken yet.
    pub(super) fn begin(&self) -> Vec<Message> {
        let system = self.system.iter();
        system
            .map(|text| Message::new(Role::System, text))
            .collect()
    }

    /// Settings for the engine. `turn` is added to the seed so that each turn draws different numbers.
    pub(super) fn config(&self, tokens: usize, turn: u64) -> GenerateConfig {
        self.drawing.config(tokens, turn)
    }
}

/// How texts are drawn.
#[derive(Args)]
struct Drawing {
    /// 0 takes the likeliest token.
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Draw among this many of the likeliest tokens; 0: all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    top_k: usize,
    /// Draw among the likeliest tokens that together have this probability.
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Seed of the random numbers.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// An answer ends before this text; may be given several times.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
}

impl Drawing {
    fn config(&self, tokens: usize, turn: u64) -> GenerateConfig {
        GenerateConfig {
            max_new_tokens: tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            seed: self.seed.wrapping_add(turn),
            stop: self.stop.clone(),
            ..GenerateConfig::default()
        }
    }
}
