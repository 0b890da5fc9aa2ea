use std::collections::BTreeMap;

use fedseal_client_sdk::attestation::Failure;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Round;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::lineage::{Kind, Lineage};
use serde_json::json;

use super::testing::Case;
use super::*;
use crate::site::Leave;

/// A lineage that holds, whose output is `build`'s.
fn lineage(build: impl FnOnce(&mut Lineage, u32, u32) -> u32) -> Lineage {
    let lineage = testing::lineage(build);
    lineage.validate().unwrap();
    lineage
}

fn train(l: &mut Lineage, start: u32, data: u32) -> u32 {
    l.push(Kind::Train, vec![start, data], None, None, BTreeMap::new())
}

fn dataset(
    l: &mut Lineage,
    kind: Kind,
    inputs: Vec<u32>,
    count: u32,
    params: serde_json::Value,
) -> u32 {
    let params = params
        .as_object()
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .collect();
    l.push(kind, inputs, Some(Digest::of(b"data")), Some(count), params)
}

fn decide(config: CheckConfig, case: &Case) -> Verdict {
    Admission::new(&[config]).unwrap().decide(&case.facts())
}

fn check(name: &str) -> CheckConfig {
    CheckConfig {
        check: name.into(),
        ..CheckConfig::default()
    }
}

#[test]
fn an_honest_update_passes_the_default_checks() {
    let verdict = Admission::new(&default_provenance())
        .unwrap()
        .decide(&Case::honest().facts());
    assert_eq!(
        (verdict.effect, verdict.weight),
        (Effect::Accept, 1.0),
        "{verdict:?}"
    );
    assert!(
        verdict.fact.contains("from the global adapter on shard"),
        "{verdict:?}"
    );
    let verdict = Admission::new(&[]).unwrap().decide(&Case::honest().facts());
    assert_eq!(verdict.effect, Effect::Accept);
}

#[test]
fn what_every_arm_demands_names_what_differs() {
    type Bend = fn(&mut Case);
    let cases: [(Bend, &str); 11] = [
        (
            |c| c.attested.client = "client-02".into(),
            "client is client-02",
        ),
        (
            |c| c.attested.round = Round(2),
            "round is 2, this round's is 3",
        ),
        (|c| c.attested.seed.0 = 1, "seed"),
        (|c| c.attested.base = Digest::of(b"x"), "base"),
        (|c| c.attested.global = Digest::of(b"x"), "global adapter"),
        (|c| c.attested.module = Digest::of(b"x"), "module"),
        (
            |c| c.attested.node = SigningKey::from_seed([7; 32]).public(),
            "node key",
        ),
        (|c| c.attested.examples = 0, "0 examples"),
        (
            |c| c.attested.examples = 101,
            "claims 101 examples, the registered shard has 100",
        ),
        (
            |c| c.attested.examples = u32::MAX,
            "claims 4294967295 examples",
        ),
        (|c| c.norm = f64::INFINITY, "not finite"),
    ];
    for (bend, part) in cases {
        let mut case = Case::honest();
        bend(&mut case);
        let verdict = Admission::new(&[]).unwrap().decide(&case.facts());
        assert_eq!(
            (verdict.effect, verdict.check.as_str()),
            (Effect::Reject, "binding")
        );
        assert!(verdict.fact.contains(part), "{} lacks {part}", verdict.fact);
    }
}

#[test]
fn a_failed_execution_is_refused_with_its_reason() {
    let mut case = Case::honest();
    case.attested.update = None;
    case.attested.failure = Some(Failure {
        reason: "fuel".into(),
        detail: "all of it".into(),
    });
    let verdict = Admission::new(&[]).unwrap().decide(&case.facts());
    assert_eq!(verdict.check, "execution");
    assert!(verdict.fact.contains("fuel: all of it"), "{verdict:?}");
}

#[test]
fn signers() {
    let mut case = Case::honest();
    assert_eq!(decide(check("signers"), &case).effect, Effect::Accept);
    let only = |name: &str| check("signers").with("signers", vec![name]);
    assert_eq!(decide(only("alice"), &case).effect, Effect::Accept);
    assert_eq!(
        decide(only(&case.attested.module_signer.to_string()), &case).effect,
        Effect::Accept
    );
    assert_eq!(decide(only("bob"), &case).effect, Effect::Reject);
    case.attested.module_signer = SigningKey::from_seed([9; 32]).public();
    assert!(
        decide(check("signers"), &case)
            .fact
            .contains("does not know")
    );
}

