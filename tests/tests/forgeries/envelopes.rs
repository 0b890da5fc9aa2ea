//! Module envelopes: DSSE, its signatures, its types and its JSON. What is in them: `statements`.

use fedseal_client_sdk::Result;
use fedseal_client_sdk::canonical;
use fedseal_client_sdk::dsse::{Envelope, EnvelopeSignature};
use fedseal_client_sdk::keys::{PublicKey, SigningKey};
use fedseal_client_sdk::module::{self, ModulePredicate, VerifiedModule};
use fedseal_client_sdk::statement::PAYLOAD_TYPE;
use serde_json::Value;

use crate::Corpus;

pub(crate) const WASM: &[u8] = b"\0asm, for the sake of the argument";

pub(crate) fn author() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

pub(crate) fn check(envelope: &Envelope) -> Result<VerifiedModule> {
    module::verify(WASM, envelope, &[author().public()])
}

/// The statement of a genuine envelope, to be bent.
pub(crate) fn statement() -> Value {
    let envelope = module::sign(WASM, &ModulePredicate::new("plain", "1.0"), &author()).unwrap();
    serde_json::from_slice(&envelope.unverified_payload().unwrap()).unwrap()
}

/// Signs whatever bytes: the author's key in wrong hands or a sloppy tool.
pub(crate) fn signed(payload: &[u8]) -> Envelope {
    Envelope::sign(PAYLOAD_TYPE, payload, &author())
}

/// The statement with one change, canonical, signed.
pub(crate) fn bent(change: impl FnOnce(&mut Value)) -> Envelope {
    let mut statement = statement();
    change(&mut statement);
    signed(&canonical::to_vec(&statement).unwrap())
}

pub(crate) fn forge(corpus: &mut Corpus) {
    let genuine = module::sign(WASM, &ModulePredicate::new("plain", "1.0"), &author()).unwrap();
    check(&genuine).expect("the genuine envelope is accepted");
    check(&bent(|_| {})).expect("and so is a statement that was bent by nothing");
    flipped(corpus, &genuine);
    keys(corpus, &genuine);
    types(corpus, &genuine);
    signatures(corpus, &genuine);
    shapes(corpus, &genuine);
}

fn flipped(corpus: &mut Corpus, genuine: &Envelope) {
    const NONE: &str = "no signature of a trusted key verifies";
    let payload = genuine.unverified_payload().unwrap();
    for at in (0..payload.len()).step_by(payload.len() / 20) {
        let mut bytes = payload.clone();
        bytes[at] ^= 1 << (at % 8);
        let mut envelope = signed(&bytes);
        envelope.signatures.clone_from(&genuine.signatures);
        corpus.refuse(format!("payload byte {at} flipped"), NONE, check(&envelope));
    }
    for at in (0..64).step_by(4) {
        let mut raw = decode(&genuine.signatures[0].sig);
        raw[at] ^= 1 << (at % 8);
        let mut envelope = genuine.clone();
        envelope.signatures[0].sig = encode(&raw);
        corpus.refuse(
            format!("signature byte {at} flipped"),
            NONE,
            check(&envelope),
        );
    }
    for at in (0..WASM.len()).step_by(5) {
        let mut bytes = WASM.to_vec();
        bytes[at] ^= 0x20;
        let result = module::verify(&bytes, genuine, &[author().public()]);
        corpus.refuse(
            format!("module byte {at} flipped"),
            "expected sha256",
            result,
        );
    }
    for (name, bytes) in [
        ("cut", &WASM[..WASM.len() - 1]),
        ("longer", &[WASM, b"\0"].concat()),
        ("empty", b""),
    ] {
        let result = module::verify(bytes, genuine, &[author().public()]);
        corpus.refuse(format!("module {name}"), "expected sha256", result);
    }
}

