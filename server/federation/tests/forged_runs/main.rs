//! Forged run directories: files changed or gone, and logs that the node itself has signed anew
//! over records that do not follow, or over numbers that it made up. The auditor refuses each and says
//! why; the words are asserted, so that a case which is refused for another reason fails too. Counts go
//! where the forgery corpus of `tests/` leaves its own.

mod claims;
#[path = "../runs/double/mod.rs"]
mod double;
mod files;
mod measured;
mod records;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use double::{Double, create_from, experiment, options};
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::Record;
use fedseal_client_sdk::tlog::Checkpoint;
use fedseal_ledger::{Blobs, Log, LogReader};
use fedseal_record::events::Event;
use fedseal_record::evidence::Cache;
use fedseal_record::references::references;
use fedseal_record::report::{self, LogHead, Report, Sources};
use fedseal_record::rundir::RunDir;
use fedseal_record::state::RunState;
use fedseal_record::verify::{verify, verify_by};
use fedseal_rules::arms;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::formulas::Versions;

/// A genuine run, and where to forge copies of it.
struct Forge {
    _dir: tempfile::TempDir,
    run: PathBuf,
    key: SigningKey,
    origin: String,
    records: Vec<Record>,
    /// Versions of the auditor's formulas.
    here: Versions,
    total: u32,
    refused: u32,
    wrong: Vec<String>,
}

impl Forge {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let options = options(dir.path());
        let mut small = experiment();
        small.federation.rounds = 2;
        small.evaluation.every = 1;
        small.arms = [
            "clean",
            "fedavg",
            "provenance",
            "behaviour",
            "defended",
            "shaken",
        ]
        .map(String::from)
        .to_vec();
        let shaken = arms::ArmConfig {
            repairs: Some("fedavg".into()),
            defence: Some("noise".into()),
            parameters: [("norm".to_owned(), 0.5)].into(),
            ..arms::ArmConfig::default()
        };
        small.arm.insert("shaken".into(), shaken);
        create_from(&run, &options, Double::new(), small)
            .unwrap()
            .execute(&mut |_: &Event| ControlFlow::Continue(()))
            .unwrap();
        pack(&run);
        verify(&run).expect("the genuine run is accepted");
        let key = SigningKey::load(options.keys.join("node.pem")).unwrap();
        let reader = LogReader::open(run.join("log"), &key.public()).unwrap();
        let entries = reader.entries().unwrap();
        Self {
            _dir: dir,
            run,
            key,
            origin: reader.checkpoint().origin.clone(),
            records: entries
                .iter()
                .map(|bytes| Record::from_bytes(bytes).unwrap())
                .collect(),
            here: Versions::here(),
            total: 0,
            refused: 0,
            wrong: Vec::new(),
        }
    }

    /// A copy of the run.
    fn copy(&self) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("run");
        for path in below(&self.run) {
            let to = copy.join(path.strip_prefix(&self.run).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(path, to).unwrap();
        }
        (dir, copy)
    }

    /// A copy of the run with one change; `reason` is what the refusal must say.
    fn case(&mut self, name: &str, reason: &str, change: impl FnOnce(&Path)) {
        let (_dir, copy) = self.copy();
        change(&copy);
        self.total += 1;
        match verify_by(&copy, &self.here) {
            Ok(_) => self.wrong.push(format!("{name}: ACCEPTED")),
            Err(error) if !error.to_string().contains(reason) || reason.is_empty() => {
                self.wrong
                    .push(format!("{name}: refused with {error}, not {reason:?}"));
            }
            Err(_) => self.refused += 1,
        }
    }

    /// The log written anew over other records, signed by the node.
    fn records(&mut self, name: &str, reason: &str, change: impl FnOnce(&mut Vec<Record>)) {
        let mut records = self.records.clone();
        change(&mut records);
        let (key, origin) = (self.key.clone(), self.origin.clone());
        self.case(name, reason, |run| {
            fs::remove_dir_all(run.join("log")).unwrap();
            let mut log = Log::create(run.join("log"), &origin, key).unwrap();
            for record in &records {
                log.append(&record.to_bytes().unwrap()).unwrap();
            }
            log.publish().unwrap();
        });
    }

    /// A run that its node forged as a whole: blobs and records changed, the report made of them again,
    /// nothing left over that nobody refers to, the log signed anew.
    fn remade(
        &mut self,
        name: &str,
        reason: &str,
        change: impl FnOnce(&Blobs, &mut Vec<Record>, &mut Report),
    ) {
        let made = Made {
            records: self.records.clone(),
            key: self.key.clone(),
            origin: self.origin.clone(),
        };
        self.case(name, reason, |run| made.write(run, change));
    }
}

/// Parts that a node signs anew.
struct Made {
    records: Vec<Record>,
    key: SigningKey,
    origin: String,
}

