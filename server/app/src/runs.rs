//! Folders of runs: `NAME`, `NAME-2`, `NAME-3`, … below the folder of runs, each a run, or with one
//! run a seed below it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fedseal_record::rundir::{RunDir, SEED};
use fedseal_rules::experiment::{Experiment, differences, in_words};

use crate::failure::{Failure, Outcome};

/// The folder of a seed's run.
pub(crate) fn of_seed(dir: &Path, seed: u64) -> PathBuf {
    dir.join(format!("{SEED}{seed}"))
}

/// Makes the first free folder of a name. Two processes that ask at once get different folders.
pub(crate) fn claim(runs: &Path, name: &str) -> Outcome<PathBuf> {
    RunDir::new(runs.join(name)).check_place()?;
    fs::create_dir_all(runs).map_err(|error| Failure::io(runs, &error))?;
    for number in 1_u32.. {
        let dir = match number {
            1 => runs.join(name),
            _ => runs.join(format!("{name}-{number}")),
        };
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => (),
            Err(error) => return Err(Failure::io(&dir, &error)),
        }
    }
    Err(Failure::new(format!("every name after {name} is taken")))
}

/// A run of a name, with the fields that are needed to choose one.
struct Candidate {
    dir: PathBuf,
    /// RFC 3339, UTC: the order of the texts is that of the times.
    created: String,
    /// Number of its folder. Of two runs made in one second, the later one has the larger number.
    number: u32,
    experiment: Experiment,
}

/// The newest run of a name that was begun with this experiment; with `seeds` the newest folder of
/// seeds. Folders in which nothing was begun are passed over.
///
/// # Errors
/// No run of that name; none that was begun with this experiment, with what differs; one whose
/// run.json or experiment.toml is damaged.
pub(crate) fn latest(
    runs: &Path,
    name: &str,
    experiment: &Experiment,
    seeds: bool,
) -> Outcome<PathBuf> {
    let mut found: Vec<Candidate> = Vec::new();
    for (folder, number) in numbered(runs, name) {
        let mut all = match seeds {
            true => seeds_below(&folder),
            false => vec![folder.clone()],
        };
        all.retain(|run| RunDir::new(run).plan().is_file());
        for run in all {
            let run = RunDir::new(run);
            let plan = run.read_plan()?;
            found.push(Candidate {
                experiment: fedseal_record::read::read_experiment(&run, &plan)?,
                dir: folder.clone(),
                created: plan.created,
                number,
            });
        }
    }
    found.sort_by(|a, b| (&a.created, a.number).cmp(&(&b.created, b.number)));
    let Some(newest) = found.last() else {
        let what = if seeds { "folder of seeds" } else { "run" };
        return Err(Failure::usage(format!(
            "there is no {what} to resume: {} holds none of the name {name}",
            runs.display()
        ))
        .hint("--out names the folder of a run; without --resume a new one is begun."));
    };
    let same = |run: &&Candidate| differences(&run.experiment, experiment).is_empty();
    match found.iter().rev().find(same) {
        Some(run) => Ok(run.dir.clone()),
        None => Err(Failure::usage(format!(
            "there is no run of this experiment to resume: of the newest, {}, {}",
            newest.dir.display(),
            in_words(
                &differences(&newest.experiment, experiment),
                "there",
                "here"
            )
        ))
        .hint("Go on with the file as it was, or begin a new run without --resume.")),
    }
}

/// The folders `NAME` and `NAME-N` that are there, whatever is missing between them.
fn numbered(runs: &Path, name: &str) -> Vec<(PathBuf, u32)> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let number = match file.strip_prefix(name)? {
                "" => 1,
                rest => {
                    let digits = rest.strip_prefix('-')?;
                    digits
                        .parse::<u32>()
                        .ok()
                        .filter(|n| *n > 1 && n.to_string() == digits)?
                }
            };
            Some((entry.path(), number))
        })
        .collect()
}

/// The folders of seeds in a folder.
pub(crate) fn seeds_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(SEED))
        .map(|entry| entry.path())
        .collect()
}

