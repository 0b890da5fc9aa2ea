//! A run is shown as its log has it, or marked as differing from its log. Nothing is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fedseal_client_sdk::digest::Digest;
use fedseal_ledger::{Blobs, LogReader};
use fedseal_record::rundir::RunDir;
use serde_json::{Value, json};

use super::super::checked::Checked;
use super::super::evidence::{Evidence, Look, MAX_LOG};
use super::place::{TestServer, author, make_run, node, report, signed};

/// Every file and folder below a folder, with its bytes' digest.
fn tree(root: &Path) -> BTreeMap<PathBuf, Option<Digest>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
            found.insert(path, None);
        } else {
            let digest = Digest::of(&fs::read(&path).unwrap());
            found.insert(path, Some(digest));
        }
    }
    found
}

/// The first file below a folder whose name ends so.
fn file_below(root: &Path, end: &str) -> PathBuf {
    let mut files = tree(root).into_keys();
    files
        .find(|path| path.to_string_lossy().ends_with(end))
        .unwrap()
}

impl TestServer {
    fn demo(&self) -> PathBuf {
        self.runs.path().join("demo")
    }

    /// Evidence about `demo` in the list and in the report.
    async fn evidence(&self) -> (Value, Value) {
        let (status, list) = self.get("/api/runs").await;
        assert_eq!(status, 200, "{list}");
        let (status, report) = self.get("/api/runs/demo").await;
        let own = match status {
            200 => report["served"]["evidence"].clone(),
            _ => report,
        };
        (list[0]["evidence"].clone(), own)
    }

    /// A request that must be refused for a changed item of this name, without a path of the server.
    async fn changed(&self, path: &str, item: &str) {
        let (status, refusal) = self.get(path).await;
        assert_eq!(status, 409, "{path}: {refusal}");
        let error = refusal["error"].as_str().unwrap();
        assert!(error.contains("changed since it was logged"), "{refusal}");
        assert!(
            refusal["what"].as_str().unwrap().contains(item),
            "{item}: {refusal}"
        );
        let folder = self.runs.path().to_string_lossy().into_owned();
        assert!(!refusal.to_string().contains(&folder), "{refusal}");
    }
}

#[tokio::test]
async fn a_finished_run_is_verified_and_its_head_is_the_logs() {
    let server = TestServer::start().await;
    let log = LogReader::open(server.demo().join("log"), &node().public()).unwrap();
    let head = log.checkpoint();
    let (list, own) = server.evidence().await;
    assert_eq!(list["state"], "verified", "{list}");
    assert_eq!(list, own);
    assert_eq!(own["log"]["size"], head.size);
    assert_eq!(own["log"]["root"], head.root.to_string());
    assert_eq!(own["log"]["origin"], head.origin);
    assert_eq!(own["log"]["checkpoint"], log.note());
}

#[tokio::test]
async fn a_falsified_report_is_said_to_be_one() {
    let server = TestServer::start().await;
    let path = server.demo().join("report.json");
    let good = fs::read_to_string(&path).unwrap();
    assert_eq!(server.evidence().await.0["state"], "verified");

    // As long as the true one, so that only its bytes tell.
    fs::write(&path, good.replace("\"rate\":0.5", "\"rate\":1.0")).unwrap();
    let (list, own) = server.evidence().await;
    assert_eq!(
        (&list["state"], &list["first"]),
        (&json!("changed"), &json!("report.json"))
    );
    assert!(
        list["problem"]
            .as_str()
            .unwrap()
            .contains(&Digest::of(good.as_bytes()).to_string())
    );
    assert_eq!(list, own);
    let (_, listed) = server.get("/api/runs").await;
    assert_eq!(
        listed[0]["safety"],
        json!({}),
        "no figure of a changed file is listed"
    );
    assert_eq!(listed[0]["conclusion"], Value::Null);
    assert_eq!(listed[0]["updates"], 0);

    fs::remove_file(&path).unwrap();
    assert_eq!(server.evidence().await.0["first"], "report.json");
    server
        .changed("/api/runs/demo", "report.json: is missing")
        .await;

    fs::write(&path, &good).unwrap();
    assert_eq!(server.evidence().await.1["state"], "verified");
}

