//! Events of a run as numbers and lines for programs that watch this one.

use fedseal_record::events::Event;
use serde_json::Value;

use crate::logs::{self, Level};
use crate::metrics;

/// Counts an event of a run and, where lines were asked for, writes one about it.
pub(crate) fn event(run: &str, event: &Event) {
    match event {
        Event::Progress { done, total, .. } => {
            metrics::STEPS.set(&["done"], *done as f64);
            metrics::STEPS.set(&["all"], *total as f64);
        }
        Event::Update {
            seconds, failure, ..
        } => {
            let outcome = match failure {
                None => "update",
                Some(_) => "failure",
            };
            metrics::UPDATES.add(&[outcome], 1.0);
            metrics::UPDATE_SECONDS.observe(&[], *seconds);
        }
        Event::Verdict { effect, check, .. } => {
            metrics::VERDICTS.add(&[effect.as_str(), check], 1.0);
        }
        Event::Round { unchanged, .. } => {
            metrics::ROUNDS.add(&[if *unchanged { "false" } else { "true" }], 1.0);
        }
        Event::Tick => return,
        _ => (),
    }
    if logs::on()
        && let Ok(Value::Object(mut fields)) = serde_json::to_value(event)
    {
        let name = match fields.remove("type") {
            Some(Value::String(name)) => name,
            _ => "event".into(),
        };
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        logs::line(
            Level::Info,
            &name,
            [("run", Value::from(run))].into_iter().chain(fields),
        );
    }
}
