//! A layout is written, read, and broken in every part.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::artifact::MAX_ENVELOPES;
use super::descriptor::{Descriptor, Index, MANIFEST, MAX_READ, TAG, bytes_of, parse};
use super::disk::find;
use super::layout::{begin, blob_path, end, read_index, read_manifest, write_blob};
use super::{About, Access, Pulled, Reference};
use crate::Result;
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::keys::SigningKey;
use crate::module::{self, ModulePredicate};

const MODULE: &[u8] = b"\0asm not really";

fn reference(folder: &Path, name: &str) -> Reference {
    Reference::parse(&format!("oci:{}{name}", folder.display())).unwrap()
}

fn push(to: &Reference, module: &[u8], about: &About, envelopes: &[&Envelope]) -> Result<Digest> {
    super::push(to, module, about, envelopes, &Access::default())
}

fn attach(to: &Reference, envelope: &Envelope) -> Result<()> {
    super::attach(to, envelope, &Access::default())
}

fn pull(from: &Reference) -> Result<Pulled> {
    super::pull(from, &Access::default())
}

fn signed() -> (SigningKey, Envelope) {
    let key = SigningKey::from_seed([7; 32]);
    let envelope = module::sign(MODULE, &ModulePredicate::new("plain", "1.0"), &key).unwrap();
    (key, envelope)
}

/// A layout with one signed module, tagged `v1`.
fn layout() -> (tempfile::TempDir, Reference) {
    let folder = tempfile::tempdir().unwrap();
    let to = reference(folder.path(), ":v1");
    push(&to, MODULE, &About::default(), &[&signed().1]).unwrap();
    (folder, to)
}

#[test]
fn a_module_comes_back_with_its_signature() {
    let (folder, to) = layout();
    let (key, envelope) = signed();
    let pulled = pull(&to).unwrap();
    assert_eq!(pulled.module, MODULE);
    assert_eq!(pulled.envelopes, [envelope]);
    module::verify(&pulled.module, &pulled.envelopes[0], &[key.public()]).unwrap();
    let by_digest = reference(folder.path(), &format!("@sha256:{}", pulled.manifest));
    for other in [by_digest, reference(folder.path(), "")] {
        assert_eq!(pull(&other).unwrap().manifest, pulled.manifest);
    }
}

#[test]
fn the_same_push_again_changes_nothing_and_a_tag_moves() {
    let (folder, to) = layout();
    let index = fs::read(folder.path().join("index.json")).unwrap();
    push(&to, MODULE, &About::default(), &[&signed().1]).unwrap();
    let read = |bytes: &[u8]| parse::<Index>("index", bytes).unwrap().manifests.len();
    assert_eq!(
        read(&index),
        read(&fs::read(folder.path().join("index.json")).unwrap())
    );
    push(&to, b"another", &About::default(), &[]).unwrap();
    let pulled = pull(&to).unwrap();
    assert_eq!(pulled.module, b"another");
    assert!(
        pulled.envelopes.is_empty(),
        "the old module's signature is not the new one's"
    );
    let other = SigningKey::from_seed([8; 32]);
    let envelope = module::sign(b"another", &ModulePredicate::new("a", "1"), &other).unwrap();
    attach(&to, &envelope).unwrap();
    assert_eq!(pull(&to).unwrap().envelopes, [envelope]);
}

#[test]
fn two_modules_need_a_name() {
    let (folder, _) = layout();
    push(
        &reference(folder.path(), ":v2"),
        b"two",
        &About::default(),
        &[],
    )
    .unwrap();
    let error = pull(&reference(folder.path(), "")).unwrap_err().to_string();
    assert!(error.contains("v1, v2"), "{error}");
    push(
        &reference(folder.path(), ""),
        b"three",
        &About::default(),
        &[],
    )
    .unwrap();
    assert_eq!(
        pull(&reference(folder.path(), "")).unwrap().module,
        b"three"
    );
    assert!(pull(&reference(folder.path(), ":v3")).is_err());
}