fn keys(corpus: &mut Corpus, genuine: &Envelope) {
    let stranger = SigningKey::from_seed([2; 32]);
    let verify = |envelope: &Envelope, keys: &[PublicKey]| module::verify(WASM, envelope, keys);
    corpus.refuse(
        "nobody is trusted",
        "no trusted key was given",
        verify(genuine, &[]),
    );
    corpus.refuse(
        "only a stranger is trusted",
        "no signature of a trusted key",
        verify(genuine, &[stranger.public()]),
    );
    let theirs = module::sign(WASM, &ModulePredicate::new("plain", "1.0"), &stranger).unwrap();
    corpus.refuse(
        "signed by a stranger",
        "no signature of a trusted key",
        check(&theirs),
    );
    let mut renamed = theirs;
    renamed.signatures[0]
        .keyid
        .clone_from(&genuine.signatures[0].keyid);
    corpus.refuse(
        "signed by a stranger under the author's key id",
        "no signature of a trusted key",
        check(&renamed),
    );
    let other = module::sign(b"other", &ModulePredicate::new("other", "1.0"), &author()).unwrap();
    let mut moved = genuine.clone();
    moved.signatures.clone_from(&other.signatures);
    corpus.refuse(
        "the author's signature of another module",
        "no signature of a trusted key",
        check(&moved),
    );
    corpus.refuse(
        "the envelope of another module",
        "expected sha256",
        check(&other),
    );
}

fn types(corpus: &mut Corpus, genuine: &Envelope) {
    let payload = genuine.unverified_payload().unwrap();
    for kind in [
        "",
        "text/plain",
        "application/json",
        "application/vnd.in-toto+xml",
        "application/vnd.in-toto+json ",
        "APPLICATION/VND.IN-TOTO+JSON",
        "application/vnd.in-toto+json;v=0",
    ] {
        let mut relabelled = genuine.clone();
        relabelled.payload_type = kind.into();
        corpus.refuse(
            format!("payload type {kind:?} over an old signature"),
            "DSSE payload type: expected",
            check(&relabelled),
        );
        let anew = Envelope::sign(kind, &payload, &author());
        corpus.refuse(
            format!("payload type {kind:?}, signed"),
            "DSSE payload type: expected",
            check(&anew),
        );
    }
    for kind in [
        "",
        "urn:fedseal:module:v0",
        "urn:fedseal:module:v1 ",
        "urn:fedseal:module:v11",
        "urn:fedseal:update:v1",
        "https://slsa.dev/provenance/v1",
    ] {
        let envelope = bent(|s| s["predicateType"] = kind.into());
        corpus.refuse(
            format!("predicate type {kind:?}"),
            "statement predicateType: expected",
            check(&envelope),
        );
    }
    for kind in [
        "",
        "https://in-toto.io/Statement/v0.1",
        "https://in-toto.io/Statement/v1/",
        "http://in-toto.io/Statement/v1",
    ] {
        let envelope = bent(|s| s["_type"] = kind.into());
        corpus.refuse(
            format!("statement type {kind:?}"),
            "statement _type: expected",
            check(&envelope),
        );
    }
}

fn signatures(corpus: &mut Corpus, genuine: &Envelope) {
    let mut case = |name: &str, reason: &str, change: &dyn Fn(&mut Vec<EnvelopeSignature>)| {
        let mut envelope = genuine.clone();
        change(&mut envelope.signatures);
        corpus.refuse(name, reason, check(&envelope));
    };
    case("no signature", "it carries no signature", &|s| s.clear());
    case("seventeen signatures", "at most 16", &|s| {
        *s = vec![s[0].clone(); 17]
    });
    for length in [0, 1, 32, 63, 65, 128] {
        case(
            &format!("a signature of {length} bytes"),
            "not an Ed25519 signature",
            &|s| {
                s[0].sig = encode(&vec![7; length]);
            },
        );
    }
    case(
        "a signature of zeros",
        "no signature of a trusted key",
        &|s| {
            s[0].sig = encode(&[0; 64]);
        },
    );
    case(
        "a signature with S and R swapped",
        "no signature of a trusted key",
        &|s| {
            let raw = decode(&s[0].sig);
            s[0].sig = encode(&[&raw[32..], &raw[..32]].concat());
        },
    );
    // S + L: the same signature to a verifier that does not look at S's size.
    case(
        "a signature with S beyond the group's order",
        "no signature of a trusted key",
        &|s| {
            let mut raw = decode(&s[0].sig);
            add_order(&mut raw[32..]);
            s[0].sig = encode(&raw);
        },
    );
}

