//! A node that signs another attestation than its execution gave.

use std::fs;
use std::path::Path;

use fedseal_client_sdk::attestation::{self, UpdatePredicate};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::record::Record;
use fedseal_ledger::{Blobs, Log, LogReader};
use fedseal_record::rundir::RunDir;

/// Changes what the node says about an update and signs that and the log up to its entry anew.
/// Returns the update's new id.
pub(crate) fn reattest(
    run: &Path,
    key: &SigningKey,
    id: Digest,
    change: impl FnOnce(&mut UpdatePredicate, &Blobs),
) -> Digest {
    let dir = RunDir::new(run);
    let blobs = Blobs::open(dir.blobs()).unwrap();
    let envelope = Envelope::from_bytes(&blobs.get(&id).unwrap()).unwrap();
    let mut predicate = attestation::verify(&envelope, &[key.public()])
        .unwrap()
        .predicate;
    change(&mut predicate, &blobs);
    let signed = attestation::sign(&predicate, key).unwrap();
    let new = blobs.put(&signed.to_bytes()).unwrap();
    let reader = LogReader::open(dir.log(), &key.public()).unwrap();
    let origin = reader.checkpoint().origin.clone();
    let entries = reader.entries().unwrap();
    fs::remove_dir_all(dir.log()).unwrap();
    let mut log = Log::create(dir.log(), &origin, key.clone()).unwrap();
    for bytes in entries {
        let mut record = Record::from_bytes(&bytes).unwrap();
        let mut last = false;
        if let Record::Update {
            attestation,
            update,
            ..
        } = &mut record
            && *attestation == id
        {
            (*attestation, *update, last) = (new, predicate.update, true);
        }
        log.append(&record.to_bytes().unwrap()).unwrap();
        if last {
            break;
        }
    }
    log.publish().unwrap();
    new
}
