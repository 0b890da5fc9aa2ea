//! Plan of the measurements: training and generation, by whom, in which order.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{
    Figure,
    worker::{Worker, median},
};
use crate::Outcome;
use crate::process::say;

/// Paths and settings of the measurements.
pub(super) struct Setting {
    pub engine: PathBuf,
    pub python: PathBuf,
    pub scripts: PathBuf,
    /// The real model's file.
    pub model: PathBuf,
    /// Whether llama-cpp-python is there.
    pub llama: bool,
    pub rounds: usize,
    pub cores: usize,
}

impl Setting {
    fn model(&self, case: &str) -> PathBuf {
        match case {
            "smollm2" => self.model.clone(),
            other => PathBuf::from(other),
        }
    }

    fn ours(&self, case: &str, numerics: &str) -> Outcome<Worker> {
        Worker::start(
            &format!("fedseal {numerics}"),
            Command::new(&self.engine)
                .arg(self.model(case))
                .arg(numerics),
        )
    }

    fn peer(&self, case: &str, tokens: &Path, dtype: &str, what: &str) -> Outcome<Worker> {
        let mut command = Command::new(&self.python);
        command
            .arg(self.scripts.join("peer.py"))
            .arg(tokens)
            .arg(self.model(case))
            .arg(dtype)
            // Model files come from disk: no look at a hub.
            .env("HF_HUB_OFFLINE", "1")
            .env("TQDM_DISABLE", "1")
            .env("PYTHONWARNINGS", "ignore");
        Worker::start(&format!("{what} {dtype}"), &mut command)
    }
}

/// Asks every worker in turn, `rounds` times; the median speed of each.
fn in_turn(workers: &mut [Worker], command: &str, rounds: usize) -> Outcome<Vec<f64>> {
    let speeds = rounds_in_turn(workers, command, rounds)?;
    Ok(speeds.iter().map(|speeds| median(speeds)).collect())
}

/// Speeds of every worker, a round each; every other round goes backwards, since who comes first after a change
/// of side is not as fast as who follows.
fn rounds_in_turn(workers: &mut [Worker], command: &str, rounds: usize) -> Outcome<Vec<Vec<f64>>> {
    let mut speeds = vec![Vec::new(); workers.len()];
    for round in 1..=rounds {
        let mut turns: Vec<_> = workers.iter_mut().zip(&mut speeds).collect();
        if round % 2 == 0 {
            turns.reverse();
        }
        for (worker, speeds) in turns {
            let speed = worker.speed(command)?;
            eprintln!(
                "    {command}, {round} of {rounds}: {}: {speed:.0} tokens/s",
                worker.name()
            );
            speeds.push(speed);
        }
    }
    Ok(speeds)
}

/// Index of the largest.
fn fastest(speeds: &[f64]) -> usize {
    let best = speeds.iter().enumerate();
    best.max_by(|a, b| a.1.total_cmp(b.1))
        .map_or(0, |(index, _)| index)
}

fn export(worker: &mut Worker, case: &str) -> Outcome<PathBuf> {
    let folder = crate::process::root().join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{case}.json"));
    worker.ask(&format!("export {}", file.display()))?;
    Ok(file)
}

fn figure(name: String, value: f64, unit: &'static str) -> Figure {
    Figure {
        name,
        value,
        unit: unit.to_owned(),
        peer: None,
        ratio: None,
    }
}

fn ratio(name: String, value: f64, peer: String) -> Figure {
    Figure {
        name,
        value,
        unit: "times".to_owned(),
        peer: Some(peer),
        ratio: Some(value),
    }
}

/// Name of a worker in figures: its label's last word, `exact`, `fast`, `f32` or `bf16`.
fn short(worker: &Worker) -> &str {
    worker.label.rsplit(' ').next().unwrap_or_default()
}

