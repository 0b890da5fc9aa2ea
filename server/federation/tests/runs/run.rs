//! Whole runs over a double of the model: arms, resuming, verification, replay.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::double::{Double, create, create_from, experiment, options, resume};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::Record;
use fedseal_federation::replay::{Selector, replay_in};
use fedseal_federation::{Error, Result};
use fedseal_ledger::{Blobs, Log, LogReader};
use fedseal_record::events::Event;
use fedseal_record::export::final_adapter;
use fedseal_record::report::{Report, State};
use fedseal_record::rundir::RunDir;
use fedseal_record::verify::verify;
use fedseal_rules::admission::Effect;
use fedseal_rules::arms::ArmConfig;
use fedseal_rules::attack::is_honest;
use fedseal_rules::experiment::Experiment;

fn go_on(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn finished(dir: &Path) -> (Report, fedseal_federation::runner::Options) {
    let options = options(dir);
    let report = create(&dir.join("run"), &options, Double::new())
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    (report, options)
}

fn final_adapters(report: &Report) -> BTreeMap<String, String> {
    report
        .arms
        .iter()
        .map(|arm| (arm.id.clone(), arm.final_adapter.unwrap().to_string()))
        .collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

#[test]
fn a_run_attacks_admits_repairs_and_reports() {
    let dir = tempfile::tempdir().unwrap();
    let (report, _) = finished(dir.path());
    assert_eq!(report.state, State::Finished);
    assert_eq!(report.progress.done, report.progress.total);
    let ids: Vec<&str> = report.arms.iter().map(|arm| arm.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "base",
            "clean",
            "fedavg",
            "median",
            "krum",
            "provenance",
            "behaviour",
            "defended"
        ]
    );
    let safety = |id: &str| {
        report
            .arms
            .iter()
            .find(|a| a.id == id)
            .unwrap()
            .safety
            .unwrap()
            .rate
    };
    assert_eq!(safety("base"), 0.0);
    assert_eq!(safety("clean"), 1.0);
    assert_eq!(safety("fedavg"), 0.0);
    assert_eq!(safety("provenance"), 1.0);
    assert_eq!(safety("behaviour"), 1.0);
    assert_eq!(safety("defended"), 1.0);
    for arm in &report.arms {
        assert_eq!(arm.helpfulness.unwrap().rate, 1.0, "{}", arm.id);
    }
    // Every measure of the list stands beside safety and helpfulness, between rounds too. The double
    // begins each refusal with a phrase, so the strict reading counts the same.
    let names: Vec<&str> = report.measures.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["rule-strict"]);
    for arm in &report.arms {
        assert_eq!(
            arm.measures.get("rule-strict").copied(),
            arm.safety,
            "{}",
            arm.id
        );
        for round in &arm.rounds {
            assert_eq!(round.measures.get("rule-strict").copied(), round.safety);
        }
    }
    // Verdicts by kind: provenance refuses every attack and no benign update.
    let of = |arm: &str| -> BTreeMap<&str, (u64, u64)> {
        report
            .verdicts
            .iter()
            .filter(|count| count.arm == arm)
            .map(|count| (count.kind.as_str(), (count.accepted, count.refused)))
            .collect()
    };
    for (kind, (accepted, refused)) in of("provenance") {
        assert_eq!(
            if kind == "benign" { refused } else { accepted },
            0,
            "{kind}"
        );
    }
    assert!(of("provenance").len() > 1, "no attacker was drawn");
    assert!(of("clean").keys().all(|kind| *kind == "benign"));
    assert!(of("fedavg").values().all(|(_, refused)| *refused == 0));
    // Every verdict says why.
    for client in report
        .arms
        .iter()
        .flat_map(|a| &a.rounds)
        .flat_map(|r| &r.clients)
    {
        let verdict = client.verdict.as_ref().unwrap();
        assert!(!verdict.check.is_empty() && !verdict.fact.is_empty());
    }
    assert_eq!(report.side_by_side.len(), 4);
    assert_eq!(report.side_by_side[0].answers.len(), 8);
    assert_eq!(report.defence[0].counts["level"], 3);
    // The post-hoc defence stands in the report as it always has.
    let view = serde_json::to_value(&report.defence[0]).unwrap();
    let keys: Vec<&String> = view.as_object().unwrap().keys().collect();
    let before = [
        "arm",
        "data",
        "helpful",
        "helpful_tried",
        "level",
        "safety",
        "safety_tried",
    ];
    assert_eq!(keys, before);
    // Each arm's adapter can be taken out of the log alone.
    for arm in report.arms.iter().filter(|arm| arm.id != "base") {
        let last = final_adapter(dir.path().join("run"), &arm.id).unwrap();
        assert_eq!(Some(last.digest), arm.final_adapter, "{}", arm.id);
        assert_eq!(last.adapter.digest(), last.digest.0);
    }
    let unknown = final_adapter(dir.path().join("run"), "nobody").unwrap_err();
    assert!(
        matches!(unknown, Error::Rules(fedseal_rules::Error::Unknown { ref known, .. }) if known.contains(&"krum".to_owned())),
        "{unknown}"
    );
    // What people read live is the same document.
    let bytes = fs::read(dir.path().join("run/report.json")).unwrap();
    assert_eq!(Report::from_bytes(&bytes).unwrap(), report);
    let feed = fs::read_to_string(dir.path().join("run/events.jsonl")).unwrap();
    assert!(
        feed.lines()
            .all(|line| serde_json::from_str::<Event>(line).is_ok())
    );
    assert!(feed.lines().last().unwrap().contains("finished"));
}

