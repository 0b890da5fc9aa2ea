use super::*;
use crate::{Limits, Sandbox, component, runtime};

fn core(value: u32) -> Vec<u8> {
    let text = format!(
        r#"(module (memory (export "memory") 1) (func (export "run") (result i32)
            (i32.store8 (i32.const {value}) (i32.const 0)) (i32.const 0)))"#
    );
    component::componentize(&wat::parse_str(text).unwrap()).unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_seed([3; 32])
}

/// One module stored; cache, engine, the module's digest, the file.
fn stored(folder: &Path) -> (CompiledCache, Engine, Digest, PathBuf) {
    let cache = CompiledCache::new(folder, &key(), CACHE_BYTES);
    let engine = runtime::engine(&Limits::default()).unwrap();
    let bytes = core(7);
    let module = Digest::of(&bytes);
    let compiled = Code::here(&engine, &bytes).unwrap();
    cache.store(&module, &engine, &compiled);
    let path = cache.path(&module, &engine);
    (cache, engine, module, path)
}

#[test]
fn what_was_stored_is_loaded_and_is_the_same_code() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, engine, module, path) = stored(folder.path());
    let loaded = cache.load(&module, &engine).unwrap();
    let code = fs::read(path).unwrap()[TAG..].to_vec();
    assert_eq!(loaded.serialize().unwrap(), code);
    // Another sandbox of the same limits has an engine of the same fingerprint.
    let again = runtime::engine(&Limits::default()).unwrap();
    assert!(cache.load(&module, &again).is_some());
}

#[test]
fn no_file_that_was_touched_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, engine, module, path) = stored(folder.path());
    let good = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        assert!(cache.load(&module, &engine).is_none(), "{what}");
    };
    let step = good.len() / 40;
    for at in (0..good.len()).step_by(step).chain([TAG, good.len() - 1]) {
        for bit in [0, 7] {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << bit;
            refused(&flipped, &format!("bit {bit} of byte {at}"));
        }
    }
    for length in [0, 1, TAG - 1, TAG, TAG + 1, good.len() / 2, good.len() - 1] {
        refused(&good[..length], &format!("{length} bytes"));
    }
    refused(&[good.as_slice(), b"\0"].concat(), "one byte more");
    refused(&good[TAG..], "code without a tag");
    refused(&[&[0; TAG], &good[TAG..]].concat(), "a tag of zeros");
    refused(&[good.as_slice(), &good].concat(), "twice");
    fs::write(&path, &good).unwrap();
    assert!(cache.load(&module, &engine).is_some());
}

#[test]
fn right_files_in_wrong_places_are_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, engine, module, path) = stored(folder.path());
    // Another module's code, well tagged, under this module's name.
    let other = core(8);
    let compiled = Code::here(&engine, &other).unwrap();
    cache.store(&Digest::of(&other), &engine, &compiled);
    let swapped = cache.path(&Digest::of(&other), &engine);
    let good = fs::read(&path).unwrap();
    fs::copy(&swapped, &path).unwrap();
    assert!(cache.load(&module, &engine).is_none());
    fs::write(&path, &good).unwrap();
    // Compiled for another configuration.
    let mut config = wasmtime::Config::new();
    config.consume_fuel(false);
    let another = Engine::new(&config).unwrap();
    let elsewhere = cache.path(&module, &another);
    assert_ne!(elsewhere, path);
    fs::copy(&path, elsewhere).unwrap();
    assert!(cache.load(&module, &another).is_none());
    // By another node.
    let stranger = SigningKey::from_seed([4; 32]);
    let theirs = CompiledCache::new(folder.path(), &stranger, CACHE_BYTES);
    assert!(theirs.load(&module, &engine).is_none());
    assert!(cache.load(&module, &engine).is_some());
}

#[test]
fn a_bad_file_is_compiled_anew_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, engine, module, path) = stored(folder.path());
    let good = fs::read(&path).unwrap();
    let planted = vec![0x90; good.len()];
    fs::write(&path, &planted).unwrap();
    let sandbox = Sandbox::new(Limits::default())
        .unwrap()
        .with_cache(cache.clone());
    let policy = sandbox.compile(&core(7)).unwrap();
    assert_eq!(policy.digest(), module);
    assert_ne!(fs::read(&path).unwrap(), planted);
    assert!(cache.load(&module, &engine).is_some());
}

#[test]
fn a_cache_that_cannot_be_written_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let cache = CompiledCache::new(file.join("below"), &key(), CACHE_BYTES);
    let sandbox = Sandbox::new(Limits::default()).unwrap().with_cache(cache);
    sandbox.compile(&core(7)).unwrap();
}

#[test]
fn the_oldest_files_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let (_, engine, first, path) = stored(folder.path());
    let one = fs::metadata(&path).unwrap().len();
    let store = |limit, value| {
        let bytes = core(value);
        let module = Digest::of(&bytes);
        let cache = CompiledCache::new(folder.path(), &key(), limit);
        let compiled = Code::here(&engine, &bytes).unwrap();
        cache.store(&module, &engine, &compiled);
        cache.path(&module, &engine)
    };
    let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
    fs::File::open(&path).unwrap().set_modified(old).unwrap();
    // Two fit, with what their sizes may differ by; a third does not.
    let limit = 2 * one + one / 2;
    let second = store(limit, 8);
    assert!(path.exists() && second.exists());
    let third = store(limit, 9);
    assert!(!path.exists() && second.exists() && third.exists());
    // A smaller limit than before holds at once.
    fs::File::open(&second).unwrap().set_modified(old).unwrap();
    let _ = CompiledCache::new(folder.path(), &key(), one + one / 2);
    assert!(!second.exists() && third.exists());
    assert!(!store(one / 2, 10).exists(), "larger than the whole limit");
    assert!(!third.exists());
    let none = CompiledCache::new(folder.path(), &key(), 0);
    assert!(none.load(&first, &engine).is_none());
}
