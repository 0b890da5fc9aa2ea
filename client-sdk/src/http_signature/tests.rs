use super::base::{Input, Parameter};
use super::*;
use crate::keys::{PublicKey, SigningKey};

const NOW: i64 = 1_790_000_000;

fn key() -> SigningKey {
    SigningKey::from_seed([9; 32])
}

fn request<'a>(fields: &'a [(&'a str, &'a [u8])]) -> Request<'a> {
    Request {
        method: "POST",
        secure: true,
        host: "Fed.Example:443",
        target: "/api/updates?run=a%20b",
        fields,
    }
}

fn validity(nonce: &str) -> Validity {
    Validity {
        created: NOW,
        seconds: 120,
        nonce: nonce.into(),
    }
}

/// Verifies at a time, with a fresh memory of nonces.
fn verified(request: &Request<'_>, body: bool, now: i64) -> Result<Signed, Refusal> {
    verified_with(request, body, now, &mut RecentNonces::new(0, 8))
}

fn verified_with(
    request: &Request<'_>,
    body: bool,
    now: i64,
    nonces: &mut dyn Nonces,
) -> Result<Signed, Refusal> {
    let name = key().public().to_string();
    let verifier = Verifier {
        authorities: &["fed.example".to_owned()],
        known: &|keyid| {
            (keyid == name).then(|| Known {
                key: key().public(),
                roles: vec![Role::Node],
            })
        },
        now,
    };
    verifier.verify(request, body, nonces)
}

type Fields = Vec<(String, String)>;

/// Fields of a signed POST of `{}`.
fn signed() -> Fields {
    let fields: [(&str, &[u8]); 1] = [("content-type", b"application/json")];
    let made = sign(
        &request(&fields),
        Some(b"{}"),
        &key(),
        Role::Node,
        &validity("n1"),
    )
    .unwrap();
    let mut all = vec![("content-type".to_owned(), "application/json".to_owned())];
    all.extend(
        made.into_iter()
            .map(|(name, value)| (name.to_owned(), value)),
    );
    all
}

fn with<T>(fields: &Fields, work: impl FnOnce(&Request<'_>) -> T) -> T {
    let fields: Vec<(&str, &[u8])> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    work(&request(&fields))
}

/// The signed fields with another text in one of them.
fn changed(field: &str, from: &str, to: &str) -> Fields {
    let mut fields = signed();
    let (_, value) = fields.iter_mut().find(|(name, _)| name == field).unwrap();
    assert!(value.contains(from), "{value} has no {from}");
    *value = value.replacen(from, to, 1);
    fields
}

/// The fields, signed anew over what their Signature-Input says.
fn signed_again(mut fields: Fields) -> Fields {
    let signature = with(&fields, |request| {
        let value = request.field(SIGNATURE_INPUT).unwrap();
        let (label, member) = field::dictionary(&value).unwrap().remove(0);
        let list = member.list.unwrap();
        let parameters = list
            .parameters
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                ("created", field::Value::Integer(time)) => Parameter::Created(*time),
                ("expires", field::Value::Integer(time)) => Parameter::Expires(*time),
                ("nonce", field::Value::Text(text)) => Parameter::Nonce(text.clone()),
                ("alg", field::Value::Text(text)) => Parameter::Algorithm(text.clone()),
                ("keyid", field::Value::Text(text)) => Parameter::KeyId(text.clone()),
                ("tag", field::Value::Text(text)) => Parameter::Tag(text.clone()),
                other => panic!("{other:?}"),
            });
        let input = Input {
            covered: list
                .items
                .into_iter()
                .map(|item| item.text.unwrap())
                .collect(),
            parameters: parameters.collect(),
        };
        let bytes = key().sign(&input.base(request).unwrap());
        format!("{label}=:{}:", crate::base64::encode(&bytes))
    });
    fields.retain(|(name, _)| name != SIGNATURE);
    fields.push((SIGNATURE.into(), signature));
    fields
}