#[test]
fn arms_share_what_is_equal() {
    let dir = tempfile::tempdir().unwrap();
    let (report, _) = finished(dir.path());
    let mut distinct = std::collections::BTreeSet::new();
    let mut all = 0;
    for client in report
        .arms
        .iter()
        .flat_map(|a| &a.rounds)
        .flat_map(|r| &r.clients)
    {
        all += 1;
        distinct.insert(client.update.unwrap());
    }
    // The first round starts from one adapter: attacked arms share all of it.
    assert!(distinct.len() + 3 * 3 <= all, "{} of {all}", distinct.len());
    let checked = verify(dir.path().join("run")).unwrap();
    assert_eq!(checked.updates, distinct.len() as u64);
    assert_eq!(checked.verdicts, all as u64);
    assert_eq!(checked.aggregations, 6 * 4);
}

/// An arm of the experiment's own that is a built-in one by another name ends with its bits, and what
/// is new in a composition is run, repaired and verified.
#[test]
fn own_arms_are_compositions() {
    let dir = tempfile::tempdir().unwrap();
    let mut own = experiment();
    own.arms = ["median", "mine", "checked", "mended"]
        .map(String::from)
        .to_vec();
    let arm = |rule: &str, admission: Option<&str>, repairs: Option<&str>| ArmConfig {
        rule: rule.into(),
        admission: admission.map(String::from),
        repairs: repairs.map(String::from),
        ..ArmConfig::default()
    };
    own.arm = BTreeMap::from([
        ("mine".to_owned(), arm("median", None, None)),
        ("checked".to_owned(), arm("krum", Some("provenance"), None)),
        ("mended".to_owned(), arm("fedavg", None, Some("mine"))),
    ]);
    // As it is kept in the run's folder.
    let text = own.to_toml().unwrap();
    assert_eq!(Experiment::parse(&text, "kept").unwrap().arm, own.arm);
    let run = dir.path().join("run");
    let report = create_from(&run, &options(dir.path()), Double::new(), own)
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    let last = final_adapters(&report);
    assert_eq!(last["mine"], last["median"]);
    assert_ne!(last["mended"], last["mine"]);
    let safety = |id: &str| {
        let arm = report.arms.iter().find(|arm| arm.id == id);
        arm.and_then(|arm| arm.safety).unwrap().rate
    };
    assert_eq!((safety("checked"), safety("mended")), (1.0, 1.0));
    assert!(verify(&run).unwrap().updates > 0);
}