#[tokio::test]
async fn a_changed_plan_or_experiment_is_named() {
    let server = TestServer::start().await;
    let update = format!("/api/runs/demo/updates/{}", server.update);
    for (name, old, new) in [
        ("run.json", "client-03", "client-04"),
        ("experiment.toml", "demo", "deme"),
    ] {
        let path = server.demo().join(name);
        let good = fs::read_to_string(&path).unwrap();
        assert!(good.contains(old), "{name}");
        fs::write(&path, good.replace(old, new)).unwrap();
        let (list, own) = server.evidence().await;
        assert_eq!(
            (&list["state"], &list["first"]),
            (&json!("changed"), &json!(name))
        );
        assert_eq!(list, own);
        // Whose key the log is, and what a client is, come from there.
        server.changed(&update, name).await;
        fs::write(&path, &good).unwrap();
        assert_eq!(server.get(&update).await.0, 200);
    }
}

#[tokio::test]
async fn damage_is_named_where_it_is_met() {
    let server = TestServer::start().await;
    let update = format!("/api/runs/demo/updates/{}", server.update);
    let (status, view) = server.get(&update).await;
    assert_eq!(status, 200, "{view}");
    let blobs = Blobs::open(server.demo().join("blobs")).unwrap();
    let transcript = &view["statement"]["predicate"]["transcript"]["blob"];
    let transcript: Digest = transcript.as_str().unwrap().parse().unwrap();
    let plan: Value =
        serde_json::from_slice(&fs::read(server.demo().join("run.json")).unwrap()).unwrap();
    let module = plan["modules"][0]["envelope"].as_str().unwrap();
    let module: Digest = module.parse().unwrap();
    let damaged = |path: &Path| {
        let good = fs::read(path).unwrap();
        let mut bad = good.clone();
        bad[40] ^= 1;
        fs::write(path, bad).unwrap();
        good
    };
    for (digest, requests) in [
        (transcript, vec![update.clone()]),
        (
            server.update,
            vec![
                update.clone(),
                format!("{update}/envelope"),
                format!("{update}/bundle"),
            ],
        ),
        (module, vec![format!("{update}/bundle")]),
    ] {
        let path = blobs.path(&digest);
        let good = damaged(&path);
        for request in &requests {
            server.changed(request, &digest.to_string()).await;
        }
        fs::remove_file(&path).unwrap();
        for request in &requests {
            server
                .changed(request, &format!("blob {digest}: is missing"))
                .await;
        }
        fs::write(&path, good).unwrap();
    }
    assert_eq!(server.get(&update).await.0, 200);

    for end in ["tile/entries/000.p/11", "tile/0/000.p/11"] {
        let path = file_below(&server.demo().join("log"), end);
        let good = damaged(&path);
        let (list, own) = server.evidence().await;
        assert_eq!(list["state"], "changed", "{list}");
        assert_eq!(list["first"], format!("log/{end}"));
        assert_eq!(list, own);
        server
            .changed(&format!("/api/runs/demo/log/{end}"), end)
            .await;
        fs::write(&path, good).unwrap();
    }
    // An index that was made before would not see it.
    let fresh = TestServer::start().await;
    let update = format!("/api/runs/demo/updates/{}", fresh.update);
    let path = file_below(&fresh.demo().join("log"), "tile/entries/000.p/11");
    damaged(&path);
    fresh.changed(&update, "log/tile/entries/000.p/11").await;
    fs::write(fresh.demo().join("log/checkpoint"), "no note").unwrap();
    fresh.changed(&update, "log/checkpoint").await;
}

#[tokio::test]
async fn a_large_log_is_checked_while_its_report_is_read() {
    let server = TestServer::start().await;
    let long_ago = SystemTime::now() - Duration::from_secs(60);
    let age = |path: &Path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    };
    for (path, digest) in tree(&server.demo()) {
        if digest.is_some() {
            age(&path);
        }
    }
    // No file of the log, which makes the log a large one.
    let leftover = server.demo().join("log/leftover");
    let file = fs::File::create(&leftover).unwrap();
    file.set_len(MAX_LOG + 1).unwrap();
    age(&leftover);
    let dir = RunDir::new(server.demo());
    let checked = Checked::read(&dir, &Look::at(&dir, None));
    assert!(checked.waits());
    let evidence = checked.evidence(false);
    assert!(
        matches!(&evidence, Evidence::Checking { log } if log.size == 11),
        "{evidence:?}"
    );
    checked.stand(&dir);
    let evidence = checked.evidence(false);
    assert!(
        matches!(&evidence, Evidence::Changed { first, .. } if first == "log/leftover"),
        "{evidence:?}"
    );
    // The server does so by itself.
    let mut list = server.evidence().await.0;
    for _ in 0..500 {
        if list["state"] != "checking" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        list = server.evidence().await.0;
    }
    assert_eq!(
        (&list["state"], &list["first"]),
        (&json!("changed"), &json!("log/leftover"))
    );
    // Its records are not in memory, but its entries and proofs are there.
    let base = "/api/runs/demo";
    let (status, part) = server.get(&format!("{base}/entries?count=2")).await;
    assert_eq!((status, part["found"].as_u64()), (200, Some(11)), "{part}");
    assert_eq!(server.get(&format!("{base}/entries/3")).await.0, 200);
    assert_eq!(server.get(&format!("{base}/growth?old=3")).await.0, 200);
    assert_eq!(
        server.get(&format!("{base}/entries?search=update")).await.0,
        400
    );
    fs::remove_file(&leftover).unwrap();
    assert_eq!(server.evidence().await.0["state"], "verified");
}

