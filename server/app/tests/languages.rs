//! Policies in other languages, built with their tools and run in the sandbox.
//!
//! `cargo xtask test` installs the tools below target/guest-tools. Where one is missing its test
//! says so, past the test harness, and passes; with FEDSEAL_REQUIRE_GUEST_TOOLS=1 it fails.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn command(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fedseal"));
    command
        .args(words)
        .env("FEDSEAL_HOME", home)
        .current_dir(root());
    command
}

fn fedseal(home: &Path, words: &[&str]) -> Output {
    let mut command = command(home, words);
    // What a new policy depends on is built once for all tests and kept.
    if words.iter().any(|word| word.starts_with('/')) {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author");
        let own = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let tools = own.unwrap_or_else(|| root().join("target"));
        let tools = tools.join("guest-tools");
        let tools = std::env::var_os("FEDSEAL_GUEST_TOOLS").unwrap_or_else(|| tools.into());
        command.env("CARGO_TARGET_DIR", target);
        command.env("FEDSEAL_GUEST_TOOLS", tools);
    }
    command.output().unwrap()
}

/// Runs `policy test` on a folder; `None`, with words that nobody overlooks, where the tool is not
/// installed.
fn tested(home: &Path, folder: &Path) -> Option<String> {
    let folder_name = folder.to_string_lossy();
    // A test does not depend on how busy the machine is.
    let words = [
        "policy",
        "test",
        &folder_name,
        "--no-native",
        "--compile-seconds",
        "600",
    ];
    let out = fedseal(home, &words);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    if said.contains("was not found") && std::env::var_os("FEDSEAL_REQUIRE_GUEST_TOOLS").is_none() {
        // Not by eprintln!, which the harness keeps to itself when a test passes.
        let _ = writeln!(
            std::io::stderr(),
            "\n!!! SKIPPED, NOT TESTED: {}: {}\n",
            folder.display(),
            said.trim()
        );
        return None;
    }
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{shown}{said}");
    assert!(
        shown.contains("a second run made the same transcript and update"),
        "{shown}"
    );
    Some(shown)
}

fn update(shown: &str) -> &str {
    shown
        .lines()
        .find_map(|line| line.strip_prefix("update   "))
        .unwrap()
}

/// One way to a module: how its honest policy comes about, and one that fails.
struct Toolchain {
    name: &'static str,
    /// Makes a folder of the honest policy below a folder, and returns it.
    honest: fn(&Path) -> PathBuf,
    /// A policy that fails, as the honest one's file with other text.
    failing: (&'static str, &'static str),
    /// A word of the reason that must be recorded.
    reason: &'static str,
}

/// Text of a policy in Rust that breaks off after the host refused a call.
const PANICS: &str = r#"
use fedseal_guest::{Error, Host, Policy};
pub struct Mine;
impl Policy for Mine {
    fn run<H: Host>(_: &mut H) -> Result<(), Error> {
        panic!("gave up because of this");
    }
}
fedseal_guest::export_policy!(Mine);
"#;

