//! Running other programs: where they are, what they print, how long they take.

use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::{Outcome, fail};

/// The repository's root: the parent of this crate's folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Says what is being done, on its own line.
pub(crate) fn say(what: &str) {
    eprintln!("\x1b[1m==> {what}\x1b[0m");
}

/// Whether a program can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Standard output of a program, trimmed; `None` where it fails.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The commit that a figure belongs to; `+` after it where the tree has changes.
pub(crate) fn commit() -> String {
    let folder = root();
    let folder = folder.to_string_lossy();
    let git = |words: &[&str]| output("git", &[&["-C", &folder], words].concat());
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".into();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    match changed.is_some_and(|changed| !changed.is_empty()) {
        true => format!("{head}+"),
        false => head,
    }
}

/// Runs a command to its end with its output shown; an exit code other than 0 is a failure.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let shown = shown(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => fail(format!("`{shown}` ended with {status}")),
        Err(error) => fail(format!("`{shown}` could not be started: {error}")),
    }
}

/// Waits for a program, and ends it after a time.
///
/// # Errors
/// A program that takes longer; `what` names it.
pub(crate) fn wait_within(child: &mut Child, what: &str, limit: Duration) -> Outcome<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return fail(format!("{what} was ended after {}", seconds(limit)));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Output of a program without input, which is ended after a time: a browser that hangs shall not hang those
/// who wait for it.
///
/// # Errors
/// A program that cannot be started, or takes longer.
pub(crate) fn output_within(command: &mut Command, limit: Duration) -> Outcome<Output> {
    let shown = shown(command);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return fail(format!("`{shown}` could not be started: {error}")),
    };
    let stdout = child.stdout.take().map(reader);
    let stderr = child.stderr.take().map(reader);
    let status = wait_within(&mut child, &format!("`{shown}`"), limit);
    let bytes = |pipe: Option<Receiver<Vec<u8>>>| {
        // A program that it left behind may still hold the pipe.
        pipe.and_then(|pipe| pipe.recv_timeout(Duration::from_secs(5)).ok())
    };
    let (stdout, stderr) = (bytes(stdout), bytes(stderr));
    match status {
        Ok(status) => Ok(Output {
            status,
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
        }),
        Err(crate::Failure(problem)) => {
            let said = stderr.unwrap_or_default();
            fail(format!("{problem}\n{}", String::from_utf8_lossy(&said)))
        }
    }
}

/// Everything that comes from a pipe, once it is closed.
fn reader(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // Bytes before an error are all there is.
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that started this program, without what it set for it.
pub(crate) fn cargo_command() -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    without_own(&mut command);
    command
}

/// Takes away the variables that `cargo run` sets for this program. Build scripts look at some (ring's at name
/// and version): with them, whatever lies above would be built again whenever somebody calls cargo by hand.
pub(crate) fn without_own(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let own = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if own
            .iter()
            .any(|own| name.to_string_lossy().starts_with(own))
        {
            command.env_remove(name);
        }
    }
}

/// Runs cargo. On a terminal its own progress bar is shown; elsewhere its lines are counted and
/// a short line is printed every ten seconds, so that a build of minutes is never silent.
pub(crate) fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let mut command = cargo_command();
    command
        .args(arguments)
        .current_dir(root())
        .envs(environment.iter().copied());
    if std::io::stderr().is_terminal() {
        return run(&mut command);
    }
    let started = Instant::now();
    let mut child = match command.stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return fail(format!("cargo could not be started: {error}")),
    };
    let (mut compiled, mut last) = (0_u32, Instant::now());
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line?;
            let word = line.trim_start();
            if word.starts_with("Compiling") || word.starts_with("Checking") {
                compiled += 1;
                if last.elapsed() > Duration::from_secs(10) {
                    last = Instant::now();
                    eprintln!(
                        "    {compiled} crates, {}: {word}",
                        seconds(started.elapsed())
                    );
                }
            } else if !word.starts_with("Download") && !word.starts_with("Blocking waiting") {
                eprintln!("{line}");
            }
        }
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    fail(format!(
        "`cargo {}` ended with {status}",
        arguments.join(" ")
    ))
}

/// A duration as people say it.
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole < 60 {
        format!("{whole} s")
    } else {
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_starts_as_from_a_shell() {
        // The runner of this test has them from cargo, too.
        assert!(std::env::var_os("CARGO_PKG_VERSION_MAJOR").is_some());
        let command = cargo_command();
        let gone: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .collect();
        for name in [
            "CARGO_PKG_NAME",
            "CARGO_PKG_VERSION_MAJOR",
            "CARGO_MANIFEST_DIR",
        ] {
            assert!(gone.iter().any(|(gone, _)| *gone == name), "{name}");
        }
    }
}
