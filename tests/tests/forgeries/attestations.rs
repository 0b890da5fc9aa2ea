//! Update attestations: what a node says about an execution, said by somebody else or about
//! something else, or contradicting itself.

use fedseal_client_sdk::Result;
use fedseal_client_sdk::attestation::{
    self, DataUse, Failure, Limits, TranscriptRef, UpdatePredicate, Usage, VerifiedUpdate,
};
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::ids::{Round, Seed};
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::lineage::{Kind, Lineage};
use fedseal_client_sdk::statement::PAYLOAD_TYPE;
use serde_json::{Value, json};

use crate::Corpus;

fn node() -> SigningKey {
    SigningKey::from_seed([3; 32])
}

/// An honest execution: trained from the global adapter on the shard.
fn honest() -> UpdatePredicate {
    let mut lineage = Lineage::default();
    let none = std::collections::BTreeMap::new;
    let digest = |text: &[u8]| Some(Digest::of(text));
    let global = lineage.push(Kind::Global, vec![], digest(b"global"), None, none());
    let shard = lineage.push(Kind::Shard, vec![], digest(b"shard"), Some(8), none());
    let train = lineage.push(
        Kind::Train,
        vec![global, shard],
        digest(b"update"),
        None,
        none(),
    );
    lineage.output = Some(train);
    UpdatePredicate {
        client: "client-00".into(),
        round: Round(1),
        seed: Seed(42),
        module: Digest::of(b"module"),
        module_signer: SigningKey::from_seed([4; 32]).public(),
        node: node().public(),
        base: Digest::of(b"base"),
        global: Digest::of(b"global"),
        update: digest(b"update"),
        examples: 8,
        data: vec![DataUse {
            origin: "shard".into(),
            digest: Digest::of(b"shard"),
            examples: 8,
        }],
        data_score: Some(0.9),
        lineage,
        transcript: TranscriptRef {
            root: Digest::of(b"root"),
            entries: 6,
            blob: Digest::of(b"blob"),
        },
        limits: Limits::default(),
        used: Usage::default(),
        failure: None,
        engine: "test".into(),
        seconds: 0.25,
    }
}

fn check(envelope: &Envelope) -> Result<VerifiedUpdate> {
    attestation::verify(envelope, &[node().public()])
}

/// The statement with one change, signed by the node itself: a node that lies or errs.
fn bent(change: impl FnOnce(&mut Value)) -> Envelope {
    let statement = attestation::statement(honest());
    let mut statement = serde_json::to_value(&statement).unwrap();
    change(&mut statement);
    Envelope::sign(
        PAYLOAD_TYPE,
        &canonical::to_vec(&statement).unwrap(),
        &node(),
    )
}

pub(crate) fn forge(corpus: &mut Corpus) {
    let genuine = attestation::sign(&honest(), &node()).unwrap();
    check(&genuine).expect("the genuine attestation is accepted");
    check(&bent(|_| {})).expect("and a statement that was bent by nothing");
    changed_afterwards(corpus, &genuine);
    signers(corpus, &genuine);
    subjects(corpus);
    contradictions(corpus);
    lineages(corpus);
    numbers(corpus);
}

/// Fields changed under the old signature.
fn changed_afterwards(corpus: &mut Corpus, genuine: &Envelope) {
    let other = || json!(Digest::of(b"another"));
    let changes: [(&str, &str, Value); 18] = [
        ("client", "/predicate/client", json!("client-01")),
        ("round", "/predicate/round", json!(2)),
        ("seed", "/predicate/seed", json!(43)),
        ("module", "/predicate/module", other()),
        (
            "module signer",
            "/predicate/module_signer",
            json!(node().public()),
        ),
        (
            "node",
            "/predicate/node",
            json!(SigningKey::from_seed([4; 32]).public()),
        ),
        ("base", "/predicate/base", other()),
        ("global adapter", "/predicate/global", other()),
        ("update", "/predicate/update", other()),
        ("examples", "/predicate/examples", json!(8_000)),
        ("data origin", "/predicate/data/0/origin", json!("literal")),
        ("data digest", "/predicate/data/0/digest", other()),
        ("data score", "/predicate/data_score", json!(1)),
        (
            "lineage kind",
            "/predicate/lineage/nodes/1/kind",
            json!("literal"),
        ),
        ("transcript root", "/predicate/transcript/root", other()),
        ("fuel limit", "/predicate/limits/fuel", json!(1)),
        ("engine", "/predicate/engine", json!("another")),
        ("subject", "/subject/0/digest/sha256", other()),
    ];
    for (name, place, value) in changes {
        let mut envelope = bent(|s| *s.pointer_mut(place).unwrap() = value);
        envelope.signatures.clone_from(&genuine.signatures);
        corpus.refuse(
            format!("{name} changed under the old signature"),
            "no signature of a trusted key verifies",
            check(&envelope),
        );
    }
}

