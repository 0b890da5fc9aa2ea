//! Copies of a registry, made while others write it.

use std::path::Path;
use std::time::Duration;

use fedseal_engines::records;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use crate::sqlite::{SCHEMA_VERSION, check_version};
use crate::{Error, Registry, Result, Sqlite};

/// Pages that are copied before a writer gets its turn.
const PAGES: i32 = 256;
/// Pause between them.
const PAUSE: Duration = Duration::from_millis(2);

fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
    move |source| Error::Sqlite {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

/// Copies a registry's database to a new file by SQLite's backup interface: the copy has every change that was
/// committed when it began, and is one file that is complete without a journal.
///
/// # Errors
/// [`Error::Sqlite`] with the path of the database that failed; [`Error::SqliteVersion`].
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    check_version(rusqlite::version_number())?;
    // A reader of a database in WAL mode writes the file that readers and writers share.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(failed(from))?;
    source
        .busy_timeout(Duration::from_secs(10))
        .map_err(failed(from))?;
    let mut target = Connection::open(to).map_err(failed(to))?;
    let backup = Backup::new(&source, &mut target).map_err(failed(to))?;
    backup
        .run_to_completion(PAGES, PAUSE, None)
        .map_err(failed(from))?;
    drop(backup);
    // The copy has the mode of the original; out of it, nothing lies beside the file.
    target
        .pragma_update(None, "journal_mode", "DELETE")
        .map_err(failed(to))
}

impl Registry {
    /// Writes the rows of any registry to a new SQLite database, one file that is complete without a journal.
    ///
    /// # Errors
    /// [`Error::Engine`], and those of [`Registry::open`].
    pub fn copy_to(&self, path: &Path) -> Result<()> {
        let target = Sqlite::open(path)?;
        records::copy(self.records.as_ref(), &target)?;
        target.without_journal()
    }

    /// Takes in the rows of an SQLite database. Where that was interrupted it may be repeated.
    ///
    /// # Errors
    /// [`Error::Engine`] where this registry has rows of its own; those of [`Registry::open`].
    pub fn take_in(&self, path: &Path) -> Result<()> {
        let source = Sqlite::open(path)?;
        records::copy(&source, self.records.as_ref())?;
        // Nothing of it is left in a journal beside it.
        source.without_journal()
    }
}

/// Checks a copy as SQLite does, and its schema. Nothing is written.
///
/// # Errors
/// [`Error::Corrupt`] for a damaged file or a newer schema; [`Error::Sqlite`].
pub fn check_copy(path: &Path) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags(path, flags).map_err(failed(path))?;
    let said: String = copy
        .pragma_query_value(None, "integrity_check", |row| row.get(0))
        .map_err(failed(path))?;
    if said != "ok" {
        return Err(Error::corrupt(path, said));
    }
    let version: i64 = copy
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed(path))?;
    match (1..=SCHEMA_VERSION).contains(&version) {
        true => Ok(()),
        false => Err(Error::corrupt(
            path,
            format!("schema version {version}, this program knows {SCHEMA_VERSION}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use fedseal_client_sdk::digest::Digest;
    use fedseal_client_sdk::keys::SigningKey;

    use super::*;
    use crate::RegisteredModule;

    fn module(n: u32) -> RegisteredModule {
        RegisteredModule {
            digest: Digest::of(&n.to_le_bytes()),
            name: format!("module-{n}"),
            signer: SigningKey::from_seed([1; 32]).public(),
            envelope: Digest::of(b"envelope"),
            created: "2026-01-02T03:04:05Z".into(),
        }
    }

    #[test]
    fn a_copy_has_what_was_committed_while_another_writes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("r.sqlite"), dir.path().join("copy.sqlite"));
        let registry = Registry::open(&from).unwrap();
        for n in 0..20 {
            registry.add_module(&module(n)).unwrap();
        }
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 20.. {
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    registry.add_module(&module(n)).unwrap();
                }
            });
            copy(&from, &to).unwrap();
            over.store(true, Ordering::SeqCst);
        });
        check_copy(&to).unwrap();
        let beside = std::fs::read_dir(dir.path()).unwrap().flatten();
        let beside = beside.filter(|it| it.file_name().to_string_lossy().starts_with("copy"));
        assert_eq!(beside.count(), 1, "the copy is one file");
        let copied = Registry::open(&to).unwrap().modules().unwrap();
        assert!(copied.len() >= 20);
        let numbers = 0..u32::try_from(copied.len()).unwrap();
        assert_eq!(copied, numbers.map(module).collect::<Vec<_>>());
    }

    #[test]
    fn a_damaged_copy_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("r.sqlite"), dir.path().join("copy.sqlite"));
        let registry = Registry::open(&from).unwrap();
        for n in 0..200 {
            registry.add_module(&module(n)).unwrap();
        }
        copy(&from, &to).unwrap();
        let mut bytes = std::fs::read(&to).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4096].fill(0);
        std::fs::write(&to, bytes).unwrap();
        assert!(check_copy(&to).is_err());
        assert!(copy(&dir.path().join("none"), &to).is_err());
    }
}
