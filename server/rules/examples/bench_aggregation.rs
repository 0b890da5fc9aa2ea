//! Our side of `cargo xtask bench aggregation`: times whole calls of rules, as a round makes them, driven by
//! lines on standard input. Each answer is a line of JSON.
//!
//! - `data N D`: N updates of D values, the same in every process.
//! - `time RULE`: seconds of one call.
//! - `before RULE`: the same by the loops that the rules had before they were cut into blocks.
//! - `stream RULE N D`: N updates of D values made and aggregated one after another; also the largest
//!   resident memory of the process, MiB.
//! - `copy`, `read`: seconds of a copy of half of the updates, and of a look at every value.

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::Instant;

use fedseal_kernels::{columns, memory};
use fedseal_rules::aggregation::{AggregationConfig, Inputs, Update};
use serde_json::{Value, json};

/// Attackers that are expected, as the peers expect them.
const MALICIOUS: usize = 2;

/// Updates in one buffer, one after another, as a program has them that read them one by one.
struct Data {
    values: Vec<f32>,
    clients: usize,
    /// Place that half of them are copied to: the updates stay as they are.
    copied: Vec<f32>,
}

impl Data {
    /// Reproducible values in [-1, 1).
    fn new(clients: usize, width: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        };
        Data {
            values: (0..clients * width).map(next).collect(),
            clients,
            copied: vec![1.0; clients * width / 2],
        }
    }

    fn rows(&self) -> Vec<&[f32]> {
        let width = (self.values.len() / self.clients.max(1)).max(1);
        self.values.chunks_exact(width).collect()
    }
}

/// Seconds of a piece of work.
fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let started = Instant::now();
    black_box(work());
    started.elapsed().as_secs_f64()
}

fn rule(data: &Data, name: &str) -> Result<f64, Box<dyn Error>> {
    let updates: Vec<Update<'_>> = data
        .rows()
        .into_iter()
        .map(|delta| Update {
            delta,
            weight: 100.0,
        })
        .collect();
    let inputs = Inputs {
        expected_malicious: MALICIOUS,
        seed: 0,
    };
    let mut config = AggregationConfig::default();
    if name == "trimmed-mean" {
        config = config.with(name, "trim", 1);
    }
    let rule = config.rule(name)?;
    let mut outcome = None;
    let seconds = timed(|| outcome = Some(rule.aggregate(&updates, &inputs)));
    outcome.ok_or("no outcome")??;
    Ok(seconds)
}

/// The loops of before: every column sorted, every sum on its own.
fn before(data: &Data, name: &str) -> Result<f64, Box<dyn Error>> {
    let rows = data.rows();
    let (n, width) = (rows.len(), rows.first().map_or(0, |row| row.len()));
    let mut order: Vec<usize> = (0..n).collect();
    let mut sorted = |column: usize| {
        order.sort_by(|a, b| rows[*a][column].total_cmp(&rows[*b][column]).then(a.cmp(b)));
        order.clone()
    };
    Ok(match name {
        "fedavg" => timed(|| {
            let term = |column: usize| {
                rows.iter()
                    .map(|row| 0.1 * f64::from(row[column]))
                    .sum::<f64>() as f32
            };
            (0..width).map(term).collect::<Vec<f32>>()
        }),
        "median" => timed(|| {
            let middle = |column: usize| rows[sorted(column)[(n - 1) / 2]][column];
            (0..width).map(middle).collect::<Vec<f32>>()
        }),
        "trimmed-mean" => timed(|| {
            let mean = |column: usize| {
                let mut left = sorted(column)[1..n - 1].to_vec();
                left.sort_unstable();
                let sum: f64 = left
                    .iter()
                    .map(|index| f64::from(rows[*index][column]))
                    .sum();
                (sum / left.len() as f64) as f32
            };
            (0..width).map(mean).collect::<Vec<f32>>()
        }),
        "krum" => timed(|| {
            let mut sums = vec![0.0; n * n];
            for i in 0..n {
                for j in i + 1..n {
                    let pairs = rows[i].iter().zip(rows[j]);
                    let squares = pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
                    sums[i * n + j] = squares.sum::<f64>();
                }
            }
            let mean = |column: usize| {
                rows[1..]
                    .iter()
                    .map(|row| 0.1 * f64::from(row[column]))
                    .sum::<f64>() as f32
            };
            (sums, (0..width).map(mean).collect::<Vec<f32>>())
        }),
        other => return Err(format!("no loop of before for {other:?}").into()),
    })
}

/// Updates that are made, added and forgotten.
fn stream(name: &str, clients: usize, width: usize) -> Result<Value, Box<dyn Error>> {
    let config = AggregationConfig::default().with("norm-clipping", "bound", 1.0);
    let config = config.with("centred-clipping", "bound", 1.0);
    let rule = config.rule(name)?;
    let stream = rule.stream(&vec![100.0; clients], width)?;
    let mut stream = stream.ok_or_else(|| format!("{name} needs all updates at once"))?;
    let mut seconds = 0.0;
    let mut update = Data::new(1, width).values;
    for _ in 0..clients {
        // Another update at little cost.
        update.rotate_left(1);
        let mut added = Ok(());
        seconds += timed(|| added = stream.add(&update));
        added?;
    }
    black_box(stream.finish()?);
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: f64 = peak
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no VmHWM")?
        .parse()?;
    Ok(json!({ "seconds": seconds, "peak_mb": peak / 1024.0 }))
}

/// Copies half of the values, on two threads.
fn copy(data: &mut Data) -> f64 {
    let to = data.copied.as_mut_slice();
    let from = &data.values[..to.len()];
    let quarter = to.len() / 2;
    timed(|| {
        std::thread::scope(|scope| {
            let (first, second) = to.split_at_mut(quarter);
            scope.spawn(move || first.copy_from_slice(&from[..quarter]));
            second.copy_from_slice(&from[quarter..]);
        });
    })
}

fn answer(data: &mut Data, line: &str) -> Result<Value, Box<dyn Error>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let seconds = match words.as_slice() {
        ["data", clients, width] => {
            // One set at a time.
            *data = Data::new(0, 0);
            let made = Instant::now();
            *data = Data::new(clients.parse()?, width.parse()?);
            made.elapsed().as_secs_f64()
        }
        ["time", name] => rule(data, name)?,
        ["before", name] => before(data, name)?,
        ["stream", name, clients, width] => return stream(name, clients.parse()?, width.parse()?),
        ["copy"] => copy(data),
        ["read"] => timed(|| data.rows().into_iter().all(columns::all_finite)),
        _ => return Err(format!("unknown command {line:?}").into()),
    };
    Ok(json!({ "seconds": seconds }))
}

fn main() -> Result<(), Box<dyn Error>> {
    memory::keep_freed_memory();
    let mut data = Data::new(0, 0);
    let mut out = std::io::stdout().lock();
    let isa = fedseal_kernels::isa().name();
    writeln!(
        out,
        "{}",
        json!({ "engine": format!("fedseal, {isa}"), "seconds": 0.0 })
    )?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&mut data, line?.trim())?;
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
