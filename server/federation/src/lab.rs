//! The federation's interface to a model: one trait over the tuning room, so that everything above
//! is tested with a double and no model at all.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fedseal_client_sdk::digest::Digest;
use fedseal_ledger::Blobs;
use fedseal_sandbox::{CompiledCache, Engine, Limits, TuningEngine};
use fedseal_tuning::{
    Adapter, AdapterConfig, Date, Device, Example, GenerateConfig, Halt, Joining, Model,
    ModelOptions, Numerics, Rendering, Score, StepHook, Template, TrainConfig, Trainer,
};

use crate::execute::{Executor, Modules};
use crate::{Error, Result};
use fedseal_record::rundir::Plan;
use fedseal_rules::experiment::Experiment;

/// A frozen base with everything that a run does with it. Methods may be called from several
/// threads at once; equal arguments give equal results.
pub trait Lab: Send + Sync {
    /// The engine that guests are served by.
    fn engine(&self) -> &dyn Engine;
    /// Digest of the base.
    fn base(&self) -> Digest;
    /// Executor of the run's modules: the sandbox, with each module verified and compiled, or taken
    /// from the cache.
    fn executor(
        &self,
        plan: &Plan,
        blobs: &Blobs,
        limits: Limits,
        cache: Option<CompiledCache>,
    ) -> Result<Box<dyn Executor>> {
        Ok(Box::new(Modules::load(plan, blobs, limits, cache)?))
    }
    /// Fingerprint of the engine, on which every adapter's bits depend.
    fn fingerprint(&self) -> String;
    /// Whether two executions by engines of this fingerprint give the same bits: all do but GPUs.
    fn repeats_bits(&self) -> bool {
        fedseal_tuning::repeats_bits(&self.fingerprint())
    }
    /// The device that the run aggregates on, where its experiment says so.
    fn device(&self) -> Device {
        Device::flex()
    }
    /// A fresh adapter that does not change the base yet.
    fn initial(&self, config: &AdapterConfig, seed: u64) -> Result<Adapter>;
    /// Most tokens of a prompt and its answer together.
    fn positions(&self) -> usize;
    /// Tokens of each prompt in its template.
    fn prompt_tokens(&self, prompts: &[String]) -> Result<Vec<usize>>;
    /// Tokens of each prompt with its answer, as they are scored.
    fn pair_tokens(&self, pairs: &[(String, String)]) -> Result<Vec<usize>>;
    /// One answer for each prompt; an error for a prompt that leaves no position for an answer. Stops with
    /// [`Error::Interrupted`] when `halt` says so.
    fn answer(
        &self,
        adapter: Option<&Adapter>,
        prompts: &[String],
        config: &GenerateConfig,
        halt: Halt<'_>,
    ) -> Result<Vec<String>>;
    /// As [`Lab::answer`], to prompts in another text than the model's: `alpaca`, `chatml` or `model`.
    ///
    /// # Errors
    /// As [`Lab::answer`]; a model that cannot be asked in it.
    fn answer_under(
        &self,
        template: &str,
        _adapter: Option<&Adapter>,
        _prompts: &[String],
        _config: &GenerateConfig,
        _halt: Halt<'_>,
    ) -> Result<Vec<String>> {
        Err(Error::model(format!(
            "this model is not asked under template {template}"
        )))
    }
    /// Log-probability of each answer after its prompt; `halt` as in [`Lab::answer`].
    fn score(
        &self,
        adapter: Option<&Adapter>,
        pairs: &[(String, String)],
        halt: Halt<'_>,
    ) -> Result<Vec<Score>>;
    /// Trains a copy of `start`, with the gradient and the release of a hook where there is one; `go_on` is
    /// asked before every step at least.
    fn tune_by(
        &self,
        hook: Option<Box<dyn StepHook>>,
        start: &Adapter,
        examples: &[Example],
        config: &TrainConfig,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Adapter>;
    /// As [`Lab::tune_by`], without a hook.
    fn tune(
        &self,
        start: &Adapter,
        examples: &[Example],
        config: &TrainConfig,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Adapter> {
        self.tune_by(None, start, examples, config, go_on)
    }
}

/// The lab over the tuning room.
pub struct TuningLab {
    model: Arc<Model>,
    engine: TuningEngine,
    /// The model in other texts, loaded when it is first asked in them; none for a lab whose model was
    /// given to it.
    others: Option<Others>,
}

/// Where a model comes from, and what was loaded of it under other templates.
struct Others {
    place: Place,
    options: ModelOptions,
    loaded: Mutex<BTreeMap<String, Arc<Model>>>,
}

/// Place of a model's files.
enum Place {
    Embedded,
    Files(PathBuf),
}

impl Place {
    fn load(&self, options: &ModelOptions) -> Result<Model> {
        let model = match self {
            Place::Embedded => Model::from_files(crate::pretraining::embedded(), options),
            Place::Files(path) => Model::load(path, options),
        };
        model.map_err(model_error)
    }
}

impl Others {
    /// The model under a template. Two threads that ask first wait for one loading.
    fn under(&self, template: &str) -> Result<Arc<Model>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = loaded.get(template) {
            return Ok(model.clone());
        }
        let kind: Template = template.parse().map_err(model_error)?;
        let options = ModelOptions {
            template: kind,
            // Variables are for the model's own template.
            rendering: match kind {
                Template::Model => self.options.rendering.clone(),
                _ => Rendering::default(),
            },
            ..self.options.clone()
        };
        let model = Arc::new(self.place.load(&options)?);
        loaded.insert(template.to_owned(), model.clone());
        Ok(model)
    }
}

impl TuningLab {
    /// A lab over a loaded model.
    pub fn new(model: Arc<Model>, experiment: &Experiment) -> Self {
        let config = fedseal_rules::experiment::train_config(experiment);
        let engine = TuningEngine::new(model.clone(), config);
        TuningLab {
            model,
            engine,
            others: None,
        }
    }

