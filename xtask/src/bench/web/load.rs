//! Time of the first page in a browser, requests a second, and what watchers cost a run.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::serve::{self, Server, asked, number};
use super::{Figure, figure};
use crate::process::{output_within, root, say, wait_within};
use crate::{Outcome, fail, setup};

/// Watchers of a run.
const WATCHERS: usize = 200;
/// Runs with watchers, and as many without, in turn.
const PAIRS: usize = 5;
/// Rounds of these runs.
const ROUNDS: usize = 40;
/// Connections that ask at once.
const CONNECTIONS: &str = "32";
/// Seconds for which each address is asked.
const SECONDS: &str = "8";
/// Time that one visit of all, one address, or one run may take.
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// Median of 20 fresh visits, ms.
pub(super) fn interactive() -> Outcome<Vec<Figure>> {
    say("The first page in a browser");
    serve::build()?;
    let server = Server::start(&serve::tiny()?, &[])?;
    let base = format!("http://{}/", server.address);
    let said = asked("interactive.mjs", &[&base, "20"], LIMIT)?;
    Ok(vec![
        figure("interactive.ms", number(&said, "median")?, "ms"),
        figure("interactive.most_ms", number(&said, "most")?, "ms"),
    ])
}

/// Requests a second of what is read most, by wrk over connections that stay open: the slowest address
/// counts, and so does the longest 99th percentile.
pub(super) fn read() -> Outcome<Vec<Figure>> {
    say("Requests a second");
    if !setup::wrk() {
        return fail("no wrk: on Debian `apt-get install wrk`");
    }
    serve::build()?;
    let server = Server::start(&serve::tiny()?, &[])?;
    let (_, report) = server.get("/api/runs/tiny", false)?;
    let report: Value = serde_json::from_str(&report)
        .map_err(|error| crate::Failure(format!("the tiny run's report: {error}")))?;
    let rounds = report["arms"].as_array().into_iter().flatten();
    let clients =
        rounds.flat_map(|arm| arm["rounds"][0]["clients"].as_array().into_iter().flatten());
    let Some(update) = clients
        .filter_map(|client| client["update"].as_str())
        .next()
    else {
        return fail("the tiny run has no update");
    };
    let paths = [
        "/api/runs".to_owned(),
        "/api/runs/tiny".to_owned(),
        format!("/api/runs/tiny/updates/{update}"),
        "/api/runs/tiny/entries?count=50".to_owned(),
        "/api/runs/tiny/arms/fedavg/rounds/0".to_owned(),
    ];
    let (mut slowest, mut longest) = (f64::INFINITY, 0.0_f64);
    for path in paths {
        let url = format!("http://{}{path}", server.address);
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", "-c", CONNECTIONS, "-d", SECONDS, "--latency", &url]);
        let ran = output_within(&mut wrk, LIMIT)?;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let after = |word: &str| {
            let line = said
                .lines()
                .find(|line| line.trim_start().starts_with(word))?;
            line.split_whitespace().last().map(str::to_owned)
        };
        let rate = after("Requests/sec:").and_then(|rate| rate.parse::<f64>().ok());
        let p99 = after("99%").and_then(|time| milliseconds(&time));
        let (Some(rate), Some(p99)) = (rate, p99) else {
            return fail(format!("wrk says of {path}:\n{said}"));
        };
        if let Some(errors) = after("Non-2xx") {
            return fail(format!("{path}: {errors} answers are refusals"));
        }
        if said.contains("Socket errors") {
            return fail(format!("{path}: connections failed:\n{said}"));
        }
        eprintln!("    {path}: {rate:.0} a second, 99 % within {p99:.1} ms");
        (slowest, longest) = (slowest.min(rate), longest.max(p99));
    }
    Ok(vec![
        figure("read.requests_per_second", slowest, "1/s"),
        figure("read.p99_ms", longest, "ms"),
    ])
}

/// Milliseconds of wrk's times: `812.00us`, `4.20ms`, `1.02s`.
fn milliseconds(time: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    units.iter().find_map(|(unit, scale)| {
        let number = time.strip_suffix(unit)?.parse::<f64>().ok()?;
        Some(number * scale)
    })
}

/// The time of runs with 200 watchers beside runs with none, in turn: medians of five each.
pub(super) fn watchers() -> Outcome<Vec<Figure>> {
    say("A run with 200 watchers, and without");
    serve::build()?;
    let folder = serve::folder("watched");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("runs"))?;
    let tiny = std::fs::read_to_string(root().join("experiments/tiny.toml"))?;
    let longer = tiny.replace("\nrounds = 2\n", &format!("\nrounds = {ROUNDS}\n"));
    if longer == tiny {
        return fail("experiments/tiny.toml has no line `rounds = 2`");
    }
    let experiment = folder.join("watched.toml");
    std::fs::write(&experiment, longer)?;
    let server = Server::start(&folder, &["--per-address", "256"])?;
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    let mut open = f64::INFINITY;
    for pair in 0..PAIRS {
        for with in [false, true] {
            let name = format!("run-{pair}-{with}");
            let out = folder.join("runs").join(&name);
            let began = Instant::now();
            let mut run = serve::running(&experiment, &out).spawn()?;
            let mut watch = None;
            if with {
                while !out.join("run.json").is_file() && run.try_wait()?.is_none() {
                    std::thread::sleep(Duration::from_millis(20));
                }
                let url = format!("http://{}/api/runs/{name}/events", server.address);
                watch = Some(Watch::begin(&url)?);
            }
            if !wait_within(&mut run, &name, LIMIT)?.success() {
                return fail(format!("{name} failed"));
            }
            let seconds = began.elapsed().as_secs_f64();
            if let Some(watch) = watch {
                open = open.min(watch.end()?);
            }
            eprintln!("    {name}: {seconds:.2} s");
            let times = if with { &mut watched } else { &mut alone };
            times.push(seconds);
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    Ok(vec![
        figure(
            "watchers.overhead",
            median(&mut watched) / median(&mut alone) - 1.0,
            "share",
        ),
        figure("watchers.open", open, "feeds"),
    ])
}

/// Watchers of a run, ended with this value.
struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Watch {
    fn begin(url: &str) -> Outcome<Watch> {
        let mut node = serve::script("watch.mjs")?;
        node.arg(url).arg(WATCHERS.to_string());
        Ok(Watch(
            node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?,
        ))
    }

    /// Ends them; how many feeds were open.
    fn end(mut self) -> Outcome<f64> {
        if let Some(mut input) = self.0.stdin.take() {
            input.write_all(b"end\n")?;
        }
        wait_within(&mut self.0, "watch.mjs", Duration::from_secs(30))?;
        let mut said = String::new();
        if let Some(mut output) = self.0.stdout.take() {
            output.read_to_string(&mut said)?;
        }
        eprintln!("    watchers: {}", said.trim());
        number(&serde_json::from_str(&said)?, "open")
    }
}
