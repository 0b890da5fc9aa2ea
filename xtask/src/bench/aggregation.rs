//! `cargo xtask bench aggregation`: aggregation rules beside Flower, ByzFL, numpy and torch, the loops that
//! they had before, and what memory allows.
//!
//! Every side is a process that holds the same number of updates and is asked in turn. Bandwidth is what a
//! copy with the same threads reads and writes; a rule's is what it has to read and write once.

use std::process::Command;
use std::time::Duration;

use super::worker::{Worker, median};
use super::{Figure, write};
use crate::process::{cargo, root, say, target};
use crate::{Outcome, fail, python};

/// Threads of every side.
const THREADS: usize = 2;

/// Attackers that both sides of Krum expect.
const MALICIOUS: usize = 2;

/// Clients and values of the measurements.
const SHAPES: [(usize, usize); 3] = [(10, 1_000_000), (10, 2_000_000), (100, 500_000)];

/// Rules, what each is called in figures, and the peers that have it.
const RULES: [(&str, &str, &[&str]); 4] = [
    ("fedavg", "fedavg", &["flwr", "byzfl", "numpy", "torch"]),
    ("median", "median", &["flwr", "byzfl", "numpy", "torch"]),
    (
        "trimmed-mean",
        "trimmed",
        &["flwr", "byzfl", "numpy", "torch"],
    ),
    ("krum", "krum", &["flwr", "byzfl", "torch"]),
];

/// Rules that have no peer of their name.
const ALONE: [&str; 3] = ["krum-original", "multi-krum", "dnc"];

/// Rules that are measured with ten clients alone.
const OF_TEN: [&str; 7] = [
    "foolsgold",
    "residual",
    "bulyan",
    "geometric-median",
    "centred-clipping",
    "clipped-clustering",
    "norm-clipping",
];

/// Rules that need each update once.
const STREAMED: [&str; 3] = ["fedavg", "norm-clipping", "centred-clipping"];

/// Time between two measurements.
const REST: Duration = Duration::from_millis(50);

/// Parts that can be measured alone: a piece of ten minutes at most on two cores.
const PARTS: [&str; 3] = ["ten", "hundred", "stream"];

/// Options of the command.
struct Options {
    rounds: usize,
    /// One of [`PARTS`]; none: all of them.
    part: Option<String>,
}

impl Options {
    fn read(arguments: &[String]) -> Outcome<Self> {
        let mut options = Options {
            rounds: 7,
            part: None,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--rounds" => match words.next().map(|number| number.parse::<usize>()) {
                    Some(Ok(number)) if number > 0 => options.rounds = number,
                    _ => return fail("--rounds needs a number above 0"),
                },
                part if PARTS.contains(&part) && options.part.is_none() => {
                    options.part = Some(part.to_owned());
                }
                other => {
                    return fail(format!(
                        "`cargo xtask bench aggregation` takes one of {}, and --rounds N; found {other:?}",
                        PARTS.join(", ")
                    ));
                }
            }
        }
        Ok(options)
    }

    /// Whether a part is measured.
    fn has(&self, part: &str) -> bool {
        self.part.as_deref().is_none_or(|only| only == part)
    }

    /// Clients and values of the measurements.
    fn shapes(&self) -> Vec<(usize, usize)> {
        let part = |clients: usize| if clients == 10 { "ten" } else { "hundred" };
        let shapes = SHAPES.into_iter();
        shapes
            .filter(|(clients, _)| self.has(part(*clients)))
            .collect()
    }
}

/// `cargo xtask bench aggregation [ten|hundred|stream] [--rounds N]`.
pub(super) fn bench(arguments: &[String]) -> Outcome {
    let options = Options::read(arguments)?;
    say("Building our side");
    // The whole workspace's features, so that nothing is built twice.
    cargo(
        &["build", "--workspace", "--example", "bench_aggregation"],
        &[],
    )?;
    let threads = THREADS.to_string();
    let start = || {
        Worker::start(
            "fedseal",
            Command::new(target().join("debug/examples/bench_aggregation"))
                .env("RAYON_NUM_THREADS", &threads),
        )
    };
    let mut figures = Vec::new();
    if options.has("stream") {
        figures.extend(streamed(&start)?);
    }
    let shapes = options.shapes();
    if !shapes.is_empty() {
        figures.extend(beside(&start, &threads, &shapes, options.rounds)?);
    }
    say("Results");
    for figure in &figures {
        eprintln!("    {figure}");
    }
    if options.rounds < 5 {
        eprintln!("    fewer than 5 rounds: target/figures is left as it is");
        return Ok(());
    }
    write("bench-aggregation", "aggregation", &figures)
}