/// A repair of a repair, two defences side by side, and one defence with two sets of numbers: run,
/// reported under their names, and verified.
#[test]
fn repairs_are_by_the_defence_of_their_arm_and_may_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut own = experiment();
    own.arms = ["fedavg", "defended", "given", "shaken", "again"]
        .map(String::from)
        .to_vec();
    let repairs = |source: &str, defence: Option<&str>, numbers: &[(&str, f64)]| ArmConfig {
        repairs: Some(source.into()),
        defence: defence.map(String::from),
        parameters: numbers
            .iter()
            .map(|(key, value)| ((*key).to_owned(), *value))
            .collect(),
        ..ArmConfig::default()
    };
    own.arm = BTreeMap::from([
        (
            "given".to_owned(),
            repairs("fedavg", None, &[("level", 1.0), ("steps", 3.0)]),
        ),
        (
            "shaken".to_owned(),
            repairs("again", Some("noise"), &[("norm", 1e-4)]),
        ),
        ("again".to_owned(), repairs("defended", None, &[])),
    ]);
    let run = dir.path().join("run");
    let mut notes = Vec::new();
    let report = create_from(&run, &options(dir.path()), Double::new(), own)
        .unwrap()
        .execute(&mut |event: &Event| {
            if let Event::Note { text } = event {
                notes.push(text.clone());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(report.progress.done, report.progress.total);
    let last = final_adapters(&report);
    let different: std::collections::BTreeSet<&String> = last.values().collect();
    assert_eq!(different.len(), last.len(), "{last:?}");
    let view = |arm: &str| report.defence.iter().find(|view| view.arm == arm).unwrap();
    assert_eq!(
        (view("given").counts["level"], view("again").counts["level"]),
        (1, 3)
    );
    assert_eq!(view("shaken").defence, "noise");
    assert_eq!(
        view("shaken").counts,
        BTreeMap::from([("values".to_owned(), 16)])
    );
    assert!(
        notes
            .iter()
            .any(|note| note.contains("shaken: defence noise, step of norm 0.0001")),
        "{notes:?}"
    );
    // So little noise changes no answer.
    let safety = |id: &str| {
        report
            .arms
            .iter()
            .find(|arm| arm.id == id)
            .and_then(|arm| arm.safety)
    };
    assert_eq!(safety("shaken"), safety("again"));
    let bytes = fs::read(run.join("report.json")).unwrap();
    assert_eq!(Report::from_bytes(&bytes).unwrap(), report);
    verify(&run).unwrap();
}

/// Arms with attackers and an optimiser of their own: those that come to the same share what is made, and
/// an auditor takes each client's part in each arm from the seed.
#[test]
fn arms_may_have_their_own_attackers_and_optimiser() {
    let dir = tempfile::tempdir().unwrap();
    let mut own = experiment();
    own.arms = ["clean", "fedavg", "same", "none", "only", "adam", "others"]
        .map(String::from)
        .to_vec();
    let arm = |malicious: Option<usize>, kinds: Option<&[&str]>| ArmConfig {
        malicious,
        kinds: kinds.map(|kinds| kinds.iter().map(|kind| (*kind).to_owned()).collect()),
        ..ArmConfig::default()
    };
    let kinds: Vec<&str> = own.attack.kinds.iter().map(String::as_str).collect();
    let adam = ArmConfig {
        optimiser: Some("fedadam".into()),
        ..ArmConfig::default()
    };
    let others = ArmConfig {
        honest: Some("scaffold".into()),
        ..ArmConfig::default()
    };
    own.arm = BTreeMap::from([
        ("others".to_owned(), others),
        ("same".to_owned(), arm(None, Some(&kinds))),
        ("none".to_owned(), arm(Some(0), None)),
        ("only".to_owned(), arm(None, Some(&["unaligned-data"]))),
        ("adam".to_owned(), adam),
    ]);
    let run = dir.path().join("run");
    let options = options(dir.path());
    let report = create_from(&run, &options, Double::new(), own)
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    let last = final_adapters(&report);
    assert_eq!(last["same"], last["fedavg"]);
    assert_eq!(last["none"], last["clean"]);
    assert_ne!(last["adam"], last["fedavg"]);
    let drawn = |id: &str| -> std::collections::BTreeSet<&str> {
        let arm = report.arms.iter().find(|arm| arm.id == id).unwrap();
        let clients = arm.rounds.iter().flat_map(|round| &round.clients);
        clients.map(|client| client.kind.as_str()).collect()
    };
    assert_eq!(drawn("none"), ["benign"].into());
    assert_eq!(drawn("only"), ["benign", "unaligned-data"].into());
    assert!(drawn("same").len() > 1 && drawn("same") == drawn("fedavg"));
    // The same clients attack, and the others run another honest module.
    let attacking = |id: &str| -> Vec<String> {
        let arm = report.arms.iter().find(|arm| arm.id == id).unwrap();
        let clients = arm.rounds.iter().flat_map(|round| &round.clients);
        let attackers = clients.filter(|client| !is_honest(&client.kind));
        attackers
            .map(|client| format!("{} {}", client.client, client.kind))
            .collect()
    };
    assert_eq!(attacking("others"), attacking("fedavg"));
    assert!(drawn("others").contains("scaffold") && !drawn("others").contains("benign"));
    verify(&run).unwrap();
    let all = Selector::Sample { count: 99, seed: 1 };
    let replayed = replay_in(&run, &all, &Double::new()).unwrap();
    assert!(replayed.iter().all(|again| again.equal()));

    // A plan without a client's part in an arm, signed anew by its node.
    let folder = RunDir::new(&run);
    let mut plan = folder.read_plan().unwrap();
    let node = SigningKey::load(options.keys.join("node.pem")).unwrap();
    let entries = LogReader::open(folder.log(), &node.public())
        .unwrap()
        .entries()
        .unwrap();
    let old = Digest::of(&fs::read(folder.plan()).unwrap());
    let client = plan
        .clients
        .iter_mut()
        .find(|client| client.arms.contains_key("none"));
    let part = client.unwrap().arms.remove("none").unwrap();
    assert_eq!(part.kind, "benign");
    let bytes = canonical::to_vec(&plan).unwrap();
    let blobs = Blobs::open(folder.blobs()).unwrap();
    let new = blobs.put(&bytes).unwrap();
    blobs.retain(|digest| *digest != old).unwrap();
    fs::write(folder.plan(), bytes).unwrap();
    fs::remove_dir_all(folder.log()).unwrap();
    let mut log = Log::create(folder.log(), &plan.origin, node).unwrap();
    for bytes in entries {
        let mut record = Record::from_bytes(&bytes).unwrap();
        if let Record::RunOpened { run_config, .. } = &mut record {
            *run_config = new;
        }
        log.append(&record.to_bytes().unwrap()).unwrap();
    }
    log.publish().unwrap();
    drop(log);
    let said = text(verify(&run));
    assert!(
        said.contains("is not what the seed and the experiment give"),
        "{said}"
    );
}

#[test]
fn a_run_that_is_stopped_anywhere_ends_with_the_same_adapters() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, options) = finished(dir.path());
    for stop_after in [0, 3, 13, 34, 89] {
        let run = dir.path().join(format!("stopped-{stop_after}"));
        drop(create(&run, &options, Double::new()).unwrap());
        let mut sessions = 0;
        let report = loop {
            sessions += 1;
            let mut events = 0;
            // Each session goes a little further, so that every run ends.
            let limit = stop_after + 7 * (sessions - 1);
            let mut watch = |event: &Event| {
                events += usize::from(*event != Event::Tick);
                if events > limit {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            match resume(&run, &options, Double::new())
                .unwrap()
                .execute(&mut watch)
            {
                Ok(report) => break report,
                Err(Error::Interrupted) => assert!(sessions < 100),
                Err(error) => panic!("{error}"),
            }
            // What a kill in the middle of a write leaves.
            fs::write(run.join("report.tmp"), b"{").unwrap();
            fs::create_dir_all(run.join("blobs/00")).unwrap();
            fs::write(run.join("blobs/00/.torn.tmp"), b"half").unwrap();
            fedseal_ledger::Blobs::open(run.join("blobs"))
                .unwrap()
                .put(format!("orphan {sessions}").as_bytes())
                .unwrap();
            let mut feed = fs::OpenOptions::new()
                .append(true)
                .open(run.join("events.jsonl"))
                .unwrap();
            std::io::Write::write_all(&mut feed, b"{\"type\":\"no").unwrap();
        };
        assert_eq!(
            final_adapters(&report),
            final_adapters(&whole),
            "{stop_after}"
        );
        verify(&run).unwrap();
    }
}

#[test]
fn resuming_a_finished_run_gives_its_report() {
    let dir = tempfile::tempdir().unwrap();
    let (report, options) = finished(dir.path());
    let run = dir.path().join("run");
    // A crash between the log's last entry and the file.
    fs::remove_file(run.join("report.json")).unwrap();
    let again = resume(&run, &options, Double::new())
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    assert_eq!(again, report);
    verify(&run).unwrap();
}

/// A run with fewer parts, but one of each kind.
fn small(dir: &Path) -> PathBuf {
    let run = dir.join("run");
    let mut small = experiment();
    small.federation.rounds = 2;
    small.evaluation.every = 1;
    small.arms = ["fedavg", "provenance", "behaviour", "defended"]
        .map(String::from)
        .to_vec();
    create_from(&run, &options(dir), Double::new(), small)
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    verify(&run).unwrap();
    run
}

#[test]
fn any_flipped_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let run = small(dir.path());
    let files = files(&run);
    assert!(files.len() > 50);
    for path in files {
        let bytes = fs::read(&path).unwrap();
        if bytes.is_empty() {
            // Nothing to flip, but nothing may be added either.
            fs::write(&path, b"x").unwrap();
            assert!(verify(&run).is_err(), "{} with a byte more", path.display());
            fs::write(&path, b"").unwrap();
            continue;
        }
        let middle = (path.display().to_string().len() * 7919) % bytes.len();
        // A blob is hashed as a whole; of the rest, begin and end too.
        let blob = path.starts_with(run.join("blobs"));
        let positions = if blob {
            vec![middle]
        } else {
            vec![0, middle, bytes.len() - 1]
        };
        for position in positions {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1;
            fs::write(&path, &flipped).unwrap();
            let error = verify(&run);
            assert!(
                error.is_err(),
                "byte {position} of {} flipped unseen",
                path.display()
            );
        }
        fs::write(&path, &bytes).unwrap();
    }
    verify(&run).unwrap();
}

#[test]
fn missing_and_added_files_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let run = small(dir.path());
    for path in files(&run) {
        if path.ends_with("log/lock") {
            continue;
        }
        let hidden = dir.path().join("hidden");
        fs::rename(&path, &hidden).unwrap();
        assert!(
            partial_tile(&path) || verify(&run).is_err(),
            "{} is gone unseen",
            path.display()
        );
        fs::rename(&hidden, &path).unwrap();
    }
    for extra in [
        "note.txt",
        "log/note.txt",
        "blobs/note.txt",
        "blobs/ab/.x.tmp",
        "log/tile/0/999",
    ] {
        let path = run.join(extra);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"hello").unwrap();
        assert!(verify(&run).is_err(), "{extra} is there unseen");
        fs::remove_file(&path).unwrap();
    }
    fedseal_ledger::Blobs::open(run.join("blobs"))
        .unwrap()
        .put(b"stranger")
        .unwrap();
    let text = verify(&run).unwrap_err().to_string();
    assert!(text.contains("referred to by nothing"), "{text}");
}

