//! Bytes as a data file of Arrow IPC.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fedseal_fuzz::data_file(bytes));
