use std::fs;
use std::sync::Arc;

use fedseal_client_sdk::tlog::{verify_consistency, verify_inclusion};
use proptest::prelude::*;

use super::*;
use crate::files::fault::Fault;

const ORIGIN: &str = "fedseal.example/test";

fn key() -> SigningKey {
    SigningKey::from_seed([7; 32])
}

fn entry(i: u64) -> Vec<u8> {
    format!("entry {i} {}", "x".repeat((i % 17) as usize)).into_bytes()
}

fn create(dir: &Path) -> Log {
    Log::create(dir, ORIGIN, key()).unwrap()
}

fn open(dir: &Path) -> Result<Log> {
    Log::open(dir, ORIGIN, key())
}

fn append(log: &mut Log, n: u64) {
    for _ in 0..n {
        let next = log.size();
        assert_eq!(log.append(&entry(next)).unwrap(), next);
    }
}

fn check_whole(dir: &Path, size: u64) -> FsckReport {
    let report = fsck(dir, &key().public()).unwrap();
    assert_eq!(report.entries, size);
    let reader = LogReader::open(dir, &key().public()).unwrap();
    let entries = reader.entries().unwrap();
    assert_eq!(entries.len() as u64, size);
    for (i, found) in (0..).zip(entries) {
        assert_eq!(found, entry(i));
    }
    report
}

#[test]
fn create_append_publish_open() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("runs/one/log");
    assert!(matches!(open(&dir), Err(Error::NotFound { .. })));
    let mut log = create(&dir);
    check_whole(&dir, 0);
    assert!(matches!(
        Log::create(&dir, ORIGIN, key()),
        Err(Error::Locked { .. })
    ));
    assert!(
        matches!(open(&dir), Err(Error::Locked { .. })),
        "one writer"
    );
    append(&mut log, 3);
    assert_eq!(log.size(), 3);
    assert_eq!(log.checkpoint().size, 0, "buffered");
    check_whole(&dir, 0);
    let checkpoint = log.publish().unwrap();
    assert_eq!(checkpoint.size, 3);
    assert_eq!(log.publish().unwrap(), checkpoint);
    check_whole(&dir, 3);
    drop(log);
    assert!(matches!(
        Log::create(&dir, ORIGIN, key()),
        Err(Error::Exists { .. })
    ));
    let mut log = open(&dir).unwrap();
    assert_eq!(log.checkpoint(), &checkpoint);
    assert_eq!(log.append_publish(&entry(3)).unwrap(), 3);
    assert_eq!(log.entry(2).unwrap(), entry(2));
    assert!(matches!(log.entry(4), Err(Error::OutOfRange { .. })));
    check_whole(&dir, 4);
    assert_eq!(
        fs::read_to_string(dir.join("checkpoint")).unwrap(),
        log.note()
    );
}

#[test]
fn another_key_or_origin_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(create(dir.path()));
    let other = SigningKey::from_seed([8; 32]);
    assert!(matches!(
        Log::open(dir.path(), ORIGIN, other.clone()),
        Err(Error::Verify { .. })
    ));
    assert!(Log::open(dir.path(), "another", key()).is_err());
    assert!(fsck(dir.path(), &other.public()).is_err());
    assert!(LogReader::open(dir.path(), &other.public()).is_err());
    open(dir.path()).unwrap();
}

#[test]
fn too_long_entries_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path());
    let error = log.append(&vec![0; 65_536]).unwrap_err();
    assert!(matches!(error, Error::EntryTooLong { bytes: 65_536 }));
    assert_eq!(log.size(), 0);
    log.append_publish(&vec![0; 65_535]).unwrap();
    assert_eq!(log.entry(0).unwrap().len(), 65_535);
    fsck(dir.path(), &key().public()).unwrap();
}

