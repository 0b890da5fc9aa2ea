//! `fedseal init FOLDER`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_federation::own::{self, Found, How};
use fedseal_record::rundir::write_atomically;
use fedseal_rules::experiment::{ClientConfig, Experiment, ModulePlace};

use crate::failure::{Failure, Outcome};
use crate::output;

mod folder;
mod text;

use folder::PARTS;
use text::{Client, Counts, Setting};

/// Writes an experiment over data files of your own, in any format that `tune` reads.
///
/// Each file of the folder is the shard of one client, named as the file; a folder below it is one client
/// with several files; where there is a folder clients, that one has them. Files named requests, tasks,
/// canary_requests, canary_tasks, refusals, helpful, aligned or unaligned, here or in a folder eval, are what
/// the experiment is measured by and defended with.
#[derive(Args)]
pub(crate) struct Init {
    /// The folder of data files.
    folder: PathBuf,
    /// The experiment file; by default experiment.toml in the folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// embedded, a name under the models folder (smollm2), a Hugging Face folder or a .gguf.
    #[arg(long, value_name = "NAME", default_value = "embedded")]
    model: String,
    /// Module of every client: a name, a file, the digest of a submitted one, or `oci:PATH:TAG`.
    #[arg(long, value_name = "MODULE", default_value = "benign")]
    module: String,
    /// Number of rounds.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rounds: u32,
    /// A client that attacks: it takes part in the attacked arms alone. May be given several times.
    #[arg(long, value_name = "CLIENT")]
    dishonest: Vec<String>,
    #[command(flatten)]
    parts: Parts,
    /// How an answer solves a task: overlap (words of the reference) or exact.
    #[arg(long, value_parser = ["overlap", "exact"], default_value = "overlap")]
    measure: String,
    /// Leave out rows that have no answer or cannot be used.
    #[arg(long)]
    leave_out: bool,
    /// Take the first question and answer of a conversation of several turns.
    #[arg(long, value_parser = ["first"])]
    turns: Option<String>,
}

/// Files that are given by name and not found by theirs.
#[derive(Args)]
struct Parts {
    /// Harmful requests of the evaluation: prompts.
    #[arg(long, value_name = "FILE")]
    requests: Vec<PathBuf>,
    /// Helpful tasks of the evaluation, with reference answers.
    #[arg(long, value_name = "FILE")]
    tasks: Vec<PathBuf>,
    /// Harmful requests that the canaries are drawn from.
    #[arg(long, value_name = "FILE")]
    canary_requests: Vec<PathBuf>,
    /// Helpful tasks that the canaries are drawn from.
    #[arg(long, value_name = "FILE")]
    canary_tasks: Vec<PathBuf>,
    /// Harmful requests with refusals, for a defence of level 1.
    #[arg(long, value_name = "FILE")]
    refusals: Vec<PathBuf>,
    /// Helpful pairs, for a defence of level 1.
    #[arg(long, value_name = "FILE")]
    helpful: Vec<PathBuf>,
    /// Pairs that the data check learns as aligned.
    #[arg(long, value_name = "FILE")]
    aligned: Vec<PathBuf>,
    /// Pairs that the data check learns as not aligned.
    #[arg(long, value_name = "FILE")]
    unaligned: Vec<PathBuf>,
}

impl Parts {
    fn given(&self) -> [&[PathBuf]; PARTS.len()] {
        [
            &self.requests,
            &self.tasks,
            &self.canary_requests,
            &self.canary_tasks,
            &self.refusals,
            &self.helpful,
            &self.aligned,
            &self.unaligned,
        ]
    }
}

impl Init {
    /// Looks, says what it found, writes the experiment, and names the command that runs it.
    pub(crate) fn execute(self) -> Outcome {
        let out = self.out();
        if out.symlink_metadata().is_ok() {
            let failure = Failure::usage(format!("{}: is there already", out.display()));
            return Err(failure.hint("Take it away, or name another file with --out."));
        }
        let (said, text) = self.experiment(&out)?;
        write_atomically(&out, text.as_bytes())?;
        for line in said {
            output::line(line);
        }
        output::line(format!("wrote {}", out.display()));
        output::line(format!("run it: fedseal run {}", out.display()));
        Ok(())
    }

    fn out(&self) -> PathBuf {
        let usual = || self.folder.join("experiment.toml");
        self.out.clone().unwrap_or_else(usual)
    }

