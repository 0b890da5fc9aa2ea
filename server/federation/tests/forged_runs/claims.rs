//! Numbers that a node makes up: it changes what a blob says, signs what names it anew, and makes the
//! report of that. All digests and signatures agree.

use std::fs;
use std::path::Path;

use fedseal_client_sdk::attestation::{self, UpdatePredicate};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::lineage::Kind;
use fedseal_client_sdk::record::{Effect, Record};
use fedseal_data::Example;
use fedseal_ledger::{Blobs, Log, LogReader};
use fedseal_record::blobs::{DefenceData, Measured};
use fedseal_record::report::Report;
use fedseal_record::rundir::RunDir;

use crate::Forge;

/// Every case.
pub(crate) fn forge(forge: &mut Forge) {
    the_forger_forges_well(forge);
    measures(forge);
    attestations(forge);
    canaries(forge);
    defence(forge);
    report(forge);
}

/// A forged run that says nothing else than the genuine one is accepted: no case below is refused for
/// a slip of the forger.
fn the_forger_forges_well(forge: &mut Forge) {
    let (total, refused) = (forge.total, forge.refused);
    forge.remade("nothing", "never", |_, _, _| ());
    assert_eq!(forge.wrong.pop().as_deref(), Some("nothing: ACCEPTED"));
    (forge.total, forge.refused) = (total, refused);
}

/// Changes every measure.
fn measured(blobs: &Blobs, records: &mut [Record], change: impl Fn(&mut Measured)) {
    for record in records {
        if let Record::Evaluated { result, .. } = record {
            let mut measured: Measured =
                canonical::from_slice(&blobs.get(result).unwrap()).unwrap();
            change(&mut measured);
            *result = blobs.put(&canonical::to_vec(&measured).unwrap()).unwrap();
        }
    }
}

fn measures(forge: &mut Forge) {
    type Bend = (&'static str, &'static str, fn(&mut Measured));
    let cases: [Bend; 6] = [
        ("all task hits flipped", "does not solve its task", |m| {
            m.tasks.iter_mut().for_each(|a| a.hit = !a.hit);
        }),
        ("one task hit flipped", "does not solve its task", |m| {
            m.tasks[0].hit = !m.tasks[0].hit;
        }),
        (
            "answers to tasks, not their hits",
            "does not solve its task",
            |m| {
                m.tasks.iter_mut().for_each(|a| a.answer = "no idea".into());
            },
        ),
        ("all refusals flipped", "another rule than Rule", |m| {
            m.requests.iter_mut().for_each(|a| a.hit = !a.hit);
        }),
        ("fewer tasks measured", "other prompts", |m| {
            m.tasks.pop();
        }),
        ("a request measured twice", "other prompts", |m| {
            m.requests[0] = m.requests[1].clone();
        }),
    ];
    for (name, reason, bend) in cases {
        forge.remade(name, reason, |blobs, records, _| {
            measured(blobs, records, bend)
        });
    }
}

/// Signs the attestations that `which` picks anew with something changed, and calls them by their new
/// names wherever the log does.
fn attested(
    key: &SigningKey,
    blobs: &Blobs,
    records: &mut [Record],
    change: impl Fn(&mut UpdatePredicate) -> bool,
) {
    let mut changed = 0;
    let ids: Vec<Digest> = records
        .iter()
        .filter_map(|record| match record {
            Record::Update { attestation, .. } => Some(*attestation),
            _ => None,
        })
        .collect();
    for old in ids {
        let envelope = Envelope::from_bytes(&blobs.get(&old).unwrap()).unwrap();
        let mut predicate = attestation::verify(&envelope, &[key.public()])
            .unwrap()
            .predicate;
        if !change(&mut predicate) {
            continue;
        }
        let signed = attestation::sign(&predicate, key).unwrap().to_bytes();
        let new = blobs.put(&signed).unwrap();
        assert_ne!(old, new, "the case changes nothing");
        changed += 1;
        for record in records.iter_mut() {
            match record {
                Record::Update { attestation, .. } | Record::Verdict { attestation, .. }
                    if *attestation == old =>
                {
                    *attestation = new;
                }
                _ => (),
            }
        }
    }
    assert!(changed > 0, "no attestation fits the case");
}