/// Each case changes something in a layout and names a word of the error that must follow.
#[test]
fn every_break_is_refused() {
    let blob = |folder: &Path, bytes: &[u8]| blob_path(folder, &Digest::of(bytes));
    let rewrite = |path: &Path, from: &str, to: &str| {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    type Break<'a> = (&'a str, Box<dyn Fn(&Path)>);
    let breaks: Vec<Break> = vec![
        (
            "oci-layout",
            Box::new(|f| fs::remove_file(f.join("oci-layout")).unwrap()),
        ),
        (
            "imageLayoutVersion",
            Box::new(move |f| rewrite(&f.join("oci-layout"), "1.0.0", "2.0.0")),
        ),
        (
            "index.json",
            Box::new(|f| fs::write(f.join("index.json"), "{").unwrap()),
        ),
        (
            "index.json",
            Box::new(|f| fs::write(f.join("index.json"), vec![b' '; 5 << 20]).unwrap()),
        ),
        (
            "bytes of memory",
            Box::new(move |f| {
                let many = format!("\"more\":[{}0],\"manifests\"", "{\"\":0},".repeat(60_000));
                rewrite(&f.join("index.json"), "\"manifests\"", &many);
            }),
        ),
        (
            "where a file belongs",
            Box::new(|f| {
                fs::remove_file(f.join("index.json")).unwrap();
                fs::create_dir(f.join("index.json")).unwrap();
            }),
        ),
        (
            "schemaVersion",
            Box::new(move |f| rewrite(&f.join("index.json"), ":2", ":1")),
        ),
        (
            "no module",
            Box::new(|f| fs::write(f.join("index.json"), r#"{"schemaVersion":2}"#).unwrap()),
        ),
        (
            "sha256",
            Box::new(move |f| rewrite(&f.join("index.json"), "sha256:", "sha512:")),
        ),
        (
            "hex",
            Box::new(move |f| rewrite(&f.join("index.json"), "sha256:", "sha256:../../")),
        ),
        (
            "at most are read",
            Box::new(move |f| rewrite(&f.join("index.json"), "\"size\":", "\"size\":1,\"was\":")),
        ),
        (
            "expected sha256",
            Box::new(move |f| fs::write(blob(f, MODULE), b"\0asm not reallz").unwrap()),
        ),
        (
            "expected sha256",
            Box::new(move |f| fs::write(blob(f, MODULE), &MODULE[..5]).unwrap()),
        ),
        (
            "at most are read",
            Box::new(move |f| fs::write(blob(f, MODULE), b"\0asm not really longer").unwrap()),
        ),
        (
            "No such file",
            Box::new(move |f| fs::remove_file(blob(f, MODULE)).unwrap()),
        ),
    ];
    for (word, change) in breaks {
        let (folder, to) = layout();
        change(folder.path());
        let error = pull(&to).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}

/// Small files can name much: the bytes that one pull reads and keeps are bounded over all of them.
#[test]
fn a_pull_is_bounded_over_all_manifests() {
    let (folder, to) = layout();
    let folder = folder.path();
    let index = read_index(folder).unwrap();
    let again = |manifests: Vec<Descriptor>| {
        let mut index = begin(folder).unwrap();
        index.manifests = manifests;
        end(folder, &index).unwrap();
        pull(&to).map(|pulled| pulled.envelopes.len())
    };
    let (module, signature) = (index.manifests[0].clone(), index.manifests[1].clone());
    let of = |count| [vec![module.clone()], vec![signature.clone(); count]].concat();
    assert_eq!(again(of(MAX_ENVELOPES)).unwrap(), MAX_ENVELOPES);
    let error = again(of(MAX_ENVELOPES + 1)).unwrap_err().to_string();
    assert!(error.contains("more than 64 envelopes"), "{error}");

    let large = [b"{}".as_slice(), &vec![b' '; 4 << 20][2..]].concat();
    let large = write_blob(folder, MANIFEST, &large).unwrap();
    let (index, mut left) = (read_index(folder).unwrap(), 2 * large.size);
    for _ in 0..2 {
        // Read, and no manifest.
        assert!(read_manifest(folder, &large, &mut left).is_err());
    }
    assert_eq!((left, index.manifests.len()), (0, MAX_ENVELOPES + 2));
    let error = read_manifest(folder, &module, &mut left).err().unwrap();
    assert!(
        error.to_string().contains("its manifests have more"),
        "{error}"
    );

    let wide = format!("{{\"schemaVersion\":2,\"x\":[{}0]}}", "{},".repeat(2000));
    let wide = write_blob(folder, MANIFEST, wide.as_bytes()).unwrap();
    let error = read_manifest(folder, &wide, &mut { MAX_READ })
        .err()
        .unwrap();
    assert!(error.to_string().contains("bytes of memory"), "{error}");
}

/// Entries of others in the same layout are none of a module's business, broken or not.
#[test]
fn unrelated_entries_do_not_stop_a_module() {
    let (folder, to) = layout();
    let folder = folder.path();
    let whole = pull(&to).unwrap();
    let index = read_index(folder).unwrap();
    let (module, signature) = (index.manifests[0].clone(), index.manifests[1].clone());
    let broken = write_blob(folder, MANIFEST, b"{ no manifest").unwrap();
    let mut gone = broken.clone();
    gone.digest = format!("sha256:{}", Digest::of(b"nowhere"));
    let mut longer = broken.clone();
    longer.digest = format!("sha512:{}", "ab".repeat(64));
    let mut huge = broken.clone();
    huge.size = u64::MAX;
    for other in [broken, gone, longer, huge] {
        let mut index = begin(folder).unwrap();
        index.manifests = vec![other.clone(), module.clone(), other, signature.clone()];
        end(folder, &index).unwrap();
        let digest = format!("@sha256:{}", whole.manifest);
        for name in [":v1", "", digest.as_str()] {
            let pulled = pull(&reference(folder, name)).unwrap();
            assert_eq!(pulled.module, whole.module, "{name}");
            assert_eq!(pulled.envelopes, whole.envelopes, "{name}");
        }
    }
}

#[test]
fn what_is_no_wasm_artifact_is_refused() {
    let (folder, to) = layout();
    let index = read_index(folder.path()).unwrap();
    let (_, manifest) = find(&to, folder.path(), &index, &mut { MAX_READ }).unwrap();
    // The same manifest with two layers, then with a layer of another type, then with another
    // config.
    let layer = &manifest.layers[0];
    let mut tar = layer.clone();
    tar.media_type = "application/vnd.oci.image.layer.v1.tar".into();
    let mut config = manifest.config.clone();
    config.media_type = "application/vnd.oci.image.config.v1+json".into();
    for (word, config, layers) in [
        ("2 layers", &manifest.config, vec![layer, layer]),
        ("0 layers", &manifest.config, vec![]),
        ("application/wasm", &manifest.config, vec![&tar]),
        ("no Wasm artifact", &config, vec![layer]),
    ] {
        let forged =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let mut named = write_blob(folder.path(), MANIFEST, &bytes_of(&forged).unwrap()).unwrap();
        named.more.insert("annotations".into(), json!({TAG: "v1"}));
        let mut index = begin(folder.path()).unwrap();
        index.manifests = vec![named];
        end(folder.path(), &index).unwrap();
        let error = pull(&to).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}