    /// Loads the experiment's model. `models` is the folder of named models.
    pub fn load(experiment: &Experiment, models: &Path, device: &str) -> Result<(Self, String)> {
        Self::load_with(experiment, models, device, Joining::Whole)
    }

    /// As [`load`](Self::load), with answers as a run of an earlier program had them.
    pub fn load_with(
        experiment: &Experiment,
        models: &Path,
        device: &str,
        joining: Joining,
    ) -> Result<(Self, String)> {
        let template: Template = experiment.model.template.parse().map_err(model_error)?;
        let options = ModelOptions {
            device: fedseal_tuning::device(device).map_err(model_error)?,
            template,
            rendering: rendering(experiment)?,
            joining,
            numerics: Numerics::from_name(&experiment.run.numerics).unwrap_or_default(),
            ..ModelOptions::default()
        };
        let source = experiment.model.source.as_str();
        let (place, name) = if source == "embedded" {
            (Place::Embedded, "embedded".to_owned())
        } else {
            let path = locate(source, models)?;
            let name = path
                .file_stem()
                .map_or_else(|| source.to_owned(), |n| n.to_string_lossy().into_owned());
            (Place::Files(path), name)
        };
        let model = place.load(&options)?;
        let mut lab = Self::new(Arc::new(model), experiment);
        lab.others = Some(Others {
            place,
            options,
            loaded: Mutex::default(),
        });
        Ok((lab, name))
    }
}

/// Variables that the model's template is given.
fn rendering(experiment: &Experiment) -> Result<Rendering> {
    let date = match experiment.model.template_date.as_str() {
        "" => Date::default(),
        date => date.parse().map_err(model_error)?,
    };
    let args = experiment.model.template_args.iter();
    let args: std::result::Result<_, _> = args.map(|arg| Rendering::arg(arg)).collect();
    Ok(Rendering {
        args: args.map_err(model_error)?,
        date,
    })
}

/// A model by path, or by its name under the models folder.
fn locate(source: &str, models: &Path) -> Result<PathBuf> {
    let candidates = [PathBuf::from(source), models.join(source)];
    candidates
        .iter()
        .find(|path| path.exists())
        .cloned()
        .ok_or_else(|| Error::Missing {
            what: format!("model `{source}`"),
            hint: format!(
                "neither {} nor {} is there; for SmolLM2 run `fedseal fetch smollm2`",
                candidates[0].display(),
                candidates[1].display()
            ),
        })
}

fn model_error(error: fedseal_tuning::TuningError) -> Error {
    match error {
        fedseal_tuning::TuningError::Stopped { .. } => Error::Interrupted,
        other => Error::model(other),
    }
}

impl Lab for TuningLab {
    fn engine(&self) -> &dyn Engine {
        &self.engine
    }

    fn base(&self) -> Digest {
        Digest(self.model.digest())
    }

    fn fingerprint(&self) -> String {
        fedseal_tuning::fingerprint(&self.model)
    }

    fn device(&self) -> Device {
        self.model.device().clone()
    }

    fn initial(&self, config: &AdapterConfig, seed: u64) -> Result<Adapter> {
        self.model.new_adapter(config, seed).map_err(model_error)
    }

    fn positions(&self) -> usize {
        self.model.config().max_positions
    }

    fn prompt_tokens(&self, prompts: &[String]) -> Result<Vec<usize>> {
        let tokens = |prompt: &String| Ok(self.model.encode_prompt(prompt)?.len());
        let tokens: std::result::Result<_, _> = prompts.iter().map(tokens).collect();
        tokens.map_err(model_error)
    }

    fn pair_tokens(&self, pairs: &[(String, String)]) -> Result<Vec<usize>> {
        let pairs = pairs.iter();
        let tokens = pairs.map(|(prompt, answer)| self.model.scored_tokens(prompt, answer));
        let tokens: std::result::Result<_, _> = tokens.collect();
        tokens.map_err(model_error)
    }

    fn answer(
        &self,
        adapter: Option<&Adapter>,
        prompts: &[String],
        config: &GenerateConfig,
        halt: Halt<'_>,
    ) -> Result<Vec<String>> {
        fedseal_tuning::generate_until(&self.model, adapter, prompts, config, halt)
            .map_err(model_error)
    }

    fn answer_under(
        &self,
        template: &str,
        adapter: Option<&Adapter>,
        prompts: &[String],
        config: &GenerateConfig,
        halt: Halt<'_>,
    ) -> Result<Vec<String>> {
        if template == self.model.template().name() {
            return self.answer(adapter, prompts, config, halt);
        }
        let others = self.others.as_ref();
        let model = others
            .ok_or_else(|| Error::model("the model's files are not known"))?
            .under(template)?;
        fedseal_tuning::generate_until(&model, adapter, prompts, config, halt).map_err(model_error)
    }

    fn score(
        &self,
        adapter: Option<&Adapter>,
        pairs: &[(String, String)],
        halt: Halt<'_>,
    ) -> Result<Vec<Score>> {
        fedseal_tuning::score_until(&self.model, adapter, pairs, halt).map_err(model_error)
    }

    fn tune_by(
        &self,
        hook: Option<Box<dyn StepHook>>,
        start: &Adapter,
        examples: &[Example],
        config: &TrainConfig,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Adapter> {
        let trainer = Trainer::new(&self.model, start, examples, config).map_err(model_error)?;
        let trainer = match hook {
            Some(hook) => trainer.with_hook(hook),
            None => trainer,
        };
        let trained = trainer.run_while(go_on).map_err(model_error)?;
        Ok(trained.adapter)
    }
}
