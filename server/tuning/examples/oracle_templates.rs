//! The engine's part of `cargo xtask oracle templates`: renders conversations with chat templates, and
//! compares the texts with those of transformers.
//!
//!     oracle_templates TEMPLATES.jsonl
//!
//! Each line has a template, the texts of special tokens, a date, and cases: the input of a rendering with
//! the text that transformers wrote, or why it refused. Prints the figures as JSON.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead as _, BufReader};

use fedseal_tuning::{ChatTemplate, Rendering};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Line {
    sources: Vec<String>,
    template: String,
    tokens: BTreeMap<String, String>,
    date: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    asks: bool,
    input: String,
    text: Option<String>,
    refused: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("a file of templates")?;
    let (mut templates, mut renderings, mut refused, mut differ) = (0, 0, 0, 0);
    for line in BufReader::new(File::open(path)?).lines() {
        let line: Line = serde_json::from_str(&line?)?;
        templates += 1;
        let rendering = Rendering {
            date: line.date.parse()?,
            ..Rendering::default()
        };
        let tokens = line.tokens.iter();
        let tokens = tokens.map(|(name, text)| (name.as_str(), text.as_str()));
        let template = ChatTemplate::new("template", &line.template, tokens, &rendering);
        for case in line.cases {
            renderings += 1;
            let ours = match &template {
                Ok(template) => template.render_json(&case.input),
                Err(error) => Err(fedseal_tuning::TuningError::Config(error.to_string())),
            };
            refused += u32::from(case.refused.is_some());
            let problem = match (ours, case.text.clone()) {
                (Ok(ours), Some(text)) if ours == text => continue,
                (Err(_), None) => continue,
                (Ok(ours), Some(text)) => {
                    let pairs = ours.char_indices().zip(text.chars());
                    let same = pairs.take_while(|((_, a), b)| a == b).count();
                    let around = |text: &str| -> String {
                        text.chars()
                            .skip(same.saturating_sub(20))
                            .take(60)
                            .collect()
                    };
                    format!("{:?}, not {:?}", around(&ours), around(&text))
                }
                (Err(error), Some(_)) => format!("refused: {error}"),
                (Ok(_), None) => {
                    let refused = case.refused.clone().unwrap_or_default();
                    format!("rendered; transformers refuses: {refused}")
                }
            };
            differ += 1;
            let source = line.sources.first().map(String::as_str).unwrap_or_default();
            let Case { name, asks, .. } = &case;
            let asks = if *asks { ", prompt" } else { "" };
            eprintln!("    {source}, {name}{asks}: {problem}");
        }
    }
    println!(
        "{}",
        json!({ "templates.total": templates, "templates.renderings": renderings,
                "templates.refused": refused, "templates.differ": differ })
    );
    Ok(())
}
