//! A log as the server shows it, checked by the client's own code.

use fedseal_client_sdk::checks::answer;

use super::*;

#[tokio::test]
async fn entries_and_growth_of_a_log_can_be_checked() {
    let server = TestServer::start().await;
    let holds = |question: &Value| {
        let answer: Value =
            serde_json::from_slice(&answer(question.to_string().as_bytes())).unwrap();
        let checks = answer["checks"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"));
        checks.iter().all(|check| check["holds"] == true)
    };
    let (status, log) = server.get("/api/runs/demo/entries").await;
    let size = log["size"].as_u64().unwrap();
    assert_eq!((status, log["found"].as_u64()), (200, Some(size)));
    for entry in log["entries"].as_array().unwrap() {
        let path = format!("/api/runs/demo/entries/{}", entry["index"]);
        let (_, mut place) = server.get(&path).await;
        assert_eq!(place["entry"], entry["entry"]);
        assert!(holds(&json!({"entry": place})), "{path}");
        place["index"] = json!((entry["index"].as_u64().unwrap() + 1) % size);
        assert!(!holds(&json!({"entry": place})), "{path}: another place");
    }
    let (_, found) = server.get("/api/runs/demo/entries?search=VERDICT").await;
    assert_eq!(found["found"], 2);
    assert_eq!(
        found["entries"][0]["index"],
        found["entries"][1]["index"].as_u64().unwrap() - 1
    );
    for (from, count, length) in [(size - 1, 5, 1), (size, 5, 0), (1, 2, 2)] {
        let path = format!("/api/runs/demo/entries?from={from}&count={count}");
        let (_, part) = server.get(&path).await;
        assert_eq!(part["entries"].as_array().unwrap().len(), length, "{path}");
    }

    let (status, growth) = server
        .get(&format!("/api/runs/demo/growth?old={size}"))
        .await;
    assert_eq!(status, 200);
    let now = &growth["checkpoint"];
    let of = |old: &Value| json!({"consistency": {"old": old, "new": now, "proof": growth["proof"], "key": growth["key"]}});
    assert!(holds(&of(now)));
    let other = Checkpoint {
        origin: "fedseal.example/demo".into(),
        size,
        root: Digest::of(b"other"),
    };
    assert!(
        !holds(&of(&json!(other.sign(&node()).unwrap()))),
        "another history"
    );
    let (status, refusal) = server.get("/api/runs/demo/growth?old=1000").await;
    assert_eq!((status, &refusal["status"]), (400, &json!(400)));
    assert_eq!(server.get("/api/runs/demo/entries/1000").await.0, 404);
}
