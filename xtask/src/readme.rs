//! Measured figures: kept in `target/figures/NAME.json`, shown in README and docs.
//!
//! A table in a Markdown file stands between two comments:
//! `<!-- figures: NAME PREFIX -->` and `<!-- /figures -->`. What stands between them is written
//! from the file; nothing is typed by hand. Snapshots of the files stand in `docs/figures`, so
//! that a checkout without `target` can be checked too.

mod apart;
mod lists;
mod models;
mod plots;
mod rows;

use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::process::{commit, root};
use crate::{Outcome, fail};
use lists::shown;

const FILES: [&str; 6] = [
    "README.md",
    "docs/FEDERATION.md",
    "docs/MODELS.md",
    "docs/RESULTS.md",
    "docs/PERFORMANCE.md",
    "docs/METHODS.md",
];

/// Adds figures of one unit to `target/figures/FILE.json`, replacing those of the same name.
pub(crate) fn keep(file: &str, command: &str, figures: &[(String, f64)], unit: &str) -> Outcome {
    let path = root().join("target/figures").join(format!("{file}.json"));
    let mut all = read(&path).unwrap_or_default();
    let machine = all
        .first()
        .and_then(|figure| figure.get("machine").cloned())
        .unwrap_or_else(|| json!(machine()));
    for (name, value) in figures {
        all.retain(|figure| figure.get("name").and_then(Value::as_str) != Some(name));
        let figure = json!({
            "name": name, "value": value, "unit": unit, "peer": null, "ratio": null,
            "commit": commit(), "machine": machine, "command": command,
        });
        all.extend(figure.as_object().cloned());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(
        &path,
        serde_json::to_string_pretty(&json!({ "figures": all }))?,
    )?;
    Ok(())
}

/// Figures of a file: those that were kept in `docs/figures`, with what was measured since in their places.
pub(crate) fn kept(file: &str) -> Vec<Map<String, Value>> {
    let of = |folder: &str| {
        let path = root().join(folder).join(format!("{file}.json"));
        read(&path).unwrap_or_default()
    };
    merged(of("docs/figures"), of("target/figures"))
}

/// Puts figures into `target/figures/FILE.json`, in place of those of the same names.
pub(crate) fn replace(file: &str, figures: Vec<Map<String, Value>>) -> Outcome {
    let path = root().join("target/figures").join(format!("{file}.json"));
    let all = merged(read(&path).unwrap_or_default(), figures);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(&json!({ "figures": all }))?;
    fs::write(&path, text + "\n")?;
    eprintln!("    written: {}", path.display());
    Ok(())
}

/// The processor and how many of its cores there are.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or(": unknown");
    format!(
        "{}, {cores} cores",
        model.trim_start_matches(['\t', ' ', ':'])
    )
}

/// `cargo xtask readme [--check]`.
pub(crate) fn readme(arguments: &[String]) -> Outcome {
    let check = arguments.iter().any(|word| word == "--check");
    if !check {
        snapshot()?;
    }
    for name in FILES {
        let path = root().join(name);
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let filled = fill(&text)?;
        if filled == text {
            continue;
        }
        if check {
            return fail(format!(
                "{name}: a table differs from docs/figures; run `cargo xtask readme`"
            ));
        }
        fs::write(&path, filled)?;
        eprintln!("    filled {name}");
    }
    draw(check)
}

/// Writes the plots of the table, or checks that they are what they would be.
fn draw(check: bool) -> Outcome {
    let docs = root().join("docs");
    let figures = read(&docs.join("figures/table.json")).unwrap_or_default();
    for (name, svg) in plots::all(&figures) {
        let path = docs.join(name);
        if fs::read_to_string(&path).is_ok_and(|old| old == svg) {
            continue;
        }
        if check {
            return fail(format!(
                "docs/{name} differs from docs/figures; run `cargo xtask readme`"
            ));
        }
        fs::write(&path, svg)?;
        eprintln!("    drawn docs/{name}");
    }
    Ok(())
}

