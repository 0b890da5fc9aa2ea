//! Last question of each node and what it told, for `status` without the server and after a restart of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fedseal_client_sdk::keys::PublicKey;

use crate::protocol::Contact;

/// Time between two marks of one node: thousands of them ask all the time.
const APART: Duration = Duration::from_secs(60);
/// Folder of the marks.
const FOLDER: &str = "heard";
/// Longest mark that is read, bytes.
const LONGEST: u64 = 4 << 10;

/// Marks of nodes: files that are written when their nodes ask for work.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Last question of each node of each federation that asked this process.
    last: Mutex<BTreeMap<(PathBuf, PublicKey), Question>>,
}

#[derive(Debug)]
struct Question {
    asked: Instant,
    marked: Instant,
    contact: Contact,
}

impl Heard {
    /// Marks that a node of the federation in this folder asked for work.
    pub(super) fn mark(&self, folder: &Path, key: &PublicKey, contact: Contact) {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let of = (folder.to_owned(), *key);
        let marked = last.get(&of).map(|before| before.marked);
        let fresh = marked.filter(|marked| now.duration_since(*marked) < APART);
        let question = Question {
            asked: now,
            marked: fresh.unwrap_or(now),
            contact: contact.clone(),
        };
        last.insert(of, question);
        drop(last);
        if fresh.is_none() {
            // Without a mark the status says less; nothing else depends on it.
            let _ = write(folder, key, &contact);
        }
    }

    /// Seconds since a node asked, and what it told then; none where it never did.
    pub(super) fn last(&self, folder: &Path, key: &PublicKey) -> Option<(u64, Option<Contact>)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(question) = last.get(&(folder.to_owned(), *key)) {
            let ago = question.asked.elapsed().as_secs();
            return Some((ago, Some(question.contact.clone())));
        }
        drop(last);
        read(&path(folder, key))
    }
}

fn write(folder: &Path, key: &PublicKey, contact: &Contact) -> std::io::Result<()> {
    fs::create_dir_all(folder.join(FOLDER))?;
    fs::write(path(folder, key), serde_json::to_vec(contact)?)
}

/// A mark; one of the release before is empty, and tells the time alone.
fn read(path: &Path) -> Option<(u64, Option<Contact>)> {
    let meta = fs::metadata(path).ok()?;
    // A clock that was set back says "now".
    let ago = meta.modified().ok()?.elapsed().unwrap_or_default();
    let bytes = (meta.len() <= LONGEST).then(|| fs::read(path));
    let contact = bytes.and_then(|bytes| serde_json::from_slice(&bytes.ok()?).ok());
    Some((ago.as_secs(), contact))
}

fn path(folder: &Path, key: &PublicKey) -> PathBuf {
    folder.join(FOLDER).join(key.key_id().to_string())
}
