//! A log and its blobs on disk, with files changed, cut, swapped, doubled or deleted.

use std::fs;
use std::path::Path;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::tlog::Checkpoint;
use fedseal_ledger::{Blobs, Log, verify_files};

use crate::Corpus;

const ORIGIN: &str = "fedseal.example/forged";
/// More than one tile, the last one partial.
const ENTRIES: u64 = 300;

fn key() -> SigningKey {
    SigningKey::from_seed([11; 32])
}

/// A genuine log of `entries` with blobs beside it.
fn genuine(dir: &Path, entries: u64) {
    let mut log = Log::create(dir.join("log"), ORIGIN, key()).unwrap();
    let blobs = Blobs::open(dir.join("blobs")).unwrap();
    for n in 0..entries {
        log.append(format!("{{\"entry\":{n}}}").as_bytes()).unwrap();
        if n < 8 {
            blobs.put(format!("blob {n}").as_bytes()).unwrap();
        }
    }
    log.publish().unwrap();
    // So many at once that they are packed.
    let small: Vec<String> = (0..20).map(|n| format!("small blob {n}")).collect();
    blobs.put_many(small.iter().map(String::as_bytes)).unwrap();
}

/// Every file below `dir`, in order of names.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut open = vec![dir.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

pub(crate) fn forge(corpus: &mut Corpus) {
    let pristine = tempfile::tempdir().unwrap();
    genuine(pristine.path(), ENTRIES);
    let report = verify_files(pristine.path(), &key().public()).expect("the genuine files");
    assert_eq!((report.log.entries, report.blobs), (ENTRIES, 28));

    let names: Vec<std::path::PathBuf> = files(pristine.path())
        .into_iter()
        .map(|path| path.strip_prefix(pristine.path()).unwrap().to_owned())
        .filter(|path| !path.ends_with("lock"))
        .collect();
    assert!(names.len() >= 14, "{names:?}");
    let mut case = |name: String, reason: &str, change: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        for name in &names {
            let to = dir.path().join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(pristine.path().join(name), to).unwrap();
        }
        change(dir.path());
        corpus.refuse(name, reason, verify_files(dir.path(), &key().public()));
    };
    for name in &names {
        let shown = name.display();
        let file = name.file_name().unwrap().to_string_lossy().into_owned();
        let blob = name.starts_with("blobs");
        // Every refusal names the file, or for the log's entries the file that follows from them.
        let reason = if blob { file.as_str() } else { "log/" };
        let write = |dir: &Path, change: &dyn Fn(&mut Vec<u8>)| {
            let path = dir.join(name);
            let mut bytes = fs::read(&path).unwrap();
            change(&mut bytes);
            fs::write(path, bytes).unwrap();
        };
        case(format!("{shown} with a bit flipped"), reason, &|dir| {
            write(dir, &|bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            });
        });
        case(format!("{shown} cut by a byte"), reason, &|dir| {
            write(dir, &|bytes| bytes.truncate(bytes.len() - 1));
        });
        case(format!("{shown} with a byte more"), reason, &|dir| {
            write(dir, &|bytes| bytes.push(b'x'));
        });
        case(format!("{shown} emptied"), reason, &|dir| {
            write(dir, &|bytes| bytes.clear())
        });
        if !blob {
            let reason = if file == "checkpoint" {
                "no log here"
            } else {
                "missing"
            };
            case(format!("{shown} deleted"), reason, &|dir| {
                fs::remove_file(dir.join(name)).unwrap();
            });
        }
    }
    let entries = |dir: &Path, change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let path = dir.join("log/tile/entries/000");
        let bytes = fs::read(&path).unwrap();
        let (mut rest, mut list) = (bytes.as_slice(), Vec::new());
        while let [high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            list.push(after[..length].to_vec());
            rest = &after[length..];
        }
        change(&mut list);
        let packed = list.iter().flat_map(|entry| {
            let length = (entry.len() as u16).to_be_bytes();
            length.into_iter().chain(entry.iter().copied())
        });
        fs::write(path, packed.collect::<Vec<u8>>()).unwrap();
    };
    case("two entries swapped".into(), "entry 3", &|dir| {
        entries(dir, &|list| list.swap(3, 4))
    });
    case("an entry twice".into(), "entry 8", &|dir| {
        entries(dir, &|list| list[8] = list[7].clone());
    });
    case("an entry inserted".into(), "entry 5", &|dir| {
        entries(dir, &|list| {
            list.insert(5, b"{\"entry\":\"forged\"}".to_vec())
        });
    });
    case(
        "an entry left out".into(),
        "255 entries instead of 256",
        &|dir| {
            entries(dir, &|list| drop(list.remove(9)));
        },
    );
    case("an entry rewritten".into(), "entry 0", &|dir| {
        entries(dir, &|list| list[0] = b"{\"entry\":9}".to_vec());
    });
    case(
        "a blob under another's name".into(),
        "blob: expected sha256",
        &|dir| {
            let of = |text: &[u8]| {
                Blobs::open(dir.join("blobs"))
                    .unwrap()
                    .path(&Digest::of(text))
            };
            fs::copy(of(b"blob 1"), of(b"blob 2")).unwrap();
        },
    );
    case(
        "a file that is no blob".into(),
        "not the name of a blob",
        &|dir| {
            fs::write(dir.join("blobs/notes.txt"), "x").unwrap();
        },
    );
    case("no blobs".into(), "no such directory", &|dir| {
        fs::remove_dir_all(dir.join("blobs")).unwrap();
    });
    // Heads signed by the right key that say something else.
    let note = |size: u64, root: Digest| {
        let head = Checkpoint {
            origin: ORIGIN.into(),
            size,
            root,
        };
        head.sign(&key()).unwrap()
    };
    let root = report.log.checkpoint.root;
    let heads = [
        (
            "another root",
            note(ENTRIES, Digest::of(b"x")),
            "root of 300 entries",
        ),
        ("a smaller size", note(299, root), "001.p/43: missing"),
        ("a larger size", note(301, root), "001.p/45: missing"),
        ("a size beyond the files", note(600, root), "missing"),
        ("no entries", note(0, root), "a log without entries"),
    ];
    for (name, head, reason) in heads {
        case(format!("a checkpoint of {name}"), reason, &|dir| {
            fs::write(dir.join("log/checkpoint"), &head).unwrap();
        });
    }
    let stranger = SigningKey::from_seed([12; 32]);
    let theirs = Checkpoint {
        origin: ORIGIN.into(),
        size: ENTRIES,
        root,
    };
    let theirs = theirs.sign(&stranger).unwrap();
    case(
        "a checkpoint by a stranger".into(),
        "no signature by",
        &|dir| {
            fs::write(dir.join("log/checkpoint"), &theirs).unwrap();
        },
    );
    let other = tempfile::tempdir().unwrap();
    genuine(other.path(), ENTRIES + 1);
    case(
        "the checkpoint of a longer log".into(),
        "001.p/45: missing",
        &|dir| {
            fs::copy(
                other.path().join("log/checkpoint"),
                dir.join("log/checkpoint"),
            )
            .unwrap();
        },
    );
}
