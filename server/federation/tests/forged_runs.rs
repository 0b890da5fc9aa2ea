//! Forged run directories: files changed or gone, and logs that the node itself has signed anew
//! over records that do not follow. The auditor refuses each and says why; the words are asserted,
//! so that a case which is refused for another reason fails too. Counts go where the forgery corpus
//! of `tests/` leaves its own.

mod double;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use double::{Double, create_from, experiment, options};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Round;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::{Effect, Record};
use fedseal_federation::events::Event;
use fedseal_federation::verify::verify;
use fedseal_ledger::{Log, LogReader};

/// A genuine run, and where to forge copies of it.
struct Forge {
    _dir: tempfile::TempDir,
    run: PathBuf,
    key: SigningKey,
    origin: String,
    records: Vec<Record>,
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
        small.arms = ["clean", "fedavg", "provenance", "behaviour", "defended"]
            .map(String::from)
            .to_vec();
        create_from(&run, &options, Double::new(), small)
            .unwrap()
            .execute(&mut |_: &Event| ControlFlow::Continue(()))
            .unwrap();
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
            total: 0,
            refused: 0,
            wrong: Vec::new(),
        }
    }

    /// A copy of the run with one change; `reason` is what the refusal must say.
    fn case(&mut self, name: &str, reason: &str, change: impl FnOnce(&Path)) {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("run");
        for path in files(&self.run) {
            let to = copy.join(path.strip_prefix(&self.run).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(path, to).unwrap();
        }
        change(&copy);
        self.total += 1;
        match verify(&copy) {
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

/// The record's type as the log spells it.
fn kind(record: &Record) -> String {
    let value = serde_json::to_value(record).unwrap();
    value["type"].as_str().unwrap().to_owned()
}

fn place(records: &[Record], of: &str) -> usize {
    records
        .iter()
        .position(|record| kind(record) == of)
        .unwrap()
}

const KINDS: [&str; 13] = [
    "run-opened",
    "module-registered",
    "client-registered",
    "canaries-sealed",
    "round-opened",
    "update",
    "verdict",
    "aggregated",
    "evaluated",
    "defended",
    "canaries-opened",
    "report",
    "closed",
];

#[test]
fn every_forged_run_is_refused_for_its_reason() {
    let mut forge = Forge::new();
    changed_files(&mut forge);
    left_out_and_repeated(&mut forge);
    moved(&mut forge);
    bent(&mut forge);
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

/// Files of each sort: flipped, cut, gone. The refusal names the file.
fn changed_files(forge: &mut Forge) {
    let root = forge.run.clone();
    let all: Vec<PathBuf> = files(&root)
        .into_iter()
        .map(|path| path.strip_prefix(&root).unwrap().to_owned())
        .collect();
    let named = |name: &str| {
        all.iter()
            .find(|path| path.ends_with(name))
            .unwrap()
            .clone()
    };
    let mut chosen: Vec<PathBuf> = ["run.json", "report.json", "experiment.toml", "checkpoint"]
        .map(named)
        .into();
    let blobs: Vec<&PathBuf> = all
        .iter()
        .filter(|path| path.starts_with("blobs"))
        .collect();
    chosen.extend(
        blobs
            .iter()
            .step_by(blobs.len() / 6)
            .map(|path| (*path).clone()),
    );
    for name in chosen {
        let shown = name.display().to_string();
        let file = name.file_name().unwrap().to_string_lossy().into_owned();
        let change = |run: &Path, change: &dyn Fn(&mut Vec<u8>)| {
            let path = run.join(&name);
            let mut bytes = fs::read(&path).unwrap();
            change(&mut bytes);
            fs::write(path, bytes).unwrap();
        };
        forge.case(&format!("{shown} with a bit flipped"), &file, |run| {
            change(run, &|bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            });
        });
        forge.case(&format!("{shown} cut"), &file, |run| {
            change(run, &|bytes| bytes.truncate(bytes.len() / 2));
        });
        let gone = match file.as_str() {
            "run.json" => "no run is here",
            "checkpoint" => "log",
            _ => file.as_str(),
        };
        forge.case(&format!("{shown} deleted"), gone, |run| {
            fs::remove_file(run.join(&name)).unwrap();
        });
    }
    for (extra, reason) in [
        ("note.txt", "note.txt"),
        ("log/note.txt", "note.txt"),
        ("blobs/note.txt", "note.txt"),
    ] {
        forge.case(&format!("{extra} added"), reason, |run| {
            fs::write(run.join(extra), "x").unwrap();
        });
    }
    forge.case(
        "a blob that nobody refers to",
        "referred to by nothing",
        |run| {
            let blobs = fedseal_ledger::Blobs::open(run.join("blobs")).unwrap();
            blobs.put(b"stranger").unwrap();
        },
    );
    forge.case("the log of nobody", "log", |run| {
        fs::remove_dir_all(run.join("log")).unwrap();
    });
}

fn left_out_and_repeated(forge: &mut Forge) {
    for of in KINDS {
        let (out, twice) = reasons(of);
        forge.records(&format!("{of} left out"), out, |records| {
            let at = place(records, of);
            records.remove(at);
        });
        forge.records(&format!("{of} repeated"), twice, |records| {
            let at = place(records, of);
            let again = records[at].clone();
            records.insert(at, again);
        });
    }
    forge.records("no record", "none closes it", Vec::clear);
    forge.records("the second half left out", "none closes it", |records| {
        records.truncate(records.len() / 2);
    });
    forge.records("a record after the end", "follows `closed`", |records| {
        let again = records[place(records, "evaluated")].clone();
        records.push(again);
    });
}

/// What is said when the first record of a kind is missing, and when it is there twice.
fn reasons(of: &str) -> (&'static str, &'static str) {
    match of {
        "run-opened" => (
            "the first entry and only the first",
            "the first entry and only the first",
        ),
        "module-registered" => ("is not registered in the log", "is registered twice"),
        "client-registered" => ("is not registered in the log", "is registered twice"),
        "canaries-sealed" => ("opens before the canaries are sealed", "are sealed twice"),
        "round-opened" => ("which is not open", "opens, 1 is next"),
        "update" => ("which is not logged", "is executed twice"),
        "verdict" => ("with 2 verdicts for 3 clients", "two verdicts about"),
        "aggregated" => (
            "opens before the last one ended",
            "is aggregated, which is not open",
        ),
        "evaluated" => ("referred to by nothing", "is evaluated twice"),
        "defended" => ("referred to by nothing", "is defended twice"),
        "canaries-opened" => (
            "before the canaries are opened",
            "which are not the sealed ones",
        ),
        "report" => ("closed without a report", "follows the report"),
        _ => ("none closes it", "follows `closed`"),
    }
}

/// The same records in another order.
fn moved(forge: &mut Forge) {
    const HEAD: &str = "names a log head that is not a prefix of the log";
    for (early, late, reason) in [
        (
            "run-opened",
            "module-registered",
            "the first entry and only the first",
        ),
        (
            "canaries-sealed",
            "round-opened",
            "opens before the canaries are sealed",
        ),
        // What an update and the opening of canaries do not depend on may come in any order; but
        // the report names the log that it was made from.
        ("round-opened", "update", HEAD),
        ("round-opened", "canaries-opened", HEAD),
        ("update", "verdict", "which is not logged"),
        ("verdict", "aggregated", "with 0 verdicts for 3 clients"),
        ("defended", "closed", "closed without a report"),
    ] {
        forge.records(&format!("{late} before {early}"), reason, |records| {
            let (from, to) = (place(records, late), place(records, early));
            let record = records.remove(from);
            records.insert(to, record);
        });
    }
}

/// Records that say something else.
fn bent(forge: &mut Forge) {
    type Bend = (&'static str, &'static str, fn(&mut Vec<Record>));
    let cases: [Bend; 24] = [
        (
            "an attestation of the round before",
            "is used twice",
            |records| {
                reuse(records, |(round, _), (other, _)| round != other);
            },
        ),
        (
            "an attestation of another client",
            "is used twice",
            |records| {
                reuse(records, |(_, client), (_, other)| client != other);
            },
        ),
        (
            "an update under another round",
            "is client-00 in round 7",
            |records| {
                each(records, |record| {
                    if let Record::Update { round, .. } = record {
                        *round = Round(7)
                    }
                });
            },
        ),
        (
            "an update under another client",
            "is client-99 in round 0",
            |records| {
                each(records, |record| {
                    if let Record::Update { client, .. } = record {
                        *client = "client-99".into()
                    }
                });
            },
        ),
        (
            "another update than the attested one",
            "says something else than attestation",
            |records| {
                each(records, |record| {
                    if let Record::Update { update, .. } = record {
                        *update = Some(Digest::of(b"x"))
                    }
                });
            },
        ),
        ("another memo key", "is executed twice", |records| {
            each(records, |record| {
                if let Record::Update { key, .. } = record {
                    *key = Digest::of(b"x")
                }
            });
        }),
        (
            "a verdict about another attestation",
            "which is not logged",
            |records| {
                each(records, |record| {
                    if let Record::Verdict { attestation, .. } = record {
                        *attestation = Digest::of(b"x")
                    }
                });
            },
        ),
        (
            "a refusal turned into an acceptance",
            "is not what the checks say",
            |records| {
                each(records, |record| {
                    if let Record::Verdict { effect, weight, .. } = record
                        && *effect == Effect::Reject
                    {
                        (*effect, *weight) = (Effect::Accept, 1.0);
                    }
                });
            },
        ),
        (
            "another weight in a verdict",
            "with weight 0.5",
            |records| {
                each(records, |record| {
                    if let Record::Verdict { weight, .. } = record {
                        *weight = 0.5
                    }
                });
            },
        ),
        (
            "another check in a verdict",
            "is not what the checks say",
            |records| {
                each(records, |record| {
                    if let Record::Verdict { check, .. } = record {
                        *check = "luck".into()
                    }
                });
            },
        ),
        (
            "another fact in a verdict",
            "is not what the checks say",
            |records| {
                each(records, |record| {
                    if let Record::Verdict { fact, .. } = record {
                        *fact = "all is well".into()
                    }
                });
            },
        ),
        (
            "other weights in an aggregate",
            "has other weights than its updates",
            |records| {
                each(records, |record| {
                    if let Record::Aggregated { weights, .. } = record {
                        weights.iter_mut().for_each(|(_, weight)| *weight *= 2.0);
                    }
                });
            },
        ),
        (
            "a client left out of an aggregate",
            "weights are not of the sampled clients",
            |records| {
                each(records, |record| {
                    if let Record::Aggregated { weights, .. } = record {
                        weights.pop();
                    }
                });
            },
        ),
        ("another rule", "was aggregated by `median`", |records| {
            each(records, |record| {
                if let Record::Aggregated { rule, .. } = record {
                    *rule = "median".into()
                }
            });
        }),
        (
            "another seed of the run",
            "differs from run.json",
            |records| {
                each(records, |record| {
                    if let Record::RunOpened { seed, .. } = record {
                        seed.0 += 1
                    }
                });
            },
        ),
        ("another base", "differs from run.json", |records| {
            each(records, |record| {
                if let Record::RunOpened { base, .. } = record {
                    *base = Digest::of(b"x")
                }
            });
        }),
        ("another node", "differs from run.json", |records| {
            each(records, |record| {
                if let Record::RunOpened { node, .. } = record {
                    *node = SigningKey::from_seed([9; 32]).public()
                }
            });
        }),
        (
            "another signer of a module",
            "differs from run.json",
            |records| {
                each(records, |record| {
                    if let Record::ModuleRegistered { signer, .. } = record {
                        *signer = SigningKey::from_seed([9; 32]).public()
                    }
                });
            },
        ),
        (
            "another shard of a client",
            "differs from run.json",
            |records| {
                each(records, |record| {
                    if let Record::ClientRegistered { shard, .. } = record {
                        *shard = Digest::of(b"x")
                    }
                });
            },
        ),
        (
            "another client in a round",
            "weights are not of the sampled clients",
            |records| {
                each(records, |record| {
                    if let Record::RoundOpened { clients, .. } = record {
                        clients.reverse()
                    }
                });
            },
        ),
        (
            "another global adapter at a round's start",
            "starts from",
            |records| {
                each(records, |record| {
                    if let Record::RoundOpened { global, .. } = record {
                        *global = Digest::of(b"x")
                    }
                });
            },
        ),
        (
            "another adapter measured",
            "is of another adapter than the arm's",
            |records| {
                each(records, |record| {
                    if let Record::Evaluated { adapter, .. } = record {
                        *adapter = Digest::of(b"x")
                    }
                });
            },
        ),
        ("another result", "is missing; it is answers", |records| {
            each(records, |record| {
                if let Record::Evaluated { result, .. } = record {
                    *result = Digest::of(b"x")
                }
            });
        }),
        (
            "another repaired adapter",
            "is missing; it is adapter",
            |records| {
                each(records, |record| {
                    if let Record::Defended { adapter, .. } = record {
                        *adapter = Digest::of(b"x")
                    }
                });
            },
        ),
    ];
    for (name, reason, change) in cases {
        forge.records(name, reason, change);
    }
}

fn each(records: &mut [Record], mut change: impl FnMut(&mut Record)) {
    let before: Vec<Record> = records.to_vec();
    records.iter_mut().for_each(&mut change);
    assert_ne!(records, before.as_slice(), "the case changes nothing");
}

/// Gives an update record the attestation (and update) of another one that `fits`.
fn reuse(records: &mut [Record], fits: impl Fn((Round, &str), (Round, &str)) -> bool) {
    let updates: Vec<(usize, Round, String, Digest, Option<Digest>)> = records
        .iter()
        .enumerate()
        .filter_map(|(at, record)| match record {
            Record::Update {
                client,
                round,
                attestation,
                update,
                ..
            } => Some((at, *round, client.to_string(), *attestation, *update)),
            _ => None,
        })
        .collect();
    let (last, others) = updates.split_last().unwrap();
    let donor = others
        .iter()
        .rev()
        .find(|donor| fits((last.1, &last.2), (donor.1, &donor.2)))
        .unwrap();
    if let Record::Update {
        attestation,
        update,
        ..
    } = &mut records[last.0]
    {
        (*attestation, *update) = (donor.3, donor.4);
    }
}
