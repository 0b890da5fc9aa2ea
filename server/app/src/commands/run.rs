//! `fedseal run EXPERIMENT.toml`

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use fedseal_audit::commands::log;
use fedseal_client_sdk::keys::TrustStore;
use fedseal_federation::runner::{self, Options};
use fedseal_record::report::{Conclusion, Report};
use fedseal_record::rundir::RunDir;
use fedseal_rules::experiment::Experiment;

use super::lend::{Lend, Lending};
use super::watching::Watching;
use super::{plan, shipped};
use crate::failure::{Failure, Outcome};
use crate::places::{self, Places};
use crate::progress::Progress;
use crate::registry::RegistryPlace;
use crate::{counted, figures, keys, output, runs, stop, submitted, table};

/// Runs an experiment. A run that was stopped or killed at any point goes on with --resume and
/// ends with the same digests. A run in which no update counted ends with exit code 1.
#[derive(Args)]
pub(crate) struct Run {
    /// The experiment file, or the name of a shipped one: demo, tiny, smollm2, paper,
    /// paper-embedded, paper-smollm2, paper-7b, policies, adaptive, repairs, neighbours,
    /// neighbours-dirichlet, attacks, rules, literature, clients, lifespan, shares, u2s.
    experiment: PathBuf,
    /// Folder of the run; by default runs/NAME of the checkout, elsewhere fedseal/runs/NAME in the
    /// user's data folder ($XDG_DATA_HOME, else ~/.local/share), numbered where that is taken.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Run nothing: say what there is to do, what arms share, and, where the model and its data are here, about
    /// how long it takes.
    #[arg(long, conflicts_with_all = ["out", "resume"])]
    plan: bool,
    /// Go on with the run in DIR (by default the newest of this experiment), which must have been
    /// begun with the same experiment and seed.
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
    /// Folder of signed modules; by default those that the checkout built, elsewhere those that were
    /// installed with this program.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// Bytes of compiled modules kept: beside the keys in a checkout, elsewhere in the user's cache
    /// folder. The oldest go first, 0 keeps none.
    #[arg(long, value_name = "N", default_value_t = fedseal_sandbox::CACHE_BYTES)]
    compiled_bytes: u64,
    /// Folder of fetched models and prompts; by default models/ of the checkout, elsewhere
    /// fedseal/models in the user's data folder.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Folder of submitted modules, which `[[clients]]` may name by their digests, by default registry in
    /// the folder of keys; or postgres://USER@HOST/DATABASE.
    #[arg(long, value_name = "DIR|URL")]
    registry: Option<PathBuf>,
    /// When the run is finished, ask the witnesses of this policy (C2SP tlog-policy) to cosign its
    /// log.
    #[arg(long, value_name = "FILE")]
    witnesses: Option<PathBuf>,
    #[command(flatten)]
    lend: Lend,
    #[command(flatten)]
    watching: Watching,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
    /// Leave the files of figures below target/figures as they are; outside a checkout none are
    /// written.
    #[arg(long)]
    no_figures: bool,
    /// Print the report as JSON instead of the table.
    #[arg(long)]
    json: bool,
}

