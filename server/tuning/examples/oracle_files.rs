//! Reads the data files that `tests/oracles/files/write.py` made, for `cargo xtask oracle files`.
//!
//!     oracle_files FOLDER          the figures, as JSON
//!     oracle_files time FILE       seconds, rows, bytes of text and peak memory of one file

use std::{error::Error, path::Path, time::Instant};

use fedseal_tuning::{Conversation, DataFile, DataOptions, TuningError};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

#[derive(Deserialize)]
struct Manifest {
    files: Vec<Written>,
    fields: Vec<Pair>,
}

#[derive(Deserialize)]
struct Written {
    file: String,
    /// Name of the conversations that it holds.
    expected: String,
    /// A word of the message that refuses it.
    refused: Option<String>,
}

/// Two files, of which one has a field that changes what is learned.
#[derive(Deserialize)]
struct Pair {
    field: String,
    with: String,
    without: String,
}

fn read(path: &Path) -> Result<Vec<Conversation>, TuningError> {
    DataFile::open(path, &DataOptions::default())?.collect()
}

/// Conversations as the writer's script has them: role, text, and whether it is learned.
fn as_json(conversations: &[Conversation]) -> Value {
    conversations
        .iter()
        .map(|conversation| {
            let messages = conversation.messages.iter();
            messages
                .map(|message| json!([message.role.name(), message.content, message.learned]))
                .collect::<Value>()
        })
        .collect()
}

fn digest(rows: &Value) -> String {
    hex::encode(Sha256::digest(rows.to_string()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [folder] => compare(Path::new(folder)),
        [word, file] if word == "time" => time(Path::new(file)),
        _ => Err("oracle_files FOLDER, or oracle_files time FILE".into()),
    }
}

fn compare(folder: &Path) -> Result<(), Box<dyn Error>> {
    let load = |name: &str| std::fs::read(folder.join(name));
    let manifest: Manifest = serde_json::from_slice(&load("manifest.json")?)?;
    let (mut equal, mut wrong, mut ignored) = (0, 0, 0);
    for Written {
        file,
        expected,
        refused,
    } in &manifest.files
    {
        let rows: Value = serde_json::from_slice(&load(&format!("{expected}.expected.json"))?)?;
        let problem = match (read(&folder.join(file)), refused) {
            (Ok(found), None) if digest(&as_json(&found)) == digest(&rows) => None,
            (Err(error), Some(word)) if error.to_string().contains(word.as_str()) => None,
            (Ok(found), None) => {
                wrong += 1;
                Some(format!("other rows ({} conversations)", found.len()))
            }
            (Ok(_), Some(word)) => {
                wrong += 1;
                Some(format!("read, not refused for {word}"))
            }
            (Err(error), _) => Some(error.to_string()),
        };
        match problem {
            None => equal += 1,
            Some(problem) => eprintln!("    {file}: {problem}"),
        }
    }
    for pair in &manifest.fields {
        let without = read(&folder.join(&pair.without))?;
        if read(&folder.join(&pair.with)).is_ok_and(|with| with == without) {
            ignored += 1;
            eprintln!("    {}: passed over in {}", pair.field, pair.with);
        }
    }
    let figures = json!({
        "files.total": manifest.files.len(),
        "files.equal": equal,
        "files.wrong": wrong,
        "fields.total": manifest.fields.len(),
        "fields.ignored": ignored,
    });
    println!("{figures}");
    Ok(())
}

fn time(file: &Path) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let (mut rows, mut bytes) = (0u64, 0usize);
    for conversation in DataFile::open(file, &DataOptions::default())? {
        let messages = conversation?.messages;
        rows += 1;
        bytes += messages.iter().map(|it| it.content.len()).sum::<usize>();
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({ "rows": rows, "bytes": bytes, "seconds": seconds, "peak_kib": peak_memory() })
    );
    Ok(())
}

/// Returns `VmHWM`, KiB.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
