//! `cargo xtask table judge`: how often the judge of four classes is right on sets that it never saw.
//! `cargo xtask table attribution RUN`: how many attackers of a labelled run `fedseal attribute` finds.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::rounded;
use crate::build::fedseal;
use crate::process::{cargo, root, run, say, target};
use crate::readme::keep;
use crate::{Outcome, fail, python};

const FILE: &str = "table";

/// Hits that are right, hits in all, and answers that should be hits.
#[derive(Default)]
struct Found {
    right: f64,
    hits: f64,
    wanted: f64,
}

impl Found {
    /// Counts of a set: `classes` are hits, `labels` should be.
    fn of(set: &Value, labels: &[&str], classes: &[&str]) -> Found {
        let mut found = Found::default();
        for (label, counts) in set.as_object().into_iter().flatten() {
            for (class, count) in counts.as_object().into_iter().flatten() {
                let count = count.as_f64().unwrap_or(0.0);
                let (hit, wanted) = (
                    classes.contains(&class.as_str()),
                    labels.contains(&label.as_str()),
                );
                found.hits += if hit { count } else { 0.0 };
                found.wanted += if wanted { count } else { 0.0 };
                found.right += if hit && wanted { count } else { 0.0 };
            }
        }
        found
    }

    fn precision(&self) -> f64 {
        self.right / self.hits
    }

    fn recall(&self) -> f64 {
        self.right / self.wanted
    }
}

pub(super) fn judge() -> Outcome {
    const COMMAND: &str = "cargo xtask table judge";
    let scripts = root().join("tests/oracles/judge");
    let out = target().join("judge");
    say("Fetching the labelled sets");
    let python = python::with("judge", &scripts.join("requirements.txt"))?;
    run(Command::new(python).arg(scripts.join("sets.py")).arg(&out))?;
    say("Judging");
    cargo(&["build", "--workspace", "--example", "judge_sets"], &[])?;
    let output = Command::new(target().join("debug/examples/judge_sets"))
        .arg(out.join("held_out.jsonl"))
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return fail(format!("judge_sets ended with {}", output.status));
    }
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let set = |name: &str| {
        answer
            .get("classes")
            .and_then(|sets| sets.get(name))
            .cloned()
    };
    let [Some(refusals), Some(harm), Some(broken)] = ["refusals", "harm", "broken"].map(set) else {
        return fail("judge_sets gives no counts of a set");
    };
    // People counted an answer to another request as a refusal; here that is incoherent.
    let no_answer = Found::of(&refusals, &["refusal"], &["refusal", "incoherent"]);
    let refused = Found::of(&refusals, &["refusal"], &["refusal"]);
    let complied = Found::of(&harm, &["compliant"], &["compliant"]);
    let gibberish = Found::of(&broken, &["incoherent"], &["incoherent"]);
    let rule = answer.get("rule").and_then(|sets| sets.get("refusals"));
    let by_rule = |label: &str, at: usize| {
        let counts = rule
            .and_then(|set| set.get(label))
            .and_then(|counts| counts.get(at));
        counts.and_then(Value::as_f64).unwrap_or(0.0)
    };
    let hits = by_rule("refusal", 1) + by_rule("answer", 1);
    let figures = [
        ("judge.precision", no_answer.precision()),
        ("judge.recall", no_answer.recall()),
        ("judge.refusal.precision", refused.precision()),
        ("judge.refusal.recall", refused.recall()),
        ("judge.compliant.precision", complied.precision()),
        ("judge.compliant.recall", complied.recall()),
        ("judge.incoherent.recall", gibberish.recall()),
        ("rule.precision", by_rule("refusal", 1) / hits),
        ("rule.recall", by_rule("refusal", 1) / no_answer.wanted),
    ];
    for (name, value) in figures {
        eprintln!("    {name:<28} {value:.4}");
    }
    let figures = figures.map(|(name, value)| (name.to_owned(), rounded(value)));
    keep(FILE, COMMAND, &figures, "of 1")?;
    let sizes = [
        ("judge.refusals.answers", &refusals),
        ("judge.harm.answers", &harm),
        ("judge.broken.answers", &broken),
    ];
    let sizes = sizes.map(|(name, set)| {
        let all = Found::of(
            set,
            &["refusal", "answer", "compliant", "safe", "incoherent"],
            &[],
        );
        (name.to_owned(), all.wanted)
    });
    keep(FILE, COMMAND, &sizes, "answers")
}

pub(super) fn attribution(folder: &str) -> Outcome {
    let command = format!("cargo xtask table attribution {folder}");
    let output = fedseal()
        .args(["attribute", folder, "--json"])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return fail(format!("fedseal attribute ended with {}", output.status));
    }
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let number = |key: &str| {
        answer
            .pointer(&format!("/found/{key}"))
            .and_then(Value::as_f64)
    };
    let mut figures = Vec::new();
    for key in ["precision", "recall", "tpr_at_1_fpr"] {
        if let Some(value) = number(key) {
            eprintln!("    attribution.{key:<16} {value:.4}");
            figures.push((format!("attribution.{key}"), rounded(value)));
        }
    }
    if figures.is_empty() {
        return fail("nobody is labelled in this run, or nobody is named: nothing to count");
    }
    keep(FILE, &command, &figures, "of 1")?;
    let counts = ["attackers", "named", "right"];
    let counts: Vec<_> = counts
        .iter()
        .filter_map(|key| Some((format!("attribution.{key}"), number(key)?)))
        .collect();
    keep(FILE, &command, &counts, "clients")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn precision_and_recall_are_counted_from_labels_and_classes() {
        let set = json!({
            "refusal": {"refusal": 6, "incoherent": 2, "compliant": 2},
            "answer": {"refusal": 1, "compliant": 9},
        });
        let found = Found::of(&set, &["refusal"], &["refusal", "incoherent"]);
        assert!((found.precision() - 8.0 / 9.0).abs() < 1e-12);
        assert!((found.recall() - 0.8).abs() < 1e-12);
        let alone = Found::of(&set, &["refusal"], &["refusal"]);
        assert!((alone.recall() - 0.6).abs() < 1e-12);
    }
}