#[test]
fn many_publishes_keep_the_partial_tiles_of_incomplete_tiles() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path());
    let mut before = log.checkpoint().clone();
    let mut sizes = Vec::new();
    // Small steps across two tile borders.
    for step in (1..=9).cycle().take(130) {
        append(&mut log, step);
        let now = log.publish().unwrap();
        let proof = log.prove_consistency(before.size, now.size).unwrap();
        verify_consistency(before.size, before.root, now.size, now.root, &proof).unwrap();
        before = now;
        sizes.push(before.size);
    }
    let size = log.size();
    assert!(size > 512);
    let report = check_whole(dir.path(), size);
    assert!(report.extra.is_empty());
    let partial: Vec<Tile> = files::walk(dir.path())
        .unwrap()
        .iter()
        .filter_map(|path| Tile::parse(path.strip_prefix(dir.path()).unwrap()))
        .filter(|tile| tile.width < WIDTH)
        .collect();
    for tile in &partial {
        let full = Tile {
            width: WIDTH,
            ..*tile
        };
        assert!(!full.within(size), "{tile:?} has a full tile");
    }
    // Every checkpoint inside the last, incomplete tile has its own.
    let last = sizes
        .iter()
        .filter(|s| *s / WIDTH == size / WIDTH && *s % WIDTH > 0);
    let level_0 = partial.iter().filter(|t| t.kind == Kind::Level(0));
    assert_eq!(level_0.count(), last.count());
    drop(log);
    let mut log = open(dir.path()).unwrap();
    append(&mut log, 300);
    log.publish().unwrap();
    check_whole(dir.path(), size + 300);
}

#[test]
fn a_reader_at_an_older_checkpoint_goes_on_reading() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path());
    append(&mut log, 100);
    let old = log.publish().unwrap();
    let reader = LogReader::open(dir.path(), &key().public()).unwrap();
    for _ in 0..5 {
        append(&mut log, 70);
        log.publish().unwrap();
    }
    assert_eq!(reader.checkpoint(), &old);
    assert_eq!(reader.entries().unwrap().len(), 100);
    assert_eq!(reader.entry(99).unwrap(), entry(99));
    assert!(reader.entry(100).is_err());
    let proof = reader.prove_inclusion(99, 100).unwrap();
    verify_inclusion(leaf_hash(&entry(99)), 99, 100, &proof, old.root).unwrap();
    assert!(reader.prove_inclusion(100, 101).is_err());
    let file = reader.proof_file(42).unwrap();
    file.verify(&entry(42), ORIGIN, &key().public()).unwrap();
}

#[test]
fn what_a_crash_left_beyond_the_checkpoint_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut log = create(dir);
    append(&mut log, 300);
    let checkpoint = log.publish().unwrap();
    let note = fs::read(dir.join("checkpoint")).unwrap();
    append(&mut log, 300);
    log.publish().unwrap();
    drop(log);
    // As if killed between data and checkpoint; one file cut, one left by a write that stopped.
    // (Worse: the partial tiles of 300 entries are gone, as after a checkpoint from a backup.)
    fs::write(dir.join("checkpoint"), &note).unwrap();
    let cut = dir.join("tile/entries/002.p/88");
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(dir.join("tile/0/.002.7.0.tmp"), b"half").unwrap();
    let report = fsck(dir, &key().public()).unwrap();
    assert_eq!(report.entries, 300);
    // Tile 1 is full now: it is beyond the 300 entries, and so are the two of number 2.
    let mut extra = [
        "tile/0/001",
        "tile/entries/001",
        "tile/0/002.p/88",
        "tile/entries/002.p/88",
        "tile/0/.002.7.0.tmp",
        "tile/1/000.p/2",
    ]
    .map(PathBuf::from);
    extra.sort();
    assert_eq!(report.extra, extra);

    let mut log = open(dir).unwrap();
    assert_eq!(log.checkpoint(), &checkpoint);
    assert_eq!(log.size(), 300);
    assert!(check_whole(dir, 300).extra.is_empty());
    append(&mut log, 300);
    log.publish().unwrap();
    check_whole(dir, 600);
}

