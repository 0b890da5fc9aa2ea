use super::super::cosignature::{add_signatures, cosign};
use super::*;
use crate::digest::Digest;
use crate::keys::SigningKey;

const LOG: &str = "example.com/log";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

fn vkey(name: &str, kind: KeyKind, seed: u8) -> VerifierKey {
    VerifierKey::new(name, kind, key(seed).public()).unwrap()
}

fn policy() -> String {
    let mut text = format!(
        "# two of X and one of Y\nlog {} http://log.example\n\n",
        vkey(LOG, KeyKind::Log, 1)
    );
    for (name, seed) in [("X1", 11), ("X2", 12), ("X3", 13), ("Y1", 21), ("Y2", 22)] {
        let key = vkey(name, KeyKind::Witness, seed);
        text.push_str(&format!("\twitness {name}  {key}\n"));
    }
    text + "group X 2 X1 X2 X3\ngroup Y any Y1 Y2\ngroup both all X Y\nquorum both\n"
}

fn note(witnesses: &[(&str, u8)]) -> String {
    let checkpoint = Checkpoint {
        origin: LOG.into(),
        size: 3,
        root: Digest::of(b"r"),
    };
    let mut note = checkpoint.sign(&key(1)).unwrap();
    for (name, seed) in witnesses {
        let line = cosign(&note, name, &key(*seed), 100).unwrap();
        note = add_signatures(&note, &line).unwrap();
    }
    note
}

#[test]
fn quorum_of_groups() {
    let policy = Policy::parse(&policy()).unwrap();
    assert_eq!((policy.logs.len(), policy.witnesses.len()), (1, 5));
    let enough = policy
        .verify(&note(&[("X1", 11), ("X3", 13), ("Y2", 22)]), None)
        .unwrap();
    assert_eq!(enough.cosignatures.len(), 3);
    for few in [
        &[][..],
        &[("X1", 11), ("X2", 12), ("X3", 13)],
        &[("X1", 11), ("Y1", 21), ("Y2", 22)],
        // The same witness twice is one witness.
        &[("X1", 11), ("X1", 11), ("Y1", 21)],
        // A stranger of a witness's name is no witness.
        &[("X1", 11), ("X2", 99), ("Y1", 21)],
    ] {
        let error = policy.verify(&note(few), None).unwrap_err().to_string();
        assert!(error.contains("has not witnessed"), "{error}");
    }
}

#[test]
fn a_long_policy_is_refused_unread() {
    let long = policy() + &"#".repeat(MAX_POLICY);
    let error = Policy::parse(&long).unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
}

#[test]
fn which_log() {
    let text = policy();
    let policy = Policy::parse(&text).unwrap();
    let good = note(&[("X1", 11), ("X2", 12), ("Y1", 21)]);
    let log = vkey(LOG, KeyKind::Log, 1);
    policy.verify(&good, Some(&log)).unwrap();
    let other = vkey(LOG, KeyKind::Log, 2);
    assert!(policy.verify(&good, Some(&other)).is_err());
    // Two logs of one origin: the one that signed is meant, wherever it stands.
    let two = Policy::parse(&format!("log {other}\n{text}")).unwrap();
    two.verify(&good, None).unwrap();
    let without = text
        .lines()
        .filter(|l| !l.starts_with("log"))
        .fold(String::new(), |a, l| a + l + "\n");
    let without = Policy::parse(&without).unwrap();
    assert!(
        without.verify(&good, None).is_err(),
        "which log is not said"
    );
    without.verify(&good, Some(&log)).unwrap();
    assert!(without.verify(&good, Some(&other)).is_err());
    let none = Policy::parse("quorum none\n").unwrap();
    assert!(
        none.verify(&note(&[]), Some(&log))
            .unwrap()
            .cosignatures
            .is_empty()
    );
}

