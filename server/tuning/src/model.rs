//! A frozen base with everything around it: tokenizer, template, device, digest.

use std::{collections::BTreeMap, path::Path};

use burn::tensor::Device;
use rayon::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    Adapter, AdapterConfig, AdapterTensor, Conversation, Example, Message, Method, ModelConfig,
    Role, Template, Tokenizer, Tokens, TuningError,
    adapter_config::Part,
    base::{Base, Kept},
    decoder::Decoder,
    device,
    family::Norm,
    kernels::Numerics,
    lora::to_host,
    template::{self, ChatTemplate},
    weights::{SafetensorsSource, WeightSource},
};

/// How [`Model::load`] loads.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// Where the tensors go; see [`device`](crate::device()).
    pub device: Device,
    /// The text around a prompt.
    pub template: Template,
    /// How products with the frozen matrices are computed on the CPU.
    pub numerics: Numerics,
    /// How the frozen matrices are kept in memory.
    pub base: Base,
}

impl Default for ModelOptions {
    /// CPU, the template that the files carry, and bits that do not depend on the machine.
    fn default() -> Self {
        Self {
            device: Device::flex(),
            template: Template::Model,
            numerics: Numerics::Exact,
            base: Base::Auto,
        }
    }
}

/// A checkpoint as bytes: what a model folder holds, for a model that is embedded in a program.
#[derive(Clone, Debug, Default)]
pub struct ModelFiles {
    /// `config.json`
    pub config: Vec<u8>,
    /// `model.safetensors`
    pub weights: Vec<u8>,
    /// `tokenizer.json`
    pub tokenizer: Vec<u8>,
    /// `tokenizer_config.json`; may be empty.
    pub tokenizer_config: Vec<u8>,
}

/// What a loader knows besides the tensors.
pub(crate) struct Parts {
    pub(crate) config: ModelConfig,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) chat_template: Option<String>,
    pub(crate) bos: Option<String>,
    pub(crate) eos: Vec<u32>,
}

/// How turns of a conversation start and end: ChatML, Gemma, Llama 3.
const TURNS: [(&str, &str); 3] = [
    ("<|im_start|>", "<|im_end|>"),
    ("<start_of_turn>", "<end_of_turn>"),
    ("<|start_header_id|>", "<|eot_id|>"),
];

/// A frozen base model, ready to train adapters on and to generate with.
pub struct Model {
    decoder: Decoder,
    tokenizer: Tokenizer,
    template: Template,
    chat: Option<ChatTemplate>,
    /// Ids that end a text.
    eos: Vec<u32>,
    /// The id that training puts after a response.
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
    /// `tokenizer.json`, `tokenizer_config.json`) or a GGUF file.
    ///
    /// # Errors
    /// [`TuningError::Io`] for what cannot be read; [`TuningError::Format`],
    /// [`TuningError::Unsupported`], [`TuningError::MissingTensor`], [`TuningError::Shape`] and
    /// [`TuningError::NotFinite`] for what is wrong in the files.
    pub fn load(path: &Path, options: &ModelOptions) -> Result<Self, TuningError> {
        if path
            .extension()
            .is_some_and(|extension| extension == "gguf")
        {
            let (source, parts) = crate::gguf::open(path)?;
            return Self::new(&source, parts, options);
        }
        // A folder with nothing but a GGUF file means that file.
        if path.is_dir() && !path.join("config.json").exists() {
            let mut files: Vec<_> = std::fs::read_dir(path)
                .map_err(TuningError::io(path))?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| {
                    path.extension()
                        .is_some_and(|extension| extension == "gguf")
                })
                .collect();
            files.sort();
            if let [file] = files.as_slice() {
                let (source, parts) = crate::gguf::open(file)?;
                return Self::new(&source, parts, options);
            }
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
        let mut parts = folder_parts(&files, &optional("generation_config.json")?)?;
        let jinja = optional("chat_template.jinja")?;
        if !jinja.is_empty() {
            parts.chat_template = Some(
                String::from_utf8(jinja)
                    .map_err(|_| TuningError::Template("not UTF-8".to_owned()))?,
            );
        }
        Self::new(&SafetensorsSource::open(path)?, parts, options)
    }

    /// Loads a checkpoint from memory.
    ///
    /// # Errors
    /// As [`load`](Self::load), without the errors of the disk.
    pub fn from_files(files: ModelFiles, options: &ModelOptions) -> Result<Self, TuningError> {
        let parts = folder_parts(&files, &[])?;
        Self::new(
            &SafetensorsSource::from_files(vec![files.weights])?,
            parts,
            options,
        )
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
        let device = options.device.clone().without_autodiff();
        let source = &Kept {
            source,
            base: options.base,
        };
        let digest = digest(source, &config)?;
        let decoder = device::run(|| Decoder::load(source, &config, &device, options.numerics))?;
        let eos_text = eos
            .first()
            .and_then(|id| tokenizer.token_text(*id))
            .unwrap_or_default();
        let chat = chat_template
            .map(|source| ChatTemplate::new(source, bos.unwrap_or_default(), eos_text))
            .transpose()?;
        let mut model = Self {
            decoder,
            tokenizer,
            template: options.template,
            chat,
            eos,
            end: None,
            device,
            numerics: options.numerics,
            digest,
        };
        // A turn ends with its own token, which need not be the first end of text.
        let prompt = model.prompt_text(&[Message::new(Role::User, "x")])?;
        let turn_end = TURNS
            .iter()
            .find(|(start, _)| prompt.contains(start))
            .and_then(|(_, end)| model.tokenizer.token_id(end));
        if let Some(id) = turn_end
            && !model.eos.contains(&id)
        {
            model.eos.push(id);
        }
        model.end = turn_end.or(model.eos.first().copied());
        Ok(model)
    }

