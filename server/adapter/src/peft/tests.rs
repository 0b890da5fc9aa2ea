use super::*;
use crate::Target;

fn configs() -> [AdapterConfig; 4] {
    let lora = AdapterConfig {
        rank: 3,
        ..AdapterConfig::default()
    };
    let rslora = AdapterConfig {
        rslora: true,
        ..lora.clone()
    };
    let norms = ["input_layernorm", "norm", "post_attention_layernorm"];
    [
        lora,
        rslora,
        AdapterConfig::ia3(&["k_proj", "v_proj", "down_proj"]),
        AdapterConfig::layer_norm(&norms),
    ]
}

#[test]
fn folders_return_every_kind_of_adapter() {
    let model = ModelConfig::tiny();
    for config in configs() {
        let slots = config.checked_slots(&model).unwrap();
        let mut seed = 0.0;
        let tensors = slots.into_iter().map(|(name, slot)| {
            seed += 1.0;
            let count = slot.shape[0] * slot.shape[1];
            let data = (0..count).map(|i| (seed + i as f32).sin()).collect();
            (
                name,
                AdapterTensor {
                    shape: slot.shape,
                    data,
                },
            )
        });
        let adapter = Adapter {
            tensors: tensors.collect(),
            config,
        };
        adapter.check_fits(&model).unwrap();
        let bytes = adapter.to_bytes();
        assert_eq!(Adapter::from_bytes(&bytes).unwrap(), adapter);
        let dir = tempfile::tempdir().unwrap();
        adapter.save_peft(dir.path(), Some("base")).unwrap();
        assert_eq!(Adapter::load_peft(dir.path(), &model).unwrap(), adapter);
    }
}

/// Writes a folder with pairs of these ranks; the values count up through the file.
fn folder(config: &Value, pairs: &[(&str, usize)]) -> tempfile::TempDir {
    let model = ModelConfig::tiny();
    let mut next = 0.0_f32;
    let mut tensors = BTreeMap::new();
    for (path, rank) in pairs {
        let target = Target::parse(path.rsplit('.').next().unwrap()).unwrap();
        let [out, inner] = target.shape(&model);
        for (side, shape) in [("A", [*rank, inner]), ("B", [out, *rank])] {
            let values: Vec<f32> = (0..shape[0] * shape[1])
                .map(|_| {
                    next += 0.25;
                    next
                })
                .collect();
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let name = format!("base_model.model.model.{path}.lora_{side}.weight");
            tensors.insert(name, (shape, bytes));
        }
    }
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let view = ::safetensors::tensor::TensorView::new(
            ::safetensors::Dtype::F32,
            shape.to_vec(),
            bytes,
        );
        (name.as_str(), view.unwrap())
    });
    let dir = tempfile::tempdir().unwrap();
    let bytes = ::safetensors::serialize(views, None).unwrap();
    std::fs::write(dir.path().join(WEIGHTS), bytes).unwrap();
    std::fs::write(dir.path().join(CONFIG), config.to_string()).unwrap();
    dir
}

/// The pair's product times its scale: what the adapter adds to a matrix.
fn product(adapter: &Adapter, path: &str) -> Vec<f32> {
    let tensor = |side: &str| {
        let name = format!("base_model.model.model.{path}.lora_{side}.weight");
        adapter.tensors.get(&name).unwrap()
    };
    let (a, b) = (tensor("A"), tensor("B"));
    let [rank, inner] = a.shape;
    let mut sum = Vec::new();
    for row in b.data.chunks_exact(rank) {
        for column in 0..inner {
            let terms = row.iter().enumerate();
            let value: f32 = terms
                .map(|(k, left)| left * a.data[k * inner + column])
                .sum();
            sum.push(value * adapter.config.scale());
        }
    }
    sum
}