#[test]
fn a_signed_request_verifies_and_its_body_with_it() {
    let signed = with(&signed(), |request| verified(request, true, NOW + 10)).unwrap();
    assert_eq!(signed.role, Role::Node);
    assert_eq!(signed.key, key().public());
    assert!(signed.check_body(b"{}").is_ok());
    assert_eq!(
        signed.check_body(b"{ }"),
        Err(Refusal::Body(Algorithm::Sha256))
    );
}

#[test]
fn a_request_without_a_body_needs_no_digest() {
    let request = Request {
        method: "GET",
        ..request(&[])
    };
    let made = sign(&request, None, &key(), Role::Node, &validity("n")).unwrap();
    assert_eq!(made.len(), 2);
    let fields: Vec<(&str, &[u8])> = made
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    let request = Request {
        fields: &fields,
        ..request
    };
    let signed = verified(&request, false, NOW).unwrap();
    assert!(signed.check_body(b"").is_ok());
    assert!(signed.check_body(b"x").is_err());
    assert_eq!(
        verified(&request, true, NOW).unwrap_err(),
        Refusal::NotCovered("content-digest".into())
    );
}

#[test]
fn every_change_of_what_is_covered_is_seen() {
    let fields = signed();
    with(&fields, |request| {
        let wrong = |request: Request<'_>| {
            let refusal = verified(&request, true, NOW).unwrap_err();
            assert!(matches!(refusal, Refusal::Signature(_)), "{refusal}");
        };
        wrong(Request {
            method: "PUT",
            ..request.clone()
        });
        wrong(Request {
            target: "/api/updates?run=a",
            ..request.clone()
        });
        wrong(Request {
            target: "/api/update?run=a%20b",
            ..request.clone()
        });
        wrong(Request {
            target: "/api/updates",
            ..request.clone()
        });
    });
    for (field, from, to) in [
        ("content-type", "json", "xml"),
        (CONTENT_DIGEST, "=:", "=:AA"),
        (SIGNATURE_INPUT, "n1", "n2"),
        (SIGNATURE_INPUT, ";expires=", ";expires=9"),
    ] {
        let fields = changed(field, from, to);
        assert!(
            with(&fields, |r| verified(r, true, NOW)).is_err(),
            "{field}"
        );
    }
}

#[test]
fn parameters_count_in_the_order_received() {
    let name = key().public();
    let fields = changed(
        SIGNATURE_INPUT,
        &format!(
            ";created={NOW};expires={};nonce=\"n1\";alg=\"ed25519\";keyid=\"{name}\";tag=\"fedseal-node\"",
            NOW + 120
        ),
        &format!(";tag=\"fedseal-node\";keyid=\"{name}\";nonce=\"n1\";created={NOW}"),
    );
    let fields = signed_again(fields);
    assert!(with(&fields, |r| verified(r, true, NOW)).is_ok());
}

#[test]
fn a_gateways_own_signature_is_passed_over() {
    let mut fields = signed();
    for (name, value) in &mut fields {
        if name == SIGNATURE_INPUT {
            *value = format!("gw=(\"@status\");created=1;keyid=\"gw\", {value}");
        } else if name == SIGNATURE {
            *value = format!("{value}, gw=:AAAA:");
        }
    }
    assert!(with(&fields, |r| verified(r, true, NOW)).is_ok());
}

