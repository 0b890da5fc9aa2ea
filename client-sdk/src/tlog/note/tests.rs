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
        good.replace("\n\n", "\nextension\n\n"),
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