/// The command that goes on with a run: the words that were given, so that no option is lost, with
/// the run's folder. Ready for a shell.
pub(crate) fn resuming(words: impl IntoIterator<Item = String>, dir: &Path) -> String {
    let mut given = words.into_iter();
    let mut all = vec!["fedseal".to_owned()];
    all.extend(given.next());
    all.extend(["--out".into(), dir.display().to_string(), "--resume".into()]);
    while let Some(word) = given.next() {
        match word.as_str() {
            "--out" => drop(given.next()),
            "--resume" => (),
            other if other.starts_with("--out=") => (),
            _ => all.push(word),
        }
    }
    let quoted: Vec<String> = all.iter().map(|word| quoted(word)).collect();
    quoted.join(" ")
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_client_sdk::canonical;
    use fedseal_client_sdk::digest::Digest;
    use serde_json::json;

    /// A run's plan and experiment, which is all that choosing looks at.
    fn begun(dir: &Path, created: &str, experiment: &Experiment) {
        fs::create_dir_all(dir).unwrap();
        let toml = experiment.to_toml().unwrap();
        let key = fedseal_client_sdk::keys::SigningKey::from_seed([1; 32]).public();
        let plan = json!({
            "format": 1, "run": "x", "created": created, "seed": 0, "origin": "o", "node": key,
            "authors": {"keys": []}, "experiment": Digest::of(toml.as_bytes()),
            "base": Digest::of(b""), "base_name": "b", "engine": "e", "initial": Digest::of(b""),
            "modules": [], "clients": [], "canaries": Digest::of(b""), "evaluation": Digest::of(b""),
        });
        fs::write(dir.join("run.json"), canonical::to_vec(&plan).unwrap()).unwrap();
        fs::write(dir.join("experiment.toml"), toml).unwrap();
    }

    #[test]
    fn the_newest_is_the_newest_of_this_experiment() {
        let dir = tempfile::tempdir().unwrap();
        let runs = dir.path();
        let small = Experiment::default();
        let mut large = small.clone();
        large.federation.rounds = 7;
        let newest = |experiment: &Experiment, seeds| latest(runs, "demo", experiment, seeds);
        assert!(newest(&small, false).is_err());
        begun(&runs.join("demo"), "2026-01-03T00:00:00Z", &small);
        begun(&runs.join("demo-2"), "2026-01-02T00:00:00Z", &small);
        // A gap in the numbers hides nothing, and a number is no age.
        begun(&runs.join("demo-9"), "2026-01-01T00:00:00Z", &large);
        begun(&runs.join("demo-10"), "2026-01-03T00:00:00Z", &small);
        begun(&runs.join("demo-old"), "2027-01-01T00:00:00Z", &small);
        begun(&runs.join("demolition"), "2027-01-01T00:00:00Z", &small);
        fs::create_dir(runs.join("demo-11")).unwrap();
        assert_eq!(newest(&small, false).unwrap(), runs.join("demo-10"));
        assert_eq!(newest(&large, false).unwrap(), runs.join("demo-9"));
        large.federation.rounds = 8;
        let said = newest(&large, false).unwrap_err().to_string();
        assert!(
            said.contains("demo-10")
                && said.contains("`federation.rounds` is 100 there and 8 here"),
            "{said}"
        );
        // Seeds lie below a folder, and a run is no folder of seeds.
        assert!(newest(&small, true).is_err());
        begun(&runs.join("demo-4/seed-0"), "2025-01-01T00:00:00Z", &small);
        assert_eq!(newest(&small, true).unwrap(), runs.join("demo-4"));
        assert_eq!(newest(&small, false).unwrap(), runs.join("demo-10"));
    }

    #[test]
    fn each_claim_has_a_folder_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let runs = dir.path().join("runs");
        let claimed: Vec<PathBuf> = std::thread::scope(|scope| {
            let ask = || claim(&runs, "demo").unwrap();
            let all: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let mut names: Vec<PathBuf> = claimed;
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 8);
        assert!(names.contains(&runs.join("demo")) && names.contains(&runs.join("demo-8")));
        assert!(claim(&runs, "my demo").is_err());
    }

    #[test]
    fn the_command_that_goes_on_loses_no_option() {
        let words = |text: &str| -> Vec<String> { text.split('|').map(str::to_owned).collect() };
        let given = "run|my experiment.toml|--seeds|3|--models|/mnt/it's here|--threads|2|--quiet";
        assert_eq!(
            resuming(words(given), Path::new("runs/x")),
            "fedseal run --out runs/x --resume 'my experiment.toml' --seeds 3 --models \
             '/mnt/it'\\''s here' --threads 2 --quiet"
        );
        // What is replaced does not stand twice.
        for given in ["run|--out|a|e.toml|--resume", "run|e.toml|--out=a"] {
            assert_eq!(
                resuming(words(given), Path::new("a")),
                "fedseal run --out a --resume e.toml"
            );
        }
    }
}