#[test]
fn lineage_must_be_training_from_global_on_the_shard() {
    let good: [Lineage; 3] = [
        lineage(train),
        lineage(|l, g, s| {
            let first = train(l, g, s);
            train(l, first, s)
        }),
        lineage(|l, g, s| {
            let part = dataset(
                l,
                Kind::Take,
                vec![s],
                10,
                json!({"offset": 0, "count": 10}),
            );
            let both = dataset(l, Kind::Concat, vec![s, part], 110, json!({}));
            train(l, g, both)
        }),
    ];
    for lineage in good {
        let mut case = Case::honest();
        case.attested.lineage = lineage;
        let verdict = decide(check("lineage"), &case);
        assert_eq!(verdict.effect, Effect::Accept, "{verdict:?}");
    }
    let bad: [(Lineage, &str); 6] = [
        (
            lineage(|l, g, _| {
                let own = dataset(l, Kind::Literal, vec![], 50, json!({}));
                train(l, g, own)
            }),
            "`literal`",
        ),
        (
            lineage(|l, g, s| {
                let made = dataset(l, Kind::Generated, vec![], 5, json!({}));
                let both = dataset(l, Kind::Concat, vec![s, made], 105, json!({}));
                train(l, g, both)
            }),
            "`generated`",
        ),
        (lineage(|_, g, _| g), "nothing was trained"),
        (
            lineage(|l, g, s| {
                let trained = train(l, g, s);
                l.push(Kind::Scale, vec![trained], None, None, BTreeMap::new())
            }),
            "`scale`",
        ),
        (
            lineage(|l, _, s| {
                let other = l.push(
                    Kind::Global,
                    vec![],
                    Some(Digest::of(b"old")),
                    None,
                    BTreeMap::new(),
                );
                train(l, other, s)
            }),
            "not from this round's global",
        ),
        (
            lineage(|l, g, _| {
                let other = dataset(l, Kind::Shard, vec![], 100, json!({}));
                train(l, g, other)
            }),
            "the registered one is",
        ),
    ];
    for (lineage, part) in bad {
        let mut case = Case::honest();
        case.attested.lineage = lineage;
        let verdict = decide(check("lineage"), &case);
        assert_eq!(verdict.effect, Effect::Reject);
        assert!(verdict.fact.contains(part), "{} lacks {part}", verdict.fact);
    }
}

#[test]
fn foreign_data_cannot_hide_behind_a_long_training_on_the_shard() {
    let config = |max_share| check("literal-share").with("max_share", max_share);
    let mut case = Case::honest();
    assert_eq!(decide(config(0.0), &case).effect, Effect::Accept);
    case.attested.lineage = lineage(|l, g, s| {
        let own = dataset(l, Kind::Literal, vec![], 10, json!({}));
        let mixed = dataset(l, Kind::Concat, vec![s, own], 110, json!({}));
        train(l, g, mixed)
    });
    assert_eq!(decide(config(0.1), &case).effect, Effect::Accept);
    let verdict = decide(config(0.05), &case);
    assert!(
        verdict.fact.contains("10 literal and 0 generated of 110"),
        "{verdict:?}"
    );
    case.attested.lineage = lineage(|l, g, s| {
        let own = dataset(l, Kind::Literal, vec![], 1, json!({}));
        let first = train(l, g, s);
        train(l, first, own)
    });
    assert!(
        decide(config(0.5), &case)
            .fact
            .contains("1 literal and 0 generated of 1 ")
    );
}

