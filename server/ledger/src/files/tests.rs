use super::*;
use std::sync::Arc;

#[test]
fn a_fault_at_each_step_leaves_old_or_new_bytes() {
    for n in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        Disk::default().write(&path, b"old bytes").unwrap();
        let fault = Arc::new(fault::Fault::after(n));
        let disk = Disk {
            fault: Some(fault.clone()),
        };
        let result = disk.write(&path, b"new bytes, longer");
        let found = fs::read(&path).unwrap();
        if result.is_ok() {
            assert_eq!(found, b"new bytes, longer");
            assert_eq!(
                fault.steps(),
                [
                    Step::Create,
                    Step::Write,
                    Step::SyncFile,
                    Step::Rename,
                    Step::OpenDir,
                    Step::SyncDir
                ]
            );
            return;
        }
        assert!(found == b"old bytes" || found == b"new bytes, longer");
    }
    panic!("the write never succeeded");
}

#[test]
fn a_fault_at_each_step_of_many_leaves_old_or_new_bytes() {
    let names: Vec<String> = (0..TOGETHER).map(|i| format!("{i}/file")).collect();
    let write = |disk: &Disk, dir: &Path, bytes: &[u8]| {
        let paths: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
        disk.write_many(paths.iter().map(|path| (path.as_path(), bytes)))
    };
    let mut n = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        write(&Disk::default(), dir.path(), b"old").unwrap();
        let fault = Arc::new(fault::Fault::after(n));
        let disk = Disk {
            fault: Some(fault.clone()),
        };
        let result = write(&disk, dir.path(), b"new bytes");
        for name in &names {
            let found = fs::read(dir.path().join(name)).unwrap();
            let new = found == b"new bytes";
            assert!(new || found == b"old" && result.is_err(), "step {n}");
        }
        if result.is_ok() {
            // Every file and every directory was asked for: created, written, synced, moved;
            // opened, synced.
            assert_eq!(fault.steps().len(), TOGETHER * 6);
            break;
        }
        n += 1;
    }
    assert_eq!(n, TOGETHER * 6);
}

#[test]
fn walk_is_ordered_and_knows_leftovers() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    for name in ["b", "a/z", "a/y"] {
        disk.write(&dir.path().join(name), b"").unwrap();
    }
    let names: Vec<_> = walk(dir.path()).unwrap();
    assert_eq!(names, ["a/y", "a/z", "b"].map(|n| dir.path().join(n)));
    assert!(walk(&dir.path().join("none")).unwrap().is_empty());
    assert!(is_temporary(&temporary(Path::new("x/y"))));
    assert!(!is_temporary(Path::new("x/y.tmp")));
}
