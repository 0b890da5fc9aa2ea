//! Modules in a registry where a command takes one.

#[path = "../../../../client-sdk/tests/docker_registry/mod.rs"]
mod docker_registry;

use std::path::Path;

use self::docker_registry::{Registry, oracles};
use crate::program::{ok, refused};

/// A folder with a component.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/wasmsign");
    std::fs::copy(fixtures.join("plain.wasm"), home.path().join("plain.wasm")).unwrap();
    home
}

#[test]
fn a_registry_that_does_not_answer_is_named() {
    let home = home();
    let said = refused(
        home.path(),
        &["policy", "inspect", "oci:127.0.0.1:1/team/modules:v1"],
    );
    let named = "registry 127.0.0.1:1, repository team/modules, reference v1: reading the manifest";
    assert!(said.contains(named), "{said}");
    assert!(
        said.contains("a folder is written oci:./127.0.0.1:1/"),
        "{said}"
    );
    let said = refused(
        home.path(),
        &["policy", "inspect", "oci:Some.Folder/Modules:v1"],
    );
    assert!(said.contains("no repository's name"), "{said}");
}

#[test]
fn a_module_goes_through_a_registry() {
    let (home, other) = (home(), home());
    let (home, other) = (home.path(), other.path());
    if !oracles() {
        return;
    }
    let registry = Registry::start("", "");
    let place = registry.place("team/modules:v1");
    assert!(refused(home, &["policy", "push", "plain.wasm", &place]).contains("not signed"));
    ok(home, &["policy", "sign", "plain.wasm", "--name", "quiet"]);
    let shown = ok(home, &["policy", "push", "plain.wasm", &place]);
    let by_digest = shown
        .lines()
        .find_map(|line| line.strip_prefix("digest     "))
        .unwrap();
    assert!(
        by_digest.starts_with(&registry.place("team/modules@sha256:")),
        "{shown}"
    );
    assert!(registry.folder.path().join("data").exists());
    for place in [place.as_str(), by_digest] {
        let shown = ok(home, &["policy", "inspect", place]);
        assert!(shown.contains("name       quiet 0.1.0"), "{shown}");
    }
    ok(home, &["policy", "push", &place, "oci:layout:v1"]);
    ok(
        home,
        &[
            "policy",
            "push",
            "oci:layout:v1",
            &registry.place("team/again:v1"),
        ],
    );
    ok(home, &["policy", "pull", &registry.place("team/again:v1")]);
    let bytes = |folder: &Path, name: &str| std::fs::read(folder.join(name)).unwrap();
    assert_eq!(bytes(home, "quiet.wasm"), bytes(home, "plain.wasm"));
    assert_eq!(
        bytes(home, "quiet.wasm.dsse.json"),
        bytes(home, "plain.wasm.dsse.json")
    );
    let said = refused(
        home,
        &["policy", "inspect", &registry.place("team/modules:v2")],
    );
    assert!(said.contains("status 404 MANIFEST_UNKNOWN"), "{said}");

    // Somebody who does not trust the author takes nothing, until he signs it himself.
    let said = refused(other, &["policy", "pull", &place]);
    assert!(said.contains("no signature of a trusted key"), "{said}");
    assert!(!other.join("quiet.wasm").exists());
    ok(other, &["policy", "sign", &place, "--name", "mine"]);
    assert!(ok(other, &["policy", "pull", &place]).contains("mine, signed by developer"));
    assert!(refused(home, &["submit", &place]).contains("2 signatures"));
}
