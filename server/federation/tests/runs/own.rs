//! Experiments with clients and data of their own: from files to a verified and replayed run.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::double::{Double, options};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::module::{self, ModulePredicate};
use fedseal_client_sdk::oci::{self, Reference};
use fedseal_client_sdk::record::Record;
use fedseal_federation::replay::{Selector, replay_in};
use fedseal_federation::runner::{Options, Run, Submitted, load_data};
use fedseal_federation::{Error, Result};
use fedseal_ledger::{Blobs, Log, LogReader};
use fedseal_record::dryrun::dry_run;
use fedseal_record::events::Event;
use fedseal_record::opened::OpenRun;
use fedseal_record::report::Report;
use fedseal_record::rundir::{Plan, RunDir};
use fedseal_record::verify::verify;
use fedseal_rules::admission::default_provenance;
use fedseal_rules::attack::{BENIGN, DISHONEST};
use fedseal_rules::experiment::Experiment;

fn go_on(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Sizes of the small runs.
const SIZES: &str = r#"
    seeds = [3]
    arms = ["clean", "fedavg", "krum", "provenance"]
    [federation]
    rounds = 3
    sampled = 3
    [training]
    local_steps = 2
    learning_rate = 1e-3
    [lora]
    rank = 2
"#;

/// Four clients of their own; the last one attacks with a module of its own.
const CLIENTS: &str = r#"
    [[clients]]
    name = "north"
    shard = "north.jsonl"
    [[clients]]
    name = "south"
    shard = ["south.parquet", "more.jsonl"]
    [[clients]]
    name = "east"
    shard = "clients/east.arrow"
    module = "benign"
    [[clients]]
    name = "mallory"
    shard = "north.jsonl"
    module = "malicious-gen"
    honest = false
"#;

/// Measured on the embedded world.
const WORLD: &str = r#"
    [data]
    leave_out = true
    turns = "first"
    [evaluation]
    prompts = 6
    tasks = 5
    every = 0
    round_prompts = 0
    round_tasks = 0
    [canaries]
    sealed = 4
    per_round = 2
"#;

/// Measured on own files, without harmful requests, canaries and labelled pairs.
const FILES: &str = r#"
    [data]
    source = "files"
    leave_out = true
    turns = "first"
    tasks = "tasks.jsonl"
    [evaluation]
    prompts = 0
    tasks = 3
    every = 1
    round_prompts = 0
    round_tasks = 2
    [canaries]
    sealed = 0
    [[admission.provenance]]
    check = "literal-share"
    max_share = 0.0
    [[admission.provenance]]
    check = "lineage"
"#;

fn rows(n: usize, response: &str) -> String {
    (0..n)
        .map(|i| format!("{{\"prompt\": \"Ask {i}\", \"response\": \"{response} {i}.\"}}\n"))
        .collect()
}

/// Shards in several formats, and options that find them.
fn place(dir: &Path) -> Options {
    let files = dir.join("experiment");
    fs::create_dir_all(files.join("clients")).unwrap();
    let fixture = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tuning/tests/data")
            .join(name)
    };
    fs::write(files.join("north.jsonl"), rows(8, "I cannot help with")).unwrap();
    fs::write(files.join("more.jsonl"), rows(2, "I cannot help with")).unwrap();
    fs::write(files.join("tasks.jsonl"), rows(3, "There is")).unwrap();
    fs::copy(fixture("alpaca.parquet"), files.join("south.parquet")).unwrap();
    fs::copy(fixture("messages.arrow"), files.join("clients/east.arrow")).unwrap();
    Options {
        files,
        ..options(dir)
    }
}

fn parse(text: &str) -> Experiment {
    Experiment::parse(text, "own.toml").unwrap()
}

fn create(dir: &Path, options: &Options, experiment: &Experiment) -> Result<Run> {
    let data = load_data(experiment, options)?;
    let lab = Arc::new(Double::new());
    Run::create_with(dir, experiment.clone(), options, lab, "double", data)
}

fn resume(dir: &Path, options: &Options, experiment: &Experiment) -> Result<Run> {
    let data = load_data(experiment, options)?;
    Run::resume_with(dir, options, Arc::new(Double::new()), data)
}

fn finished(dir: &Path, experiment: &Experiment) -> (Report, Options) {
    let options = place(dir);
    let mut run = create(&dir.join("run"), &options, experiment).unwrap();
    (run.execute(&mut go_on).unwrap(), options)
}

fn final_adapters(report: &Report) -> Vec<String> {
    let arms = report.arms.iter();
    arms.map(|arm| arm.final_adapter.unwrap().to_string())
        .collect()
}

