//! Shared parts of the fuzz targets. Each target, one file in `targets`, feeds bytes to one reader and
//! demands nothing but an answer: a value or an error, in bounded memory and time.
//!
//! Several readers take files, so the bytes go through files in memory.

use std::path::PathBuf;

/// A folder with these files, until the next call of this process.
///
/// # Panics
/// When the folder for temporary files cannot be written.
pub fn folder(files: &[(&str, &[u8])]) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    let folder = place.join(format!("fedseal-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).expect("a temporary file");
    }
    folder
}

/// Leaves panics of a library, which our reader catches, to the reader: libFuzzer's own hook would
/// end the process first. Uncaught panics end it as always.
pub fn panics_may_be_caught(library: &'static str) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(move |info| {
            if !info
                .location()
                .is_some_and(|place| place.file().contains(library))
            {
                eprintln!("{info}");
            }
        }));
    });
}

/// Reads bytes as a data file of any format, in the layout that it has and in each that it has not.
/// The targets differ in their seeds.
#[cfg(feature = "tuning")]
pub fn data_file(bytes: &[u8]) {
    use fedseal_tuning::{DataFile, DataOptions, Layout};

    let path = folder(&[("data", bytes)]).join("data");
    for layout in std::iter::once(None).chain(Layout::ALL.into_iter().map(Some)) {
        let options = DataOptions {
            layout,
            max_row_bytes: 1 << 16,
        };
        let Ok(file) = DataFile::open(&path, &options) else {
            continue;
        };
        for row in file.take(1000) {
            let _ = row;
        }
    }
}

#[cfg(feature = "sandbox")]
pub mod guests;

/// The smallest checkpoint that has every part, for targets that replace one of them.
#[cfg(any(feature = "tuning", feature = "sandbox"))]
pub mod checkpoint {
    /// `config.json`
    pub const CONFIG: &[u8] = include_bytes!("../seeds/config/llama.json");
    /// `tokenizer.json`
    pub const TOKENIZER: &[u8] = include_bytes!("../seeds/tokenizer/bpe.json");
    /// `model.safetensors`
    pub const WEIGHTS: &[u8] = include_bytes!("../seeds/safetensors/f32.safetensors");
    /// `adapter_config.json`
    pub const ADAPTER_CONFIG: &[u8] = include_bytes!("../seeds/config/peft.json");
    /// `adapter_model.safetensors`
    pub const ADAPTER: &[u8] = include_bytes!("../seeds/safetensors/peft.safetensors");
}
