//! `fedseal verify … --model`: the auditor's command, and measuring again for who has the model.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use fedseal_audit::commands::verify::{Again, Verify};
use fedseal_federation::remeasure::{Compared, Finding, Watch, remeasure};
use fedseal_federation::runner::Options;
use fedseal_record::events::Event;
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::places::Places;
use crate::progress::Progress;
use crate::stop;

#[derive(Args)]
pub(crate) struct VerifyAgain {
    #[command(flatten)]
    files: Verify,
    /// Measure the opened canaries and every evaluation again, with the run's model, and compare.
    /// MODEL says where it is: `embedded`, a name below the models folder, a folder or a .gguf file; by
    /// default what the run's experiment names.
    #[arg(long, value_name = "MODEL", num_args = 0..=1, default_missing_value = "")]
    model: Option<String>,
    /// Folder of fetched models.
    #[arg(long, value_name = "DIR", requires = "model")]
    models: Option<PathBuf>,
    /// Device for --model, instead of the experiment's: auto, cpu, wgpu, vulkan or cuda.
    #[arg(long, requires = "model")]
    device: Option<String>,
    /// Threads of the CPU device for --model; 0: all cores. The bits do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "model")]
    threads: usize,
}

impl VerifyAgain {
    /// Verifies the files, then measures.
    pub(crate) fn execute(self) -> Outcome {
        let Some(model) = self.model else {
            return self.files.execute();
        };
        let models = Places::find().models_or(self.models.as_deref())?;
        let options = Options {
            models,
            device: self.device,
            threads: Some(self.threads),
            ..Options::default()
        };
        let model = (!model.is_empty()).then_some(model);
        let mut again = |run: &Path| measure(run, model.as_deref(), &options);
        self.files.execute_with(Some(&mut again))
    }
}

fn measure(run: &Path, model: Option<&str>, options: &Options) -> Outcome<Again> {
    stop::watch("stopping; press Ctrl-C again to end at once");
    let begun = Instant::now();
    let mut progress = Progress::new(false);
    let told = &mut |done: u64, total: u64, label: &str| {
        progress.event(&Event::Progress {
            seconds: begun.elapsed().as_secs_f64(),
            done,
            total,
            label: label.to_owned(),
        });
    };
    let halt = &stop::asked;
    let compared = remeasure(run, model, options, Watch { halt, told });
    progress.finish();
    Ok(shown(&compared?))
}

/// Words and numbers about what was compared.
fn shown(compared: &[Compared]) -> Again {
    let (mut equal, mut differ, mut unknown) = (0, 0, 0);
    let mut lines = Vec::new();
    for Compared { item, finding } in compared {
        match finding {
            Finding::Equal => equal += 1,
            Finding::Differs { by } => {
                differ += 1;
                lines.push(format!("{item} differs: {by}"));
            }
            Finding::NotComparable { because } => {
                unknown += 1;
                lines.push(format!("{item} is not comparable: {because}"));
            }
        }
    }
    let total = compared.len();
    lines.push(format!(
        "measured again with the model: {equal} of {total} equal, {differ} differ, {unknown} not comparable"
    ));
    let failure = match (differ, unknown) {
        (0, 0) => None,
        (0, unknown) => Some(
            Failure::new(format!(
                "{unknown} of {total} measures could not be compared"
            ))
            .hint("Measure with the run's own model and engine; without --model the files alone count."),
        ),
        (differ, _) => Some(Failure::new(format!(
            "{differ} of {total} measures differ from the record"
        ))),
    };
    Again {
        shown: json!({
            "equal": equal, "differ": differ, "not_comparable": unknown, "total": total,
            "compared": compared,
        }),
        lines,
        failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_has_its_words_and_its_exit() {
        let of = |finding| Compared {
            item: "evaluation 12".into(),
            finding,
        };
        let equal = of(Finding::Equal);
        let differs = of(Finding::Differs { by: "all".into() });
        let unknown = of(Finding::NotComparable {
            because: "another engine".into(),
        });
        let all_equal = shown(&[equal.clone(), equal.clone()]);
        assert!(all_equal.failure.is_none());
        assert_eq!(all_equal.shown["equal"], 2);
        let some = shown(&[equal.clone(), unknown.clone()]);
        assert!(
            some.failure
                .unwrap()
                .to_string()
                .contains("1 of 2 measures could not")
        );
        assert!(some.lines[0].contains("evaluation 12 is not comparable: another engine"));
        let wrong = shown(&[equal, differs, unknown]);
        assert!(
            wrong
                .failure
                .unwrap()
                .to_string()
                .contains("1 of 3 measures differ")
        );
        assert_eq!(wrong.shown["compared"][1]["finding"], "differs");
        assert_eq!(wrong.shown["compared"][1]["by"], "all");
        assert_eq!(wrong.shown["compared"][2]["finding"], "not-comparable");
    }
}
