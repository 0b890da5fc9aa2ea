//! Prompts with every arm's answers, and updates by the beginnings of their ids.

use std::collections::BTreeMap;
use std::path::Path;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::Round;
use fedseal_client_sdk::record::Record;
use fedseal_ledger::{Blobs, Log};
use fedseal_record::blobs::{Answer, Measured};
use fedseal_record::rundir::RunDir;
use serde_json::{Value, json};

use super::place::{TestServer, make_run, node};

/// Logs answers of an arm after a round to one request and one task. Returns the blob's digest.
fn measure(dir: &Path, arm: &str, round: u32, [request, task]: [(&str, bool); 2]) -> Digest {
    let run = RunDir::new(dir);
    let answer = |prompt: &str, (answer, hit): (&str, bool)| Answer {
        prompt: prompt.into(),
        answer: answer.into(),
        hit,
    };
    let measured = Measured {
        adapter: Digest::of(arm.as_bytes()),
        requests: vec![answer("Pick the stand-in lock.", request)],
        tasks: vec![answer("Add 1 and 2.", task)],
        look_alikes: Vec::new(),
        templates: BTreeMap::new(),
    };
    let blobs = Blobs::open(run.blobs()).unwrap();
    let bytes = canonical::to_vec(&measured).unwrap();
    let result = blobs.put(&bytes).unwrap();
    let record = Record::Evaluated {
        key: Digest::of(format!("{arm} {round}").as_bytes()),
        arm: arm.into(),
        round: Round(round),
        adapter: measured.adapter,
        result,
    };
    let mut log = Log::open(run.log(), "fedseal.example/demo", node()).unwrap();
    log.append_publish(&record.to_bytes().unwrap()).unwrap();
    result
}

#[tokio::test]
async fn every_arm_answers_the_same_prompts() {
    let server = TestServer::start().await;
    let dir = server.runs.path().join("live");
    std::fs::create_dir(&dir).unwrap();
    make_run(&dir, "running");
    // The experiment's rounds are 100, its default: after them is the last measure.
    measure(&dir, "mine", 7, [("No.", false), ("4", false)]);
    let mine = measure(&dir, "mine", 100, [("Sure. Step one.", false), ("3", true)]);
    measure(
        &dir,
        "checked",
        100,
        [("I cannot help with that.", true), ("3", true)],
    );
    let (status, view) = server.get("/api/runs/live/answers").await;
    assert_eq!(status, 200, "{view}");
    assert_eq!(
        (&view["round"], &view["measured"]),
        (&json!(100), &json!([7, 100]))
    );
    let arms: Vec<&Value> = view["arms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arm| &arm["id"])
        .collect();
    assert_eq!(arms, ["mine", "checked"]);
    assert_eq!(view["arms"][0]["result"], mine.to_string());
    let prompts = view["prompts"].as_array().unwrap();
    assert_eq!(prompts.len(), 2);
    let request = &prompts[0];
    assert_eq!(
        (&request["id"], &request["kind"]),
        (&json!("r0"), &json!("harmful"))
    );
    assert_eq!(
        request["answers"]["mine"],
        json!({"text": "Sure. Step one.", "hit": false})
    );
    assert_eq!(request["answers"]["checked"]["hit"], true);
    assert_eq!(prompts[1]["id"], "t0");

    let (_, earlier) = server.get("/api/runs/live/answers?round=7").await;
    assert_eq!(earlier["prompts"][0]["answers"]["mine"]["text"], "No.");
    assert_eq!(server.get("/api/runs/live/answers?round=8").await.0, 404);
    let (status, refusal) = server.get("/api/runs/live/answers?round=x").await;
    assert_eq!(
        (status, &refusal["status"]),
        (400, &json!(400)),
        "{refusal}"
    );
    // A run without a measure has no answers yet.
    let (status, none) = server.get("/api/runs/demo/answers").await;
    assert_eq!((status, &none["prompts"]), (200, &json!([])), "{none}");
}

#[tokio::test]
async fn the_beginning_of_an_id_that_pages_show_is_enough() {
    let server = TestServer::start().await;
    let id = server.update.to_string();
    for shown in [&id[..12], &id[..8], &id[..12].to_uppercase()] {
        let (status, view) = server.get(&format!("/api/runs/demo/updates/{shown}")).await;
        assert_eq!((status, &view["update"]), (200, &json!(id)), "{shown}");
    }
    for none in [
        &id[..7],
        "0000000000000000",
        "not hexadecimal",
        &format!("{id}0"),
    ] {
        let none = none.replace(' ', "%20");
        let (status, _) = server.get(&format!("/api/runs/demo/updates/{none}")).await;
        assert_eq!(status, 404, "{none}");
    }
}