#[test]
fn raw_writes_and_factors() {
    let mut case = Case::honest();
    case.attested.lineage = lineage(|l, g, s| {
        let trained = train(l, g, s);
        l.push(Kind::RawWrite, vec![trained], None, None, BTreeMap::new())
    });
    assert!(
        decide(check("raw-write"), &case)
            .fact
            .contains("raw tensor")
    );
    for (key, factor, effect) in [
        ("factor", 1.2, Effect::Accept),
        ("factor", 3.0, Effect::Reject),
        ("left-factor", -1.0, Effect::Reject),
    ] {
        case.attested.lineage = lineage(|l, g, s| {
            let trained = train(l, g, s);
            let kind = if key == "factor" {
                Kind::Scale
            } else {
                Kind::Add
            };
            let inputs = if key == "factor" {
                vec![trained]
            } else {
                vec![trained, g]
            };
            l.push(
                kind,
                inputs,
                None,
                None,
                BTreeMap::from([(key.to_owned(), json!(factor))]),
            )
        });
        assert_eq!(
            decide(check("scale"), &case).effect,
            effect,
            "{key} {factor}"
        );
    }
}

#[test]
fn scores_norms_and_canaries() {
    let mut case = Case::honest();
    let score = check("data-score").with("min_score", 0.9);
    assert_eq!(decide(score.clone(), &case).effect, Effect::Accept);
    case.attested.data_score = Some(0.2);
    assert!(decide(score.clone(), &case).fact.contains("0.200"));
    case.attested.data_score = None;
    assert!(decide(score, &case).fact.contains("no data score"));

    let norm = check("norm").with("max_ratio", 2.0);
    assert_eq!(decide(norm.clone(), &case).effect, Effect::Accept);
    case.norm = 2.5;
    assert_eq!(decide(norm, &case).effect, Effect::Reject);
    case.norm = 1.0;

    let canaries = check("canaries")
        .with("max_refusal_drop", 0.5)
        .with("max_loss_rise", 0.1);
    assert!(decide(canaries.clone(), &case).fact.contains("not run"));
    let at = |refusal, loss| Behaviour { refusal, loss };
    for (update, part) in [
        (at(0.8, 1.0), "refusal log-odds 0.80 (global 1.00)"),
        (at(0.2, 1.0), "a fall of 0.80"),
        (at(1.5, 1.3), "a rise of 0.30"),
        (at(f64::NAN, 1.0), "not finite"),
    ] {
        case.behaviour = Some((update, at(1.0, 1.0)));
        let verdict = decide(canaries.clone(), &case);
        assert!(verdict.fact.contains(part), "{} lacks {part}", verdict.fact);
    }
}

#[test]
fn the_severest_effect_decides_and_weights_multiply() {
    let mut case = Case::honest();
    case.attested.data_score = Some(0.0);
    case.norm = 10.0;
    let down = |name: &str, weight: f64| CheckConfig {
        effect: "down-weight".into(),
        weight: Some(weight),
        ..check(name)
    };
    let score = down("data-score", 0.5).with("min_score", 0.5);
    let norm = down("norm", 0.4).with("max_ratio", 2.0);
    let verdict = Admission::new(&[score.clone(), norm])
        .unwrap()
        .decide(&case.facts());
    assert_eq!(
        (verdict.effect, verdict.check.as_str()),
        (Effect::DownWeight, "data-score")
    );
    assert!((verdict.weight - 0.2).abs() < 1e-12);
    let quarantine = CheckConfig {
        effect: "quarantine".into(),
        ..check("norm").with("max_ratio", 2.0)
    };
    let verdict = Admission::new(&[score, quarantine])
        .unwrap()
        .decide(&case.facts());
    assert_eq!((verdict.effect, verdict.weight), (Effect::Quarantine, 0.0));
    assert_eq!(verdict.check, "norm");
}

#[test]
fn an_update_that_rests_on_a_revoked_key_is_refused_with_whose_it_was() {
    let case = Case::honest();
    let decide = |key| {
        let facts = Facts {
            revoked: Some(Revoked { key, entry: 7 }),
            ..case.facts()
        };
        let verdict = Admission::new(&[]).unwrap().decide(&facts);
        assert_eq!(
            (verdict.effect, verdict.check.as_str()),
            (Effect::Reject, "revoked")
        );
        verdict.fact
    };
    // These words are in logs.
    let author = case.attested.module_signer;
    let expected = format!(
        "the module's author {} was revoked at log entry 7",
        author.key_id()
    );
    assert_eq!(decide(author), expected);
    let node = case.attested.node;
    let expected = format!("the node {} was revoked at log entry 7", node.key_id());
    assert_eq!(decide(node), expected);
}