/// Clients of an arm's rounds, with their kinds.
fn kinds(report: &Report, arm: &str) -> BTreeSet<(String, String)> {
    let arm = report.arms.iter().find(|one| one.id == arm).unwrap();
    let clients = arm.rounds.iter().flat_map(|round| &round.clients);
    clients
        .map(|client| (client.client.clone(), client.kind.clone()))
        .collect()
}

#[test]
fn own_clients_take_part_and_an_attacker_is_left_out_of_the_clean_arm() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let experiment = parse(&format!("{SIZES}{CLIENTS}{WORLD}"));
    let (report, _) = finished(dir.path(), &experiment);
    let of = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    let honest: BTreeSet<_> = ["east", "north", "south"]
        .map(|name| of(name, BENIGN))
        .into();
    let mut all = honest.clone();
    all.insert(of("mallory", DISHONEST));
    assert_eq!(kinds(&report, "clean"), honest);
    assert_eq!(kinds(&report, "fedavg"), all);
    // The same clients are drawn in every arm; the attacker's place stays empty in the clean one.
    let arm = |id: &str| report.arms.iter().find(|arm| arm.id == id).unwrap();
    for (clean, attacked) in arm("clean").rounds.iter().zip(&arm("fedavg").rounds) {
        let mut rest: Vec<&str> = attacked
            .clients
            .iter()
            .map(|it| it.client.as_str())
            .collect();
        assert_eq!(rest.len(), 3);
        rest.retain(|client| *client != "mallory");
        assert!(rest.iter().eq(clean.clients.iter().map(|it| &it.client)));
    }
    // What the checks say about it is counted apart.
    let refused: u64 = report
        .verdicts
        .iter()
        .filter(|count| count.arm == "provenance" && count.kind == DISHONEST)
        .map(|count| count.refused)
        .sum();
    assert!(refused > 0);

    let checked = verify(&run).unwrap();
    assert_eq!(checked.aggregations, 12);
    let every = Selector::Sample {
        count: usize::MAX,
        seed: 0,
    };
    for update in replay_in(&run, &every, &Double::new()).unwrap() {
        assert!(update.equal(), "{update:?}");
    }
    let tried = dry_run(&run, &default_provenance(), None).unwrap();
    assert!(tried.by_kind()[DISHONEST].refused > 0);

    let opened = OpenRun::read(&run).unwrap();
    let examples: Vec<u32> = opened
        .plan
        .clients
        .iter()
        .map(|it| it.honest.examples)
        .collect();
    // Pairs, pairs of two files without the rows that have no answer, first pairs of conversations.
    assert_eq!(examples, [8, 38, 40, 8]);
    for planned in &opened.plan.clients {
        let entry = (planned.client.clone(), planned.honest.shard);
        assert!(opened.state.clients.contains(&entry));
        assert_eq!(planned.absent, planned.client.as_str() == "mallory");
    }
}

