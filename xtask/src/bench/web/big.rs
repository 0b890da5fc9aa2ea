//! A run of 1,000 rounds, 100 clients and 10 arms in a browser: time until its page is open, memory of the
//! server, frames a second while its overview is panned; and one of 2 arms beside the pages and the server of an
//! earlier revision. Both runs are made by a script (web/bench/big.mjs).

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::serve::{self, Server, asked, number};
use super::{Figure, figure};
use crate::Outcome;
use crate::bench::building;
use crate::process::{run, say};

/// Rounds and clients of the runs.
const SIZE: [&str; 2] = ["1000", "100"];
/// Visits of which the median counts.
const VISITS: &str = "5";
/// Visits of the earlier pages, each of which takes long.
const VISITS_BEFORE: &str = "3";
/// Seconds for which the overview is panned, and as many for each other movement.
const SECONDS: &str = "4";
/// Time that all visits of one kind may take.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// The run of 10 arms.
pub(super) fn ten() -> Outcome<Vec<Figure>> {
    serve::build()?;
    let ten = made("10")?;
    let report = std::fs::metadata(ten.join("runs/big/report.json"))?.len();
    let mut figures = vec![figure("big_run.report_mb", report as f64 / 1e6, "MB")];

    say("A run of 10 arms in a browser");
    let server = Server::start(&ten, &[])?;
    // Right after the server's start its report is not read yet.
    let first = opened(&server, "1")?;
    let again = opened(&server, VISITS)?;
    let panned = asked("pan.mjs", &[&address(&server), SECONDS], LIMIT)?;
    for (name, said, field, unit) in [
        ("big_run.first_ms", &first, "first", "ms"),
        ("big_run.open_ms", &again, "median", "ms"),
        ("big_run.heap_mb", &again, "heap_mb", "MiB"),
        ("pan.fps", &panned, "fps", "1/s"),
        ("pan.longest_ms", &panned, "longest_ms", "ms"),
        ("pan.cursor_fps", &panned, "cursor_fps", "1/s"),
    ] {
        figures.push(figure(name, number(said, field)?, unit));
    }
    figures.push(figure("big_run.server_mb", server.most_mb()?, "MiB"));
    Ok(figures)
}

/// The run of 2 arms, beside the pages and the server of an earlier revision, which is built first where it is
/// not there.
pub(super) fn two() -> Outcome<Vec<Figure>> {
    let (before, revision) = building::before()?;
    say(&format!("A run of 2 arms, today and with {revision}"));
    let two = made("2")?;
    let server = Server::start(&two, &[])?;
    let now = number(&opened(&server, VISITS)?, "median")?;
    drop(server);
    let mut program = Command::new(before.join("target/debug/fedseal"));
    program
        .args(["serve", "--addr", "127.0.0.1:0", "--runs"])
        .arg(two.join("runs"))
        .current_dir(&before)
        .env("FEDSEAL_HOME", two.join("home"));
    let server = Server::of(&mut program)?;
    let then = opened(&server, VISITS_BEFORE)?;
    eprintln!(
        "    {revision}: {then}, its server {:.0} MiB",
        server.most_mb()?
    );
    let then = number(&then, "median")?;
    Ok(vec![Figure {
        name: "big_run.today_ratio".into(),
        value: then / now,
        unit: "x".into(),
        peer: Some(format!("{revision} {then:.0} ms, now {now:.0} ms")),
        ratio: Some(then / now),
    }])
}

/// A folder with the run of so many arms, made where there is none.
fn made(arms: &str) -> Outcome<PathBuf> {
    let folder = serve::folder(&format!("big-{arms}"));
    let out = folder.join("runs/big");
    // Written last.
    if !out.join("log/checkpoint").is_file() {
        say(&format!("A run of {arms} arms to look at"));
        run(serve::script("big.mjs")?.arg(&out).args(SIZE).arg(arms))?;
    }
    Ok(folder)
}

fn address(server: &Server) -> String {
    format!("http://{}/runs/big", server.address)
}

/// Visits to the run's page.
fn opened(server: &Server, visits: &str) -> Outcome<Value> {
    let said = asked("open.mjs", &[&address(server), visits], LIMIT)?;
    eprintln!("    {said}");
    Ok(said)
}