/// Takes what was measured over into `docs/figures`. A command that was run in part measured some figures of
/// its file: the others stay as they were.
fn snapshot() -> Outcome {
    let measured = root().join("target/figures");
    let kept = root().join("docs/figures");
    fs::create_dir_all(&kept)?;
    let Ok(entries) = fs::read_dir(&measured) else {
        return Ok(());
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let named = path.extension().is_some_and(|ending| ending == "json");
        let (Some(name), true, Some(new)) = (path.file_name(), named, read(&path)) else {
            continue;
        };
        let to = kept.join(name);
        let figures = merged(read(&to).unwrap_or_default(), new);
        let text = serde_json::to_string_pretty(&json!({ "figures": figures }))?;
        fs::write(&to, text + "\n")?;
    }
    Ok(())
}

/// Figures with those of `new` in the place of those of their names, or behind all.
fn merged(
    mut figures: Vec<Map<String, Value>>,
    new: Vec<Map<String, Value>>,
) -> Vec<Map<String, Value>> {
    for figure in new {
        match figures
            .iter_mut()
            .find(|old| old.get("name") == figure.get("name"))
        {
            Some(old) => *old = figure,
            None => figures.push(figure),
        }
    }
    figures
}

fn read(path: &PathBuf) -> Option<Vec<Map<String, Value>>> {
    let value: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let list = value.get("figures")?.as_array()?;
    Some(
        list.iter()
            .filter_map(|figure| figure.as_object().cloned())
            .collect(),
    )
}

