use super::*;
use crate::Log;
use crate::files::fault::Fault;
use std::sync::Arc;

const ORIGIN: &str = "fedseal.example/run";

fn log_key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn open(dir: &Path) -> Result<Witness> {
    let log = VerifierKey::new(ORIGIN, KeyKind::Log, log_key().public()).unwrap();
    Witness::open(dir, "w.example", SigningKey::from_seed([2; 32]), [log])
}

fn grown(log: &mut Log, by: usize) {
    for _ in 0..by {
        let n = log.size();
        log.append(format!("entry {n}").as_bytes()).unwrap();
    }
    log.publish().unwrap();
}

fn request(log: &Log, old: u64) -> AddCheckpoint {
    AddCheckpoint {
        old,
        proof: log.prove_consistency(old, log.checkpoint().size).unwrap(),
        note: log.note().to_owned(),
    }
}

#[test]
fn cosigns_what_continues_and_remembers() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    assert!(
        matches!(open(&state), Err(Error::NotFound { .. })),
        "never an empty memory"
    );
    Witness::init(&state).unwrap();
    assert!(Witness::init(&state).is_err());
    let mut log = Log::create(dir.path().join("log"), ORIGIN, log_key()).unwrap();
    grown(&mut log, 3);
    let witness = open(&state).unwrap();
    assert!(open(&state).is_err(), "one process at a time");
    let line = witness.add_checkpoint(&request(&log, 0), 100).unwrap();
    let note = add_signatures(log.note(), &line).unwrap();
    assert_eq!(
        cosigned_at(&note, witness.verifier_key()).unwrap(),
        Some(100)
    );
    // The same again, and a longer one after a restart.
    witness.add_checkpoint(&request(&log, 3), 101).unwrap();
    grown(&mut log, 300);
    drop(witness);
    let witness = open(&state).unwrap();
    assert_eq!(witness.size(ORIGIN), 3);
    assert!(matches!(
        witness.add_checkpoint(&request(&log, 0), 102),
        Err(Refusal::Conflict { size: 3 })
    ));
    witness.add_checkpoint(&request(&log, 3), 102).unwrap();
    assert_eq!(witness.size(ORIGIN), 303);
}

#[test]
fn a_split_view_is_never_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    Witness::init(&state).unwrap();
    let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
    let mut other = Log::create(dir.path().join("b"), ORIGIN, log_key()).unwrap();
    other.append(b"another first").unwrap();
    grown(&mut log, 5);
    grown(&mut other, 4);
    let witness = open(&state).unwrap();
    witness.add_checkpoint(&request(&log, 0), 1).unwrap();
    let split = witness.add_checkpoint(&request(&other, 5), 2).unwrap_err();
    assert!(matches!(split, Refusal::BadProof(_)), "{split:?}");
    let roots = [log.checkpoint().root, other.checkpoint().root];
    for root in roots.map(|root| root.to_string()) {
        assert!(split.to_string().contains(&root), "{split}");
    }
    grown(&mut other, 4);
    let proof = witness.add_checkpoint(&request(&other, 5), 2);
    assert!(matches!(proof, Err(Refusal::BadProof(_))), "{proof:?}");
    assert_eq!(witness.size(ORIGIN), 5);
}

#[test]
fn each_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    Witness::init(&state).unwrap();
    let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
    grown(&mut log, 2);
    let mut foreign = Log::create(dir.path().join("b"), "other", log_key()).unwrap();
    grown(&mut foreign, 2);
    let mut stranger =
        Log::create(dir.path().join("c"), ORIGIN, SigningKey::from_seed([9; 32])).unwrap();
    grown(&mut stranger, 2);
    let witness = open(&state).unwrap();
    let answer = |request: &AddCheckpoint| witness.add_checkpoint(request, 1).unwrap_err();
    assert!(matches!(
        answer(&request(&foreign, 0)),
        Refusal::UnknownLog(_)
    ));
    assert!(matches!(
        answer(&request(&stranger, 0)),
        Refusal::BadSignature(_)
    ));
    let mut bad = request(&log, 0);
    bad.old = 3;
    assert!(matches!(answer(&bad), Refusal::Malformed(_)));
    bad.old = 1;
    assert!(matches!(answer(&bad), Refusal::Conflict { size: 0, .. }));
    bad.old = 0;
    bad.proof = vec![Digest::of(b"x")];
    assert!(matches!(answer(&bad), Refusal::BadProof(_)));
    bad.note = "nonsense".into();
    assert!(matches!(answer(&bad), Refusal::Malformed(_)));
    witness.add_checkpoint(&request(&log, 0), 1).unwrap();
}

