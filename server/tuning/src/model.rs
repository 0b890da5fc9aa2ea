//! A frozen base with its tokenizer, template, device and digest.

pub(crate) mod base;
mod contents;
pub(crate) mod decoder;
mod encode;
mod files;
mod fit;
mod folder;
pub(crate) mod gguf;
pub(crate) mod merge;
mod named;
pub(crate) mod template;
pub(crate) mod tokenizer;
pub(crate) mod weights;

use std::{collections::BTreeMap, path::Path};

use burn::tensor::Device;

use fedseal_adapter::{Part, safetensors::SafetensorsSource};

use crate::{
    Adapter, AdapterConfig, AdapterTensor, Joining, Method, ModelConfig, Rendering, Template,
    Tokenizer, TuningError,
    kernels::{Numerics, pool},
    model::{
        base::{Base, Kept},
        decoder::Decoder,
        named::Named,
        template::ChatTemplate,
        weights::WeightSource,
    },
    ops::to_host,
};

use contents::digest;
pub(crate) use contents::expected_tensors;
pub use files::ModelFiles;
use files::Parts;

/// Options of [`Model::load`].
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// Device that stores the tensors; see [`device`](crate::device()).
    pub device: Device,
    /// Template around a prompt.
    pub template: Template,
    /// Variables that the model's own template is given besides messages.
    pub rendering: Rendering,
    /// How a prompt and its answer become tokens.
    pub joining: Joining,
    /// Numeric mode of products with the frozen matrices on the CPU.
    pub numerics: Numerics,
    /// Storage of the frozen matrices in memory.
    pub base: Base,
}

impl Default for ModelOptions {
    /// CPU, the template in the files, and bits that do not depend on the machine.
    fn default() -> Self {
        Self {
            device: Device::flex(),
            template: Template::Model,
            rendering: Rendering::default(),
            joining: Joining::Whole,
            numerics: Numerics::Exact,
            base: Base::Auto,
        }
    }
}

