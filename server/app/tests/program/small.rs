//! A small experiment with everything that it needs.
// Not every test program uses it.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_client_sdk::module::{self, ModulePredicate};

/// The smallest experiment of the embedded model.
pub(crate) const SMALL: &str = r#"
title = "small"
seeds = [1]
arms = ["clean"]
[federation]
clients = 2
malicious = 0
sampled = 2
rounds = 1
examples_per_client = 8
[training]
local_steps = 2
batch_size = 2
sequence_length = 64
max_response_tokens = 16
learning_rate = 1e-3
[lora]
rank = 2
alpha = 4.0
[evaluation]
prompts = 2
tasks = 2
round_prompts = 1
round_tasks = 1
max_new_tokens = 4
every = 0
side_by_side = 1
[canaries]
sealed = 1
per_round = 1
"#;

/// A folder with keys, a signed module and the experiment in it.
pub(crate) fn home() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (keys, modules) = (dir.path().join("keys"), dir.path().join("modules"));
    fs::create_dir_all(&keys).unwrap();
    fs::create_dir_all(&modules).unwrap();
    let author = SigningKey::load_or_create(keys.join("author.pem")).unwrap();
    let mut trusted = TrustStore::default();
    trusted.add("author", author.public());
    trusted.save(keys.join("trusted.toml")).unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        PathBuf::from,
    );
    let built = target.join("policies/benign.wasm");
    let bytes = fs::read(&built).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; run `cargo xtask build` first",
            built.display()
        )
    });
    let envelope = module::sign(&bytes, &ModulePredicate::new("benign", "0.1.0"), &author).unwrap();
    let path = modules.join("benign.wasm");
    fs::write(&path, bytes).unwrap();
    fs::write(module::envelope_path(&path), envelope.to_bytes()).unwrap();
    fs::write(dir.path().join("small.toml"), SMALL).unwrap();
    dir
}
