//! Modules where a command takes one: files with detached and embedded signatures, and OCI layouts.

mod program;

use std::path::{Path, PathBuf};
use std::process::Command;

use program::{ok, refused};

/// File made by the real wasmsign2, or the component that it signed.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/oracles/wasmsign")
        .join(name)
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for name in ["plain.wasm", "one.wasm"] {
        std::fs::copy(fixture(name), home.path().join(name)).unwrap();
    }
    home
}

/// The key of a wasmsign2 key file: a byte for its kind, then the key.
fn first_key() -> String {
    let bytes = std::fs::read(fixture("first.public")).unwrap();
    bytes[1..].iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn an_embedded_signature_counts_when_its_key_is_trusted() {
    let home = home();
    let home = home.path();
    assert!(refused(home, &["policy", "inspect", "plain.wasm"]).contains("not signed"));
    // A signature is not what a text lacks.
    std::fs::write(home.join("text.wasm"), "no module").unwrap();
    let told = refused(home, &["policy", "inspect", "text.wasm"]);
    assert!(told.contains("no WebAssembly component"), "{told}");
    let said = refused(home, &["policy", "inspect", "one.wasm"]);
    assert!(said.contains("none of its 1 signatures"), "{said}");

    ok(home, &["key", "trust", "first", &first_key()]);
    let shown = ok(home, &["policy", "inspect", "one.wasm"]);
    assert!(shown.contains("signed by  first, key "), "{shown}");
    assert!(shown.contains("embedded   wasmsign2 signature by first"));
    assert!(shown.contains("sandbox    would run it"), "{shown}");

    // A byte of the code changed: the trusted key did not sign that.
    let mut bytes = std::fs::read(home.join("one.wasm")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(home.join("changed.wasm"), bytes).unwrap();
    let said = refused(home, &["policy", "inspect", "changed.wasm"]);
    assert!(said.contains("it is about other bytes"), "{said}");

    // A detached signature by an author decides; what a stranger embedded is shown as that.
    ok(home, &["key", "revoke", "--public", &first_key()]);
    assert!(refused(home, &["policy", "inspect", "one.wasm"]).contains("one.wasm"));
    ok(home, &["policy", "sign", "one.wasm"]);
    let shown = ok(home, &["policy", "inspect", "one.wasm"]);
    assert!(shown.contains("signed by  developer"), "{shown}");
}

#[test]
fn a_module_goes_through_a_layout_on_disk() {
    let home = home();
    let home = home.path();
    std::fs::write(home.join("notes.txt"), "no module").unwrap();
    let said = refused(home, &["policy", "sign", "notes.txt"]);
    assert!(said.contains("no WebAssembly component"), "{said}");
    assert!(refused(home, &["policy", "test", "nothing"]).contains("no such folder or file"));
    assert!(refused(home, &["policy", "push", "plain.wasm", "oci:layout"]).contains("not signed"));
    assert!(!home.join("layout").exists());
    ok(home, &["policy", "sign", "plain.wasm", "--name", "quiet"]);
    let shown = ok(home, &["policy", "push", "plain.wasm", "oci:layout:v1"]);
    let by_digest = shown
        .lines()
        .find_map(|line| line.strip_prefix("digest     "))
        .unwrap()
        .to_owned();
    assert!(by_digest.starts_with("oci:layout@sha256:"), "{shown}");
    for place in ["oci:layout:v1", "oci:layout", &by_digest] {
        let shown = ok(home, &["policy", "inspect", place]);
        assert!(shown.contains("name       quiet 0.1.0"), "{shown}");
        assert!(shown.contains("sandbox    would run it"), "{shown}");
    }
    // It hands nothing in, and says so: it ran.
    let said = refused(home, &["policy", "test", "oci:layout:v1"]);
    assert!(said.contains("no-submission"), "{said}");
    let said = refused(home, &["policy", "inspect", "oci:layout:v2"]);
    assert!(said.contains("tags here: v1"), "{said}");

    ok(home, &["policy", "pull", "oci:layout:v1"]);
    let bytes = |name: &str| std::fs::read(home.join(name)).unwrap();
    assert_eq!(bytes("quiet.wasm"), bytes("plain.wasm"));
    assert_eq!(bytes("quiet.wasm.dsse.json"), bytes("plain.wasm.dsse.json"));
    ok(home, &["policy", "inspect", "quiet.wasm"]);
    assert!(refused(home, &["policy", "pull", "oci:layout:v1"]).contains("there already"));

    // Somebody who does not trust the author takes nothing, until he signs it himself.
    let other = tempfile::tempdir().unwrap();
    let other = other.path();
    let place = format!("oci:{}:v1", home.join("layout").display());
    let said = refused(other, &["policy", "pull", &place]);
    assert!(said.contains("no signature of a trusted key"), "{said}");
    assert!(!other.join("quiet.wasm").exists());
    ok(other, &["policy", "sign", &place, "--name", "mine"]);
    assert!(ok(other, &["policy", "pull", &place]).contains("mine, signed by developer"));
    let said = refused(home, &["submit", "oci:layout:v1"]);
    assert!(said.contains("2 signatures"), "{said}");

    // A layer that is not what its name says.
    for blob in std::fs::read_dir(home.join("layout/blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        if std::fs::read(&path).unwrap() == bytes("plain.wasm") {
            std::fs::write(&path, bytes("one.wasm")).unwrap();
        }
    }
    let said = refused(home, &["policy", "inspect", "oci:layout:v1"]);
    assert!(said.contains("blobs/sha256/"), "{said}");
}

/// Whoever looks at a module keeps its compiled form for the run; a second look does not compile it again.
#[test]
fn a_module_that_was_looked_at_is_kept_compiled() {
    let home = home();
    let home = home.path();
    ok(home, &["policy", "sign", "plain.wasm"]);
    let kept = || {
        let files = std::fs::read_dir(home.join("keys/compiled")).unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        std::fs::metadata(&files[0]).unwrap().modified().unwrap()
    };
    ok(home, &["policy", "inspect", "plain.wasm"]);
    let first = kept();
    ok(home, &["policy", "inspect", "plain.wasm"]);
    // The same module from another place, to a command that runs it.
    std::fs::copy(home.join("plain.wasm"), home.join("copy.wasm")).unwrap();
    let said = refused(home, &["policy", "test", "copy.wasm"]);
    assert!(said.contains("no-submission"), "{said}");
    assert_eq!(kept(), first);
}

/// skopeo (Debian), which we did not write, reads the layout and copies it; what it copied is the
/// same module to us. FEDSEAL_REQUIRE_ORACLES=1 makes its absence a failure.
#[test]
fn skopeo_reads_and_copies_the_layout() {
    let skopeo = |home: &Path, words: &[&str]| {
        Command::new("skopeo")
            .args(words)
            .current_dir(home)
            .output()
            .map(|out| {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                (out.status.success(), text(&out.stdout), text(&out.stderr))
            })
    };
    let home = home();
    let home = home.path();
    if skopeo(home, &["--version"]).is_err() {
        assert!(
            std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_none(),
            "skopeo is missing"
        );
        eprintln!("skipped: needs `apt-get install skopeo`");
        return;
    }
    ok(home, &["policy", "sign", "plain.wasm"]);
    let shown = ok(home, &["policy", "push", "plain.wasm", "oci:layout:v1"]);
    let (good, raw, said) = skopeo(home, &["inspect", "--raw", "oci:layout:v1"]).unwrap();
    assert!(good, "{said}");
    let manifest: serde_json::Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    let size = std::fs::metadata(home.join("plain.wasm")).unwrap().len();
    assert_eq!(manifest["layers"][0]["size"], size);
    std::fs::write(home.join("manifest.json"), &raw).unwrap();
    let (good, digest, said) = skopeo(home, &["manifest-digest", "manifest.json"]).unwrap();
    assert!(good, "{said}");
    assert!(shown.contains(&format!("@{}", digest.trim())), "{digest}");

    let copy = ["copy", "--insecure-policy", "oci:layout:v1", "oci:copy:v1"];
    let (good, _, said) = skopeo(home, &copy).unwrap();
    assert!(good, "{said}");
    // It copies the module; the signature is another manifest, which the author's file still has.
    let said = refused(home, &["policy", "inspect", "oci:copy:v1"]);
    assert!(said.contains("not signed"), "{said}");
    ok(home, &["policy", "sign", "oci:copy:v1", "--name", "plain"]);
    ok(
        home,
        &["policy", "pull", "oci:copy:v1", "--out", "back.wasm"],
    );
    let bytes = |name: &str| std::fs::read(home.join(name)).unwrap();
    assert_eq!(bytes("back.wasm"), bytes("plain.wasm"));
}
