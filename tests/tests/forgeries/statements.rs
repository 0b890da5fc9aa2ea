//! The in-toto statement of a module's envelope: subjects and predicate. Each is signed.

use fedseal_client_sdk::canonical;
use serde_json::{Value, json};

use crate::Corpus;
use crate::envelopes::{bent, check, signed, statement};

pub(crate) fn forge(corpus: &mut Corpus) {
    check(&bent(|_| {})).expect("a statement that was bent by nothing is accepted");
    subjects(corpus);
    predicates(corpus);
    not_one_statement(corpus);
}

fn subjects(corpus: &mut Corpus) {
    let digest = |s: &Value| {
        s["subject"][0]["digest"]["sha256"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut case = |name: &str, reason: &str, change: &dyn Fn(&mut Value)| {
        corpus.refuse(name, reason, check(&bent(change)));
    };
    case("no subject", "it has no subject", &|s| {
        s["subject"] = json!([])
    });
    case("the subject twice", "occurs twice", &|s| {
        let one = s["subject"][0].clone();
        s["subject"].as_array_mut().unwrap().push(one);
    });
    case("a second subject", "2 subjects, a module has one", &|s| {
        let mut other = s["subject"][0].clone();
        other["name"] = "b.wasm".into();
        s["subject"].as_array_mut().unwrap().push(other);
    });
    case(
        "the subject under another name",
        "module statement subject",
        &|s| {
            s["subject"][0]["name"] = "other.wasm".into();
        },
    );
    case(
        "the subject without its ending",
        "module statement subject",
        &|s| {
            s["subject"][0]["name"] = "plain".into();
        },
    );
    case("a digest of something else", "expected sha256", &|s| {
        s["subject"][0]["digest"]["sha256"] = "0".repeat(64).into();
    });
    for algorithm in ["sha1", "md5", "sha512", "SHA256", "sha-256", "none"] {
        case(
            &format!("digest algorithm {algorithm}"),
            "without a sha256 digest",
            &|s| {
                s["subject"][0]["digest"] = json!({ algorithm: digest(s) });
            },
        );
    }
    case("no digest at all", "without a sha256 digest", &|s| {
        s["subject"][0]["digest"] = json!({})
    });
    type Bend = (&'static str, fn(&str) -> String);
    let bends: [Bend; 6] = [
        ("in capitals", |d| d.to_uppercase()),
        ("cut", |d| d[..62].to_owned()),
        ("longer", |d| format!("{d}00")),
        ("with 0x", |d| format!("0x{}", &d[2..])),
        ("with a space", |d| format!(" {}", &d[1..])),
        ("no hex", |d| format!("zz{}", &d[2..])),
    ];
    for (name, bend) in bends {
        case(&format!("digest {name}"), "lowercase hex", &|s| {
            s["subject"][0]["digest"]["sha256"] = bend(&digest(s)).into();
        });
    }
    case("digest as a list", "invalid type", &|s| {
        s["subject"][0]["digest"]["sha256"] = json!([1, 2, 3]);
    });
}

fn predicates(corpus: &mut Corpus) {
    for name in [
        "",
        "../plain",
        "Plain",
        "pl ain",
        "plain\u{0}",
        "plain/..",
        "pläin",
    ] {
        let envelope = bent(|s| {
            s["predicate"]["name"] = name.into();
            s["subject"][0]["name"] = format!("{name}.wasm").into();
        });
        corpus.refuse(
            format!("module name {name:?}"),
            "the name",
            check(&envelope),
        );
    }
    let mut case = |name: &str, reason: &str, change: &dyn Fn(&mut Value)| {
        corpus.refuse(name, reason, check(&bent(change)));
    };
    let long = "x".repeat(2_000);
    case("a version with a line end", "version is longer", &|s| {
        s["predicate"]["version"] = "1.0\n2.0".into();
    });
    case("a version with an escape", "version is longer", &|s| {
        s["predicate"]["version"] = "1\u{1b}[2J".into();
    });
    case(
        "a description of 2,000 bytes",
        "description is longer",
        &|s| {
            s["predicate"]["description"] = long.as_str().into();
        },
    );
    case("a kind with a control character", "kind is longer", &|s| {
        s["predicate"]["kind"] = "benign\u{7f}".into();
    });
    case("a field that nobody knows", "unknown field", &|s| {
        s["predicate"]["trusted"] = true.into();
    });
    case("no version", "missing field", &|s| {
        s["predicate"].as_object_mut().unwrap().remove("version");
    });
    case("a number as the name", "invalid type", &|s| {
        s["predicate"]["name"] = 1.into()
    });
    case("no predicate", "missing field", &|s| {
        s.as_object_mut().unwrap().remove("predicate");
    });
}

/// Signed, and still refused: another tool may write a statement in another form, and none that says two
/// things. What only our programs make must be canonical: see the attestations.
fn not_one_statement(corpus: &mut Corpus) {
    let text = String::from_utf8(canonical::to_vec(&statement()).unwrap()).unwrap();
    for (name, reason, payload) in [
        (
            "with a field twice",
            "duplicate field",
            text.replacen("{\"_type\"", "{\"_type\":\"x\",\"_type\"", 1),
        ),
        ("cut", "EOF", text[..text.len() - 1].to_owned()),
    ] {
        corpus.refuse(
            format!("statement {name}"),
            reason,
            check(&signed(payload.as_bytes())),
        );
    }
}
