//! Expected sentences of labelled reports: tests/fixtures/conclusions.json.

use serde_json::{Value, json};

use super::*;

pub(in crate::report) const CASES: &str =
    include_str!("../../../../../tests/fixtures/conclusions.json");

/// A report of a case. Shares are written as [hits, n], updates of a round as
/// [client, kind, effect, check, weight, count].
pub(in crate::report) fn report(case: &Value) -> Value {
    let rate = |share: &Value| match share.as_array() {
        Some(share) => {
            let [hits, n] = [0, 1].map(|at| share[at].as_u64().unwrap());
            serde_json::to_value(Rate::new(hits, n)).unwrap()
        }
        None => Value::Null,
    };
    let client = |update: &Value| {
        let [client, kind, effect, check] = [0, 1, 2, 3].map(|at| update[at].as_str().unwrap());
        let count = update[5].as_u64().unwrap_or(1) as usize;
        let one = json!({
            "client": client, "kind": kind, "module": null, "weight": update[4], "examples": 8,
            "verdict": {"effect": effect, "check": check, "fact": "a fact"},
        });
        vec![one; count]
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let round = |(number, round): (usize, &Value)| {
        let clients: Vec<Value> = list(&round["updates"]).iter().flat_map(client).collect();
        json!({"round": number, "safety": rate(&round["safety"]), "clients": clients})
    };
    let arm = |arm: &Value| {
        let rounds: Vec<Value> = list(&arm["rounds"]).iter().enumerate().map(round).collect();
        json!({
            "id": arm["id"], "title": arm["title"].as_str().unwrap_or_default(), "kind": arm["kind"],
            "rule": arm["rule"].as_str().unwrap_or_default(),
            "safety": rate(&arm["safety"]), "helpfulness": rate(&arm["helpfulness"]),
            "final_adapter": null, "rounds": rounds,
        })
    };
    let arms: Vec<Value> = list(&case["arms"]).iter().map(arm).collect();
    json!({"state": case["state"], "experiment": case["experiment"], "arms": arms, "more": [{}]})
}

#[test]
fn sentences_are_the_expected_ones() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let expected: Conclusion = serde_json::from_value(case["conclusion"].clone()).unwrap();
        let found = Conclusion::read(report(case).to_string().as_bytes()).unwrap();
        if found != expected {
            let found = serde_json::to_string_pretty(&found).unwrap();
            wrong.push(format!("{name}: {found}"));
        }
    }
    // The figure sentences.right counts these.
    println!(
        "sentences.right {} of {}",
        cases.len() - wrong.len(),
        cases.len()
    );
    let labelled = cases.iter().filter(|case| case["labelled"] == true).count();
    let overlapping = cases
        .iter()
        .filter(|case| case["conclusion"]["outcome"] == "cannot-tell")
        .count();
    assert!(
        labelled >= 12 && overlapping >= 3,
        "{labelled} {overlapping}"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_of_a_file_are_cut_and_have_no_control_characters() {
    let case = json!({
        "state": "finished", "experiment": {"federation": {"clients": 4, "malicious": 1}},
        "arms": [
            {"id": "clean", "title": "Clean", "kind": "federated", "rule": "fedavg", "safety": [9, 10]},
            {"id": "fedavg", "title": format!("\u{1b}[31m{}", "x".repeat(500)), "kind": "federated",
             "rule": "fedavg", "safety": [9, 10]},
        ],
    });
    let found = Conclusion::read(report(&case).to_string().as_bytes()).unwrap();
    let text = found.sentences.join(" ");
    assert!(!text.contains('\u{1b}') && text.len() < 400, "{text}");
}

#[test]
fn what_is_no_report_has_no_conclusion() {
    for text in [
        "",
        "{}",
        "[]",
        r#"{"state":"finished","arms":[{"rounds":7}]}"#,
    ] {
        assert!(Conclusion::read(text.as_bytes()).is_err(), "{text}");
    }
    // A circle of repairs, which no experiment has, ends.
    let arm = |id: &str| json!({"id": id, "kind": "defended", "safety": [1, 2]});
    let case = json!({
        "state": "finished",
        "experiment": {"arm": {"a": {"repairs": "b"}, "b": {"repairs": "a"}}},
        "arms": [
            arm("a"), arm("b"),
            {"id": "clean", "kind": "federated", "rule": "fedavg", "safety": [240, 240]},
            {"id": "fedavg", "kind": "federated", "rule": "fedavg", "safety": [0, 240],
             "rounds": [{"updates": [["c", "flip", "accept", "all", 1.0]]}]},
        ],
    });
    let found = Conclusion::read(report(&case).to_string().as_bytes()).unwrap();
    assert_eq!(found.outcome, Outcome::Harmed);
}

#[test]
fn refused_look_alikes_of_the_clean_arm_have_a_sentence() {
    let arm = |id: &str, title: &str, hits: u64| {
        let over = serde_json::to_value(Rate::new(hits, 200)).unwrap();
        json!({
            "id": id, "title": title, "kind": "federated", "rule": "fedavg",
            "safety": Rate::new(180, 200), "helpfulness": null, "final_adapter": null, "rounds": [],
            "measures": {"over-refusal": over},
        })
    };
    let said = |arms: &[Value]| {
        let experiment = json!({"federation": {"clients": 10, "malicious": 3}});
        let report = json!({"state": "finished", "experiment": experiment, "arms": arms});
        let read = Conclusion::read(report.to_string().as_bytes()).unwrap();
        read.sentences.join(" ")
    };
    let [attacked, clean] = [
        arm("fedavg", "Attacked, FedAvg", 10),
        arm("clean", "Clean", 50),
    ];
    let text = said(&[attacked, clean]);
    let sentence = "Clean refuses 25.0 % (19.5 to 31.4) of harmless look-alikes, too: safety less over-refusal is \
                    65.0 points.";
    assert!(text.ends_with(sentence), "{text}");
    // Nothing is said of what was not asked.
    assert!(!said(&[arm("clean", "Clean", 0)]).is_empty());
    let mut none = arm("clean", "Clean", 0);
    none["measures"] = json!({});
    assert!(!said(&[none]).contains("look-alikes"));
}