/// Tiles of earlier checkpoints may be cleared away; their content is in the later ones.
fn partial_tile(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str().to_string_lossy().ends_with(".p"))
}

#[test]
fn empty_and_unfinished_folders_do_not_verify() {
    let dir = tempfile::tempdir().unwrap();
    let text = verify(dir.path()).unwrap_err().to_string();
    assert!(text.contains("no run is here"), "{text}");
    let text = verify(dir.path().join("nowhere")).unwrap_err().to_string();
    assert!(text.contains("no such folder"), "{text}");
    let options = options(dir.path());
    let run = dir.path().join("run");
    drop(create(&run, &options, Double::new()).unwrap());
    let text = verify(&run).unwrap_err().to_string();
    assert!(text.contains("not finished"), "{text}");
}

#[test]
fn replay_gives_the_same_bits_and_says_where_another_engine_differs() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path());
    let run = dir.path().join("run");
    let sample = Selector::Sample { count: 20, seed: 1 };
    let replayed = replay_in(&run, &sample, &Double::new()).unwrap();
    assert_eq!(replayed.len(), 20);
    assert!(replayed.iter().all(|r| r.equal() && r.adapter.is_some()));

    let one = Selector::Prefix(replayed[0].update.to_string()[..16].to_owned());
    assert_eq!(
        replay_in(&run, &one, &Double::new()).unwrap()[0].update,
        replayed[0].update
    );

    let other = Double {
        salt: 1,
        ..Double::new()
    };
    let again = &replay_in(&run, &one, &other).unwrap()[0];
    let text = again.difference.clone().unwrap();
    assert!(
        text.contains("transcript entry 1") && text.contains("`double 1`"),
        "{text}"
    );
    assert_eq!(
        (again.engine.as_str(), again.engine_again.as_str()),
        ("double 0", "double 1")
    );
    assert!(!again.equal() && again.distance.is_some());

    // An engine of the same name owes the same bits: near is not enough.
    let unsteady = Double {
        unsteady: true,
        ..Double::new()
    };
    let again = &replay_in(&run, &one, &unsteady).unwrap()[0];
    assert!(!again.equal() && !again.near() && again.distance.is_none());

    let unknown = replay_in(&run, &Selector::Prefix("zz".into()), &Double::new());
    assert!(unknown.unwrap_err().to_string().contains("zz"));
    let ambiguous = replay_in(&run, &Selector::Prefix(String::new()), &Double::new());
    assert!(ambiguous.is_err());
}

