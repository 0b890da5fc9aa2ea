use super::*;

fn key() -> SigningKey {
    SigningKey::from_seed([5; 32])
}

fn sample() -> Checkpoint {
    Checkpoint {
        origin: "fedseal.example/run-1".into(),
        size: 42,
        root: Digest::of(b"root"),
    }
}

#[test]
fn note_vector() {
    // golang.org/x/mod/sumdb/note, the package's example.
    let private = base64::decode("t", "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz").unwrap();
    let key = SigningKey::from_seed(private[1..].try_into().unwrap());
    assert_eq!(
        verifier_key("PeterNeumann", &key.public()),
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    );
    let text = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n";
    let note = sign_note(text, "PeterNeumann", &key).unwrap();
    assert_eq!(
        note,
        format!(
            "{text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
        )
    );
    verify_note(&note, "PeterNeumann", &key.public()).unwrap();
}

#[test]
fn checkpoint_vector() {
    // The example of c2sp.org/tlog-checkpoint.
    let note = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let checkpoint = Checkpoint::parse(note).unwrap();
    assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(
        checkpoint.root.to_string(),
        "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    );
}

#[test]
fn sign_and_verify() {
    let note = sample().sign(&key()).unwrap();
    let origin = &sample().origin;
    assert_eq!(
        Checkpoint::verify(&note, origin, &key().public()).unwrap(),
        sample()
    );
    assert!(Checkpoint::verify(&note, "another", &key().public()).is_err());
    let other = SigningKey::from_seed([6; 32]);
    assert!(Checkpoint::verify(&note, origin, &other.public()).is_err());
    // A witness's line beside the log's own is ignored, and alone it does not count.
    let witness = sign_note(&sample().body(), "witness", &other).unwrap();
    let line = witness.lines().last().unwrap();
    Checkpoint::verify(&format!("{note}{line}\n"), origin, &key().public()).unwrap();
    assert!(Checkpoint::verify(&witness, origin, &key().public()).is_err());
}

#[test]
fn every_flipped_byte_is_seen() {
    let note = sample().sign(&key()).unwrap();
    for i in 0..note.len() {
        for bit in 0..8 {
            let mut bytes = note.clone().into_bytes();
            bytes[i] ^= 1 << bit;
            let Ok(text) = String::from_utf8(bytes) else {
                continue;
            };
            assert!(
                Checkpoint::verify(&text, &sample().origin, &key().public()).is_err(),
                "byte {i} bit {bit}"
            );
        }
    }
}

#[test]
fn malformed_notes_are_refused() {
    let good = sample().sign(&key()).unwrap();
    Checkpoint::parse(&good).unwrap();
    for bad in [
        "".to_owned(),
        "a\n1\n".to_owned(),
        good.replace("\n42\n", "\n042\n"),
        good.replace("\n42\n", "\n-1\n"),
        good.replace("\n42\n", "\n42\n\n"),
        good.replacen('\n', "\r\n", 1),
        good.trim_end().to_owned(),
        good.replace("\n\n", "\n\nextension\n\n"),
        sample().body() + "\n",
    ] {
        assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
    }
    for name in ["", "a b", "a+b", "a\nb"] {
        let checkpoint = Checkpoint {
            origin: name.into(),
            ..sample()
        };
        assert!(checkpoint.sign(&key()).is_err(), "{name:?}");
    }
}

#[test]
fn extension_lines_are_opaque_and_signed() {
    let (origin, key) = (sample().origin, key());
    let text = format!("{}extension one\nzwei \u{fc}\n", sample().body());
    let note = sign_note(&text, &origin, &key).unwrap();
    assert_eq!(Checkpoint::parse(&note).unwrap(), sample());
    assert_eq!(
        Checkpoint::verify(&note, &origin, &key.public()).unwrap(),
        sample()
    );
    for bad in [
        note.replace("zwei", "drei"),
        note.replace("extension one\n", ""),
        sample().sign(&key).unwrap().replace("\n\n", "\nx\n\n"),
    ] {
        assert!(Checkpoint::verify(&bad, &origin, &key.public()).is_err());
    }
}

#[test]
fn a_log_without_entries_has_one_root() {
    let (origin, key) = (sample().origin, key());
    let of = |root| {
        let empty = Checkpoint {
            size: 0,
            root,
            ..sample()
        };
        empty.sign(&key).unwrap()
    };
    Checkpoint::verify(&of(empty_root()), &origin, &key.public()).unwrap();
    let other = of(Digest::of(b"x"));
    let error = Checkpoint::verify(&other, &origin, &key.public()).unwrap_err();
    assert!(matches!(error, Error::Proof { .. }), "{error}");
    Checkpoint::signed_by(&other, &origin, &key.public()).unwrap();
}

/// tlog-checkpoint: "clients MUST NOT assume that the origin is following this format"; the origin of
/// Go's checksum database is not its key's name. signed-note: a stranger's line is ignored.
#[test]
fn origins_and_strangers_lines_that_are_legal() {
    let key = key();
    let text = format!("go.sum database tree\n42\n{}\n", base64::encode(&[7; 32]));
    let note = sign_note(&text, "sum.golang.org", &key).unwrap();
    let read = Checkpoint::parse(&note).unwrap();
    assert_eq!(read.origin, "go.sum database tree");
    for origin in ["", "a\u{9b}b", "a\u{7f}"] {
        let bad = note.replacen("go.sum database tree", origin, 1);
        assert!(Checkpoint::parse(&bad).is_err(), "{origin:?}");
    }
    let note = sample().sign(&key).unwrap();
    let stranger = format!(
        "{note}\u{2014} odd\u{7f}name {}\n",
        base64::encode(&[9; 2432])
    );
    Checkpoint::verify(&stranger, &sample().origin, &key.public()).unwrap();
    // Sixteen signatures of post-quantum size.
    let many: String = (0..16)
        .map(|n| format!("\u{2014} pq{n} {}\n", base64::encode(&[n; 5000])))
        .collect();
    Checkpoint::verify(&format!("{note}{many}"), &sample().origin, &key.public()).unwrap();
}