fn signers(corpus: &mut Corpus, genuine: &Envelope) {
    let stranger = SigningKey::from_seed([5; 32]);
    let payload = genuine.unverified_payload().unwrap();
    let theirs = Envelope::sign(PAYLOAD_TYPE, &payload, &stranger);
    corpus.refuse(
        "signed by a stranger",
        "no signature of a trusted key",
        check(&theirs),
    );
    // Both are trusted nodes; one speaks in the other's name.
    corpus.refuse(
        "one node in another's name",
        "attestation node key: expected",
        attestation::verify(&theirs, &[node().public(), stranger.public()]),
    );
    let mut twice = genuine.clone();
    twice.signatures.extend(theirs.signatures);
    corpus.refuse("two signatures", "it has exactly one", check(&twice));
    let mut none = genuine.clone();
    none.signatures.clear();
    corpus.refuse("no signature", "it has exactly one", check(&none));
    for keyid in ["", "0000000000000000", "*"] {
        let mut renamed = genuine.clone();
        renamed.signatures[0].keyid = keyid.into();
        corpus.refuse(
            format!("key id {keyid:?}"),
            "attestation keyid",
            check(&renamed),
        );
    }
    corpus.refuse(
        "no trusted node",
        "no trusted key was given",
        attestation::verify(genuine, &[]),
    );
    let module = fedseal_client_sdk::module::sign(
        b"wasm",
        &fedseal_client_sdk::module::ModulePredicate::new("plain", "1"),
        &node(),
    );
    corpus.refuse(
        "a module's envelope in place of an attestation",
        "UpdatePredicate",
        check(&module.unwrap()).map_err(|error| format!("UpdatePredicate: {error}")),
    );
    for kind in [
        "urn:fedseal:update:v0",
        "urn:fedseal:update:v2",
        "urn:fedseal:module:v1",
    ] {
        corpus.refuse(
            format!("predicate type {kind}"),
            "statement predicateType: expected",
            check(&bent(|s| s["predicateType"] = kind.into())),
        );
    }
}

fn subjects(corpus: &mut Corpus) {
    const WRONG: &str = "attestation subjects: expected";
    let mut case = |name: &str, reason: &str, change: &dyn Fn(&mut Value)| {
        corpus.refuse(name, reason, check(&bent(change)));
    };
    case("subjects swapped", WRONG, &|s| {
        s["subject"].as_array_mut().unwrap().reverse()
    });
    case("digests of the subjects swapped", WRONG, &|s| {
        let (a, b) = (
            s["subject"][0]["digest"].clone(),
            s["subject"][1]["digest"].clone(),
        );
        s["subject"][0]["digest"] = b;
        s["subject"][1]["digest"] = a;
    });
    case("no transcript among the subjects", WRONG, &|s| {
        s["subject"].as_array_mut().unwrap().pop();
    });
    case("no update among the subjects", WRONG, &|s| {
        s["subject"].as_array_mut().unwrap().remove(0);
    });
    case("another update as the subject", WRONG, &|s| {
        s["subject"][0]["digest"]["sha256"] = json!(Digest::of(b"another"));
    });
    case("another update in the predicate", WRONG, &|s| {
        s["predicate"]["update"] = json!(Digest::of(b"another"));
    });
    case("a third subject", WRONG, &|s| {
        let mut third = s["subject"][0].clone();
        third["name"] = "model".into();
        s["subject"].as_array_mut().unwrap().push(third);
    });
    case("the update twice", "occurs twice", &|s| {
        let one = s["subject"][0].clone();
        s["subject"].as_array_mut().unwrap().push(one);
    });
}

fn contradictions(corpus: &mut Corpus) {
    let failure = json!(Failure {
        reason: "fuel".into(),
        detail: "fuel is 1".into(),
    });
    let mut case = |name: &str, reason: &str, change: &dyn Fn(&mut Value)| {
        corpus.refuse(name, reason, check(&bent(change)));
    };
    case("an update and a failure", "an update and a failure", &|s| {
        s["predicate"]["failure"] = failure.clone();
    });
    case(
        "neither update nor failure",
        "neither an update nor a failure",
        &|s| {
            s["predicate"]["update"] = Value::Null;
            s["subject"].as_array_mut().unwrap().remove(0);
        },
    );
    case(
        "an update that comes from nowhere",
        "its lineage has no output",
        &|s| {
            s["predicate"]["lineage"]["output"] = Value::Null;
        },
    );
    case(
        "an update that is not the lineage's output",
        "another digest than the update",
        &|s| {
            s["predicate"]["lineage"]["nodes"][2]["digest"] = json!(Digest::of(b"another"));
        },
    );
    for origin in ["", "Shard", "public", "shard "] {
        case(
            &format!("data origin {origin:?}"),
            "data origin is not",
            &|s| {
                s["predicate"]["data"][0]["origin"] = origin.into();
            },
        );
    }
    for score in [-0.1, 1.5, 1e300] {
        case(&format!("data score {score}"), "outside [0, 1]", &|s| {
            s["predicate"]["data_score"] = json!(score);
        });
    }
    case("negative seconds", "seconds are negative", &|s| {
        s["predicate"]["seconds"] = json!(-1)
    });
    for field in [
        "client",
        "seed",
        "lineage",
        "transcript",
        "limits",
        "module",
        "node",
    ] {
        case(&format!("no {field}"), "missing field", &|s| {
            s["predicate"].as_object_mut().unwrap().remove(field);
        });
    }
    case("a field that nobody knows", "unknown field", &|s| {
        s["predicate"]["replayed"] = true.into();
    });
    case("a limit that nobody knows", "unknown field", &|s| {
        s["predicate"]["limits"]["luck"] = 1.into();
    });
    case("a limit left out", "not canonical", &|s| {
        s["predicate"]["limits"]
            .as_object_mut()
            .unwrap()
            .remove("fuel");
    });
    case(
        "a signer that is a point of small order",
        "small order",
        &|s| {
            s["predicate"]["module_signer"] = format!("01{}", "0".repeat(62)).into();
        },
    );
}