#[test]
fn a_number_of_examples_that_a_module_makes_up_weighs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    // One more than the shard has is as good as four thousand million.
    for (name, claim) in [("one", 21), ("all", u32::MAX)] {
        let run = run.join(name);
        let lab = Double {
            claim: Some(claim),
            ..Double::new()
        };
        let mut small = experiment();
        small.arms = ["clean", "fedavg", "median"].map(String::from).to_vec();
        let report = create_from(&run, &options(dir.path()), lab, small)
            .unwrap()
            .execute(&mut go_on)
            .unwrap();
        let mut refused = 0;
        for arm in report.arms.iter().filter(|arm| arm.id != "clean") {
            for client in arm.rounds.iter().flat_map(|round| &round.clients) {
                let verdict = client.verdict.as_ref().unwrap();
                if client.module_name == "benign" {
                    assert!(verdict.effect.counts(), "{verdict:?}");
                    continue;
                }
                refused += 1;
                assert_eq!(client.weight, Some(0.0), "{verdict:?}");
                assert_eq!(
                    (verdict.effect, verdict.check.as_str()),
                    (Effect::Reject, "binding")
                );
                let fact = format!("claims {claim} examples, the registered shard has 20");
                assert!(verdict.fact.contains(&fact), "{}", verdict.fact);
            }
        }
        assert!(refused > 0, "no attacker was drawn");
        verify(&run).unwrap();
    }
}

