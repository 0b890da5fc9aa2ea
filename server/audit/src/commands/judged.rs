//! `fedseal judged RUN`

use std::path::PathBuf;

use clap::Args;
use fedseal_record::judged::{self, Judgement};
use fedseal_record::opened::OpenRun;
use fedseal_rules::evaluation::four_classes::Class;
use fedseal_rules::evaluation::percent;
use serde_json::json;

use super::runs::find;
use crate::failure::{Failure, Outcome};
use crate::{output, table};

/// Checks what outside judges said of a run's answers, and counts it: the statements are signed by the run's
/// node, the answers are the logged ones, and the judges' words are there to read.
#[derive(Args)]
pub struct Judged {
    /// The run's folder, or its name in the list of `fedseal runs`.
    run: PathBuf,
    /// Print the counts as JSON.
    #[arg(long)]
    json: bool,
}

impl Judged {
    /// Checks and counts.
    pub fn execute(self) -> Outcome {
        let mut run = OpenRun::read(find(&self.run)?)?;
        let all = judged::read(&mut run)?;
        if all.is_empty() {
            return Err(Failure::usage("no judge has judged this run")
                .hint("`fedseal judge RUN --url URL --model NAME` asks one."));
        }
        if self.json {
            let shown: Vec<_> = all
                .iter()
                .map(|one| json!({"statement": one.statement, "classes": one.classes, "unread": one.unread}))
                .collect();
            output::json(&shown);
            return Ok(());
        }
        let parts: Vec<String> = all.iter().map(text).collect();
        output::line(parts.join("\n\n"));
        Ok(())
    }
}

/// A judgement as text.
pub fn text(judgement: &Judgement) -> String {
    let statement = &judgement.statement;
    let mut head = vec!["arm".to_owned()];
    head.extend(Class::ALL.map(|class| format!("{} %", class.name())));
    head.push("unread".into());
    let mut rows = vec![head];
    for (arm, shares) in &judgement.classes {
        let mut row = vec![arm.clone()];
        row.extend(shares.map(|share| percent::of(share.hits, share.n)));
        row.push(judgement.unread.get(arm).copied().unwrap_or(0).to_string());
        rows.push(row);
    }
    format!(
        "{} at {}, {}; replies are judged/{}.json\n\n{}",
        statement.model,
        statement.url,
        statement.when,
        statement.replies,
        table::aligned(&rows).trim_end()
    )
}