#[test]
fn a_crash_at_every_step_goes_back_to_a_checkpoint() {
    let mut finished = false;
    for n in 0..200 {
        let dir = tempfile::tempdir().unwrap();
        let mut log = create(dir.path());
        append(&mut log, 250);
        let old = log.publish().unwrap();
        drop(log);

        let disk = Disk {
            fault: Some(Arc::new(Fault::after(n))),
        };
        let Ok(mut log) = Log::open_on(disk, dir.path(), ORIGIN, key()) else {
            // Opening has steps too; what was there stays.
            check_whole(dir.path(), 250);
            continue;
        };
        append(&mut log, 10);
        let result = log.publish();
        finished = result.is_ok();
        // The disk works again; the same writer may go on...
        if n % 2 == 0 && !finished {
            log.disk = Disk::default();
            append(&mut log, 1);
            let now = log.publish().unwrap();
            let proof = log.prove_consistency(old.size, now.size).unwrap();
            verify_consistency(old.size, old.root, now.size, now.root, &proof).unwrap();
            check_whole(dir.path(), 261);
            continue;
        }
        // ...or a new one opens what is there.
        drop(log);
        let mut log = open(dir.path()).unwrap();
        let now = log.checkpoint().clone();
        assert!(now.size == 250 || now.size == 260, "step {n}: {}", now.size);
        assert!(
            !finished || now.size == 260,
            "what publish returned is there"
        );
        assert!(check_whole(dir.path(), now.size).extra.is_empty());
        let proof = log.prove_consistency(old.size, now.size).unwrap();
        verify_consistency(old.size, old.root, now.size, now.root, &proof).unwrap();
        append(&mut log, 20);
        log.publish().unwrap();
        check_whole(dir.path(), now.size + 20);
        if finished {
            break;
        }
    }
    assert!(finished, "publish never succeeded");
}

/// A power failure may take back the name that a reader has seen already, but not the prepared one.
#[test]
fn a_checkpoint_that_was_shown_is_never_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (shown, next) = (dir.join("checkpoint"), dir.join(NEXT));
    let mut log = create(dir);
    append(&mut log, 254);
    log.publish().unwrap();
    let old = fs::read(&shown).unwrap();
    append(&mut log, 4);
    let seen = log.publish().unwrap();
    assert!(!next.exists());
    drop(log);
    let note = fs::read(&shown).unwrap();
    fs::write(&shown, &old).unwrap();
    fs::write(&next, &note).unwrap();

    // A prepared one that is damaged, or of less than what is shown, is reported as it is.
    let mut bad = note.clone();
    bad[40] ^= 1;
    let empty = Checkpoint {
        origin: ORIGIN.into(),
        size: 0,
        root: empty_root(),
    };
    for bad in [bad, empty.sign(&key()).unwrap().into_bytes()] {
        fs::write(&next, &bad).unwrap();
        let error = open(dir).unwrap_err().to_string();
        assert!(error.contains(NEXT), "{error}");
        assert_eq!(fs::read(&shown).unwrap(), old);
        assert_eq!(fs::read(&next).unwrap(), bad);
    }
    fs::write(&next, &note).unwrap();
    let mut log = open(dir).unwrap();
    assert_eq!(log.checkpoint(), &seen);
    assert_eq!(fs::read(&shown).unwrap(), note);
    assert!(!next.exists());
    assert!(check_whole(dir, 258).extra.is_empty());
    append(&mut log, 2);
    log.publish().unwrap();
    check_whole(dir, 260);
}

#[test]
fn a_crash_in_create_can_be_repeated() {
    for n in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("log");
        let disk = Disk {
            fault: Some(Arc::new(Fault::after(n))),
        };
        if Log::create_on(disk, &dir, ORIGIN, key()).is_ok() {
            return;
        }
        if open(&dir).is_err() {
            create(&dir);
        }
        check_whole(&dir, 0);
    }
    panic!("create never succeeded");
}

#[test]
fn every_flipped_byte_in_every_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut log = create(dir);
    append(&mut log, 260);
    log.publish().unwrap();
    append(&mut log, 3);
    log.publish().unwrap();
    drop(log);
    let mut seen = 0;
    for path in files::walk(dir).unwrap() {
        if path.ends_with("lock") {
            continue;
        }
        let good = fs::read(&path).unwrap();
        let places = (0..good.len())
            .step_by(good.len() / 60 + 1)
            .chain([good.len() - 1]);
        for i in places {
            let mut bad = good.clone();
            bad[i] ^= 1;
            fs::write(&path, &bad).unwrap();
            let error = fsck(dir, &key().public()).unwrap_err().to_string();
            assert!(
                error.contains(path.to_str().unwrap()),
                "{path:?} byte {i}: {error}"
            );
            seen += 1;
        }
        for bad in [
            &good[..good.len() - 1],
            &[good.as_slice(), b"\0"].concat(),
            b"",
        ] {
            fs::write(&path, bad).unwrap();
            assert!(
                fsck(dir, &key().public()).is_err(),
                "{path:?} of {} bytes",
                bad.len()
            );
        }
        fs::remove_file(&path).unwrap();
        // A partial tile of an older checkpoint is not needed for this one; the others are.
        let old = path.to_string_lossy().ends_with(".p/4");
        assert_eq!(fsck(dir, &key().public()).is_ok(), old, "{path:?} removed");
        fs::write(&path, &good).unwrap();
        fsck(dir, &key().public()).unwrap();
    }
    assert!(seen > 300);
}

