//! Compilation in a process of its own: what it may take, and that nothing of it stays. On Linux,
//! where processes can be looked at.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{guest, limits};
use fedseal_sandbox::{Limits, Reason, Sandbox, SandboxError, compiler};
use rustix::process::{Pid, Signal, kill_process};

/// One test at a time: each looks for the compilers of this process.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A module of `functions` functions in which `loops` loops after one another each carry 100
/// values: a few bytes a loop, and thousands of values for the compiler.
fn bomb(functions: usize, loops: usize) -> Vec<u8> {
    let wide = "i64 ".repeat(100);
    let values = "(local.get 1) ".repeat(100);
    let body = "(loop (type $wide) (br_if 0 (local.get 0)))".repeat(loops);
    let drops = "drop ".repeat(100);
    let function = format!("(func (param i32 i64) {values} {body} {drops})");
    guest(&format!(
        r#"(module (type $wide (func (param {wide}) (result {wide})))
          (memory (export "memory") 1) {}
          (func (export "run") (result i32) (i32.const 0)))"#,
        function.repeat(functions)
    ))
}

/// Takes about a second of processor time, in little memory.
fn slow() -> Vec<u8> {
    bomb(SLOW_FUNCTIONS, 40)
}

const SLOW_FUNCTIONS: usize = 30;

/// Fields of `/proc/ID/stat` after the program's name: state, parent, and so on.
fn stat(process: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(process.join("stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// The processes that a process started and that still run.
fn children(parent: u32) -> BTreeSet<i32> {
    let parent = parent.to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let fields = stat(&entry.path())?;
        (fields.get(1)? == &parent).then_some(id)
    })
    .collect()
}

fn own_children() -> BTreeSet<i32> {
    children(std::process::id())
}

/// Waits until `seen` gives something, at most half a minute.
fn awaited<T>(mut seen: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = seen() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether this process, and so its children, ignore a signal.
fn ignores(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    mask >> (signal.as_raw() - 1) & 1 == 1
}

fn send(process: i32, signal: Signal) {
    kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
}

fn refused(limits: Limits, bytes: &[u8]) -> SandboxError {
    let error = Sandbox::new(limits).unwrap().compile(bytes).unwrap_err();
    assert_eq!(own_children(), BTreeSet::new(), "after {error}");
    error
}

/// The largest resident size of this process so far, bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn memory_ends_at_its_limit_and_the_asker_stays_small() {
    let _turn = alone();
    let bytes = bomb(1, 20_000);
    let limits = Limits {
        compile_bytes: Some(96 << 20),
        ..limits()
    };
    let before = peak();
    let error = refused(limits, &bytes);
    assert_eq!(error.reason(), Reason::CompileMemory, "{error}");
    assert!(error.to_string().contains("100663296 bytes"), "{error}");
    let grown = peak() - before;
    assert!(grown < 32 << 20, "{} MiB more", grown >> 20);
    // The same limit is enough for a module of the usual kind.
    Sandbox::new(limits).unwrap().compile(&bomb(1, 1)).unwrap();
}

#[test]
fn processor_time_ends_at_its_limit() {
    let _turn = alone();
    for seconds in [0, 1] {
        let limits = Limits {
            compile_seconds: seconds,
            ..limits()
        };
        let error = refused(limits, &bomb(5_000, 40));
        assert_eq!(error.reason(), Reason::CompileTime, "{error}");
    }
}

/// A machine that has no time for the compiler is no fault of the module's.
#[test]
fn time_in_which_the_compiler_does_not_run_does_not_count() {
    let _turn = alone();
    let limits = Limits {
        compile_seconds: 1,
        ..limits()
    };
    let sandbox = Sandbox::new(limits).unwrap();
    let bytes = slow();
    std::thread::scope(|scope| {
        let compiled = scope.spawn(|| sandbox.compile(&bytes));
        let compiler = awaited(|| own_children().first().copied());
        send(compiler, Signal::STOP);
        std::thread::sleep(Duration::from_secs(5));
        assert!(!compiled.is_finished());
        send(compiler, Signal::CONT);
        compiled.join().unwrap().unwrap();
    });
}

#[test]
fn compilations_are_counted_for_all_sandboxes_together() {
    let _turn = alone();
    let sandboxes: Vec<_> = (0..2).map(|_| Sandbox::new(limits()).unwrap()).collect();
    let bytes = slow();
    let done = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let counter = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(own_children().len());
                std::thread::sleep(Duration::from_millis(2));
            }
            most
        });
        let compiled: Vec<_> = sandboxes
            .iter()
            .flat_map(|sandbox| [sandbox, sandbox])
            .map(|sandbox| scope.spawn(|| sandbox.compile(&bytes)))
            .collect();
        for thread in compiled {
            thread.join().unwrap().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        counter.join().unwrap()
    });
    assert_eq!(most, compiler::AT_ONCE as usize);
}

