//! Plan of a call before it begins: which runs are there, where stopped ones go on, which arms share work, and how long
//! the rest takes, by runs of the same experiment or by steps and answers that `fedseal run --plan` times.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::Part;
use super::measured::mean;
use super::runs::{One, Standing, folder, planned};
use crate::build::fedseal;
use crate::process::{say, seconds};
use crate::{Outcome, fail};

/// Shows the plan of the first seeds of these parts.
pub(super) fn show(parts: &[&Part], seeds: usize, minutes: Option<u64>) -> Outcome {
    say("Plan");
    let mut all = Rest::default();
    for part in parts {
        for variant in planned(part, seeds)? {
            // Seeds of one experiment, or of one piece of it.
            for piece in 0..part.pieces.len().max(1) {
                let runs = variant.seeds.iter().filter_map(|runs| runs.get(piece));
                all.add(&experiment(&runs.collect::<Vec<_>>())?);
            }
        }
    }
    eprintln!("    in all: {}", all.text());
    if let Some(minutes) = minutes {
        eprintln!("    it stops after {minutes} min; the same command goes on where it stopped");
    }
    Ok(())
}

/// Shows the runs of an experiment over its seeds.
fn experiment(runs: &[&One]) -> Outcome<Rest> {
    let standings: Vec<Standing> = runs.iter().map(|one| one.standing()).collect();
    for (one, standing) in runs.iter().zip(&standings) {
        eprintln!("    {:<32} {}", one.name, told(*standing));
    }
    let open = runs
        .iter()
        .zip(&standings)
        .find(|(_, standing)| !matches!(standing, Standing::There(_)));
    let Some((one, _)) = open else {
        return Ok(Rest::default());
    };
    let asked = asked(one)?;
    let work = &asked["seeds"][0]["work"];
    for line in shared(work) {
        eprintln!("        {line}");
    }
    let rest = Rest::of(&standings, asked["seconds"].as_f64());
    let missing = asked["missing"].as_str().map(|why| why.replace('\n', " "));
    eprintln!(
        "        {}{}",
        rest.text(),
        missing.map_or_else(String::new, |why| format!(" ({why})"))
    );
    Ok(rest)
}

/// The state of a run in words.
fn told(standing: Standing) -> String {
    match standing {
        Standing::There(took) => format!("is there, took {}", of_seconds(took)),
        Standing::Stopped(done, total) => format!("goes on behind step {done} of {total}"),
        Standing::Other => "is there with other settings: is kept beside and made anew".to_owned(),
        Standing::Open => "is made".to_owned(),
    }
}

/// Answer of `fedseal run --plan` about a run.
fn asked(one: &One) -> Outcome<Value> {
    fs::create_dir_all(folder())?;
    // The run's own file says what the run that is there was made with.
    let file = folder().join("plan.toml");
    fs::write(&file, &one.text)?;
    let output = fedseal()
        .arg("run")
        .arg(&file)
        .args(["--plan", "--json"])
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return fail(format!("`fedseal run --plan` of {}: {said}", one.name));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Lines of the arms by what they share.
fn shared(work: &Value) -> Vec<String> {
    let names = |list: &Value| {
        let names = list.as_array().into_iter().flatten();
        names
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let sharing = &work["sharing"];
    let groups = sharing["alike"].as_array().into_iter().flatten();
    let mut lines: Vec<String> = groups
        .map(|group| format!("share their first round: {}", names(group)))
        .collect();
    for (list, words) in [
        (&sharing["partly"], "share some of it"),
        (&sharing["alone"], "share none of it"),
        (&work["repairs"], "share all rounds of another arm"),
    ] {
        let names = names(list);
        if !names.is_empty() {
            lines.push(format!("{words}: {names}"));
        }
    }
    lines
}

/// Runs that are left, and their time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Rest {
    runs: usize,
    seconds: f64,
    /// Runs of which nobody knows how long they take.
    unknown: usize,
    /// Whether some of the time is an upper bound: jobs of a run one after another.
    at_most: bool,
}

impl Rest {
    /// Rest of runs of one experiment. `bound`: seconds of a whole one by steps and answers, at most.
    fn of(standings: &[Standing], bound: Option<f64>) -> Self {
        let there = standings.iter().filter_map(|standing| match standing {
            Standing::There(seconds) => Some(*seconds),
            _ => None,
        });
        let there: Vec<f64> = there.collect();
        let whole = match there.as_slice() {
            [] => bound,
            took => Some(mean(took)),
        };
        let mut rest = Rest::default();
        for standing in standings {
            let share = match *standing {
                Standing::There(_) => continue,
                Standing::Stopped(done, total) if total > 0 => 1.0 - done as f64 / total as f64,
                _ => 1.0,
            };
            rest.runs += 1;
            match whole {
                Some(whole) => rest.seconds += whole * share,
                None => rest.unknown += 1,
            }
        }
        rest.at_most = there.is_empty() && rest.seconds > 0.0;
        rest
    }

    fn add(&mut self, more: &Rest) {
        self.runs += more.runs;
        self.seconds += more.seconds;
        self.unknown += more.unknown;
        self.at_most |= more.at_most;
    }

    /// "3 runs, about 12 min 5 s at most; of 1 nobody knows how long".
    fn text(&self) -> String {
        let mut text = match self.runs {
            0 => return "nothing is left".to_owned(),
            1 => "1 run".to_owned(),
            runs => format!("{runs} runs"),
        };
        if self.seconds > 0.0 {
            text.push_str(&format!(", about {}", of_seconds(self.seconds)));
        }
        if self.at_most {
            text.push_str(" at most");
        }
        match self.unknown {
            0 => text,
            unknown => text + &format!("; of {unknown} nobody knows how long"),
        }
    }
}

fn of_seconds(value: f64) -> String {
    seconds(Duration::try_from_secs_f64(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_rest_is_told_by_runs_that_are_there_and_else_by_a_bound() {
        let there = [Standing::There(100.0), Standing::There(300.0)];
        assert_eq!(Rest::of(&there, Some(9.0)).text(), "nothing is left");
        // A quarter of one is left, two are whole.
        let open = [Standing::Stopped(30, 40), Standing::Open, Standing::Other];
        let rest = Rest::of(&[&there[..], &open[..]].concat(), Some(9.0));
        assert_eq!((rest.runs, rest.seconds), (3, 450.0));
        assert_eq!(rest.text(), "3 runs, about 7 min 30 s");
        let mut all = Rest::of(&open[1..], Some(9.0));
        assert_eq!(all.text(), "2 runs, about 18 s at most");
        all.add(&Rest::of(&open[..1], None));
        let text = "3 runs, about 18 s at most; of 1 nobody knows how long";
        assert_eq!(all.text(), text);
        // Stopped before its first step.
        assert_eq!(Rest::of(&[Standing::Stopped(0, 0)], Some(8.0)).seconds, 8.0);
    }

    #[test]
    fn arms_are_told_by_what_they_share() {
        let work = json!({
            "sharing": {"alike": [["fedavg", "krum"], ["a", "b"]], "partly": ["clean"], "alone": []},
            "repairs": ["mended"],
        });
        assert_eq!(
            shared(&work),
            [
                "share their first round: fedavg, krum",
                "share their first round: a, b",
                "share some of it: clean",
                "share all rounds of another arm: mended",
            ]
        );
        assert_eq!(told(Standing::Stopped(3, 9)), "goes on behind step 3 of 9");
    }
}
