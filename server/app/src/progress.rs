//! Progress of a run: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use fedseal_record::events::Event;
use fedseal_record::report::Rate;
use fedseal_rules::evaluation::percent;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{self, duration};

/// Least time between two lines of progress off a terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Shows the events of a run on standard error.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    printed: Instant,
}

impl Progress {
    /// With `quiet` nothing is shown.
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            let style =
                ProgressStyle::with_template("{elapsed_precise} {bar:32} {pos}/{len} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Progress {
            bar,
            quiet,
            // So that the first event of a run is seen at once.
            printed: Instant::now()
                .checked_sub(LINE_EVERY)
                .unwrap_or_else(Instant::now),
        }
    }

    /// Shows one event.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Progress {
                seconds,
                done,
                total,
                label,
            } => match &self.bar {
                Some(bar) => {
                    bar.set_length(*total);
                    bar.set_position(*done);
                    bar.set_message(label.clone());
                }
                None if self.printed.elapsed() >= LINE_EVERY => {
                    self.printed = Instant::now();
                    self.line(&format!(
                        "{done}/{total} after {}: {label}",
                        duration(*seconds)
                    ));
                }
                None => (),
            },
            Event::Update {
                client,
                round,
                failure: Some(failure),
                ..
            } => {
                self.line(&format!("{client}, round {round}: no update: {failure}"));
            }
            Event::Evaluated {
                arm,
                last: true,
                safety,
                helpfulness,
                ..
            } => self.line(&format!(
                "{arm}: safety {}, helpfulness {}",
                share(safety),
                share(helpfulness)
            )),
            Event::Round {
                arm,
                round,
                counted,
                unchanged: true,
                ..
            } => self.line(&format!(
                "{arm}, round {round}: changed nothing ({counted} updates counted)"
            )),
            Event::Said {
                client,
                round,
                lines,
                ..
            } => {
                for line in lines {
                    self.line(&format!("{client}, round {round}, says: {line}"));
                }
            }
            Event::Note { text } => self.line(text),
            Event::Finished { seconds } => {
                self.line(&format!("finished in {}", duration(*seconds)))
            }
            _ => (),
        }
    }

    /// Ends the bar, so that what is printed next stands on a clean line.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("    {text}")),
            None if self.quiet => (),
            None => output::note(format_args!("    {text}")),
        }
    }
}

/// A rate in per cent; of nothing that was asked there is none.
fn share(rate: &Rate) -> String {
    match rate.n {
        0 => "not measured".to_owned(),
        n => format!("{} %", percent::of(rate.hits, n)),
    }
}
