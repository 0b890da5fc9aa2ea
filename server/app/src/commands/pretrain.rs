//! `fedseal pretrain`

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use fedseal_federation::pretraining::{self, CheckOutcome, Recipe};
use fedseal_tuning::StepEvent;
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Failure, Outcome};
use crate::places::Places;
use crate::{output, stop};

/// Makes the embedded model from the corpus that its recipe generates.
#[derive(Args)]
pub(crate) struct Pretrain {
    /// Folder of the model's files; by default the one that is built into this program.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Make it again by the recipe recorded there and say whether the files are the same.
    #[arg(long)]
    check: bool,
}

impl Pretrain {
    /// Makes or checks; minutes either way.
    pub(crate) fn execute(self) -> Outcome {
        let dir = match self.out {
            Some(given) => given,
            None => Places::find()
                .needed_checkout()?
                .join("server/federation/model"),
        };
        stop::watch("stopping; nothing is written");
        let bar = ProgressBar::new(0);
        if let Ok(style) =
            ProgressStyle::with_template("{elapsed_precise} {bar:32} {pos}/{len} {msg}")
        {
            bar.set_style(style);
        }
        let mut watch = |event: StepEvent| {
            bar.set_length(event.steps as u64);
            bar.set_position(event.step as u64);
            bar.set_message(format!("loss {:.3}", event.loss));
            if stop::asked() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        if self.check {
            let outcome = pretraining::check(&dir, &mut watch).map_err(Failure::new)?;
            bar.finish_and_clear();
            return said(outcome);
        }
        let (files, made_by) =
            pretraining::make(&Recipe::default(), &mut watch).map_err(Failure::new)?;
        bar.finish_and_clear();
        pretraining::write(&dir, &files, &made_by).map_err(Failure::new)?;
        output::line(format!(
            "{}: {} parameters, final loss {:.3} nats a response token",
            dir.display(),
            made_by.parameters,
            made_by.final_loss
        ));
        for (name, digest) in &made_by.files {
            output::line(format!("  {digest}  {name}"));
        }
        Ok(())
    }
}

fn said(outcome: CheckOutcome) -> Outcome {
    match outcome {
        CheckOutcome::Same => output::line("the shipped files are what their recipe makes"),
        CheckOutcome::OtherEngine { made_by, here } => output::line(format!(
            "corpus and tokenizer are what the recipe makes; the weights were made by another \
             engine, so their bits may differ\n  made by {made_by}\n  here    {here}"
        )),
        CheckOutcome::Different {
            item,
            shipped,
            made,
        } => {
            return Err(Failure::new(format!(
                "{item} is not what the recipe makes: shipped {shipped}, made {made}"
            )));
        }
    }
    Ok(())
}
