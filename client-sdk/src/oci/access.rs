//! Ways to reach a registry: whose logins, and how long.

use std::path::PathBuf;
use std::time::Duration;

/// Ways to reach a registry. A layout on disk needs none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The file in which `docker login` (or skopeo, with `--authfile`) keeps logins; it is read when a
    /// registry asks for one.
    pub logins: Option<PathBuf>,
    /// Time without a byte in either direction, and time to connect, after which a registry is given up.
    pub patience: Duration,
    /// Time for one request with all of its answer, most.
    pub whole: Duration,
}

impl Access {
    /// `config.json` in the folder `$DOCKER_CONFIG`, by default `~/.docker`; half a minute of patience,
    /// and half an hour for a request.
    #[must_use]
    pub fn of_user() -> Self {
        let folder = match std::env::var_os("DOCKER_CONFIG") {
            Some(folder) if !folder.is_empty() => Some(folder.into()),
            _ => std::env::home_dir().map(|home| home.join(".docker")),
        };
        Self {
            logins: folder.map(|folder: PathBuf| folder.join("config.json")),
            patience: Duration::from_secs(30),
            whole: Duration::from_secs(30 * 60),
        }
    }
}

impl Default for Access {
    fn default() -> Self {
        Self::of_user()
    }
}
