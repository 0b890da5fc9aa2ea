//! `cargo xtask table`: the whole table over several seeds. A part is an experiment; each of its arms is a row
//! ([`rows`]). A seed is a run of its own ([`runs`]), whose report is read by [`measured`]. Some parts have figures
//! beside their rows: [`behaviour`] checks with the attacks that adapt to them, [`repair`]s beside their controls,
//! the life of an attack that has stopped ([`lifespan`]). [`measures`]: figures of the measures themselves.

use std::time::{Duration, Instant};

mod behaviour;
mod lifespan;
mod measured;
mod measures;
mod plan;
mod repair;
mod rows;
mod runs;

use crate::build::fedseal;
use crate::process::{run, say};
use crate::{Failure, Outcome, build, fail, readme};
use measured::{Measured, OVER_REFUSAL, SAFETY, lost, mean, of};
use runs::{Group, Runs};

/// Figures by name.
type Figures = Vec<(String, f64)>;

/// File of the figures.
const FILE: &str = "table";

/// One experiment and its figures.
struct Part {
    name: &'static str,
    /// Name of its file in `experiments`.
    experiment: &'static str,
    /// Variants of it that are run; none: the experiment as it is.
    variants: &'static [Variant],
    /// Arms that are run together, the most wanted first; none: all of them. An arm's figures do not depend on
    /// which others there are, so a part of hours is had in pieces.
    pieces: &'static [&'static [&'static str]],
    /// Figures beside its rows.
    figures: fn(&[Group]) -> Outcome<Figures>,
    /// Seeds that numbers of it were chosen on.
    chosen_on: &'static [u64],
    /// Whether it is of the real model: hours, so it is run by name alone.
    smollm2: bool,
}

/// An experiment with other values in some lines.
struct Variant {
    label: &'static str,
    /// Beginnings of lines, and the lines that take their places.
    lines: &'static [(&'static str, &'static str)],
}

/// A part whose rows say everything.
const fn rows_of(name: &'static str, experiment: &'static str) -> Part {
    Part {
        name,
        experiment,
        variants: &[],
        pieces: &[],
        figures: |_| Ok(Vec::new()),
        chosen_on: &[],
        smollm2: false,
    }
}

/// Ranks of an adapter; alpha is twice the rank.
const RANKS: [Variant; 4] = [
    Variant {
        label: "rank-2",
        lines: &[("rank = ", "rank = 2"), ("alpha = ", "alpha = 4.0")],
    },
    Variant {
        label: "rank-4",
        lines: &[("rank = ", "rank = 4"), ("alpha = ", "alpha = 8.0")],
    },
    Variant {
        label: "rank-8",
        lines: &[],
    },
    Variant {
        label: "rank-16",
        lines: &[("rank = ", "rank = 16"), ("alpha = ", "alpha = 32.0")],
    },
];

/// Arms of the real model; a repair is run with the arm that it repairs.
const PIECES: [&[&str]; 5] = [
    &[
        "base",
        "clean",
        "fedavg",
        "behaviour",
        "level-3",
        "preserved",
    ],
    &["existing", "generated", "median", "krum"],
    &["fedavg", "level-1", "level-2", "panacea", "noise"],
    &["provenance", "vaccine", "lisa"],
    &["trimmed-mean", "dnc", "foolsgold", "residual"],
];

static PARTS: [Part; 13] = [
    rows_of("paper", "paper-embedded"),
    rows_of("neighbours", "neighbours"),
    rows_of("unequal", "neighbours-dirichlet"),
    rows_of("attacks", "attacks"),
    rows_of("rules", "rules"),
    rows_of("literature", "literature"),
    rows_of("clients", "clients"),
    rows_of("shares", "shares"),
    Part {
        variants: &RANKS,
        figures: lifespan::figures,
        ..rows_of("lifespan", "lifespan")
    },
    Part {
        figures: behaviour::figures,
        chosen_on: &[1, 2, 3, 101, 102],
        ..rows_of("behaviour", "adaptive")
    },
    Part {
        figures: repair::figures,
        chosen_on: &[1, 2, 101],
        ..rows_of("repair", "repairs")
    },
    Part {
        smollm2: true,
        ..rows_of("u2s", "u2s")
    },
    Part {
        figures: real,
        pieces: &PIECES,
        smollm2: true,
        ..rows_of("smollm2", "paper-smollm2")
    },
];

/// Words of the command line.
struct Options {
    parts: Vec<&'static str>,
    seeds: usize,
    kept: bool,
    plan: bool,
    minutes: Option<u64>,
}

impl Options {
    fn of(arguments: &[String]) -> Outcome<Self> {
        let mut options = Options {
            parts: Vec::new(),
            seeds: usize::MAX,
            kept: false,
            plan: false,
            minutes: None,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let number = words.next().and_then(|word| word.parse::<u64>().ok());
                number
                    .filter(|number| *number > 0)
                    .ok_or_else(|| Failure(format!("{word} needs a number above 0")))
            };
            match word.as_str() {
                "--seeds" => options.seeds = usize::try_from(number()?)?,
                "--minutes" => options.minutes = Some(number()?),
                "--kept" => options.kept = true,
                "--plan" => options.plan = true,
                name => match PARTS.iter().find(|part| part.name == name) {
                    Some(part) => options.parts.push(part.name),
                    None => {
                        let names = PARTS.iter().map(|part| part.name);
                        return fail(format!(
                            "no part and no option {name:?}; parts: {}, judge, attribution; see `cargo xtask help`",
                            names.collect::<Vec<_>>().join(", ")
                        ));
                    }
                },
            }
        }
        Ok(options)
    }