/// A frozen base model, ready for training adapters and generating texts.
pub struct Model {
    decoder: Decoder,
    tokenizer: Tokenizer,
    template: Template,
    rendering: Rendering,
    chat: Option<ChatTemplate>,
    joining: Joining,
    /// Ids that end a text.
    eos: Vec<u32>,
    /// The id that ends a response in texts other than the model's own.
    end: Option<u32>,
    device: Device,
    numerics: Numerics,
    digest: [u8; 32],
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("config", self.config())
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Loads a Hugging Face folder (`config.json`, `model.safetensors` or its shards,
    /// `tokenizer.json`, `tokenizer_config.json`) or a GGUF file, known by its first bytes. One of
    /// several files of a split stands for all of them, and a folder with one model for that.
    ///
    /// # Errors
    /// [`TuningError::Io`] for a file that cannot be read; [`TuningError::Broken`],
    /// [`TuningError::Format`], [`TuningError::Unsupported`], [`TuningError::MissingTensor`],
    /// [`TuningError::Shape`] and [`TuningError::NotFinite`] for faults in the files.
    pub fn load(path: &Path, options: &ModelOptions) -> Result<Self, TuningError> {
        if gguf::is_gguf(path) {
            let (source, parts) = gguf::open(path)?;
            return Self::new(&source, parts, options);
        }
        if path.is_file() {
            return Err(TuningError::Unsupported(format!(
                "{}: neither a Hugging Face folder nor a GGUF file, which begins with GGUF",
                path.display()
            )));
        }
        // A folder with only a GGUF file stands for that file.
        if path.is_dir()
            && !path.join("config.json").exists()
            && let Some(file) = gguf::in_folder(path)?
        {
            let (source, parts) = gguf::open(&file)?;
            return Self::new(&source, parts, options);
        }
        let read = |name: &str| {
            let path = path.join(name);
            std::fs::read(&path).map_err(TuningError::io(path))
        };
        let optional = |name: &str| match path.join(name).exists() {
            true => read(name),
            false => Ok(Vec::new()),
        };
        let files = ModelFiles {
            config: read("config.json")?,
            weights: Vec::new(),
            tokenizer: read("tokenizer.json")?,
            tokenizer_config: optional("tokenizer_config.json")?,
        };
        let mut parts = folder::parts(&files, &optional("generation_config.json")?)?;
        let jinja = optional("chat_template.jinja")?;
        if !jinja.is_empty() {
            parts.chat_template = Some(
                String::from_utf8(jinja).map_err(|_| TuningError::Template("not UTF-8".into()))?,
            );
        }
        let source = Named::new(SafetensorsSource::open(path)?, &mut parts.config)?;
        Self::new(&source, parts, options)
    }

    /// Loads a checkpoint from memory.
    ///
    /// # Errors
    /// As [`load`](Self::load), without the errors of the disk.
    pub fn from_files(files: ModelFiles, options: &ModelOptions) -> Result<Self, TuningError> {
        let mut parts = folder::parts(&files, &[])?;
        let source = SafetensorsSource::from_files(vec![files.weights])?;
        let source = Named::new(source, &mut parts.config)?;
        Self::new(&source, parts, options)
    }

    fn new(
        source: &dyn WeightSource,
        parts: Parts,
        options: &ModelOptions,
    ) -> Result<Self, TuningError> {
        let Parts {
            config,
            tokenizer,
            chat_template,
            bos,
            eos,
        } = parts;
        if options.template != Template::Model && !options.rendering.args.is_empty() {
            let (given, known) = (options.rendering.args.keys(), options.template.name());
            let given = given.cloned().collect::<Vec<_>>().join(", ");
            return Err(TuningError::Config(format!(
                "template variables ({given}) are for the model's own template, not for {known}"
            )));
        }
        let device = options.device.clone().without_autodiff();
        let source = &Kept {
            source,
            base: options.base,
        };
        let digest = digest(source, &config)?;
        let decoder = pool::run(|| Decoder::load(source, &config, &device, options.numerics))?;
        let eos_text = eos
            .first()
            .and_then(|id| tokenizer.token_text(*id))
            .unwrap_or_default();
        let chat = chat_template
            // A template that is not used need not be one that can be read.
            .filter(|_| options.template == Template::Model)
            .map(|source| {
                let tokens = tokenizer.names().map_or_else(
                    || {
                        vec![
                            ("bos_token", bos.as_deref().unwrap_or_default()),
                            ("eos_token", eos_text.as_str()),
                        ]
                    },
                    |names| {
                        names
                            .iter()
                            .map(|(name, text)| (name.as_str(), text.as_str()))
                            .collect()
                    },
                );
                ChatTemplate::new("the model's own", &source, tokens, &options.rendering)
            })
            .transpose()?;
        let mut model = Self {
            decoder,
            tokenizer,
            template: options.template,
            rendering: options.rendering.clone(),
            chat,
            joining: options.joining,
            eos,
            end: None,
            device,
            numerics: options.numerics,
            digest,
        };
        model.find_end();
        Ok(model)
    }

    /// Shape of the decoder.
    pub fn config(&self) -> &ModelConfig {
        &self.decoder.config
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Kind of text around a prompt.
    pub fn template(&self) -> Template {
        self.template
    }

    /// Variables that the model's own template is given besides messages.
    pub fn rendering(&self) -> &Rendering {
        &self.rendering
    }

    /// SHA-256 over the configuration and every tensor as f32: the same weights have the same
    /// digest in any file format that stores them exactly.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Device that stores the tensors.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Numeric mode of products with the frozen matrices.
    pub fn numerics(&self) -> Numerics {
        self.numerics
    }

    /// Ids that end a text.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    pub(crate) fn decoder_mut(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    pub(crate) fn set_digest(&mut self, digest: [u8; 32]) {
        self.digest = digest;
    }

    /// Returns a fresh adapter that changes nothing yet: LoRA and (IA)^3 as [`Adapter::init`],
    /// norms with this model's weights.
    ///
    /// # Errors
    /// [`TuningError::Config`] when the configuration is out of range or names nothing that exists
    /// in this model.
    pub fn new_adapter(&self, config: &AdapterConfig, seed: u64) -> Result<Adapter, TuningError> {
        if config.method != Method::LayerNorm {
            return Ok(Adapter::init(config, self.config(), seed)?);
        }
        let slots = config.checked_slots(self.config())?;
        let offset = self.config().norm_offset();
        let mut tensors = BTreeMap::new();
        for (name, slot) in slots {
            let weight = match slot.part {
                Part::Norm(norm) => self
                    .decoder
                    .layers
                    .get(slot.layer)
                    .and_then(|layer| layer.norms[norm as usize].clone()),
                _ => Some(self.decoder.norm.clone()),
            };
            let weight = weight.ok_or_else(|| TuningError::MissingTensor(name.clone()))?;
            let mut data = to_host(weight)?;
            data.iter_mut().for_each(|value| *value -= offset);
            let shape = slot.shape;
            tensors.insert(name, AdapterTensor { shape, data });
        }
        if tensors.is_empty() {
            return Err(config.none_exists(self.config()).into());
        }
        let config = config.clone();
        Ok(Adapter { tensors, config })
    }
}
