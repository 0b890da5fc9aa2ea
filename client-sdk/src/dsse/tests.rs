use super::*;

#[test]
fn pae_vectors() {
    // DSSE protocol.md, "Test Vectors".
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
    assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    // Length in bytes, not characters.
    assert_eq!(pae("é", b"x"), "DSSEv1 2 é 1 x".as_bytes());
}

#[test]
fn sign_and_verify() {
    let (key, other) = (
        SigningKey::from_seed([1; 32]),
        SigningKey::from_seed([2; 32]),
    );
    let envelope = Envelope::sign("text/plain", b"hello", &key);
    let verified = envelope.verify(&[other.public(), key.public()]).unwrap();
    assert_eq!(verified.payload, b"hello");
    assert_eq!(verified.signer, key.public());

    assert!(envelope.verify(&[]).is_err(), "an empty list trusts nobody");
    assert!(envelope.verify(&[other.public()]).is_err());
    let mut bare = envelope.clone();
    bare.signatures.clear();
    assert!(
        bare.verify(&[key.public()]).is_err(),
        "no signature is no success"
    );
    let mut retyped = envelope.clone();
    retyped.payload_type = "text/html".into();
    assert!(
        retyped.verify(&[key.public()]).is_err(),
        "the type is signed too"
    );
    let mut moved = envelope;
    moved.signatures[0].keyid = "anything".into();
    moved
        .verify(&[key.public()])
        .expect("the keyid is only a hint");
}

#[test]
fn a_second_signature_by_a_stranger_does_not_hurt() {
    let (key, other) = (
        SigningKey::from_seed([1; 32]),
        SigningKey::from_seed([2; 32]),
    );
    let mut envelope = Envelope::sign("t", b"p", &other);
    envelope
        .signatures
        .extend(Envelope::sign("t", b"p", &key).signatures);
    assert_eq!(
        envelope.verify(&[key.public()]).unwrap().signer,
        key.public()
    );
    envelope.signatures = vec![envelope.signatures[0].clone(); MAX_SIGNATURES];
    assert!(Envelope::from_bytes(&envelope.to_bytes()).is_ok());
    envelope.signatures.push(envelope.signatures[0].clone());
    assert!(envelope.verify(&[other.public()]).is_err());
}

#[test]
fn many_signatures_are_refused_before_they_are_read() {
    let mut envelope = Envelope::sign("t", b"p", &SigningKey::from_seed([1; 32]));
    envelope.signatures = vec![envelope.signatures[0].clone(); 1000];
    let bytes = envelope.to_bytes();
    for read in [Envelope::from_bytes(&bytes), Envelope::from_json(&bytes)] {
        let error = read.unwrap_err().to_string();
        assert!(error.contains("bytes of memory"), "{error}");
    }
    // A key id of any length is not repeated in full.
    envelope.signatures.truncate(1);
    envelope.signatures[0].keyid = "k".repeat(100_000);
    let stranger = SigningKey::from_seed([2; 32]).public();
    let error = envelope.verify(&[stranger]).unwrap_err().to_string();
    assert!(error.len() < 1000, "{} bytes", error.len());
}

#[test]
fn bytes_are_canonical_and_every_flip_is_seen() {
    let key = SigningKey::from_seed([1; 32]);
    let envelope = Envelope::sign("t", b"payload", &key);
    let bytes = envelope.to_bytes();
    assert_eq!(bytes, canonical::to_vec(&envelope).unwrap());
    assert_eq!(Envelope::from_bytes(&bytes).unwrap(), envelope);
    let keyid = envelope.signatures[0].keyid.as_bytes();
    let at = bytes.windows(16).position(|w| w == keyid).unwrap();
    for i in 0..bytes.len() {
        if (at..at + 16).contains(&i) {
            continue; // the hint; the digest of the envelope covers it
        }
        let mut bad = bytes.clone();
        bad[i] ^= 1;
        let accepted = Envelope::from_bytes(&bad)
            .and_then(|e| e.verify(&[key.public()]))
            .is_ok();
        assert!(!accepted, "flipped byte {i}");
    }
    assert!(Envelope::from_bytes(&[bytes.as_slice(), b"\n"].concat()).is_err());
    assert!(Envelope::from_json(&[bytes.as_slice(), b"\n"].concat()).is_ok());
}

