//! The demo by workers of a queue, beside the local pool, in turn: NATS JetStream and a folder of blobs on this
//! machine. Both have to end every arm with the same adapter.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::demos::last_adapters;
use super::super::worker::median;
use super::{Figure, figure};
use crate::oracle::engines::Engines;
use crate::process::{root, say};
use crate::{Outcome, build, fail};

/// Longest start of the server.
const START: Duration = Duration::from_secs(30);
/// Longest run of the demo.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// Jobs of both sides at once: as many workers, each with a job and a thread.
const WORKERS: usize = 2;

/// A process that is killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `workers.time_ratio`: time of two workers with a job each at once over that of the pool.
pub(super) fn figures(pairs: usize) -> Outcome<Vec<Figure>> {
    let Some(python) = Engines::install()? else {
        return fail("no pip: on Debian `apt-get install python3-pip python3-venv`");
    };
    let nats = python.with_file_name("nats-server");
    let engines = Engines::build(python)?;
    let folder = root().join("target/bench-workers");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let mut ratios = Vec::new();
    for pair in 1..=pairs {
        say(&format!(
            "The demo by the pool and by workers, pair {pair} of {pairs}"
        ));
        let mut spent = [0.0; 2];
        // Whoever goes first finds the machine otherwise than who goes second.
        let order = if pair % 2 == 1 { [0, 1] } else { [1, 0] };
        for side in order {
            let out = folder.join(["pool", "workers"][side]);
            let _ = fs::remove_dir_all(&out);
            spent[side] = match side {
                0 => timed(&mut demo(&out), &mut [])?,
                _ => by_workers(&nats, &engines, &folder, &out)?,
            };
        }
        let [pool, workers] = ["pool", "workers"].map(|side| last_adapters(&folder.join(side)));
        if pool? != workers? {
            return fail("the workers' arms ended with other adapters than the pool's");
        }
        eprintln!(
            "    {:.1} s by the pool, {:.1} s by workers",
            spent[0], spent[1]
        );
        ratios.push(spent[1] / spent[0]);
    }
    fs::remove_dir_all(&folder)?;
    Ok(vec![Figure {
        peer: Some(format!("the local pool, {pairs} pairs in turn, median")),
        ..figure("workers.time_ratio", median(&ratios), "times")
    }])
}

fn demo(out: &Path) -> Command {
    let mut command = build::fedseal();
    command
        .args(["run", "experiments/demo.toml", "--no-figures", "-q"])
        .args(["--workers", &WORKERS.to_string(), "--out"])
        .arg(out)
        .stdout(Stdio::null());
    command
}

/// Seconds that a command takes. It fails where one of those that it needs ends before it.
fn timed(command: &mut Command, needed: &mut [Killed]) -> Outcome<f64> {
    let started = Instant::now();
    let mut run = Killed(command.spawn()?);
    loop {
        if let Some(status) = run.0.try_wait()? {
            return match status.success() {
                true => Ok(started.elapsed().as_secs_f64()),
                false => fail(format!("{command:?} ended with {status}")),
            };
        }
        for other in &mut *needed {
            if let Some(status) = other.0.try_wait()? {
                return fail(format!("a worker or nats-server ended with {status}"));
            }
        }
        if started.elapsed() > LONGEST {
            return fail(format!("{command:?} took longer than {LONGEST:?}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A NATS server with its storage in this folder, and its address. It takes a free port and says which.
fn server(program: &Path, folder: &Path) -> Outcome<(Killed, String)> {
    let ports = folder.join("ports");
    fs::create_dir_all(&ports)?;
    let child = Command::new(program)
        .args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"])
        .arg(folder.join("jetstream"))
        .arg("--ports_file_dir")
        .arg(&ports)
        .stderr(Stdio::null())
        .spawn()?;
    let mut server = Killed(child);
    let begun = Instant::now();
    loop {
        if let Some(address) = address(&ports) {
            return Ok((server, address));
        }
        if let Some(status) = server.0.try_wait()? {
            return fail(format!("nats-server ended with {status}"));
        }
        if begun.elapsed() > START {
            return fail("nats-server does not listen");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The address in the file of ports that nats-server wrote; none while it is not there as a whole.
fn address(folder: &Path) -> Option<String> {
    let mut files = fs::read_dir(folder).ok()?.flatten().map(|it| it.path());
    let file = files.find(|path| path.extension().is_some_and(|end| end == "ports"))?;
    let ports: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    Some(ports.get("nats")?.get(0)?.as_str()?.to_owned())
}

fn by_workers(nats: &Path, engines: &Engines, folder: &Path, out: &Path) -> Outcome<f64> {
    let state = folder.join("state");
    let _ = fs::remove_dir_all(&state);
    let (server, address) = server(nats, &state)?;
    let queue = format!("{address}?queue=bench");
    let blobs = state.join("blobs");
    let mut needed = vec![server];
    for number in 0..WORKERS {
        let own = state.join(format!("worker-{number}"));
        let worker = build::fedseal()
            .args(["worker", "--jobs", "1", "--threads", "1", "--quiet"])
            .args(["--queue", &queue, "--blobs"])
            .arg(&blobs)
            .arg("--key")
            .arg(own.with_extension("pem"))
            .arg("--state")
            .arg(own)
            .envs(engines.environment())
            .stdout(Stdio::null())
            .spawn()?;
        needed.push(Killed(worker));
    }
    let mut demo = demo(out);
    demo.args(["--workers-only", "--queue", &queue, "--blobs"])
        .arg(&blobs)
        .envs(engines.environment());
    timed(&mut demo, &mut needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_once_it_is_there_as_a_whole() {
        let folder = std::env::temp_dir().join(format!("xtask-ports-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(address(&folder), None);
        let file = folder.join("nats-server_12.ports");
        fs::write(&file, "{\"nats\":[\"nats://127.0").unwrap();
        assert_eq!(address(&folder), None);
        fs::write(&file, "{\"nats\":[\"nats://127.0.0.1:4712\"]}").unwrap();
        assert_eq!(address(&folder).as_deref(), Some("nats://127.0.0.1:4712"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
