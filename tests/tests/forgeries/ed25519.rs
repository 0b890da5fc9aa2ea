//! Ed25519: the Wycheproof vectors, and edge cases in which verifiers differ from each other.

use fedseal_client_sdk::keys::{PublicKey, SigningKey};
use serde_json::Value;

use crate::Corpus;
use crate::envelopes::add_order;

pub(crate) fn forge(corpus: &mut Corpus) {
    wycheproof(corpus);
    weak_keys(corpus);
    malleable(corpus);
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), String> {
    let key: [u8; 32] = key.try_into().map_err(|_| "a key has 32 bytes")?;
    let signature: [u8; 64] = signature
        .try_into()
        .map_err(|_| "a signature has 64 bytes")?;
    let key = PublicKey::from_bytes(&key).map_err(|error| error.to_string())?;
    key.verify(message, &signature)
        .map_err(|error| error.to_string())
}

fn wycheproof(corpus: &mut Corpus) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/wycheproof/ed25519.json"
    );
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut seen = 0;
    for group in vectors["groups"].as_array().unwrap() {
        let key = bytes(&text(&group["pk"]));
        for test in group["tests"].as_array().unwrap() {
            seen += 1;
            let name = format!("wycheproof {}: {}", test["tcId"], text(&test["comment"]));
            let signature = bytes(&text(&test["sig"]));
            let result = verify(&key, &bytes(&text(&test["msg"])), &signature);
            if test["result"] == "valid" {
                result.unwrap_or_else(|error| panic!("{name}: {error}"));
                continue;
            }
            let reason = if signature.len() == 64 {
                "does not verify"
            } else {
                "has 64 bytes"
            };
            corpus.refuse(name, reason, result);
        }
    }
    assert_eq!(Value::from(seen), vectors["numberOfTests"]);
}

/// Keys under which one signature fits many messages (RFC 8032 does not exclude them), and
/// encodings of a point that are not its one encoding.
fn weak_keys(corpus: &mut Corpus) {
    let p = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
    let keys = [
        ("of order 1", format!("01{}", "0".repeat(62)), "small order"),
        ("of order 2", format!("ec{p}"), "small order"),
        ("of order 4", "0".repeat(64), "small order"),
        (
            "of order 4, negative",
            format!("{}80", "0".repeat(62)),
            "small order",
        ),
        (
            "of order 8",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05".into(),
            "small order",
        ),
        (
            "of order 8, negative",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85".into(),
            "small order",
        ),
        (
            "of order 8, the other",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a".into(),
            "small order",
        ),
        (
            "of order 8, the other, negative",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa".into(),
            "small order",
        ),
        (
            "of order 4, as p",
            format!("ed{p}"),
            "not the canonical encoding",
        ),
        (
            "of order 1, as p + 1",
            format!("ee{p}"),
            "not the canonical encoding",
        ),
        (
            "of order 1, negative",
            format!("01{}80", "0".repeat(60)),
            "",
        ),
        ("no point", format!("02{}", "0".repeat(62)), "not a point"),
        ("all ones", "f".repeat(64), "not the canonical encoding"),
    ];
    for (name, key, reason) in keys {
        let raw: [u8; 32] = bytes(&key).try_into().unwrap();
        corpus.refuse(format!("a key {name}"), reason, PublicKey::from_bytes(&raw));
        // R = the identity, S = 0: valid for every message to a verifier that takes such keys.
        let signature = bytes(&format!("01{}", "0".repeat(126)));
        corpus.refuse(
            format!("the zero signature under a key {name}"),
            reason,
            verify(&raw, b"any message", &signature),
        );
    }
}

/// Other signatures of the same message, made without the private key.
fn malleable(corpus: &mut Corpus) {
    let key = SigningKey::from_seed([10; 32]);
    let public = *key.public().as_bytes();
    for length in [0_usize, 1, 31, 64, 1_000] {
        let message = vec![b'm'; length];
        let genuine = key.sign(&message);
        verify(&public, &message, &genuine).expect("the genuine signature");
        let mut case = |name: &str, signature: [u8; 64]| {
            let name = format!("{name} ({length} bytes signed)");
            corpus.refuse(
                name,
                "does not verify",
                verify(&public, &message, &signature),
            );
        };
        let mut large = genuine;
        add_order(&mut large[32..]);
        case("S + L", large);
        add_order(&mut large[32..]);
        case("S + 2 L", large);
        let mut high = genuine;
        high[63] |= 0xe0;
        case("the three high bits of S", high);
        let mut negated = genuine;
        negated[31] ^= 0x80;
        case("R negated", negated);
        let mut identity = genuine;
        identity[..32].copy_from_slice(&bytes(&format!("01{}", "0".repeat(62))));
        case("R the identity", identity);
        let mut outside = genuine;
        outside[..32].copy_from_slice(&bytes(&format!("02{}", "0".repeat(62))));
        case("R no point", outside);
    }
    let signature = key.sign(b"message");
    for (name, message) in [
        ("cut", b"messag".as_slice()),
        ("longer", b"message\0"),
        ("empty", b""),
        ("in capitals", b"MESSAGE"),
    ] {
        corpus.refuse(
            format!("the message {name}"),
            "does not verify",
            verify(&public, message, &signature),
        );
    }
}
