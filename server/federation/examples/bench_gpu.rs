//! The rules' side of `cargo xtask bench gpu`: times whole calls of aggregation rules on a device and on the CPU,
//! driven by lines on standard input. Each answer is a line of JSON.
//!
//!     cargo run -p fedseal-federation --features fedseal/wgpu --example bench_gpu -- DEVICE
//!
//! DEVICE is one of those of `fedseal run --device`, and passes the self-check first.
//!
//! - `data N D`: N updates of D values, the same in every process.
//! - `software`: whether the device emulates a card on the processor, as 1 or 0.
//! - `device RULE`: seconds of one call, the way of the values to the device and back included.
//! - `cpu RULE`: the same by the rule's own code.
//! - `apart RULE`: whether the device decides (`decided`, 1 or 0), and the largest difference of both aggregates, as
//!   a share of the largest absolute value of the CPU's.

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::Instant;

use fedseal_federation::device::OnDevice;
use fedseal_rules::aggregation::{AggregationConfig, Inputs, Update};
use fedseal_tuning::kernels::memory;
use fedseal_tuning::{DeviceKind, device};
use serde_json::{Value, json};

/// Attackers among the updates, and those that the rules expect.
const MALICIOUS: usize = 2;

/// Updates, one after another in one buffer.
struct Data {
    values: Vec<f32>,
    clients: usize,
}

impl Data {
    /// Reproducible updates around a common one, each at a distance of its own, so that who counts is plain; the
    /// last ones are the attackers'.
    fn new(clients: usize, width: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        };
        let common: Vec<f32> = (0..width).map(|_| next()).collect();
        let mut values = Vec::with_capacity(clients * width);
        for client in 0..clients {
            let spread = 0.05 * (client + 1) as f32;
            let factor = match client + MALICIOUS < clients {
                true => 1.0,
                false => -2.0,
            };
            let own = common.iter().map(|x| factor * (x + spread * next()));
            values.extend(own);
        }
        Data { values, clients }
    }

    fn updates(&self) -> Vec<Update<'_>> {
        let width = (self.values.len() / self.clients.max(1)).max(1);
        let rows = self.values.chunks_exact(width);
        rows.map(|delta| Update {
            delta,
            weight: 100.0,
        })
        .collect()
    }
}

/// Seconds of a piece of work, with its result.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let result = black_box(work());
    (started.elapsed().as_secs_f64(), result)
}

fn answer(data: &mut Data, tensors: &OnDevice, line: &str) -> Result<Value, Box<dyn Error>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let inputs = Inputs {
        expected_malicious: MALICIOUS,
        seed: 0,
    };
    let config = AggregationConfig::default();
    Ok(match words.as_slice() {
        ["data", clients, width] => {
            let (clients, width) = (clients.parse()?, width.parse()?);
            let (seconds, made) = timed(|| Data::new(clients, width));
            *data = made;
            json!({ "seconds": seconds })
        }
        ["software"] => json!({ "software": u8::from(DeviceKind::in_software(&tensors.0)) }),
        ["device", name] => {
            let (rule, updates) = (config.rule(name)?, data.updates());
            let (seconds, found) = timed(|| rule.aggregate_on(&updates, &inputs, tensors));
            found?;
            json!({ "seconds": seconds })
        }
        ["cpu", name] => {
            let (rule, updates) = (config.rule(name)?, data.updates());
            let (seconds, found) = timed(|| rule.aggregate(&updates, &inputs));
            found?;
            json!({ "seconds": seconds })
        }
        ["apart", name] => {
            let (rule, updates) = (config.rule(name)?, data.updates());
            let own = rule.aggregate(&updates, &inputs)?;
            let Some(found) = rule.aggregate_on(&updates, &inputs, tensors)? else {
                return Ok(json!({ "decided": 0, "apart": 0.0 }));
            };
            if found.weights != own.weights || found.delta.len() != own.delta.len() {
                return Err(format!("{name}: other updates count on the device").into());
            }
            let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
            let size = most(&mut own.delta.iter().map(|x| f64::from(x.abs())));
            let pairs = own.delta.iter().zip(&found.delta);
            let apart = most(&mut pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()));
            json!({ "decided": 1, "apart": apart / size })
        }
        _ => return Err(format!("unknown command {line:?}").into()),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    memory::keep_freed_memory();
    let spec = std::env::args().nth(1).ok_or("argument: DEVICE")?;
    let (seconds, device) = timed(|| device(&spec));
    let tensors = OnDevice(device?);
    let mut data = Data::new(0, 0);
    let mut out = std::io::stdout().lock();
    let engine = format!("rules on {}", tensors.name());
    writeln!(out, "{}", json!({ "engine": engine, "seconds": seconds }))?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&mut data, &tensors, line?.trim())?;
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
