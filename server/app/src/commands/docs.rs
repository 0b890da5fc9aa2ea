//! Snippets of docs/MIGRATING.md and of own data in docs/METHODS.md: experiments are read, commands are
//! parsed, Python is run. Those in Rust are doctests of the guest library.

use std::path::Path;
use std::process::Command;

use clap::Parser as _;
use fedseal_federation::own::{self, How};
use fedseal_rules::experiment::Experiment;

use super::Arguments;

const MIGRATING: &str = include_str!("../../../../docs/MIGRATING.md");
const METHODS: &str = include_str!("../../../../docs/METHODS.md");

/// The fenced blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line == opening {
            let block = lines.by_ref().take_while(|line| *line != "```");
            blocks.push(block.map(|line| format!("{line}\n")).collect());
        }
    }
    blocks
}

#[test]
fn every_block_of_the_page_is_of_a_language_that_is_tested() {
    let fences = MIGRATING.lines().filter(|line| line.starts_with("```"));
    let mut languages: Vec<&str> = fences
        .map(|line| &line[3..])
        .filter(|it| !it.is_empty())
        .collect();
    languages.sort_unstable();
    languages.dedup();
    assert_eq!(languages, ["python", "rust", "sh", "toml"]);
}

#[test]
fn experiments_of_the_pages_are_read() {
    let own = blocks(METHODS, "toml");
    let own = own
        .into_iter()
        .filter(|block| block.contains("[[clients]]"));
    let all: Vec<String> = blocks(MIGRATING, "toml").into_iter().chain(own).collect();
    assert!(all.len() > 3);
    for text in all {
        let read = Experiment::parse(&text, "page.toml");
        assert!(
            read.is_ok(),
            "{text}\n{}",
            read.err().map_or_else(String::new, |e| e.to_string())
        );
    }
}

#[test]
fn commands_of_the_page_are_known() {
    let blocks = blocks(MIGRATING, "sh").concat();
    let commands: Vec<&str> = blocks.lines().collect();
    assert!(commands.len() > 6);
    for command in commands {
        let parsed = Arguments::try_parse_from(command.split_whitespace());
        assert!(
            parsed.is_ok(),
            "{command}\n{}",
            parsed.err().map_or_else(String::new, |e| e.to_string())
        );
    }
}

#[test]
fn shards_that_the_python_of_the_page_writes_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let script = blocks(MIGRATING, "python").concat()
        + "partitions = [[{'instruction': f'Say {i}.{j}', 'output': 'Done.'} for j in range(3)] for i in range(2)]\n\
           write_shards(partitions, 'shards')\n";
    let ran = Command::new("python3")
        .args(["-I", "-c", &script])
        .current_dir(dir.path())
        .output();
    let Ok(ran) = ran else {
        crate::output::note("LEFT OUT: the page's Python: no python3");
        return;
    };
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    for client in ["client-00", "client-01"] {
        let file = Path::new("shards").join(format!("{client}.jsonl"));
        let mut taken = 0;
        let found = own::read(&dir.path().join(file), How::default(), &mut |_| {
            taken += 1;
            Ok(())
        });
        assert_eq!((found.unwrap().pairs, taken), (3, 3));
    }
}