fn lineages(corpus: &mut Corpus) {
    let mut case = |name: &str, reason: &str, change: &dyn Fn(&mut Value)| {
        let bend = |s: &mut Value| change(&mut s["predicate"]["lineage"]);
        corpus.refuse(format!("lineage: {name}"), reason, check(&bent(bend)));
    };
    case("a node under another number", "it says it is node", &|l| {
        l["nodes"][1]["id"] = json!(7);
    });
    case("a node made from itself", "does not come before it", &|l| {
        l["nodes"][2]["inputs"] = json!([2, 1]);
    });
    case(
        "a node made from a later one",
        "does not come before it",
        &|l| {
            l["nodes"][0]["inputs"] = json!([2]);
        },
    );
    case(
        "a node made from one that is not there",
        "does not come before it",
        &|l| {
            l["nodes"][2]["inputs"] = json!([0, 99]);
        },
    );
    case("trained on nothing", "do not fit", &|l| {
        l["nodes"][2]["inputs"] = json!([0])
    });
    case("trained on two datasets", "do not fit", &|l| {
        l["nodes"][2]["inputs"] = json!([1, 1])
    });
    case("trained from two adapters", "do not fit", &|l| {
        l["nodes"][2]["inputs"] = json!([0, 0])
    });
    case("a sum of one", "do not fit", &|l| {
        l["nodes"][2]["kind"] = "add".into();
        l["nodes"][2]["inputs"] = json!([0]);
    });
    case("a sum with a dataset", "do not fit", &|l| {
        l["nodes"][2]["kind"] = "add".into()
    });
    case("a scaled dataset", "do not fit", &|l| {
        l["nodes"][2]["kind"] = "scale".into();
        l["nodes"][2]["inputs"] = json!([1]);
    });
    case("clipped from two", "do not fit", &|l| {
        l["nodes"][2]["kind"] = "clip".into()
    });
    case("noise on nothing", "do not fit", &|l| {
        l["nodes"][2]["kind"] = "noise".into();
        l["nodes"][2]["inputs"] = json!([]);
    });
    case("a dataset without a count", "has a count", &|l| {
        l["nodes"][1]["count"] = Value::Null
    });
    case("an adapter with a count", "has a count", &|l| {
        l["nodes"][2]["count"] = json!(3)
    });
    case("a dataset as the output", "the output 1 is", &|l| {
        l["output"] = json!(1)
    });
    case("an output that is not there", "does not exist", &|l| {
        l["output"] = json!(9)
    });
    case("a kind that nobody knows", "unknown variant", &|l| {
        l["nodes"][2]["kind"] = "blessed".into();
    });
    case("a field that nobody knows", "unknown field", &|l| {
        l["nodes"][2]["note"] = "x".into()
    });
}

/// Numbers that mean the same and are written in another way, signed by the node.
fn numbers(corpus: &mut Corpus) {
    let text = canonical::to_vec(&attestation::statement(honest())).unwrap();
    let text = String::from_utf8(text).unwrap();
    let bends = [
        ("0.25", "0.250", "not canonical"),
        ("0.25", "25e-2", "not canonical"),
        ("0.25", "2.5E-1", "not canonical"),
        ("\"round\":1,", "\"round\":1.0,", "invalid type"),
        ("\"round\":1,", "\"round\":-1,", "invalid value"),
        ("\"round\":1,", "\"round\":4294967296,", "invalid value"),
        ("\"round\":1,", "\"round\":\"1\",", "invalid type"),
        ("\"seed\":42", "\"seed\":18446744073709551616", "invalid"),
        ("\"seed\":42", "\"seed\":042", "invalid number"),
        ("\"seed\":42", "\"seed\":+42", "expected value"),
        ("\"seconds\":0.25", "\"seconds\":NaN", "expected value"),
        (
            "\"seconds\":0.25",
            "\"seconds\":1e999",
            "number out of range",
        ),
        (
            "\"examples\":8",
            "\"examples\":8,\"examples\":9",
            "duplicate field",
        ),
    ];
    for (from, to, reason) in bends {
        let bent = text.replacen(from, to, 1);
        assert_ne!(bent, text, "{from}");
        let envelope = Envelope::sign(PAYLOAD_TYPE, bent.as_bytes(), &node());
        corpus.refuse(format!("{from} written as {to}"), reason, check(&envelope));
    }
}