/// Little-endian `value + L`, L the order of the base point (RFC 8032, section 5.1).
pub(crate) fn add_order(value: &mut [u8]) {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0_u16;
    for (byte, order) in value.iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
}

/// Envelopes as files: what another tool, or nobody, would write.
fn shapes(corpus: &mut Corpus, genuine: &Envelope) {
    let json: Value = serde_json::from_slice(&genuine.to_bytes()).unwrap();
    let read = |json: &Value| Envelope::from_json(json.to_string().as_bytes());
    read(&json).expect("the genuine file is read");
    let mut case = |name: &str, reason: &str, change: &dyn Fn(&mut Value)| {
        let mut json = json.clone();
        change(&mut json);
        corpus.refuse(name, reason, read(&json));
    };
    for field in ["payload", "payloadType", "signatures"] {
        case(&format!("no {field}"), "missing field", &|j| {
            j.as_object_mut().unwrap().remove(field);
        });
        case(&format!("{field} is null"), "invalid type", &|j| {
            j[field] = Value::Null
        });
    }
    case("one signature that is no list", "invalid type", &|j| {
        j["signatures"] = j["signatures"][0].clone();
    });
    let bytes = genuine.to_bytes();
    for (name, bytes) in [
        ("empty", vec![]),
        ("cut", bytes[..bytes.len() - 1].to_vec()),
        ("two of them", [bytes.as_slice(), &bytes].concat()),
        (
            "with a mark of byte order",
            [b"\xef\xbb\xbf", bytes.as_slice()].concat(),
        ),
    ] {
        corpus.refuse(
            format!("envelope file {name}"),
            "DSSE envelope",
            Envelope::from_json(&bytes),
        );
    }
    // Another tool may write these. Where a digest names an envelope it must be the one canonical form.
    let mut named = |name: &str, reason: &str, change: &dyn Fn(&mut Value)| {
        let mut json = json.clone();
        change(&mut json);
        corpus.refuse(
            name,
            reason,
            Envelope::from_bytes(json.to_string().as_bytes()),
        );
    };
    named("an algorithm that is none", "unknown field", &|j| {
        j["signatures"][0]["alg"] = "none".into();
    });
    named(
        "a certificate beside the signature",
        "unknown field",
        &|j| {
            j["signatures"][0]["cert"] = "".into();
        },
    );
    named("a field at the top", "unknown field", &|j| {
        j["verified"] = true.into()
    });
    named("no key id", "missing field", &|j| {
        j["signatures"][0].as_object_mut().unwrap().remove("keyid");
    });
    let pretty = serde_json::to_vec_pretty(&json).unwrap();
    corpus.refuse(
        "envelope with spaces",
        "not canonical JSON",
        Envelope::from_bytes(&pretty),
    );
    let mut ended = bytes;
    ended.push(b'\n');
    corpus.refuse(
        "envelope with a line end",
        "not canonical JSON",
        Envelope::from_bytes(&ended),
    );
}

/// base64, by way of an envelope: the crate keeps its own to itself.
pub(crate) fn encode(bytes: &[u8]) -> String {
    Envelope::sign("", bytes, &author()).payload
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    let mut envelope = Envelope::sign("", b"", &author());
    envelope.payload = text.to_owned();
    envelope.unverified_payload().unwrap()
}
