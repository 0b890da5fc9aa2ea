//! An author's whole path: a new policy, its test, its build, a look into it, and its submission to a
//! running server; through a layout on disk as well.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use crate::program::{command, ok, refused};

/// A server on a free port; ended when dropped.
struct Served {
    child: Child,
    url: String,
    /// Kept open: a server whose output nobody reads ends.
    _output: BufReader<ChildStdout>,
}

impl Served {
    fn start(home: &Path) -> Self {
        std::fs::create_dir_all(home.join("runs")).unwrap();
        let mut child = command(home, &["serve", "--addr", "127.0.0.1:0", "--runs", "runs"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut first).unwrap();
        let url = first.trim().rsplit(' ').next().unwrap().to_owned();
        Self {
            child,
            url,
            _output: lines,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn from_nothing_to_a_registered_policy() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest");
    let guest = guest.to_string_lossy();
    assert!(refused(home, &["policy", "new", "Bad Name"]).contains("1 to 64"));
    ok(home, &["policy", "new", "mine", "--guest", &guest]);
    assert!(refused(home, &["policy", "new", "mine", "--guest", &guest]).contains("there already"));

    let shown = ok(home, &["policy", "test", "mine"]);
    assert!(shown.contains("native   1 tests passed"), "{shown}");
    assert!(shown.contains("data     8 examples, shard"), "{shown}");
    assert!(shown.contains("same transcript and update"), "{shown}");

    ok(home, &["policy", "build", "mine"]);
    let module = "mine/target/mine.wasm";
    let shown = ok(home, &["policy", "inspect", module]);
    for line in [
        "name       mine 0.1.0",
        "signed by  developer",
        "imports    fedseal:policy/host@0.1.0 (the host)",
        "needs      module_bytes",
        "sandbox    would run it",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }

    let served = Served::start(home);
    let shown = ok(home, &["policy", "submit", module, "--server", &served.url]);
    assert!(shown.starts_with("registered mine as "), "{shown}");
    drop(served);
    let digest = shown.split(' ').nth(3).unwrap().trim_end_matches(',');
    runs_by_its_digest(home, digest);

    // Without its signature nothing takes it.
    std::fs::remove_file(home.join("mine/target/mine.wasm.dsse.json")).unwrap();
    assert!(refused(home, &["policy", "inspect", module]).contains("not signed"));
    assert!(refused(home, &["policy", "submit", module]).contains("no signature"));
}

#[test]
fn a_failing_native_test_is_a_failure() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest");
    ok(
        home,
        &[
            "policy",
            "new",
            "broken",
            "--guest",
            &guest.to_string_lossy(),
        ],
    );
    let source: PathBuf = home.join("broken/src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replace("examples, 5", "examples, 6")).unwrap();
    assert!(refused(home, &["policy", "test", "broken"]).contains("native tests failed"));
}

/// Nothing of the place where it is built gets into a module, and its statement says what it was built of.
#[test]
fn a_rust_policy_has_one_digest_in_every_folder() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest");
    let mut modules = Vec::new();
    for place in ["one", "two/deeper/than/that"] {
        let folder = home.join(place);
        std::fs::create_dir_all(&folder).unwrap();
        // A panic names its file.
        let words = ["policy", "new", "mine", "--guest", &guest.to_string_lossy()];
        let made = command(home, &words).current_dir(&folder).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let source = folder.join("mine/src/lib.rs");
        let text = std::fs::read_to_string(&source).unwrap();
        let text = text.replace(
            "let examples = host.count(&shard);",
            "let examples = host.count(&shard);\n        assert!(examples < 1_000_000, \"too many\");",
        );
        std::fs::write(source, text).unwrap();
        ok(home, &["policy", "build", &format!("{place}/mine")]);
        modules.push(std::fs::read(folder.join("mine/target/mine.wasm")).unwrap());
    }
    assert_eq!(modules[0], modules[1]);
    let paths = home.to_string_lossy().into_owned();
    let text = String::from_utf8_lossy(&modules[0]);
    assert!(!text.contains(&paths) && text.contains("src/lib.rs"));

    let module = "two/deeper/than/that/mine/target/mine.wasm";
    let shown = ok(home, &["policy", "inspect", module]);
    for line in [
        "built of   source dirHash ",
        "built of   fedseal-guest dirHash ",
        "built by   rustc 1.",
        " for wasm32-unknown-unknown, `fedseal policy build mine`",
        "may use    fuel ",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let shown = ok(home, &["policy", "build", "--check", "one/mine", module]);
    assert!(shown.contains("comes from this source"), "{shown}");
    let source = home.join("one/mine/src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replace("1_000_000", "1_000_001")).unwrap();
    let said = refused(home, &["policy", "build", "--check", "one/mine", module]);
    assert!(said.contains("its source was "), "{said}");
}

/// Runs an experiment of which a client names a submitted module by its digest.
fn runs_by_its_digest(home: &Path, digest: &str) {
    let rows: String = (0..4)
        .map(|i| format!("{{\"prompt\": \"Say {i}.\", \"response\": \"It is {i}.\"}}\n"))
        .collect();
    std::fs::write(home.join("shard.jsonl"), rows).unwrap();
    let experiment = format!(
        "seeds = [1]\narms = [\"clean\"]\n[[clients]]\nname = \"north\"\nshard = \"shard.jsonl\"\n\
         module = \"sha256:{digest}\"\n[federation]\nrounds = 1\n[training]\nlocal_steps = 1\n\
         batch_size = 2\nsequence_length = 64\nmax_response_tokens = 16\nlearning_rate = 1e-3\n\
         [lora]\nrank = 2\n[evaluation]\nprompts = 1\ntasks = 1\nevery = 0\nround_prompts = 0\n\
         round_tasks = 0\nmax_new_tokens = 4\n[canaries]\nsealed = 1\nper_round = 1\n"
    );
    std::fs::write(home.join("submitted.toml"), experiment).unwrap();
    let words = [
        "run",
        "submitted.toml",
        "--modules",
        ".",
        "--out",
        "runs/own",
        "--no-figures",
    ];
    ok(home, &words);
    ok(home, &["verify", "runs/own"]);
    let elsewhere = [
        "run",
        "submitted.toml",
        "--modules",
        ".",
        "--registry",
        "none",
        "--out",
        "runs/two",
    ];
    let said = refused(home, &elsewhere);
    assert!(
        said.contains(digest) && said.contains("client north"),
        "{said}"
    );
}