#[test]
fn a_module_that_fails_is_refused_with_its_reason_and_the_round_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let run = dir.path().join("run");
    let lab = Double {
        failing: Some("benign"),
        ..Double::new()
    };
    let report = create(&run, &options, lab)
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    let clean = report.arms.iter().find(|arm| arm.id == "clean").unwrap();
    for client in clean.rounds.iter().flat_map(|round| &round.clients) {
        let verdict = client.verdict.as_ref().unwrap();
        assert_eq!(
            (verdict.effect, verdict.check.as_str()),
            (Effect::Reject, "execution")
        );
        assert!(verdict.fact.starts_with("fuel"), "{}", verdict.fact);
        assert_eq!(client.weight, Some(0.0));
    }
    // Nothing counted, so the global adapter stayed.
    let base = report.arms.iter().find(|arm| arm.id == "base").unwrap();
    assert_eq!(clean.final_adapter, base.final_adapter);
    verify(&run).unwrap();
    let again = replay_in(
        &run,
        &Selector::Sample { count: 5, seed: 0 },
        &Double {
            failing: Some("benign"),
            ..Double::new()
        },
    );
    assert!(again.unwrap().iter().all(|r| r.equal()));
}

#[test]
fn a_stateful_optimiser_is_rebuilt_on_resume_and_by_the_auditor() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let mut with_momentum = experiment();
    with_momentum.server.optimiser = "fedavgm".into();
    let whole = create_from(
        &dir.path().join("whole"),
        &options,
        Double::new(),
        with_momentum.clone(),
    )
    .unwrap()
    .execute(&mut go_on)
    .unwrap();
    let run = dir.path().join("stopped");
    let mut events = 0;
    let mut stop = |_: &Event| {
        events += 1;
        if events > 60 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let stopped = create_from(&run, &options, Double::new(), with_momentum)
        .unwrap()
        .execute(&mut stop);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let report = resume(&run, &options, Double::new())
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    assert_eq!(final_adapters(&report), final_adapters(&whole));
    verify(&run).unwrap();
}