#[test]
fn what_was_answered_is_remembered_whatever_fails() {
    for n in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        Witness::init(&state).unwrap();
        let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
        grown(&mut log, 2);
        let mut witness = open(&state).unwrap();
        witness.add_checkpoint(&request(&log, 0), 1).unwrap();
        grown(&mut log, 2);
        witness.disk.fault = Some(Arc::new(Fault::after(n)));
        let answered = witness.add_checkpoint(&request(&log, 2), 2);
        if answered.is_err() {
            assert_eq!(witness.size(ORIGIN), 2);
        }
        drop(witness);
        let again = open(&state).unwrap();
        if answered.is_ok() {
            assert_eq!(again.size(ORIGIN), 4);
            return;
        }
        // The rename may have happened before the fault: then it knows more, never less.
        assert!([2, 4].contains(&again.size(ORIGIN)));
    }
    panic!("it never answered");
}

#[test]
fn one_origin_is_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    Witness::init(&state).unwrap();
    let named = |seed| {
        let key = SigningKey::from_seed([seed; 32]).public();
        VerifierKey::new(ORIGIN, KeyKind::Log, key).unwrap()
    };
    let open = |logs: &[VerifierKey]| {
        let key = SigningKey::from_seed([2; 32]);
        Witness::open(&state, "w.example", key, logs.to_vec())
    };
    let both = open(&[named(1), named(9)]).unwrap_err();
    assert!(matches!(both, Error::Conflict { .. }), "{both}");
    open(&[named(1), named(1)]).unwrap();

    // What was cosigned of one key's log is never continued with another's.
    let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
    grown(&mut log, 2);
    let witness = open(&[named(1)]).unwrap();
    witness.add_checkpoint(&request(&log, 0), 1).unwrap();
    drop(witness);
    assert!(open(&[named(9)]).is_err());
    // A log that is not asked for any more is left as it is.
    open(&[]).unwrap();
    assert_eq!(open(&[named(1)]).unwrap().size(ORIGIN), 2);
}

#[test]
fn a_damaged_memory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    Witness::init(&state).unwrap();
    let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
    grown(&mut log, 2);
    let witness = open(&state).unwrap();
    witness.add_checkpoint(&request(&log, 0), 1).unwrap();
    drop(witness);
    let file = place(&state, ORIGIN);
    let good = std::fs::read_to_string(&file).unwrap();
    for bad in [
        good.replacen("\n2\n", "\n1\n", 1),
        log.note().to_owned(),
        String::new(),
    ] {
        std::fs::write(&file, bad).unwrap();
        assert!(open(&state).is_err());
    }
    std::fs::write(&file, good).unwrap();
    open(&state).unwrap();
}

/// A note of the log over any text.
fn signed(text: &str) -> AddCheckpoint {
    // A checkpoint's own signature is over its text: of another text it is made anew.
    let key = log_key();
    let vkey = VerifierKey::new(ORIGIN, KeyKind::Log, key.public()).unwrap();
    let signature = [&vkey.hash()[..], &key.sign(text.as_bytes())].concat();
    AddCheckpoint {
        old: 0,
        proof: Vec::new(),
        note: format!("{text}\n\u{2014} {ORIGIN} {}\n", base64(&signature)),
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for i in 0..4 {
            match i <= chunk.len() {
                true => out.push(ALPHABET[(bits >> (18 - 6 * i)) as usize & 63] as char),
                false => out.push('='),
            }
        }
    }
    out
}

