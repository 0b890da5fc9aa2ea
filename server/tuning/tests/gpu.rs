//! Compares a device with the CPU. `cargo xtask test` builds this with the feature `wgpu` and runs
//! it on Mesa's software Vulkan; any real GPU works as well. It sets `FEDSEAL_GPU_TEST=1`; without
//! it the test passes on a machine that has no Vulkan driver.

#[cfg(not(feature = "wgpu"))]
#[test]
fn a_build_without_the_feature_says_so() {
    let asked = std::env::var_os("FEDSEAL_GPU_TEST").is_some();
    assert!(!asked, "built without the feature fedseal/wgpu");
    let error = fedseal_tuning::device("wgpu").unwrap_err().to_string();
    assert!(error.contains("--features fedseal/wgpu"), "{error}");
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use std::{ops::ControlFlow, path::PathBuf};

    use fedseal_tuning::*;

    fn embedded(device: Device) -> Model {
        embedded_in(device, Numerics::Exact)
    }

    fn embedded_in(device: Device, numerics: Numerics) -> Model {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../federation/model");
        let options = ModelOptions {
            device,
            numerics,
            ..ModelOptions::default()
        };
        Model::load(&folder, &options).unwrap()
    }

    /// Returns the device; `None` where there is none and none was required.
    fn wgpu() -> Option<Device> {
        match device("wgpu") {
            Ok(device) => Some(device),
            Err(error) => {
                let asked = std::env::var_os("FEDSEAL_GPU_TEST").is_some();
                assert!(!asked, "this test needs a device for wgpu: {error}");
                None
            }
        }
    }

    fn examples() -> Vec<Example> {
        ["red", "green", "blue"]
            .iter()
            .enumerate()
            .map(|(i, colour)| {
                let prompt = format!("Name colour {i} of the list.");
                Example::new(
                    prompt,
                    format!("The colour is {colour}, as it was {i} days ago."),
                )
            })
            .collect()
    }

    fn train_once(model: &Model, start: &Adapter, steps: usize) -> Trained {
        let config = TrainConfig {
            steps,
            batch_size: 3,
            learning_rate: 1e-2,
            weight_decay: 0.01,
            ..TrainConfig::default()
        };
        train(model, start, &examples(), &config, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
    }

    #[test]
    fn a_whole_training_step_is_that_of_the_cpu() {
        let Some(device) = wgpu() else { return };
        assert_eq!(DeviceKind::of(&device), DeviceKind::Wgpu);
        let (cpu, gpu) = (embedded(Device::flex()), embedded(device));
        assert_eq!(cpu.digest(), gpu.digest());
        assert!(
            fingerprint(&gpu).ends_with("wgpu f32"),
            "{}",
            fingerprint(&gpu)
        );
        let fresh = Adapter::init(&AdapterConfig::default(), cpu.config(), 1).unwrap();
        // In a fresh adapter only one of the two matrices has gradients.
        let start = train_once(&cpu, &fresh, 3).adapter;
        let (ours, theirs) = (train_once(&cpu, &start, 1), train_once(&gpu, &start, 1));
        let loss = (ours.losses[0] - theirs.losses[0]).abs();
        assert!(
            loss < 1e-3,
            "losses {:?} and {:?}",
            ours.losses,
            theirs.losses
        );
        let step = ours.adapter.sub(&start).unwrap().norm_l2();
        let error = ours.adapter.sub(&theirs.adapter).unwrap().norm_l2();
        eprintln!(
            "loss differs by {loss:e}, the step by {:e} of its length",
            error / step
        );
        assert!(step > 0.1, "the step is {step} long");
        assert!(error / step < 1e-3, "{error} of {step}");
    }

    #[test]
    fn texts_and_scores_are_those_of_the_cpu() {
        let Some(device) = wgpu() else { return };
        let (cpu, gpu) = (embedded(Device::flex()), embedded(device));
        let prompts = ["Name a colour.".to_owned(), "What is a list?".to_owned()];
        let config = GenerateConfig {
            max_new_tokens: 8,
            ..GenerateConfig::default()
        };
        let [ours, theirs] =
            [&cpu, &gpu].map(|model| generate(model, None, &prompts, &config).unwrap());
        assert_eq!(ours, theirs);
        let ids = cpu.encode_prompt(&prompts[0]).unwrap();
        let [ours, theirs] = [&cpu, &gpu].map(|model| next_logits(model, None, &ids).unwrap());
        let largest = ours
            .iter()
            .zip(&theirs)
            .fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(largest < 1e-3, "logits differ by {largest}");
    }

    #[test]
    fn fast_mode_is_near_exact_mode() {
        let Some(device) = wgpu() else { return };
        let exact = embedded(device.clone());
        let fast = embedded_in(device, Numerics::Fast);
        let ids = exact.encode_prompt("Name a colour.").unwrap();
        let [exact, fast] = [&exact, &fast].map(|model| next_logits(model, None, &ids).unwrap());
        let size = exact.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        for (exact, fast) in exact.iter().zip(&fast) {
            // 0 where the device has no bf16.
            assert!((exact - fast).abs() <= 0.03 * size, "{exact} and {fast}");
        }
    }

    #[test]
    fn rules_are_those_of_the_cpu() {
        use fedseal_tuning::kernels::{columns, distances, tests_support::noise};

        let Some(device) = wgpu() else { return };
        let rows: Vec<Vec<f32>> = (1..8).map(|seed| noise(70_000, seed)).collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let near = |own: &[f32], found: &[f32]| {
            let size = own.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let pairs = own.iter().zip(found);
            let apart = pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            eprintln!("{:e} of the largest value apart", apart / size);
            assert!(own.len() == found.len() && apart <= 1e-6 * size);
        };
        let weights = [0.1, 0.2, 0.05, 0.15, 0.1, 0.3, 0.1];
        let found = aggregation::fed_avg(&rows, &weights, &device).unwrap();
        near(&columns::weighted_sum(&rows, &weights), &found.unwrap());
        let own = columns::lower_median(&rows);
        let found = aggregation::lower_median(&rows, &device).unwrap();
        assert_eq!((own.values, own.counted), (found.values, found.counted));
        let own = columns::trimmed_mean(&rows, 2);
        let found = aggregation::trimmed_mean(&rows, 2, &device).unwrap();
        let found = found.unwrap();
        near(&own.values, &found.values);
        assert_eq!(own.counted, found.counted);
        let within = |own: f64, found: f64, size: f64| {
            assert!((own - found).abs() <= 2.0 * aggregation::ERROR * size);
        };
        let own = distances::exact(&rows);
        let found = aggregation::krum(&rows, &device).unwrap().unwrap();
        for (own, found) in own.iter().flatten().zip(found.iter().flatten()) {
            within(*own, *found, *own);
        }
        let own = aggregation::dnc(&rows, &Device::flex()).unwrap();
        let found = aggregation::dnc(&rows, &device).unwrap();
        for (i, (own_row, found)) in own.iter().zip(&found).enumerate() {
            for (j, (a, b)) in own_row.iter().zip(found).enumerate() {
                within(*a, *b, (own[i][i] * own[j][j]).sqrt());
            }
        }
    }
}
