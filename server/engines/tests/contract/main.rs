//! Every engine held to its contract by the same tests: those in this process and on disk, and, where their servers
//! can be started, NATS JetStream, S3 and PostgreSQL through the helper program.

#[cfg(feature = "network")]
mod network;
#[cfg(all(feature = "network", unix))]
mod postgres;
mod queue;
mod records;
mod store;

use std::time::Duration;

use fedseal_engines::files::Files;
use fedseal_engines::memory::Memory;
use fedseal_registry::Sqlite;

#[test]
fn the_queue_in_this_process_keeps_the_contract() {
    queue::holds(&|lease| Box::new(Memory::new(lease)));
}

#[test]
fn the_store_in_a_folder_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    store::holds(&Files::open(dir.path()).unwrap());
    // Another process opens the same folder.
    store::holds_again(&Files::open(dir.path()).unwrap());
}

#[test]
fn sqlite_keeps_the_contract_of_records() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Sqlite::open(dir.path().join(name)).unwrap();
    records::holds(&open("first.sqlite"));
    records::holds_again(&open("first.sqlite"));
    records::are_copied(&open("first.sqlite"), &open("second.sqlite"));
}

/// A lease that a test waits for.
const SHORT: Duration = Duration::from_millis(1500);
