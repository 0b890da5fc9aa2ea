//! Modules that the real wasmsign2 signed (`tests/oracles/wasmsign`).

use std::fs;
use std::path::Path;

use fedseal_client_sdk::embedded::Embedded;
use fedseal_client_sdk::keys::PublicKey;

fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oracles/wasmsign");
    fs::read(folder.join(name)).unwrap()
}

/// The byte 1 for Ed25519, then the key.
fn key(name: &str) -> PublicKey {
    let bytes = read(name);
    assert_eq!(bytes[0], 1);
    PublicKey::from_bytes(bytes[1..].try_into().unwrap()).unwrap()
}

fn verify(module: &[u8], trusted: &[PublicKey]) -> Option<PublicKey> {
    let embedded = Embedded::read(module).ok()??;
    embedded.verify(trusted).ok()
}

#[test]
fn what_wasmsign2_signed_verifies_under_its_keys() {
    let (first, second) = (key("first.public"), key("second.public"));
    let (one, two, split) = (read("one.wasm"), read("two.wasm"), read("split.wasm"));
    assert_eq!(Embedded::read(&read("plain.wasm")).unwrap(), None);
    assert_eq!(verify(&one, &[second, first]), Some(first));
    assert_eq!(verify(&one, &[second]), None);
    assert_eq!(Embedded::read(&two).unwrap().unwrap().signatures(), 2);
    assert_eq!(verify(&two, &[first]), Some(first));
    assert_eq!(verify(&two, &[second]), Some(second));
    assert_eq!(verify(&split, &[first]), Some(first));
    // What follows the section is the module that was signed.
    assert!(one.ends_with(&read("plain.wasm")[8..]));
}

#[test]
fn a_changed_module_does_not() {
    let first = key("first.public");
    for name in ["one.wasm", "two.wasm", "split.wasm"] {
        let module = read(name);
        assert!(verify(&module, &[first]).is_some());
        let plain = read("plain.wasm").len() - 8;
        for i in module.len() - plain..module.len() {
            let mut bad = module.clone();
            bad[i] ^= 1;
            assert_eq!(verify(&bad, &[first]), None, "{name}: byte {i}");
        }
        // Cut after any byte: a part that was signed by itself is not the module.
        for end in 8..module.len() {
            assert_eq!(
                verify(&module[..end], &[first]),
                None,
                "{name}: {end} bytes"
            );
        }
    }
}