fn fill(text: &str) -> Outcome<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(start) = rest.find("<!-- figures: ") {
        let (before, from) = rest.split_at(start);
        let Some((head, body)) = from.split_once("-->\n") else {
            return fail("a figures comment without `-->`");
        };
        let Some((_, after)) = body.split_once("<!-- /figures -->") else {
            return fail(format!("`{head}-->` has no `<!-- /figures -->`"));
        };
        let words: Vec<&str> = head
            .trim_start_matches("<!-- figures: ")
            .split_whitespace()
            .collect();
        out.push_str(before);
        out.push_str(head);
        out.push_str("-->\n");
        out.push_str(&table(&words)?);
        out.push_str("<!-- /figures -->");
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// `models NAME`: one row a checkpoint. `apart NAME`: one row a rule beside another one. `arms NAME`: one row an
/// arm. `seeds NAME-seeds`: mean and spread of each arm. `sweep NAME`: one row a share. `list NAME [PREFIX]`,
/// `bench NAME [PREFIX]`: one row a figure. `rows NAME PART`: one row an arm of a part of the table. `plot NAME
/// FILE`: the image.
fn table(words: &[&str]) -> Outcome<String> {
    let (kind, name) = match words {
        [kind, name, ..] => (*kind, *name),
        _ => return fail("a figures comment names a kind (arms, list) and a file"),
    };
    let path = root().join("docs/figures").join(format!("{name}.json"));
    let Some(figures) = read(&path) else {
        return Ok("| not measured on this commit |\n| --- |\n".into());
    };
    match kind {
        "arms" => Ok(arms(&figures)),
        "seeds" => Ok(seeds(&figures)),
        "sweep" => Ok(sweep(&figures)),
        "policies" => Ok(policies(&figures)),
        "models" => Ok(models::table(&figures)),
        "apart" => Ok(apart::table(&figures)),
        "rows" => Ok(rows::table(&figures, words.get(2).copied().unwrap_or(""))),
        "plot" => plots::image(&figures, words.get(2).copied().unwrap_or(""))
            .ok_or_else(|| crate::Failure(format!("no plot of that file: {words:?}"))),
        "list" => Ok(lists::list(&figures, words.get(2).copied().unwrap_or(""))),
        "bench" => Ok(lists::bench(&figures, words.get(2).copied().unwrap_or(""))),
        other => fail(format!(
            "unknown kind of figures {other:?}; known: arms, seeds, sweep, policies, models, apart, list, \
             bench, rows, plot"
        )),
    }
}

fn arms(figures: &[Map<String, Value>]) -> String {
    let text = |name: String| {
        let figure = figures
            .iter()
            .find(|f| f.get("name").and_then(Value::as_str) == Some(&name));
        figure.map_or_else(|| "–".to_owned(), shown)
    };
    let mut out = String::from(
        "| arm | safety % (95 % interval) | helpfulness % (95 % interval) | prompts |\n| --- | --- | --- | --- |\n",
    );
    let all = [
        "base",
        "clean",
        "fedavg",
        "median",
        "krum",
        "provenance",
        "behaviour",
        "defended",
    ];
    for arm in all {
        let names = [
            format!("{arm}.safety"),
            format!("{arm}.helpfulness"),
            format!("{arm}.prompts"),
        ];
        let [safety, helpfulness, prompts] = names.map(&text);
        out.push_str(&format!(
            "| {arm} | {safety} | {helpfulness} | {prompts} |\n"
        ));
    }
    for (name, label) in [("run.seconds", "seconds"), ("run.peak_mb", "peak MB")] {
        out.push_str(&format!("| *{label}* | {} | | |\n", text(name.into())));
    }
    let (equal, total) = (text("replay.equal".into()), text("replay.total".into()));
    out.push_str(&format!("| *replays equal* | {equal} of {total} | | |\n"));
    if let Some(first) = figures.first() {
        let field = |key: &str| {
            first
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or("–")
                .to_owned()
        };
        out.push_str(&format!(
            "\n`{}` at {}, {}\n",
            field("command"),
            field("commit"),
            field("machine")
        ));
    }
    out
}

/// One row an arm, from figures named `ARM.MEASURE.mean`, `.spread` and `.seed.SEED`.
fn seeds(figures: &[Map<String, Value>]) -> String {
    let name = |figure: &Map<String, Value>| {
        let name = figure.get("name").and_then(Value::as_str);
        name.unwrap_or("").to_owned()
    };
    let value = |wanted: String| {
        let figure = figures.iter().find(|figure| name(figure) == wanted);
        figure.map_or_else(|| "–".to_owned(), shown)
    };
    let names: Vec<String> = figures.iter().map(name).collect();
    let arms: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".safety.mean"))
        .collect();
    let numbers: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_prefix("clean.safety.seed."))
        .collect();
    let mut out = format!(
        "| arm | safety %, mean ± spread | safety % at seed {} | helpfulness %, mean ± spread |\n| --- | --- | --- | --- |\n",
        numbers.join(" / ")
    );
    for arm in arms {
        let each: Vec<String> = numbers
            .iter()
            .map(|seed| value(format!("{arm}.safety.seed.{seed}")))
            .collect();
        out.push_str(&format!(
            "| {arm} | {} ± {} | {} | {} ± {} |\n",
            value(format!("{arm}.safety.mean")),
            value(format!("{arm}.safety.spread")),
            each.join(" / "),
            value(format!("{arm}.helpfulness.mean")),
            value(format!("{arm}.helpfulness.spread")),
        ));
    }
    out
}