    /// Whether a part is wanted: by its name, or as one of all those that take minutes.
    fn wants(&self, part: &Part) -> bool {
        match self.parts.is_empty() {
            true => !part.smollm2 || self.kept,
            false => self.parts.contains(&part.name),
        }
    }
}

/// `cargo xtask table [PART...] [--seeds N] [--minutes N] [--plan|--kept]`: the first N seeds of each experiment; left
/// out: all of them. It begins with its plan ([`plan`]), which is all with `--plan`. After so many minutes it stops,
/// and the same command goes on. With `--kept` nothing is built or run: figures of the seeds that are there.
pub(crate) fn table(arguments: &[String]) -> Outcome {
    match arguments {
        [part] if part == "judge" => return measures::judge(),
        [part, run] if part == "attribution" => return measures::attribution(run),
        _ => {}
    }
    let options = Options::of(arguments)?;
    let parts: Vec<&Part> = PARTS.iter().filter(|part| options.wants(part)).collect();
    if options.plan {
        build::workspace()?;
        return plan::show(&parts, options.seeds, options.minutes);
    }
    if !options.kept {
        build::everything()?;
        if parts.iter().any(|part| part.smollm2) {
            say("Fetching the model and the prompt sets");
            run(fedseal().args(["fetch", "smollm2"]))?;
            run(fedseal().args(["fetch", "prompts"]))?;
        }
        plan::show(&parts, options.seeds, options.minutes)?;
    }
    let minutes = options.minutes.map(|minutes| minutes.saturating_mul(60));
    let until = minutes.and_then(|s| Instant::now().checked_add(Duration::from_secs(s)));
    let mut runs = Runs::new(&parts, options.seeds, options.kept, until)?;
    for part in parts {
        let groups = runs.groups(part)?;
        if groups.iter().all(|group| group.measured.is_empty()) {
            eprintln!("    {}: nothing has been measured", part.name);
            continue;
        }
        keep(part, &groups)?;
    }
    let counts = rows::counts(&PARTS)?;
    show("rows", &counts);
    readme::keep(FILE, "cargo xtask table", &counts, "rows")
}