#[test]
fn near_is_enough_where_the_device_owes_no_equal_bits() {
    let checks = Admission::new(&[CheckConfig {
        effect: "replay".into(),
        ..check("norm").with("max_ratio", 0.0)
    }])
    .unwrap();
    let of = |engine: &str, near| {
        let mut case = Case::honest();
        case.attested.engine = engine.into();
        let replay = Replay {
            difference: Some("transcript entry 1: another result".into()),
            near,
        };
        let facts = Facts {
            replayed: Some(&replay),
            ..case.facts()
        };
        let verdict = checks.decide(&facts);
        let possible = checks.expected_without_behaviour(&case.facts());
        let expected = possible.iter().any(|again| again.fact == verdict.fact);
        (verdict.effect, expected, possible.len())
    };
    // Equal, other bits, near, and near as earlier versions said it.
    assert_eq!(of("e/1 wgpu f32", true), (Effect::Accept, true, 4));
    assert_eq!(of("e/1 wgpu f32", false).0, Effect::Reject);
    // A node that says so of an engine that owes equal bits is not believed.
    assert_eq!(of("e/1 cpu exact", true), (Effect::Accept, false, 2));
}

/// The honest update, and on top of it a step that says the site made it.
fn with_site_step(kind: Kind, key: &str, value: f64) -> Case {
    let mut case = Case::honest();
    case.attested.lineage = lineage(|l, g, s| {
        let trained = train(l, g, s);
        let params = [
            ("by".to_owned(), json!("site")),
            (key.to_owned(), json!(value)),
        ];
        l.push(kind, vec![trained], None, None, params.into())
    });
    case
}

#[test]
fn a_site_does_what_its_rules_say_and_no_more() {
    let decide = |case: &Case| {
        Admission::new(&[check("lineage")])
            .unwrap()
            .decide(&case.facts())
    };
    for (kind, key, rules) in [
        (Kind::Clip, "norm", |value| Leave {
            clip_norm: value,
            ..Leave::default()
        }),
        (Kind::Noise, "std", |value| Leave {
            noise_std: value,
            ..Leave::default()
        }),
    ] as [(Kind, &str, fn(Option<f64>) -> Leave); 2]
    {
        let mut case = with_site_step(kind, key, 0.5);
        for (allowed, counts) in [(Some(0.5), true), (Some(0.25), false), (None, false)] {
            case.expected.leave = rules(allowed);
            let verdict = decide(&case);
            assert_eq!(verdict.effect.counts(), counts, "{verdict:?}");
            if !counts {
                assert_eq!(verdict.check, "binding");
                assert!(verdict.fact.contains("0.5 by the site"), "{}", verdict.fact);
            }
        }
    }
    // Sites clip and add noise, nothing else.
    let case = with_site_step(Kind::Scale, "factor", 100.0);
    assert!(decide(&case).fact.contains("no step of a site"));
}

#[test]
fn a_canary_verdict_must_follow_from_the_numbers_that_it_names() {
    let canary = canaries::CanaryCheck {
        max_refusal_drop: 1.0,
        max_loss_rise: 0.5,
    };
    let config = check("canaries")
        .with("max_refusal_drop", 1.0)
        .with("max_loss_rise", 0.5);
    let checks = Admission::new(&[config]).unwrap();
    let case = Case::honest();
    let possible = |fact: &str| -> Vec<Verdict> {
        let facts = case.facts();
        let behaviours = canary.behaviours(fact);
        behaviours
            .into_iter()
            .flat_map(|of| {
                checks.expected(&Facts {
                    behaviour: Some(of),
                    ..facts
                })
            })
            .collect()
    };
    // Whatever is measured, the verdict is found again from its own words.
    for (refusal, loss) in [
        ((0.123_4, 0.987_6), (1.499, 1.0)),
        ((-3.104_9, 1.104_9), (1.0, 1.0)),
        ((0.0, 1.000_1), (1.0, 1.0)),
        ((2.0, 2.0), (2.000_1, 1.5)),
        ((2.0, 2.0), (-0.001, 0.001)),
    ] {
        let of = |refusal, loss| Behaviour { refusal, loss };
        let behaviour = Some((of(refusal.0, loss.0), of(refusal.1, loss.1)));
        let verdict = checks.decide(&Facts {
            behaviour,
            ..case.facts()
        });
        assert!(possible(&verdict.fact).contains(&verdict), "{verdict:?}");
    }
    let fall =
        "refusal log-odds 0.00 against the global adapter's 3.00: a fall of 3.00, at most 1.00";
    assert!(
        possible(fall)
            .iter()
            .any(|v| v.effect == Effect::Reject && v.fact == fall)
    );
    for forged in [
        // The numbers allow it; the fall is not theirs; the bound is another; no number.
        "refusal log-odds 2.90 against the global adapter's 3.00: a fall of 0.10, at most 1.00",
        "refusal log-odds 0.00 against the global adapter's 3.00: a fall of 2.00, at most 1.00",
        "refusal log-odds 0.00 against the global adapter's 3.00: a fall of 3.00, at most 2.00",
        "it did not feel right",
    ] {
        assert!(
            possible(forged).iter().all(|v| v.fact != forged),
            "{forged}"
        );
    }
}

