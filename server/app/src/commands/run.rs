//! `fedseal run EXPERIMENT.toml`

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_federation::experiment::Experiment;
use fedseal_federation::report::Report;
use fedseal_federation::rundir::RunDir;
use fedseal_federation::runner::{self, Options};

use crate::failure::{Failure, Outcome};
use crate::places::{self, Places};
use crate::progress::Progress;
use crate::{figures, keys, output, stop, table};

/// Runs an experiment. A run that was stopped or killed at any point goes on with --resume and
/// ends with the same digests.
#[derive(Args)]
pub struct Run {
    /// The experiment file.
    experiment: PathBuf,
    /// Folder of the run; by default runs/NAME, numbered where that is taken.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in DIR (by default the newest of this experiment).
    #[arg(long)]
    resume: bool,
    /// Run so many seeds, each in a folder of its own below DIR; print mean and spread.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// auto (the best card, else the CPU), cpu, wgpu, vulkan or cuda, instead of what the
    /// experiment says.
    #[arg(long)]
    device: Option<String>,
    /// Threads of the CPU device; 0: all cores.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Updates and evaluations executed side by side; 0: as many as there are cores.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Folder of signed modules.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// Bytes of compiled modules kept beside the keys, in `compiled`; the oldest go first, 0 keeps
    /// none.
    #[arg(long, value_name = "N", default_value_t = fedseal_sandbox::CACHE_BYTES)]
    compiled_bytes: u64,
    /// Folder of fetched models and prompts.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// When the run is finished, ask the witnesses of this policy (C2SP tlog-policy) to cosign its
    /// log.
    #[arg(long, value_name = "FILE")]
    witnesses: Option<PathBuf>,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
    /// Leave the files of figures below target/figures as they are.
    #[arg(long)]
    no_figures: bool,
    /// Print the report as JSON instead of the table.
    #[arg(long)]
    json: bool,
}

impl Run {
    /// Runs every seed, prints the table, writes the figures.
    pub fn execute(self) -> Outcome {
        let places = Places::find();
        let experiment = Experiment::load(&self.experiment)?;
        let name = self.experiment.file_stem().map_or_else(
            || "run".to_owned(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        let dir = match &self.out {
            Some(dir) => dir.clone(),
            None if self.resume => latest(&places.runs(), &name)?,
            None => free(&places.runs(), &name),
        };
        stop::watch(
            "stopping after this step; press Ctrl-C again to end at once (--resume goes on either way)",
        );

        let seeds = seeds(&experiment, self.seeds);
        let mut reports = Vec::new();
        for seed in &seeds {
            let folder = if seeds.len() == 1 {
                dir.clone()
            } else {
                dir.join(format!("seed-{seed}"))
            };
            if !self.quiet {
                eprintln!(
                    "fedseal: {} into {}",
                    self.experiment.display(),
                    folder.display()
                );
            }
            reports.push(
                self.one(&experiment, &folder, *seed, &places)
                    .map_err(|failure| {
                        if folder.join("run.json").exists() {
                            failure.hint(format!(
                                "Go on where it stopped: fedseal run {} --out {} --resume",
                                self.experiment.display(),
                                dir.display()
                            ))
                        } else {
                            failure
                        }
                    })?,
            );
        }
        if !self.no_figures {
            let (folder, origin) = (places.figures(), figures::Origin::here(places.root()));
            figures::write(&folder, &name, &figures::of(&reports, &origin))?;
            if reports.len() > 1 {
                let figures = figures::of_seeds(&seeds, &reports, &origin);
                figures::write(&folder, &format!("{name}-seeds"), &figures)?;
            }
        }
        if self.json {
            match reports.as_slice() {
                [report] => output::json(report),
                several => output::json(&several),
            }
        } else {
            output::line(table::text(&reports));
        }
        Ok(())
    }

    fn one(
        &self,
        experiment: &Experiment,
        dir: &Path,
        seed: u64,
        places: &Places,
    ) -> Outcome<Report> {
        let models = self.models.clone().unwrap_or_else(|| places.models());
        let options = Options {
            compiled: Some(places::home()?.join("compiled")),
            compiled_bytes: self.compiled_bytes,
            keys: places::home()?,
            passphrase: keys::passphrase()?,
            modules: self.modules.clone().unwrap_or_else(|| places.policies()),
            prompts: models.join("prompts"),
            models,
            seed: Some(seed),
            device: self.device.clone(),
            threads: self.threads,
            workers: self.workers,
        };
        // With several seeds some may not have begun when the first was stopped.
        let mut run = if self.resume && dir.join("run.json").exists() {
            runner::Run::resume(dir, options)?
        } else {
            runner::Run::create(dir, experiment.clone(), options)?
        };
        let mut progress = Progress::new(self.quiet);
        let report = run.execute(&mut |event| {
            progress.event(event);
            if stop::asked() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        progress.finish();
        let report = report?;
        // The log is closed and no longer held open for writing.
        drop(run);
        if let Some(file) = &self.witnesses {
            let run = RunDir::new(dir);
            let policy = super::log::policy(file)?;
            super::log::collect(&run.log(), &run.read_plan()?.node, &policy)?;
        }
        Ok(report)
    }
}

/// The experiment's seeds, the first `count` of them; more are counted on from its last.
fn seeds(experiment: &Experiment, count: u64) -> Vec<u64> {
    let last = experiment.seeds.last().copied().unwrap_or(0);
    let more = (1..).map(|step| last.wrapping_add(step));
    experiment
        .seeds
        .iter()
        .copied()
        .chain(more)
        .take(count as usize)
        .collect()
}

/// `NAME`, `NAME-2`, `NAME-3`, … in the folder of runs.
fn numbered(runs: &Path, name: &str) -> impl Iterator<Item = PathBuf> {
    let (runs, name) = (runs.to_owned(), name.to_owned());
    (1_u32..).map(move |n| match n {
        1 => runs.join(&name),
        _ => runs.join(format!("{name}-{n}")),
    })
}

fn free(runs: &Path, name: &str) -> PathBuf {
    numbered(runs, name)
        .find(|dir| !dir.exists())
        .unwrap_or_else(|| runs.join(name))
}

fn latest(runs: &Path, name: &str) -> Outcome<PathBuf> {
    numbered(runs, name)
        .take_while(|dir| dir.exists())
        .last()
        .ok_or_else(|| {
            Failure::usage(format!(
                "there is no run to resume: {} does not exist",
                runs.join(name).display()
            ))
            .hint("--out names the folder of a run; without --resume a new one is begun.")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_the_files_then_counted_on() {
        let experiment = Experiment {
            seeds: vec![7, 3],
            ..Experiment::default()
        };
        assert_eq!(seeds(&experiment, 1), [7]);
        assert_eq!(seeds(&experiment, 4), [7, 3, 4, 5]);
    }

    #[test]
    fn folders_are_numbered() {
        let runs = tempfile::tempdir().unwrap();
        assert!(latest(runs.path(), "demo").is_err());
        assert_eq!(free(runs.path(), "demo"), runs.path().join("demo"));
        std::fs::create_dir(runs.path().join("demo")).unwrap();
        std::fs::create_dir(runs.path().join("demo-2")).unwrap();
        assert_eq!(free(runs.path(), "demo"), runs.path().join("demo-3"));
        assert_eq!(
            latest(runs.path(), "demo").unwrap(),
            runs.path().join("demo-2")
        );
    }
}