#[test]
fn ranks_and_scales_by_module_give_the_same_products() {
    let model = ModelConfig::tiny();
    let (q0, q1) = ("layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj");
    let plain = |rank: usize, alpha: f32| json!({"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": ["q_proj"]});
    let mut own = plain(2, 4.0);
    let more = json!({
        "rank_pattern": {"layers.1.self_attn.q_proj": 4},
        "alpha_pattern": {"layers.1.self_attn.q_proj": 32},
    });
    own.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let adapter = Adapter::load_peft(folder(&own, &[(q0, 2), (q1, 4)]).path(), &model).unwrap();
    adapter.check_fits(&model).unwrap();
    assert_eq!((adapter.config.rank, adapter.config.scale()), (4, 2.0));
    // The values of the second pair go on from the first one's, so both are written in either file.
    let first = folder(&plain(2, 4.0), &[(q0, 2), (q1, 2)]);
    let first = Adapter::load_peft(first.path(), &model).unwrap();
    assert_eq!(product(&adapter, q0), product(&first, q0));
    let mut second = plain(4, 32.0);
    second["rank_pattern"] = json!({"layers.0.self_attn.q_proj": 2});
    let second = folder(&second, &[(q0, 2), (q1, 4)]);
    let second = Adapter::load_peft(second.path(), &model).unwrap();
    assert_eq!(product(&adapter, q1), product(&second, q1));
    assert!(product(&adapter, q1).iter().any(|value| *value != 0.0));
}

#[test]
fn a_scale_that_makes_values_infinite_is_refused() {
    let (q0, q1) = ("layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj");
    let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 1e-38,
        "target_modules": ["q_proj"], "alpha_pattern": {"layers.1.self_attn.q_proj": 1e38}});
    let dir = folder(&config, &[(q0, 2), (q1, 2)]);
    let error = Adapter::load_peft(dir.path(), &ModelConfig::tiny()).unwrap_err();
    assert!(error.to_string().contains("alpha_pattern"), "{error}");
}

#[test]
fn a_layer_that_is_left_out_gets_a_part_that_changes_nothing() {
    let model = ModelConfig::tiny();
    let (q0, q1) = ("layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj");
    let config = |key: &str, value: Value| {
        let mut config =
            json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]});
        config[key] = value;
        config
    };
    for config in [
        config("layers_to_transform", json!([1])),
        config("exclude_modules", json!(r".*\.0\..*")),
        config("target_modules", json!([format!("model.{q1}")])),
        config("target_modules", json!(r".*\.1\.self_attn\.q_proj")),
    ] {
        let dir = folder(&config, &[(q1, 2)]);
        let adapter = Adapter::load_peft(dir.path(), &model).unwrap();
        adapter.check_fits(&model).unwrap();
        assert!(
            product(&adapter, q0).iter().all(|value| *value == 0.0),
            "{config}"
        );
        assert!(
            product(&adapter, q1).iter().any(|value| *value != 0.0),
            "{config}"
        );
        // What is picked must be there, and nothing else may be.
        let missing = Adapter::load_peft(folder(&config, &[(q0, 2)]).path(), &model);
        assert!(missing.is_err(), "{config}");
        let surplus = folder(&config, &[(q0, 2), (q1, 2)]);
        let error = Adapter::load_peft(surplus.path(), &model)
            .unwrap_err()
            .to_string();
        assert!(error.contains(q0), "{error}");
    }
}

