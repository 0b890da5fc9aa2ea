//! Work with a registry in this process, and a registry that errs in every place.

mod lists;
mod logins;
mod server;

use std::time::Duration;

use serde_json::json;

use super::super::{Access, Problem, Pulled, attach, pull, push};
use super::*;
use crate::keys::SigningKey;
use crate::module::{self, ModulePredicate};
use server::{Answer, Guard, Server, answer, error};

const MODULE: &[u8] = b"\0asm not really";

fn access() -> Access {
    Access {
        logins: None,
        patience: Duration::from_secs(10),
        whole: Duration::from_secs(20),
    }
}

fn signed(seed: u8) -> Envelope {
    let key = SigningKey::from_seed([seed; 32]);
    module::sign(MODULE, &ModulePredicate::new("plain", "1.0"), &key).unwrap()
}

fn pushed(server: &Server) -> Digest {
    let to = server.reference(":v1");
    push(&to, MODULE, &About::default(), &[&signed(7)], &access()).unwrap()
}

fn pulled(server: &Server, name: &str) -> Result<Pulled> {
    pull(&server.reference(name), &access())
}

fn problem(error: Error) -> Box<Problem> {
    match error {
        Error::Registry(problem) => problem,
        other => panic!("{other}"),
    }
}

/// With the registry's own list of referrers, and with the tag in its place.
#[test]
fn a_module_comes_back_with_its_signatures() {
    for referrers in [true, false] {
        let server = Server::start(referrers, Guard::Open);
        let digest = pushed(&server);
        let to = server.reference(":v1");
        let again = push(&to, MODULE, &About::default(), &[&signed(7)], &access());
        assert_eq!(again.unwrap(), digest);
        assert_eq!(
            server.count("POST", "/uploads/"),
            4,
            "each blob goes over once"
        );
        attach(&to, &signed(8), &access()).unwrap();
        attach(&to, &signed(8), &access()).unwrap();

        let by_digest = format!("@sha256:{digest}");
        let both = format!(":old@sha256:{digest}");
        for name in [":v1", by_digest.as_str(), both.as_str()] {
            let pulled = pulled(&server, name).unwrap();
            assert_eq!(pulled.module, MODULE);
            assert_eq!(pulled.manifest, digest);
            assert_eq!(pulled.envelopes.len(), 2, "{name}");
            for envelope in [signed(7), signed(8)] {
                assert!(pulled.envelopes.contains(&envelope));
            }
        }
        let tag = format!("sha256-{digest}");
        assert_eq!(server.state().manifests.contains_key(&tag), !referrers);
        let latest = problem(pulled(&server, "").unwrap_err());
        assert_eq!(latest.reference, "latest");
    }
}

/// The tag moves when the rest is there: a push that breaks leaves nobody an unsigned module.
#[test]
fn the_tag_moves_last() {
    let server = Server::start(true, Guard::Open);
    pushed(&server);
    let state = server.state();
    let puts: Vec<&str> = state
        .asked
        .iter()
        .filter(|asked| asked.method == "PUT" && asked.path.contains("/manifests/"))
        .map(|asked| asked.path.as_str())
        .collect();
    assert_eq!(puts.len(), 3);
    assert_eq!(puts[2], "/v2/modules/manifests/v1");
}