const TOOLCHAINS: [Toolchain; 8] = [
    Toolchain {
        name: "rust, wasm32-unknown-unknown",
        honest: |home| rust(home, "wasm32-unknown-unknown"),
        failing: ("src/lib.rs", PANICS),
        reason: "gave up because of this",
    },
    Toolchain {
        name: "rust, wasm32-wasip1",
        honest: |home| rust(home, "wasm32-wasip1"),
        failing: ("src/lib.rs", PANICS),
        reason: "gave up because of this",
    },
    Toolchain {
        name: "rust, wasm32-wasip2",
        honest: |home| rust(home, "wasm32-wasip2"),
        failing: ("src/lib.rs", PANICS),
        reason: "gave up because of this",
    },
    Toolchain {
        name: "c",
        honest: |home| example(home, "c"),
        failing: (
            "policy.c",
            "#include \"fedseal.h\"\n\
             bool policy_run(fs_text *why) { (void)why; fs_clip(fs_global(), -1.0); __builtin_trap(); }\n",
        ),
        reason: "clip: norm is -1",
    },
    Toolchain {
        name: "c with its library",
        honest: |home| written(home, "policy.c", include_str!("guests/libc.c")),
        failing: (
            "policy.c",
            "#include <assert.h>\n#include \"fedseal.h\"\n\
             bool policy_run(fs_text *why) { (void)why; assert(fs_count(fs_shard()) == 7); return true; }\n",
        ),
        reason: "fs_count(fs_shard()) == 7",
    },
    Toolchain {
        name: "assemblyscript",
        honest: |home| example(home, "assemblyscript"),
        failing: (
            "policy.ts",
            "import * as host from \"fedseal\";\n\
             export function run(): string | null {\n  \
               assert(host.clip(host.global(), -1) !== null, \"nothing was clipped\");\n  return null;\n}\n",
        ),
        reason: "nothing was clipped",
    },
    Toolchain {
        name: "javascript",
        honest: |home| example(home, "javascript"),
        failing: (
            "policy.js",
            "import * as host from \"fedseal:policy/host@0.1.0\";\n\
             export function run() { host.clip(host.global(), -1); }\n",
        ),
        reason: "guest-error (invalid: norm is -1",
    },
    Toolchain {
        name: "python",
        honest: |home| example(home, "python"),
        failing: (
            "policy.py",
            "import wit_world\nfrom wit_world.imports import host\n\n\n\
             class WitWorld(wit_world.WitWorld):\n    def run(self) -> None:\n        \
             host.clip(host.global_(), -1.0)\n",
        ),
        reason: "guest-error (invalid: norm is -1",
    },
];

/// A new policy in Rust for a target.
fn rust(home: &Path, target: &str) -> PathBuf {
    let guest = root().join("guest");
    let folder = home.join("mine");
    let words = ["policy", "new", "mine", "--guest", &guest.to_string_lossy()];
    let out = command(home, &words).current_dir(home).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    let manifest = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let text = text.replace(
        "[lib]",
        &format!("[package.metadata.fedseal]\ntarget = \"{target}\"\n\n[lib]"),
    );
    std::fs::write(manifest, text).unwrap();
    folder
}

fn written(home: &Path, file: &str, text: &str) -> PathBuf {
    let folder = home.join("mine");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(file), text).unwrap();
    folder
}

fn example(home: &Path, language: &str) -> PathBuf {
    let from = root().join("guest/examples").join(language);
    // Toolchains leave folders beside the source.
    let mut files = std::fs::read_dir(from).unwrap().map(Result::unwrap);
    let file = files.find(|file| file.path().is_file()).unwrap();
    let name = file.file_name().into_string().unwrap();
    written(home, &name, &std::fs::read_to_string(file.path()).unwrap())
}

/// Problem of a toolchain; none where its honest policy makes Rust's update twice and its failing one leaves
/// its reason.
fn problem(toolchain: &Toolchain, home: &Path, honest: &str, shown: &str) -> Option<String> {
    if update(shown) != honest {
        return Some(format!("another update than Rust's: {shown}"));
    }
    let (file, text) = toolchain.failing;
    let folder = home.join("mine");
    std::fs::write(folder.join(file), text).unwrap();
    let words = ["policy", "test", &folder.to_string_lossy(), "--no-native"];
    let out = fedseal(home, &words);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    match !out.status.success() && said.contains(toolchain.reason) {
        true => None,
        false => Some(format!("the reason is lost: {said}")),
    }
}

#[test]
fn every_toolchain_makes_rusts_update_and_keeps_the_reason_of_a_failure() {
    let home = tempfile::tempdir().unwrap();
    let out = fedseal(home.path(), &["policy", "test", "benign", "--no-native"]);
    let rust = String::from_utf8(out.stdout).unwrap();
    let (mut total, mut right, mut problems) = (0_u32, 0_u32, Vec::new());
    for toolchain in &TOOLCHAINS {
        let home = tempfile::tempdir().unwrap();
        let folder = (toolchain.honest)(home.path());
        let Some(shown) = tested(home.path(), &folder) else {
            continue;
        };
        total += 1;
        match problem(toolchain, home.path(), update(&rust), &shown) {
            None => right += 1,
            Some(problem) => problems.push(format!("{}: {problem}", toolchain.name)),
        }
    }
    count("languages", &[("total", total), ("right", right)]);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(total > 0);
}

