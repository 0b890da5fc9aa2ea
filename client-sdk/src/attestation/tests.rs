use std::collections::BTreeMap;

use super::*;
use crate::canonical;
use crate::lineage::Kind;

fn node() -> SigningKey {
    SigningKey::from_seed([9; 32])
}

pub(crate) fn predicate() -> UpdatePredicate {
    let mut lineage = Lineage::default();
    let none = BTreeMap::new();
    let g = lineage.push(
        Kind::Global,
        vec![],
        Some(Digest::of(b"global")),
        None,
        none.clone(),
    );
    let s = lineage.push(
        Kind::Shard,
        vec![],
        Some(Digest::of(b"shard")),
        Some(8),
        none.clone(),
    );
    let t = lineage.push(
        Kind::Train,
        vec![g, s],
        Some(Digest::of(b"update")),
        None,
        none,
    );
    lineage.output = Some(t);
    UpdatePredicate {
        client: "client-03".into(),
        round: Round(2),
        seed: Seed(u64::MAX),
        module: Digest::of(b"module"),
        module_signer: SigningKey::from_seed([1; 32]).public(),
        node: node().public(),
        base: Digest::of(b"base"),
        global: Digest::of(b"global"),
        update: Some(Digest::of(b"update")),
        examples: 8,
        data: vec![DataUse {
            origin: "shard".into(),
            digest: Digest::of(b"shard"),
            examples: 8,
        }],
        data_score: Some(0.5),
        lineage,
        transcript: TranscriptRef {
            root: Digest::of(b"root"),
            entries: 3,
            blob: Digest::of(b"blob"),
        },
        limits: Limits::default(),
        used: Usage::default(),
        failure: None,
        engine: "test".into(),
        seconds: 1.25,
    }
}

#[test]
fn sign_and_verify() {
    let envelope = sign(&predicate(), &node()).unwrap();
    let verified = verify(&envelope, &[node().public()]).unwrap();
    assert_eq!(verified.predicate, predicate());
    assert_eq!(verified.digest, Digest::of(&envelope.to_bytes()));
    assert_eq!(verified.predicate.seed, Seed(u64::MAX), "64 bits survive");
    assert!(verify(&envelope, &[]).is_err());
    assert!(verify(&envelope, &[SigningKey::from_seed([8; 32]).public()]).is_err());
}

#[test]
fn a_failure_is_attested_too() {
    let mut p = predicate();
    p.update = None;
    p.lineage.output = None;
    p.failure = Some(Failure {
        reason: "fuel".into(),
        detail: "all fuel consumed".into(),
    });
    let envelope = sign(&p, &node()).unwrap();
    let verified = verify(&envelope, &[node().public()]).unwrap();
    assert_eq!(verified.predicate, p);
    assert_eq!(subjects(&p).len(), 1);
}

#[test]
fn one_statement_has_one_id() {
    let envelope = sign(&predicate(), &node()).unwrap();
    let trusted = [node().public()];
    let mut twice = envelope.clone();
    twice.signatures.push(twice.signatures[0].clone());
    assert!(verify(&twice, &trusted).is_err());
    let mut renamed = envelope;
    renamed.signatures[0].keyid = "0123456789abcdef".into();
    assert!(verify(&renamed, &trusted).is_err());
}

#[test]
fn contradictions_are_refused() {
    type Break = fn(&mut UpdatePredicate);
    let cases: [Break; 9] = [
        |p| p.update = None,
        |p| {
            p.failure = Some(Failure {
                reason: "x".into(),
                detail: String::new(),
            })
        },
        |p| p.lineage.output = None,
        |p| p.update = Some(Digest::of(b"another")),
        |p| p.data[0].origin = "elsewhere".into(),
        |p| p.data_score = Some(1.5),
        |p| p.data_score = Some(f64::NAN),
        |p| p.seconds = -1.0,
        |p| p.lineage.nodes[0].id = 5,
    ];
    for (i, break_it) in cases.iter().enumerate() {
        let mut p = predicate();
        break_it(&mut p);
        assert!(sign(&p, &node()).is_err(), "case {i}");
        // A dishonest node signs it all the same; the verifier sees it.
        if let Ok(envelope) = statement(p).sign(&node()) {
            assert!(verify(&envelope, &[node().public()]).is_err(), "case {i}");
        }
    }
}

#[test]
fn subjects_and_node_are_bound() {
    let trusted = [node().public(), SigningKey::from_seed([8; 32]).public()];
    let mut s = statement(predicate());
    s.subject[0] = Subject::new(SUBJECT_UPDATE, Digest::of(b"another"));
    assert!(verify(&s.sign(&node()).unwrap(), &trusted).is_err());
    let mut s = statement(predicate());
    s.subject.swap(0, 1);
    assert!(verify(&s.sign(&node()).unwrap(), &trusted).is_err());
    // Signed by a trusted node, but not by the one it names.
    let other = SigningKey::from_seed([8; 32]);
    assert!(sign(&predicate(), &other).is_err());
    assert!(verify(&statement(predicate()).sign(&other).unwrap(), &trusted).is_err());
}

#[test]
fn every_limit_has_its_documented_default() {
    let text = String::from_utf8(canonical::to_vec(&Limits::default()).unwrap()).unwrap();
    assert_eq!(
        text,
        "{\"call_bytes\":16777216,\"compile_seconds\":30,\"fuel\":20000000000,\"generated_tokens\":1000000,\
         \"guest_seconds\":30,\"handles\":1024,\"host_bytes\":1073741824,\"host_calls\":100000,\"host_work_bytes\":17179869184,\"instances\":64,\"log_record_bytes\":4096,\
         \"log_second_bytes\":131072,\"log_total_bytes\":262144,\"memory_bytes\":201326592,\"module_bytes\":33554432,\"stack_bytes\":524288,\
         \"tables\":10000,\"train_steps\":10000,\"train_tokens\":50000000,\"wall_seconds\":3600}"
    );
    let partial: Limits = serde_json::from_str("{\"fuel\":1}").unwrap();
    assert_eq!(
        partial,
        Limits {
            fuel: 1,
            ..Limits::default()
        }
    );
    assert!(serde_json::from_str::<Limits>("{\"feul\":1}").is_err());
    assert!(
        canonical::from_slice::<Limits>(b"{\"fuel\":1}").is_err(),
        "signed limits are complete"
    );
}

/// Attestations and memo keys from before `compile_bytes` existed keep their bytes.
#[test]
fn a_limit_that_nobody_set_is_not_written() {
    let set = Limits {
        compile_bytes: Some(1),
        ..Limits::default()
    };
    let text = String::from_utf8(canonical::to_vec(&set).unwrap()).unwrap();
    assert!(text.contains("\"compile_bytes\":1,\"compile_seconds\""));
    assert_eq!(
        canonical::from_slice::<Limits>(text.as_bytes()).unwrap(),
        set
    );
    let null = text.replace("\"compile_bytes\":1", "\"compile_bytes\":null");
    assert!(
        canonical::from_slice::<Limits>(null.as_bytes()).is_err(),
        "one form alone"
    );
}