#[test]
fn full_tiles_above_many_entries_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut log = create(dir);
    append(&mut log, 65_536 + 3);
    log.publish().unwrap();
    drop(log);
    let report = fsck(dir, &key().public()).unwrap();
    // Bundles and hashes of 256 and of 3 entries, 256 roots, and the root over those.
    assert_eq!((report.entries, report.tiles), (65_539, 2 * 257 + 2));
    for name in ["tile/1/000", "tile/2/000.p/1", "tile/0/200"] {
        let path = dir.join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[31] ^= 1;
        fs::write(&path, &bad).unwrap();
        let error = fsck(dir, &key().public()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        fs::remove_file(&path).unwrap();
        let error = fsck(dir, &key().public()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        fs::write(&path, &good).unwrap();
    }
}

#[test]
fn the_first_bad_item_is_named_with_both_digests() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut log = create(dir);
    append(&mut log, 260);
    log.publish().unwrap();
    drop(log);
    let path = dir.join("tile/entries/000");
    let good = fs::read(&path).unwrap();
    let at = good.windows(9).position(|w| w == b"entry 17 ").unwrap();
    let mut bad = good.clone();
    bad[at] = b'E';
    fs::write(&path, &bad).unwrap();
    let mut changed = entry(17);
    changed[0] = b'E';
    match fsck(dir, &key().public()).unwrap_err() {
        Error::DigestMismatch {
            item,
            expected,
            got,
            ..
        } => {
            assert_eq!(item, "entry 17");
            assert_eq!(expected, leaf_hash(&entry(17)));
            assert_eq!(got, leaf_hash(&changed));
        }
        other => panic!("{other}"),
    }
    let reader = LogReader::open(dir, &key().public()).unwrap();
    assert!(reader.entry(17).is_err());
    assert!(reader.entries().is_err());
    assert_eq!(reader.entry(18).unwrap(), entry(18));
    fs::write(&path, &good).unwrap();

    // A hash of level 1: the entries are right, so the tile is wrong.
    let path = dir.join("tile/1/000.p/1");
    let mut bad = fs::read(&path).unwrap();
    bad[5] ^= 1;
    fs::write(&path, &bad).unwrap();
    let error = fsck(dir, &key().public()).unwrap_err().to_string();
    assert!(error.contains("hash of node level 8, number 0"), "{error}");
    assert!(
        matches!(open(dir), Err(Error::DigestMismatch { .. })),
        "the edge does not lead to the root"
    );
}

#[test]
fn entries_and_hashes_changed_together_are_found_by_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut log = create(dir);
    append(&mut log, 10);
    log.publish().unwrap();
    drop(log);
    // Another log of ten entries, one of them different, under the first one's checkpoint.
    let note = fs::read(dir.join("checkpoint")).unwrap();
    fs::remove_dir_all(dir.join("tile")).unwrap();
    fs::remove_file(dir.join("checkpoint")).unwrap();
    let mut log = create(dir);
    append(&mut log, 9);
    log.append(b"forged").unwrap();
    log.publish().unwrap();
    drop(log);
    fs::write(dir.join("checkpoint"), note).unwrap();
    let error = fsck(dir, &key().public()).unwrap_err().to_string();
    assert!(error.contains("root of 10 entries"), "{error}");
    assert!(open(dir).is_err());
    assert!(
        LogReader::open(dir, &key().public())
            .unwrap()
            .entries()
            .is_err()
    );
}