#[test]
fn a_compiler_that_somebody_ends_says_nothing_about_the_module() {
    let _turn = alone();
    let sandbox = Sandbox::new(limits()).unwrap();
    let bytes = slow();
    let ended = [(Signal::INT, "interrupted"), (Signal::KILL, "was killed")];
    // Where a shell began this in the background nothing that it starts hears Ctrl-C.
    let deaf = ignores(Signal::INT);
    for (signal, words) in ended {
        if deaf && signal == Signal::INT {
            continue;
        }
        std::thread::scope(|scope| {
            let compiled = scope.spawn(|| sandbox.compile(&bytes));
            send(awaited(|| own_children().first().copied()), signal);
            let error = compiled.join().unwrap().unwrap_err();
            assert_eq!(error.reason(), Reason::Host, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        });
    }
    assert_eq!(own_children(), BTreeSet::new());
}

/// This program once more, doing nothing but [`in_another_process`], below another name if need be.
fn again(program: &Path, what: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args(["in_another_process", "--exact", "--ignored", "--nocapture"])
        .env("COMPILE", what)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
#[ignore = "is started by the tests below"]
fn in_another_process() {
    let limits = Limits {
        compile_bytes: Some(96 << 20),
        ..limits()
    };
    let bytes = match std::env::var("COMPILE").as_deref() {
        Ok("much") => bomb(1, 20_000),
        _ => bomb(5_000, 40),
    };
    let result = Sandbox::new(limits).unwrap().compile(&bytes);
    println!("said: {}", result.unwrap_err());
}

#[test]
fn a_compiler_ends_with_the_program_that_started_it() {
    let _turn = alone();
    let this = std::env::current_exe().unwrap();
    let mut other = again(&this, "long").spawn().unwrap();
    let compiler = awaited(|| children(other.id()).first().copied());
    other.kill().unwrap();
    other.wait().unwrap();
    let place = PathBuf::from(format!("/proc/{compiler}"));
    // Whoever inherits it may leave it a zombie.
    awaited(|| {
        stat(&place)
            .is_none_or(|fields| fields[0] == "Z")
            .then_some(())
    });
}

#[test]
fn what_a_compiler_writes_to_standard_error_is_not_shown() {
    let _turn = alone();
    let this = std::env::current_exe().unwrap();
    let said = again(&this, "much").output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr),
    );
    assert!(
        out.contains("said: compiling the module took more"),
        "{out}{err}"
    );
    assert!(!err.contains("memory allocation"), "{err}");
}

#[test]
fn without_a_compiler_nothing_is_compiled() {
    let _turn = alone();
    let this = std::env::current_exe().unwrap();
    let folder = tempfile::tempdir_in(this.parent().unwrap()).unwrap();
    let below = folder.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let elsewhere = below.join("program");
    std::fs::hard_link(&this, &elsewhere).unwrap();
    let said = again(&elsewhere, "much").output().unwrap();
    let out = String::from_utf8_lossy(&said.stdout);
    assert!(
        out.contains("said: no program that compiles modules"),
        "{out}"
    );
    assert!(
        out.contains("fedseal-compile") && out.contains("below"),
        "{out}"
    );
}