/// Each case changes answers to one kind of request and names words of the error that must follow.
#[test]
fn every_break_is_refused() {
    type Change = fn(&server::Asked) -> Option<Answer>;
    let cases: [(&str, &str, Change); 12] = [
        (
            "/manifests/v1",
            "status 404 MANIFEST_UNKNOWN: manifest unknown",
            |_| Some(error(404, "MANIFEST_UNKNOWN", "manifest unknown")),
        ),
        ("/manifests/v1", "status 502: Bad Gateway", |_| {
            Some(answer(502, "<html>all of it</html>"))
        }),
        ("/manifests/v1", "status 500: two words", |_| {
            Some(answer(500, "two\u{1b}words\nmore"))
        }),
        ("/manifests/v1", "status 403 DENIED", |_| {
            Some(error(403, "DENIED", ""))
        }),
        ("/manifests/v1", "which is too long", |_| {
            Some(answer(200, vec![b' '; (4 << 20) + 1]).with("content-type", MANIFEST))
        }),
        (
            "/manifests/v1",
            "neither an OCI manifest nor an index",
            |_| Some(answer(200, "{}").with("content-type", "text/html")),
        ),
        ("/manifests/v1", "missing field", |_| {
            Some(answer(200, "{}").with("content-type", MANIFEST))
        }),
        ("/manifests/v1", "the manifest: expected sha256", |_| {
            let said = format!("sha256:{}", Digest::of(b"other"));
            let body = answer(200, "{}").with("content-type", MANIFEST);
            Some(body.with("docker-content-digest", said))
        }),
        (
            "/blobs/",
            "a blob (15 bytes of 15): expected sha256",
            |_| Some(answer(200, "\0asm not reallz")),
        ),
        ("/blobs/", "a blob (5 bytes of 15): expected sha256", |_| {
            Some(answer(200, &MODULE[..5]))
        }),
        ("/blobs/", "has more than its 15 bytes", |_| {
            Some(answer(200, vec![0; 1 << 20]))
        }),
        ("/blobs/", "another range", |_| {
            Some(answer(206, MODULE).with("content-range", "bytes 3-17/18"))
        }),
    ];
    for (part, said, change) in cases {
        let server = Server::start(true, Guard::Open);
        pushed(&server);
        server.bend(move |asked| change(asked).filter(|_| asked.path.contains(part)));
        let error = pulled(&server, ":v1").unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
        assert!(
            error.contains(&server.address) || said == "missing field",
            "{error}"
        );
    }
}

#[test]
fn an_error_names_everything() {
    let server = Server::start(true, Guard::Open);
    let error = problem(pulled(&server, ":v9").unwrap_err());
    assert_eq!(
        error.to_string(),
        format!(
            "registry {}, repository modules, reference v9: reading the manifest: \
             status 404 MANIFEST_UNKNOWN: manifest unknown",
            server.address
        )
    );
    assert!(error.hint.is_some());
    // A closed port.
    let from = Reference::parse("oci:127.0.0.1:1/modules:v1").unwrap();
    let error = problem(pull(&from, &access()).unwrap_err());
    assert_eq!(error.status, None);
    assert!(
        error
            .hint
            .unwrap()
            .contains("a folder is written oci:./127.0.0.1:1/")
    );
}

#[test]
fn a_name_of_another_digest_is_refused() {
    let server = Server::start(true, Guard::Open);
    let digest = pushed(&server);
    let name = format!("@sha256:{}", Digest::of(b"wanted"));
    let kept = server.state().manifests[&format!("sha256:{digest}")].clone();
    server.state().manifests.insert(name[1..].to_owned(), kept);
    let error = pulled(&server, &name).unwrap_err().to_string();
    assert!(error.contains("the manifest: expected sha256"), "{error}");
    let to = server.reference(&name);
    let error = push(&to, MODULE, &About::default(), &[], &access()).unwrap_err();
    assert!(error.to_string().contains("pushed under a tag"), "{error}");
}

