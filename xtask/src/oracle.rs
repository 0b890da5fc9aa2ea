//! `cargo xtask oracle aggregation` ([`aggregation`]) compares rules and server optimisers with Flower's and
//! ByzFL's.
//! `cargo xtask oracle files` ([`files`]) reads data files of other tools.
//! `cargo xtask oracle tuning` ([`tuning`]) compares the engine with transformers, peft and torch.
//! `cargo xtask oracle gguf` ([`gguf`]) compares what it reads of GGUF files with llama.cpp and transformers.
//! `cargo xtask oracle templates` ([`templates`]) renders the chat templates of published packages.
//! `cargo xtask oracle replay` ([`replay`]) measures how far apart engines make one update.
//! `cargo xtask oracle provenance`: what shows that the claim of provenance holds, all at once.
//!
//! The latter runs the hostile guests, the forgery corpora, the folders that somebody hands over, the
//! faults while writing and the checkers that we did not write, gathers the counts that the
//! tests leave, and keeps them as `target/figures/oracle-provenance.json`.

mod aggregation;
pub(crate) mod engines;
mod files;
mod gguf;
mod models;
mod replay;
mod templates;
mod tuning;

use std::path::Path;

use serde_json::Value;

use crate::process::{cargo_command, root, run, say};
use crate::readme::keep;
use crate::{Outcome, fail, setup};

/// Checkers that we did not write, with the test that asks them.
struct Checker {
    name: &'static str,
    /// Each program or library that has a say of its own.
    tools: &'static [&'static str],
    /// Words for `cargo test`.
    test: &'static [&'static str],
    /// How to get it.
    install: &'static str,
}

const CHECKERS: &[Checker] = &[
    Checker {
        name: "securesystemslib, in-toto-attestation, sigstore (Python): module and update envelopes",
        tools: &[
            "securesystemslib",
            "in-toto-attestation",
            "sigstore's StatementBuilder",
        ],
        test: &["--test", "python_oracle"],
        install: "pip install -r tests/oracles/dsse/requirements.txt, for python3 or $FEDSEAL_PYTHON",
    },
    Checker {
        name: "golang.org/x/mod/sumdb (Go): checkpoint, inclusion, consistency",
        tools: &["sumdb/note", "sumdb/tlog"],
        test: &["--test", "go_oracle"],
        install: "on Debian: apt-get install golang-go golang-golang-x-mod-dev",
    },
    Checker {
        name: "aics-tlog and aics-witness (Python): cosignatures, a witness that is not ours",
        tools: &["aics-tlog", "aics-witness as a witness"],
        test: &["--test", "witness_oracle"],
        install: TLOG,
    },
    Checker {
        name: "aics-witness (Python): a client of our witness, C2SP tlog-witness of July 2026",
        tools: &["aics-witness as a client"],
        test: &["--bin", "fedseal", "a_client_that_is_not_ours"],
        install: TLOG,
    },
    Checker {
        name: "skopeo (Go): modules in OCI layouts",
        tools: &["skopeo"],
        test: &["--test", "modules"],
        install: "on Debian: apt-get install skopeo",
    },
    Checker {
        name: "docker-registry and skopeo (Go): modules in a registry",
        tools: &["docker-registry"],
        test: &["--test", "registry_oracle"],
        install: "on Debian: apt-get install docker-registry skopeo",
    },
    Checker {
        name: "requests-http-signature (Python), http-message-signatures (JavaScript): signed requests",
        tools: &["requests-http-signature", "http-message-signatures"],
        test: &["--test", "http_signature_oracle"],
        install: "pip install -r tests/oracles/http-signatures/requirements.txt; npm ci there, or $FEDSEAL_NODE_PEERS",
    },
    Checker {
        name: "model-signing (Python): signed adapter folders",
        tools: &["model-signing"],
        test: &["--test", "oms_oracle"],
        install: "pip install -r tests/oracles/oms/requirements.txt, for python3 or $FEDSEAL_PYTHON",
    },
];

const TLOG: &str = "pip install --ignore-requires-python -r tests/oracles/tlog/requirements.txt, for \
                    python3 or $FEDSEAL_PYTHON";

/// The command.
pub(crate) fn oracle(arguments: &[String]) -> Outcome {
    match arguments {
        [name] if name == "provenance" => provenance(),
        [name] if name == "aggregation" => aggregation::aggregation(false),
        [name, option] if name == "aggregation" && option == "--keep" => {
            aggregation::aggregation(true)
        }
        [name] if name == "engines" => engines::engines(),
        [name] if name == "files" => files::files(),
        [name] if name == "gguf" => gguf::gguf(),
        [name] if name == "tuning" => tuning::tuning(false),
        [name, option] if name == "tuning" && option == "--keep" => tuning::tuning(true),
        [name] if name == "templates" => templates::templates(false),
        [name, option] if name == "templates" && option == "--keep" => templates::templates(true),
        [name, devices @ ..] if name == "replay" => replay::replay(devices),
        _ => fail(
            "`cargo xtask oracle` takes one name: aggregation, provenance, engines, files, gguf, templates, tuning or replay",
        ),
    }
}

