//! Modules in a registry that we did not write, copied by a program that we did not write
//! (`tests/oracles/registry`). Runs when docker-registry, skopeo and openssl are installed;
//! FEDSEAL_REQUIRE_ORACLES=1 makes their absence a failure.

mod docker_registry;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use docker_registry::{Registry, oracles};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::module::{self, ModulePredicate};
use fedseal_client_sdk::oci::{About, Access, Pulled, Reference, attach, pull, push};
use fedseal_client_sdk::{Error, Result};

/// The address of a registry with TLS, for this program's second process.
const TLS: &str = "FEDSEAL_TEST_TLS_REGISTRY";

fn run(program: &str, folder: &Path, words: &[&str]) -> String {
    let out = Command::new(program)
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {words:?}: {said}");
    String::from_utf8(out.stdout).unwrap()
}

fn skopeo(folder: &Path, words: &[&str]) -> String {
    run("skopeo", folder, words)
}

/// A component by wasm-tools and wasmsign2, which other tests use, too.
fn component() -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oracles/wasmsign");
    fs::read(fixtures.join("plain.wasm")).unwrap()
}

fn signed(module: &[u8], seed: u8) -> Envelope {
    let key = SigningKey::from_seed([seed; 32]);
    module::sign(module, &ModulePredicate::new("plain", "1"), &key).unwrap()
}

fn reference(registry: &Registry, rest: &str) -> Reference {
    Reference::parse(&registry.place(rest)).unwrap()
}

fn access(logins: Option<PathBuf>) -> Access {
    Access {
        logins,
        ..Access::of_user()
    }
}

/// Checks a pulled module.
fn check(pulled: &Pulled, module: &[u8], manifest: Digest, envelopes: &[Envelope]) {
    assert_eq!(pulled.module, module);
    assert_eq!(pulled.manifest, manifest);
    assert_eq!(pulled.envelopes.len(), envelopes.len());
    for envelope in envelopes {
        assert!(pulled.envelopes.contains(envelope));
    }
}

#[test]
fn modules_go_through_a_registry_and_a_copier() {
    if !oracles() {
        return;
    }
    let registry = Registry::start("", "");
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (module, nobody) = (component(), access(None));
    let (first, second) = (signed(&module, 1), signed(&module, 2));
    let about = About {
        imports: vec!["fedseal:policy/host".into()],
        exports: Vec::new(),
    };

    // To the registry and back, by tag and by digest; a second author signs what is there.
    let to = reference(&registry, "team/modules:v1");
    let manifest = push(&to, &module, &about, &[&first], &nobody).unwrap();
    attach(&to, &second, &nobody).unwrap();
    let both = [first.clone(), second];
    check(&pull(&to, &nobody).unwrap(), &module, manifest, &both);
    let by_digest = reference(&registry, &format!("team/modules:x@sha256:{manifest}"));
    check(
        &pull(&by_digest, &nobody).unwrap(),
        &module,
        manifest,
        &both,
    );
    // The same again changes nothing.
    let again = push(&to, &module, &about, &[&first], &nobody).unwrap();
    assert_eq!(again, manifest);
    check(&pull(&to, &nobody).unwrap(), &module, manifest, &both);

    // skopeo reads what we wrote: the manifest under its digest, and the list of signatures.
    let remote = format!("docker://{}/team/modules", registry.address);
    let no_tls = "--tls-verify=false";
    let raw = skopeo(home, &["inspect", no_tls, "--raw", &format!("{remote}:v1")]);
    fs::write(home.join("manifest.json"), &raw).unwrap();
    let digest = skopeo(home, &["manifest-digest", "manifest.json"]);
    assert_eq!(digest.trim(), format!("sha256:{manifest}"));
    let list = format!("{remote}:sha256-{manifest}");
    let list = skopeo(home, &["inspect", no_tls, "--raw", &list]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["manifests"].as_array().unwrap().len(), 2);
    for entry in list["manifests"].as_array().unwrap() {
        assert_eq!(
            entry["artifactType"],
            "application/vnd.dsse.envelope.v1+json"
        );
    }

    // From the registry to a layout, by skopeo: the same module to us.
    let copy = [
        "copy",
        "--insecure-policy",
        "--preserve-digests",
        "--src-tls-verify=false",
    ];
    let tag = format!("{remote}:v1");
    let words = [copy.as_slice(), &[&tag, "oci:layout:v1"]].concat();
    skopeo(home, &words);
    let layout = |name: &str| {
        let folder = home.join("layout");
        Reference::parse(&format!("oci:{}:{name}", folder.display())).unwrap()
    };
    check(
        &pull(&layout("v1"), &nobody).unwrap(),
        &module,
        manifest,
        &[],
    );

    // From a layout of ours to the registry, by skopeo: the signature is attached there.
    let other = [module.as_slice(), b"\0\x03\x01xy"].concat();
    let made = push(&layout("v2"), &other, &about, &[], &nobody).unwrap();
    let copy = [
        "copy",
        "--insecure-policy",
        "--preserve-digests",
        "--dest-tls-verify=false",
    ];
    let tag = format!("{remote}:v2");
    let words = [copy.as_slice(), &["oci:layout:v2", &tag]].concat();
    skopeo(home, &words);
    let from = reference(&registry, "team/modules:v2");
    check(&pull(&from, &nobody).unwrap(), &other, made, &[]);
    let signature = signed(&other, 3);
    attach(&from, &signature, &nobody).unwrap();
    check(&pull(&from, &nobody).unwrap(), &other, made, &[signature]);
    // A module's signatures are not those of another in the same repository.
    check(&pull(&to, &nobody).unwrap(), &module, manifest, &both);

    // A tag that moves, and names that are not there.
    push(&to, &other, &about, &[], &nobody).unwrap();
    assert_eq!(pull(&to, &nobody).unwrap().manifest, made);
    for (rest, code) in [
        ("team/modules:v9", "MANIFEST_UNKNOWN"),
        ("team/none:v1", "MANIFEST_UNKNOWN"),
        ("team/modules", "MANIFEST_UNKNOWN"),
    ] {
        let error = pull(&reference(&registry, rest), &nobody).unwrap_err();
        let Error::Registry(problem) = &error else {
            panic!("{error}");
        };
        assert_eq!(problem.status, Some(404), "{error}");
        assert_eq!(problem.code.as_deref(), Some(code), "{error}");
    }
}

