//! The report as an index with parts, beside the whole.

use fedseal_client_sdk::digest::Digest;
use fedseal_record::report::{Rate, Report};
use serde_json::{Value, json};

use super::described::{described, problem};
use super::place::{TestServer, make_run};
use super::represent::{ask, value};

/// A run that nobody works on, whose report has every field: arm `x` has five rounds of two clients, each verdict
/// with this fact.
fn place(server: &TestServer, name: &str, fact: &str) {
    let dir = server.runs.path().join(name);
    std::fs::create_dir(&dir).unwrap();
    make_run(&dir, "running");
    let some = Digest::of(b"some");
    let client = |name: &str, kind: &str, weight: f64| {
        json!({
            "client": name, "kind": kind, "module": some, "module_name": "plain", "weight": weight,
            "verdict": {"effect": "accept", "check": "all", "fact": fact},
            "update": Digest::of(name.as_bytes()), "examples": 8,
        })
    };
    let round = |number: u32| {
        json!({
            "round": number, "global": some, "learning_rate": 0.1,
            "safety": number.is_multiple_of(2).then(|| Rate::new(9, 10)), "helpfulness": null,
            "clients": [client("a", "benign", 1.0), client(&format!("b{}", number % 2), "flip", 0.0)],
        })
    };
    let arm = |id: &str, kind: &str, rounds: Vec<Value>| {
        json!({
            "id": id, "title": id, "kind": kind, "rule": "krum", "safety": Rate::new(1, 2), "helpfulness": null,
            "final_adapter": null, "rounds": rounds,
        })
    };
    let report = json!({
        "run": name, "title": "Whole", "state": "running", "started": "2026-01-02T03:04:05Z", "seconds": 1.5,
        "peak_mb": 1.0, "progress": {"done": 1, "total": 2, "label": "x"}, "experiment": {"title": "Whole"},
        "seed": u64::MAX, "base": {"digest": some, "name": "embedded"}, "engine": "test", "node": "00",
        "log": {"size": 1, "root": some, "checkpoint": ""}, "verdicts": [], "defence": [],
        "side_by_side": [{"prompt": "p", "kind": "harmful", "answers": {}}],
        "arms": [arm("base", "base", vec![]), arm("x", "federated", (0..5).map(round).collect())],
    });
    let typed: Report = serde_json::from_value(report).unwrap();
    std::fs::write(dir.join("report.json"), typed.to_bytes().unwrap()).unwrap();
}

#[tokio::test]
async fn an_index_and_its_parts_are_the_report() {
    let server = TestServer::start().await;
    place(&server, "whole", "a fact");
    let (_, document) = server.get("/api/openapi.json").await;
    let is_described = |template: &str, answer: &Value| {
        let schema = described(&document, template, "get", 200);
        assert_eq!(problem(&document, schema, answer, template), None);
    };
    let (_, mut whole) = server.get("/api/runs/whole").await;
    let mut path = "/api/runs/whole/arms/x/rounds?count=2".to_owned();
    let mut rounds = Vec::new();
    let mut places = Vec::new();
    loop {
        let (status, head, body) = ask(&server, &path, "").await;
        let part: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &part["of"]), (200, &json!(5)), "{part}");
        assert_eq!(part["evidence"]["state"], "unchecked", "nobody works on it");
        is_described("/api/runs/{run}/arms/{arm}/rounds", &part);
        places.push(part["from"].clone());
        rounds.extend(part["rounds"].as_array().unwrap().clone());
        let Some(link) = value(&head, "link") else {
            break;
        };
        path = link[1..link.find('>').unwrap()].to_owned();
    }
    assert_eq!(places, [0, 2, 4].map(Value::from));
    assert_eq!(whole["arms"][1]["rounds"], Value::from(rounds));

    let (_, index) = server.get("/api/runs/whole/index").await;
    is_described("/api/runs/{run}/index", &index);
    whole.as_object_mut().unwrap().remove("side_by_side");
    whole["arms"][0]["weightless"] = json!({});
    whole["arms"][1]["weightless"] = json!({"flip": 5});
    for round in whole["arms"][1]["rounds"].as_array_mut().unwrap() {
        let fields = round.as_object_mut().unwrap();
        fields.retain(|name, _| ["round", "safety", "helpfulness"].contains(&name.as_str()));
    }
    assert_eq!(index, whole);

    let (_, grid) = server.get("/api/runs/whole/arms/x/grid").await;
    is_described("/api/runs/{run}/arms/{arm}/grid", &grid);
    assert_eq!(
        grid["grid"]["outcomes"],
        json!(["al", "a.l", "al", "a.l", "al"])
    );
    for path in ["grid", "rounds"] {
        let (status, _) = server
            .get(&format!("/api/runs/whole/arms/none/{path}"))
            .await;
        assert_eq!(status, 404, "{path}");
    }
    let (_, none) = server.get("/api/runs/whole/arms/x/rounds?from=9").await;
    assert_eq!((&none["from"], &none["rounds"]), (&json!(5), &json!([])));
}

#[tokio::test]
async fn a_part_is_bounded_in_bytes_and_has_one_round_at_least() {
    let server = TestServer::start().await;
    // Two clients a round, so 1.6 MB each.
    place(&server, "large", &"x".repeat(800_000));
    let (_, head, body) = ask(&server, "/api/runs/large/arms/x/rounds", "").await;
    let part: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(part["rounds"].as_array().unwrap().len(), 2);
    let link = value(&head, "link").unwrap();
    assert!(link.contains("/arms/x/rounds?from=2&count=500"), "{link}");
    place(&server, "larger", &"x".repeat(2_200_000));
    let (status, part) = server.get("/api/runs/larger/arms/x/rounds?from=4").await;
    let rounds = part["rounds"].as_array().map(Vec::len);
    assert_eq!((status, rounds), (200, Some(1)), "{part}");
}
