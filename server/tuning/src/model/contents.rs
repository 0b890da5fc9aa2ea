//! The tensors of a model, and the digest over them.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use fedseal_adapter::Norm;
use fedseal_kernels::pool;

use crate::{ModelConfig, TuningError, model::weights::WeightSource};

/// Returns names and shapes of every tensor that a configuration requires, sorted by name.
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
        for module in config.modules() {
            let [out, inner] = module.shape(config);
            list.push((name(module.path), vec![out, inner]));
            if module.parts.iter().any(|part| config.has_bias(*part)) {
                list.push((
                    format!("model.layers.{layer}.{}.bias", module.path),
                    vec![out],
                ));
            }
        }
    }
    list.sort();
    list
}

/// SHA-256 over the configuration and every tensor as f32.
pub(super) fn digest(
    source: &dyn WeightSource,
    config: &ModelConfig,
) -> Result<[u8; 32], TuningError> {
    let tensors = expected_tensors(config);
    let hashes: Vec<[u8; 32]> = pool::run(|| {
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
    hasher.update(serde_json::to_vec(config)?);
    for ((name, shape), hash) in tensors.iter().zip(hashes) {
        hasher.update(format!("\n{name} {shape:?} {}", hex::encode(hash)));
    }
    Ok(hasher.finalize().into())
}