/// A module in the registry's own files is exchanged: its digest tells.
#[test]
fn a_registry_that_changes_a_module_is_caught() {
    if !oracles() {
        return;
    }
    let registry = Registry::start("", "");
    let (module, nobody) = (component(), access(None));
    let to = reference(&registry, "modules:v1");
    push(&to, &module, &About::default(), &[], &nobody).unwrap();
    let digest = Digest::of(&module).to_string();
    let blobs = registry
        .folder
        .path()
        .join("data/docker/registry/v2/blobs/sha256");
    let blob = blobs.join(&digest[..2]).join(&digest).join("data");
    let mut changed = fs::read(&blob).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&blob, changed).unwrap();
    let error = pull(&to, &nobody).unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
}

/// A registry with accounts: the login is one that skopeo wrote.
#[test]
fn a_login_of_another_tool_is_used() {
    if !oracles() {
        return;
    }
    let accounts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oracles/registry/htpasswd");
    let path = accounts.canonicalize().unwrap();
    let more = format!(
        "auth:\n  htpasswd:\n    realm: here\n    path: {}\n",
        path.display()
    );
    let registry = Registry::start(&more, "");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.json");
    let (module, to) = (component(), reference(&registry, "modules:v1"));
    let status = |result: Result<Digest>| match result {
        Err(Error::Registry(problem)) => (problem.status, problem.hint.unwrap_or_default()),
        other => panic!("{other:?}"),
    };
    let known = access(Some(file.clone()));
    let (refused, hint) = status(push(&to, &module, &About::default(), &[], &known));
    assert_eq!(refused, Some(401));
    assert!(
        hint.contains(&format!("has no login for {}", registry.address)),
        "{hint}"
    );

    let authfile = file.display().to_string();
    let login = [
        "login",
        "--tls-verify=false",
        "--authfile",
        &authfile,
        "-u",
        "me",
        "-p",
        "secret",
    ];
    let words = [login.as_slice(), &[&registry.address]].concat();
    skopeo(home.path(), &words);
    let envelope = signed(&module, 1);
    let manifest = push(&to, &module, &About::default(), &[&envelope], &known).unwrap();
    check(&pull(&to, &known).unwrap(), &module, manifest, &[envelope]);
    let wrong = fs::read_to_string(&file)
        .unwrap()
        .replace("bWU6c2VjcmV0", "bWU6c2VjcmV1");
    fs::write(&file, wrong).unwrap();
    let (refused, hint) = status(push(&to, b"another", &About::default(), &[], &known));
    assert_eq!(refused, Some(401));
    assert!(hint.contains("does not do"), "{hint}");
}

/// A registry with TLS, whose certificate the system does not know and `SSL_CERT_FILE` does. This variable
/// holds for a process, so a second one is started for it.
#[test]
fn a_registry_with_tls_is_held_to_its_certificate() {
    let (module, nobody) = (component(), access(None));
    let envelope = signed(&module, 1);
    let to = |address: &str| {
        let (_, port) = address.rsplit_once(':').unwrap();
        Reference::parse(&format!("oci:https://localhost:{port}/modules:v1")).unwrap()
    };
    if let Ok(address) = env::var(TLS) {
        let to = to(&address);
        let manifest = push(&to, &module, &About::default(), &[&envelope], &nobody).unwrap();
        check(&pull(&to, &nobody).unwrap(), &module, manifest, &[envelope]);
        return;
    }
    if !oracles() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let openssl = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        run("openssl", home, &words);
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=Tests"
    ));
    openssl(&format!(
        "req {key} -keyout own.key -out own.csr -subj /CN=localhost"
    ));
    fs::write(home.join("own.cnf"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(
        "x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile own.cnf \
         -out own.pem",
    );
    let files = home.display();
    let http = format!("  tls:\n    certificate: {files}/own.pem\n    key: {files}/own.key\n");
    let registry = Registry::start("", &http);
    let error = pull(&to(&registry.address), &nobody).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let error = push(
        &to(&registry.address),
        &module,
        &About::default(),
        &[],
        &nobody,
    );
    assert!(error.is_err(), "nothing goes to whom nobody knows");

    let own = env::current_exe().unwrap();
    let second = Command::new(own)
        .args(["a_registry_with_tls_is_held_to_its_certificate", "--exact"])
        .env(TLS, &registry.address)
        .env("SSL_CERT_FILE", home.join("ca.pem"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stdout);
    assert!(
        second.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
