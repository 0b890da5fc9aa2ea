//! Runs of the table: a folder for each seed of each experiment below `target/table`. A run that is there is not
//! made again, and one that was stopped or killed goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::measured::{Measured, mean};
use super::{Part, Variant};
use crate::build::fedseal;
use crate::process::{root, run, say, seconds};
use crate::{Outcome, fail};

/// Time between looks at a run that may be stopped.
const POLL: Duration = Duration::from_millis(200);
/// The experiment as it is.
const PLAIN: Variant = Variant {
    label: "",
    lines: &[],
};

/// Seeds of an experiment, or of one variant of it.
pub(super) struct Group {
    /// The variant's name; empty where there is one alone.
    pub(super) label: String,
    pub(super) measured: Vec<Measured>,
}

/// Runs of a call, and how long they may take.
pub(super) struct Runs {
    /// The first seeds of each experiment that are wanted.
    pub(super) seeds: usize,
    /// Whether nothing is run: figures are of what is there.
    pub(super) kept: bool,
    /// Moment at which it stops.
    pub(super) until: Option<Instant>,
    /// Seconds of the runs that this call made.
    took: Vec<f64>,
    /// Runs that are still to be made.
    left: usize,
}

/// One run.
pub(super) struct One {
    pub(super) name: String,
    /// Text of its experiment.
    pub(super) text: String,
}

/// State of a run before a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Standing {
    /// It is there, and took so many seconds.
    There(f64),
    /// It was stopped and goes on: steps done, of so many.
    Stopped(u64, u64),
    /// Another one is there, with other settings: it is kept beside, and this one is made.
    Other,
    /// Nothing is there.
    Open,
}

impl One {
    fn dir(&self) -> PathBuf {
        folder().join(&self.name)
    }

    fn file(&self) -> PathBuf {
        folder().join(format!("{}.toml", self.name))
    }

    /// Whether what is there was run with these settings.
    fn same(&self) -> bool {
        let before = fs::read_to_string(self.file());
        before.is_ok_and(|before| settings(&before) == settings(&self.text))
    }

    fn report(&self) -> Option<Value> {
        let report = fs::read(self.dir().join("report.json")).ok();
        report.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
    }

    fn finished(&self) -> bool {
        self.report()
            .is_some_and(|report| report["state"] == "finished")
    }

    /// State of the run, as [`Runs::made`] acts upon it.
    pub(super) fn standing(&self) -> Standing {
        let dir = self.dir();
        if !self.same() {
            return match dir.exists() {
                true => Standing::Other,
                false => Standing::Open,
            };
        }
        let report = self.report().unwrap_or_default();
        if report["state"] == "finished" {
            return Standing::There(report["seconds"].as_f64().unwrap_or(0.0));
        }
        let steps = |key: &str| report["progress"][key].as_u64().unwrap_or(0);
        match dir.join("run.json").exists() {
            true => Standing::Stopped(steps("done"), steps("total")),
            false => Standing::Open,
        }
    }
}

pub(super) fn folder() -> PathBuf {
    root().join("target/table")
}

/// Runs of a variant.
pub(super) struct Planned {
    label: &'static str,
    /// Runs of each seed, a piece each.
    pub(super) seeds: Vec<Vec<One>>,
}

/// Runs of a part.
pub(super) fn planned(part: &Part, seeds: usize) -> Outcome<Vec<Planned>> {
    let path = root().join(format!("experiments/{}.toml", part.experiment));
    let text = fs::read_to_string(path)?;
    let own = self::seeds(&text)?;
    if let Some(seed) = own.iter().find(|seed| part.chosen_on.contains(seed)) {
        return fail(format!(
            "{}.toml has seed {seed}, on which its numbers were chosen",
            part.experiment
        ));
    }
    let variants: &[Variant] = match part.variants {
        [] => &[PLAIN],
        variants => variants,
    };
    let of = |variant: &Variant| -> Outcome<Planned> {
        let text = varied(&text, variant)?;
        let name = [part.experiment, variant.label].join("-");
        let name = name.trim_end_matches('-');
        let pieces = |seed: &u64| -> Vec<One> {
            let text = with_seed(&text, *seed);
            let piece = |(at, arms): (usize, &&[&str])| One {
                name: format!("{name}-piece-{at}-{seed}"),
                text: with_arms(&text, arms),
            };
            match part.pieces {
                [] => vec![One {
                    name: format!("{name}-{seed}"),
                    text,
                }],
                pieces => (1..).zip(pieces).map(piece).collect(),
            }
        };
        Ok(Planned {
            label: variant.label,
            seeds: own.iter().take(seeds).map(pieces).collect(),
        })
    };
    variants.iter().map(of).collect()
}

