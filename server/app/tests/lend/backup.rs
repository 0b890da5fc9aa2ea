//! `fedseal backup` of a coordinator and a node at work, and what is restored from it.

use std::fs;

use crate::federation::{begun, copy, federation, place, serve, until};
use crate::program::small::home;
use crate::program::{ok, refused};

#[test]
fn a_federation_at_work_is_copied_and_restored() {
    let home = home();
    let home = home.path();
    place(home, "deadline = 120", 2);
    let (wire, coordinator, mut nodes) = begun(home);
    let sources = [
        "--runs",
        "runs",
        "--registry",
        "registry",
        "--federations",
        "books",
        "--node",
        "state-north",
    ];
    let backup = |to: &str| {
        ok(home, &[&["backup", to], &sources[..]].concat());
        ok(home, &["backup", "--check", to])
    };
    let said = backup("early");
    assert!(said.contains("1 runs, 1 federations"), "{said}");
    assert!(said.contains("no private key is in it"), "{said}");
    let said = ok(home, &["log", "fsck", "early/runs/fed"]);
    assert!(said.contains("is whole"), "{said}");
    assert!(!home.join("early/nodes/state-north/cache").exists());

    until(home, "finished", |status| status["phase"] == "finished");
    for node in &mut nodes {
        node.ends();
    }
    backup("late");
    drop(coordinator);
    // Everything is lost but the keys.
    for folder in ["runs", "registry", "books"] {
        fs::remove_dir_all(home.join(folder)).unwrap();
    }
    for (from, to) in [
        ("runs", "runs"),
        ("registry", "registry"),
        ("federations", "books"),
    ] {
        copy(&home.join("late").join(from), &home.join(to));
    }
    let said = ok(home, &["verify", "runs/fed"]);
    assert!(said.contains("rest on the word of the node"), "{said}");
    assert!(federation(home, &["status", "fed"]).contains("fed: finished"));
    let _coordinator = serve(home, &wire);

    // A copy that lost a blob is not whole.
    let packs = home.join("late/runs/fed/blobs");
    let folder = fs::read_dir(packs).unwrap().flatten().next().unwrap();
    let blob = fs::read_dir(folder.path()).unwrap().flatten().next();
    fs::remove_file(blob.unwrap().path()).unwrap();
    let said = refused(home, &["backup", "--check", "late"]);
    assert!(said.contains("late: runs/fed/blobs/"), "{said}");
}