/// LoRA training against torch + peft.
pub(super) fn training(setting: &Setting, case: &str) -> Outcome<Vec<Figure>> {
    say(&format!("Training, {case}"));
    let mut ours = setting.ours(case, "exact")?;
    let tokens = export(&mut ours, case)?;
    let mut workers = vec![
        ours,
        setting.ours(case, "fast")?,
        setting.peer(case, &tokens, "f32", "torch + peft")?,
        setting.peer(case, &tokens, "bf16", "torch + peft")?,
    ];
    // A pass over the 32 examples is 4 steps of 8, or 2 of 16.
    let command = match case {
        "smollm2" => "train 4",
        _ => "train 8",
    };
    for worker in &mut workers {
        worker.tune_threads("train 2", setting.cores)?;
    }
    let speeds = in_turn(&mut workers, command, setting.rounds)?;
    let mut figures = Vec::new();
    for (worker, speed) in workers.iter().zip(&speeds) {
        let name = format!("train.{case}.{}.tokens_per_s", short(worker));
        figures.push(Figure {
            peer: Some(worker.name()),
            ..figure(name, *speed, "tokens/s")
        });
    }
    let [exact, fast, f32_speed, bf16_speed] = speeds[..] else {
        return Ok(figures);
    };
    let best = fastest(&speeds[2..]) + 2;
    let best_speed = f32_speed.max(bf16_speed);
    let named = |index: usize| format!("against {}", workers[index].name());
    // The exact mode computes in f32 and is compared with the peer's f32 (and, by another name,
    // against its best); the fast mode against the best of both.
    for (name, value, peer) in [
        ("fast.ratio", fast / best_speed, best),
        ("exact.ratio", exact / f32_speed, 2),
        ("exact.best_ratio", exact / best_speed, best),
    ] {
        figures.push(ratio(format!("train.{case}.{name}"), value, named(peer)));
    }
    if case != "smollm2" {
        return Ok(figures);
    }
    let mut memory = Vec::new();
    for worker in &mut workers {
        let mib = worker.number("memory", "peak_kib")? / 1024.0;
        let name = format!("train.{case}.{}.peak_mb", short(worker));
        figures.push(figure(name, mib, "MiB"));
        memory.push(mib);
    }
    for (name, ours) in [("memory.ratio", 1), ("exact.memory.ratio", 0)] {
        figures.push(ratio(
            format!("train.{case}.{name}"),
            memory[best] / memory[ours],
            format!("against {}", workers[best].name()),
        ));
    }
    // The machine's own peak in f32 and in 16 bits: the better of both sides' large products, all
    // cores.
    for (ours, peer, dtype, speed) in [(0, 2, "f32", exact), (1, 3, "16bit", fast)] {
        let mut peak = 0.0f64;
        for index in [ours, peer] {
            workers[index].set_threads(setting.cores)?;
            peak = peak.max(workers[index].number("peak", "operations_per_second")?);
        }
        let work = workers[ours].ask(command)?;
        let number = |field: &str| work.get(field).and_then(serde_json::Value::as_f64);
        if let (Some(operations), Some(tokens)) = (number("operations"), number("tokens")) {
            let reached = operations / tokens * speed;
            let name = format!("machine.{dtype}.peak");
            figures.push(figure(name, peak / 1e9, "GFLOP/s"));
            figures.push(figure(
                format!("train.{case}.{}.peak_share", short(&workers[ours])),
                reached / peak,
                "of the peak",
            ));
        }
    }
    Ok(figures)
}

/// Training and generation beside the engine of an earlier revision, in turn.
pub(super) fn earlier(setting: &Setting, before: &Path, revision: &str) -> Outcome<Vec<Figure>> {
    let mut figures = Vec::new();
    for (case, commands) in [
        (
            "smollm2",
            &["train 4", "generate 1 64", "generate 20 64"][..],
        ),
        ("d256", &["train 8"][..]),
    ] {
        say(&format!("Today's engine and {revision}'s, {case}"));
        let old = |numerics: &str| {
            let model = setting.model(case);
            Worker::start(
                &format!("{revision} {numerics}"),
                Command::new(before).arg(model).arg(numerics),
            )
        };
        let mut workers = Vec::new();
        for numerics in ["exact", "fast"] {
            workers.push(setting.ours(case, numerics)?);
            workers.push(old(numerics)?);
        }
        for command in commands {
            for worker in &mut workers {
                worker.tune_threads(command, setting.cores)?;
            }
            let speeds = rounds_in_turn(&mut workers, command, 2 * setting.rounds)?;
            let what = match command.split(' ').collect::<Vec<_>>()[..] {
                ["generate", batch, _] => format!("generate.batch{batch}"),
                _ => format!("train.{case}"),
            };
            for (pair, speeds) in workers.chunks(2).zip(speeds.chunks(2)) {
                let ratios: Vec<f64> = speeds[0]
                    .iter()
                    .zip(&speeds[1])
                    .map(|(a, b)| a / b)
                    .collect();
                figures.push(ratio(
                    format!("{what}.{}.today_ratio", short(&pair[0])),
                    median(&ratios),
                    format!(
                        "{:.0} tokens/s against {:.0} of {revision}",
                        median(&speeds[0]),
                        median(&speeds[1])
                    ),
                ));
            }
        }
    }
    Ok(figures)
}