#[test]
fn proofs_reach_over_published_and_buffered_entries() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path());
    append(&mut log, 700);
    log.publish().unwrap();
    append(&mut log, 400);
    let root = log.root().unwrap();
    for index in [0, 255, 256, 511, 512, 699, 700, 767, 768, 1023, 1024, 1099] {
        let proof = log.prove_inclusion(index, 1100).unwrap();
        verify_inclusion(leaf_hash(&entry(index)), index, 1100, &proof, root).unwrap();
        assert_eq!(log.entry(index).unwrap(), entry(index));
    }
    assert_eq!(log.entries().unwrap().len(), 1100);
    assert!(log.prove_inclusion(0, 1101).is_err());
    assert!(log.prove_inclusion(5, 5).is_err());
    assert!(log.prove_inclusion(u64::MAX, u64::MAX).is_err());
    assert!(log.prove_consistency(3, 2).is_err());
    assert!(log.prove_consistency(0, 1101).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_sizes_and_publishes(steps in prop::collection::vec(0u64..400, 1..6), reopen in any::<bool>(),
                                  at in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = create(dir.path());
        let mut checkpoints = vec![log.checkpoint().clone()];
        for step in steps {
            append(&mut log, step);
            checkpoints.push(log.publish().unwrap());
            if reopen {
                drop(log);
                log = open(dir.path()).unwrap();
            }
        }
        let last = checkpoints.last().unwrap();
        check_whole(dir.path(), last.size);
        let reader = LogReader::open(dir.path(), &key().public()).unwrap();
        for old in &checkpoints {
            for proof in [
                log.prove_consistency(old.size, last.size).unwrap(),
                reader.prove_consistency(old.size, last.size).unwrap(),
            ] {
                verify_consistency(old.size, old.root, last.size, last.root, &proof).unwrap();
            }
            if old.size > 0 {
                let index = at.index(old.size as usize) as u64;
                let proof = reader.prove_inclusion(index, old.size).unwrap();
                prop_assert_eq!(&proof, &log.prove_inclusion(index, old.size).unwrap());
                verify_inclusion(leaf_hash(&entry(index)), index, old.size, &proof, old.root).unwrap();
                let last_byte = index.to_le_bytes()[0];
                let wrong = leaf_hash(&[0, last_byte]);
                prop_assert!(verify_inclusion(wrong, index, old.size, &proof, old.root).is_err());
            }
        }
    }
}

/// Opened like an ordinary file, each would block, be followed or be held in memory.
#[cfg(target_os = "linux")]
#[test]
fn what_is_no_file_of_a_log_is_named_and_neither_followed_nor_held() {
    use std::os::unix::fs::symlink;
    type Place<'a> = &'a dyn Fn(&Path);
    let pipe = |path: &Path| {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    let sparse = |path: &Path| {
        let file = fs::File::create(path).unwrap();
        file.set_len(8 << 30).unwrap();
    };
    // The very bytes that were there, elsewhere.
    let link = |path: &Path| {
        let aside = path.with_extension("aside");
        symlink(&aside, path).unwrap();
    };
    let kinds: [(&str, Place<'_>); 3] = [
        ("a named pipe", &pipe),
        ("a symbolic link", &link),
        ("at most are read", &sparse),
    ];
    for name in [
        "checkpoint",
        "tile/0/000",
        "tile/entries/001.p/44",
        "tile/1",
    ] {
        for (what, place) in &kinds {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path();
            let mut log = create(dir);
            append(&mut log, 300);
            log.publish().unwrap();
            drop(log);
            let path = dir.join(name);
            let aside = path.with_extension("aside");
            fs::rename(&path, &aside).unwrap();
            place(&path);
            let error = fsck(dir, &key().public()).unwrap_err().to_string();
            // A folder that is a file is not read at all.
            let what = match *what {
                "at most are read" if name == "tile/1" => "a file",
                what => what,
            };
            assert!(
                error.contains(what) && error.contains(name),
                "{name}: {error}"
            );
            // The writer reads what is at the right edge.
            assert_eq!(open(dir).is_err(), name != "tile/0/000", "{name}: {what}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    drop(create(dir.path()));
    let lock = dir.path().join("lock");
    for place in [&pipe as Place<'_>, &|path| symlink("made", path).unwrap()] {
        fs::remove_file(&lock).unwrap();
        place(&lock);
        assert!(open(dir.path()).is_err());
        assert!(!dir.path().join("made").exists());
    }
}