/// Envelope of the payload `t` with a signature of a kind that is not known, and a good one.
fn mixed(key: &SigningKey, unknown: &str) -> [Envelope; 2] {
    let good = Envelope::sign("t", b"p", key);
    let stranger = EnvelopeSignature {
        keyid: "other".into(),
        sig: unknown.into(),
    };
    let (mut first, mut last) = (good.clone(), good);
    first.signatures.insert(0, stranger.clone());
    last.signatures.push(stranger);
    [first, last]
}

#[test]
fn signatures_of_other_kinds_are_passed_over_in_any_order() {
    let key = SigningKey::from_seed([1; 32]);
    let kinds = [
        base64::encode(&[7; 71]),
        base64::encode(&[7; 96]),
        base64::encode(&[7; 2420]),
        base64::encode(&[]),
        "not base64!".into(),
    ];
    for kind in &kinds {
        for envelope in mixed(&key, kind) {
            let json = serde_json::to_vec(&envelope).unwrap();
            for read in [envelope, Envelope::from_json(&json).unwrap()] {
                assert_eq!(read.verify(&[key.public()]).unwrap().signer, key.public());
                let stranger = SigningKey::from_seed([9; 32]).public();
                let error = read.verify(&[stranger]).unwrap_err().to_string();
                assert!(error.contains("other (not an Ed25519"), "{error}");
            }
        }
    }
    let mut alone = Envelope::sign("t", b"p", &key);
    alone.signatures[0].sig = kinds[0].clone();
    assert!(alone.verify(&[key.public()]).is_err());
}

#[test]
fn the_signer_does_not_depend_on_the_order_of_signatures() {
    let (a, b) = (
        SigningKey::from_seed([1; 32]),
        SigningKey::from_seed([2; 32]),
    );
    let mut both = Envelope::sign("t", b"p", &a);
    both.signatures
        .extend(Envelope::sign("t", b"p", &b).signatures);
    let trusted = [b.public(), a.public()];
    let one = both.verify(&trusted).unwrap().signer;
    both.signatures.reverse();
    assert_eq!(both.verify(&trusted).unwrap().signer, one);
    assert_eq!(one, b.public());
}

#[test]
fn envelopes_of_other_tools() {
    let key = SigningKey::from_seed([1; 32]);
    // Bytes whose base64 has characters in which the alphabets differ.
    let payload = [0xfb, 0xff, 0xfe, 0x3e, 0x3f];
    let own = Envelope::sign("t", &payload, &key);
    let url = |text: &str| text.replace('+', "-").replace('/', "_");
    let sig = &own.signatures[0].sig;
    for (payload, sig) in [
        (url(&own.payload), url(sig)),
        (
            url(&own.payload).trim_end_matches('=').to_owned(),
            url(sig).trim_end_matches('=').to_owned(),
        ),
        (own.payload.clone(), url(sig)),
    ] {
        for signature in [
            format!("{{\"sig\":\"{sig}\"}}"),
            format!("{{\"sig\":\"{sig}\",\"keyid\":null}}"),
            format!("{{\"sig\":\"{sig}\",\"keyid\":\"\",\"cert\":\"MIIB\"}}"),
        ] {
            let json = format!(
                " {{\"signatures\":[{signature}],\"extra\":[1],\"payload\":\"{payload}\",\"payloadType\":\"t\"}}\n"
            );
            let read = Envelope::from_json(json.as_bytes()).unwrap();
            let verified = read.verify(&[key.public()]).unwrap();
            assert_eq!(verified.payload, own.unverified_payload().unwrap());
            // It is written in our own form.
            assert_eq!(read.payload, own.payload);
            assert_eq!(Envelope::from_bytes(&read.to_bytes()).unwrap(), read);
        }
    }
    // A digest names one text: the other alphabet has another.
    let mut other = own.clone();
    other.payload = url(&own.payload);
    let error = Envelope::from_bytes(&other.to_bytes()).unwrap_err();
    assert!(error.to_string().contains("URL-safe"), "{error}");
    for bad in [
        "{\"payload\":\"\",\"payloadType\":\"t\",\"signatures\":[{}]}",
        "{\"payload\":\"\",\"signatures\":[]}",
        "{\"payload\":\"!\",\"payloadType\":\"t\",\"signatures\":[]}",
        "{\"payload\":\"\",\"payload\":\"\",\"payloadType\":\"t\",\"signatures\":[]}",
    ] {
        assert!(Envelope::from_json(bad.as_bytes()).is_err(), "{bad}");
    }
}