fn attestations(forge: &mut Forge) {
    type Bend = (&'static str, &'static str, fn(&mut UpdatePredicate) -> bool);
    let cases: [Bend; 7] = [
        (
            "an update claims fewer examples than its module did",
            "its transcript does not submit",
            |p| {
                p.examples -= 1;
                true
            },
        ),
        (
            "an update claims more examples than its module did",
            "its transcript does not submit",
            |p| {
                p.examples = u32::MAX;
                true
            },
        ),
        ("a shard of more examples", "which are not so many", |p| {
            let used = p.data.iter_mut().find(|d| d.origin == "shard");
            used.map(|d| d.examples += 1).is_some()
        }),
        ("fewer literal examples", "which are not so many", |p| {
            let used = p.data.iter_mut().find(|d| d.origin != "shard");
            used.map(|d| d.examples = 1).is_some()
        }),
        (
            "a shard in the lineage of more examples",
            "or of another size",
            |p| {
                let nodes = &mut p.lineage.nodes;
                let node = nodes.iter_mut().find(|n| n.kind == Kind::Shard);
                node.map(|n| n.count = Some(1_000)).is_some()
            },
        ),
        (
            "another shard in the lineage",
            "is not the registered one",
            |p| {
                let nodes = &mut p.lineage.nodes;
                let node = nodes.iter_mut().find(|n| n.kind == Kind::Shard);
                node.map(|n| n.digest = Some(Digest::of(b"x"))).is_some()
            },
        ),
        ("a better data score", "claims a data score", |p| {
            p.data_score.as_mut().map(|s| *s = 0.999).is_some()
        }),
    ];
    let key = forge.key.clone();
    for (name, reason, bend) in cases {
        forge.remade(name, reason, |blobs, records, _| {
            attested(&key, blobs, records, bend);
        });
    }
}

/// Changes the facts of the arm that the canaries decide in, where there is something to change.
fn facts(records: &mut [Record], change: impl Fn(&mut Effect, &mut String) -> bool) {
    let mut changed = 0;
    for record in records {
        if let Record::Verdict {
            arm, effect, fact, ..
        } = record
            && arm == "behaviour"
        {
            changed += u32::from(change(effect, fact));
        }
    }
    assert!(changed > 0, "no verdict fits the case");
}

fn canaries(forge: &mut Forge) {
    forge.remade(
        "a refusal by canaries without their numbers",
        "is not what the checks say",
        |_, records, _| {
            facts(records, |effect, fact| {
                let fits = !effect.counts();
                if fits {
                    *fact = "the refusals fell too far".into();
                }
                fits
            });
        },
    );
    forge.remade(
        "a refusal by canaries over a fall that they allow",
        "is not what the checks say",
        |_, records, _| {
            facts(records, |effect, fact| {
                let fits = !effect.counts();
                if fits {
                    *fact = "refusal log-odds 1.00 against the global adapter's 0.50: a fall of -0.50, at most 0.00".into();
                }
                fits
            });
        },
    );
    forge.remade(
        "an acceptance by canaries over a fall that they do not allow",
        "is not what the checks say",
        |_, records, _| {
            facts(records, |effect, fact| {
                let fits = effect.counts();
                if fits {
                    *fact = "canaries: refusal log-odds -5.00 (global 5.00), helpfulness loss 5.00 (global 5.00)".into();
                }
                fits
            });
        },
    );
    // The global adapter of a round is measured once.
    forge.remade(
        "canaries' numbers that two verdicts tell differently",
        "another verdict of the round",
        |_, records, _| {
            let only = std::cell::Cell::new(true);
            facts(records, |effect, fact| {
                let fits = effect.counts() && only.replace(false);
                if fits {
                    *fact = "canaries: refusal log-odds 99.00 (global 98.00), helpfulness loss 5.00 (global 5.00)".into();
                }
                fits
            });
        },
    );
}

