//! Site rules in whole runs: what a data holder denies is not executed or does not leave, what it
//! clips and noises is replayed bit for bit, and the auditor decides all of it again.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::double::{Double, create_from, experiment, options};
use fedseal_client_sdk::attestation::UpdatePredicate;
use fedseal_client_sdk::transcript::Transcript;
use fedseal_federation::replay::{Selector, replay_in};
use fedseal_record::events::Event;
use fedseal_record::opened::OpenRun;
use fedseal_record::report::Report;
use fedseal_record::verify::verify;
use fedseal_rules::arms::ArmConfig;
use fedseal_rules::experiment::Experiment;
use fedseal_rules::site::SiteRules;
use fedseal_tuning::Adapter;

fn with_rules(text: &str) -> Experiment {
    let mut small = experiment();
    small.federation.rounds = 2;
    small.evaluation.every = 0;
    small.arms = ["clean", "fedavg", "provenance"].map(String::from).to_vec();
    let rules: SiteRules = toml::from_str(text).unwrap();
    rules.validate().unwrap();
    small.site = Some(rules);
    small
}

fn run(dir: &Path, rules: &str) -> Report {
    create_from(
        &dir.join("run"),
        &options(dir),
        Double::new(),
        with_rules(rules),
    )
    .unwrap()
    .execute(&mut |_: &Event| ControlFlow::Continue(()))
    .unwrap()
}

/// Kind, check and fact of every verdict of an arm.
fn verdicts(report: &Report, arm: &str) -> Vec<(String, String, String)> {
    let arm = report.arms.iter().find(|a| a.id == arm).unwrap();
    arm.rounds
        .iter()
        .flat_map(|round| &round.clients)
        .map(|client| {
            let verdict = client.verdict.as_ref().unwrap();
            (
                client.kind.clone(),
                verdict.check.clone(),
                verdict.fact.clone(),
            )
        })
        .collect()
}

const BENIGN: &str = r#"
    [[allow]]
    name = "plain"
    signers = ["alice"]
    modules = ["benign"]
    shards = ["*"]
"#;

#[test]
fn a_module_that_is_not_allowed_does_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let report = run(dir.path(), BENIGN);
    let mut denied = 0;
    for (kind, check, fact) in verdicts(&report, "fedavg") {
        match kind.as_str() {
            "malicious-gen" | "unaligned-data" => {
                assert_eq!(check, "execution");
                assert!(
                    fact.starts_with("site: ") && fact.contains("not for module"),
                    "{fact}"
                );
                denied += 1;
            }
            _ => assert_eq!(check, "all", "{fact}"),
        }
    }
    assert!(denied > 0, "no attacker was drawn");
    verify(dir.path().join("run")).unwrap();
}

#[test]
fn an_update_is_audited_under_the_shard_of_the_arm_that_judged_it() {
    let dir = tempfile::tempdir().unwrap();
    let begun = |name: &str, rules: &str| {
        let mut small = with_rules(rules);
        small.federation.malicious = small.federation.clients;
        small.attack.kinds = vec!["poisoned-shard".into()];
        small.arms = ["fedavg", "honestly"].map(String::from).to_vec();
        let honestly = ArmConfig {
            malicious: Some(0),
            ..ArmConfig::default()
        };
        small.arm.insert("honestly".into(), honestly);
        let run = dir.path().join(name);
        create_from(&run, &options(dir.path()), Double::new(), small)
            .unwrap()
            .execute(&mut |_: &Event| ControlFlow::Continue(()))
            .unwrap();
        run
    };
    let plan = OpenRun::read(begun("open", BENIGN)).unwrap().plan;
    let shards: Vec<String> = plan
        .clients
        .iter()
        .map(|client| client.honest.shard.to_string())
        .collect();
    // The same module has both shards; only under the honest ones are its limits others.
    let rules = BENIGN.replace("[\"*\"]", &format!("{shards:?}"));
    let run = begun("closed", &format!("{rules}limits = {{ train_steps = 40 }}"));
    verify(&run).unwrap();
    let attested: Vec<_> = {
        let mut opened = OpenRun::read(&run).unwrap();
        let ids: Vec<String> = opened
            .state
            .updates
            .values()
            .map(|u| u.attestation.to_string())
            .collect();
        ids.iter().map(|id| opened.update(id).unwrap().1).collect()
    };
    let denied = |it: &Arc<UpdatePredicate>| it.update.is_none();
    assert!(attested.iter().any(denied) && !attested.iter().all(denied));
}

#[test]
fn without_a_rule_nothing_runs() {
    let dir = tempfile::tempdir().unwrap();
    let report = run(dir.path(), "");
    for arm in ["clean", "fedavg"] {
        for (_, check, fact) in verdicts(&report, arm) {
            assert_eq!(check, "execution");
            assert!(fact.contains("nothing is allowed"), "{fact}");
        }
    }
    verify(dir.path().join("run")).unwrap();
}

