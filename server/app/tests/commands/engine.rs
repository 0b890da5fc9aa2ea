//! The commands that use the engine by itself, as a user runs them: the binary, files, exit codes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn fedseal(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fedseal"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The JSON objects that a command prints, one a line.
fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Twelve pairs of which the second half has another answer.
fn data(dir: &Path) -> String {
    let path = dir.join("pairs.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    for i in 0..12 {
        let row = serde_json::json!({
            "instruction": format!("Say a word about colour {i}."), "output": format!("Blue {i}."),
        });
        writeln!(file, "{row}").unwrap();
    }
    path.display().to_string()
}

/// A short training into a folder.
fn short(data: &str, out: &Path) -> Vec<String> {
    let words = [
        "--steps",
        "2",
        "--batch-size",
        "2",
        "--rank",
        "64",
        "--quiet",
    ];
    let out = out.display().to_string();
    let first = ["tune", data, "--out", &out].map(str::to_owned);
    first.into_iter().chain(words.map(str::to_owned)).collect()
}

#[test]
fn an_adapter_names_its_base_and_is_refused_on_another() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (data(dir.path()), dir.path().join("adapter"));
    let words = short(&data, &out);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert!(fedseal(&words).status.success());
    let json = |file: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(out.join(file)).unwrap()).unwrap()
    };
    // PEFT and transformers load the base from the path that the adapter names.
    let base = json("adapter_config.json")["base_model_name_or_path"].clone();
    let base = Path::new(base.as_str().unwrap());
    assert!(base.is_absolute() && base.join("config.json").is_file());
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    let mut record = json("tune.json");
    let digest = record["model"]["digest"].as_str().unwrap().to_owned();
    assert!(card.starts_with("---\nbase_model: ") && card.contains(&digest));
    assert!(card.contains(record["adapter"].as_str().unwrap()));

    let path = out.display().to_string();
    let score = |more: &[&str]| {
        let words = ["score", "--prompt", "a", "b", "--adapter", &path];
        fedseal(&[&words[..], more].concat())
    };
    assert!(score(&[]).status.success());
    record["model"]["digest"] = "0".repeat(64).into();
    std::fs::write(out.join("tune.json"), record.to_string()).unwrap();
    let refused = score(&[]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    let names = ["tune.json", "000000000000", &digest[..12], "--any-base"];
    assert!(names.iter().all(|name| said.contains(name)), "{said}");
    assert!(score(&["--any-base"]).status.success());
}

#[test]
fn tune_writes_an_adapter_that_generate_and_score_use() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (data(dir.path()), dir.path().join("adapter"));
    let out = out.display().to_string();
    let tune = [
        "tune",
        &data,
        "--out",
        &out,
        "--steps",
        "6",
        "--batch-size",
        "4",
    ];
    let tune = [
        &tune[..],
        &["--learning-rate", "0.01", "--rank", "4", "--json"],
    ]
    .concat();
    let events = lines(&fedseal(&tune));
    let names: Vec<&str> = events.iter().filter_map(|e| e["event"].as_str()).collect();
    assert_eq!(names[..2], ["data", "start"]);
    assert_eq!(names.iter().filter(|name| **name == "step").count(), 6);
    assert_eq!(events[0]["layout"], "alpaca");
    assert_eq!(events[0]["conversations"], 12);
    let finished = events.last().unwrap();
    assert_eq!(finished["event"], "finished");
    for file in [
        "adapter_model.safetensors",
        "adapter_config.json",
        "tune.json",
    ] {
        assert!(Path::new(&out).join(file).exists(), "{file}");
    }
    assert!(!Path::new(&out).join("checkpoint.bin").exists());
    // A finished adapter is not written over.
    let again = fedseal(&tune);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("finished adapter"));

    let score = |adapter: &[&str]| {
        let arguments = ["score", "--data", &data, "--json"];
        let rows = lines(&fedseal(&[&arguments[..], adapter].concat()));
        assert_eq!(rows.len(), 12);
        rows.iter()
            .filter_map(|row| row["logprob"].as_f64())
            .sum::<f64>()
    };
    assert!(
        score(&["--adapter", &out]) > score(&[]) + 1.0,
        "nothing was learned"
    );

    let generate = [
        "generate",
        "Say a word about colour 3.",
        "--adapter",
        &out,
        "--json",
    ];
    let answers = lines(&fedseal(&[&generate[..], &["--tokens", "5"]].concat()));
    assert_eq!(answers.len(), 1);
    assert!(answers[0]["tokens"].as_u64().unwrap() <= 5);
    assert_eq!(answers[0]["prompt"], "Say a word about colour 3.");
}

