//! `cargo xtask bench gpu`: LoRA steps, generation and aggregation rules on a device, beside the CPU. Where there is
//! no card its small form is measured on software Vulkan: it shows that everything runs and how far results lie
//! apart, and says nothing about speed. Its figures are called `software`.

use std::process::Command;

use super::worker::{Worker, median};
use super::{Figure, example, gguf, write};
use crate::process::{cargo, run, say, target};
use crate::{Outcome, build, fail, setup};

/// Devices other than the CPU, each a feature of a build.
const DEVICES: [&str; 3] = ["wgpu", "vulkan", "cuda"];

/// Rules that have a form for a device.
const RULES: [&str; 5] = ["fedavg", "median", "trimmed-mean", "krum", "dnc"];

/// Bound of a device's aggregate, as a share of the CPU's largest value.
const BOUND: f64 = 1e-6;

/// Parts that can be measured alone.
const PARTS: [&str; 3] = ["train", "generate", "rules"];

/// Options of the command.
struct Options {
    device: &'static str,
    rounds: usize,
    /// One of [`PARTS`]; none: all of them.
    part: Option<String>,
}

impl Options {
    fn read(arguments: &[String], usual: &'static str) -> Outcome<Self> {
        let mut options = Options {
            device: usual,
            rounds: 5,
            part: None,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--rounds" => match words.next().map(|number| number.parse::<usize>()) {
                    Some(Ok(number)) if number > 0 => options.rounds = number,
                    _ => return fail("--rounds needs a number above 0"),
                },
                "--device" => {
                    let name = words.next().map(String::as_str);
                    match DEVICES.into_iter().find(|known| Some(*known) == name) {
                        Some(known) => options.device = known,
                        None => {
                            return fail(format!("--device needs one of {}", DEVICES.join(", ")));
                        }
                    }
                }
                part if PARTS.contains(&part) && options.part.is_none() => {
                    options.part = Some(part.to_owned());
                }
                other => {
                    return fail(format!(
                        "`cargo xtask bench gpu` takes one of {}, --device NAME and --rounds N; found {other:?}",
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
}

/// Size of the measurements.
struct Form {
    /// Beginning of the figures' names: the device's, or `software`.
    name: &'static str,
    /// Model of steps and generation; none: SmolLM2.
    model: Option<&'static str>,
    /// Numeric mode of the device.
    numerics: &'static str,
    /// Steps of one measurement.
    steps: usize,
    /// Prompts of one, and new tokens for each.
    prompts: [usize; 2],
    /// Updates of the rules, and their values.
    updates: [usize; 2],
}

impl Form {
    /// Form on a card.
    fn whole(device: &'static str) -> Self {
        Form {
            name: device,
            model: None,
            numerics: "fast",
            steps: 8,
            prompts: [20, 40],
            updates: [10, 1_000_000],
        }
    }

    /// Form on software, which takes minutes for what a card does in a blink.
    fn small() -> Self {
        Form {
            name: "software",
            model: Some("d256"),
            numerics: "exact",
            steps: 1,
            prompts: [1, 2],
            updates: [10, 50_000],
        }
    }

    fn figure(&self, name: &str, value: f64, unit: &str, peer: Option<String>) -> Figure {
        Figure {
            name: format!("{}.{name}", self.name),
            value,
            unit: unit.to_owned(),
            peer,
            ratio: None,
        }
    }
}

/// `cargo xtask bench gpu [train|generate|rules] [--device NAME] [--rounds N]`.
pub(super) fn bench(arguments: &[String]) -> Outcome {
    let usual = match std::path::Path::new("/dev/nvidiactl").exists() {
        true => "cuda",
        false => "wgpu",
    };
    let options = Options::read(arguments, usual)?;
    if options.device == "wgpu" && !setup::vulkan() {
        return fail(
            "no Vulkan driver; on Debian `apt-get install mesa-vulkan-drivers` brings one in software",
        );
    }
    say(&format!(
        "Building our side with {}; its crates are half of a first build",
        options.device
    ));
    let feature = format!("fedseal/{}", options.device);
    cargo(
        &[
            // The whole workspace's features, so that nothing is built twice.
            "build",
            "--workspace",
            "--features",
            &feature,
            "--example",
            "bench",
            "--example",
            "bench_gpu",
            "--bin",
            "fedseal",
        ],
        &[],
    )?;
    let mut rules = Worker::start(
        options.device,
        Command::new(target().join("debug/examples/bench_gpu")).arg(options.device),
    )?;
    let form = match rules.number("software", "software")? > 0.0 {
        false => Form::whole(options.device),
        true => {
            say("This machine shows no card: the small form, on software Vulkan");
            Form::small()
        }
    };
    if options.has("rules") {
        done(&options, &form, &ruled(&form, &mut rules, options.rounds)?)?;
    }
    drop(rules);
    if options.has("train") || options.has("generate") {
        if form.model.is_none() {
            run(build::fedseal().args(["fetch", "smollm2"]))?;
        }
        let mut sides = [
            side(&form, form.numerics, options.device)?,
            side(&form, "fast", "cpu")?,
        ];
        for part in ["train", "generate"] {
            if options.has(part) {
                let figures = spoken(&form, part, &mut sides, options.rounds)?;
                done(&options, &form, &figures)?;
            }
        }
    }
    if options.rounds < 5 && form.model.is_none() {
        eprintln!("    fewer than 5 rounds: target/figures is left as it is");
    }
    Ok(())
}

/// Shows the figures of a part and keeps them. Few rounds of the small form are kept, too: they are no speeds.
fn done(options: &Options, form: &Form, figures: &[Figure]) -> Outcome {
    say("Results");
    for figure in figures {
        eprintln!("    {figure}");
    }
    match options.rounds >= 5 || form.model.is_some() {
        true => write("bench-gpu", "gpu", figures),
        false => Ok(()),
    }
}

/// A process that trains and writes on a device.
fn side(form: &Form, numerics: &str, device: &str) -> Outcome<Worker> {
    let mut command = Command::new(example()?);
    match form.model {
        Some(model) => command.arg(model),
        None => command.arg(gguf()?),
    };
    Worker::start(
        &format!("{device} {numerics}"),
        command.args([numerics, device]),
    )
}

/// Tokens a second of training or generation, device and CPU in turn.
fn spoken(form: &Form, part: &str, sides: &mut [Worker; 2], rounds: usize) -> Outcome<Vec<Figure>> {
    let command = match part {
        "train" => format!("train {}", form.steps),
        _ => format!("generate {} {}", form.prompts[0], form.prompts[1]),
    };
    say(&format!("{command}, {rounds} times"));
    let mut speeds = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for (side, speeds) in sides.iter_mut().zip(&mut speeds) {
            let speed = side.speed(&command)?;
            // The first round compiles the device's kernels.
            if round > 0 {
                speeds.push(speed);
            }
        }
    }
    let [device, cpu] = speeds.map(|speeds: Vec<f64>| median(&speeds));
    let said = |side: &Worker| Some(side.label.clone());
    let name = |of: &str| format!("{part}.{of}tokens_per_s");
    let ratio = device / cpu;
    Ok(vec![
        form.figure(&name(""), device, "tokens/s", said(&sides[0])),
        form.figure(&name("cpu."), cpu, "tokens/s", said(&sides[1])),
        Figure {
            ratio: Some(ratio),
            ..form.figure(
                &format!("{part}.cpu_ratio"),
                ratio,
                "times",
                said(&sides[1]),
            )
        },
    ])
}

/// Times of the rules, device and CPU in turn, and how far apart their aggregates are at most.
fn ruled(form: &Form, worker: &mut Worker, rounds: usize) -> Outcome<Vec<Figure>> {
    let [clients, values] = form.updates;
    say(&format!("Rules, {clients} updates of {values} values"));
    worker.ask(&format!("data {clients} {values}"))?;
    let (mut figures, mut decided, mut apart) = (Vec::new(), 0.0, 0.0_f64);
    for rule in RULES {
        // It compiles the device's kernels, too.
        let answer = worker.ask(&format!("apart {rule}"))?;
        let number = |key: &str| answer.get(key).and_then(serde_json::Value::as_f64);
        let (Some(sure), Some(far)) = (number("decided"), number("apart")) else {
            return fail(format!("{rule}: no difference, but {answer}"));
        };
        decided += sure;
        apart = apart.max(far);
        let mut seconds = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (of, seconds) in ["device", "cpu"].into_iter().zip(&mut seconds) {
                seconds.push(worker.number(&format!("{of} {rule}"), "seconds")?);
            }
        }
        let [device, cpu] = seconds.map(|seconds: Vec<f64>| median(&seconds));
        let shape = format!("{clients}x{}k", values / 1000);
        let time = |of: &str, seconds: f64| {
            form.figure(
                &format!("rules.{shape}.{rule}{of}"),
                seconds * 1e3,
                "ms",
                None,
            )
        };
        figures.extend([time("", device), time(".cpu", cpu)]);
    }
    figures.extend([
        form.figure("rules.decided", decided, "of 5 rules", None),
        form.figure(
            "rules.rel_diff",
            apart / BOUND,
            "1e-6 of the largest value",
            None,
        ),
    ]);
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks;

    #[test]
    fn a_part_and_a_device_are_chosen() {
        let read = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Options::read(&words, "wgpu")
        };
        let all = read(&[]).unwrap();
        assert!(all.has("rules") && all.has("train") && all.device == "wgpu");
        let rules = read(&["rules", "--device", "cuda", "--rounds", "7"]).unwrap();
        assert!(!rules.has("train") && rules.device == "cuda" && rules.rounds == 7);
        for words in [
            &["rule"][..],
            &["--rounds", "0"],
            &["--device", "cpu"],
            &["--device"],
            &["rules", "train"],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_small_form_is_told_by_its_figures_names() {
        let name = |form: &Form| form.figure("rules.rel_diff", 0.5, "x", None).name;
        assert_eq!(name(&Form::small()), "software.rules.rel_diff");
        for device in DEVICES {
            let name = name(&Form::whole(device));
            assert_eq!(name, format!("{device}.rules.rel_diff"));
            // Both forms have the mark of the bound.
            assert_eq!(marks::most(&name), Some(1.0), "{name}");
        }
        assert_eq!(marks::most("software.rules.rel_diff"), Some(1.0));
    }
}