#[test]
fn each_broken_rule_is_refused_by_its_name() {
    let many: String = (0..70).map(|n| format!(" \"x-{n}\"")).collect();
    let cases: [(&str, &str, &str, &str); 16] = [
        (
            "\"@query\"",
            "\"@query-param\";name=\"run\"",
            "@query-param",
            "component parameters",
        ),
        (
            "\"@query\"",
            "\"@target-uri\"",
            "@target-uri",
            "derived components",
        ),
        ("\"@query\"", "\"@path\"", "@path", "covered twice"),
        (" \"@query\"", "", "@query", "does not cover"),
        (
            " \"content-digest\"",
            "",
            "content-digest",
            "does not cover",
        ),
        (" \"content-type\"", "", "content-type", "does not cover"),
        (
            "\"content-type\"",
            "\"content-type\" \"date\"",
            "date",
            "no such field",
        ),
        (
            "\"content-type\"",
            "\"Content-Type\"",
            "Content-Type",
            "lower case",
        ),
        (
            "\"content-type\"",
            &format!("\"content-type\"{many}"),
            "components",
            "at most 64",
        ),
        (
            ";created=",
            ";created=1;created=",
            "created",
            "stands twice",
        ),
        (";nonce=\"n1\"", "", "nonce", "is missing"),
        (";nonce=\"n1\"", ";nonce=7", "nonce", "is no string"),
        (
            ";nonce=\"n1\"",
            ";nonce=\"n1\";purpose=\"x\"",
            "purpose",
            "is not known",
        ),
        ("\"ed25519\"", "\"rsa-v1_5-sha256\"", "alg", "ed25519"),
        (";keyid=", ";nokey=", "nokey", "is not known"),
        ("fedseal-node", "web-bot-auth", "not signed", "tag of ours"),
    ];
    for (from, to, named, words) in cases {
        let fields = changed(SIGNATURE_INPUT, from, to);
        let refusal = with(&fields, |r| verified(r, true, NOW)).unwrap_err();
        let said = refusal.to_string();
        assert!(said.contains(named) && said.contains(words), "{to}: {said}");
    }
}

#[test]
fn repeated_labels_and_digests_are_refused() {
    let mut fields = signed();
    let input = fields[2].1.clone();
    fields[2].1 = format!("{input}, {input}");
    let said = with(&fields, |r| verified(r, true, NOW))
        .unwrap_err()
        .to_string();
    assert!(said.contains("\"fedseal\" stands twice"), "{said}");

    let mut fields = signed();
    let other = fields[2].1.replacen("fedseal=", "again=", 1);
    fields.push((SIGNATURE_INPUT.into(), other));
    let refusal = with(&fields, |r| verified(r, true, NOW)).unwrap_err();
    assert_eq!(refusal, Refusal::Several("fedseal, again".into()));

    let twice = format!("{0}, {0}", Digests::field(b"{}"));
    assert!(
        Digests::read(twice.as_bytes())
            .unwrap_err()
            .contains("twice")
    );
}

#[test]
fn digests_of_every_known_kind_must_match() {
    let sha256 = Digests::field(b"{}");
    let with_unknown = format!("{sha256}, md5=:AAAA:");
    assert!(
        Digests::read(with_unknown.as_bytes())
            .unwrap()
            .check(b"{}")
            .is_ok()
    );
    let with_wrong = format!("{sha256}, sha-512=:AAAA:");
    assert_eq!(
        Digests::read(with_wrong.as_bytes()).unwrap().check(b"{}"),
        Err(Algorithm::Sha512)
    );
    assert!(Digests::read(b"md5=:AAAA:").is_err());
    assert!(Digests::read(b"sha-256=\"x\"").is_err());
    // RFC 9530, appendix B.1.
    let published = b"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    let digests = Digests::read(published).unwrap();
    assert!(digests.check(b"{\"hello\": \"world\"}").is_ok());
    let mut pieces = digests.hashing();
    pieces.update(b"{\"hello\"");
    pieces.update(b": \"world\"}");
    assert!(pieces.finish().is_ok());
}

#[test]
fn the_clock_has_bounds_on_both_sides() {
    let at = |now| with(&signed(), |r| verified(r, true, now));
    assert!(at(NOW - MOST_AHEAD).is_ok());
    assert!(at(NOW + 120).is_ok());
    for (now, words) in [
        (NOW - MOST_AHEAD - 1, "from the future"),
        (NOW + 121, "expired"),
        (NOW + MOST_AGE + 1, "too old"),
    ] {
        let said = at(now).unwrap_err().to_string();
        assert!(said.contains(words), "{now}: {said}");
    }
    let fields = changed(
        SIGNATURE_INPUT,
        &format!(";expires={}", NOW + 120),
        ";expires=5",
    );
    let said = with(&fields, |r| verified(r, true, NOW))
        .unwrap_err()
        .to_string();
    assert!(said.contains("before it was created"), "{said}");
}

