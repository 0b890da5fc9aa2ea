//! Addresses of runs, and when they are checked again.

use super::super::evidence::MAX_LOG;
use super::*;

#[test]
fn a_run_is_checked_again_when_a_file_of_it_changes() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("demo");
    std::fs::create_dir(&folder).unwrap();
    let plan = folder.join("run.json");
    std::fs::write(&plan, "{}").unwrap();
    let runs = Runs::new(root.path().to_owned());
    let check = || runs.checked("demo", &folder);
    assert!(!Arc::ptr_eq(&check(), &check()), "just written");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let file = std::fs::File::options().write(true).open(&plan).unwrap();
    file.set_modified(old).unwrap();
    let first = check();
    assert!(Arc::ptr_eq(&first, &check()));
    std::fs::create_dir(folder.join("log")).unwrap();
    std::fs::write(folder.join("log/checkpoint"), "x").unwrap();
    assert!(!Arc::ptr_eq(&first, &check()));
    // A log that is too large to be read is no reason to read the report each time.
    let tile = std::fs::File::create(folder.join("log/tile")).unwrap();
    tile.set_len(MAX_LOG + 1).unwrap();
    for name in ["log/tile", "log/checkpoint"] {
        let file = std::fs::File::options().write(true).open(folder.join(name));
        file.unwrap().set_modified(old).unwrap();
    }
    let large = check();
    assert!(Arc::ptr_eq(&large, &check()));
    std::fs::write(folder.join("log/checkpoint"), "y").unwrap();
    assert!(!Arc::ptr_eq(&large, &check()));
}

#[test]
fn a_folder_that_is_a_run_has_one_address() {
    let root = tempfile::tempdir().unwrap();
    for (name, address) in [("demo", "demo"), ("my run (1)", "run")] {
        let folder = root.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("run.json"), "{}").unwrap();
        let runs = Runs::new(folder.clone());
        assert_eq!(runs.names(), [address]);
        assert_eq!(runs.folder(address).unwrap(), folder);
        assert!(runs.folder("other").is_err());
    }
}

#[test]
fn no_address_leads_out() {
    let root = tempfile::tempdir().unwrap();
    let inner = root.path().join("runs");
    std::fs::create_dir_all(inner.join("demo/seed-1")).unwrap();
    std::fs::write(inner.join("demo/seed-1/run.json"), "{}").unwrap();
    std::fs::write(root.path().join("run.json"), "{}").unwrap();
    let runs = Runs::new(inner.clone());
    assert!(runs.folder("demo~seed-1").is_ok());
    for bad in [
        "..",
        ".",
        "",
        "demo",
        "demo/seed-1",
        "../runs",
        "~",
        "demo~..",
        "demo~seed-1~x",
        "a\0b",
        ".hidden",
        "%2e%2e",
        "demo~",
    ] {
        assert!(runs.folder(bad).is_err(), "{bad:?}");
    }
    assert_eq!(runs.names(), ["demo~seed-1"]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(inner.join("demo/seed-1"), inner.join("link")).unwrap();
        std::os::unix::fs::symlink(inner.join("demo"), inner.join("seeds")).unwrap();
        assert!(runs.folder("link").is_err());
        assert!(runs.folder("seeds~seed-1").is_err());
    }
}

#[test]
fn nobody_who_asks_for_the_list_waits_for_a_large_report() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("demo");
    std::fs::create_dir(&folder).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        let file = std::fs::File::options().write(true).open(folder.join(name));
        file.unwrap().set_modified(old).unwrap();
    };
    let report = |more: &str| {
        let filler = "x".repeat(usize::try_from(AT_ONCE).unwrap());
        format!(r#"{{"side_by_side":"{filler}","arms":[]{more}}}"#)
    };
    write("run.json", "{}");
    write("report.json", &report(""));
    let runs = Runs::new(root.path().to_owned());
    // As if another large one were being read.
    let held = lock(&runs.checking[1]);
    let (noted, current) = runs.noted("demo", &folder);
    assert!(noted.is_none() && !current);
    assert_eq!(
        runs.summary("demo".into()).unwrap().error.as_deref(),
        Some(BEING_READ)
    );
    drop(held);
    // Whoever needs it waits, and then it is known.
    let checked = runs.checked("demo", &folder);
    let (noted, current) = runs.noted("demo", &folder);
    assert!(current && Arc::ptr_eq(&noted.unwrap(), &checked));
    write("report.json", &report(r#","title":"another""#));
    let _held = lock(&runs.checking[1]);
    let (noted, current) = runs.noted("demo", &folder);
    assert!(!current && Arc::ptr_eq(&noted.unwrap(), &checked));
}