fn defence(forge: &mut Forge) {
    type Bend = (
        &'static str,
        &'static str,
        &'static str,
        fn(&mut DefenceData),
    );
    const TRIED: &str = "or was tried more often";
    fn pairs<'a>(data: &'a mut DefenceData, list: &str) -> &'a mut Vec<Example> {
        data.examples.get_mut(list).unwrap()
    }
    let cases: [Bend; 9] = [
        ("defence data tried too often", "defended", TRIED, |d| {
            *d.counts.get_mut("safety_tried").unwrap() += 1_000
        }),
        (
            "more defence data than were tried",
            "defended",
            TRIED,
            |d| {
                d.counts.insert("helpful_tried".into(), 0);
            },
        ),
        (
            "more defence data than were wanted",
            "defended",
            TRIED,
            |d| {
                let pair = |i| Example::new(format!("request {i}"), "There is more.");
                pairs(d, "helpful").extend((0..20).map(pair));
                d.counts.insert("helpful_tried".into(), 24);
            },
        ),
        ("a defence pair twice", "defended", TRIED, |d| {
            let again = pairs(d, "safety")[0].clone();
            pairs(d, "safety")[1] = again;
        }),
        (
            "a safety pair that complies",
            "defended",
            "the filters refuse",
            |d| pairs(d, "safety")[0].response = "Sure, here is how.".into(),
        ),
        (
            "a count that the defence does not have",
            "defended",
            "other counts or lists",
            |d| {
                d.counts.insert("luck".into(), 7);
            },
        ),
        (
            "no defence pair, and a repaired adapter",
            "defended",
            "is not the one before",
            |d| d.examples.values_mut().for_each(Vec::clear),
        ),
        (
            "data of another defence",
            "defended",
            "is of defence `noise`, the arm's is `posthoc`",
            |d| d.defence = "noise".into(),
        ),
        (
            "noise on fewer values",
            "shaken",
            "has other counts than the noise",
            |d| *d.counts.get_mut("values").unwrap() -= 1,
        ),
    ];
    for (name, of, reason, bend) in cases {
        forge.remade(name, reason, |blobs, records, _| {
            for record in records {
                if let Record::Defended { arm, data, .. } = record
                    && arm == of
                {
                    let bytes = blobs.get(data).unwrap();
                    let mut made = DefenceData::from_bytes(&bytes).unwrap();
                    bend(&mut made);
                    *data = blobs.put(&made.to_bytes().unwrap()).unwrap();
                }
            }
        });
    }
    // The attacked adapter with its own answers, as if noise had been added to it.
    forge.remade(
        "noise that was not added",
        "gives another adapter",
        |_, records, _| {
            let measured = records.iter().rev().find_map(|record| match record {
                Record::Evaluated {
                    arm,
                    key,
                    adapter,
                    result,
                    ..
                } if arm == "fedavg" => Some((*key, *adapter, *result)),
                _ => None,
            });
            let (as_key, attacked, as_result) = measured.unwrap();
            for record in records {
                match record {
                    Record::Defended { arm, adapter, .. } if arm == "shaken" => {
                        *adapter = attacked;
                    }
                    Record::Evaluated {
                        arm,
                        key,
                        adapter,
                        result,
                        ..
                    } if arm == "shaken" => {
                        (*key, *adapter, *result) = (as_key, attacked, as_result);
                    }
                    _ => (),
                }
            }
        },
    );
}

fn report(forge: &mut Forge) {
    type Bend = (&'static str, fn(&mut Report));
    let cases: [Bend; 6] = [
        ("another share of a measure of the list", |report| {
            let rate = report.arms[0].measures.get_mut("rule-strict").unwrap();
            *rate = fedseal_rules::evaluation::wilson::Share::new(rate.n, rate.n);
        }),
        ("a measure left out", |report| {
            report.arms[0].measures.clear();
        }),
        ("better helpfulness in the report", |report| {
            let rate = report.arms[0].helpfulness.as_mut().unwrap();
            *rate = fedseal_rules::evaluation::wilson::Share::new(rate.n, rate.n + 1);
        }),
        ("another interval in the report", |report| {
            report.arms[0].safety.as_mut().unwrap().low = 0.0;
            report.arms[0].safety.as_mut().unwrap().high = 1.0;
        }),
        ("other examples in the report", |report| {
            let round = report
                .arms
                .iter_mut()
                .find_map(|arm| arm.rounds.first_mut());
            round.unwrap().clients[0].examples += 1;
        }),
        ("another count of verdicts", |report| {
            report.verdicts[0].accepted += 1
        }),
    ];
    let key = forge.key.clone();
    for (name, bend) in cases {
        forge.case(
            name,
            "something else than the log and the blobs give",
            |run| {
                relog(run, &key, bend);
            },
        );
    }
    forge.remade(
        "a report with steps left",
        "has steps left",
        |_, _, report| {
            report.progress.done -= 1;
        },
    );
    forge.remade(
        "a report of negative seconds",
        "negative seconds",
        |_, _, report| {
            report.seconds = -1.0;
        },
    );
}

/// Changes the report and the log's record of it.
fn relog(run: &Path, key: &SigningKey, change: fn(&mut Report)) {
    let dir = RunDir::new(run);
    let bytes = fs::read(dir.report()).unwrap();
    let old = Digest::of(&bytes);
    let mut report = Report::from_bytes(&bytes).unwrap();
    change(&mut report);
    let blobs = Blobs::open(dir.blobs()).unwrap();
    let bytes = report.to_bytes().unwrap();
    let new = blobs.put(&bytes).unwrap();
    blobs.retain(|digest| *digest != old).unwrap();
    fs::write(dir.report(), bytes).unwrap();
    let reader = LogReader::open(dir.log(), &key.public()).unwrap();
    let origin = reader.checkpoint().origin.clone();
    let entries = reader.entries().unwrap();
    fs::remove_dir_all(dir.log()).unwrap();
    let mut log = Log::create(dir.log(), &origin, key.clone()).unwrap();
    for bytes in entries {
        let mut record = Record::from_bytes(&bytes).unwrap();
        if let Record::Report { digest } = &mut record {
            *digest = new;
        }
        log.append(&record.to_bytes().unwrap()).unwrap();
    }
    log.publish().unwrap();
}
