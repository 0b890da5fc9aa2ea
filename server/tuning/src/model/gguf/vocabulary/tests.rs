use std::collections::BTreeMap;

use super::*;
use crate::ModelConfig;

/// A vocabulary of llama.cpp's tests, cut down by `tests/fixtures/gguf_vocabularies.py`.
#[derive(serde::Deserialize)]
struct Case {
    model: String,
    pre: String,
    tokens: Vec<String>,
    types: Vec<i64>,
    merges: Option<Vec<String>>,
    scores: Option<Vec<f32>>,
    bos: Option<i64>,
    unknown: Option<i64>,
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
}

fn cases() -> BTreeMap<String, Case> {
    let text = include_bytes!("../../../../tests/fixtures/gguf_vocabularies.json");
    serde_json::from_slice(text).unwrap()
}

fn metadata(case: &Case) -> Metadata {
    let mut metadata = Metadata::default();
    let mut insert = |key: &str, value: Value| {
        metadata
            .insert(format!("tokenizer.ggml.{key}"), value)
            .unwrap();
    };
    insert("model", Value::Text(case.model.clone()));
    insert("pre", Value::Text(case.pre.clone()));
    insert("tokens", Value::Texts(case.tokens.clone()));
    insert("token_type", Value::Integers(case.types.clone()));
    if let Some(merges) = &case.merges {
        insert("merges", Value::Texts(merges.clone()));
    }
    if let Some(scores) = &case.scores {
        insert("scores", Value::Numbers(scores.clone()));
    }
    for (key, id) in [
        ("bos_token_id", case.bos),
        ("unknown_token_id", case.unknown),
    ] {
        if let Some(id) = id {
            insert(key, Value::Integer(id));
        }
    }
    metadata
}

fn read(metadata: &Metadata, vocab: usize) -> Result<Parts, TuningError> {
    let config = ModelConfig {
        vocab,
        ..ModelConfig::tiny()
    };
    parts(metadata, config)
}

#[test]
fn texts_have_the_ids_of_llama_cpp() {
    for (name, case) in cases() {
        let parts = read(&metadata(&case), case.tokens.len()).unwrap();
        for (text, ids) in case.texts.iter().zip(&case.ids) {
            let ours = parts.tokenizer.encode(text, false).unwrap();
            let shown: Vec<&str> = ours
                .iter()
                .map(|id| case.tokens[*id as usize].as_str())
                .collect();
            assert_eq!(&ours, ids, "{name}: {text:?}: {shown:?}");
        }
    }
}

#[test]
fn texts_return_from_their_ids() {
    for (name, case) in cases() {
        let parts = read(&metadata(&case), case.tokens.len()).unwrap();
        for (text, ids) in case.texts.iter().zip(&case.ids) {
            assert_eq!(&parts.tokenizer.decode(ids).unwrap(), text, "{name}");
        }
    }
}

#[test]
fn a_first_token_is_that_of_the_file_or_of_its_kind() {
    let cases = cases();
    for (name, usual) in [("llama-spm", true), ("llama-bpe", true), ("qwen2", false)] {
        let case = &cases[name];
        let ids = |metadata: &Metadata| {
            let parts = read(metadata, case.tokens.len()).unwrap();
            parts.tokenizer.encode("3", true).unwrap()
        };
        let plain = read(&metadata(case), case.tokens.len()).unwrap();
        let plain = plain.tokenizer.encode("3", false).unwrap();
        let with: Vec<u32> = case
            .bos
            .iter()
            .map(|id| *id as u32)
            .chain(plain.clone())
            .collect();
        for (says, first) in [(None, usual), (Some(true), true), (Some(false), false)] {
            let mut metadata = metadata(case);
            if let Some(says) = says {
                let key = "tokenizer.ggml.add_bos_token".to_owned();
                metadata.insert(key, Value::Bool(says)).unwrap();
            }
            assert_eq!(
                &ids(&metadata),
                if first { &with } else { &plain },
                "{name}"
            );
        }
    }
}

#[test]
fn broken_vocabularies_are_errors() {
    let error = |name: &str, change: fn(&mut Case)| {
        let mut case = cases().remove(name).unwrap();
        change(&mut case);
        match read(&metadata(&case), case.tokens.len()) {
            Ok(_) => panic!("{name} loads"),
            Err(error) => error.to_string(),
        }
    };
    type Change = fn(&mut Case);
    let changes: [(&str, Change, &str); 10] = [
        ("qwen2", |case| case.pre = "default".to_owned(), "default"),
        ("qwen2", |case| case.merges = None, "tokenizer.ggml.merges"),
        (
            "qwen2",
            |case| drop(case.types.pop()),
            "tokenizer.ggml.token_type",
        ),
        ("qwen2", |case| case.model = "rwkv".to_owned(), "rwkv"),
        (
            "qwen2",
            |case| case.tokens[7] = case.tokens[8].clone(),
            "occurs twice",
        ),
        (
            "qwen2",
            |case| case.tokens[7] = "x".repeat(5000),
            "5000 bytes",
        ),
        (
            "llama-spm",
            |case| case.scores = None,
            "tokenizer.ggml.scores",
        ),
        (
            "llama-spm",
            |case| case.scores = Some(vec![0.0; 3]),
            "tokenizer.ggml.scores",
        ),
        (
            "llama-spm",
            |case| case.scores = Some(vec![f32::NAN; case.tokens.len()]),
            "not a number",
        ),
        (
            "llama-spm",
            |case| case.tokens[300] = "x".repeat(300),
            "256 bytes",
        ),
    ];
    for (name, change, words) in changes {
        let error = error(name, change);
        assert!(error.contains(words), "{words}: {error}");
    }
}

/// Found in gemma's files: the end of a turn is not the end of a text, but the template writes it.
#[test]
fn ends_of_turns_are_those_of_the_template() {
    let mut case = cases().remove("qwen2").unwrap();
    let id = case.tokens.len();
    case.tokens.push("<end_of_turn>".to_owned());
    case.types.push(CONTROL);
    let mut with = metadata(&case);
    assert!(read(&with, id + 1).unwrap().eos.is_empty());
    let template = Value::Text("{{ messages[0].content }}<end_of_turn>".to_owned());
    with.insert("tokenizer.chat_template".to_owned(), template)
        .unwrap();
    assert_eq!(read(&with, id + 1).unwrap().eos, [id as u32]);
}
