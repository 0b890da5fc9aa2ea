//! `fedseal compare RUN RUN...`

use std::path::PathBuf;

use clap::Args;
use fedseal_record::opened::OpenRun;
use fedseal_record::paired::Answered;
use fedseal_record::report::{Rate, Report};
use fedseal_rules::evaluation::difference::Difference;
use fedseal_rules::evaluation::percent;
use fedseal_rules::experiment::{differences, in_words};
use fedseal_rules::statistics::holm;
use serde::Serialize;
use serde_json::{Value, json};

use super::runs::find;
use crate::differences::chance;
use crate::failure::{Failure, Outcome};
use crate::table::within;
use crate::{output, table};

/// Compares runs with the first: settings that differ, and each arm's measures with the interval of the
/// difference.
#[derive(Args)]
pub struct Compare {
    /// The runs' folders, or their names in the list of `fedseal runs`; two at least.
    #[arg(required = true, num_args = 2..)]
    runs: Vec<PathBuf>,
    /// Print the comparison as JSON.
    #[arg(long)]
    json: bool,
}

/// One measure of one arm in two runs.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    arm: String,
    measure: String,
    first: Rate,
    second: Rate,
    /// The second share less the first.
    difference: Difference,
    /// Two-sided p-value of McNemar's exact test, where both runs answered the same prompts.
    p: Option<f64>,
    /// `p` after Holm's correction over the rows.
    adjusted: Option<f64>,
}

impl Compare {
    /// Compares.
    pub fn execute(self) -> Outcome {
        let mut read = Vec::new();
        for run in &self.runs {
            let mut open = OpenRun::read(find(run)?)?;
            let name = run.display().to_string();
            read.push((name, open.report()?, open.answered()?));
        }
        let Some(((name, first, answered), others)) = read.split_first() else {
            return Err(Failure::usage("no run is named"));
        };
        let mut all = Vec::new();
        for (other, second, answers) in others {
            let settings = table::experiments([(name.as_str(), first), (other.as_str(), second)])?;
            let settings = differences(&settings[0], &settings[1]);
            let rows = rows([first, second], [answered, answers]);
            if self.json {
                let settings: Vec<Value> = settings
                    .iter()
                    .map(|it| json!({"key": it.key, "first": it.first, "second": it.second}))
                    .collect();
                all.push(json!({
                    "first": name, "second": other, "settings": settings,
                    "seeds": [first.seed, second.seed], "engines": [first.engine, second.engine],
                    "bases": [first.base, second.base], "measures": rows,
                }));
                continue;
            }
            output::line(format!("{other} beside {name}"));
            let words = in_words(&settings, "in the first", "in the second");
            let mut differ = Vec::from_iter((!words.is_empty()).then_some(words));
            if first.seed != second.seed {
                differ.push(format!("the seed is {} and {}", first.seed, second.seed));
            }
            if first.base.digest != second.base.digest {
                differ.push(format!(
                    "the base is {} and {}",
                    first.base.name, second.base.name
                ));
            }
            if first.engine != second.engine {
                differ.push(format!(
                    "the engine is {} and {}",
                    first.engine, second.engine
                ));
            }
            output::line(match differ.is_empty() {
                true => "experiment, seed, base and engine are the same".to_owned(),
                false => format!("what differs: {}", differ.join("; ")),
            });
            output::line(format!("\n{}", text(&rows)));
        }
        match self.json {
            true => output::json(&all),
            false => output::line(
                "differences in points with 95 % intervals (Newcombe 1998); * where the interval has no zero. They \
                 take the answers for independent; of runs on the same prompts they are too wide. p: McNemar's \
                 exact test on the prompts that both answered, with Holm's correction over the rows. It speaks of \
                 these two runs; between arms of several seeds see `table`.",
            ),
        }
        Ok(())
    }
}

/// The measures that both runs have of the arms that both have.
fn rows([first, second]: [&Report; 2], answered: [&Answered; 2]) -> Vec<Row> {
    let mut rows = Vec::new();
    let chance = |arm: &str, measure: &str| {
        let [one, two] = answered.map(|answers| answers.get(arm)?.get(measure));
        Some(one?.against(two?)?.p())
    };
    for arm in &first.arms {
        let Some(other) = second.arms.iter().find(|other| other.id == arm.id) else {
            continue;
        };
        let own = [
            ("safety", arm.safety, other.safety),
            ("helpfulness", arm.helpfulness, other.helpfulness),
        ];
        let own = own.map(|(name, one, two)| (name.to_owned(), one, two));
        let more = arm.measures.iter().map(|(name, rate)| {
            let two = other.measures.get(name).copied();
            (name.clone(), Some(*rate), two)
        });
        for (measure, one, two) in own.into_iter().chain(more) {
            let (Some(one), Some(two)) = (one, two) else {
                continue;
            };
            rows.push(Row {
                arm: arm.id.clone(),
                p: chance(&arm.id, &measure),
                adjusted: None,
                measure,
                difference: Difference::of(&one, &two),
                first: one,
                second: two,
            });
        }
    }
    let values: Vec<f64> = rows.iter().map(|row| row.p.unwrap_or(f64::NAN)).collect();
    for (row, adjusted) in rows.iter_mut().zip(holm(&values)) {
        row.adjusted = Some(adjusted).filter(|value| !value.is_nan());
    }
    rows
}

fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no arm of both runs is measured".into();
    }
    let mut lines = vec![
        [
            "arm",
            "measure",
            "first %",
            "second %",
            "difference",
            "p (Holm)",
        ]
        .map(String::from)
        .to_vec(),
    ];
    for row in rows {
        let points = within(
            row.difference.value,
            row.difference.low,
            row.difference.high,
        );
        let seen = if row.difference.is_seen() { " *" } else { "" };
        lines.push(vec![
            row.arm.clone(),
            row.measure.clone(),
            percent::of(row.first.hits, row.first.n),
            percent::of(row.second.hits, row.second.n),
            points + seen,
            chance(row.adjusted),
        ]);
    }
    table::aligned(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_with_their_sign_and_marked_where_they_are_seen() {
        let row = |first: u64, second: u64| {
            let (first, second) = (Rate::new(first, 240), Rate::new(second, 240));
            Row {
                arm: "fedavg".into(),
                measure: "safety".into(),
                difference: Difference::of(&first, &second),
                first,
                second,
                p: Some(0.25),
                adjusted: Some(0.75),
            }
        };
        let table = text(&[row(231, 72), row(230, 231), row(72, 231)]);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert!(
            lines[0].contains("96.3") && lines[0].contains("-66.3 (") && lines[0].contains(") *"),
            "{table}"
        );
        assert!(
            lines[1].contains("+0.4 (") && lines[1].ends_with("0.750"),
            "{table}"
        );
        assert!(lines[2].contains("+66.3 ("), "{table}");
        assert!(text(&[]).contains("no arm"));
    }
}
