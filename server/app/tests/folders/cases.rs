//! The table: changes to a copy of a run, and the result that `fedseal verify` must give for each.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::SigningKey;

use crate::world::{Run, World, below, copy, first, loose, writable};

/// Changes a copy of a run and returns the words of the command to run on it.
type Make = dyn Fn(&World, &Path) -> Vec<String>;

/// One folder.
pub(crate) struct Case {
    /// Description of the change to a copy of a run, for people.
    pub done: &'static str,
    /// The run that is copied.
    pub from: Run,
    /// The exit code.
    pub code: i32,
    /// The words that name the item.
    pub named: &'static str,
    /// Makes the change and returns the command's words.
    pub make: Box<Make>,
}

impl Case {
    /// Applies the same change to another run.
    fn of(self, from: Run) -> Self {
        Case { from, ..self }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn verify(folder: &Path) -> Vec<String> {
    words(&["verify", folder.to_str().unwrap()])
}

/// A copy of the finished run with a change, verified.
fn case(
    done: &'static str,
    code: i32,
    named: &'static str,
    change: impl Fn(&World, &Path) + 'static,
) -> Case {
    called(done, code, named, move |world, run| {
        change(world, run);
        verify(run)
    })
}

/// A copy of the finished run, and a command of its own.
fn called(
    done: &'static str,
    code: i32,
    named: &'static str,
    make: impl Fn(&World, &Path) -> Vec<String> + 'static,
) -> Case {
    Case {
        done,
        from: Run::Tiny,
        code,
        named,
        make: Box::new(make),
    }
}

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    let mut all = whole();
    all.extend(files());
    all.extend(log());
    all.extend(blobs());
    all.extend(packs());
    all.extend(foreign());
    all.extend(unfinished());
    all
}

fn gone(path: &Path) {
    match path.is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
}

fn pipe(path: &Path) {
    gone(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn socket(path: &Path) {
    gone(path);
    drop(std::os::unix::net::UnixListener::bind(path).unwrap());
}

/// The very file or folder, elsewhere, with a link in its place.
fn link(path: &Path) {
    let aside = path
        .ancestors()
        .find(|above| above.ends_with("tiny"))
        .unwrap();
    let aside = aside.with_file_name("aside");
    fs::rename(path, &aside).unwrap();
    symlink(aside, path).unwrap();
}

/// More than there is room for in memory, in a file that takes none on disk.
fn holes(path: &Path) {
    fs::File::create(path).unwrap().set_len(64 << 30).unwrap();
}

fn edit(path: &Path, edit: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    edit(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path) {
    edit(path, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
}

fn cut(path: &Path) {
    edit(path, |bytes| bytes.truncate(bytes.len() / 2));
}

/// Whole runs: nothing about them is wrong.
fn whole() -> Vec<Case> {
    const HOLDS: &str = " holds: ";
    vec![
        case("as it was made", 0, HOLDS, |_, _| {}),
        called("renamed", 0, HOLDS, |_, run| {
            let to = run.with_file_name("another name");
            fs::rename(run, &to).unwrap();
            verify(&to)
        }),
        called(
            "moved into a folder of other runs",
            0,
            HOLDS,
            |world, run| {
                let to = run.with_file_name("runs").join("2026");
                copy(&world.folder(Run::Other), &to.join("other"));
                fs::rename(run, to.join("tiny")).unwrap();
                verify(&to.join("tiny"))
            },
        ),
        called("reached through a link", 0, HOLDS, |_, run| {
            let to = run.with_file_name("link");
            symlink(run, &to).unwrap();
            verify(&to)
        }),
        case("where nobody may write", 0, HOLDS, |_, run| {
            writable(run, false)
        }),
        called("with the node's key", 0, HOLDS, |world, run| {
            [
                verify(run),
                words(&["--node", &world.node.public().to_string()]),
            ]
            .concat()
        }),
        case("stopped, gone on with and finished", 0, HOLDS, |_, _| {}).of(Run::Resumed),
        called("with another node's key", 1, "not by ", |_, run| {
            let other = SigningKey::from_seed([9; 32]).public().to_string();
            [verify(run), words(&["--node", &other])].concat()
        }),
    ]
}

/// The files beside log and blobs.
fn files() -> Vec<Case> {
    vec![
        case("run.json with a bit flipped", 1, "run.json", |_, run| {
            flip(&run.join("run.json"))
        }),
        case("run.json gone", 2, "run.json is missing", |_, run| {
            gone(&run.join("run.json"))
        }),
        case(
            "run.json a named pipe",
            1,
            "run.json: a named pipe",
            |_, run| {
                pipe(&run.join("run.json"));
            },
        ),
        case(
            "run.json a link to the very file",
            1,
            "run.json: a symbolic link",
            |_, run| {
                link(&run.join("run.json"));
            },
        ),
        case(
            "run.json 64 GiB of holes",
            1,
            "run.json: 68719476736 bytes",
            |_, run| {
                holes(&run.join("run.json"));
            },
        ),
        case("run.json a folder", 1, "run.json: a folder", |_, run| {
            gone(&run.join("run.json"));
            fs::create_dir(run.join("run.json")).unwrap();
        }),
        case(
            "experiment.toml with another number of rounds",
            1,
            "experiment.toml",
            |_, run| {
                let path = run.join("experiment.toml");
                let text = fs::read_to_string(&path).unwrap();
                let other = text.replace("rounds = 2", "rounds = 3");
                assert_ne!(text, other);
                fs::write(path, other).unwrap();
            },
        ),
        case(
            "experiment.toml gone",
            1,
            "experiment.toml: is missing",
            |_, run| {
                gone(&run.join("experiment.toml"));
            },
        ),
        case(
            "experiment.toml a link to the very file",
            1,
            "experiment.toml: a symbolic link",
            |_, run| {
                link(&run.join("experiment.toml"));
            },
        ),
        case(
            "experiment.toml 64 GiB of holes",
            1,
            "experiment.toml: 68719476736 bytes",
            |_, run| {
                holes(&run.join("experiment.toml"));
            },
        ),
        case(
            "report.json with another figure",
            1,
            "report.json",
            |_, run| {
                let path = run.join("report.json");
                let text = fs::read_to_string(&path).unwrap();
                let other = text.replacen("\"hits\":", "\"hits\":1", 1);
                assert_ne!(text, other);
                fs::write(path, other).unwrap();
            },
        ),
        case(
            "report.json gone",
            1,
            "report.json: is missing",
            |_, run| {
                gone(&run.join("report.json"));
            },
        ),
        case(
            "report.json a socket",
            1,
            "report.json: a socket",
            |_, run| {
                socket(&run.join("report.json"));
            },
        ),
        case(
            "report.json 64 GiB of holes",
            1,
            "report.json: 68719476736 bytes",
            |_, run| {
                holes(&run.join("report.json"));
            },
        ),
        case("events.jsonl cut", 1, "events.jsonl", |_, run| {
            cut(&run.join("events.jsonl"))
        }),
        case(
            "events.jsonl gone",
            1,
            "events.jsonl: is missing",
            |_, run| {
                gone(&run.join("events.jsonl"));
            },
        ),
        case(
            "events.jsonl a named pipe",
            1,
            "events.jsonl: a named pipe",
            |_, run| {
                pipe(&run.join("events.jsonl"));
            },
        ),
        case(
            "events.jsonl 64 GiB of holes",
            1,
            "events.jsonl: 68719476736 bytes",
            |_, run| {
                holes(&run.join("events.jsonl"));
            },
        ),
        case(
            "one more file",
            1,
            "note.txt: is no file of a run",
            |_, run| {
                fs::write(run.join("note.txt"), "x").unwrap();
            },
        ),
        case(
            "a model.sig beside run.json",
            1,
            "model.sig: is no file of a run",
            |_, run| {
                fs::write(run.join("model.sig"), "{}").unwrap();
            },
        ),
        called(
            "a named pipe instead of the folder",
            2,
            "no such folder",
            |_, run| {
                pipe(run);
                verify(run)
            },
        ),
        called(
            "the folder that it is in",
            2,
            "run.json is missing",
            |_, run| verify(run.parent().unwrap()),
        ),
    ]
}

fn log() -> Vec<Case> {
    vec![
        case("log gone", 2, "no checkpoint", |_, run| {
            gone(&run.join("log"))
        }),
        case(
            "log a link to the very folder",
            1,
            "log: a symbolic link",
            |_, run| {
                link(&run.join("log"));
            },
        ),
        case("log a file", 1, "log: a file", |_, run| {
            gone(&run.join("log"));
            fs::write(run.join("log"), "").unwrap();
        }),
        case("the checkpoint gone", 2, "no checkpoint", |_, run| {
            gone(&run.join("log/checkpoint"))
        }),
        case(
            "the checkpoint a named pipe",
            1,
            "log/checkpoint: a named pipe",
            |_, run| {
                pipe(&run.join("log/checkpoint"));
            },
        ),
        case(
            "the checkpoint a link",
            1,
            "log/checkpoint: a symbolic link",
            |_, run| {
                link(&run.join("log/checkpoint"));
            },
        ),
        case(
            "the checkpoint 64 GiB of holes",
            1,
            "log/checkpoint: 68719476736 bytes",
            |_, run| {
                holes(&run.join("log/checkpoint"));
            },
        ),
        case(
            "the checkpoint with a letter changed",
            1,
            "log/checkpoint",
            |_, run| {
                edit(&run.join("log/checkpoint"), |bytes| bytes[0] ^= 1);
            },
        ),
        case("an entry changed", 1, "log/tile/entries", |_, run| {
            flip(&last(run, "log/tile/entries"));
        }),
        case("the entries cut", 1, "log/tile/entries", |_, run| {
            cut(&last(run, "log/tile/entries"))
        }),
        case("a tile cut", 1, "log/tile/0", |_, run| {
            cut(&last(run, "log/tile/0"))
        }),
        case("a tile gone", 1, "log/tile/0", |_, run| {
            gone(&last(run, "log/tile/0"))
        }),
        case("a tile a named pipe", 1, ": a named pipe", |_, run| {
            pipe(&last(run, "log/tile/0"))
        }),
        case(
            "a tile 64 GiB of holes",
            1,
            ": 68719476736 bytes",
            |_, run| {
                holes(&last(run, "log/tile/0"));
            },
        ),
        case(
            "the tiles a link to the very folder",
            1,
            "tile on the way to it is a symbolic link",
            |_, run| {
                link(&run.join("log/tile"));
            },
        ),
        case(
            "one more file in the log",
            1,
            "log/note.txt: is no file of the log",
            |_, run| {
                fs::write(run.join("log/note.txt"), "x").unwrap();
            },
        ),
        case(
            "a pipe in the log",
            1,
            "log/tile/pipe: is no file of the log",
            |_, run| {
                fs::write(run.join("log/tile/pipe"), "").unwrap();
                pipe(&run.join("log/tile/pipe"));
            },
        ),
        case(
            "something in the lock",
            1,
            "log/lock: is not an empty file",
            |_, run| {
                fs::write(run.join("log/lock"), "x").unwrap();
            },
        ),
        case(
            "the lock a link",
            1,
            "log/lock: is not an empty file",
            |_, run| {
                link(&run.join("log/lock"));
            },
        ),
        case(
            "an earlier checkpoint over the whole log",
            1,
            "log/tile",
            |world, run| {
                let aside = run.with_file_name("earlier");
                world.log_of(&world.records[..world.records.len() / 2], &aside);
                fs::copy(aside.join("checkpoint"), run.join("log/checkpoint")).unwrap();
            },
        ),
        case(
            "the log as it was halfway",
            2,
            "not finished",
            |world, run| {
                gone(&run.join("log"));
                world.log_of(&world.records[..world.records.len() / 2], &run.join("log"));
            },
        ),
        case(
            "a record after the last, signed by the node",
            1,
            "log entry ",
            |world, run| {
                gone(&run.join("log"));
                let mut more = world.records.clone();
                more.push(world.records[1].clone());
                world.log_of(&more, &run.join("log"));
            },
        ),
    ]
}

/// The largest tile of a kind: the one that the checkpoint needs.
fn last(run: &Path, part: &str) -> PathBuf {
    let files = below(&run.join(part))
        .into_iter()
        .filter(|path| path.is_file());
    files
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap()
}

fn blobs() -> Vec<Case> {
    vec![
        case("blobs gone", 1, "blobs: no such directory", |_, run| {
            gone(&run.join("blobs"))
        }),
        case(
            "blobs a link to the very folder",
            1,
            "blobs: a symbolic link",
            |_, run| {
                link(&run.join("blobs"));
            },
        ),
        case(
            "a blob with a bit flipped",
            1,
            ": blob: expected sha256",
            |_, run| flip(&loose(run)),
        ),
        case("a blob gone", 1, "is missing", |_, run| gone(&loose(run))),
        case("a blob a named pipe", 1, ": a named pipe", |_, run| {
            pipe(&loose(run))
        }),
        case(
            "a blob a link to the very file",
            1,
            ": a symbolic link",
            |_, run| link(&loose(run)),
        ),
        case(
            "a blob 64 GiB of holes",
            1,
            ": 68719476736 bytes",
            |_, run| holes(&loose(run)),
        ),
        case(
            "a blob 256 MiB of holes",
            1,
            ": blob: expected sha256",
            |_, run| {
                fs::File::create(loose(run))
                    .unwrap()
                    .set_len(256 << 20)
                    .unwrap();
            },
        ),
        case(
            "a blob's folder a link",
            1,
            ": not the name of a blob",
            |_, run| {
                link(loose(run).parent().unwrap());
            },
        ),
        case(
            "a blob that nobody refers to",
            1,
            "is referred to by nothing in the log",
            |_, run| {
                let digest = Digest::of(b"stranger").to_string();
                let folder = run.join("blobs").join(&digest[..2]);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(digest), "stranger").unwrap();
            },
        ),
        case(
            "one more file among the blobs",
            1,
            "blobs/note.txt: not the name of a blob",
            |_, run| {
                fs::write(run.join("blobs/note.txt"), "x").unwrap();
            },
        ),
        case(
            "a blob half written",
            1,
            "blobs/.x.1.0.tmp: left by a write",
            |_, run| {
                fs::write(run.join("blobs/.x.1.0.tmp"), "x").unwrap();
            },
        ),
    ]
}

/// Changes a pack and calls it what its bytes now hash to.
fn repacked(run: &Path, edit: impl Fn(&mut Vec<u8>)) {
    let pack = first(run, "blobs/packs");
    let mut bytes = fs::read(&pack).unwrap();
    edit(&mut bytes);
    fs::remove_file(&pack).unwrap();
    fs::write(
        pack.with_file_name(format!("{}.tar", Digest::of(&bytes))),
        bytes,
    )
    .unwrap();
}

/// The first member of a pack: its header and its bytes with what fills them up; and their length.
fn member(pack: &[u8]) -> (Vec<u8>, usize) {
    let length = std::str::from_utf8(&pack[124..135]).unwrap();
    let length = usize::from_str_radix(length, 8).unwrap();
    (pack[..512 + length.next_multiple_of(512)].to_vec(), length)
}

/// Changes a member's header and puts the checksum right.
fn reheaded(pack: &mut [u8], at: usize, bytes: &[u8]) {
    pack[at..at + bytes.len()].copy_from_slice(bytes);
    pack[148..156].fill(b' ');
    let sum: u32 = pack[..512].iter().map(|byte| u32::from(*byte)).sum();
    pack[148..156].copy_from_slice(format!("{sum:07o}\0").as_bytes());
}

fn packs() -> Vec<Case> {
    vec![
        case(
            "a pack with a byte more",
            1,
            "stand at its end",
            |_, run| {
                repacked(run, |bytes| bytes.push(1));
            },
        ),
        case(
            "a pack with bytes between its members",
            1,
            "bytes that are of no blob",
            |_, run| {
                repacked(run, |bytes| {
                    let (member, length) = member(bytes);
                    assert_ne!(member.len(), 512 + length, "it is filled up");
                    bytes[512 + length] = 1;
                });
            },
        ),
        case(
            "a pack with a member that is a program",
            1,
            "not the one of a blob",
            |_, run| {
                repacked(run, |bytes| reheaded(bytes, 100, b"0004755\0"));
            },
        ),
        case(
            "a pack with a member that is a link",
            1,
            "not the one of a blob",
            |_, run| {
                repacked(run, |bytes| reheaded(bytes, 156, b"2"));
            },
        ),
        case(
            "a pack with a member twice",
            1,
            "not in order, or twice",
            |_, run| {
                repacked(run, |bytes| {
                    let (member, _) = member(bytes);
                    bytes.splice(..0, member);
                });
            },
        ),
        case(
            "a wrong member before the right one",
            1,
            "not in order, or twice",
            |_, run| {
                repacked(run, |bytes| {
                    let (mut member, _) = member(bytes);
                    member[512] ^= 1;
                    bytes.splice(..0, member);
                });
            },
        ),
        case(
            "a wrong member beside the right blob",
            1,
            "blob in the pack: expected",
            |_, run| {
                // The right bytes are found first, in a file of their own.
                let pack = fs::read(first(run, "blobs/packs")).unwrap();
                let (member, length) = member(&pack);
                let name = String::from_utf8(pack[..67].to_vec()).unwrap();
                let alone = run.join("blobs").join(name);
                fs::create_dir_all(alone.parent().unwrap()).unwrap();
                fs::write(alone, &member[512..512 + length]).unwrap();
                repacked(run, |bytes| bytes[512] ^= 1);
            },
        ),
        case("a pack cut", 1, "cut off", |_, run| {
            repacked(run, |bytes| bytes.truncate(700))
        }),
        case(
            "a pack with a bit flipped",
            1,
            "pack: expected sha256",
            |_, run| {
                edit(&first(run, "blobs/packs"), |bytes| bytes[512] ^= 1);
            },
        ),
        case(
            "a pack a link to the very file",
            1,
            ": a symbolic link",
            |_, run| {
                link(&first(run, "blobs/packs"));
            },
        ),
        case(
            "a pack 64 GiB of holes",
            1,
            ": 68719476736 bytes",
            |_, run| {
                holes(&first(run, "blobs/packs"));
            },
        ),
        case(
            "the packs a link to the very folder",
            1,
            "blobs/packs: a symbolic link",
            |_, run| {
                link(&run.join("blobs/packs"));
            },
        ),
    ]
}

/// Parts of one run in the folder of another.
fn foreign() -> Vec<Case> {
    let from = |which: Run, part: &'static str| {
        move |world: &World, run: &Path| {
            let (source, to) = (world.folder(which).join(part), run.join(part));
            gone(&to);
            match source.is_dir() {
                true => copy(&source, &to),
                false => drop(fs::copy(source, to).unwrap()),
            }
        }
    };
    vec![
        case(
            "run.json of another run",
            1,
            "log/checkpoint",
            from(Run::Other, "run.json"),
        ),
        case(
            "run.json of another node",
            1,
            "log/checkpoint",
            from(Run::Strangers, "run.json"),
        ),
        case("experiment.toml of another run", 1, "experiment.toml", {
            from(Run::Other, "experiment.toml")
        }),
        case(
            "report.json of another run",
            1,
            "report.json",
            from(Run::Other, "report.json"),
        ),
        case(
            "events.jsonl of another run",
            1,
            "events.jsonl",
            from(Run::Other, "events.jsonl"),
        ),
        case(
            "the checkpoint of another run",
            1,
            "log/",
            from(Run::Other, "log/checkpoint"),
        ),
        case("the checkpoint of another node", 1, "log/checkpoint", {
            from(Run::Strangers, "log/checkpoint")
        }),
        case(
            "the log of another run",
            1,
            "log/checkpoint",
            from(Run::Other, "log"),
        ),
        case(
            "the blobs of another run",
            1,
            "blob ",
            from(Run::Other, "blobs"),
        ),
        case(
            "another run's blobs beside its own",
            1,
            "referred to by nothing",
            |world, run| {
                copy(&world.folder(Run::Other).join("blobs"), &run.join("blobs"));
            },
        ),
    ]
}

fn unfinished() -> Vec<Case> {
    let half = |done, code, named, change: fn(&Path)| {
        case(done, code, named, move |_, run| change(run)).of(Run::Half)
    };
    vec![
        half("stopped in the middle", 2, "not finished", |_| {}),
        called(
            "stopped in the middle, `log fsck`",
            0,
            "is whole",
            |_, run| words(&["log", "fsck", run.to_str().unwrap()]),
        )
        .of(Run::Half),
        case(
            "stopped before its first round",
            2,
            "not finished",
            |_, _| {},
        )
        .of(Run::Begun),
        half("stopped before its log", 2, "no checkpoint", |run| {
            gone(&run.join("log"))
        }),
        half("stopped before run.json", 2, "run.json is missing", |run| {
            gone(&run.join("log"));
            gone(&run.join("run.json"));
        }),
        half(
            "stopped while a checkpoint was published",
            1,
            "log/checkpoint.next",
            |run| {
                fs::copy(run.join("log/checkpoint"), run.join("log/checkpoint.next")).unwrap();
            },
        ),
        half(
            "stopped while a tile was written",
            1,
            "log/tile/0/.000.1.0.tmp",
            |run| {
                fs::write(run.join("log/tile/0/.000.1.0.tmp"), "half").unwrap();
            },
        ),
        case("an empty folder", 2, "run.json is missing", |_, run| {
            gone(run);
            fs::create_dir(run).unwrap();
        }),
        called("no folder", 2, "no such folder", |_, run| {
            gone(run);
            verify(run)
        }),
    ]
}
