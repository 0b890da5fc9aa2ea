//! An index beside the report that it is of.

use serde_json::{Value, json};

use super::super::conclusion::tests::{CASES, report};
use super::super::{Conclusion, RoundView};
use super::*;

fn read(report: &str) -> Index {
    Index::read(report.as_bytes()).unwrap()
}

fn problem(report: &str) -> String {
    read(report).content.unwrap_err()
}

fn client(name: &str, kind: &str, effect: &str, check: &str, weight: Value) -> Value {
    let update = Digest::of(format!("{name} {weight}").as_bytes());
    json!({
        "client": name, "kind": kind, "module": Digest::of(b"m"), "module_name": "m", "weight": weight,
        "verdict": {"effect": effect, "check": check, "fact": "a \"fact\" of }]"},
        "update": update, "examples": 8,
    })
}

/// Two rounds, white space between some members, and what an index leaves out.
fn whole() -> (String, Vec<Value>) {
    let share = json!(Rate::new(9, 10));
    let mut waiting = client("d", "benign", "accept", "all", Value::Null);
    waiting["verdict"] = Value::Null;
    let round = |number: u32, safety: &Value, clients: Value| {
        json!({
            "round": number, "global": Digest::of(b"g"), "learning_rate": 0.1, "safety": safety,
            "helpfulness": null, "clients": clients,
        })
    };
    let rounds = vec![
        round(
            0,
            &share,
            json!([
                client("a", "benign", "accept", "all", json!(1.0)),
                client("b", "flip", "reject", "norm", json!(0.0)),
            ]),
        ),
        round(
            1,
            &Value::Null,
            json!([
                client("c", "flip", "accept", "all", json!(0.0)),
                client("b", "flip", "reject", "execution", json!(0.0)),
                waiting,
            ]),
        ),
    ];
    let text = format!(
        r#" {{"state":"running", "arms" : [ {{"id":"x","rounds":[{} , {}],"rule":"krum"}},{{"id":"base","rounds":[]}}],
        "side_by_side":[{{"prompt":"]}}"}}],"seed":18446744073709551615}} "#,
        rounds[0], rounds[1]
    );
    (text, rounds)
}

#[test]
fn an_index_leaves_out_clients_and_says_where_they_are() {
    let (text, rounds) = whole();
    let index = read(&text);
    assert_eq!(index.digest, Digest::of(text.as_bytes()));
    assert_eq!(index.length, text.len() as u64);
    let content = index.content.unwrap();
    assert_eq!((content.start, content.updates), (1, 4));
    let body: Value = serde_json::from_str(&content.body).unwrap();
    let share = &rounds[0]["safety"];
    assert_eq!(
        body,
        json!({
            "state": "running", "seed": u64::MAX,
            "arms": [
                {
                    "id": "x", "rule": "krum", "weightless": {"flip": 1},
                    "rounds": [
                        {"round": 0, "safety": share, "helpfulness": null},
                        {"round": 1, "safety": null, "helpfulness": null},
                    ],
                },
                {"id": "base", "rounds": [], "weightless": {}},
            ],
        })
    );
    let arm = &content.arms[0];
    assert_eq!(arm.id, "x");
    for (place, round) in arm.rounds.iter().zip(&rounds) {
        let range = place.start as usize..place.end as usize;
        let found: RoundView = serde_json::from_str(&text[range]).unwrap();
        assert_eq!(json!(found), *round);
    }
    let grid: Value = serde_json::from_str(arm.grid.get()).unwrap();
    assert_eq!(
        (&grid["rounds"], &grid["outcomes"], &grid["left_out"]),
        (&json!([0, 1]), &json!(["ar", ".flp"]), &json!(false))
    );
    assert_eq!(grid["clients"][2], json!({"client": "c", "kind": "flip"}));
}

#[test]
fn its_conclusion_is_the_report_s() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    for case in &cases {
        let text = report(case).to_string();
        let content = read(&text).content.unwrap();
        let whole = Conclusion::read(text.as_bytes()).unwrap();
        assert_eq!(content.conclusion, Some(whole), "{}", case["name"]);
    }
}

#[test]
fn what_is_no_report_says_why() {
    for (text, why) in [
        ("", "`{` is expected"),
        ("[]", "`{` is expected"),
        ("{}", "no field `arms`"),
        (r#"{"arms":[]"#, "`,` is expected"),
        (r#"{"arms":[]} x"#, "something follows"),
        (r#"{"arms":[],"arms":[]}"#, "twice"),
        (r#"{"a":1,"a":1,"arms":[]}"#, "twice"),
        (r#"{"a":[1,],"arms":[]}"#, "field `a`"),
        (r#"{"se\u0072ved":1,"arms":[]}"#, "the server's"),
        (r#"{"arms":[{"rounds":[]}]}"#, "missing field `id`"),
        (r#"{"arms":[{"id":"a"}]}"#, "no field `rounds`"),
        (
            r#"{"arms":[{"id":"a","rounds":[{"clients":7}]}]}"#,
            "the round at byte 29",
        ),
    ] {
        let found = problem(text);
        assert!(found.contains(why), "{text}: {found}");
    }
    let arm = r#"{"id":"a","rounds":[]}"#;
    let arms = |n: usize| format!(r#"{{"arms":[{}]}}"#, vec![arm; n].join(","));
    assert!(read(&arms(MOST_ARMS)).content.is_ok());
    assert!(problem(&arms(MOST_ARMS + 1)).contains("arms"));
}

#[test]
fn a_grid_without_room_is_left_out_and_rounds_stay() {
    // Every round draws another client: the grid grows with the square of the rounds.
    let round = |n: usize| format!(r#"{{"round":{n},"clients":[{{"client":"c{n}"}}]}}"#);
    let rounds: Vec<String> = (0..4200).map(round).collect();
    let text = format!(
        r#"{{"arms":[{{"id":"a","rounds":[{}]}}]}}"#,
        rounds.join(",")
    );
    let content = read(&text).content.unwrap();
    let grid: Value = serde_json::from_str(content.arms[0].grid.get()).unwrap();
    assert_eq!(
        (&grid["left_out"], &grid["clients"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(content.arms[0].rounds.len(), rounds.len());
}
