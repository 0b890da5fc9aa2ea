//! A process that answers lines with lines of JSON.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::{Outcome, fail};

/// One side of a comparison.
pub(super) struct Worker {
    /// Label in tables: name and dtype.
    pub label: String,
    /// Threads that it uses, once they are set.
    pub threads: usize,
    /// Time that it took to be ready, by its own clock.
    pub ready_seconds: f64,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts it and waits until it holds its model.
    pub(super) fn start(label: &str, command: &mut Command) -> Outcome<Self> {
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| crate::Failure(format!("{shown}: {error}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return fail(format!("{shown}: no pipes"));
        };
        let mut worker = Worker {
            label: label.to_owned(),
            threads: 0,
            ready_seconds: 0.0,
            child,
            input,
            output: BufReader::new(output),
        };
        let ready = worker.read("start")?;
        let seconds = ready.get("seconds").and_then(Value::as_f64);
        worker.ready_seconds = seconds.unwrap_or_default();
        let engine = ready.get("engine").and_then(Value::as_str).unwrap_or("?");
        eprintln!("    {label}: {engine}");
        Ok(worker)
    }

    /// Gives a command and waits for its answer.
    pub(super) fn ask(&mut self, command: &str) -> Outcome<Value> {
        writeln!(self.input, "{command}")?;
        self.input.flush()?;
        self.read(command)
    }

    fn read(&mut self, command: &str) -> Outcome<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(value) => Ok(value),
            Err(_) => fail(format!(
                "{}: no answer to {command:?}, but {line:?}",
                self.label
            )),
        }
    }

    /// A number of an answer.
    pub(super) fn number(&mut self, command: &str, field: &str) -> Outcome<f64> {
        let answer = self.ask(command)?;
        match answer.get(field).and_then(Value::as_f64) {
            Some(number) => Ok(number),
            None => fail(format!("{}: {command:?} gave no {field}", self.label)),
        }
    }

    /// Tokens a second of a command.
    pub(super) fn speed(&mut self, command: &str) -> Outcome<f64> {
        let answer = self.ask(command)?;
        let number = |field: &str| answer.get(field).and_then(Value::as_f64);
        match (number("tokens"), number("seconds")) {
            (Some(tokens), Some(seconds)) if seconds > 0.0 => Ok(tokens / seconds),
            _ => fail(format!("{}: {command:?} gave no speed", self.label)),
        }
    }

    /// Sets the threads.
    pub(super) fn set_threads(&mut self, threads: usize) -> Outcome {
        self.threads = threads;
        self.ask(&format!("threads {threads}")).map(drop)
    }

    /// Warms up, then tries one thread and all cores and keeps what is faster.
    pub(super) fn tune_threads(&mut self, command: &str, cores: usize) -> Outcome {
        let mut best = (0.0, 1);
        for threads in [cores, 1] {
            self.set_threads(threads)?;
            if threads == cores {
                self.speed(command)?;
            }
            let speed = self.speed(command)?;
            if speed > best.0 {
                best = (speed, threads);
            }
            if cores == 1 {
                break;
            }
        }
        self.set_threads(best.1)?;
        eprintln!(
            "    {}: {} thread(s), {:.0} tokens/s in the trial",
            self.label, best.1, best.0
        );
        Ok(())
    }

    /// Its name with its threads.
    pub(super) fn name(&self) -> String {
        match self.threads {
            1 => format!("{}, 1 thread", self.label),
            threads => format!("{}, {threads} threads", self.label),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It ends when its input does; a kill is for one that hangs.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The median; 0 of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (
        sorted.get((sorted.len().max(1) - 1) / 2),
        sorted.get(sorted.len() / 2),
    ) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn a_process_that_dies_is_an_error_with_its_name() {
        let error = Worker::start("dead", Command::new("true").arg("x")).err();
        assert!(error.is_some_and(|error| error.0.starts_with("dead: no answer")));
    }
}