impl Made {
    /// Writes a run that its node forged as a whole over a copy of the genuine one.
    fn write(self, run: &Path, change: impl FnOnce(&Blobs, &mut Vec<Record>, &mut Report)) {
        let Made {
            mut records,
            key,
            origin,
        } = self;
        let dir = RunDir::new(run);
        let blobs = Blobs::open(dir.blobs()).unwrap();
        let mut written = Report::from_bytes(&fs::read(dir.report()).unwrap()).unwrap();
        change(&blobs, &mut records, &mut written);
        fs::remove_dir_all(dir.log()).unwrap();
        let mut log = Log::create(dir.log(), &origin, key).unwrap();
        let plan = dir.read_plan().unwrap();
        let mut state = RunState::default();
        let mut append = |log: &mut Log, record: &Record| {
            log.append(&record.to_bytes().unwrap()).unwrap();
            // What does not fit is for the auditor to see.
            let _ = state.apply(record, plan.initial);
        };
        let ends = records.len() - 2;
        for record in &records[..ends] {
            append(&mut log, record);
        }
        let head = log.publish().unwrap();
        let experiment = Experiment::load(dir.experiment()).unwrap();
        let arms = experiment.all_arms().unwrap();
        let mut ended = RunState::default();
        for record in &records[..ends] {
            let _ = ended.apply(record, plan.initial);
        }
        let sources = Sources {
            plan: &plan,
            experiment: &experiment,
            state: &ended,
            arms: &arms,
            blobs: &blobs,
        };
        let report = remake(&sources, written, &log, head);
        let bytes = report.to_bytes().unwrap();
        let digest = blobs.put(&bytes).unwrap();
        append(&mut log, &Record::Report { digest });
        append(&mut log, &Record::Closed);
        log.publish().unwrap();
        fs::write(dir.report(), bytes).unwrap();
        let mut cache = Cache::default();
        let attested: Vec<_> = state
            .attestations
            .keys()
            .map(|id| cache.attested(&blobs, id, &plan).unwrap())
            .collect();
        let wanted = references(
            state.plan.unwrap(),
            &plan,
            &state,
            attested.iter().map(AsRef::as_ref),
            &Default::default(),
        );
        blobs.retain(|digest| wanted.contains_key(digest)).unwrap();
    }
}

/// The report that follows from forged records, with what does not follow from them as written.
fn remake(sources: &Sources<'_>, written: Report, log: &Log, head: Checkpoint) -> Report {
    let mut made = report::build(sources, &mut Cache::default()).unwrap();
    made.state = written.state;
    made.progress = written.progress;
    made.seconds = written.seconds;
    made.peak_mb = written.peak_mb;
    made.events = written.events;
    made.log = LogHead {
        size: head.size,
        root: head.root,
        checkpoint: log.note().to_owned(),
    };
    made
}

/// Packs some small blobs of a run, as its store does with many that come at once: whether they did while
/// it ran depends on how its results came in.
fn pack(run: &Path) {
    let dir = RunDir::new(run).blobs();
    let mut alone = below(&dir);
    alone.retain(|path| !path.starts_with(dir.join("packs")));
    alone.sort_by_key(|path| fs::metadata(path).unwrap().len());
    alone.truncate(32);
    let bytes: Vec<_> = alone.iter().map(|path| fs::read(path).unwrap()).collect();
    for path in alone {
        fs::remove_file(path).unwrap();
    }
    let blobs = Blobs::open(&dir).unwrap();
    blobs.put_many(bytes.iter().map(Vec::as_slice)).unwrap();
}

/// Every file below a folder, in order of names.
fn below(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(below(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

#[test]
fn every_forged_run_is_refused_for_its_reason() {
    let mut forge = Forge::new();
    files::forge(&mut forge);
    records::forge(&mut forge);
    claims::forge(&mut forge);
    eprintln!("{} of {} refused", forge.refused, forge.total);
    if let Some(folder) = std::env::var_os("FEDSEAL_COUNTS") {
        let counts = serde_json::json!({ "total": forge.total, "refused": forge.refused });
        fs::write(
            Path::new(&folder).join("forged-runs.json"),
            counts.to_string(),
        )
        .unwrap();
    }
    assert!(forge.wrong.is_empty(), "{}", forge.wrong.join("\n"));
    assert!(forge.total >= 60, "only {}", forge.total);
}

/// Every aggregate with half of its weights.
fn halved(_: &Blobs, records: &mut Vec<Record>, _: &mut Report) {
    for record in records {
        if let Record::Aggregated { weights, .. } = record {
            weights.iter_mut().for_each(|(_, weight)| *weight *= 0.5);
        }
    }
}

#[test]
fn results_of_another_version_are_not_called_forged() {
    let mut forge = Forge::new();
    forge.remade(
        "halved weights",
        "has other weights than its updates",
        halved,
    );
    assert!(forge.wrong.is_empty(), "{}", forge.wrong.join("\n"));
    forge.here = Versions::here().with("rule fedavg", 2);
    forge.remade("halved by another version", "never", halved);
    assert_eq!(forge.wrong, ["halved by another version: ACCEPTED"]);
}
