//! Logs that the node has signed anew over records that do not follow.

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Round;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::{Effect, Record};

use crate::Forge;

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

/// Every case.
pub(crate) fn forge(forge: &mut Forge) {
    left_out_and_repeated(forge);
    moved(forge);
    bent(forge);
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

/// Reasons given when the first record of a kind is missing, and when it is there twice.
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

/// Forges runs with the same records in another order.
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