fn provenance() -> Outcome {
    setup::for_build()?;
    setup::go();
    setup::skopeo();
    setup::registry();
    let counts = root().join("target/counts");
    if counts.exists() {
        std::fs::remove_dir_all(&counts)?;
    }
    std::fs::create_dir_all(&counts)?;

    say("Hostile guests");
    test(&["--test", "hostile_table"], &counts, false)?;
    say("Forgeries");
    test(
        &["--test", "forgeries", "--test", "forged_runs"],
        &counts,
        false,
    )?;

    say("Folders that were handed over");
    test(&["--test", "folders"], &counts, false)?;
    say("What strangers send");
    test(&["--test", "outside"], &counts, false)?;

    say("Faults while writing");
    test(&["--test", "faults"], &counts, false)?;

    let (mut asked, mut agreed) = (0, 0);
    let (mut tools, mut agreeing) = (0, 0);
    for checker in CHECKERS {
        say(checker.name);
        asked += 1;
        tools += checker.tools.len();
        match test(checker.test, &counts, true) {
            Ok(()) => {
                agreed += 1;
                agreeing += checker.tools.len();
            }
            Err(failure) => eprintln!("    {}\n    to install it: {}", failure.0, checker.install),
        }
    }

    let read = |name: &str, key: &str| -> Outcome<f64> {
        let path = counts.join(format!("{name}.json"));
        let value: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        match value.get(key).and_then(Value::as_f64) {
            Some(count) => Ok(count),
            None => fail(format!("{}: no {key}", path.display())),
        }
    };
    let hostile = [
        ("hostile.total", read("hostile", "total")?),
        ("hostile.contained", read("hostile", "contained")?),
    ];
    let mut forgeries = [("forgeries.total", 0.0), ("forgeries.refused", 0.0)];
    for part in ["forgeries", "forged-runs"] {
        forgeries[0].1 += read(part, "total")?;
        forgeries[1].1 += read(part, "refused")?;
    }
    let faults = [
        ("faults.total", read("faults", "total")?),
        ("faults.survived", read("faults", "survived")?),
    ];
    let folders = [
        ("folders.total", read("folders", "total")?),
        ("folders.right", read("folders", "right")?),
    ];
    let mut peak = 0.0f64;
    for corpus in ["hostile", "folders", "outside"] {
        peak = peak.max(read(corpus, "peak_mb")?);
    }
    let outside = [
        ("outside.cases", read("outside", "cases")?),
        ("outside.stuck", read("outside", "stuck")?),
    ];
    let checkers = [
        ("checkers.total", f64::from(asked)),
        ("checkers.agreed", f64::from(agreed)),
    ];
    let outside_tools = [
        ("outside.total", tools as f64),
        ("outside.agreed", agreeing as f64),
    ];
    for (figures, unit) in [
        (hostile, "guests"),
        (forgeries, "cases"),
        (faults, "faults"),
        (folders, "folders"),
        (outside, "cases"),
        (checkers, "checkers"),
        (outside_tools, "tools"),
    ] {
        for (name, value) in figures {
            eprintln!("    {name:<20} {value}");
        }
        let figures = figures.map(|(name, value)| (name.to_owned(), value));
        keep(
            "oracle-provenance",
            "cargo xtask oracle provenance",
            &figures,
            unit,
        )?;
    }
    eprintln!("    {:<20} {peak}", "outside.peak_mb");
    keep(
        "oracle-provenance",
        "cargo xtask oracle provenance",
        &[("outside.peak_mb".to_owned(), peak)],
        "MiB",
    )?;
    if agreed < asked {
        return fail(format!(
            "{agreed} of {asked} outside checkers could be asked and agreed"
        ));
    }
    Ok(())
}

/// Runs tests of the workspace with the counts' folder; `strict` makes an absent checker a
/// failure.
pub(crate) fn test(words: &[&str], counts: &Path, strict: bool) -> Outcome {
    let mut command = cargo_command();
    command
        .args(["test", "--quiet", "--workspace"])
        .args(crate::build::features())
        .args(words)
        .current_dir(root())
        .env("FEDSEAL_COUNTS", counts);
    // What `cargo run` sets for this program would rebuild build scripts.
    for variable in [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_PKG_NAME",
    ] {
        command.env_remove(variable);
    }
    if strict {
        command.env("FEDSEAL_REQUIRE_ORACLES", "1");
        if let Some(python) = crate::python::checkers() {
            command.env("FEDSEAL_PYTHON", python);
        }
        if let Some(peers) = crate::node::peers() {
            command.env("FEDSEAL_NODE_PEERS", peers);
        }
    }
    run(&mut command)
}
