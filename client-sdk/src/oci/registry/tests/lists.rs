//! Lists of referrers, indexes, and what others put into them.

use serde_json::Value;

use super::super::super::artifact::MAX_ENVELOPES;
use super::server::{Guard, Server, answer, error};
use super::*;

/// An entry of an index.
fn entry(digest: &str, size: u64) -> Value {
    json!({"mediaType": MANIFEST, "digest": digest, "size": size})
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest::of(bytes))
}

/// Entries of others are none of a module's business: in the list of referrers, under the tag in its
/// place, and where a tag stands for an index.
#[test]
fn unrelated_entries_do_not_stop_a_module() {
    let others = || {
        let mut image = entry(&sha256(b"image"), 9);
        image["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into();
        vec![
            entry(&sha256(b"gone"), 2),
            entry(&format!("sha512:{}", "ab".repeat(64)), 2),
            entry(&sha256(b"huge"), u64::MAX),
            entry("sha256:../..", 2),
            image,
        ]
    };
    for referrers in [true, false] {
        let server = Server::start(referrers, Guard::Open);
        let digest = pushed(&server);
        let manifest = server.state().manifests["v1"].clone();
        let broken = server.keep(&[], MANIFEST, &json!({"no": "manifest"}));
        let own: Vec<_> = {
            let state = server.state();
            let named = state.manifests.iter();
            named
                .filter(|(name, (kind, _))| kind == MANIFEST && name.starts_with("sha256:"))
                .map(|(name, (_, bytes))| entry(name, bytes.len() as u64))
                .collect()
        };
        let mut entries = others();
        entries.push(serde_json::to_value(&broken).unwrap());
        entries.extend(own);
        entries.extend(others());
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        server.keep(&["many", &format!("sha256-{digest}")], INDEX, &index);
        let text = index.to_string();
        if referrers {
            server.bend(move |asked| {
                let list = asked.path.contains("/referrers/");
                list.then(|| answer(200, text.clone()).with("content-type", INDEX))
            });
        }
        for name in [":v1", ":many"] {
            let pulled = pulled(&server, name).unwrap();
            assert_eq!(pulled.module, MODULE, "{name}");
            assert_eq!(pulled.envelopes, [signed(7)], "{name}");
            assert_eq!(pulled.manifest, Digest::of(&manifest.1));
        }
    }
}

#[test]
fn a_list_may_have_pages_and_has_an_end() {
    let server = Server::start(true, Guard::Open);
    pushed(&server);
    attach(&server.reference(":v1"), &signed(8), &access()).unwrap();
    let page = |manifests: Vec<serde_json::Value>| {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        answer(200, index.to_string()).with("content-type", INDEX)
    };
    let referrers: Vec<_> = {
        let state = server.state();
        let of = |bytes: &[u8]| serde_json::to_value(Descriptor::new(MANIFEST, bytes)).unwrap();
        let has = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("\"subject\"");
        let kept = state.manifests.values().filter(|(_, bytes)| has(bytes));
        kept.map(|(_, bytes)| of(bytes)).collect()
    };
    assert_eq!(referrers.len(), 2);
    let (first, second) = (vec![referrers[0].clone()], vec![referrers[1].clone()]);
    server.bend(move |asked| match asked.path.as_str() {
        path if path.contains("/referrers/") => {
            let next = "</v2/modules/more?last=1>; rel=\"next\"";
            Some(page(first.clone()).with("link", next))
        }
        "/v2/modules/more?last=1" => Some(page(second.clone())),
        _ => None,
    });
    assert_eq!(pulled(&server, ":v1").unwrap().envelopes.len(), 2);

    // A list that leads to itself, more envelopes than count, and more entries than are looked at.
    server.bend(move |asked| {
        let address = asked.path.clone();
        let list = address.contains("/referrers/");
        list.then(|| page(Vec::new()).with("link", format!("<{address}>; rel=\"next\"")))
    });
    let error = pulled(&server, ":v1").unwrap_err().to_string();
    assert!(error.contains("100 pages"), "{error}");
    let many = vec![referrers[0].clone(); MAX_ENVELOPES + 1];
    server.bend(move |asked| {
        let list = asked.path.contains("/referrers/");
        list.then(|| page(many.clone()))
    });
    let error = pulled(&server, ":v1").unwrap_err().to_string();
    assert!(error.contains("more than 64 envelopes"), "{error}");
    let gone = vec![entry(&sha256(b"gone"), 2); MAX_ASKED as usize + 1];
    server.bend(move |asked| {
        let list = asked.path.contains("/referrers/");
        list.then(|| page(gone.clone()))
    });
    let error = pulled(&server, ":v1").unwrap_err().to_string();
    assert!(error.contains("more than 256 to look at"), "{error}");
}

/// A registry that fails while signatures are read is not one without signatures.
#[test]
fn a_list_that_cannot_be_read_is_an_error() {
    for part in ["/referrers/", "/manifests/sha256:", "/blobs/sha256:"] {
        let server = Server::start(true, Guard::Open);
        pushed(&server);
        let mut seen = 0;
        server.bend(move |asked| {
            seen += usize::from(asked.path.contains(part));
            // The first blob is the module.
            let from = if part == "/blobs/sha256:" { 2 } else { 1 };
            (asked.path.contains(part) && seen >= from).then(|| error(503, "UNAVAILABLE", "later"))
        });
        let error = problem(pulled(&server, ":v1").unwrap_err());
        assert_eq!(error.status, Some(503), "{part}");
    }
}
