//! Figures that tests of the pages give: steps of the journey that fail, rules of WCAG that pages break.

use std::process::Command;
use std::time::Duration;

use super::{Figure, figure, serve};
use crate::process::{output_within, root, say};
use crate::{Outcome, build, fail, setup};

/// Time that such a test may take.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Steps of the journey that fail, of all.
pub(super) fn journey() -> Outcome<Vec<Figure>> {
    say("A user's whole way, in a browser");
    let said = ran("journey")?;
    let steps = |word: &str| said.lines().filter(|line| line.starts_with(word)).count() as f64;
    // Steps are indented; the journey itself is not counted.
    let (failed, right) = (steps("    not ok "), steps("    ok "));
    if failed + right == 0.0 {
        return fail(format!("the journey made no step:\n{said}"));
    }
    if failed > 0.0 {
        eprintln!("{said}");
    }
    Ok(vec![
        figure("journey.failed", failed, "steps"),
        figure("journey.steps", failed + right, "steps"),
    ])
}

/// Rules that pages break, each page, theme and width counted.
pub(super) fn axe() -> Outcome<Vec<Figure>> {
    say("Rules of WCAG 2.2 AA, by axe-core");
    let said = ran("axe")?;
    let counts = said.lines().filter_map(|line| {
        let (_, count) = line.split_once("axe.violations ")?;
        count.trim().parse::<f64>().ok()
    });
    let counts: Vec<f64> = counts.collect();
    // A part that ended early counted nothing.
    let failed = said.lines().any(|line| line.starts_with("not ok "));
    let found: f64 = counts.iter().sum();
    if counts.is_empty() || failed && found == 0.0 {
        return fail(format!("the test of the rules came to no end:\n{said}"));
    }
    if found > 0.0 {
        eprintln!("{said}");
    }
    Ok(vec![
        figure("axe.violations", found, "rules"),
        figure("axe.themes_and_widths", counts.len() as f64, "runs"),
    ])
}

/// Lines (TAP) of a test of the pages with the program that was built, in a browser.
fn ran(name: &str) -> Outcome<String> {
    serve::build()?;
    let Some(chromium) = setup::chromium() else {
        return fail(
            "no Chromium: on Debian `apt-get install chromium`, or set CHROMIUM to a browser's path",
        );
    };
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter", "tap"])
        .arg(format!("tests/{name}.test.mjs"))
        .current_dir(root().join("web"))
        .env("FEDSEAL", build::fedseal().get_program())
        .env("CHROMIUM", chromium);
    let ran = output_within(&mut node, LIMIT)?;
    eprint!("{}", String::from_utf8_lossy(&ran.stderr));
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}