#[test]
fn a_change_that_is_too_large_stays() {
    let dir = tempfile::tempdir().unwrap();
    let report = run(
        dir.path(),
        &format!("{BENIGN}leave = {{ max_norm = 1e-9 }}"),
    );
    for (_, check, fact) in verdicts(&report, "clean") {
        assert_eq!(check, "execution");
        assert!(fact.ends_with("does not let it leave: norm"), "{fact}");
    }
    verify(dir.path().join("run")).unwrap();
}

#[test]
fn clipped_and_noised_updates_replay_and_are_no_foreign_step() {
    let dir = tempfile::tempdir().unwrap();
    let rules = format!("{BENIGN}leave = {{ clip_norm = 1e-3, noise_std = 1e-6 }}");
    let report = run(dir.path(), &rules);
    for (kind, check, fact) in verdicts(&report, "provenance") {
        if kind == "benign" {
            assert_eq!(check, "all", "{fact}");
        }
    }
    let folder = dir.path().join("run");
    verify(&folder).unwrap();
    let replayed = replay_in(
        &folder,
        &Selector::Sample {
            count: 100,
            seed: 0,
        },
        &Double::new(),
    )
    .unwrap();
    assert!(replayed.len() > 3 && replayed.iter().all(|one| one.equal()));

    let mut opened = OpenRun::read(&folder).unwrap();
    let ids: Vec<String> = opened
        .state
        .updates
        .values()
        .filter(|u| u.update.is_some())
        .map(|u| u.attestation.to_string())
        .collect();
    let mut clipped = 0;
    for id in ids {
        let (update, attested) = opened.update(&id).unwrap();
        let blob = opened.blobs.get(&attested.transcript.blob).unwrap();
        let entries = Transcript::from_bytes(&blob).unwrap().entries().unwrap();
        let first = entries.first().unwrap();
        let last = entries.last().unwrap();
        assert_eq!(first.result["allowed-by"], "plain");
        assert_eq!(last.call, "site-leave");
        assert!(last.result["norm"].as_f64().unwrap() > 0.0);
        clipped += usize::from(last.result.get("clipped-to").is_some());
        let read = |digest| Adapter::from_bytes(&opened.blobs.get(&digest).unwrap()).unwrap();
        let change = read(update.update.unwrap())
            .sub(&read(attested.global))
            .unwrap()
            .norm_l2();
        assert!(change < 1.1e-3, "{change}");
    }
    assert!(clipped > 0);
}

#[test]
fn a_rules_limits_hold_in_the_run_and_are_attested_verified_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let tight = BENIGN.to_owned()
        + r#"
        [allow.limits]
        train_steps = 5
        fuel = 18446744073709551
        [[allow]]
        name = "others"
        signers = ["alice"]
        shards = ["*"]
        literal_data = true
        max_generated_tokens = 1000
    "#;
    run(dir.path(), &tight);
    let run = dir.path().join("run");
    verify(&run).unwrap();
    let all = Selector::Sample { count: 99, seed: 1 };
    let replays = replay_in(&run, &all, &Double::new()).unwrap();
    assert!(
        replays.iter().all(|replayed| replayed.equal()),
        "{replays:?}"
    );
    let mut opened = OpenRun::read(&run).unwrap();
    let own = with_rules(&tight).limits;
    let benign = opened
        .plan
        .modules
        .iter()
        .find(|m| m.name == "benign")
        .unwrap()
        .digest;
    let ids: Vec<_> = opened.state.attestations.keys().copied().collect();
    let mut tightened = 0;
    for id in ids {
        let (_, attested) = opened.update(&id.to_string()).unwrap();
        let blob = opened.blobs.get(&attested.transcript.blob).unwrap();
        let entries = Transcript::from_bytes(&blob).unwrap().entries().unwrap();
        let answer = &entries[0].result;
        if attested.module == benign {
            let expected = fedseal_sandbox::Limits {
                train_steps: 5,
                ..own
            };
            assert_eq!(attested.limits, expected);
            assert_eq!(answer["limits"], serde_json::json!({"train_steps": 5}));
            tightened += 1;
            // The auditor holds them against the rule.
            let rules = with_rules(&tight).site.unwrap();
            let shard = attested.data[0].digest;
            let audited = |limits| {
                let other = UpdatePredicate {
                    limits,
                    ..(*attested).clone()
                };
                fedseal_record::site::audit(&rules, &opened.plan, &own, &other, shard)
            };
            audited(attested.limits).unwrap();
            let problem = audited(own).unwrap_err();
            assert!(problem.contains("other limits"), "{problem}");
        } else {
            assert_eq!(attested.limits, own);
            assert!(answer.get("limits").is_none());
        }
    }
    assert!(tightened > 0);
}
