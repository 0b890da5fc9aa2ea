//! Files that are changed, cut, added or gone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Forge, below};

/// Files of each sort: flipped, cut, gone. The refusal names the file.
pub(crate) fn forge(forge: &mut Forge) {
    let root = forge.run.clone();
    let all: Vec<PathBuf> = below(&root)
        .into_iter()
        .map(|path| path.strip_prefix(&root).unwrap().to_owned())
        .collect();
    let named = |name: &str| {
        all.iter()
            .find(|path| path.ends_with(name))
            .unwrap()
            .clone()
    };
    let mut chosen: Vec<PathBuf> = ["run.json", "report.json", "experiment.toml", "checkpoint"]
        .map(named)
        .into();
    let blobs: Vec<&PathBuf> = all
        .iter()
        .filter(|path| path.starts_with("blobs"))
        .collect();
    chosen.extend(
        blobs
            .iter()
            .step_by(blobs.len() / 6)
            .map(|path| (*path).clone()),
    );
    let pack = all.iter().find(|path| path.starts_with("blobs/packs"));
    let pack = pack.expect("some blobs are packed").clone();
    chosen.push(pack.clone());
    chosen.sort();
    chosen.dedup();
    for name in chosen {
        let shown = name.display().to_string();
        let file = name.file_name().unwrap().to_string_lossy().into_owned();
        let change = |run: &Path, change: &dyn Fn(&mut Vec<u8>)| {
            let path = run.join(&name);
            let mut bytes = fs::read(&path).unwrap();
            change(&mut bytes);
            fs::write(path, bytes).unwrap();
        };
        forge.case(&format!("{shown} with a bit flipped"), &file, |run| {
            change(run, &|bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            });
        });
        forge.case(&format!("{shown} cut"), &file, |run| {
            change(run, &|bytes| bytes.truncate(bytes.len() / 2));
        });
        let gone = match file.as_str() {
            "run.json" => "no run is here",
            "checkpoint" => "log",
            // A blob of it is what is missing.
            pack if pack.ends_with(".tar") => ": is missing",
            _ => file.as_str(),
        };
        forge.case(&format!("{shown} deleted"), gone, |run| {
            fs::remove_file(run.join(&name)).unwrap();
        });
    }
    // Bytes of a pack that belong to no blob.
    let file = pack.file_name().unwrap().to_string_lossy().into_owned();
    forge.case("a pack with a byte more", &file, |run| {
        let mut bytes = fs::read(run.join(&pack)).unwrap();
        bytes.push(0);
        fs::write(run.join(&pack), bytes).unwrap();
    });
    for (extra, reason) in [
        ("note.txt", "note.txt"),
        ("log/note.txt", "note.txt"),
        ("blobs/note.txt", "note.txt"),
        ("blobs/packs/note.txt", "note.txt"),
    ] {
        forge.case(&format!("{extra} added"), reason, |run| {
            fs::write(run.join(extra), "x").unwrap();
        });
    }
    forge.case(
        "a blob that nobody refers to",
        "referred to by nothing",
        |run| {
            let blobs = fedseal_ledger::Blobs::open(run.join("blobs")).unwrap();
            blobs.put(b"stranger").unwrap();
        },
    );
    forge.case("the log of nobody", "log", |run| {
        fs::remove_dir_all(run.join("log")).unwrap();
    });
}
