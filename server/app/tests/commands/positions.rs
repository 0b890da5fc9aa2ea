//! Commands whose prompts and answers come near the end of the embedded model's 256 positions: the
//! prompt is read as a whole, and what does not fit is said.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn fedseal(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fedseal"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(input.as_bytes()).unwrap();
    drop(pipe);
    child.wait_with_output().unwrap()
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

/// Error text of a command that refuses with exit code 2.
fn refused(arguments: &[&str], input: &str) -> String {
    let output = fedseal(arguments, input);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    said
}

const QUESTION: &str = "Reverse the letters of stone.";

#[test]
fn chat_answers_with_all_defaults() {
    let output = fedseal(&["chat"], &format!("{QUESTION}\n"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let answer = text(&output.stdout);
    let asked = lines(&fedseal(&["generate", QUESTION, "--json"], ""));
    assert_eq!(answer.trim(), asked[0]["text"].as_str().unwrap().trim());
}

#[test]
fn more_tokens_than_there_are_change_no_answer() {
    let ask = |tokens: &str| {
        let rows = lines(&fedseal(
            &["generate", QUESTION, "--tokens", tokens, "--json"],
            "",
        ));
        assert_eq!(rows[0]["finish"], "end", "{rows:?}");
        rows
    };
    let usual = ask("16");
    for tokens in ["254", "256", "1000000"] {
        assert_eq!(ask(tokens), usual);
    }
}

#[test]
fn a_conversation_that_outgrows_the_positions_says_what_it_drops() {
    let rows = lines(&fedseal(
        &["chat", "--json"],
        &format!("{QUESTION}\n").repeat(20),
    ));
    let answers = rows.iter().filter(|row| row.get("answer").is_some());
    assert_eq!(answers.count(), 20);
    let dropped: Vec<&Value> = rows
        .iter()
        .filter(|row| row.get("dropped").is_some())
        .collect();
    assert!(!dropped.is_empty(), "{rows:?}");
    // Whole turns: a question with its answer.
    let turns = |row: &&Value| row["dropped"].as_u64().unwrap_or(1).is_multiple_of(2);
    assert!(
        dropped
            .iter()
            .all(|row| turns(row) && row["positions"] == 256)
    );
    let shown = fedseal(&["chat"], &format!("{QUESTION}\n").repeat(20));
    let said = text(&shown.stderr);
    assert!(said.contains("outgrew") && said.contains("256"), "{said}");
}

#[test]
fn what_does_not_fit_is_refused_with_both_numbers() {
    let long = "Reverse the letters of stone. ".repeat(60);
    let said = [
        refused(&["generate", &long], ""),
        refused(&["chat"], &format!("{long}\n")),
        refused(&["score", "--prompt", &long, "a"], ""),
    ];
    for said in said {
        let tokens = said
            .split(' ')
            .filter_map(|word| word.parse::<usize>().ok());
        let numbers: Vec<usize> = tokens.filter(|number| *number >= 256).collect();
        assert!(
            numbers.contains(&256) && numbers.iter().any(|n| *n > 256),
            "{said}"
        );
        assert!(said.contains("shorten"), "{said}");
    }
}

#[test]
fn tune_says_how_many_examples_it_cut() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("pairs.jsonl");
    let row = |prompt: String| serde_json::json!({ "instruction": prompt, "output": "Blue." });
    let rows = [row("Say a word.".into()), row("Say a word. ".repeat(100))];
    std::fs::write(&data, format!("{}\n{}\n", rows[0], rows[1])).unwrap();
    let (data, out) = (data.display().to_string(), dir.path().join("out"));
    let out = out.display().to_string();
    let tune = [
        "tune",
        &data,
        "--out",
        &out,
        "--steps",
        "1",
        "--batch-size",
        "2",
    ];
    let events = lines(&fedseal(
        &[&tune[..], &["--rank", "2", "--json"]].concat(),
        "",
    ));
    assert_eq!(events.last().unwrap()["cut"], 1);
}

#[test]
fn options_out_of_range_are_refused_by_name_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("pairs.jsonl");
    std::fs::write(&data, "{\"instruction\": \"a\", \"output\": \"b\"}\n").unwrap();
    let (data, out) = (data.display().to_string(), dir.path().join("out"));
    let tune = |more: &[&str]| {
        let out = out.display().to_string();
        refused(&[&["tune", &data, "--out", &out], more].concat(), "")
    };
    for (option, value, named) in [
        ("--steps", "18446744073709551615", "steps"),
        ("--epochs", "1e300", "steps"),
        ("--learning-rate", "nan", "learning_rate"),
        ("--learning-rate", "inf", "learning_rate"),
        ("--weight-decay", "-1", "weight_decay"),
        ("--max-length", "1", "max_length"),
        ("--rank", "18446744073709551615", "rank"),
        ("--rank", "0", "rank"),
        ("--dropout", "1", "dropout"),
        ("--alpha", "inf", "alpha"),
        ("--threads", "100000", "1024"),
    ] {
        let option = format!("{option}={value}");
        let said = tune(&[&option]);
        assert!(said.contains(named), "{option}: {said}");
    }
    assert!(!out.exists());
    for (option, named) in [
        ("--temperature=nan", "temperature"),
        ("--top-p=0", "top_p"),
        ("--stop=", "stop"),
    ] {
        let said = refused(&["generate", "a", option], "");
        assert!(said.contains(named), "{option}: {said}");
    }
}