#[test]
fn tune_has_the_knobs_of_a_training() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    let run = |name: &str, more: &[&str]| {
        let out = dir.path().join(name).display().to_string();
        let tune = ["tune", &data, "--out", &out, "--json"];
        (lines(&fedseal(&[&tune[..], more].concat())), out)
    };
    // Twelve examples in batches of two, two batches a step: three steps.
    let common = [
        "--batch-size",
        "2",
        "--accumulation",
        "2",
        "--schedule",
        "cosine",
    ];
    let (usual, out) = run("usual", &[&common[..], &["--warmup-steps", "1"]].concat());
    let rates: Vec<f64> = usual
        .iter()
        .filter_map(|e| e["learning_rate"].as_f64())
        .collect();
    assert_eq!(rates.len(), 3);
    assert_eq!(rates[0], 0.0);
    assert!(rates[1] > rates[2] && rates[2] > 0.0);
    let (again, _) = run(
        "again",
        &[&common[..], &["--warmup-steps", "1", "--recompute"]].concat(),
    );
    let adapter = |events: &[Value]| events.last().unwrap()["adapter"].clone();
    assert_eq!(adapter(&usual), adapter(&again));
    // The first step is at the start, where the proximal term is flat.
    let start = ["--start", &out, "--steps", "3"];
    let (free, _) = run("free", &start);
    let (held, _) = run("held", &[&start[..], &["--proximal", "100"]].concat());
    assert_ne!(adapter(&free), adapter(&held));
    for (arguments, problem) in [
        (&["--schedule", "spiral"][..], "constant, linear, cosine"),
        (&["--proximal", "1"], "--start"),
        (&["--accumulation", "0"], "--accumulation"),
        (
            &["--device", "gpu-of-dreams"],
            "auto, cpu, wgpu, vulkan, cuda",
        ),
    ] {
        let out = dir.path().join("refused").display().to_string();
        let tune = ["tune", &data, "--out", &out];
        let output = fedseal(&[&tune[..], arguments].concat());
        assert_eq!(output.status.code(), Some(2));
        let error = text(&output.stderr);
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn other_kinds_of_adapters_are_tuned_too() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    for method in ["ia3", "norm"] {
        let out = dir.path().join(method).display().to_string();
        let tune = ["tune", &data, "--out", &out, "--steps", "2", "--json"];
        let events = lines(&fedseal(&[&tune[..], &["--method", method]].concat()));
        assert_eq!(events.last().unwrap()["event"], "finished");
        let rows = lines(&fedseal(&[
            "score",
            "--data",
            &data,
            "--adapter",
            &out,
            "--json",
        ]));
        assert_eq!(rows.len(), 12);
        let out = dir.path().join("other").display().to_string();
        let tune = ["tune", &data, "--out", &out, "--method", method];
        let wrong = fedseal(&[&tune[..], &["--rank", "4"]].concat());
        assert_eq!(wrong.status.code(), Some(2));
        assert!(text(&wrong.stderr).contains("belong to --method lora"));
    }
}

#[test]
fn chat_answers_line_by_line_and_remembers() {
    let run = |input: &str, more: &[&str]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fedseal"))
            .args([&["chat", "--tokens", "6", "--json"], more].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        lines(&child.wait_with_output().unwrap())
    };
    let rows = run("Say hello.\n\nSay hello.\n/new\nSay hello.\n", &[]);
    let answers: Vec<&Value> = rows
        .iter()
        .filter(|row| row.get("answer").is_some())
        .collect();
    assert_eq!(answers.len(), 3);
    // After /new nothing is remembered.
    assert_eq!(answers[0], answers[2]);
    let mut pieces = String::new();
    for row in &rows {
        if let Some(piece) = row["piece"].as_str() {
            pieces.push_str(piece);
        } else {
            assert_eq!(row["answer"], pieces.as_str());
            pieces.clear();
        }
    }
    let first = answers[0]["answer"].as_str().unwrap();
    if let Some(stop) = first.chars().nth(2) {
        let stop = stop.to_string();
        let rows = run("Say hello.\n", &["--stop", &stop]);
        let answer = rows.last().unwrap();
        assert_eq!(answer["finish"], "stop");
        assert!(!answer["answer"].as_str().unwrap().contains(&stop));
    }
}