#[test]
fn what_is_not_done_names_its_key() {
    let text = |extra: &str| {
        format!(
            r#"{{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["v_proj", "q_proj"]{extra}}}"#
        )
    };
    let config = |text: &[u8]| File::read(text)?.config(&ModelConfig::tiny());
    let good = config(text("").as_bytes()).unwrap();
    assert_eq!(good.targets, ["q_proj", "v_proj"]);
    for (extra, key) in [
        (r#", "use_dora": true"#, "use_dora"),
        (r#", "rank_pattern": {"q_proj": 0.5}"#, "rank_pattern"),
        (r#", "rank_pattern": {"q_proj": 5000}"#, "rank_pattern"),
        (r#", "alpha_pattern": {"q_proj": 1e300}"#, "alpha_pattern"),
        (r#", "bias": "all""#, "bias"),
        (r#", "target_modules": "all-linear""#, "target_modules"),
        (r#", "target_modules": ["c_attn"]"#, "target_modules"),
        (r#", "peft_type": "PREFIX_TUNING""#, "peft_type"),
        // Off means null or false; an empty value is off only where PEFT treats it so.
        (r#", "layers_to_transform": "0""#, "layers_to_transform"),
        (
            r#", "alora_invocation_tokens": []"#,
            "alora_invocation_tokens",
        ),
        (r#", "use_bdlora": {}"#, "use_bdlora"),
        (r#", "kasa_config": {}"#, "kasa_config"),
        (
            r#", "monteclora_config": {"num_samples": 8}"#,
            "monteclora_config",
        ),
        (r#", "arrow_config": {"top_k": 3}"#, "arrow_config"),
        (r#", "velora_config": {}"#, "velora_config"),
        (r#", "loftq_config": {"loftq_bits": 4}"#, "loftq_config"),
        (r#", "megatron_config": {"tp": 2}"#, "megatron_config"),
        (
            r#", "layer_replication": [[0, 4], [2, 5]]"#,
            "layer_replication",
        ),
        (
            r#", "target_parameters": ["experts.down_proj"]"#,
            "target_parameters",
        ),
        (
            r#", "trainable_token_indices": [1]"#,
            "trainable_token_indices",
        ),
        (r#", "modules_to_save": ["lm_head"]"#, "modules_to_save"),
        (r#", "lora_bias": true"#, "lora_bias"),
        (r#", "ensure_weight_tying": true"#, "ensure_weight_tying"),
        // A key of the future.
        (r#", "use_next_lora": true"#, "use_next_lora"),
        // Values whose type does not match their key.
        (r#", "bias": true"#, "bias"),
        (r#", "use_rslora": "yes""#, "use_rslora"),
        (r#", "lora_dropout": "0.5""#, "lora_dropout"),
        (r#", "lora_alpha": 1e300"#, "alpha"),
        (r#", "r": 2.5"#, "r is"),
        (r#", "r": 4097"#, "rank"),
    ] {
        let error = config(text(extra).as_bytes()).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(CONFIG), "{error}");
    }
}

#[test]
fn pairs_that_begin_with_a_part_of_the_base_are_refused() {
    let read = |start: &str| {
        let text = format!(
            r#"{{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"],
                "init_lora_weights": {start}}}"#
        );
        File::read(text.as_bytes())
    };
    for start in ["true", "false", "null", "\"gaussian\"", "\"orthogonal\""] {
        assert_eq!(read(start).unwrap().rank, 2, "{start}");
    }
    for start in [
        "pissa",
        "pissa_niter_4",
        "olora",
        "OLoRA",
        "corda",
        "loftq",
        "eva",
        "lora_ga",
        "mica",
        "next",
    ] {
        let error = read(&format!("{start:?}")).err().unwrap().to_string();
        let names = [CONFIG, "init_lora_weights", start];
        assert!(names.iter().all(|name| error.contains(name)), "{error}");
    }
    assert!(read("1").is_err());
}

/// `adapter_config.json` as PEFT 0.21.2 writes it for `LoraConfig(r=4, task_type="CAUSAL_LM",
/// target_modules=["v_proj", "q_proj"])`, every key with its default.
#[test]
fn the_defaults_of_peft_are_taken() {
    let text = br#"{
        "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null,
        "auto_mapping": null, "base_model_name_or_path": "base", "bias": "none",
        "corda_config": null, "ensure_weight_tying": false, "eva_config": null,
        "exclude_modules": null, "fan_in_fan_out": false, "inference_mode": true,
        "init_lora_weights": true, "kasa_config": null, "layer_replication": null,
        "layers_pattern": null, "layers_to_transform": null, "loftq_config": {},
        "lora_alpha": 8, "lora_bias": false, "lora_dropout": 0.0, "lora_ga_config": null,
        "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": null,
        "monteclora_config": null, "peft_type": "LORA", "peft_version": "0.21.2",
        "qalora_group_size": 16, "r": 4, "rank_pattern": {}, "revision": null,
        "target_modules": ["v_proj", "q_proj"], "target_parameters": null,
        "task_type": "CAUSAL_LM", "trainable_token_indices": null, "use_bdlora": null,
        "use_dora": false, "use_qalora": false, "use_rslora": false, "velora_config": null
    }"#;
    let read = File::read(text)
        .unwrap()
        .config(&ModelConfig::tiny())
        .unwrap();
    assert_eq!((read.rank, read.alpha, read.rslora), (4, 8.0, false));
    assert_eq!(read.targets, ["q_proj", "v_proj"]);
}