/// How long a start takes, for a file that has been read before.
pub(super) fn loading(setting: &Setting) -> Outcome<Vec<Figure>> {
    say("Loading, smollm2");
    let mut figures = Vec::new();
    for numerics in ["exact", "fast"] {
        let (mut ready, mut trained) = (Vec::new(), Vec::new());
        for _ in 0..setting.rounds {
            let mut worker = setting.ours("smollm2", numerics)?;
            ready.push(worker.ready_seconds);
            let step = worker.number("train 1", "seconds")?;
            trained.push(worker.ready_seconds + step);
        }
        // Figures of the exact mode carry no mode in their names.
        let prefix = match numerics {
            "exact" => "load.smollm2".to_owned(),
            other => format!("load.smollm2.{other}"),
        };
        let (ready, trained) = (median(&ready), median(&trained));
        figures.push(figure(format!("{prefix}.seconds"), ready, "s"));
        figures.push(figure(format!("{prefix}.first_step.seconds"), trained, "s"));
    }
    Ok(figures)
}

/// Generation against transformers and llama.cpp.
pub(super) fn generation(setting: &Setting) -> Outcome<Vec<Figure>> {
    say("Generation, smollm2");
    let mut exact = setting.ours("smollm2", "exact")?;
    let tokens = export(&mut exact, "smollm2")?;
    let mut workers = vec![
        exact,
        setting.ours("smollm2", "fast")?,
        setting.peer("smollm2", &tokens, "f32", "transformers")?,
        setting.peer("smollm2", &tokens, "bf16", "transformers")?,
    ];
    if setting.llama {
        let mut command = Command::new(&setting.python);
        command
            .arg(setting.scripts.join("llama.py"))
            .arg(&tokens)
            .arg(&setting.model);
        workers.push(Worker::start("llama.cpp Q4_1", &mut command)?);
    }
    let mut figures = Vec::new();
    for batch in [1, 20] {
        let command = format!("generate {batch} 64");
        for worker in &mut workers {
            worker.tune_threads(&command, setting.cores)?;
        }
        let speeds = in_turn(&mut workers, &command, setting.rounds)?;
        for (worker, speed) in workers.iter().zip(&speeds) {
            let name = format!("generate.batch{batch}.{}.tokens_per_s", short(worker));
            figures.push(Figure {
                peer: Some(worker.name()),
                ..figure(name, *speed, "tokens/s")
            });
        }
        // Both sides with what is fastest for them; the row says what that was.
        let ours = fastest(&speeds[..2]);
        let best = fastest(&speeds[2..4]) + 2;
        for (name, index) in [
            ("transformers", Some(best)),
            ("llamacpp", speeds.get(4).map(|_| 4)),
        ] {
            if let Some(index) = index {
                let sides = format!("{} against {}", workers[ours].name(), workers[index].name());
                let ratio_of = |ours: usize| speeds[ours] / speeds[index];
                let name = format!("generate.batch{batch}.{name}");
                figures.push(ratio(format!("{name}.ratio"), ratio_of(ours), sides));
                if ours != 0 {
                    let sides = format!("{} against {}", workers[0].name(), workers[index].name());
                    figures.push(ratio(format!("{name}.exact_ratio"), ratio_of(0), sides));
                }
            }
        }
    }
    for worker in &mut workers[..2] {
        let mib = worker.number("memory", "peak_kib")? / 1024.0;
        let name = format!("generate.{}.peak_mb", short(worker));
        figures.push(figure(name, mib, "MiB"));
    }
    Ok(figures)
}
