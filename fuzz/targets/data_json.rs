//! Bytes as a data file of JSON or JSONL, read in the layout that it has and in each that it has not.
#![no_main]

use fedseal_tuning::{DataFile, DataOptions, Layout};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = fedseal_fuzz::folder(&[("data", bytes)]).join("data");
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
});
