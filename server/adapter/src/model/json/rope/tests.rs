use super::*;

fn read_as(architecture: Architecture, map: Value) -> Result<Rope, AdapterError> {
    read(map.as_object().unwrap(), architecture.row(), 128, 4)
}

fn read_scaling(scaling: Value) -> Result<Rope, AdapterError> {
    read_as(Architecture::Llama, json!({ "rope_scaling": scaling }))
}

#[test]
fn scalings_survive_their_json() {
    for (value, positions) in [
        (
            json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32 }),
            128,
        ),
        (
            json!({ "type": "yarn", "original_max_position_embeddings": 16, "mscale": 0.7,
                    "mscale_all_dim": 0.5, "beta_fast": 16.0, "beta_slow": 2, "truncate": false }),
            128,
        ),
        (
            json!({ "rope_type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2, 4],
                    "original_max_position_embeddings": 64 }),
            64,
        ),
    ] {
        let rope = read_scaling(value).unwrap();
        assert_eq!(rope.positions, positions);
        let json = scaling_json(&rope.scaling).unwrap();
        let map = json!({ "rope_scaling": json, "original_max_position_embeddings":
                          if positions < 128 { json!(positions) } else { Value::Null } });
        let again = read_as(Architecture::Llama, map).unwrap();
        assert_eq!(again.scaling, rope.scaling);
        assert_eq!(again.positions, rope.positions);
    }
}

#[test]
fn broken_scalings_are_errors() {
    for value in [
        json!({ "rope_type": "yarn", "factor": 0.0 }),
        json!({ "rope_type": "yarn", "factor": "4" }),
        json!({ "rope_type": "yarn", "factor": 4.0, "beta_fast": -1 }),
        json!({ "rope_type": "yarn", "original_max_position_embeddings": 0 }),
        json!({ "rope_type": "longrope" }),
        json!({ "rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0, 2.0] }),
        json!({ "rope_type": "longrope", "short_factor": [1.0, 0.0], "long_factor": [1.0, 2.0] }),
        json!({ "rope_type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [1.0, 2.0],
                "original_max_position_embeddings": 1 }),
        json!({ "rope_type": "spiral" }),
    ] {
        assert!(read_scaling(value.clone()).is_err(), "{value}");
    }
}

/// Expected values: `rope_parameters` of transformers 5.24's configuration of the same file.
#[test]
fn bases_are_those_of_transformers() {
    use Architecture::{Gemma3, Llama, Olmo3, SmolLm3};
    for (architecture, map, theta, local) in [
        (Llama, json!({}), 1e4, None),
        (SmolLm3, json!({}), 2e6, None),
        (Llama, json!({ "rope_theta": 5e5 }), 5e5, None),
        (
            Llama,
            json!({ "rope_theta": 5e5, "rope_parameters": { "rope_theta": 7.0 } }),
            7.0,
            None,
        ),
        (
            Llama,
            json!({ "rope_theta": 5e5, "rope_scaling": { "rope_theta": 7.0, "type": "default" } }),
            7.0,
            None,
        ),
        (
            Llama,
            json!({ "rope_scaling": { "type": "linear", "factor": 2.0, "rope_theta": 7.0 },
                    "rope_parameters": { "rope_type": "linear", "factor": 2, "rope_theta": 7 } }),
            7.0,
            None,
        ),
        (Gemma3, json!({}), 1e6, Some(1e4)),
        (
            Gemma3,
            json!({ "rope_theta": 9.0, "rope_local_base_freq": 8.0,
                    "rope_scaling": { "rope_type": "linear", "factor": 8.0 } }),
            9.0,
            Some(8.0),
        ),
        (
            Gemma3,
            json!({ "rope_theta": 9.0, "rope_parameters": {
                "full_attention": { "rope_type": "default" },
                "sliding_attention": { "rope_type": "default", "rope_theta": 6.0 } } }),
            9.0,
            Some(6.0),
        ),
        (Olmo3, json!({ "rope_theta": 9.0 }), 9.0, Some(5e5)),
    ] {
        let rope = read_as(architecture, map.clone()).unwrap();
        assert_eq!((rope.theta, rope.local_theta), (theta, local), "{map}");
    }
}

#[test]
fn the_first_length_beside_the_settings_goes_first() {
    let scaling = json!({ "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                          "high_freq_factor": 4.0, "original_max_position_embeddings": 64 });
    let map = json!({ "rope_scaling": scaling, "original_max_position_embeddings": 32 });
    let first = |map| match read_as(Architecture::Llama, map).unwrap().scaling {
        RopeScaling::Llama3 {
            original_positions, ..
        }
        | RopeScaling::Yarn {
            original_positions, ..
        } => original_positions,
        other => panic!("{other:?}"),
    };
    assert_eq!(first(map), 32.0);
    assert_eq!(first(json!({ "rope_scaling": scaling })), 64.0);
    // A text that was cut below the first length does not change it.
    let yarn =
        json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512 });
    assert_eq!(first(json!({ "rope_parameters": yarn })), 512.0);
}

#[test]
fn what_transformers_would_pass_over_is_refused() {
    use Architecture::{Gemma3, Llama, Phi3, Qwen3};
    let linear = json!({ "rope_type": "linear", "factor": 2.0 });
    for (architecture, map, keys) in [
        (
            Llama,
            json!({ "rope_scaling": linear, "rope_parameters": { "rope_type": "default" } }),
            ["rope_parameters", "rope_scaling"],
        ),
        (
            Llama,
            json!({ "rope_scaling": { "rope_type": "default", "rope_theta": 5.0 },
                    "rope_parameters": { "rope_type": "default", "rope_theta": 6.0 } }),
            ["rope_parameters", "rope_scaling"],
        ),
        (
            Gemma3,
            json!({ "rope_parameters": linear }),
            ["rope_parameters.", "full_attention"],
        ),
        (
            Qwen3,
            json!({ "rope_parameters": { "full_attention": linear } }),
            ["rope_parameters.full_attention", "qwen3"],
        ),
        (
            Llama,
            json!({ "partial_rotary_factor": 0.5 }),
            ["partial_rotary_factor", "llama"],
        ),
        (
            Phi3,
            json!({ "rope_scaling": linear }),
            ["rope_type", "phi3"],
        ),
        (
            Llama,
            json!({ "rope_scaling": [1] }),
            ["rope_scaling", "[1]"],
        ),
    ] {
        let error = read_as(architecture, map.clone()).unwrap_err().to_string();
        assert!(keys.iter().all(|key| error.contains(key)), "{map}: {error}");
    }
}