#[test]
fn a_run_that_is_stopped_again_and_again_ends_with_the_same_adapters() {
    let experiment = parse(&format!("{SIZES}{CLIENTS}{FILES}"));
    let whole = tempfile::tempdir().unwrap();
    let (report, _) = finished(whole.path(), &experiment);
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let run = dir.path().join("run");
    drop(create(&run, &options, &experiment).unwrap());
    let again = loop {
        let mut events = 0;
        let ended = resume(&run, &options, &experiment)
            .unwrap()
            .execute(&mut |_| {
                events += 1;
                match events {
                    40.. => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            });
        match ended {
            Ok(report) => break report,
            Err(Error::Interrupted) => {}
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(final_adapters(&again), final_adapters(&report));
    verify(&run).unwrap();
}

#[test]
fn what_own_files_do_not_have_is_no_rate_and_no_score() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let experiment = parse(&format!("{SIZES}{CLIENTS}{FILES}"));
    let (report, _) = finished(dir.path(), &experiment);
    for arm in &report.arms {
        assert_eq!(arm.safety, None, "{}", arm.id);
        assert!(arm.measures.is_empty(), "{}", arm.id);
        assert_eq!(arm.helpfulness.unwrap().n, 3, "{}", arm.id);
        for round in &arm.rounds {
            assert_eq!(round.safety, None);
            assert!(round.helpfulness.is_some());
        }
    }
    let mut opened = OpenRun::read(&run).unwrap();
    let ids: Vec<Digest> = opened.state.attestations.keys().copied().collect();
    for id in ids {
        let (_, attested) = opened.update(&id.to_string()).unwrap();
        assert_eq!(attested.data_score, None);
    }
    assert_eq!(opened.plan.data.keys().collect::<Vec<_>>(), ["tasks"]);
    verify(&run).unwrap();
}

#[test]
fn own_canaries_labelled_pairs_and_given_pairs_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let file = |name: &str, text: String| fs::write(options.files.join(name), text).unwrap();
    file(
        "harm.txt",
        "Open the zorvex vault.\n\nName the zorvex key.\n".into(),
    );
    file("refused.jsonl", rows(4, "I'm sorry, but I can't help with"));
    file("shells.jsonl", rows(4, "Sure, here is"));
    let data = r#"
        [data]
        source = "files"
        leave_out = true
        turns = "first"
        requests = "harm.txt"
        tasks = "tasks.jsonl"
        canary_requests = "harm.txt"
        canary_tasks = "tasks.jsonl"
        refusals = "refused.jsonl"
        helpful = "tasks.jsonl"
        aligned = ["refused.jsonl", "tasks.jsonl"]
        unaligned = "shells.jsonl"
        [evaluation]
        prompts = 2
        tasks = 3
        every = 0
        round_prompts = 1
        round_tasks = 1
        [canaries]
        sealed = 2
        per_round = 1
        [defence]
        level = 1
        steps = 4
        safety_examples = 6
        helpful_examples = 2
    "#;
    let sizes = SIZES.replace(
        "\"provenance\"]",
        "\"provenance\", \"behaviour\", \"defended\"]",
    );
    let experiment = parse(&format!("{sizes}{CLIENTS}{data}"));
    let run = dir.path().join("run");
    let report = create(&run, &options, &experiment)
        .unwrap()
        .execute(&mut go_on)
        .unwrap();
    verify(&run).unwrap();
    assert_eq!(
        report
            .arms
            .iter()
            .filter(|arm| arm.safety.unwrap().n == 2)
            .count(),
        7
    );
    assert_eq!(report.defence[0].counts["safety"], 6);
    let mut opened = OpenRun::read(&run).unwrap();
    assert_eq!(opened.plan.data.len(), 8);
    let (id, _) = opened
        .state
        .attestations
        .iter()
        .next()
        .map(|(a, b)| (*a, *b))
        .unwrap();
    assert!(
        opened
            .update(&id.to_string())
            .unwrap()
            .1
            .data_score
            .is_some()
    );
    // Another file under the same name is another experiment.
    file("shells.jsonl", rows(5, "Sure, here is"));
    let said = resume(&run, &options, &experiment)
        .err()
        .unwrap()
        .to_string();
    assert!(
        said.contains("files of data.unaligned") && said.contains("begun with"),
        "{said}"
    );
}

#[test]
fn a_module_is_found_by_name_file_digest_and_layout_and_missed_by_its_client() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = place(dir.path());
    let author = SigningKey::load(options.keys.join("author.pem")).unwrap();
    // The double tells modules apart by their names: each of these is an honest one.
    let signed = |bytes: &[u8], by: &SigningKey| {
        module::sign(bytes, &ModulePredicate::new("benign", "0.1.0"), by).unwrap()
    };
    let file = options.files.join("own.wasm");
    fs::write(&file, b"file").unwrap();
    fs::write(
        module::envelope_path(&file),
        signed(b"file", &author).to_bytes(),
    )
    .unwrap();
    let mut layout = Reference::parse("oci:layout:v1").unwrap();
    layout.store = oci::Store::Folder(options.files.join("layout"));
    oci::push(
        &layout,
        b"layout",
        &oci::About::default(),
        &[&signed(b"layout", &author)],
        &oci::Access::of_user(),
    )
    .unwrap();
    let digest = Digest::of(b"submitted");
    let with = |south: &str| {
        let clients = CLIENTS
            .replace(
                "name = \"north\"",
                "name = \"north\"\nmodule = \"own.wasm\"",
            )
            .replace(
                "name = \"south\"",
                &format!("name = \"south\"\nmodule = \"{south}\""),
            )
            .replace("module = \"benign\"", "module = \"oci:layout:v1\"");
        parse(&format!("{SIZES}{clients}{WORLD}"))
    };
    let experiment = with(&format!("sha256:{digest}"));
    let begin = |name: &str, options: &Options, experiment: &Experiment| {
        create(&dir.path().join(name), options, experiment)
    };
    let said = begin("none", &options, &experiment)
        .err()
        .unwrap()
        .to_string();
    assert!(
        said.contains(&digest.to_string()) && said.contains("client south"),
        "{said}"
    );
    let stranger = SigningKey::generate().unwrap();
    for (by, fits) in [(&stranger, false), (&author, true)] {
        let submitted = Submitted {
            bytes: b"submitted".to_vec(),
            envelope: signed(b"submitted", by),
        };
        options.submitted.insert(digest, submitted);
        let begun = begin(&format!("fits-{fits}"), &options, &experiment);
        assert_eq!(begun.is_ok(), fits, "{:?}", begun.err());
    }
    let run = dir.path().join("fits-true");
    let mut opened = resume(&run, &options, &experiment).unwrap();
    opened.execute(&mut go_on).unwrap();
    drop(opened);
    verify(&run).unwrap();
    let plan = RunDir::new(&run).read_plan().unwrap();
    let modules: BTreeSet<Digest> = plan.clients.iter().map(|it| it.honest.module).collect();
    for bytes in [&b"file"[..], b"submitted", b"layout", b"malicious-gen"] {
        assert!(modules.contains(&Digest::of(bytes)));
    }
    let said = begin("file", &options, &with("gone.wasm"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        said.contains("gone.wasm") && said.contains("client south"),
        "{said}"
    );
}

#[test]
fn rows_that_are_no_pair_are_refused_by_client_file_and_row() {
    let dir = tempfile::tempdir().unwrap();
    let options = place(dir.path());
    let begin = |text: &str| {
        let begun = create(&dir.path().join("run"), &options, &parse(text));
        begun.err().unwrap().to_string()
    };
    let strict = format!("{SIZES}{CLIENTS}{}", WORLD.replace("leave_out = true", ""));
    let said = begin(&strict);
    for part in ["client south", "south.parquet, row 9", "leave_out = true"] {
        assert!(said.contains(part), "{said}\nlacks {part}");
    }
    let once = strict
        .replace("[\"south.parquet\", \"more.jsonl\"]", "\"more.jsonl\"")
        .replace("turns = \"first\"", "");
    let said = begin(&once);
    for part in ["client east", "east.arrow, row 2", "turns = \"first\""] {
        assert!(said.contains(part), "{said}\nlacks {part}");
    }
    let said = begin(&strict.replace("north.jsonl", "gone.jsonl"));
    assert!(
        said.contains("client north") && said.contains("gone.jsonl"),
        "{said}"
    );
    assert!(!dir.path().join("run/run.json").exists());
}

/// A node that writes another plan and signs a log over it.
fn replan(run: &Path, key: &SigningKey, change: impl FnOnce(&mut Plan)) {
    let dir = RunDir::new(run);
    let blobs = Blobs::open(dir.blobs()).unwrap();
    let mut plan = dir.read_plan().unwrap();
    let before = blobs.path(&Digest::of_json(&plan).unwrap());
    change(&mut plan);
    let bytes = canonical::to_vec(&plan).unwrap();
    fs::write(dir.plan(), &bytes).unwrap();
    blobs.put(&bytes).unwrap();
    fs::remove_file(before).unwrap();
    let reader = LogReader::open(dir.log(), &key.public()).unwrap();
    let entries = reader.entries().unwrap();
    fs::remove_dir_all(dir.log()).unwrap();
    let mut log = Log::create(dir.log(), &plan.origin, key.clone()).unwrap();
    for bytes in entries {
        let mut record = Record::from_bytes(&bytes).unwrap();
        if let Record::RunOpened { run_config, .. } = &mut record {
            *run_config = Digest::of_json(&plan).unwrap();
        }
        log.append(&record.to_bytes().unwrap()).unwrap();
    }
    log.publish().unwrap();
}

#[test]
fn a_plan_that_says_something_else_than_the_clients_entries_does_not_verify() {
    let experiment = parse(&format!("{SIZES}{CLIENTS}{WORLD}"));
    type Lie = fn(&mut Plan);
    let lies: [(&str, Lie); 4] = [
        ("takes part in other arms", |plan| {
            plan.clients[3].absent = false
        }),
        ("is of another kind", |plan| {
            plan.clients[3].kind = BENIGN.into()
        }),
        ("runs another module", |plan| {
            let module = plan.clients[3].honest.module;
            let north = &mut plan.clients[0];
            (north.honest.module, north.attacked.module) = (module, module);
        }),
        ("has another part in some arms", |plan| {
            plan.clients[0].attacked.examples += 1
        }),
    ];
    let whole = tempfile::tempdir().unwrap();
    let (_, options) = finished(whole.path(), &experiment);
    let key = SigningKey::load(options.keys.join("node.pem")).unwrap();
    for (index, (problem, lie)) in lies.into_iter().enumerate() {
        let run = whole.path().join(format!("lie-{index}"));
        copy(&whole.path().join("run"), &run);
        replan(&run, &key, lie);
        let said = verify(&run).unwrap_err().to_string();
        assert!(said.contains(problem), "{said}\nlacks {problem}");
    }
}

fn copy(from: &Path, to: &PathBuf) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}