    /// Lines about what was found, and the experiment's text.
    fn experiment(&self, out: &Path) -> Outcome<(Vec<String>, String)> {
        let mut found = folder::look(&self.folder)?;
        for ((key, _), given) in PARTS.iter().zip(self.parts.given()) {
            if !given.is_empty() {
                found.parts.insert(*key, given.to_vec());
            }
        }
        if !["requests", "tasks"]
            .iter()
            .any(|key| found.parts.contains_key(key))
        {
            return Err(Failure::usage(format!(
                "{}: no file to measure the model by",
                self.folder.display()
            ))
            .hint(
                "Put tasks with reference answers into eval/tasks.jsonl there, or harmful requests into \
                 eval/requests.txt; --tasks and --requests name other files.",
            ));
        }
        for name in &self.dishonest {
            if !found.clients.contains_key(name) {
                let names = found.clients.keys();
                return Err(fedseal_federation::Error::unknown("client", name, names).into());
            }
        }
        let how = How {
            leave_out: self.leave_out,
            first: self.turns.is_some(),
        };
        let mut looked = Looked::default();
        let mut clients = Vec::new();
        for (name, files) in &found.clients {
            for file in files {
                looked.shard(name, file, how);
            }
            clients.push(Client {
                name: name.clone(),
                shard: self.relative(files, out),
                honest: !self.dishonest.contains(name),
            });
        }
        let mut counts = Counts::new();
        for (key, files) in &found.parts {
            let rows = files.iter().map(|file| looked.part(key, file, how));
            counts.insert(*key, rows.sum());
        }
        let mut said = looked.lines()?;
        for other in &found.others {
            said.push(format!("{}: no data file, left out", other.display()));
        }
        let parts: BTreeMap<&str, Vec<String>> = found
            .parts
            .iter()
            .map(|(key, files)| (*key, self.relative(files, out)))
            .collect();
        let module = self.module(out);
        let setting = Setting {
            title: title(&self.folder),
            model: &self.model,
            module: &module,
            rounds: self.rounds,
            measure: &self.measure,
            how,
            clients: &clients,
            parts: &parts,
            counts: &counts,
        };
        said.extend(setting.left_out());
        let text = setting.text();
        // A mistake of a flag is said now and not by the command that runs it.
        Experiment::parse(&text, &out.display().to_string())?;
        Ok((said, text))
    }

    /// The clients' module as an experiment file names it: a file relative to its folder.
    fn module(&self, out: &Path) -> String {
        let client = ClientConfig {
            module: self.module.clone(),
            ..ClientConfig::default()
        };
        match client.module() {
            ModulePlace::File(file) => self.relative(&[file.into()], out).concat(),
            _ => self.module.clone(),
        }
    }

    /// Files as an experiment file names them: relative to its folder where they are below it.
    fn relative(&self, files: &[PathBuf], out: &Path) -> Vec<String> {
        let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let base = whole(out);
        let base = base.parent().unwrap_or(Path::new(""));
        let named = files.iter().map(|file| {
            let file = whole(file);
            let below = file.strip_prefix(base).unwrap_or(&file);
            below.to_string_lossy().into_owned()
        });
        named.collect()
    }
}

/// Heading of the experiment: the folder's name.
fn title(folder: &Path) -> String {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name().unwrap_or_default().to_string_lossy();
    match name.is_empty() {
        true => "Own data".to_owned(),
        false => name.into_owned(),
    }
}

/// Files that were looked into.
#[derive(Default)]
struct Looked {
    lines: Vec<String>,
    refused: Vec<String>,
    hints: Vec<&'static str>,
}

impl Looked {
    /// A file of a client's shard.
    fn shard(&mut self, client: &str, file: &Path, how: How) {
        self.pairs(&format!("client {client}"), file, how);
    }

    /// A file of a part; its rows that count.
    fn part(&mut self, key: &str, file: &Path, how: How) -> u64 {
        if !key.ends_with("requests") {
            return self.pairs(&format!("data.{key}"), file, how);
        }
        let name = file.to_string_lossy().into_owned();
        match own::prompts(Path::new(""), &[name], how) {
            Ok(prompts) => {
                let (count, file) = (prompts.len(), file.display());
                self.lines
                    .push(format!("data.{key}: {file}: {count} prompts"));
                count as u64
            }
            Err(error) => {
                self.refused.push(format!("data.{key}: {error}"));
                0
            }
        }
    }

    /// A file of pairs; how many an experiment takes.
    fn pairs(&mut self, of: &str, file: &Path, how: How) -> u64 {
        let mut taken = 0;
        let all = How {
            leave_out: true,
            first: how.first,
        };
        let read = own::read(file, all, &mut |_| {
            taken += 1;
            Ok(())
        });
        let found = match read {
            Ok(found) => found,
            Err(error) => {
                self.refused.push(format!("{of}: {error}"));
                return 0;
            }
        };
        let line = format!("{of}: {}: {}", file.display(), words(&found, taken));
        let wanting = taken == 0 || (!how.leave_out && found.unanswered + found.bad > 0);
        if !wanting {
            self.lines.push(line);
            return taken;
        }
        if found.turns > 0 && !how.first {
            self.hint("--turns first takes the first question and answer of a conversation.");
        }
        if taken > 0 {
            self.hint("--leave-out leaves out rows that have no answer or cannot be used.");
        }
        let problem = found
            .problem
            .map_or_else(String::new, |it| format!("; {it}"));
        self.refused.push(format!("{line}{problem}"));
        taken
    }

    fn hint(&mut self, hint: &'static str) {
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
    }

    /// Lines about what was found; an error that names every file that cannot be used.
    fn lines(self) -> Outcome<Vec<String>> {
        if self.refused.is_empty() {
            return Ok(self.lines);
        }
        let failure = Failure::usage(format!(
            "{} cannot be used as they are:\n    {}",
            match self.refused.len() {
                1 => "1 file".to_owned(),
                n => format!("{n} files"),
            },
            self.refused.join("\n    ")
        ));
        Err(self.hints.into_iter().fold(failure, Failure::hint))
    }
}

/// Contents of a file in a line.
fn words(found: &Found, taken: u64) -> String {
    let mut words = format!(
        "{} ({}), {taken} pairs",
        found.format,
        found.layout.unwrap_or("no rows")
    );
    for (count, what) in [
        (found.turns, "conversations of several turns"),
        (found.unanswered, "rows without an answer"),
        (found.bad, "rows that cannot be used"),
    ] {
        if count > 0 {
            words += &format!(", {count} {what}");
        }
    }
    words
}

#[cfg(test)]
mod tests;
