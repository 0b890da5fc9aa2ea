//! `fedseal runs [DIR]`

use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_record::opened::OpenRun;
use fedseal_record::report::{Conclusion, Report, State};
use fedseal_record::rundir::is_name;
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::places::Places;
use crate::{output, table};

/// Lists runs, the newest first, each with its conclusion. A finished run's report is the logged one, or
/// the list says that it is not.
#[derive(Args)]
pub struct Runs {
    /// Folder of runs; by default runs/ of the checkout, elsewhere fedseal/runs in the user's data folder.
    folder: Option<PathBuf>,
    /// List only runs whose name or title has this text.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
}

/// One run of the list. What its files do not say is left out.
#[derive(Debug, Default, Serialize)]
struct Entry {
    /// Its address: the name of its folder, or `FOLDER~NAME` for a run one level below.
    run: String,
    /// Its folder.
    folder: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    /// Seconds of work.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conclusion: Option<Conclusion>,
    /// Why there is no report to believe.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Runs {
    /// Lists them.
    pub fn execute(self) -> Outcome {
        let folder = match self.folder {
            Some(folder) => folder,
            None => Places::find().runs()?,
        };
        let search = self.search.unwrap_or_default().to_lowercase();
        let mut entries: Vec<Entry> = all(&folder)?
            .into_iter()
            .map(|(run, folder)| entry(run, folder))
            .filter(|entry| {
                let title = entry.title.as_deref().unwrap_or_default();
                [&entry.run, title]
                    .iter()
                    .any(|text| text.to_lowercase().contains(&search))
            })
            .collect();
        // RFC 3339, UTC: the order of the texts is that of the times.
        entries.sort_by(|a, b| (&b.started, &b.run).cmp(&(&a.started, &a.run)));
        if self.json {
            output::json(&entries);
            return Ok(());
        }
        if entries.is_empty() {
            output::line(format!("no run is in {}", folder.display()));
            return Ok(());
        }
        output::line(text(&entries).trim_end());
        output::line(format!(
            "\nfedseal show {} tells more of the newest",
            entries[0].run
        ));
        Ok(())
    }
}

/// The runs of a folder, and those one level below it, with their addresses.
fn all(folder: &Path) -> Outcome<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for (name, below) in folders(folder)? {
        if below.join("run.json").is_file() {
            found.push((name, below));
            continue;
        }
        for (seed, run) in folders(&below).unwrap_or_default() {
            if run.join("run.json").is_file() {
                found.push((format!("{name}~{seed}"), run));
            }
        }
    }
    Ok(found)
}

/// Folders with a run's kind of name; none of a folder that is not there yet.
fn folders(folder: &Path) -> Outcome<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::io(folder, &error)),
    };
    Ok(entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| is_name(name))
        .collect())
}

fn entry(run: String, folder: PathBuf) -> Entry {
    let read = || -> fedseal_record::Result<(String, Report)> {
        let open = OpenRun::read(&folder)?;
        Ok((open.plan.created.clone(), open.report()?))
    };
    let read = read();
    let entry = Entry {
        run,
        folder: folder.clone(),
        ..Entry::default()
    };
    match read {
        Ok((created, report)) => Entry {
            conclusion: Conclusion::of(&report).ok(),
            started: Some(created),
            seed: Some(report.seed),
            seconds: Some(report.seconds),
            state: Some(report.state),
            title: Some(report.title),
            ..entry
        },
        Err(error) => Entry {
            error: Some(error.to_string()),
            ..entry
        },
    }
}

fn text(entries: &[Entry]) -> String {
    let mut rows = vec![
        ["run", "state", "started", "took", "conclusion"]
            .map(String::from)
            .to_vec(),
    ];
    for entry in entries {
        let conclusion = entry
            .conclusion
            .as_ref()
            .and_then(|it| it.sentences.first());
        rows.push(vec![
            entry.run.clone(),
            entry.state.map_or("unread", state).to_owned(),
            entry.started.clone().unwrap_or_default(),
            entry.seconds.map(output::duration).unwrap_or_default(),
            conclusion
                .or(entry.error.as_ref())
                .cloned()
                .unwrap_or_default(),
        ]);
    }
    table::aligned(&rows)
}

/// How far a run is, in a word.
pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Running => "unfinished",
        State::Finished => "finished",
        State::Failed => "failed",
    }
}

/// The folder of a run that is named by its path or by its address among the user's runs.
///
/// # Errors
/// There is no such run.
pub(super) fn find(named: &Path) -> Outcome<PathBuf> {
    if named.join("run.json").is_file() {
        return Ok(named.to_owned());
    }
    let parts: Vec<&str> = named.to_str().unwrap_or_default().split('~').collect();
    if parts.len() <= 2 && parts.iter().all(|part| is_name(part)) {
        let folder = Places::find().runs()?.join(parts.join("/"));
        if folder.join("run.json").is_file() {
            return Ok(folder);
        }
    }
    Err(
        Failure::usage(format!("{}: no run is here", named.display()))
            .hint("Name a run's folder, which holds run.json, or one that `fedseal runs` lists."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_seeds_have_addresses_and_what_cannot_be_read_is_named() {
        let root = tempfile::tempdir().unwrap();
        for run in ["demo", "seeds/seed-1", "seeds/seed-2", ".hidden", "empty"] {
            std::fs::create_dir_all(root.path().join(run)).unwrap();
            if run != "empty" {
                std::fs::write(root.path().join(run).join("run.json"), "{}").unwrap();
            }
        }
        let mut found: Vec<String> = all(root.path())
            .unwrap()
            .into_iter()
            .map(|it| it.0)
            .collect();
        found.sort();
        assert_eq!(found, ["demo", "seeds~seed-1", "seeds~seed-2"]);
        let broken = entry("demo".into(), root.path().join("demo"));
        assert!(broken.error.is_some() && broken.conclusion.is_none());
        assert!(text(&[broken]).contains("unread"));
        assert!(all(&root.path().join("none")).unwrap().is_empty());
        assert_eq!(
            find(&root.path().join("demo")).unwrap(),
            root.path().join("demo")
        );
        assert!(find(&root.path().join("none")).is_err());
    }
}