/// Writes counts to `$FEDSEAL_COUNTS/NAME.json`, for the command that gathers them.
fn count(name: &str, counts: &[(&str, u32)]) {
    if let Some(folder) = std::env::var_os("FEDSEAL_COUNTS") {
        let counts: std::collections::BTreeMap<_, _> = counts.iter().copied().collect();
        let text = serde_json::to_string(&counts).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.json")), text).unwrap();
    }
}

#[test]
fn every_printed_line_of_c_is_logged_once() {
    let Some(shown) = curious("policy.c", include_str!("guests/libc.c")) else {
        return;
    };
    let log: Vec<&str> = shown
        .lines()
        .filter(|line| line.starts_with("log "))
        .collect();
    let words = [
        "first line",
        "second line",
        "to standard error",
        "third line without an end",
    ];
    let expected = words.map(|line| format!("log      {line}"));
    assert_eq!(log, expected, "{shown}");
}

#[test]
fn answers_of_the_host_take_no_memory_of_a_policy_in_c() {
    curious("policy.c", include_str!("guests/own_pages.c"));
}

#[test]
fn a_policy_in_c_can_be_rebuilt() {
    let text = include_str!("guests/libc.c");
    rebuilt("policy.c", text, ("first", "other"), "built by   zig 0.");
}

#[test]
fn a_policy_in_assemblyscript_can_be_rebuilt() {
    let text = std::fs::read_to_string(root().join("guest/examples/assemblyscript/policy.ts"));
    let tool = "built by   assemblyscript 0.";
    let change = ("host.refusal;", "\"another reason\";");
    rebuilt("policy.ts", &text.unwrap(), change, tool);
}

/// A policy that was built twice has one digest, wherever it lies, and `--check` tells its source.
fn rebuilt(file: &str, text: &str, change: (&str, &str), tool: &str) {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut modules = Vec::new();
    for (home, name) in homes.iter().zip(["a/mine", "somewhere/else/mine"]) {
        let folder = home.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(file), text).unwrap();
        let out = fedseal(home.path(), &["policy", "build", &folder.to_string_lossy()]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        if said.contains("was not found") {
            return;
        }
        assert!(out.status.success(), "{said}");
        modules.push(folder.join("target/mine.wasm"));
    }
    let bytes = |path: &PathBuf| std::fs::read(path).unwrap();
    assert_eq!(bytes(&modules[0]), bytes(&modules[1]));
    let source = homes[0].path().join("a/mine");
    let check = || {
        let module = modules[1].to_string_lossy().into_owned();
        let words = [
            "policy",
            "build",
            "--check",
            &source.to_string_lossy(),
            &module,
        ];
        fedseal(homes[0].path(), &words)
    };
    let out = check();
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success() && shown.contains("comes from this source"),
        "{out:?}"
    );
    assert!(shown.contains(tool), "{shown}");
    let other = text.replacen(change.0, change.1, 1);
    assert_ne!(other, text);
    std::fs::write(source.join(file), other).unwrap();
    let out = check();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        !out.status.success() && said.contains("its source was"),
        "{said}"
    );
}

/// A policy that looks for a way out and writes down what it finds.
fn curious(file: &str, text: &str) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("curious");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(file), text).unwrap();
    tested(home.path(), &folder)
}