#[test]
fn what_is_no_wasm_artifact_is_refused() {
    let server = Server::start(true, Guard::Open);
    let layer = Descriptor::new("application/wasm", MODULE);
    let tar = Descriptor::new("application/vnd.oci.image.layer.v1.tar", MODULE);
    let wasm = Descriptor::new(WASM_CONFIG, b"{}");
    let image = Descriptor::new("application/vnd.oci.image.config.v1+json", b"{}");
    for (said, config, layers) in [
        ("2 layers", &wasm, vec![&layer, &layer]),
        ("0 layers", &wasm, vec![]),
        ("application/wasm", &wasm, vec![&tar]),
        ("no Wasm artifact", &image, vec![&layer]),
    ] {
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        server.keep(&["v1"], MANIFEST, &manifest);
        let error = pulled(&server, ":v1").unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
    let mut huge = layer;
    huge.size = MAX_MODULE + 1;
    let manifest = json!({"schemaVersion": 2, "config": wasm, "layers": [huge]});
    server.keep(&["v1"], MANIFEST, &manifest);
    let error = pulled(&server, ":v1").unwrap_err().to_string();
    assert!(error.contains("at most 134217728"), "{error}");
    let empty = json!({"schemaVersion": 2, "manifests": []});
    server.keep(&["v1"], INDEX, &empty);
    let error = pulled(&server, ":v1").unwrap_err().to_string();
    assert!(error.contains("an index without a module"), "{error}");
}

/// Connections that break in the middle go on where they were, and not for ever.
#[test]
fn broken_connections_go_on() {
    let large: Vec<u8> = (0..1_000_000u32).map(|n| (n / 7) as u8).collect();
    let server = Server::start(true, Guard::Open);
    let to = server.reference(":v1");
    server.state().stop_after = Some(400_000);
    push(&to, &large, &About::default(), &[], &access()).unwrap();
    assert_eq!(
        server.count("PATCH", "/uploads/"),
        1,
        "what had come was kept"
    );
    let sent = server
        .state()
        .asked
        .iter()
        .find(|asked| asked.method == "PATCH")
        .cloned();
    assert_eq!(sent.unwrap().body.len(), 600_000);

    let (bytes, mut cuts) = (large.clone(), 0);
    let digest = Descriptor::new("", &large).digest;
    server.bend(move |asked| {
        let own = asked.method == "GET" && asked.path.ends_with(&digest);
        cuts += usize::from(own);
        let from = match asked.headers.get("range") {
            Some(range) => range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse()
                .unwrap(),
            None => 0usize,
        };
        let rest = bytes.get(from..)?;
        let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
        (own && cuts <= 3).then(|| Answer {
            status: if from == 0 { 200 } else { 206 },
            headers: vec![("content-range", range)],
            body: rest.to_vec(),
            cut: Some(1000),
        })
    });
    assert_eq!(pulled(&server, ":v1").unwrap().module, large);
    let asked = server.state().asked.clone();
    let ranges: Vec<_> = asked
        .iter()
        .filter_map(|asked| asked.headers.get("range"))
        .collect();
    assert_eq!(ranges, ["bytes=1000-", "bytes=2000-", "bytes=3000-"]);

    let bytes = large;
    server.bend(move |asked| {
        let own = asked.path.contains("/blobs/");
        own.then(|| Answer {
            cut: Some(10),
            ..answer(200, bytes.clone())
        })
    });
    let error = problem(pulled(&server, ":v1").unwrap_err());
    assert_eq!((error.status, error.step), (None, "reading a blob"));
}

/// Rights that a registry does not give are told from a registry that cannot be reached.
#[test]
fn a_push_that_is_refused_says_why() {
    let server = Server::start(true, Guard::Open);
    let to = server.reference(":v1");
    server.bend(|asked| (asked.method == "POST").then(|| error(403, "DENIED", "read only")));
    let refused = problem(push(&to, MODULE, &About::default(), &[], &access()).unwrap_err());
    assert_eq!(
        (refused.status, refused.step),
        (Some(403), "writing a blob")
    );
    assert!(
        refused.to_string().contains("DENIED: read only"),
        "{refused}"
    );
    for (location, said) in [
        (None, "without a place"),
        (Some("ftp://elsewhere/x"), "it sends on to"),
        (Some("//elsewhere/x"), "it sends on to"),
    ] {
        server.bend(move |asked| {
            let begun = location.map_or(answer(202, ""), |to| answer(202, "").with("location", to));
            (asked.method == "POST").then_some(begun)
        });
        let error = push(&to, MODULE, &About::default(), &[], &access()).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    server.bend(|asked| {
        let manifest = asked.method == "PUT" && asked.path.contains("/manifests/");
        manifest.then(|| error(400, "MANIFEST_INVALID", "no"))
    });
    let refused = problem(push(&to, MODULE, &About::default(), &[], &access()).unwrap_err());
    assert_eq!(refused.code.as_deref(), Some("MANIFEST_INVALID"));
}

#[test]
fn docker_hub_has_another_address() {
    let url = |word: &str| match Reference::parse(word).unwrap().store {
        super::super::Store::Repository(at) => wire::address(&at),
        other => panic!("{other}"),
    };
    assert_eq!(url("oci:ghcr.io/a/b"), "https://ghcr.io/v2/a/b");
    assert_eq!(url("oci:localhost:5000/a"), "http://localhost:5000/v2/a");
    assert_eq!(
        url("oci:docker.io/a"),
        "https://registry-1.docker.io/v2/library/a"
    );
    assert_eq!(
        url("oci:docker.io/a/b"),
        "https://registry-1.docker.io/v2/a/b"
    );
}
