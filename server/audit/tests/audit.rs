//! The auditor's program over a run that an earlier version made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A run that revision 35be59b made, unpacked.
fn old_run(folder: &Path) -> PathBuf {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../federation/tests/old_run.tar");
    let bytes = fs::read(packed).unwrap();
    tar::Archive::new(bytes.as_slice()).unpack(folder).unwrap();
    let run = fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    run.path()
}

fn audit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fedseal-audit"))
        .args(arguments)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}")
}

#[test]
fn an_old_run_is_verified_told_and_tabled() {
    let folder = tempfile::tempdir().unwrap();
    let run = old_run(folder.path());
    let run = run.to_str().unwrap();
    let verified = audit(&["verify", run]);
    assert!(verified.status.success(), "{}", said(&verified));
    let text = said(&verified);
    assert!(
        text.contains("counted again") && text.contains("not checked:"),
        "{text}"
    );
    let fsck = audit(&["log", "fsck", run]);
    assert!(fsck.status.success(), "{}", said(&fsck));
    let table = audit(&["table", run]);
    assert!(
        table.status.success() && said(&table).contains("safety"),
        "{}",
        said(&table)
    );
    // Its arms are held against each other on the same prompts, and a share of few prompts says so.
    let text = said(&table);
    for part in [
        "less fedavg",
        "McNemar",
        "Holm",
        "† from fewer than 100 prompts",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let rows = audit(&[
        "table",
        run,
        "--format",
        "csv",
        "--rows",
        "tests",
        "--against",
        "clean",
    ]);
    let text = String::from_utf8_lossy(&rows.stdout).into_owned();
    assert!(text.starts_with("arm,against,measure,difference"), "{text}");
    assert!(
        text.lines().skip(1).all(|row| row.contains(",clean,")),
        "{text}"
    );
    let none = audit(&["table", run, "--format", "parquet", "--out", "x.parquet"]);
    assert_eq!(none.status.code(), Some(2), "{}", said(&none));
    let drawn = audit(&["table", run, "--format", "svg"]);
    assert!(said(&drawn).contains("<svg"), "{}", said(&drawn));
    let nobody = audit(&["table", run, "--against", "nobody"]);
    assert!(
        said(&nobody).contains("Arms of this run"),
        "{}",
        said(&nobody)
    );
    // Its updates are named by the report.
    let report = fs::read_to_string(Path::new(run).join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let id = report
        .pointer("/arms/1/rounds/0/clients/0/update")
        .and_then(serde_json::Value::as_str)
        .unwrap();
    let told = audit(&["explain", run, "--update", id]);
    assert!(
        told.status.success() && said(&told).contains("handed in"),
        "{}",
        said(&told)
    );
    let bundle = folder.path().join("update.bundle");
    let bundle = bundle.to_str().unwrap();
    let written = audit(&["bundle", run, "--update", id, "--out", bundle]);
    assert!(written.status.success(), "{}", said(&written));
    let plan = fs::read_to_string(Path::new(run).join("run.json")).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let key = |path: &str| {
        plan.pointer(path)
            .and_then(serde_json::Value::as_str)
            .unwrap()
    };
    let (node, author) = (key("/node"), key("/modules/0/signer"));
    let held = audit(&["verify", bundle, "--node", node, "--author", author]);
    assert!(held.status.success(), "{}", said(&held));
    // The author's key in the node's place vouches for nothing.
    let forged = audit(&["verify", bundle, "--node", author, "--author", author]);
    assert_eq!(forged.status.code(), Some(1), "{}", said(&forged));
}

#[test]
fn a_changed_report_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let run = old_run(folder.path());
    let path = run.join("report.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("accept", "reject", 1)).unwrap();
    let verified = audit(&["verify", run.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(
        said(&verified).contains("report.json"),
        "{}",
        said(&verified)
    );
}

/// An auditor installs no tensor library, no Wasm engine, no database.
#[test]
fn the_program_links_no_engine() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--offline", "--package", "fedseal-audit"])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // The features of this package alone, whatever the build around it unifies.
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .output()
        .unwrap();
    let tree = said(&tree);
    assert!(tree.contains("fedseal-record"), "{tree}");
    for name in [
        "burn",
        "wasmtime",
        "cranelift",
        "rusqlite",
        "fedseal-tuning",
        "fedseal-sandbox",
    ] {
        let found = tree.lines().find(|line| line.starts_with(name));
        assert!(found.is_none(), "{found:?}");
    }
}