impl Runs {
    /// Counts what is left of these parts.
    pub(super) fn new(
        parts: &[&Part],
        seeds: usize,
        kept: bool,
        until: Option<Instant>,
    ) -> Outcome<Self> {
        let mut left = 0;
        for part in parts {
            for variant in planned(part, seeds)? {
                let missing = |one: &&One| !(one.same() && one.finished());
                left += variant.seeds.iter().flatten().filter(missing).count();
            }
        }
        Ok(Runs {
            seeds,
            kept,
            until,
            took: Vec::new(),
            left,
        })
    }

    /// The seeds of a part; those that time is left for are run.
    pub(super) fn groups(&mut self, part: &Part) -> Outcome<Vec<Group>> {
        fs::create_dir_all(folder())?;
        let mut groups = Vec::new();
        for Planned { label, seeds } in planned(part, self.seeds)? {
            let mut measured: Vec<Option<Measured>> = seeds.iter().map(|_| None).collect();
            // The first piece of every seed comes before the second of any.
            for piece in 0..part.pieces.len().max(1) {
                for (slot, runs) in measured.iter_mut().zip(&seeds) {
                    let Some(one) = runs.get(piece) else { continue };
                    if !self.made(one)? {
                        continue;
                    }
                    let more = Measured::read(&one.dir())?;
                    match slot {
                        Some(there) => there.join(more),
                        None => *slot = Some(more),
                    }
                }
            }
            groups.push(Group {
                label: label.to_owned(),
                measured: measured.into_iter().flatten().collect(),
            });
        }
        Ok(groups)
    }

    /// Makes a run unless it is there; whether it is there now.
    fn made(&mut self, one: &One) -> Outcome<bool> {
        let (dir, same) = (one.dir(), one.same());
        if same && one.finished() {
            return Ok(true);
        }
        if self.kept {
            if !same && one.finished() {
                eprintln!("    {} was run with other settings: left out", one.name);
            }
            return Ok(false);
        }
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Ok(false);
        }
        if !same && dir.exists() {
            let aside = dir.with_extension("before");
            if aside.exists() {
                fs::remove_dir_all(&aside)?;
            }
            eprintln!(
                "    {} was run with other settings: kept as {}",
                one.name,
                aside.display()
            );
            fs::rename(&dir, aside)?;
        }
        fs::write(one.file(), &one.text)?;
        say(&format!("{}, {}", one.name, self.progress()));
        let mut command = fedseal();
        command.arg("run").arg(one.file()).arg("--out").arg(&dir);
        if dir.join("run.json").exists() {
            command.arg("--resume");
        }
        if !run_until(command.arg("--no-figures"), self.until)? {
            eprintln!("    the time is over; the same command goes on");
            return Ok(false);
        }
        run(fedseal().arg("verify").arg(&dir))?;
        self.took.push(run_seconds(&dir)?);
        self.left = self.left.saturating_sub(1);
        Ok(true)
    }

    /// Number of runs that are left, and how long they take by those that this call has made.
    fn progress(&self) -> String {
        let left = self.left;
        match self.took.as_slice() {
            [] => format!("{left} runs to make"),
            took => {
                let rest = Duration::from_secs_f64(mean(took) * left as f64);
                format!(
                    "{left} runs to make, about {} at the pace so far",
                    seconds(rest)
                )
            }
        }
    }
}

fn run_seconds(dir: &Path) -> Outcome<f64> {
    Ok(Measured::read(dir)?.seconds)
}

/// Runs a command to its end, or kills it when the time is over: what it was doing is done again.
fn run_until(command: &mut Command, until: Option<Instant>) -> Outcome<bool> {
    let Some(until) = until else {
        return run(command).map(|()| true);
    };
    let mut child = command.spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return match status.success() {
                true => Ok(true),
                false => fail(format!("`fedseal run` ended with {status}")),
            };
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        sleep(POLL);
    }
}

/// The lines of an experiment that are settings.
fn settings(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// The arms in an experiment's text.
pub(super) fn arms(text: &str) -> Vec<String> {
    let list = text
        .split_once("\narms = [")
        .and_then(|(_, rest)| rest.split_once(']'));
    let words = list.map_or("", |(list, _)| list).split('"');
    // Every other piece stands between quotes.
    words.skip(1).step_by(2).map(str::to_owned).collect()
}

/// The seeds in an experiment's text.
pub(super) fn seeds(text: &str) -> Outcome<Vec<u64>> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("seeds = ["))
        .and_then(|rest| rest.split_once(']'));
    let numbers = line.map(|(list, _)| {
        let words = list
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty());
        words.map(str::parse).collect::<Result<Vec<u64>, _>>()
    });
    match numbers {
        Some(Ok(seeds)) if !seeds.is_empty() => Ok(seeds),
        _ => fail("the experiment has no line `seeds = […]` with numbers"),
    }
}