/// One row a share, from figures named `share.SHARE.ARM.MEASURE`.
fn sweep(figures: &[Map<String, Value>]) -> String {
    let name = |figure: &Map<String, Value>| {
        figure
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let mut shares: Vec<String> = figures
        .iter()
        .filter_map(|figure| {
            Some(
                name(figure)
                    .strip_prefix("share.")?
                    .rsplitn(3, '.')
                    .nth(2)?
                    .to_owned(),
            )
        })
        .collect();
    shares.dedup();
    let mut out = String::from(
        "| refusal share | clean: safety % | attacked: safety % | clean: helpfulness % | attacked: helpfulness % |\n| --- | --- | --- | --- | --- |\n",
    );
    for share in shares {
        let cell = |arm: &str, measure: &str| {
            let wanted = format!("share.{share}.{arm}.{measure}");
            figures
                .iter()
                .find(|figure| name(figure) == wanted)
                .map_or_else(|| "–".to_owned(), shown)
        };
        out.push_str(&format!(
            "| {share} | {} | {} | {} | {} |\n",
            cell("clean", "safety"),
            cell("fedavg", "safety"),
            cell("clean", "helpfulness"),
            cell("fedavg", "helpfulness")
        ));
    }
    out
}

/// Policies that mean no harm: telling them apart is a false alarm.
const HONEST: [&str; 10] = [
    "benign",
    "fedprox",
    "scaffold",
    "lisa",
    "text-to-instructions",
    "u2s-bm25",
    "u2s-ngrams",
    "u2s-perplexity",
    "u2s-random",
    "u2s-zero-shot",
];

/// One row a policy, from figures named `POLICY.attestation`, `.behaviour`, `.length`. A policy is
/// told apart where the whole interval of one of its rates lies above that of the honest one.
fn policies(figures: &[Map<String, Value>]) -> String {
    let find = |name: &str| {
        figures
            .iter()
            .find(|figure| figure.get("name").and_then(Value::as_str) == Some(name))
    };
    let end = |name: &str, key: &str| find(name)?.get(key)?.as_f64();
    let mut out = String::from(
        "| policy | refused by attestation % (95 % interval) | refused by behaviour % (95 % interval) | length | checks that refuse | told apart by |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for figure in figures {
        let name = figure.get("name").and_then(Value::as_str).unwrap_or("");
        let Some(policy) = name.strip_suffix(".attestation") else {
            continue;
        };
        let apart = |what: &str| {
            let low = end(&format!("{policy}.{what}"), "low");
            let honest = end(&format!("benign.{what}"), "high");
            low.zip(honest).is_some_and(|(low, honest)| low > honest)
        };
        let told = match (apart("attestation"), apart("behaviour")) {
            (true, true) => "both",
            (true, false) => "attestation",
            (false, true) => "behaviour",
            (false, false) => "no",
        };
        let told = match (HONEST.contains(&policy), told) {
            (true, "no") => "no: honest".to_owned(),
            (true, by) => format!("{by}: a false alarm, it is honest"),
            (false, "no") => "**no**".to_owned(),
            (false, by) => by.to_owned(),
        };
        let checks: Vec<&str> = figure
            .get("by")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let text = |what: &str| {
            let figure = find(&format!("{policy}.{what}"));
            figure.map_or_else(|| "–".to_owned(), shown)
        };
        let length = end(&format!("{policy}.length"), "value").unwrap_or(0.0);
        out.push_str(&format!(
            "| {policy} | {} | {} | {length:.2} | {} | {told} |\n",
            text("attestation"),
            text("behaviour"),
            checks.join(", "),
        ));
    }
    if let Some(first) = figures.first() {
        let field = |key: &str| first.get(key).and_then(Value::as_str).unwrap_or("–");
        let runs = |policy: &str| {
            let figure = find(&format!("{policy}.runs"));
            figure.map_or_else(|| "–".to_owned(), shown)
        };
        out.push_str(&format!(
            "\n{} runs of the honest one, {} of each other; `{}` at {}, {}\n",
            runs("benign"),
            runs("sign-flip"),
            field("command"),
            field("commit"),
            field("machine")
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_were_not_measured_again_stay() {
        let list = |values: &[(&str, u32)]| -> Vec<Map<String, Value>> {
            let figure = |(name, value): &(&str, u32)| json!({"name": name, "value": value});
            let figures = values.iter().map(figure);
            figures
                .filter_map(|figure| figure.as_object().cloned())
                .collect()
        };
        let kept = list(&[("a", 1), ("b", 2)]);
        let new = list(&[("c", 4), ("b", 3)]);
        assert_eq!(merged(kept, new), list(&[("a", 1), ("b", 3), ("c", 4)]));
    }
}