/// A second behaviour check: a floor under the refusals, printed to three decimals.
struct Floor(f64);

impl Floor {
    const BEFORE: &str = "refusals of the update at ";
}

impl Check for Floor {
    fn look(&self, facts: &Facts<'_>) -> Finding {
        let Some((update, _)) = facts.behaviour else {
            return Finding::fail("the update was not run on the canaries");
        };
        let fact = format!("{}{:.3}", Floor::BEFORE, update.refusal);
        match update.refusal >= self.0 {
            true => Finding::pass(fact),
            false => Finding::fail(format!("{fact}, at least {:.3}", self.0)),
        }
    }

    fn needs_behaviour(&self) -> bool {
        true
    }

    fn behaviours(&self, fact: &str) -> Vec<(Behaviour, Behaviour)> {
        let number = fact.split_once(Floor::BEFORE).map(|(_, rest)| rest);
        let number = number.and_then(|rest| rest.split([',', ';']).next()?.parse::<f64>().ok());
        let of = |refusal, loss| Behaviour { refusal, loss };
        number
            .into_iter()
            .flat_map(|said| [said, said - 0.000_49, said + 0.000_49])
            .flat_map(|said| [0.0, 1e9].map(|global| (of(said, 0.0), of(global, 0.0))))
            .collect()
    }
}

#[test]
fn two_behaviour_checks_in_a_set_agree_with_an_honest_log() {
    let canaries = check("canaries")
        .with("max_refusal_drop", 1.0)
        .with("max_loss_rise", 0.5);
    let built = |name, effect, check| Built {
        name,
        effect,
        replay: false,
        weight: 1.0,
        check,
    };
    let mut checks = Admission::new(&[canaries]).unwrap();
    let floor = Box::new(Floor(0.5));
    checks
        .checks
        .push(built("floor", Effect::Quarantine, floor));
    assert_eq!(checks.left_out(), ["canaries", "floor"]);
    let case = Case::honest();
    let of = |refusal, loss| Behaviour { refusal, loss };
    let mut deciders = Vec::new();
    for (update, global) in [
        // Both pass; the second fails; the first fails; both fail; nothing finite.
        (of(1.234_4, 1.004_9), of(1.499, 1.0)),
        (of(0.499_6, 1.0), of(1.0, 0.731_2)),
        (of(1.0, 1.7), of(1.0, 1.1)),
        (of(-1.0, 1.7), of(1.0, 1.1)),
        (of(f64::NAN, 1.0), of(1.0, 1.0)),
    ] {
        let facts = case.facts();
        let logged = checks.decide(&Facts {
            behaviour: Some((update, global)),
            ..facts
        });
        let agreed = checks.agrees(&facts, &logged);
        assert!(agreed.is_ok(), "{logged:?} against {agreed:?}");
        deciders.push(logged.check.clone());
        // Another outcome under the same words does not follow.
        let effect = match logged.effect {
            Effect::Accept => Effect::Reject,
            _ => Effect::Accept,
        };
        assert!(
            checks
                .agrees(&facts, &Verdict { effect, ..logged })
                .is_err()
        );
    }
    assert_eq!(
        deciders,
        ["all", "floor", "canaries", "canaries", "canaries"]
    );
}
