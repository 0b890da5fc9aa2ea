//! The demo by workers of a queue, beside the local pool, in turn: NATS JetStream and a folder of blobs on this
//! machine. Both have to end every arm with the same adapter.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::demos::last_adapters;
use super::super::worker::median;
use super::{Figure, figure};
use crate::process::{cargo, root, run, say, target};
use crate::{Outcome, build, fail, python};

/// Longest start of the server.
const START: Duration = Duration::from_secs(30);

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
    build::everything()?;
    say("Building the helper");
    cargo(
        &["build", "-p", "fedseal-engines", "--features", "network"],
        &[],
    )?;
    let requirements = root().join("tests/oracles/engines/requirements.txt");
    let python = python::with("engines", &requirements)?;
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
                0 => timed(&mut demo(&out))?,
                _ => by_workers(&python, &folder, &out)?,
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
    let mut command = Command::new(target().join("debug/fedseal"));
    command
        .args([
            "run",
            "experiments/demo.toml",
            "--no-figures",
            "-q",
            "--out",
        ])
        .arg(out)
        .current_dir(root())
        .stdout(Stdio::null());
    command
}

fn timed(command: &mut Command) -> Outcome<f64> {
    let started = Instant::now();
    run(command)?;
    Ok(started.elapsed().as_secs_f64())
}

fn by_workers(python: &Path, folder: &Path, out: &Path) -> Outcome<f64> {
    let state = folder.join("state");
    let _ = fs::remove_dir_all(&state);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    drop(listener);
    let nats = Command::new(python.with_file_name("nats-server"))
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(state.join("jetstream"))
        .stderr(Stdio::null())
        .spawn()?;
    let _nats = Killed(nats);
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begun.elapsed() > START {
            return fail("nats-server does not listen");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let queue = format!("nats://127.0.0.1:{port}?queue=bench");
    let helper = target().join("debug/fedseal-engines");
    let mut workers = Vec::new();
    for number in 0..2 {
        let worker = Command::new(target().join("debug/fedseal"))
            .args([
                "worker",
                "--jobs",
                "1",
                "--quiet",
                "--threads",
                "1",
                "--queue",
                &queue,
            ])
            .arg("--blobs")
            .arg(state.join("blobs"))
            .arg("--state")
            .arg(state.join(format!("worker-{number}")))
            .env("FEDSEAL_ENGINES", &helper)
            .current_dir(root())
            .stdout(Stdio::null())
            .spawn()?;
        workers.push(Killed(worker));
    }
    let mut demo = demo(out);
    demo.args(["--workers-only", "--queue", &queue, "--blobs"])
        .arg(state.join("blobs"))
        .env("FEDSEAL_ENGINES", &helper);
    timed(&mut demo)
}