#[test]
fn python_finds_no_file_no_network_no_clock_and_no_entropy() {
    let Some(shown) = curious("policy.py", include_str!("guests/curious.py")) else {
        return;
    };
    for line in [
        "log      files: refused",
        "log      open: refused",
        "log      socket: refused",
        "log      environment: 0",
        "log      year: 2000",
        "log      slept: True",
        "log      to standard error",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn javascript_counts_its_own_time() {
    let Some(shown) = curious("policy.js", include_str!("guests/curious.js")) else {
        return;
    };
    assert!(shown.contains("log      year 2000"), "{shown}");
}

#[test]
fn javascript_draws_the_numbers_of_the_run_and_has_a_console() {
    let policy = r#"
        import * as host from "fedseal:policy/host@0.1.0";
        export function run() {
          console.log("drew", Math.random(), Math.random(), { whole: [1] });
          console.log(10n, new Error("of its own").message, console);
          console.warn("unit", [1, 2, 3, 4].every(() => { const r = Math.random(); return r >= 0 && r < 1; }));
          host.submit(host.global(), 1);
        }"#;
    // The engine's own generator would be seeded anew by each build.
    let drew = |shown: String| {
        assert!(shown.contains("log      unit true"), "{shown}");
        let line = shown.lines().find(|line| line.contains("log      drew"));
        line.map(str::to_owned).unwrap_or_else(|| panic!("{shown}"))
    };
    let (Some(first), Some(second)) = (curious("policy.js", policy), curious("policy.js", policy))
    else {
        return;
    };
    let first = drew(first);
    assert!(first.ends_with(r#"{"whole":[1]}"#), "{first}");
    assert_eq!(first, drew(second));
}

/// Numbers are the client's own, and whole where the language asks for exact ones.
#[test]
fn javascript_draws_anew_for_every_client_and_has_whole_integers() {
    let policy = r#"
        import * as host from "fedseal:policy/host@0.1.0";
        export function run() {
          const whole = crypto.getRandomValues(new BigUint64Array(4));
          const odd = crypto.getRandomValues(new Uint8Array(3));
          console.log("drew", Math.random(), ...whole, odd.join("-"));
          // A number that was rounded to 53 bits ends in zeros.
          console.log("exact", whole.some((number) => number % 2048n !== 0n), odd.length);
          host.submit(host.global(), 1);
        }"#;
    let home = tempfile::tempdir().unwrap();
    let folder = written(home.path(), "policy.js", policy);
    if tested(home.path(), &folder).is_none() {
        return;
    }
    let folder = folder.to_string_lossy();
    let drew = |seed: &str| {
        let words = ["policy", "test", &folder, "--no-native", "--seed", seed];
        let out = fedseal(home.path(), &words);
        let shown = String::from_utf8(out.stdout).unwrap();
        assert!(shown.contains("log      exact true 3"), "{shown}");
        let mut lines = shown.lines().filter(|line| line.contains("log      drew"));
        lines
            .next()
            .map(str::to_owned)
            .unwrap_or_else(|| panic!("{shown}"))
    };
    assert_eq!(drew("1"), drew("1"));
    assert_ne!(drew("1"), drew("2"));
}

/// A policy in Python with as many values as SmolLM2-135M's adapter of rank 16 has, read and written.
#[test]
fn python_reads_and_writes_a_large_adapter_within_the_defaults() {
    let policy = "import wit_world\nfrom wit_world.imports import host\n\n\n\
        class WitWorld(wit_world.WitWorld):\n    def run(self) -> None:\n        \
        read = [float(number) for number in range(921_600)]\n        \
        written = [value * 0.5 for value in read]\n        \
        print(\"values\", len(read) + len(written))\n        \
        host.submit(host.global_(), 1)\n";
    let Some(shown) = curious("policy.py", policy) else {
        return;
    };
    assert!(shown.contains("log      values 1843200"), "{shown}");
    assert!(!shown.contains("a node's defaults are smaller"), "{shown}");
    let words: Vec<&str> = shown.split_whitespace().collect();
    let at = words
        .windows(3)
        .position(|words| words == ["KiB", "of", "memory,"]);
    let memory: u64 = words[at.unwrap() - 1].parse().unwrap();
    // More than the default of before, 64 MiB.
    assert!((65_537..=192 << 10).contains(&memory), "{shown}");
}

#[test]
fn every_call_of_the_c_header_is_the_worlds() {
    let Some(shown) = curious("policy.c", include_str!("guests/every_call.c")) else {
        return;
    };
    assert!(shown.contains("log      every call answered"), "{shown}");
}
