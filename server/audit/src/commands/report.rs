//! `fedseal report RUN --out FILE`

use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_client_sdk::record::Record;
use fedseal_record::opened::OpenRun;
use fedseal_record::read::experiment_text;
use fedseal_record::report::{Conclusion, Report as Reported};
use fedseal_record::rundir::{MAX_REPORT, write_atomically};
use fedseal_rules::evaluation::percent;
use serde_json::json;

use super::runs::{find, state};
use crate::document::{Document, Proved, html, markdown};
use crate::failure::{Failure, Outcome};
use crate::places::Places;
use crate::{differences, output, table};

/// Writes a run's report as one file that needs nothing else: its conclusion, its tables, its evidence and its
/// experiment. Where the run is over, the HTML file checks itself wherever it is opened, without a network.
#[derive(Args)]
pub struct Report {
    /// The run's folder, or its name in the list of `fedseal runs`.
    run: PathBuf,
    /// The file: .html, which loads nothing, or .md.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

impl Report {
    /// Writes it.
    pub fn execute(self) -> Outcome {
        let ending = self.out.extension().and_then(|ending| ending.to_str());
        let render = match ending {
            Some("html") => html,
            Some("md") => markdown,
            _ => {
                let out = self.out.display();
                return Err(Failure::usage(format!("{out}: its ending names no format"))
                    .hint("A report is written as .html or .md."));
            }
        };
        let folder = find(&self.run)?;
        let text = render(&document(&folder)?);
        write_atomically(&self.out, text.as_bytes())?;
        output::line(format!("the report is in {}", self.out.display()));
        Ok(())
    }
}

/// The report of a run, which is the logged one where the run is over.
fn document(folder: &Path) -> Outcome<Document> {
    let open = OpenRun::read(folder)?;
    let report = open.report()?;
    let conclusion = Conclusion::of(&report)
        .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    let checkpoint = open.log.checkpoint();
    let mut document = Document::new(&report.title);
    document.text(format!(
        "Run {}, {}, seed {}, begun {}, {} of work, peak memory {:.0} MiB.",
        report.run,
        state(report.state),
        report.seed,
        report.started,
        output::duration(report.seconds),
        report.peak_mb
    ));
    document.heading("Conclusion");
    for sentence in &conclusion.sentences {
        document.text(sentence);
    }
    document.heading("Results");
    document.text("Shares in per cent; refused and failed updates of all.");
    document.named_table("results", table::rows(std::slice::from_ref(&report)));
    document.text(table::footer(std::slice::from_ref(&report)));
    let tests = differences::of(&[(folder, &report)], None)?;
    if !tests.is_empty() {
        document.heading("Differences between arms");
        document.text(differences::said(&tests));
        document.table(differences::rows(&tests));
    }
    let rounds = by_round(&report);
    if rounds.len() > 1 {
        document.heading("Safety by round");
        document.text("Per cent, after each round that was measured.");
        document.table(rounds);
    }
    let stopped = refusals(&report);
    if stopped.len() > 1 {
        document.heading("Updates that did not count");
        document.table(stopped);
    }
    if let Some(proved) = proved(&open)? {
        document.heading("Checked where you read it");
        document.text(PROVED);
        document.proved(proved);
    }
    document.heading("Evidence");
    document.text(match open.state.report.is_some() {
        true => {
            "The figures are those of the report that the log names. Whether the log is the one that others \
             see, and whether updates were executed as attested, this file cannot show: `fedseal verify` and \
             `fedseal replay` on the run's folder do."
        }
        false => "The run is not over: its report is a draft that no log entry names.",
    });
    let fact = |name: &str, value: String| vec![name.to_owned(), value];
    document.table(vec![
        fact("what", "value".into()),
        fact("node key", open.plan.node.to_string()),
        fact(
            "base model",
            format!("{}, {}", report.base.name, report.base.digest),
        ),
        fact("engine", report.engine),
        fact("log", open.plan.origin.clone()),
        fact("log root", checkpoint.root.to_string()),
        fact("log entries", checkpoint.size.to_string()),
    ]);
    document.code(open.log.note());
    document.heading("Experiment");
    document.code(&experiment_text(&open.dir, &open.plan)?);
    Ok(document)
}

/// The words above the checks of a file.
const PROVED: &str = "This file carries the logged report, the log's entry that names it, and the proof that the entry is \
    under the node's signed checkpoint; your browser checks them, and the rates above, without a network. Whoever \
    could give you another file could give another script: compare the node key with the one you know.";

/// Larger reports (bytes) are not carried along.
const MOST_CARRIED: usize = 16 << 20;

/// The verifier that checks the file; nothing where the run goes on, its report is too large, or the verifier was not built.
fn proved(open: &OpenRun) -> Outcome<Option<Proved>> {
    let size = open.log.size();
    let Some(index) = size.checked_sub(2).filter(|_| open.state.report.is_some()) else {
        return Ok(None);
    };
    let Some(verifier) = Places::find()
        .verifier()
        .and_then(|path| std::fs::read(path).ok())
    else {
        output::note(
            "fedseal: verifier.wasm is not built, so the file does not check itself; `fedseal policy build all` makes it",
        );
        return Ok(None);
    };
    let entry = open.log.entry(index)?;
    if !matches!(Record::from_bytes(&entry)?, Record::Report { .. }) {
        return Ok(None);
    }
    let bytes = open.dir.read("report.json", MAX_REPORT)?;
    let (Ok(entry), Ok(report)) = (String::from_utf8(entry), String::from_utf8(bytes)) else {
        return Ok(None);
    };
    if report.len() > MOST_CARRIED {
        output::note(format!(
            "fedseal: the report has more than {MOST_CARRIED} bytes, so the file does not check itself"
        ));
        return Ok(None);
    }
    let question = json!({"report": {"report": report, "place": {
        "index": index, "size": size, "entry": entry, "proof": open.log.prove_inclusion(index, size)?,
        "checkpoint": open.log.note(), "key": open.plan.node,
    }}});
    Ok(Some(Proved::new(question.to_string(), verifier)))
}

/// Safety of every arm after each round that was measured in some.
fn by_round(report: &Reported) -> Vec<Vec<String>> {
    let arms = report.arms.iter().filter(|arm| !arm.rounds.is_empty());
    let arms: Vec<_> = arms.collect();
    let mut head = vec!["round".to_owned()];
    head.extend(arms.iter().map(|arm| arm.id.clone()));
    let mut rows = vec![head];
    let last = arms.iter().map(|arm| arm.rounds.len()).max().unwrap_or(0);
    for place in 0..last {
        let measured = arms.iter().map(|arm| arm.rounds.get(place)?.safety);
        let measured: Vec<_> = measured.collect();
        if measured.iter().all(Option::is_none) {
            continue;
        }
        let mut row = vec![place.to_string()];
        row.extend(measured.iter().map(|safety| {
            safety.map_or_else(String::new, |safety| percent::of(safety.hits, safety.n))
        }));
        rows.push(row);
    }
    rows
}

/// Updates that admission refused, or whose execution failed, by arm, kind of client and check.
fn refusals(report: &Reported) -> Vec<Vec<String>> {
    let mut rows = vec![
        ["arm", "kind of client", "check", "updates"]
            .map(String::from)
            .to_vec(),
    ];
    for arm in &report.arms {
        let mut counts = std::collections::BTreeMap::<(&str, &str), u64>::new();
        for client in arm.rounds.iter().flat_map(|round| &round.clients) {
            if let Some(verdict) = client.verdict.as_ref().filter(|it| !it.effect.counts()) {
                let key = (client.kind.as_str(), verdict.check.as_str());
                *counts.entry(key).or_default() += 1;
            }
        }
        for ((kind, check), count) in counts {
            rows.push(vec![
                arm.id.clone(),
                kind.to_owned(),
                check.to_owned(),
                count.to_string(),
            ]);
        }
    }
    rows
}
