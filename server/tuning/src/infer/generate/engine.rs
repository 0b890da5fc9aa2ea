//! Engines that read tokens: the kernels, or tensors on devices without kernels.

use crate::{
    Adapter, Model, TuningError,
    adapter::lora::Lora,
    infer::cpu::{CpuDecoder, Text, TextCache},
};

/// Index of a prompt, and its tokens.
pub(super) type Prompt = (usize, Vec<u32>);

/// Engine that reads tokens.
pub(super) enum Engine<'a> {
    /// The kernels alone.
    Cpu(Box<CpuDecoder<'a>>),
    /// Tensors, on any device; also the oracle of the other variant.
    Burn {
        model: &'a Model,
        lora: Option<Box<Lora>>,
    },
}

/// Largest model whose matrices fit the caches of a core, bytes.
const SMALL: usize = 16 << 20;
/// Shortest beginning that is worth reading once for all prompts, tokens.
const SHORTEST_PREFIX: usize = 8;

impl<'a> Engine<'a> {
    pub(super) fn new(model: &'a Model, adapter: Option<&Adapter>) -> Result<Self, TuningError> {
        if let Some(decoder) = CpuDecoder::new(model.decoder(), adapter)? {
            return Ok(Self::Cpu(Box::new(decoder)));
        }
        Self::burn(model, adapter)
    }

    pub(super) fn burn(model: &'a Model, adapter: Option<&Adapter>) -> Result<Self, TuningError> {
        let lora = adapter
            .map(|adapter| Lora::upload(adapter, model.config(), model.device(), false))
            .transpose()?
            .map(Box::new);
        Ok(Self::Burn { model, lora })
    }

    pub(super) fn is_small(&self) -> bool {
        matches!(self, Self::Cpu(decoder) if decoder.bytes() <= SMALL)
    }

    /// Reads the beginning that all prompts share (mostly that of a template). The following tokens
    /// get the same bits with and without it.
    pub(super) fn read_prefix(&self, prompts: &[Prompt]) -> Option<TextCache> {
        let Self::Cpu(decoder) = self else {
            return None;
        };
        let [(_, first), rest @ ..] = prompts else {
            return None;
        };
        let shared = rest.iter().fold(first.len() - 1, |shared, (_, ids)| {
            let equal = first.iter().zip(ids).take_while(|(a, b)| a == b).count();
            shared.min(equal).min(ids.len() - 1)
        });
        if rest.is_empty() || shared < SHORTEST_PREFIX {
            return None;
        }
        let mut cache = decoder.cache(shared);
        decoder.read(&mut [Text {
            cache: &mut cache,
            ids: &first[..shared],
        }]);
        Some(cache)
    }
}