#[test]
fn what_is_wrong_is_said_with_file_row_and_field() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.jsonl");
    std::fs::write(
        &bad,
        "{\"instruction\": \"a\", \"output\": \"b\"}\n{\"instruction\": \"a\", \"output\": 3}\n",
    )
    .unwrap();
    let (bad, out) = (
        bad.display().to_string(),
        dir.path().join("out").display().to_string(),
    );
    let tune = fedseal(&["tune", &bad, "--out", &out]);
    let message = text(&tune.stderr);
    assert_eq!(tune.status.code(), Some(2), "{message}");
    assert!(
        message.contains(&format!("{bad}, row 2, field output: a number")),
        "{message}"
    );
    assert!(message.contains("--skip-bad"), "{message}");
    let skipping = [
        "tune",
        &bad,
        "--out",
        &out,
        "--skip-bad",
        "--json",
        "--steps",
        "1",
    ];
    assert_eq!(lines(&fedseal(&skipping))[0]["bad"], 1);
    let nothing = fedseal(&["score", "--data", "/no/such/file"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing.stderr).contains("/no/such/file"));
    let model = fedseal(&["generate", "x", "--model", "no-such-model"]);
    assert_eq!(model.status.code(), Some(2));
    assert!(text(&model.stderr).contains("no-such-model"));
}

#[test]
fn rows_that_are_left_out_or_cut_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let row = |prompt: &str, answer: &str| {
        format!("{}\n", json!({ "instruction": prompt, "output": answer }))
    };
    let rows = [
        "{\"instruction\": 1}\n".to_owned(),
        row("Say a word.", "Blue."),
        row("Say a word.", ""),
        row(&"Say a word. ".repeat(100), "Red."),
        row("Say a word.", &"Blue. ".repeat(100)),
    ];
    std::fs::write(path("rows.jsonl"), rows.concat()).unwrap();
    std::fs::write(path("none.json"), "[]").unwrap();
    let (data, none, out) = (path("rows.jsonl"), path("none.json"), path("out"));
    // Fewer rows than a batch: a pass is a step.
    let tune = [
        "tune",
        &none,
        &data,
        "--out",
        &out,
        "--skip-bad",
        "--json",
        "--epochs",
        "2",
        "--rank",
        "2",
        "--max-length",
        "100",
    ];
    let events = lines(&fedseal(&tune));
    assert_eq!(
        (&events[0]["conversations"], &events[0]["layout"]),
        (&json!(0), &json!(null))
    );
    assert_eq!(events[1]["skipped_rows"], json!([3]));
    assert_eq!(events[1]["bad_rows"], json!([1]));
    assert!(events[1]["problem"].as_str().unwrap().contains("row 1"));
    assert_eq!(events[2]["event"], "cut");
    assert_eq!(
        (&events[2]["limit"], &events[2]["limit_of"]),
        (&json!(100), &json!("--max-length"))
    );
    let cut = |side: &str| events[2][side][0].as_str().unwrap().to_owned();
    assert!(
        cut("prompt_rows").ends_with("rows.jsonl, row 4"),
        "{}",
        cut("prompt_rows")
    );
    assert!(
        cut("answer_rows").ends_with("rows.jsonl, row 5"),
        "{}",
        cut("answer_rows")
    );
    assert_eq!(events[3]["steps"], 2);

    // An answer is not cut in a score: rows that do not fit are left out.
    let score = ["score", "--data", &data, "--json"];
    let refused = fedseal(&score);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("row 1, field layout"),
        "{}",
        text(&refused.stderr)
    );
    let scored = fedseal(&[&score[..], &["--skip-bad"]].concat());
    let said = text(&scored.stderr);
    assert_eq!(lines(&scored).len(), 1, "{said}");
    assert!(said.contains("passed over: row 1, 4, 5"), "{said}");
    assert!(said.contains("without an answer: row 3"), "{said}");
}

#[test]
fn answers_are_scored_after_their_prompt() {
    let rows = lines(&fedseal(&[
        "score",
        "--prompt",
        "Say hello.",
        "--json",
        "Hello.",
        "zq zq",
    ]));
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["answer"], "zq zq");
    let per_token =
        |row: &Value| row["logprob"].as_f64().unwrap() / row["tokens"].as_f64().unwrap();
    assert!(per_token(&rows[0]) < 0.0);
    assert!(per_token(&rows[0]) > per_token(&rows[1]));
    let shown = fedseal(&["score", "--prompt", "Say hello.", "Hello."]);
    assert!(text(&shown.stdout).contains("perplexity"));
}
