//! `fedseal table DIR`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fedseal_record::report::Report;
use fedseal_record::rundir::write_atomically;

use crate::document::{Document, markdown};
use crate::failure::{Failure, Outcome};
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