fn text<T>(result: Result<T>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let run = dir.path().join("run");
    let open = create(&run, &options, Double::new()).unwrap();
    assert!(text(create(&run, &options, Double::new())).contains("--resume"));
    assert!(text(resume(&run, &options, Double::new())).contains("another process"));
    drop(open);
    let other = Double {
        salt: 1,
        ..Double::new()
    };
    assert!(text(resume(&run, &options, other)).contains("double 1"));
    assert!(
        text(resume(&dir.path().join("nowhere"), &options, Double::new()))
            .contains("no run is here")
    );
    fs::create_dir_all(dir.path().join("full")).unwrap();
    fs::write(dir.path().join("full/letter.txt"), b"dear").unwrap();
    assert!(text(create(&dir.path().join("full"), &options, Double::new())).contains("letter.txt"));

    fs::write(options.modules.join("benign.wasm"), b"changed").unwrap();
    let refusal = text(create(&dir.path().join("b"), &options, Double::new()));
    assert!(
        refusal.contains("benign.wasm") && refusal.contains("expected sha256"),
        "{refusal}"
    );
    fs::remove_file(options.modules.join("benign.wasm")).unwrap();
    assert!(
        text(create(&dir.path().join("b"), &options, Double::new()))
            .contains("`fedseal policy build` makes it")
    );
}
