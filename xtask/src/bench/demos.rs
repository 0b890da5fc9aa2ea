//! The demo's run beside a revision's: five pairs in turn, each side with its own experiment and policies.
//! Both have to end every arm with the same adapter.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::Figure;
use crate::process::{root, run, say, target};
use crate::{Outcome, build, fail};

/// Pairs of runs.
const PAIRS: usize = 5;

/// `before` is a checkout of the revision with its programs in `target/debug`.
pub(super) fn bench(before: &Path, revision: &str) -> Outcome<Vec<Figure>> {
    build::everything()?;
    let sides = [
        (before.to_path_buf(), before.join("target/debug/fedseal")),
        (root(), target().join("debug/fedseal")),
    ];
    let out = root().join("target/bench-build/demo");
    let (mut ratios, mut first) = (Vec::new(), None);
    for pair in 1..=PAIRS {
        say(&format!(
            "The demo of {revision} and today's, pair {pair} of {PAIRS}"
        ));
        let mut spent = [0.0; 2];
        // Whoever goes first finds the machine otherwise than who goes second.
        let order = if pair % 2 == 1 { [0, 1] } else { [1, 0] };
        for side in order {
            let (checkout, program) = &sides[side];
            let _ = fs::remove_dir_all(&out);
            let mut command = Command::new(program);
            command
                .args(["run", "experiments/demo.toml", "--out"])
                .arg(&out)
                .current_dir(checkout)
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let started = Instant::now();
            run(&mut command)?;
            spent[side] = started.elapsed().as_secs_f64();
            let found = last_adapters(&out)?;
            let expected = first.get_or_insert_with(|| found.clone());
            if *expected != found {
                let whose = if side == 0 { revision } else { "today's" };
                return fail(format!(
                    "a demo of {whose} ended with other adapters than the first one of {revision}: {found:?}, \
                     expected {expected:?}"
                ));
            }
        }
        eprintln!("    {:.1} s, now {:.1} s", spent[0], spent[1]);
        ratios.push(spent[0] / spent[1]);
    }
    fs::remove_dir_all(&out)?;
    ratios.sort_by(f64::total_cmp);
    let median = ratios[PAIRS / 2];
    Ok(vec![
        Figure {
            name: "demo.ratio".to_owned(),
            value: median,
            unit: "x".to_owned(),
            peer: Some(format!("{revision}, {PAIRS} pairs in turn, median")),
            ratio: Some(median),
        },
        Figure {
            name: "demo.equal_arms".to_owned(),
            value: first.map_or(0, |adapters| adapters.len()) as f64,
            unit: "arms".to_owned(),
            peer: Some(format!("{revision}, last adapters")),
            ratio: None,
        },
    ])
}

/// The digest of each arm's last adapter.
pub(super) fn last_adapters(run: &Path) -> Outcome<BTreeMap<String, String>> {
    let report: Value = serde_json::from_slice(&fs::read(run.join("report.json"))?)?;
    let arms = report.get("arms").and_then(Value::as_array);
    let adapters: BTreeMap<String, String> = arms
        .into_iter()
        .flatten()
        .filter_map(|arm| {
            let text = |key: &str| arm.get(key).and_then(Value::as_str).map(str::to_owned);
            Some((text("id")?, text("final_adapter")?))
        })
        .collect();
    match adapters.is_empty() {
        true => fail(format!("{}: no arm with a last adapter", run.display())),
        false => Ok(adapters),
    }
}