fn text(size: u64, root: Digest, extension: &str) -> String {
    format!("{ORIGIN}\n{size}\n{}\n{extension}", base64(&root.0))
}

/// tlog-witness: "A checkpoint of size zero MUST have the root hash of the empty tree".
#[test]
fn a_log_without_entries_is_cosigned_with_its_root_alone() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    Witness::init(&state).unwrap();
    let witness = open(&state).unwrap();
    let other = signed(&text(0, Digest::of(b"x"), ""));
    let refused = witness.add_checkpoint(&other, 1).unwrap_err();
    assert!(matches!(refused, Refusal::BadProof(_)), "{refused:?}");
    let hash = Digest::of(ORIGIN.as_bytes()).to_string();
    assert_eq!(witness.checkpoint(&hash), None);
    witness
        .add_checkpoint(&signed(&text(0, empty_root(), "")), 1)
        .unwrap();
    let mut proof = signed(&text(0, empty_root(), ""));
    proof.proof = vec![Digest::of(b"x")];
    let refused = witness.add_checkpoint(&proof, 2).unwrap_err();
    assert!(matches!(refused, Refusal::BadProof(_)), "{refused:?}");
    // Then it grows.
    let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
    grown(&mut log, 3);
    witness.add_checkpoint(&request(&log, 0), 3).unwrap();
    // Smaller again: the size is said first.
    let refused = witness.add_checkpoint(&other, 4).unwrap_err();
    assert!(
        matches!(refused, Refusal::Conflict { size: 3 }),
        "{refused:?}"
    );
}

/// An earlier version cosigned any root of size 0, after which nothing could follow.
#[test]
fn a_memory_with_an_impossible_empty_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    Witness::init(&state).unwrap();
    let key = SigningKey::from_seed([2; 32]);
    let note = signed(&text(0, Digest::of(b"x"), "")).note;
    let line = cosign(&note, "w.example", &key, 1).unwrap();
    let cosigned = add_signatures(&note, &line).unwrap();
    std::fs::write(place(&state, ORIGIN), cosigned).unwrap();
    let witness = open(&state).unwrap();
    assert_eq!(witness.size(ORIGIN), 0);
    let mut log = Log::create(dir.path().join("a"), ORIGIN, log_key()).unwrap();
    grown(&mut log, 3);
    witness.add_checkpoint(&request(&log, 0), 2).unwrap();
    assert_eq!(witness.size(ORIGIN), 3);
}

#[test]
fn extension_lines_are_cosigned_and_served() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    Witness::init(&state).unwrap();
    let witness = open(&state).unwrap();
    let root = Digest::of_parts(&[&[0], b"entry 0"]);
    let mut request = signed(&text(1, root, "extension\n"));
    // A stranger's line, of post-quantum size and under the log's name, is passed over and not kept.
    let stranger = format!("\u{2014} {ORIGIN} {}\n", base64(&[7; 2432]));
    request.note.push_str(&stranger);
    let line = witness.add_checkpoint(&request, 5).unwrap();
    let hash = Digest::of(ORIGIN.as_bytes()).to_string();
    let served = witness.checkpoint(&hash).unwrap();
    assert!(served.contains("\nextension\n\n"), "{served}");
    assert!(
        served.ends_with(&line) && !served.contains(&stranger),
        "{served}"
    );
    let key = log_key().public();
    Checkpoint::verify(&served, ORIGIN, &key).unwrap();
    let at = cosigned_at(&served, witness.verifier_key()).unwrap();
    assert_eq!(at, Some(5));
    assert_eq!(witness.checkpoint(&hash.to_uppercase()), None);
    drop(witness);
    assert_eq!(open(&state).unwrap().checkpoint(&hash), Some(served));
    // Lines that are no signature lines are a malformed request, not a foreign signature.
    let witness = open(&state).unwrap();
    request.old = 1;
    request.note.push_str("no signature\n");
    let refused = witness.add_checkpoint(&request, 6).unwrap_err();
    assert!(matches!(refused, Refusal::Malformed(_)), "{refused:?}");
}
