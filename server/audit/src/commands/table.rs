//! `fedseal table DIR`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fedseal_record::report::{ArmView, Rate, Report};
use fedseal_record::rundir::write_atomically;

use crate::document::{Document, markdown};
use crate::failure::{Failure, Outcome};
use crate::plot::{self, Point, Value};
use crate::tidy::{self, Tidy};
use crate::{differences, output, table};

/// Prints the results table of a run, or of the seeds below a folder, which are of one experiment, and tests
/// each arm against one. Other formats have one tidy table: one row an observation.
#[derive(Args)]
pub struct Table {
    /// A run's folder, or one that holds a run for each seed.
    folder: PathBuf,
    /// The arm that the others are tested against; by default the attacked FedAvg arm.
    #[arg(long, value_name = "ARM")]
    against: Option<String>,
    /// Format of what is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Rows of a tidy table.
    #[arg(long, value_enum, default_value_t = Rows::Measures)]
    rows: Rows,
    /// Write into a file instead of printing.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: the results, then the differences between arms with their tests.
    Text,
    /// Markdown of the same.
    Md,
    /// A tidy table as comma-separated values.
    Csv,
    /// A tidy table as JSON.
    Json,
    /// A tidy table as Parquet, into the file that --out names; `fedseal` alone writes it.
    Parquet,
    /// A plot of safety against helpfulness by arm, with 95 % intervals; of several seeds the means, from the
    /// least to the largest.
    Svg,
}

/// Rows of a tidy table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// Shares at the end, by run, arm and measure.
    Measures,
    /// Shares between rounds.
    Rounds,
    /// Differences between arms with their tests.
    Tests,
    /// Verdicts by arm and kind of client.
    Verdicts,
    /// Seconds and memory of each run.
    Costs,
}

/// Writes a tidy table as Parquet.
pub type WriteParquet = fn(&Tidy) -> Outcome<Vec<u8>>;

impl Table {
    /// Prints, without a writer of Parquet.
    pub fn execute(self) -> Outcome {
        self.execute_with(|_| {
            Err(Failure::usage("this program writes no Parquet").hint(
                "`fedseal table --format parquet` does; `--format csv` has the same rows here.",
            ))
        })
    }

    /// Prints.
    pub fn execute_with(self, parquet: WriteParquet) -> Outcome {
        let runs = table::runs_of(&self.folder)?;
        let runs = runs
            .into_iter()
            .map(|run| table::read(&run).map(|report| (run, report)))
            .collect::<Outcome<Vec<_>>>()?;
        table::one_experiment(&runs)?;
        let tests = || {
            let runs: Vec<_> = runs.iter().map(|(run, report)| (run, report)).collect();
            differences::of(&runs, self.against.as_deref())
        };
        let reports: Vec<Report> = runs.iter().map(|(_, report)| report.clone()).collect();
        let text = match self.format {
            Format::Text => table::text(&reports) + &differences::text(&tests()?),
            Format::Md => {
                let title = reports.first().map_or("", |report| &report.title);
                let mut document = Document::new(title);
                document.table(table::rows(&reports));
                document.text(table::footer(&reports));
                let tests = tests()?;
                if !tests.is_empty() {
                    document.heading("Differences between arms");
                    document.table(differences::rows(&tests));
                    document.text(differences::said(&tests));
                }
                markdown(&document)
            }
            Format::Svg => {
                let alt = reports.first().map_or("", |report| &report.title);
                let alt = format!("Safety against helpfulness: {alt}");
                plot::scatter(&alt, &points(&reports)).ok_or_else(|| {
                    Failure::usage("fewer than two arms have been measured: nothing to plot")
                })?
            }
            Format::Csv | Format::Json | Format::Parquet => {
                let tidy = match self.rows {
                    Rows::Measures => tidy::measures(&reports),
                    Rows::Rounds => tidy::rounds(&reports),
                    Rows::Tests => tidy::tests(&tests()?),
                    Rows::Verdicts => tidy::verdicts(&reports),
                    Rows::Costs => tidy::costs(&reports),
                };
                match (self.format, &self.out) {
                    (Format::Parquet, Some(out)) => {
                        write_atomically(out, &parquet(&tidy)?)?;
                        output::line(format!("{} rows are in {}", tidy.rows.len(), out.display()));
                        return Ok(());
                    }
                    (Format::Parquet, None) => {
                        return Err(Failure::usage("Parquet is not printed")
                            .hint("--out FILE names the file that it goes into."));
                    }
                    (Format::Csv, _) => tidy.csv()?,
                    _ => serde_json::to_string_pretty(&tidy.json())
                        .map_err(|error| Failure::new(format!("JSON: {error}")))?,
                }
            }
        };
        match &self.out {
            Some(out) => {
                write_atomically(out, format!("{}\n", text.trim_end()).as_bytes())?;
                output::line(format!("the table is in {}", out.display()));
            }
            None => output::line(text.trim_end()),
        }
        Ok(())
    }
}

/// The arms that every report has both shares of.
fn points(reports: &[Report]) -> Vec<Point> {
    let Some(first) = reports.first() else {
        return Vec::new();
    };
    let point = |arm: &ArmView| {
        let of = |which: fn(&ArmView) -> Option<Rate>| {
            let rates = reports.iter().map(|report| {
                let same = report.arms.iter().find(|other| other.id == arm.id)?;
                which(same).filter(|rate| rate.n > 0)
            });
            value(&rates.collect::<Option<Vec<Rate>>>()?)
        };
        Some(Point {
            name: arm.id.clone(),
            helpfulness: of(|arm| arm.helpfulness)?,
            safety: of(|arm| arm.safety)?,
        })
    };
    first.arms.iter().filter_map(point).collect()
}

/// A share with its interval; of several their mean, from the least to the largest.
fn value(rates: &[Rate]) -> Option<Value> {
    let percent = |share: f64| 100.0 * share;
    if let [one] = rates {
        return Some(Value {
            value: percent(one.rate),
            low: percent(one.low),
            high: percent(one.high),
        });
    }
    let shares = || rates.iter().map(|rate| rate.rate);
    (!rates.is_empty()).then(|| Value {
        value: percent(shares().sum::<f64>() / rates.len() as f64),
        low: percent(shares().fold(f64::INFINITY, f64::min)),
        high: percent(shares().fold(f64::NEG_INFINITY, f64::max)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_seeds_are_their_mean_with_the_least_and_the_largest() {
        let one = value(&[Rate::new(1, 4)]).unwrap();
        assert!(one.value == 25.0 && one.low < 25.0 && one.high > 25.0);
        let all = value(&[Rate::new(1, 4), Rate::new(3, 4)]).unwrap();
        assert_eq!((all.value, all.low, all.high), (50.0, 25.0, 75.0));
        assert!(value(&[]).is_none());
    }
}
