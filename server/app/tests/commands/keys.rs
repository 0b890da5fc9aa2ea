//! Keys on the command line: encrypted, rotated, revoked, and taken over by somebody else.

use std::path::Path;
use std::process::{Command, Output};

/// The program with a folder of keys of its own.
fn fedseal(home: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fedseal"))
        .args(words)
        .env("FEDSEAL_HOME", home)
        .env("FEDSEAL_PASSPHRASE", "correct horse")
        .current_dir(home)
        .output()
        .unwrap()
}

fn ok(home: &Path, words: &[&str]) -> String {
    let out = fedseal(home, words);
    assert!(
        out.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

/// The exit code and what is said.
fn refused(home: &Path, words: &[&str]) -> (i32, String) {
    let out = fedseal(home, words);
    (
        out.status.code().unwrap(),
        String::from_utf8(out.stderr).unwrap(),
    )
}

fn public(shown: &str) -> &str {
    shown
        .lines()
        .find_map(|line| line.strip_prefix("public   "))
        .unwrap()
}

#[test]
fn from_a_new_key_to_a_revoked_one() {
    let (alice, bob) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (alice, bob) = (alice.path(), bob.path());
    let made = ok(alice, &["key", "new", "--encrypt"]);
    assert!(made.contains("(encrypted)"), "{made}");
    let first = public(&made).to_owned();
    let file = std::fs::read_to_string(alice.join("author.pem")).unwrap();
    assert!(file.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let (code, said) = refused(alice, &["key", "new"]);
    assert!(code == 2 && said.contains("never overwritten"), "{said}");
    let wrong = Command::new(env!("CARGO_BIN_EXE_fedseal"))
        .args(["key", "show"])
        .env("FEDSEAL_HOME", alice)
        .env("FEDSEAL_PASSPHRASE", "wrong horse")
        .output()
        .unwrap();
    assert!(!wrong.status.success());

    // Bob trusts Alice; her key's successor is one for him too, by her statement.
    ok(bob, &["key", "trust", "alice", &first]);
    ok(alice, &["key", "trust", "me", &first]);
    let rotated = ok(alice, &["key", "rotate", "--days", "7"]);
    let second = public(&rotated).to_owned();
    assert_ne!(first, second);
    assert!(rotated.contains("(encrypted)"), "{rotated}");
    let statement = alice.join("author-rotation.json");
    let statement = statement.to_str().unwrap();
    ok(bob, &["key", "accept", statement]);
    let shown = ok(bob, &["key", "show"]);
    assert!(shown.contains(&format!("{second} alice")), "{shown}");
    assert!(shown.contains(&format!("{first} alice, until ")), "{shown}");

    // A stranger's statement moves nothing.
    let stranger = tempfile::tempdir().unwrap();
    ok(stranger.path(), &["key", "new"]);
    ok(stranger.path(), &["key", "rotate"]);
    let theirs = stranger.path().join("author-rotation.json");
    let (code, said) = refused(bob, &["key", "accept", theirs.to_str().unwrap()]);
    assert!(code == 1 && said.contains("no trusted key"), "{said}");

    ok(alice, &["key", "revoke", "--reason", "laptop lost"]);
    let statement = alice.join("author-revocation.json");
    ok(bob, &["key", "accept", statement.to_str().unwrap()]);
    let shown = ok(bob, &["key", "show"]);
    assert!(
        shown.contains(&format!("{second} alice, revoked: laptop lost")),
        "{shown}"
    );
    // A revoked key names no successor.
    let before = std::fs::read(alice.join("author.pem")).unwrap();
    let (code, said) = refused(alice, &["key", "rotate", "--statement", "again.json"]);
    assert!(code == 1 && said.contains("no successor"), "{said}");
    assert_eq!(std::fs::read(alice.join("author.pem")).unwrap(), before);
    // On a machine that does not know that it is revoked it may; nobody else takes it.
    std::fs::remove_file(alice.join("trusted.toml")).unwrap();
    ok(alice, &["key", "rotate", "--statement", "again.json"]);
    let again = alice.join("again.json");
    let (code, said) = refused(bob, &["key", "accept", again.to_str().unwrap()]);
    assert!(code == 1 && said.contains("no trusted key"), "{said}");
}

#[test]
fn bad_times_are_told_and_nothing_is_written() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let key = public(&ok(home, &["key", "new"])).to_owned();
    ok(home, &["key", "trust", "me", &key]);
    let before = std::fs::read(home.join("trusted.toml")).unwrap();
    let (code, said) = refused(home, &["key", "trust", "me", &key, "--expires", "tomorrow"]);
    assert!(code == 2 && said.contains("2027-01-31T00:00:00Z"), "{said}");
    assert_eq!(std::fs::read(home.join("trusted.toml")).unwrap(), before);
}

#[test]
fn a_signed_folder_is_verified_and_a_changed_one_is_not() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("mine")).unwrap();
    std::fs::write(home.join("mine/adapter_config.json"), "{}").unwrap();
    let shown = ok(home, &["adapter", "sign", "mine"]);
    assert!(shown.contains("mine/model.sig: 1 files of mine"), "{shown}");
    let public = home.join("adapter.pub.pem");
    let verify = ["verify", "mine", "--key", public.to_str().unwrap()];
    assert!(ok(home, &verify).contains("mine holds: 1 files"));
    let (code, said) = refused(home, &["verify", "mine"]);
    assert!(code == 2 && said.contains("--key"), "{said}");

    // The key made at first use is used again, and an encrypted one is opened.
    let first = std::fs::read(home.join("adapter.pem")).unwrap();
    ok(home, &["adapter", "sign", "mine"]);
    assert_eq!(std::fs::read(home.join("adapter.pem")).unwrap(), first);
    let made = ok(
        home,
        &["key", "new", "--p256", "--encrypt", "--out", "sealed.pem"],
    );
    assert!(made.contains("(encrypted)"), "{made}");
    let (code, said) = refused(home, &["adapter", "sign", "mine", "--key", "none.pem"]);
    assert!(code == 2 && said.contains("key new --p256"), "{said}");
    ok(home, &["adapter", "sign", "mine", "--key", "sealed.pem"]);
    let (code, said) = refused(home, &verify);
    assert!(code == 1 && said.contains("does not verify"), "{said}");
    ok(home, &["verify", "mine", "--key", "sealed.pub.pem"]);

    std::fs::write(home.join("mine/adapter_config.json"), "{\"r\":1}").unwrap();
    let (code, said) = refused(home, &["verify", "mine", "--key", "sealed.pub.pem"]);
    assert!(
        code == 1 && said.contains("adapter_config.json: expected sha256"),
        "{said}"
    );
}

#[test]
fn a_nodes_key_is_rotated_and_every_link_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let node = home.join("node.pem");
    let node = node.to_str().unwrap();
    ok(home, &["key", "new", "--out", node]);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let shown = ok(home, &["key", "show", "--key", node]);
        let id = shown
            .lines()
            .find_map(|line| line.strip_prefix("id       "));
        ids.push(id.unwrap().to_owned());
        ok(home, &["key", "rotate", "--key", node]);
    }
    for id in &ids {
        assert!(home.join(format!("node-{id}.pem")).exists(), "{id}");
    }
    assert!(home.join("node-rotation.json").exists());
    // The statement that made the second key, under that key's id.
    let earlier = home.join(format!("node-rotation-{}.json", ids[1]));
    assert!(earlier.exists());
}
