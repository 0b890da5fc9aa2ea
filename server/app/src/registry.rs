//! Place of a registry of submitted modules: its rows in SQLite beside the modules' bytes, or in PostgreSQL. Bytes,
//! statements and the key of decisions are in a folder either way.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedseal_engines::helper::{Access, Helper, Place, shown};
use fedseal_record::rundir;
use fedseal_registry::Registry;

use crate::failure::{Failure, Outcome};
use crate::{output, places};

/// Name of the database in the folder.
pub(crate) const DATABASE: &str = "registry.sqlite";
/// Name of a file in the folder that says where the rows are, once they were in PostgreSQL.
pub(crate) const ELSEWHERE: &str = "registry.elsewhere";
/// Name of the database after its rows went into PostgreSQL.
const MOVED: &str = "registry.sqlite.moved";
/// Beginnings of addresses of PostgreSQL.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// Place of a registry.
#[derive(Clone)]
pub(crate) struct RegistryPlace {
    /// Folder of the modules' bytes.
    pub(crate) folder: PathBuf,
    /// Address of the rows; none where they are in the folder.
    url: Option<String>,
}

/// A registry that a server works on.
pub(crate) struct Opened {
    /// Folder of the modules' bytes.
    pub(crate) folder: PathBuf,
    /// The rows.
    pub(crate) rows: Arc<Registry>,
}

impl fmt::Debug for RegistryPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.as_deref().map(shown);
        write!(f, "RegistryPlace({}, {url:?})", self.folder.display())
    }
}

impl From<PathBuf> for RegistryPlace {
    fn from(folder: PathBuf) -> Self {
        RegistryPlace { folder, url: None }
    }
}

impl RegistryPlace {
    /// The place that an option names: a folder, or an address of PostgreSQL; the bytes are in the usual folder
    /// then. Without it, the usual folder has both.
    ///
    /// # Errors
    /// There is no folder of keys.
    pub(crate) fn of(given: Option<&Path>) -> Outcome<Self> {
        RegistryPlace::or(given, || Ok(places::registry(&places::home()?)))
    }

    /// As [`RegistryPlace::of`], with another usual folder.
    ///
    /// # Errors
    /// Any error of `usual`.
    pub(crate) fn or(
        given: Option<&Path>,
        usual: impl FnOnce() -> Outcome<PathBuf>,
    ) -> Outcome<Self> {
        let address = |it: &&Path| {
            let text = it.to_str();
            text.is_some_and(|text| SCHEMES.iter().any(|scheme| text.starts_with(scheme)))
        };
        Ok(match given {
            Some(url) if address(&url) => RegistryPlace {
                folder: usual()?,
                url: Some(url.to_string_lossy().into_owned()),
            },
            Some(folder) => folder.to_owned().into(),
            None => usual()?.into(),
        })
    }

    /// The registry, where there is one: opening a file that is not there would make it.
    ///
    /// # Errors
    /// A registry that cannot be opened.
    pub(crate) fn existing(&self, access: Access) -> Outcome<Option<Arc<Registry>>> {
        let registry = match &self.url {
            None => {
                let database = self.folder.join(DATABASE);
                if !database.is_file() {
                    return self.not_elsewhere().map(|()| None);
                }
                Registry::open(&database).map_err(Failure::new)?
            }
            Some(url) => {
                // Without it a key of decisions would be made, by which none of them is signed.
                if !self.folder.is_dir() {
                    return Err(Failure::usage(format!(
                        "{}: the modules of {} are not here",
                        self.folder.display(),
                        shown(url)
                    ))
                    .hint("Their bytes and the key of decisions are where their server runs; --server URL asks it."));
                }
                remote(url, access)?
            }
        };
        Ok(Some(Arc::new(registry)))
    }

    /// The registry of a server, which is made where there is none. Rows that the folder has go into PostgreSQL
    /// first.
    ///
    /// # Errors
    /// A registry that cannot be opened; rows that do not go into it.
    pub(crate) fn make(&self) -> Outcome<Opened> {
        std::fs::create_dir_all(&self.folder).map_err(|error| Failure::io(&self.folder, &error))?;
        let database = self.folder.join(DATABASE);
        let registry = match &self.url {
            None => {
                if !database.is_file() {
                    self.not_elsewhere()?;
                }
                Registry::open(&database).map_err(Failure::new)?
            }
            Some(url) => {
                let registry = remote(url, Access::Write)?;
                if database.is_file() {
                    moved(&registry, &database, url)?;
                }
                let note = format!("{}\n", shown(url));
                rundir::write_atomically(&self.folder.join(ELSEWHERE), note.as_bytes())?;
                registry
            }
        };
        Ok(Opened {
            folder: self.folder.clone(),
            rows: Arc::new(registry),
        })
    }