#[tokio::test]
async fn a_run_that_is_not_over_is_shown_as_a_draft() {
    let server = TestServer::start().await;
    fs::remove_dir_all(server.demo()).unwrap();
    fs::create_dir(server.demo()).unwrap();
    let update = make_run(&server.demo(), "running");
    let (list, own) = server.evidence().await;
    assert_eq!(list["state"], "unchecked", "nobody works on it: {list}");
    assert_eq!(list, own);
    let (_, report_then) = server.get("/api/runs/demo").await;
    assert_eq!(report_then["served"]["state"], "interrupted");

    fs::write(server.demo().join("events.jsonl"), "{}\n").unwrap();
    let (list, _) = server.evidence().await;
    assert_eq!(
        (&list["state"], &list["log"]["size"]),
        (&json!("live"), &json!(8))
    );
    let (_, listed) = server.get("/api/runs").await;
    assert_eq!(listed[0]["state"], "running");

    let finished = report("finished", &update).to_string();
    fs::write(server.demo().join("report.json"), finished).unwrap();
    let (list, _) = server.evidence().await;
    assert_eq!(
        (&list["state"], &list["first"]),
        (&json!("changed"), &json!("report.json"))
    );
    assert!(
        list["problem"].as_str().unwrap().contains("not closed"),
        "{list}"
    );
}

#[tokio::test]
async fn reports_that_are_none_harm_nobody_else() {
    let server = TestServer::start().await;
    let deep = format!("{{\"experiment\":{}", "[".repeat(100_000));
    for (name, bytes) in [
        ("deep", deep.as_str()),
        ("text", "no JSON"),
        ("list", "[]"),
        ("empty", ""),
    ] {
        let folder = server.runs.path().join(name);
        fs::create_dir(&folder).unwrap();
        make_run(&folder, "running");
        fs::write(folder.join("report.json"), bytes).unwrap();
        assert!(
            server.get(&format!("/api/runs/{name}")).await.0 >= 400,
            "{name}"
        );
    }
    let (status, list) = server.get("/api/runs").await;
    assert_eq!(status, 200);
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 5);
    for run in list {
        let good = run["run"] == "demo";
        assert_eq!(run["error"].is_null(), good, "{run}");
        assert_eq!(run["evidence"]["state"] == "verified", good, "{run}");
    }
}

#[tokio::test]
async fn one_run_is_served_by_itself_and_nothing_is_written_into_it() {
    let server = TestServer::start_single().await;
    let before = tree(server.runs.path());
    let (_, list) = server.get("/api/runs").await;
    assert_eq!((&list[0]["run"], &list[1]), (&json!("demo"), &Value::Null));
    let update = server.update;
    for path in [
        "",
        "/index",
        "/arms/base/grid",
        "/arms/base/rounds",
        "/events",
        "/log/checkpoint",
        "/log/tile/0/000.p/11",
        "/log/tile/entries/000.p/11",
        &format!("/updates/{update}"),
        &format!("/updates/{update}/envelope"),
        &format!("/updates/{update}/bundle"),
    ] {
        let (status, answer) = server.get(&format!("/api/runs/demo{path}")).await;
        assert_eq!(status, 200, "{path}: {answer}");
    }
    for path in ["/api/runs/other", "/api/runs/demo~log", "/api/runs/.."] {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
    assert_eq!(server.get("/api/modules").await.0, 200);
    // Signed well, so that it gets as far as a module can that is none.
    let module = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
    assert_eq!(
        server.submit(&module, signed(&module, &author())).await.0,
        422
    );
    assert_eq!(tree(server.runs.path()), before);
    assert!(
        server
            .home
            .path()
            .join("registry/registry.sqlite")
            .is_file()
    );
}