#[test]
fn malformed_policies() {
    let w = |name: &str, seed| format!("witness {name} {}\n", vkey(name, KeyKind::Witness, seed));
    let log = vkey(LOG, KeyKind::Log, 1);
    for bad in [
        String::new(),
        "quorum\n".into(),
        "quorum nobody\n".into(),
        "quorum none\nquorum none\n".into(),
        format!("{}quorum A\n", "witness A x+y+z\n"),
        format!("witness A {log}\nquorum A\n"),
        format!("log {}\nquorum none\n", vkey("A", KeyKind::Witness, 2)),
        format!("{}{}quorum A\n", w("A", 2), w("B", 2)),
        format!("{}{}quorum A\n", w("A", 2), w("A", 3)),
        format!("{}group G 2 A\nquorum G\n", w("A", 2)),
        format!("{}group G 0 A\nquorum G\n", w("A", 2)),
        format!("{}group G 01 A\nquorum G\n", w("A", 2)),
        format!("{}group G any A A\nquorum G\n", w("A", 2)),
        format!("{}group G any A\ngroup H any A\nquorum H\n", w("A", 2)),
        "group G any G\nquorum G\n".into(),
        "group G any\nquorum G\n".into(),
        format!("{}quorum none\nlog {log} a b\n", w("none", 2)),
        "quorum none\r\n".into(),
        "frobnicate\nquorum none\n".into(),
    ] {
        assert!(Policy::parse(&bad).is_err(), "{bad:?}");
    }
}

/// A verifier key of a type that is not known here, with key material of so many bytes.
fn later(name: &str, algorithm: u8, bytes: usize) -> String {
    let raw = [vec![algorithm], vec![algorithm; bytes]].concat();
    format!("{name}+0badcafe+{}", crate::base64::encode(&raw))
}

#[test]
fn a_witness_of_another_signature_type_does_not_count() {
    let pq = later("pq.example", 0x06, 1312);
    let ecdsa = later("ec.example", 0x02, 91);
    let text = policy().replace(
        "group X 2 X1 X2 X3",
        &format!("witness Q {pq} https://pq.example/\nwitness E {ecdsa}\ngroup X 2 X1 X2 X3 Q E"),
    );
    let read = Policy::parse(&text).unwrap();
    assert_eq!((read.witnesses.len(), read.unread_witnesses.len()), (5, 2));
    assert_eq!(read.unread_witnesses[0].algorithm, 0x06);
    read.verify(&note(&[("X1", 11), ("X2", 12), ("Y1", 21)]), None)
        .unwrap();
    // Its line in the note is anybody's bytes.
    let line = format!(
        "\u{2014} pq.example {}\n",
        crate::base64::encode(&[6; 2432])
    );
    let few = note(&[("X1", 11), ("Y1", 21)]) + &line;
    let error = read.verify(&few, None).unwrap_err().to_string();
    assert!(
        error.contains("2 of 7 witnesses cosigned (X1, Y1)"),
        "{error}"
    );
    assert!(
        error.contains("Q cannot count: its key has signature type 0x06"),
        "{error}"
    );
    // A quorum of it alone is never reached, and the policy is read all the same.
    let alone = Policy::parse(&format!("witness Q {pq}\nquorum Q\n")).unwrap();
    assert!(
        alone
            .verify(&few, Some(&vkey(LOG, KeyKind::Log, 1)))
            .is_err()
    );
    for bad in [
        format!("witness Q {pq}\nwitness R {pq}\nquorum Q\n"),
        format!("witness Q {pq}\nwitness Q {ecdsa}\nquorum Q\n"),
        format!("witness Q {}\nquorum Q\n", later("q", 0x06, 0)),
        format!(
            "witness Q {}\nquorum Q\n",
            pq.replace("0badcafe", "0badcaf")
        ),
        format!("witness Q {}\nquorum Q\n", later("q", 0x04, 31)),
    ] {
        assert!(Policy::parse(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_log_of_another_signature_type_does_not_open_the_policy_to_every_log() {
    let log = vkey(LOG, KeyKind::Log, 1);
    let text = format!("log {}\nquorum none\n", later(LOG, 0x06, 1312));
    let read = Policy::parse(&text).unwrap();
    for known in [None, Some(&log)] {
        let error = read.verify(&note(&[]), known).unwrap_err().to_string();
        assert!(error.contains("does not name log"), "{error}");
        assert!(error.contains("signature type 0x06"), "{error}");
    }
    let both = Policy::parse(&format!("log {log}\n{text}")).unwrap();
    both.verify(&note(&[]), None).unwrap();
}

#[test]
fn comments_are_octets() {
    let text = [b"# \xff\xfe\n \t# \xe9\n".as_slice(), policy().as_bytes()].concat();
    assert_eq!(
        Policy::from_bytes(&text).unwrap(),
        Policy::parse(&policy()).unwrap()
    );
    let error = Policy::from_bytes(b"\nquorum \xff\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 2: not UTF-8"), "{error}");
    assert!(Policy::from_bytes(b"# \x01\nquorum none\n").is_err());
}