/// Figures of rules beside peers, for some shapes.
fn beside(
    start: &dyn Fn() -> Outcome<Worker>,
    threads: &str,
    shapes: &[(usize, usize)],
    rounds: usize,
) -> Outcome<Vec<Figure>> {
    let folder = root().join("tests/oracles/aggregation");
    let python = python::with("aggregation", &folder.join("requirements.txt"))?;
    let mut ours = start()?;
    let mut peers = Worker::start(
        "peers",
        Command::new(python)
            .arg(folder.join("peers.py"))
            .arg(threads)
            .env("OMP_NUM_THREADS", threads)
            .env("OPENBLAS_NUM_THREADS", threads),
    )?;
    let mut all = Vec::new();
    for shape in shapes {
        all.push(measured(&mut ours, &mut peers, *shape, rounds)?);
    }
    Ok(figures(&all))
}

/// Rules that take a thousand updates of a million values one after another, in a process each: the largest
/// memory of any, and the time of each.
fn streamed(start: &dyn Fn() -> Outcome<Worker>) -> Outcome<Vec<Figure>> {
    say("1,000 updates of 1,000,000 values, one after another");
    let (mut peak, mut figures) = (0.0_f64, Vec::new());
    for rule in STREAMED {
        let answer = start()?.ask(&format!("stream {rule} 1000 1000000"))?;
        let number = |key: &str| answer.get(key).and_then(serde_json::Value::as_f64);
        let (Some(seconds), Some(of)) = (number("seconds"), number("peak_mb")) else {
            return fail(format!("{rule}: no seconds and memory, but {answer}"));
        };
        peak = peak.max(of);
        figures.push(figure(format!("stream.{rule}.seconds"), seconds, "s"));
    }
    figures.push(figure("stream.peak_mb".to_owned(), peak, "MiB"));
    Ok(figures)
}

/// Seconds of one shape, by side and rule: `fedseal fedavg`, `flwr median`, `copy`.
struct Measured {
    clients: usize,
    values: usize,
    seconds: Vec<(String, f64)>,
}

impl Measured {
    fn of(&self, name: &str) -> Option<f64> {
        let found = self.seconds.iter().find(|(of, _)| of == name);
        found.map(|(_, seconds)| *seconds)
    }

    /// Bytes of all updates.
    fn bytes(&self) -> f64 {
        4.0 * self.clients as f64 * self.values as f64
    }

    /// Share of a copy's bandwidth that a rule has which reads every update and writes one.
    fn copy_share(&self, rule: &str) -> Option<f64> {
        let moved = self.bytes() + 4.0 * self.values as f64;
        // A copy of half of the updates reads one half and writes the other.
        let copied = self.bytes() / self.of("copy")?;
        Some(moved / self.of(&format!("fedseal {rule}"))? / copied)
    }

    /// Share of the bandwidth of reading that a form of Krum has: it reads every update for the distances, and
    /// the chosen ones again for their mean.
    fn read_share(&self, rule: &str, chosen: usize) -> Option<f64> {
        let read = (self.clients + chosen) as f64 / self.clients as f64;
        Some(read * self.of("read")? / self.of(&format!("fedseal {rule}"))?)
    }

    /// The lower one of both forms' shares.
    fn krum_share(&self) -> Option<f64> {
        let one = self.read_share("krum-original", 1)?;
        Some(one.min(self.read_share("krum", self.clients - MALICIOUS)?))
    }

    /// How many times as long another side takes.
    fn times(&self, other: &str, rule: &str) -> Option<f64> {
        // The Krum of others gives one update.
        let own = match (rule, other) {
            ("krum", "before") => "krum",
            ("krum", _) => "krum-original",
            (rule, _) => rule,
        };
        Some(self.of(&format!("{other} {rule}"))? / self.of(&format!("fedseal {own}"))?)
    }

    /// The fastest of other sides.
    fn least(&self, others: &[&str], rule: &str) -> Option<f64> {
        let times = others.iter().filter_map(|other| self.times(other, rule));
        times.reduce(f64::min)
    }
}

/// A command of a side, and what its time is called.
struct Asked {
    ours: bool,
    command: String,
    name: String,
}

fn asked(clients: usize) -> Vec<Asked> {
    let mut all = Vec::new();
    let mut add = |ours: bool, command: String, name: String| {
        all.push(Asked {
            ours,
            command,
            name,
        });
    };
    for command in ["copy", "read"] {
        add(true, command.to_owned(), command.to_owned());
    }
    for (rule, _, others) in RULES {
        add(true, format!("time {rule}"), format!("fedseal {rule}"));
        add(true, format!("before {rule}"), format!("before {rule}"));
        for other in others {
            add(
                false,
                format!("time {other} {rule}"),
                format!("{other} {rule}"),
            );
        }
    }
    let others = OF_TEN.into_iter().filter(|_| clients == 10);
    for rule in ALONE.into_iter().chain(others) {
        add(true, format!("time {rule}"), format!("fedseal {rule}"));
    }
    all
}