/// Shows and keeps the figures of a part.
fn keep(part: &Part, groups: &[Group]) -> Outcome {
    let command = format!("cargo xtask table {}", part.name);
    readme::replace(FILE, rows::figures(part, &command, groups))?;
    let figures: Figures = (part.figures)(groups)?
        .into_iter()
        .filter(|(_, value)| value.is_finite())
        .map(|(name, value)| (name, rounded(value)))
        .collect();
    let fewest = groups.iter().map(|group| group.measured.len()).min();
    let fewest = fewest.unwrap_or(0);
    show(&format!("{}, {fewest} seeds", part.name), &figures);
    let (rounds, shares): (Figures, Figures) = figures
        .into_iter()
        .partition(|(name, _)| name.ends_with(".rounds"));
    readme::keep(FILE, &command, &shares, "%")?;
    readme::keep(FILE, &command, &rounds, "rounds")?;
    let number = [(format!("{}.seeds", part.name), fewest as f64)];
    readme::keep(FILE, &command, &number, "seeds")
}

fn show(title: &str, figures: &[(String, f64)]) {
    say(title);
    for (name, value) in figures {
        eprintln!("    {name:<48} {value:>9.3}");
    }
}

/// A value as figures are kept.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Figures of the real model: what the clean adapter refuses of both kinds, and what the repair costs.
fn real(groups: &[Group]) -> Outcome<Figures> {
    let needed = ["clean", "fedavg", "behaviour", "preserved"];
    let has = |one: &&Measured| needed.iter().all(|arm| one.arm(arm).is_some());
    let all = groups.iter().flat_map(|group| &group.measured).filter(has);
    let all: Vec<Measured> = all.cloned().collect();
    let all = all.as_slice();
    let clean = |measure: &str| Ok::<f64, Failure>(mean(&of(all, "clean", measure)?));
    let (safety, over) = (clean(SAFETY)?, clean(OVER_REFUSAL)?);
    let mut figures = vec![
        ("clean.smollm2.safety".to_owned(), safety),
        ("clean.smollm2.overrefusal".to_owned(), over),
        ("clean.smollm2.difference".to_owned(), safety - over),
        (
            "smollm2.attack_loss".to_owned(),
            lost(all, "clean", "fedavg", SAFETY)?,
        ),
        (
            "smollm2.safety_loss".to_owned(),
            lost(all, "clean", "behaviour", SAFETY)?,
        ),
    ];
    figures.extend(repair::repaired(all, "preserved", "repair.smollm2")?);
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::measured::tests::seed;
    use super::*;

    #[test]
    fn parts_and_options_are_told_apart() {
        let of =
            |words: &str| Options::of(&words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let options = of("paper attacks --seeds 2 --minutes 5").unwrap();
        assert_eq!(options.parts, ["paper", "attacks"]);
        assert_eq!((options.seeds, options.minutes), (2, Some(5)));
        assert!(!options.plan && of("paper --plan").unwrap().plan);
        let real = PARTS.iter().find(|part| part.name == "smollm2").unwrap();
        assert!(!options.wants(real) && options.wants(&PARTS[0]));
        // The real model takes hours: by its name alone.
        assert!(!of("--seeds 1").unwrap().wants(real));
        assert!(of("smollm2").unwrap().wants(real));
        for bad in ["papr", "--seeds", "--seeds 0", "--minutes x"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_real_model_has_its_difference_and_the_cost_of_its_repair() {
        let arms = |safety: f64| {
            let arms = [
                ("clean", safety, 0.7),
                ("fedavg", 0.1, 0.7),
                ("behaviour", 0.8, 0.7),
                ("preserved", 0.9, 0.66),
            ];
            seed(&arms, 0)
        };
        let groups = [Group {
            label: String::new(),
            measured: vec![arms(0.9), arms(0.8)],
        }];
        let figures = super::real(&groups).unwrap();
        let value = |name: &str| figures.iter().find(|(of, _)| of == name).unwrap().1;
        assert!((value("clean.smollm2.safety") - 85.0).abs() < 1e-9);
        assert!((value("clean.smollm2.overrefusal") - 8.5).abs() < 1e-9);
        assert!((value("repair.smollm2.helpfulness_mean_cost") - 4.0).abs() < 1e-9);
    }
}
