use std::fs;

use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_ledger::Blobs;
use fedseal_registry::{RegisteredClient, Registry};

use super::*;

/// A folder of keys with a registry in it.
fn home(root: &Path) -> Sources {
    let home = root.join("keys");
    let registry = home.join("registry");
    fs::create_dir_all(&registry).unwrap();
    let author = SigningKey::load_or_create(home.join("author.pem")).unwrap();
    let mut trusted = TrustStore::default();
    trusted.add("author", author.public());
    trusted.save(home.join("trusted.toml")).unwrap();
    let database = Registry::open(registry.join("registry.sqlite")).unwrap();
    let client = RegisteredClient {
        client: "north".into(),
        key: author.public(),
        created: "2026-01-02T03:04:05Z".into(),
    };
    database.add_client(&client).unwrap();
    let blobs = Blobs::open(registry.join("blobs")).unwrap();
    blobs.put(b"a module").unwrap();
    SigningKey::load_or_create(registry.join("decisions.pem")).unwrap();
    Sources {
        home: Some(home),
        registry: Some(registry.into()),
        ..Sources::default()
    }
}

#[test]
fn a_copy_is_whole_without_private_keys_unless_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut sources = home(dir.path());
    let without = dir.path().join("without");
    let copied = copy(&sources, &without).unwrap();
    assert_eq!(copied.left.len(), 2, "{:?}", copied.left);
    assert!(copied.left.iter().all(|left| left.contains("--keys")));
    assert!(!without.join("keys/author.pem").exists());
    assert!(without.join("keys/trusted.toml").is_file());
    let checked = check(&without).unwrap();
    assert!(checked.registry && !checked.keys);
    let restored = Registry::open(without.join("registry/registry.sqlite")).unwrap();
    assert_eq!(restored.clients().unwrap().len(), 1);

    sources.keys = true;
    let with = dir.path().join("with");
    assert!(copy(&sources, &with).unwrap().left.is_empty());
    assert!(check(&with).unwrap().keys);
    for key in ["keys/author.pem", "registry/decisions.pem"] {
        let path = with.join(key);
        SigningKey::load(&path).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{key}: {mode:o}");
        }
    }
    // A second copy does not mix with the first.
    let said = copy(&sources, &with).unwrap_err().to_string();
    assert!(said.contains("something is there already"), "{said}");
}

#[test]
fn what_was_changed_in_a_copy_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let sources = home(dir.path());
    let fresh = |name: &str| {
        let to = dir.path().join(name);
        copy(&sources, &to).unwrap();
        to
    };
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil, &str); 4] = [
        (
            "changed",
            |copy| fs::write(copy.join("keys/trusted.toml"), "keys = []").unwrap(),
            "keys/trusted.toml was changed",
        ),
        (
            "missing",
            |copy| fs::remove_file(copy.join("keys/trusted.toml")).unwrap(),
            "keys/trusted.toml",
        ),
        (
            "added",
            |copy| fs::write(copy.join("keys/more.toml"), "").unwrap(),
            "keys/more.toml is not in the list",
        ),
        (
            "unfinished",
            |copy| fs::remove_file(copy.join("backup.json")).unwrap(),
            "was not finished",
        ),
    ];
    for (name, spoil, expected) in cases {
        let copy = fresh(name);
        check(&copy).unwrap();
        spoil(&copy);
        let said = check(&copy).unwrap_err().to_string();
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn a_copy_does_not_lie_in_what_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let sources = home(dir.path());
    let inside = sources.registry.clone().unwrap().folder.join("copy");
    let said = copy(&sources, &inside).unwrap_err().to_string();
    assert!(said.contains("lie in each other"), "{said}");
    assert!(!inside.exists());
}