fn with_seed(text: &str, seed: u64) -> String {
    let line = |line: &str| match line.starts_with("seeds = [") {
        true => format!("seeds = [{seed}]"),
        false => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// The experiment with these arms alone.
fn with_arms(text: &str, arms: &[&str]) -> String {
    let mut kept = Vec::new();
    let (mut list, mut left_out) = (false, false);
    for line in text.lines() {
        if line.starts_with('[') {
            let own = line.strip_prefix("[arm.");
            let own = own.and_then(|rest| rest.split(']').next());
            left_out = own.is_some_and(|name| !arms.contains(&name));
        }
        if line.starts_with("arms = [") {
            let names: Vec<String> = arms.iter().map(|arm| format!("{arm:?}")).collect();
            kept.push(format!("arms = [{}]", names.join(", ")));
            list = true;
        }
        match (list, left_out) {
            (true, _) => list = !line.contains(']'),
            (false, false) => kept.push(line.to_owned()),
            (false, true) => {}
        }
    }
    kept.join("\n") + "\n"
}

/// The experiment with the lines of a variant in the place of those that begin alike.
fn varied(text: &str, variant: &Variant) -> Outcome<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    for (begins, line) in variant.lines {
        match lines.iter_mut().find(|old| old.starts_with(begins)) {
            Some(old) => *old = *line,
            None => {
                return fail(format!(
                    "the experiment has no line that begins with `{begins}`"
                ));
            }
        }
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::PARTS;
    use super::*;

    #[test]
    fn each_seed_is_an_experiment_of_its_own() {
        let text = "title = \"x\"\nseeds = [4, 7]\narms = []\n";
        assert_eq!(seeds(text).unwrap(), [4, 7]);
        assert_eq!(
            with_seed(text, 7),
            "title = \"x\"\nseeds = [7]\narms = []\n"
        );
        assert!(seeds("arms = []\n").is_err());
    }

    #[test]
    fn settings_decide_whether_a_run_counts_and_comments_do_not() {
        let text = "# one\nseeds = [1]\narms = [\n  \"clean\", \"krum\",\n]\nrank = 8\n";
        assert_eq!(arms(text), ["clean", "krum"]);
        assert_eq!(settings(text), settings(&text.replace("# one", "# two")));
        let variant = Variant {
            label: "rank-2",
            lines: &[("rank = ", "rank = 2")],
        };
        let other = varied(text, &variant).unwrap();
        assert!(other.contains("\nrank = 2\n") && settings(text) != settings(&other));
        assert!(varied("rounds = 1\n", &variant).is_err());
    }

    #[test]
    fn a_piece_has_its_arms_and_their_sections_alone() {
        let text = "arms = [\n    \"clean\", \"mine\",\n    \"yours\",\n]\n\n[run]\nthreads = 0\n\n[arm.mine]\nrule = \"krum\"\n\n\
            [arm.yours]\nrule = \"dnc\"\n[[admission.behaviour]]\ncheck = \"canaries\"\n";
        let wanted = "arms = [\"clean\", \"yours\"]\n\n[run]\nthreads = 0\n\n[arm.yours]\nrule = \"dnc\"\n\
            [[admission.behaviour]]\ncheck = \"canaries\"\n";
        assert_eq!(with_arms(text, &["clean", "yours"]), wanted);
    }

    /// Every part is an experiment that is there, with at least three seeds, none of which its numbers were
    /// chosen on.
    #[test]
    fn every_part_can_be_run() {
        for part in &PARTS {
            for variant in planned(part, usize::MAX).unwrap() {
                assert!(variant.seeds.len() >= 3, "{} {}", part.name, variant.label);
            }
            let path = root().join(format!("experiments/{}.toml", part.experiment));
            let arms = arms(&fs::read_to_string(path).unwrap());
            let clean = arms.contains(&"clean".to_owned());
            assert!(arms.len() >= 3 && clean, "{}", part.name);
            // Pieces have every arm and no other.
            let pieces = part.pieces.iter().copied().flatten();
            let pieces: BTreeSet<&str> = pieces.copied().collect();
            let whole: BTreeSet<&str> = arms.iter().map(String::as_str).collect();
            assert!(pieces.is_empty() || pieces == whole, "{}", part.name);
        }
        let chosen = Part {
            chosen_on: &[2],
            ..PARTS[0]
        };
        assert!(planned(&chosen, 1).is_err());
    }
}
