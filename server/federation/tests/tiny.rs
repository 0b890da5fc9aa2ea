//! The smallest whole run with everything real: the embedded model, signed guests in the sandbox,
//! every arm; verified, executed again, and killed in the middle.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_client_sdk::module::{self, ModulePredicate};
use fedseal_federation::Error;
use fedseal_federation::lab::TuningLab;
use fedseal_federation::replay::{Selector, replay, replay_in};
use fedseal_federation::runner::{Options, Run};
use fedseal_record::events::Event;
use fedseal_record::opened::OpenRun;
use fedseal_record::report::Report;
use fedseal_record::verify::verify;
use fedseal_rules::experiment::Experiment;

/// Where the child of the kill test finds its work.
const CHILD: &str = "FEDSEAL_TEST_TINY_CHILD";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The built modules, signed anew by an author of this test.
fn options(dir: &Path) -> Options {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let (keys, modules) = (dir.join("keys"), dir.join("modules"));
    if !keys.exists() {
        fs::create_dir_all(&keys).unwrap();
        fs::create_dir_all(&modules).unwrap();
        let author = SigningKey::load_or_create(keys.join("author.pem")).unwrap();
        let mut trusted = TrustStore::default();
        trusted.add("test author", author.public());
        trusted.save(keys.join("trusted.toml")).unwrap();
        for name in ["benign", "malicious-gen", "unaligned-data", "mixed-share"] {
            let built = target.join("policies").join(format!("{name}.wasm"));
            let bytes = fs::read(&built).unwrap_or_else(|error| {
                panic!(
                    "{}: {error}; run `cargo xtask build` first",
                    built.display()
                )
            });
            let path = modules.join(format!("{name}.wasm"));
            let envelope =
                module::sign(&bytes, &ModulePredicate::new(name, "0.1.0"), &author).unwrap();
            fs::write(&path, bytes).unwrap();
            fs::write(module::envelope_path(&path), envelope.to_bytes()).unwrap();
        }
    }
    Options {
        keys,
        modules,
        ..Options::default()
    }
}

fn experiment() -> Experiment {
    Experiment::load(root().join("experiments/tiny.toml")).unwrap()
}

fn go_on(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn final_adapters(report: &Report) -> BTreeMap<String, String> {
    report
        .arms
        .iter()
        .map(|arm| (arm.id.clone(), arm.final_adapter.unwrap().to_string()))
        .collect()
}

#[test]
fn a_tiny_run_verifies_and_replays_with_one_and_two_threads() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let begun = Instant::now();
    let report = Run::create(&run, experiment(), options(dir.path()))
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
    let checked = verify(&run).unwrap();
    assert!(checked.updates > 6 && checked.aggregations == 12);

    // Whoever brought literal or generated data was seen, whoever did not was not.
    let provenance = report
        .arms
        .iter()
        .find(|arm| arm.id == "provenance")
        .unwrap();
    let mut refused = 0;
    for client in provenance.rounds.iter().flat_map(|round| &round.clients) {
        let verdict = client.verdict.as_ref().unwrap();
        assert_eq!(
            verdict.effect.counts(),
            client.kind == "benign",
            "{client:?}"
        );
        refused += u32::from(!verdict.effect.counts());
    }
    assert!(refused > 0, "no attacker was drawn");

    let all = Selector::Sample {
        count: usize::MAX,
        seed: 0,
    };
    for threads in [1, 2] {
        let replayed = replay(&run, &all, threads).unwrap();
        assert_eq!(replayed.len() as u64, checked.updates);
        for update in replayed {
            assert!(update.equal(), "{threads} threads: {update:?}");
        }
    }

    // Another numeric mode is another engine: near, never equal, and both are named.
    let mut fast = experiment();
    fast.run.numerics = "fast".into();
    let (lab, _) = TuningLab::load(&fast, Path::new("models"), "cpu").unwrap();
    for update in replay_in(&run, &all, &lab).unwrap() {
        assert!(!update.equal() && update.near(), "{update:?}");
        let text = update.difference.unwrap();
        assert!(
            text.contains("cpu exact`") && text.contains("cpu fast "),
            "{text}"
        );
    }
}

#[test]
fn a_module_that_trains_on_a_part_of_its_shard_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut small = experiment();
    small.arms = vec!["fedavg".into()];
    small.federation.rounds = 1;
    small.federation.malicious = 6;
    small.attack.kinds = vec!["mixed-share".into()];
    Run::create(&run, small, options(dir.path()))
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    let mut opened = OpenRun::read(&run).unwrap();
    let ids: Vec<Digest> = opened.state.attestations.keys().copied().collect();
    for id in ids {
        let (_, attested) = opened.update(&id.to_string()).unwrap();
        let part = attested.data.iter().find(|used| used.origin == "shard");
        // The rest of the shard stays on the node; its digest is in the attestation alone.
        let part = part.unwrap();
        assert!(part.examples < 24 && !opened.blobs.contains(&part.digest));
    }
    verify(&run).unwrap();
}

/// Not a test of its own: the process that the next one kills.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD).map(PathBuf::from) else {
        return;
    };
    let run = dir.join("run");
    let options = options(&dir);
    let opened = if run.join("run.json").exists() {
        Run::resume(&run, Some(&experiment()), options)
    } else {
        Run::create(&run, experiment(), options)
    };
    opened.unwrap().execute(&mut go_on).unwrap();
}

#[test]
fn a_run_killed_again_and_again_ends_with_the_same_adapters() {
    let whole = {
        let dir = tempfile::tempdir().unwrap();
        let report = Run::create(dir.path().join("run"), experiment(), options(dir.path()))
            .unwrap()
            .execute(&mut go_on)
            .unwrap();
        final_adapters(&report)
    };
    let dir = tempfile::tempdir().unwrap();
    let own = options(dir.path());
    let run = dir.path().join("run");
    let mut kills = 0;
    // Longer and longer lives, so that it ends; odd lengths, so that it is hit anywhere.
    for life in (1..).map(|n| Duration::from_millis(150 + 97 * n)) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child"])
            .env(CHILD, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let ended = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if begun.elapsed() >= life => break None,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        match ended {
            Some(status) => {
                assert!(status.success(), "after {kills} kills");
                break;
            }
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
                assert!(kills < 200, "it makes no progress");
            }
        }
    }
    assert!(kills > 0);
    verify(&run).unwrap();
    let report = Run::resume(&run, None, own)
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    assert_eq!(final_adapters(&report), whole, "after {kills} kills");
}

#[test]
fn a_stop_is_heard_within_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let mut long = experiment();
    long.training.local_steps = 100_000;
    long.limits.train_steps = 1_000_000;
    long.limits.train_tokens = 1 << 60;
    let mut run = Run::create(dir.path().join("run"), long, options(dir.path())).unwrap();
    let begun = Instant::now();
    let mut watch = |_: &Event| match begun.elapsed() > Duration::from_secs(2) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    assert!(matches!(run.execute(&mut watch), Err(Error::Interrupted)));
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
}
