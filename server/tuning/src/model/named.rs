//! The tensors of a safetensors checkpoint under the names that the decoder asks for.

use std::ops::Range;

use fedseal_adapter::safetensors::SafetensorsSource;

use crate::{ModelConfig, TuningError, model::weights::WeightSource, ops::Stored};

const PREFIX: &str = "model.";
const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// A checkpoint whose names may lack the `model.` prefix (one of the decoder without its head), and which
/// may hold the tied matrix as the head alone.
pub(super) struct Named {
    source: SafetensorsSource,
    bare: bool,
    /// Whether the embedding is read from the head.
    only_head: bool,
}

impl Named {
    /// Looks at a checkpoint's names. A configuration that ties two matrices which differ in the file is
    /// changed: both are used, as transformers does.
    pub(super) fn new(
        source: SafetensorsSource,
        config: &mut ModelConfig,
    ) -> Result<Self, TuningError> {
        let has = |wanted: &str| source.names().any(|name| name == wanted);
        let bare = !source.names().any(|name| name.starts_with(PREFIX));
        let embedding = stripped(EMBEDDING, bare);
        let (has_embedding, has_head) = (has(embedding), has(HEAD));
        if config.tied_embeddings && has_embedding && has_head {
            let shape = [config.vocab, config.d_model];
            let same_bytes = source.raw(embedding, &shape)? == source.raw(HEAD, &shape)?;
            let same = same_bytes
                || SafetensorsSource::tensor(&source, embedding, &shape)?
                    == SafetensorsSource::tensor(&source, HEAD, &shape)?;
            config.tied_embeddings = same;
        }
        let only_head = config.tied_embeddings && has_head && !has_embedding;
        Ok(Self {
            source,
            bare,
            only_head,
        })
    }

    /// The name in the file.
    fn name<'n>(&self, name: &'n str) -> &'n str {
        match name {
            EMBEDDING if self.only_head => HEAD,
            _ => stripped(name, self.bare),
        }
    }
}

fn stripped(name: &str, bare: bool) -> &str {
    match name.strip_prefix(PREFIX) {
        Some(rest) if bare => rest,
        _ => name,
    }
}

impl WeightSource for Named {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TuningError> {
        WeightSource::tensor(&self.source, self.name(name), shape)
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Stored, TuningError> {
        self.source.matrix(self.name(name), shape)
    }

    fn rows(
        &self,
        name: &str,
        shape: [usize; 2],
        rows: Range<usize>,
    ) -> Result<Stored, TuningError> {
        self.source.rows(self.name(name), shape, rows)
    }
}
