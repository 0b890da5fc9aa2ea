//! Progress for people (standard error), or events for programs (standard output).

use std::io::IsTerminal as _;

use fedseal_tuning::StepEvent;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::output;

/// Where a training's progress is shown.
pub(super) struct Show {
    json: bool,
    quiet: bool,
    bar: Option<ProgressBar>,
}

impl Show {
    /// Shows a training of so many steps.
    pub(super) fn new(json: bool, quiet: bool, steps: usize) -> Self {
        let bar = (!json && !quiet && std::io::stderr().is_terminal()).then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template(
                "{elapsed_precise} {bar:32} {pos}/{len} {wide_msg} ETA {eta}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Show { json, quiet, bar }
    }

    /// An event: its fields for programs, a text for people.
    pub(super) fn event(&self, name: &str, mut fields: Value, text: &str) {
        if self.json {
            fields["event"] = name.into();
            output::line(fields);
        } else if name == "finished" {
            output::line(text);
        } else if let Some(bar) = &self.bar {
            bar.println(text);
        } else if !self.quiet {
            output::note(format_args!("    {text}"));
        }
    }

    /// An event that people need not see.
    pub(super) fn quiet_event(&self, name: &str, mut fields: Value) {
        if self.json {
            fields["event"] = name.into();
            output::line(fields);
        }
    }

    /// A step with its speed, tokens a second.
    pub(super) fn step(&self, event: StepEvent, speed: f64) {
        let text = format!("loss {:.4}, {speed:.0} tokens/s", event.loss);
        if self.json {
            output::line(json!({
                "event": "step", "step": event.step, "steps": event.steps, "loss": event.loss,
                "tokens": event.tokens, "tokens_per_second": speed,
                "learning_rate": event.learning_rate,
            }));
        } else if let Some(bar) = &self.bar {
            bar.set_position(event.step as u64);
            bar.set_message(text);
        } else if !self.quiet && (event.step.is_multiple_of(10) || event.step == event.steps) {
            output::note(format_args!(
                "    step {} of {}: {text}",
                event.step, event.steps
            ));
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
