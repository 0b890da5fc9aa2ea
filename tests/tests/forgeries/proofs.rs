//! Inclusion and consistency proofs, and proof files.

use std::convert::Infallible;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::tlog::{
    Checkpoint, ProofFile, consistency_proof, inclusion_proof, leaf_hash, node_hash, root_of,
    verify_consistency, verify_inclusion,
};

use crate::Corpus;
use crate::checkpoints::loosened;
use crate::envelopes::encode;

/// Entry `index` of the log.
fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// The hash of the complete subtree `index` of a level.
fn subtree(level: u8, index: u64) -> Result<Digest, Infallible> {
    if level == 0 {
        return Ok(leaf_hash(&entry(index)));
    }
    let (left, right) = (
        subtree(level - 1, 2 * index)?,
        subtree(level - 1, 2 * index + 1)?,
    );
    Ok(node_hash(&left, &right))
}

fn root(size: u64) -> Digest {
    let Ok(root) = root_of(size, &mut subtree);
    root
}

pub(crate) fn forge(corpus: &mut Corpus) {
    inclusion(corpus);
    consistency(corpus);
    files(corpus);
}

fn inclusion(corpus: &mut Corpus) {
    for (index, size) in [
        (0, 2),
        (1, 3),
        (2, 3),
        (4, 7),
        (6, 7),
        (5, 8),
        (12, 13),
        (0, 13),
    ] {
        let Ok(proof) = inclusion_proof(index, size, &mut subtree);
        let leaf = leaf_hash(&entry(index));
        verify_inclusion(leaf, index, size, &proof, root(size)).expect("the genuine proof");
        let mut case = |name: &str, reason: &str, leaf, index, proof: &[Digest], root| {
            corpus.refuse(
                format!("entry {index} of {size}: {name}"),
                reason,
                verify_inclusion(leaf, index, size, proof, root),
            );
        };
        let wrong = "the proof leads to";
        case(
            "another entry",
            wrong,
            leaf_hash(b"forged"),
            index,
            &proof,
            root(size),
        );
        case(
            "another root",
            wrong,
            leaf,
            index,
            &proof,
            Digest::of(b"root"),
        );
        case("no proof", "too few", leaf, index, &[], root(size));
        case(
            "a hash left out",
            "too few",
            leaf,
            index,
            &proof[1..],
            root(size),
        );
        let longer = [proof.as_slice(), &[leaf]].concat();
        case(
            "a hash too many",
            "too many",
            leaf,
            index,
            &longer,
            root(size),
        );
        let mut flipped = proof.clone();
        flipped[0].0[31] ^= 1;
        case("a flipped bit", wrong, leaf, index, &flipped, root(size));
        case(
            "an entry beyond the end",
            "cannot be among",
            leaf,
            size,
            &proof,
            root(size),
        );
        case(
            "an entry far beyond the end",
            "cannot be among",
            leaf,
            u64::MAX,
            &proof,
            root(size),
        );
        if proof.len() > 1 {
            let mut reversed = proof.clone();
            reversed.reverse();
            case(
                "the hashes in another order",
                wrong,
                leaf,
                index,
                &reversed,
                root(size),
            );
        }
    }
    // RFC 6962 prefixes leaves and nodes so that an entry cannot pass for a subtree.
    let (left, right) = (leaf_hash(&entry(0)), leaf_hash(&entry(1)));
    let inner = [&left.0[..], &right.0[..]].concat();
    for (name, forged) in [
        ("a node as an entry", leaf_hash(&inner)),
        (
            "a node with its prefix as an entry",
            leaf_hash(&[&[1], inner.as_slice()].concat()),
        ),
        ("an unprefixed entry", Digest::of(&entry(0))),
    ] {
        corpus.refuse(
            name,
            "the proof leads to",
            verify_inclusion(forged, 0, 2, &[right], root(2)),
        );
    }
    corpus.refuse(
        "an entry of an empty log",
        "cannot be among",
        verify_inclusion(left, 0, 0, &[], Digest::of(b"")),
    );
}

