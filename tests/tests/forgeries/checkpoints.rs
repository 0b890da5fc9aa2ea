//! Checkpoints: signed notes that are not quite that.

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::tlog::Checkpoint;

use crate::Corpus;
use crate::envelopes::{add_order, decode, encode};

const ORIGIN: &str = "fedseal.example/log";

fn key() -> SigningKey {
    SigningKey::from_seed([6; 32])
}

pub(crate) fn forge(corpus: &mut Corpus) {
    let checkpoint = Checkpoint {
        origin: ORIGIN.into(),
        size: 1_234,
        root: Digest::of(b"root"),
    };
    let note = checkpoint.sign(&key()).unwrap();
    let check = |note: &str| Checkpoint::verify(note, ORIGIN, &key().public());
    assert_eq!(
        check(&note).unwrap(),
        checkpoint,
        "the genuine one is accepted"
    );

    let root = encode(&checkpoint.root.0);
    let other = encode(&Digest::of(b"another").0);
    let replaced = [
        ("a larger size", "1234", "1235", "does not verify"),
        ("a smaller size", "1234", "1233", "does not verify"),
        (
            "another root",
            root.as_str(),
            other.as_str(),
            "does not verify",
        ),
        (
            "a size with a zero before it",
            "1234",
            "01234",
            "not a decimal number",
        ),
        (
            "a size with a sign",
            "1234",
            "+1234",
            "not a decimal number",
        ),
        ("a negative size", "1234", "-1234", "not a decimal number"),
        ("a size in hex", "1234", "0x4d2", "not a decimal number"),
        (
            "a size with a space",
            "1234",
            "1234 ",
            "not a decimal number",
        ),
        (
            "a size beyond 64 bits",
            "1234",
            "18446744073709551616",
            "not a decimal number",
        ),
        ("no size", "1234\n", "", "expected three lines"),
        (
            "a fourth line",
            "1234\n",
            "1234\n1234\n",
            "the root has 3 bytes",
        ),
        (
            "another origin",
            ORIGIN,
            "fedseal.example/other",
            "checkpoint origin",
        ),
        (
            "an origin in capitals",
            ORIGIN,
            "FEDSEAL.example/log",
            "checkpoint origin",
        ),
        (
            "an origin with a plus",
            ORIGIN,
            "fedseal+log",
            "checkpoint origin",
        ),
        ("no empty line", "\n\n", "\n", "no empty line"),
        (
            "line ends of another system",
            "\n",
            "\r\n",
            "control characters",
        ),
        (
            "a hyphen for the dash",
            "\u{2014} ",
            "- ",
            "not a signature line",
        ),
        ("no dash", "\u{2014} ", "", "not a signature line"),
        (
            "no space after the dash",
            "\u{2014} ",
            "\u{2014}",
            "not a signature line",
        ),
        ("a tab in the text", "1234", "1234\t", "control characters"),
    ];
    for (name, from, to, reason) in replaced {
        corpus.refuse(name, reason, check(&note.replacen(from, to, usize::MAX)));
    }
    let short = encode(&checkpoint.root.0[..31]);
    corpus.refuse(
        "a root of 31 bytes",
        "31 bytes, not 32",
        check(&note.replace(&root, &short)),
    );
    // The last digit of 32 bytes carries two bits that mean nothing.
    let loose = loosened(&root);
    corpus.refuse(
        "a root with loose bits",
        "base64",
        check(&note.replace(&root, &loose)),
    );
    let bare = root.trim_end_matches('=');
    corpus.refuse(
        "a root without padding",
        "base64",
        check(&note.replace(&root, bare)),
    );

    let (text, signature) = note.split_once("\n\n").unwrap();
    let line = signature.trim_end();
    let (start, packed) = line.rsplit_once(' ').unwrap();
    let with = |line: &str| format!("{text}\n\n{line}\n");
    let signed = |raw: &[u8]| with(&format!("{start} {}", encode(raw)));
    let raw = decode(packed);
    corpus.refuse(
        "no signature at all",
        "no signature lines",
        check(&format!("{text}\n\n")),
    );
    corpus.refuse(
        "a cut last line",
        "the last one is cut",
        check(note.trim_end()),
    );
    corpus.refuse("nothing", "no empty line", check(""));
    corpus.refuse(
        "only line ends",
        "expected three lines",
        check("\n\n\u{2014} a b\n"),
    );
    corpus.refuse(
        "a signature of 63 bytes",
        "63 bytes, not 64",
        check(&signed(&raw[..67])),
    );
    let long = [raw.as_slice(), &[0]].concat();
    corpus.refuse(
        "a signature of 65 bytes",
        "65 bytes, not 64",
        check(&signed(&long)),
    );
    corpus.refuse(
        "a signature of nothing",
        "too short",
        check(&signed(&raw[..4])),
    );
    for at in (4..68).step_by(8) {
        let mut bytes = raw.clone();
        bytes[at] ^= 0x40;
        corpus.refuse(
            format!("signature byte {at} flipped"),
            "does not verify",
            check(&signed(&bytes)),
        );
    }
    for at in 0..4 {
        let mut bytes = raw.clone();
        bytes[at] ^= 1;
        corpus.refuse(
            format!("key hash byte {at} flipped"),
            "no signature by",
            check(&signed(&bytes)),
        );
    }
    let mut large = raw.clone();
    add_order(&mut large[36..]);
    corpus.refuse(
        "S beyond the group's order",
        "does not verify",
        check(&signed(&large)),
    );
    let stranger = SigningKey::from_seed([7; 32]);
    corpus.refuse(
        "a stranger's signature",
        "no signature by",
        check(&checkpoint.sign(&stranger).unwrap()),
    );
    corpus.refuse(
        "a good signature beside a bad one by the same key",
        "does not verify",
        check(&format!(
            "{}{}\n",
            note,
            signed(&[&raw[..4], &[1; 64]].concat())
                .rsplit_once("\n\n")
                .unwrap()
                .1
                .trim_end()
        )),
    );
    let renamed = line.replace(ORIGIN, "fedseal.example/other");
    corpus.refuse(
        "a signature under another name",
        "no signature by",
        check(&with(&renamed)),
    );
    corpus.refuse(
        "another log's checkpoint by the same key",
        "checkpoint origin",
        check(
            &Checkpoint {
                origin: "other".into(),
                ..checkpoint
            }
            .sign(&key())
            .unwrap(),
        ),
    );
    corpus.refuse(
        "longer than a note may be",
        "longer than",
        check(&"x".repeat((1 << 20) + 1)),
    );
}

/// Sets the bits that padding leaves over: the same bytes to a careless decoder.
pub(crate) fn loosened(text: &str) -> String {
    let body = text.trim_end_matches('=');
    let (rest, last) = body.split_at(body.len() - 1);
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = DIGITS.find(last).unwrap() | 1;
    let padding = "=".repeat(text.len() - body.len());
    format!("{rest}{}{padding}", &DIGITS[value..=value])
}
