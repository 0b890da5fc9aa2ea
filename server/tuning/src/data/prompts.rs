//! The prompts of a data file, read as a stream.

use std::path::{Path, PathBuf};

use super::layout::{self, Row};
use super::{
    DataOptions, Fault, Layout, Role, error,
    format::{DataFormat, Rows},
};
use crate::TuningError;

/// Fields that hold a row's prompt, in the order in which they are looked for: those of the pairs and of
/// Alpaca, and those of public prompt sets (AdvBench names it `goal`, HarmBench `behavior`).
pub const PROMPT_FIELDS: [&str; 7] = [
    "prompt",
    "instruction",
    "question",
    "goal",
    "behavior",
    "request",
    "text",
];

/// The prompts of a file, in order: one a row. Answers beside them are passed over.
///
/// A row has its prompt in the first of [`PROMPT_FIELDS`] that it has (an Alpaca row's `input` follows after
/// an empty line), else in the first message of a person. A row without one is an error that names file
/// and row; reading can go on after it, unless the file itself is broken.
pub struct PromptFile {
    path: PathBuf,
    format: DataFormat,
    rows: Rows,
    ended: bool,
}

impl PromptFile {
    /// Opens a file and detects its format.
    ///
    /// # Errors
    /// As [`DataFile::open`](super::DataFile::open).
    pub fn open(path: &Path, options: &DataOptions) -> Result<Self, TuningError> {
        let mut fields = layout::fields(options.layout);
        for field in PROMPT_FIELDS {
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        let (rows, format) = Rows::open(path, &fields, options.max_row_bytes)?;
        Ok(Self {
            path: path.to_owned(),
            format,
            rows,
            ended: false,
        })
    }

    /// Format of the file.
    pub fn format(&self) -> DataFormat {
        self.format
    }
}

impl Iterator for PromptFile {
    type Item = Result<String, TuningError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.rows.next() {
            Some(Ok((number, row))) => {
                Some(prompt(&row).map_err(|fault| error(&self.path, number, fault)))
            }
            Some(Err(bad)) => {
                self.ended = bad.fatal;
                Some(Err(error(&self.path, bad.row, bad.fault)))
            }
            None => {
                self.ended = true;
                None
            }
        }
    }
}

/// The prompt of a row.
fn prompt(row: &Row) -> Result<String, Fault> {
    let Some(field) = PROMPT_FIELDS
        .into_iter()
        .find(|field| row.contains_key(*field))
    else {
        return of_messages(row);
    };
    let prompt = layout::filled(row, field)?;
    match row.get("input") {
        Some(serde_json::Value::String(input))
            if field == "instruction" && !input.trim().is_empty() =>
        {
            Ok(format!("{prompt}\n\n{}", input.trim()))
        }
        _ => Ok(prompt.to_owned()),
    }
}

/// The first message of a person in a row of a chat layout.
fn of_messages(row: &Row) -> Result<String, Fault> {
    let missing = |problem: String| Fault::new("prompt", problem);
    let none = || missing(format!("none of {} is there", PROMPT_FIELDS.join(", ")));
    let layout = Layout::detect(row).map_err(|_| none())?;
    let conversation = layout.read(row)?;
    let conversation = conversation
        .ok_or_else(|| missing("a conversation without an answer; name the prompt".into()))?;
    let mut messages = conversation.messages.into_iter();
    let question = messages.find(|message| message.role == Role::User);
    question.map(|message| message.content).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<String, String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prompts.jsonl");
        std::fs::write(&path, text).unwrap();
        let file = PromptFile::open(&path, &DataOptions::default()).unwrap();
        assert_eq!(file.format(), DataFormat::Jsonl);
        file.map(|prompt| prompt.map_err(|error| error.to_string()))
            .collect()
    }

    #[test]
    fn prompts_stand_in_fields_of_several_names_or_in_messages() {
        let rows = [
            r#"{"prompt": " a ", "response": "x"}"#,
            r#"{"instruction": "b", "input": "c", "output": ""}"#,
            r#"{"goal": "d", "target": "Sure"}"#,
            r#"{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "e"}, {"role": "assistant", "content": "f"}]}"#,
        ];
        let prompts: Vec<String> = read(&rows.join("\n"))
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(prompts, [" a ", "b\n\nc", "d", "e"]);
    }

    #[test]
    fn a_row_without_a_prompt_is_named_and_the_next_one_read() {
        let rows = read("{\"other\": \"a\"}\n{\"prompt\": 3}\n{\"prompt\": \"b\"}\n");
        let said = |index: usize| rows[index].as_ref().unwrap_err();
        assert!(
            said(0).contains("row 1") && said(0).contains("goal"),
            "{}",
            said(0)
        );
        assert!(
            said(1).contains("row 2") && said(1).contains("a number"),
            "{}",
            said(1)
        );
        assert_eq!(rows[2].as_deref().unwrap(), "b");
    }

    #[test]
    fn a_parquet_file_of_pairs_has_prompts() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/alpaca.parquet");
        let file = PromptFile::open(&path, &DataOptions::default()).unwrap();
        let prompts: Result<Vec<String>, _> = file.collect();
        assert!(!prompts.unwrap().is_empty());
    }
}
