//! Another kind of adapter for an arm (Li, Ngai, Ye and Voigt 2024, "PEFT-as-an-Attack!", who compare LoRA,
//! (IA)^3 and LayerNorm tuning): before the first round (`when = "first"`) the first adapter is replaced by a
//! fresh one, which every client of the arm then trains. Its executing half is
//! `server/federation/src/defence/peft.rs`.
//!
//! `ia3` has factors of keys, values and the feed-forward activations, as its authors do (Liu et al. 2022);
//! `layer-norm` has the weights of all norms (Zhao et al. 2023).

use fedseal_adapter::{Adapter, Method};

use super::data::DefenceData;
use super::definition::{Case, Definition};

/// Name of the kind of factors.
pub const IA3: &str = "ia3";
/// Name of the kind of norms.
pub const LAYER_NORM: &str = "layer-norm";

/// Definition of the kind of factors.
pub const IA3_DEFINITION: Definition = Definition {
    name: IA3,
    title: "(IA)^3",
    help: "replaces the first adapter by factors of keys, values and activations (Liu et al. 2022)",
    version: 1,
    numbers: &[],
    audit: |_, data, made| fresh(data, made, Method::Ia3),
    compute: None,
};

/// Definition of the kind of norms.
pub const LAYER_NORM_DEFINITION: Definition = Definition {
    name: LAYER_NORM,
    title: "LayerNorm tuning",
    help: "replaces the first adapter by the weights of the norms (Zhao et al. 2023)",
    version: 1,
    numbers: &[],
    audit: layer_norm,
    compute: None,
};

fn layer_norm(_: &Case<'_>, data: &DefenceData, made: &Adapter) -> Result<(), String> {
    // Its values are the base's own, which an auditor does not have.
    fresh(data, made, Method::LayerNorm)
}

/// Checks that it is an adapter of the kind, and factors that change nothing yet.
fn fresh(data: &DefenceData, made: &Adapter, method: Method) -> Result<(), String> {
    if !data.has(&[], &[]) {
        return Err("has counts or lists, of which a fresh adapter has none".into());
    }
    if made.config.method != method {
        return Err(format!("gives an adapter that is no {method:?}"));
    }
    let mut values = made.tensors.values().flat_map(|tensor| &tensor.data);
    match method == Method::Ia3 && values.any(|value| *value != 1.0) {
        true => Err("gives factors that are not fresh".into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use fedseal_adapter::{AdapterConfig, ModelConfig};

    use super::*;

    #[test]
    fn factors_are_fresh_and_of_their_kind() {
        let config = AdapterConfig::ia3(&["k_proj", "v_proj", "down_proj"]);
        let mut made = Adapter::init(&config, &ModelConfig::tiny(), 1).unwrap();
        let data = DefenceData::new(IA3);
        assert_eq!(fresh(&data, &made, Method::Ia3), Ok(()));
        assert!(fresh(&data, &made, Method::LayerNorm).is_err());
        assert!(fresh(&data.clone().count("x", 1), &made, Method::Ia3).is_err());
        let tensor = made.tensors.values_mut().next().unwrap();
        tensor.data[0] = 0.5;
        assert!(fresh(&data, &made, Method::Ia3).is_err());
    }
}