    /// Copies the rows to a new file. False where there is no registry.
    ///
    /// # Errors
    /// A registry that cannot be read; a file that cannot be written.
    pub(crate) fn copy_to(&self, to: &Path) -> Outcome<bool> {
        let database = self.folder.join(DATABASE);
        if self.url.is_none() && database.is_file() {
            fedseal_registry::copy(&database, to).map_err(Failure::new)?;
            return Ok(true);
        }
        let Some(registry) = self.existing(Access::Read)? else {
            return Ok(false);
        };
        registry.copy_to(to).map_err(Failure::new)?;
        Ok(true)
    }

    /// Refuses a folder whose rows are in PostgreSQL: without its address it looks like one without any.
    fn not_elsewhere(&self) -> Outcome {
        let note = self.folder.join(ELSEWHERE);
        match std::fs::read_to_string(&note) {
            Err(_) => Ok(()),
            Ok(address) => Err(Failure::usage(format!(
                "{}: the modules that were submitted here are registered in {}",
                self.folder.display(),
                address.trim()
            ))
            .hint(format!(
                "Name that with --registry (with its user); or remove {} to begin anew.",
                note.display()
            ))),
        }
    }
}

fn remote(url: &str, access: Access) -> Outcome<Registry> {
    let helper = Helper::start(&Place::records(url, access)).map_err(Failure::new)?;
    Ok(Registry::over(Box::new(helper)))
}

/// Takes rows of a file into a registry, and keeps the file under another name.
fn moved(registry: &Registry, database: &Path, url: &str) -> Outcome {
    registry.take_in(database).map_err(|error| {
        Failure::new(error).hint(format!(
            "The rows of {} go into {} first; move that file away to do without them.",
            database.display(),
            shown(url)
        ))
    })?;
    let kept = database.with_file_name(MOVED);
    std::fs::rename(database, &kept).map_err(|error| Failure::io(database, &error))?;
    output::note(format_args!(
        "fedseal: the rows of {} are in {} now; the file is kept as {}",
        database.display(),
        shown(url),
        kept.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_the_bytes_in_the_usual_folder() {
        let usual = || Ok(PathBuf::from("/usual"));
        let of = |given: &str| RegistryPlace::or(Some(Path::new(given)), usual).unwrap();
        for url in ["postgres://u@host/db", "postgresql:///db?host=/run"] {
            let place = of(url);
            assert_eq!(place.folder, Path::new("/usual"));
            assert_eq!(place.url.as_deref(), Some(url));
        }
        let place = of("some/postgres:/folder");
        assert_eq!(place.folder, Path::new("some/postgres:/folder"));
        assert!(place.url.is_none());
        assert_eq!(
            RegistryPlace::or(None, usual).unwrap().folder,
            Path::new("/usual")
        );
        // A folder without rows is not one whose rows are elsewhere.
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(ELSEWHERE), "postgres://host/db\n").unwrap();
        let place = RegistryPlace::from(dir.path().to_owned());
        let said = [
            place.existing(Access::Read).map(drop),
            place.make().map(drop),
            place.copy_to(&dir.path().join("copy")).map(drop),
        ];
        for said in said {
            let said = said.unwrap_err().to_string();
            assert!(said.contains("registered in postgres://host/db"), "{said}");
        }
        // Nothing is asked for where nothing is.
        let none = RegistryPlace::from(PathBuf::from("/nowhere/at/all"));
        assert!(none.existing(Access::Read).unwrap().is_none());
        let none = RegistryPlace {
            folder: "/nowhere/at/all".into(),
            url: Some("postgres://u:secret@host/db".into()),
        };
        let said = none.existing(Access::Read).unwrap_err().to_string();
        assert!(
            said.contains("postgres://host/db are not here") && !said.contains("secret"),
            "{said}"
        );
    }
}
