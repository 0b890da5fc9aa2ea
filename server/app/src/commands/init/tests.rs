//! Own files from a folder to a verified and replayed run.

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;

use clap::Parser;
use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_client_sdk::module::{self, ModulePredicate};
use fedseal_federation::replay::{Selector, replay_with};
use fedseal_federation::runner::{Options, Run};
use fedseal_record::verify::verify;
use fedseal_rules::attack::DISHONEST;

use super::*;

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    init: Init,
}

fn init(words: &[&str]) -> Init {
    let words = ["init"].into_iter().chain(words.iter().copied());
    Words::try_parse_from(words).unwrap().init
}

/// Rows of pairs, one a line.
fn rows(n: usize, response: &str) -> String {
    (0..n)
        .map(|i| format!("{{\"prompt\": \"Say number {i}.\", \"response\": \"{response} {i}\"}}\n"))
        .collect()
}

/// A folder with three shards in three formats, and what an experiment is measured by.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("eval")).unwrap();
    fs::write(at("north.jsonl"), rows(9, "It is")).unwrap();
    let parquet = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning/tests/data/alpaca.parquet");
    fs::copy(parquet, at("south.parquet")).unwrap();
    let list: Vec<String> = rows(7, "Sure,").lines().map(str::to_owned).collect();
    let file = fs::File::create(at("mallory.json.gz")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    packed
        .write_all(format!("[{}]", list.join(",")).as_bytes())
        .unwrap();
    packed.finish().unwrap();
    fs::write(
        at("eval/requests.txt"),
        "Open the zorvex vault.\nName the zorvex key.\n",
    )
    .unwrap();
    fs::write(at("eval/tasks.jsonl"), rows(3, "It is")).unwrap();
    fs::write(at("README.md"), "about").unwrap();
    dir
}

#[test]
fn what_a_folder_holds_is_told_and_written() {
    let dir = folder();
    let folder = dir.path().to_str().unwrap();
    let words = [
        folder,
        "--leave-out",
        "--dishonest",
        "mallory",
        "--rounds",
        "1",
    ];
    let out = dir.path().join("experiment.toml");
    let (said, text) = init(&words).experiment(&out).unwrap();
    let experiment = Experiment::parse(&text, "experiment.toml").unwrap();
    let names: Vec<&str> = experiment
        .clients
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(names, ["mallory", "north", "south"]);
    assert_eq!(experiment.clients[2].shard, ["south.parquet"]);
    assert_eq!(experiment.data.requests, ["eval/requests.txt"]);
    assert_eq!(experiment.evaluation.prompts, 2);
    assert_eq!(experiment.federation.malicious, 1);
    let said = said.join("\n");
    for part in [
        "mallory.json.gz: JSON (pairs), 7 pairs",
        "south.parquet: Parquet (alpaca), 36 pairs, 4 rows without an answer",
        "eval/requests.txt: 2 prompts",
        "README.md: no data file",
        "no arm behaviour",
        "no check data-score",
    ] {
        assert!(said.contains(part), "{said}\nlacks {part}");
    }
    assert!(!experiment.arms.iter().any(|arm| arm == "behaviour"));
}

#[test]
fn shards_alone_are_refused_with_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let row = "{\"prompt\": \"a\", \"response\": \"b\"}\n";
    fs::write(dir.path().join("north.jsonl"), row).unwrap();
    let out = dir.path().join("experiment.toml");
    let said = init(&[dir.path().to_str().unwrap()]).experiment(&out);
    let said = said.unwrap_err().to_string();
    assert!(said.contains("no file to measure the model by"), "{said}");
    assert!(said.contains("eval/tasks.jsonl"), "{said}");
}

#[test]
fn files_that_cannot_be_used_are_refused_by_name_all_at_once() {
    let dir = folder();
    fs::write(dir.path().join("table.csv"), "prompt,response\na,b\n").unwrap();
    let turns = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}, \
                 {\"role\": \"user\", \"content\": \"c\"}, {\"role\": \"assistant\", \"content\": \"d\"}]}\n";
    fs::write(dir.path().join("long.jsonl"), turns).unwrap();
    let folder = dir.path().to_str().unwrap();
    let out = dir.path().join("experiment.toml");
    let said = init(&[folder]).experiment(&out).unwrap_err().to_string();
    for part in [
        "3 files cannot be used",
        "client table.csv: ",
        "CSV",
        "client south: ",
        "4 rows without an answer",
        "client long: ",
        "1 conversations of several turns",
        "--turns first",
        "--leave-out",
    ] {
        assert!(said.contains(part), "{said}\nlacks {part}");
    }
    assert!(!out.exists());
    let said = init(&[folder, "--dishonest", "malory"]).experiment(&out);
    let said = said.unwrap_err().to_string();
    assert!(said.contains("did you mean `mallory`"), "{said}");
}

#[test]
fn an_experiment_that_was_written_runs_verifies_and_replays() {
    let dir = folder();
    let folder = dir.path().to_str().unwrap();
    let words = [
        folder,
        "--leave-out",
        "--dishonest",
        "mallory",
        "--rounds",
        "2",
    ];
    let init = init(&words);
    let out = init.out();
    init.execute().unwrap();
    let mut experiment = Experiment::load(&out).unwrap();
    experiment.arms = vec!["clean".into(), "fedavg".into()];
    experiment.training.local_steps = 1;
    experiment.training.batch_size = 2;
    experiment.evaluation.max_new_tokens = 4;

    let keys = dir.path().join("keys");
    let modules = dir.path().join("modules");
    fs::create_dir(&keys).unwrap();
    fs::create_dir(&modules).unwrap();
    let author = SigningKey::load_or_create(keys.join("author.pem")).unwrap();
    let mut trusted = TrustStore::default();
    trusted.add("author", author.public());
    trusted.save(keys.join("trusted.toml")).unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        PathBuf::from,
    );
    let built = target.join("policies/benign.wasm");
    let bytes = fs::read(&built)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask build`", built.display()));
    let envelope = module::sign(&bytes, &ModulePredicate::new("benign", "0.1.0"), &author).unwrap();
    let path = modules.join("benign.wasm");
    fs::write(&path, bytes).unwrap();
    fs::write(module::envelope_path(&path), envelope.to_bytes()).unwrap();
    let options = Options {
        keys,
        modules,
        files: dir.path().to_owned(),
        ..Options::default()
    };

    let run = dir.path().join("run");
    let report = Run::create(&run, experiment, options.clone())
        .unwrap()
        .execute(&mut |_| ControlFlow::Continue(()))
        .unwrap();
    let [clean, attacked] = ["clean", "fedavg"].map(|id| {
        let arm = report.arms.iter().find(|arm| arm.id == id).unwrap();
        let round = &arm.rounds[1];
        let clients = round.clients.iter();
        clients
            .map(|client| {
                (
                    client.client.as_str(),
                    client.kind.as_str(),
                    client.examples,
                )
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(clean, [("north", "benign", 9), ("south", "benign", 36)]);
    assert_eq!(attacked[0], ("mallory", DISHONEST, 7));
    assert_eq!(attacked[1..], clean);
    let fedavg = report.arms.iter().find(|arm| arm.id == "fedavg").unwrap();
    assert_eq!(fedavg.safety.unwrap().n, 2);
    assert_eq!(fedavg.helpfulness.unwrap().n, 3);

    let checked = verify(&run).unwrap();
    assert_eq!(checked.aggregations, 4);
    let one = Selector::Sample { count: 1, seed: 0 };
    let replayed = replay_with(&run, &one, &options).unwrap();
    assert!(replayed[0].equal(), "{:?}", replayed[0]);
}