    /// The shape of the decoder.
    pub fn config(&self) -> &ModelConfig {
        &self.decoder.config
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// SHA-256 over the configuration and every tensor as f32: the same weights have the same
    /// digest in any file format that holds them exactly.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Where the tensors are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How products with the frozen matrices are computed.
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

    /// A fresh adapter that changes nothing yet: LoRA and (IA)^3 as [`Adapter::init`], norms with
    /// this model's weights.
    ///
    /// # Errors
    /// [`TuningError::Config`] when the configuration is out of range or names nothing that this
    /// model has.
    pub fn new_adapter(&self, config: &AdapterConfig, seed: u64) -> Result<Adapter, TuningError> {
        if config.method != Method::LayerNorm {
            return Adapter::init(config, self.config(), seed);
        }
        config.validate()?;
        let offset = self.config().norm_offset();
        let mut tensors = BTreeMap::new();
        for (name, slot) in config.slots(self.config()) {
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
            return Err(TuningError::Config(
                "no target exists in this model".to_owned(),
            ));
        }
        let config = config.clone();
        Ok(Adapter { tensors, config })
    }

    /// The messages with their template around them.
    fn prompt_text(&self, messages: &[Message]) -> Result<String, TuningError> {
        match (self.template, &self.chat) {
            (Template::Alpaca, _) => template::alpaca(messages),
            (Template::Model, Some(chat)) => chat.render(messages),
            (Template::Model, None) | (Template::ChatMl, _) => Ok(template::chatml(messages)),
        }
    }

    /// The tokens of a prompt in its template, where the model's answer begins.
    ///
    /// # Errors
    /// [`TuningError::Template`] when the model's template refuses the prompt, and the tokenizer's
    /// errors.
    pub fn encode_prompt(&self, prompt: &str) -> Result<Vec<u32>, TuningError> {
        self.encode_messages(&[Message::new(Role::User, prompt)])
    }

    /// The tokens of messages in their template, where the model's answer begins.
    ///
    /// # Errors
    /// As [`encode_prompt`](Self::encode_prompt).
    pub fn encode_messages(&self, messages: &[Message]) -> Result<Vec<u32>, TuningError> {
        let text = self.prompt_text(messages)?;
        // A model's own template writes its first token itself.
        let special = self.template == Template::Alpaca;
        self.tokenizer.encode(&text, special)
    }

    /// The tokens of a conversation whose last message is learned; cut as in
    /// [`encode_example`](Self::encode_example).
    ///
    /// # Errors
    /// As [`encode_prompt`](Self::encode_prompt); [`TuningError::Config`] without messages.
    pub fn encode_conversation(
        &self,
        conversation: &Conversation,
        max_length: usize,
        max_response: usize,
    ) -> Result<Tokens, TuningError> {
        let (prompt, answer) = conversation
            .split()
            .ok_or_else(|| TuningError::Config("a conversation without messages".to_owned()))?;
        let prompt = self.encode_messages(prompt)?;
        self.with_response(prompt, answer, max_length, max_response)
    }

    /// The tokens of an example. A response longer than `max_response` tokens is cut and gets no
    /// end token. When the whole is longer than `max_length`, the prompt loses its beginning, but
    /// keeps half of `max_length` before the response is cut.
    ///
    /// # Errors
    /// As [`encode_prompt`](Self::encode_prompt).
    pub fn encode_example(
        &self,
        example: &Example,
        max_length: usize,
        max_response: usize,
    ) -> Result<Tokens, TuningError> {
        let prompt = self.encode_prompt(&example.prompt)?;
        self.with_response(prompt, &example.response, max_length, max_response)
    }

    fn with_response(
        &self,
        prompt: Vec<u32>,
        response: &str,
        max_length: usize,
        max_response: usize,
    ) -> Result<Tokens, TuningError> {
        let mut response = self.tokenizer.encode(response, false)?;
        response.extend(self.end);
        response.truncate(max_response.max(1));
        self.join(prompt, response, max_length)
    }

    /// Messages and an answer without an end token.
    pub(crate) fn encode_scored(
        &self,
        prompt: &[Message],
        answer: &str,
    ) -> Result<Tokens, TuningError> {
        let prompt = self.encode_messages(prompt)?;
        let answer = self.tokenizer.encode(answer, false)?;
        self.join(prompt, answer, usize::MAX)
    }

    fn join(
        &self,
        mut prompt: Vec<u32>,
        mut response: Vec<u32>,
        max_length: usize,
    ) -> Result<Tokens, TuningError> {
        let max_length = max_length.min(self.config().max_positions).max(2);
        if prompt.is_empty() || response.is_empty() {
            return Err(TuningError::Tokenizer(
                "an example without a token".to_owned(),
            ));
        }
        let excess = (prompt.len() + response.len()).saturating_sub(max_length);
        let spare = prompt.len().saturating_sub((max_length / 2).max(1));
        prompt.drain(..excess.min(spare));
        response.truncate(max_length.saturating_sub(prompt.len()).max(1));
        let response_start = prompt.len();
        let mut ids = prompt;
        ids.append(&mut response);
        self.decoder.check(&ids)?;
        Ok(Tokens {
            ids,
            response_start,
        })
    }
}

/// Reads what a Hugging Face folder says besides its tensors.
fn folder_parts(files: &ModelFiles, generation_config: &[u8]) -> Result<Parts, TuningError> {
    let json = |name: &str, bytes: &[u8]| -> Result<Value, TuningError> {
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(bytes)
            .map_err(|error| TuningError::Format(format!("{name}: {error}")))
    };
    let config = ModelConfig::from_json(&files.config)?;
    let tokenizer = Tokenizer::from_json(&files.tokenizer, config.vocab)?;
    let tokenizer_config = json("tokenizer_config.json", &files.tokenizer_config)?;
    // A token stands there as text, or as an object with its text.
    let token = |key: &str| -> Option<String> {
        let value = tokenizer_config.get(key)?;
        let value = value.get("content").unwrap_or(value);
        value.as_str().map(str::to_owned)
    };
    let mut eos = Vec::new();
    let mut push = |id: Option<u32>| {
        if let Some(id) = id
            && (id as usize) < config.vocab
            && !eos.contains(&id)
        {
            eos.push(id);
        }
    };
    push(token("eos_token").and_then(|text| tokenizer.token_id(&text)));
    for value in [
        json("generation_config.json", generation_config)?,
        json("config.json", &files.config)?,
    ] {
        let ids = value.get("eos_token_id").cloned().unwrap_or_default();
        let ids = ids.as_array().cloned().unwrap_or_else(|| vec![ids]);
        for id in ids {
            push(id.as_u64().and_then(|id| u32::try_from(id).ok()));
        }
    }
    let chat_template = match tokenizer_config.get("chat_template") {
        Some(Value::String(text)) => Some(text.clone()),
        // Several named templates: the one called "default".
        Some(Value::Array(list)) => list
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
            .and_then(|entry| entry.get("template"))
            .and_then(Value::as_str)
            .map(str::to_owned),
        _ => None,
    };
    Ok(Parts {
        bos: token("bos_token"),
        config,
        tokenizer,
        chat_template,
        eos,
    })
}

/// Names and shapes of every tensor that a configuration asks for, sorted by name.
pub(crate) fn expected_tensors(config: &ModelConfig) -> Vec<(String, Vec<usize>)> {
    let d = config.d_model;
    let mut list = vec![
        (
            "model.embed_tokens.weight".to_owned(),
            vec![config.vocab, d],
        ),
        ("model.norm.weight".to_owned(), vec![d]),
    ];
    if !config.tied_embeddings {
        list.push(("lm_head.weight".to_owned(), vec![config.vocab, d]));
    }
    for layer in 0..config.layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        for norm in Norm::ALL {
            if let Some(path) = norm.path(config.family.architecture) {
                list.push((name(path), vec![norm.width(config)]));
            }
        }
        for target in crate::adapter::Target::ALL {
            let [out, inner] = target.shape(config);
            list.push((name(&target.path()), vec![out, inner]));
            if config.has_bias(target) {
                list.push((
                    format!("model.layers.{layer}.{}.bias", target.path()),
                    vec![out],
                ));
            }
        }
    }
    list.sort();
    list
}

fn digest(source: &dyn WeightSource, config: &ModelConfig) -> Result<[u8; 32], TuningError> {
    let tensors = expected_tensors(config);
    let hashes: Vec<[u8; 32]> = device::run(|| {
        tensors
            .par_iter()
            .map(|(name, shape)| {
                let mut hasher = Sha256::new();
                for block in source.tensor(name, shape)?.chunks(4096) {
                    let bytes: Vec<u8> = block.iter().flat_map(|x| x.to_le_bytes()).collect();
                    hasher.update(&bytes);
                }
                Ok(hasher.finalize().into())
            })
            .collect::<Result<_, TuningError>>()
    })?;
    let mut hasher = Sha256::new();
    hasher.update(b"fedseal-model-v1\n");
    let text =
        serde_json::to_vec(config).map_err(|error| TuningError::Format(error.to_string()))?;
    hasher.update(&text);
    for ((name, shape), hash) in tensors.iter().zip(hashes) {
        hasher.update(format!("\n{name} {shape:?} {}", hex::encode(hash)));
    }
    Ok(hasher.finalize().into())
}