impl Run {
    /// Runs every seed, prints the table, writes the figures.
    pub(crate) fn execute(self) -> Outcome {
        let places = Places::find();
        let experiment = shipped::load(&self.experiment, &places)?;
        let name = self.experiment.file_stem().map_or_else(
            || "run".to_owned(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        self.lend.check()?;
        self.watching.check(self.lend.listening())?;
        if let Some(file) = &self.witnesses {
            // A mistake in it is said now and not when the run is over.
            log::policy(file)?;
        }
        let seeds = seeds(&experiment, self.seeds);
        if self.plan {
            return self.planned(&experiment, &seeds, &places);
        }
        let several = seeds.len() > 1;
        let dir = self.folder(&places, &name, &experiment, several)?;
        stop::watch(
            "stopping after this step; press Ctrl-C again to end at once (--resume goes on either way)",
        );

        let folder_of = |seed: u64| match several {
            true => runs::of_seed(&dir, seed),
            false => dir.clone(),
        };
        let begun = || seeds.iter().any(|seed| is_run(&folder_of(*seed)));
        let mut reports = Vec::new();
        for seed in &seeds {
            let folder = folder_of(*seed);
            if !self.quiet {
                output::note(format_args!(
                    "fedseal: {} into {}",
                    self.experiment.display(),
                    folder.display()
                ));
            }
            let report = self.one(&experiment, &folder, *seed, &places);
            reports.push(report.map_err(|failure| {
                if begun() {
                    let command = runs::resuming(std::env::args().skip(1), &dir);
                    return failure.hint(format!("Go on where it stopped: {command}"));
                }
                // A folder that was made for this run, and in which none began, is nobody's: its blobs are
                // what the set-up wrote before it failed.
                if self.out.is_none() {
                    let _ = std::fs::remove_dir_all(folder.join("blobs"));
                    let _ = std::fs::remove_dir(&folder);
                    let _ = std::fs::remove_dir(&dir);
                }
                failure
            })?);
        }
        let nothing = nothing_counted(&reports);
        // Figures of a run that changed nothing would say something about the base model alone.
        if !self.no_figures
            && nothing.is_none()
            && let (Some(folder), Some(root)) = (places.figures(), places.checkout())
        {
            let origin = figures::Origin::here(root);
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
            if let [report] = reports.as_slice()
                && let Ok(conclusion) = Conclusion::of(report)
            {
                output::line(conclusion.sentences.join("\n") + "\n");
            }
            output::line(table::text(&reports));
        }
        nothing.map_or(Ok(()), Err)
    }

    /// Says what there is to do.
    fn planned(&self, experiment: &Experiment, seeds: &[u64], places: &Places) -> Outcome {
        let models = places.models_or(self.models.as_deref())?;
        let options = Options {
            prompts: models.join("prompts"),
            models,
            files: shipped::folder(&self.experiment),
            device: self.device.clone(),
            threads: self.threads,
            ..Options::default()
        };
        plan::show(experiment, seeds, &options, self.json)
    }

    /// The folder to run in, or that of the runs of several seeds.
    fn folder(
        &self,
        places: &Places,
        name: &str,
        experiment: &Experiment,
        several: bool,
    ) -> Outcome<PathBuf> {
        let Some(dir) = &self.out else {
            return match self.resume {
                true => runs::latest(&places.runs()?, name, experiment, several),
                false => runs::claim(&places.runs()?, name),
            };
        };
        if several && is_run(dir) {
            return Err(Failure::usage(format!(
                "{}: a run is here, which has one seed and goes on without --seeds",
                dir.display()
            ))
            .hint("--out names the folder that the runs of several seeds lie below."));
        }
        if !self.resume {
            RunDir::new(dir).check_place()?;
            return Ok(dir.clone());
        }
        let seeds = runs::seeds_below(dir);
        let begun = match several {
            true => seeds.iter().any(|run| is_run(run)),
            false => is_run(dir),
        };
        if begun {
            return Ok(dir.clone());
        }
        let failure = Failure::usage(format!("{}: there is no run to resume here", dir.display()));
        Err(match seeds.is_empty() {
            true => failure.hint("Without --resume a new one is begun."),
            false => {
                failure.hint("Runs of several seeds lie below it: --seeds N goes on with them.")
            }
        })
    }

    fn one(
        &self,
        experiment: &Experiment,
        dir: &Path,
        seed: u64,
        places: &Places,
    ) -> Outcome<Report> {
        let models = places.models_or(self.models.as_deref())?;
        let (modules, installed) = match &self.modules {
            Some(given) => (given.clone(), TrustStore::default()),
            None => (places.policies()?, places.installed_keys()?),
        };
        let registry = RegistryPlace::of(self.registry.as_deref())?;
        // With several seeds some may not have begun when the first was stopped.
        let resumed = self.resume && is_run(dir);
        let options = Options {
            compiled: Some(places.compiled()?),
            compiled_bytes: self.compiled_bytes,
            keys: places::home()?,
            passphrase: keys::passphrase()?,
            modules,
            installed,
            prompts: models.join("prompts"),
            models,
            files: shipped::folder(&self.experiment),
            submitted: submitted::of(experiment, &registry)?,
            enrolled: Default::default(),
            // A run of its own goes on with its seed, also one of the several of its file.
            seed: (!resumed || self.seeds > 1).then_some(seed),
            device: self.device.clone(),
            threads: self.threads,
            workers: self.workers,
        };
        let mut run = if resumed {
            runner::Run::resume(dir, Some(experiment), options)?
        } else {
            runner::Run::create(dir, experiment.clone(), options)?
        };
        let lending = self.lend.begin(&mut run)?;
        let refresh = lending.as_ref().map(Lending::refresh);
        let refresh = refresh.unwrap_or_else(|| Arc::new(|| ()));
        let shown = self.watching.begin(self.lend.listening(), refresh)?;
        let name = RunDir::new(dir).name();
        let mut progress = Progress::new(self.quiet);
        let report = run.execute(&mut |event| {
            counted::event(&name, event);
            progress.event(event);
            if stop::asked() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        progress.finish();
        drop(lending);
        drop(shown);
        let report = report?;
        // The log is closed and no longer held open for writing.
        drop(run);
        if let Some(file) = &self.witnesses {
            let run = RunDir::new(dir);
            let policy = log::policy(file)?;
            log::collect(&run.log(), &run.read_plan()?.node, &policy)?;
        }
        Ok(report)
    }
}

/// Whether a run was begun in a folder.
fn is_run(dir: &Path) -> bool {
    RunDir::new(dir).plan().exists()
}

/// The failure of runs in which no update counted, with why.
fn nothing_counted(reports: &[Report]) -> Option<Failure> {
    let empty = reports.iter().filter(|report| report.changed_nothing());
    let empty: Vec<&Report> = empty.collect();
    let first = empty.first()?;
    let clients = first.arms.iter().flat_map(|arm| &arm.rounds);
    let mut verdicts = clients
        .flat_map(|round| &round.clients)
        .filter_map(|client| client.verdict.as_ref());
    let why = verdicts.next().map_or_else(String::new, |verdict| {
        format!("; the first one: {}: {}", verdict.check, verdict.fact)
    });
    let counts = first.verdict_counts();
    let failed: u64 = counts.iter().filter_map(|count| count.failed).sum();
    let refused: u64 = counts.iter().map(|count| count.refused).sum();
    let seeds: Vec<String> = empty.iter().map(|report| report.seed.to_string()).collect();
    Some(
        Failure::new(format!(
            "no update counted in any round of seed {}: {failed} failed, {refused} were refused{why}",
            seeds.join(", ")
        ))
        .hint(
            "Every arm's adapter is the first one: the table says nothing about the experiment. The \
             run is finished and holds; mend what failed and begin another.",
        ),
    )
}

/// The experiment's seeds, the first `count` of them; more are counted on from its last, each once.
fn seeds(experiment: &Experiment, count: u64) -> Vec<u64> {
    let given = &experiment.seeds;
    let last = given.last().copied().unwrap_or(0);
    let more = (1..)
        .map(|step| last.wrapping_add(step))
        .filter(|seed| !given.contains(seed));
    given
        .iter()
        .copied()
        .chain(more)
        .take(count as usize)
        .collect()
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
        // Counting on passes those that are there.
        let experiment = Experiment {
            seeds: vec![2, 1],
            ..experiment
        };
        assert_eq!(seeds(&experiment, 4), [2, 1, 3, 4]);
    }
}