#[test]
fn a_nonce_counts_once_and_only_for_a_signature_that_holds() {
    let mut nonces = RecentNonces::new(NOW - 5, 2);
    let fields = signed();
    let forged = changed(SIGNATURE, "=:", "=:AAAA");
    assert!(with(&forged, |r| verified_with(r, true, NOW, &mut nonces)).is_err());
    assert!(with(&fields, |r| verified_with(r, true, NOW, &mut nonces)).is_ok());
    let again = with(&fields, |r| verified_with(r, true, NOW, &mut nonces));
    assert_eq!(again.unwrap_err(), Refusal::Replayed);
    assert!(matches!(
        nonces.take("k", "old", NOW - 6, NOW),
        Err(Refusal::BeforeStart { .. })
    ));
    assert!(nonces.take("k", "n2", NOW, NOW).is_ok());
    assert_eq!(
        nonces.take("k", "n3", NOW, NOW),
        Err(Refusal::Busy { most: 2 })
    );
    let later = NOW + MOST_AGE + MOST_AHEAD + 1;
    assert!(nonces.take("k", "n3", later, later).is_ok());
}

#[test]
fn keys_act_in_their_roles_and_servers_under_their_names() {
    let fields = changed(SIGNATURE_INPUT, "fedseal-node", "fedseal-author");
    let refusal = with(&signed_again(fields), |r| verified(r, true, NOW)).unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::Role {
            role: Role::Author,
            ..
        }
    ));
    let refusal = with(&signed(), |r| {
        let other = Request {
            host: "evil.example",
            ..r.clone()
        };
        verified(&other, true, NOW)
    });
    assert!(matches!(refusal, Err(Refusal::Authority { .. })));
}

#[test]
fn authorities_and_targets_are_normalised_as_rfc_9421_says() {
    let of = |secure, host| {
        Request {
            secure,
            host,
            ..request(&[])
        }
        .authority()
    };
    assert_eq!(of(true, "Fed.Example:443"), "fed.example");
    assert_eq!(of(true, "fed.example:80"), "fed.example:80");
    assert_eq!(of(false, "fed.example:80"), "fed.example");
    assert_eq!(of(true, "[::1]:443"), "[::1]");
    assert_eq!(of(true, "[::1]"), "[::1]");
    let of = |target| {
        let request = Request {
            target,
            ..request(&[])
        };
        (request.path().to_owned(), request.query().to_owned())
    };
    assert_eq!(of("/a/b?c=d"), ("/a/b".into(), "?c=d".into()));
    assert_eq!(of("/a?"), ("/a".into(), "?".into()));
    assert_eq!(of(""), ("/".into(), "?".into()));
    assert_eq!(of("?x"), ("/".into(), "?x".into()));
}

#[test]
fn a_value_with_a_line_break_is_never_signed() {
    let fields: [(&str, &[u8]); 1] = [("content-type", b"a\nb")];
    let made = sign(
        &request(&fields),
        Some(b""),
        &key(),
        Role::Node,
        &validity("n"),
    );
    assert!(made.unwrap_err().to_string().contains("content-type"));
}

/// RFC 9421, appendix B.2.6: the base and the signature of the standard's Ed25519 example.
#[test]
fn the_standards_example_verifies() {
    let public: [u8; 32] =
        crate::base64::decode("key", "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
            .unwrap()
            .try_into()
            .unwrap();
    let fields: [(&str, &[u8]); 3] = [
        ("date", b"Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", b"application/json"),
        ("content-length", b"18"),
    ];
    let request = Request {
        method: "POST",
        secure: true,
        host: "example.com",
        target: "/foo?param=Value&Pet=dog",
        fields: &fields,
    };
    let covered = [
        "date",
        "@method",
        "@path",
        "@authority",
        "content-type",
        "content-length",
    ];
    let input = Input {
        covered: covered.map(str::to_owned).to_vec(),
        parameters: vec![
            Parameter::Created(1_618_884_473),
            Parameter::KeyId("test-key-ed25519".into()),
        ],
    };
    let signature: [u8; 64] = crate::base64::decode(
        "signature",
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
    )
    .unwrap()
    .try_into()
    .unwrap();
    let base = input.base(&request).unwrap();
    let key = PublicKey::from_bytes(&public).unwrap();
    assert!(
        key.verify(&base, &signature).is_ok(),
        "{}",
        String::from_utf8_lossy(&base)
    );
}