fn measured(
    ours: &mut Worker,
    peers: &mut Worker,
    (clients, values): (usize, usize),
    rounds: usize,
) -> Outcome<Measured> {
    say(&format!("{clients} updates of {values} values"));
    for side in [&mut *ours, &mut *peers] {
        side.ask(&format!("data {clients} {values}"))?;
    }
    let asked = asked(clients);
    let mut seconds = vec![Vec::new(); asked.len()];
    for round in 0..=rounds {
        for (one, seconds) in asked.iter().zip(&mut seconds) {
            let side = match one.ours {
                true => &mut *ours,
                false => &mut *peers,
            };
            // Threads of a side that has just worked spin for a while.
            std::thread::sleep(REST);
            let took = side.number(&one.command, "seconds")?;
            // The first round warms up.
            if round > 0 {
                seconds.push(took);
            }
        }
    }
    let measured = Measured {
        clients,
        values,
        seconds: asked
            .into_iter()
            .zip(&seconds)
            .map(|(one, seconds)| (one.name, median(seconds)))
            .collect(),
    };
    for (name, seconds) in &measured.seconds {
        eprintln!("    {name:<24} {:>10.3} ms", seconds * 1e3);
    }
    Ok(measured)
}

fn figure(name: String, value: f64, unit: &str) -> Figure {
    Figure {
        name,
        value,
        unit: unit.to_owned(),
        peer: None,
        ratio: None,
    }
}

/// The figures: for ten clients the lower one of both sizes, and every time.
fn figures(all: &[Measured]) -> Vec<Figure> {
    let ten = || all.iter().filter(|one| one.clients == 10);
    let lowest = |of: &dyn Fn(&Measured) -> Option<f64>| ten().filter_map(of).reduce(f64::min);
    let mut found = Vec::new();
    let mut add = |name: &str, value: Option<f64>, unit: &str| {
        found.extend(value.map(|value| figure(name.to_owned(), value, unit)));
    };
    for (rule, short, _) in &RULES[..3] {
        let share = lowest(&|one| one.copy_share(rule));
        add(
            &format!("{short}.copy_share"),
            share,
            "of a copy's bandwidth",
        );
    }
    let share = lowest(&Measured::krum_share);
    add("krum.copy_share", share, "of the bandwidth of reading");
    for (name, other, rule) in [
        ("median.flwr_ratio", "flwr", "median"),
        ("median.today_ratio", "before", "median"),
        ("trimmed.torch_ratio", "torch", "trimmed-mean"),
        ("fedavg.today_ratio", "before", "fedavg"),
        ("krum.today_ratio", "before", "krum"),
    ] {
        add(name, lowest(&|one| one.times(other, rule)), "times");
    }
    let peers = lowest(&|one| one.least(&["flwr", "byzfl"], "krum"));
    add("krum.peer_ratio", peers, "times");
    for (rule, short, others) in RULES {
        let best = lowest(&|one| one.least(others, rule));
        add(&format!("{short}.best_peer_ratio"), best, "times");
    }
    for one in all {
        let shape = format!("{}x{}k", one.clients, one.values / 1000);
        for (name, seconds) in &one.seconds {
            let name = format!("time.{shape}.{}", name.replace(' ', "."));
            found.push(figure(name, seconds * 1e3, "ms"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_measured_alone() {
        let read = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Options::read(&words)
        };
        let all = read(&[]).unwrap();
        assert!(all.has("stream") && all.shapes().len() == SHAPES.len());
        let hundred = read(&["hundred", "--rounds", "5"]).unwrap();
        assert!(!hundred.has("stream") && hundred.rounds == 5);
        assert_eq!(hundred.shapes(), [(100, 500_000)]);
        for words in [&["thousand"][..], &["--rounds", "0"], &["ten", "stream"]] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn shares_are_of_what_a_copy_moves() {
        let measured = Measured {
            clients: 10,
            values: 1_000_000,
            seconds: vec![
                ("copy".to_owned(), 0.004),
                ("read".to_owned(), 0.002),
                ("fedseal median".to_owned(), 0.0088),
                ("flwr median".to_owned(), 0.44),
            ],
        };
        // 40 MB in 4 ms, and 44 MB in 8.8 ms.
        let share = measured.copy_share("median").unwrap();
        assert!((share - 0.5).abs() < 1e-9);
        assert!((measured.times("flwr", "median").unwrap() - 50.0).abs() < 1e-9);
        assert_eq!(measured.copy_share("fedavg"), None);
        let names: Vec<String> = figures(&[measured])
            .into_iter()
            .map(|one| one.name)
            .collect();
        assert!(names.contains(&"median.flwr_ratio".to_owned()), "{names:?}");
        assert!(
            names.contains(&"time.10x1000k.flwr.median".to_owned()),
            "{names:?}"
        );
    }
}