fn consistency(corpus: &mut Corpus) {
    for (old, new) in [(1, 2), (2, 3), (3, 7), (4, 8), (6, 8), (7, 13), (12, 13)] {
        let Ok(proof) = consistency_proof(old, new, &mut subtree);
        verify_consistency(old, root(old), new, root(new), &proof).expect("the genuine proof");
        let mut case =
            |name: &str, reason: &str, from: (u64, Digest), to: (u64, Digest), proof: &[Digest]| {
                corpus.refuse(
                    format!("{old} to {new}: {name}"),
                    reason,
                    verify_consistency(from.0, from.1, to.0, to.1, proof),
                );
            };
        let (from, to) = ((old, root(old)), (new, root(new)));
        let forged = Digest::of(b"rewritten");
        case(
            "another old root",
            "the proof leads to",
            (old, forged),
            to,
            &proof,
        );
        case(
            "another new root",
            "the proof leads to",
            from,
            (new, forged),
            &proof,
        );
        case("a log that has shrunk", "has shrunk", to, from, &proof);
        case("no proof", "", from, to, &[]);
        case("a hash left out", "", from, to, &proof[..proof.len() - 1]);
        let longer = [proof.as_slice(), &[forged]].concat();
        case("a hash too many", "too many", from, to, &longer);
        let mut flipped = proof.clone();
        flipped.last_mut().unwrap().0[0] ^= 0x80;
        case("a flipped bit", "the proof leads to", from, to, &flipped);
        case(
            "two roots for one size",
            "two roots",
            from,
            (old, forged),
            &[],
        );
        case(
            "a proof where none is needed",
            "expected an empty proof",
            from,
            from,
            &proof,
        );
    }
    corpus.refuse(
        "an empty log with a root",
        "expected the empty root",
        verify_consistency(0, Digest::of(b"x"), 5, root(5), &[]),
    );
}

fn files(corpus: &mut Corpus) {
    let key = SigningKey::from_seed([8; 32]);
    let size = 13;
    let Ok(proof) = inclusion_proof(5, size, &mut subtree);
    let checkpoint = Checkpoint {
        origin: "o".into(),
        size,
        root: root(size),
    };
    let file = ProofFile {
        extra: None,
        index: 5,
        proof,
        checkpoint: checkpoint.sign(&key).unwrap(),
    };
    let check = |text: &str, entry: &[u8]| {
        ProofFile::parse(text).and_then(|file| file.verify(entry, "o", &key.public()))
    };
    let text = file.to_text();
    check(&text, &entry(5)).expect("the genuine file");
    let first = encode(&file.proof[0].0);
    let replaced = [
        (
            "another version",
            "tlog-proof@v1",
            "tlog-proof@v2",
            "the first line is not",
        ),
        ("another format", "c2sp.org/", "", "the first line is not"),
        (
            "an index with a zero",
            "index 5",
            "index 05",
            "expected an index",
        ),
        (
            "a negative index",
            "index 5",
            "index -5",
            "expected an index",
        ),
        (
            "an index with a sign",
            "index 5",
            "index +5",
            "expected an index",
        ),
        ("no index", "index 5\n", "", "expected an index"),
        (
            "an index in capitals",
            "index 5",
            "INDEX 5",
            "expected an index",
        ),
        ("another index", "index 5", "index 4", "the proof leads to"),
        (
            "an index beyond the end",
            "index 5",
            "index 13",
            "cannot be among",
        ),
        ("another origin", "\no\n", "\np\n", "checkpoint origin"),
        ("another size", "\n13\n", "\n14\n", "does not verify"),
    ];
    for (name, from, to, reason) in replaced {
        let bent = text.replacen(from, to, 1);
        assert_ne!(bent, text, "{name}");
        corpus.refuse(
            format!("proof file: {name}"),
            reason,
            check(&bent, &entry(5)),
        );
    }
    corpus.refuse(
        "proof file: another entry",
        "the proof leads to",
        check(&text, &entry(4)),
    );
    corpus.refuse(
        "proof file: an entry of nothing",
        "the proof leads to",
        check(&text, b""),
    );
    corpus.refuse("proof file: nothing", "no empty line", check("", &entry(5)));
    let cut = text.replacen(&format!("{first}\n"), "", 1);
    corpus.refuse(
        "proof file: a hash left out",
        "too few",
        check(&cut, &entry(5)),
    );
    let doubled = text.replacen(&first, &format!("{first}\n{first}"), 1);
    corpus.refuse("proof file: a hash twice", "", check(&doubled, &entry(5)));
    let many = text.replacen(&first, &vec![first.as_str(); 65].join("\n"), 1);
    corpus.refuse(
        "proof file: 65 hashes",
        "more than 64",
        check(&many, &entry(5)),
    );
    let loose = text.replacen(&first, &loosened(&first), 1);
    corpus.refuse(
        "proof file: a hash with loose bits",
        "base64",
        check(&loose, &entry(5)),
    );
    let short = text.replacen(&first, &encode(&file.proof[0].0[..20]), 1);
    corpus.refuse(
        "proof file: a hash of 20 bytes",
        "a hash of 20 bytes",
        check(&short, &entry(5)),
    );
    let extra = text.replacen("index", "extra !\nindex", 1);
    corpus.refuse(
        "proof file: an extra that is no base64",
        "base64",
        check(&extra, &entry(5)),
    );
    let stranger = ProofFile {
        checkpoint: checkpoint.sign(&SigningKey::from_seed([9; 32])).unwrap(),
        ..file
    };
    corpus.refuse(
        "proof file: a stranger's checkpoint",
        "no signature by",
        check(&stranger.to_text(), &entry(5)),
    );
}
