//! Logins as `docker login` and skopeo keep them: a JSON file with `auths`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use crate::bounded::{self, Bounds};
use crate::{Error, Result, base64, outside};

/// Bounds on the file.
const BOUNDS: Bounds = Bounds {
    bytes: 1 << 20,
    structure: 16 << 20,
};

#[derive(Default, Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    /// Base64 of `NAME:PASSWORD`.
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
}

/// Whether a registry's name is one of Docker Hub.
pub(super) fn is_hub(registry: &str) -> bool {
    ["docker.io", "index.docker.io"].contains(&registry)
}

/// The login for a registry as HTTP's Basic scheme has it: base64 of `NAME:PASSWORD`. None where the
/// file has none.
///
/// # Errors
/// [`Error::Io`] and [`Error::Invalid`] for a file that cannot be read, with its path.
pub(super) fn login(registry: &str, path: Option<&Path>) -> Result<Option<String>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let bad = |detail: String| Error::Invalid {
        what: "file of logins",
        detail: format!("{}: {detail}", path.display()),
    };
    let file = read(path)?;
    for (_, entry) in file.auths.iter().filter(|(key, _)| is_about(key, registry)) {
        let auth = entry.auth.as_deref().filter(|auth| !auth.is_empty());
        if let Some(auth) = auth {
            let plain = base64::decode("login", auth).map_err(|e| bad(e.to_string()))?;
            // Docker's own reader takes zeros behind the password as filling.
            let end = plain
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            let plain = plain.get(..end).unwrap_or_default();
            if !plain.contains(&b':') {
                return Err(bad(format!("the login for {registry} is no NAME:PASSWORD")));
            }
            return Ok(Some(base64::encode(plain)));
        }
        if let (Some(name), Some(password)) = (&entry.username, &entry.password) {
            return Ok(Some(base64::encode(
                format!("{name}:{password}").as_bytes(),
            )));
        }
    }
    Ok(None)
}

/// Advice for a registry that wants a login: what the file has, and how to get one into it.
pub(super) fn hint(registry: &str, path: Option<&Path>) -> String {
    let Some(path) = path else {
        return "No folder of this user is known; $DOCKER_CONFIG names one with a config.json."
            .into();
    };
    let file = read(path).unwrap_or_default();
    let helper = file
        .helpers
        .into_iter()
        .find(|(key, _)| is_about(key, registry))
        .map(|(_, helper)| helper);
    let here = path.display();
    let to_log_in =
        format!("docker login {registry}, or skopeo login --authfile {here} {registry}");
    match (login(registry, Some(path)), helper.or(file.store)) {
        (Ok(Some(_)), _) => {
            format!("The login for {registry} in {here} does not do; anew: {to_log_in}")
        }
        (_, Some(helper)) => format!(
            "{here} leaves logins to docker-credential-{helper}, which is not asked. A login in the file: \
             skopeo login --authfile {here} {registry}"
        ),
        _ => format!("{here} has no login for {registry}: {to_log_in}"),
    }
}

/// The file; an empty one where there is none.
fn read(path: &Path) -> Result<File> {
    let bytes = match outside::read_named(path, BOUNDS.bytes as u64) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => return Err(Error::io(path, error)),
    };
    bounded::from_slice("file of logins", &bytes, &BOUNDS).map_err(|error| Error::Invalid {
        what: "file of logins",
        detail: format!("{}: {error}", path.display()),
    })
}

/// Whether a key of the file stands for a registry: a host with its port, or an address, which may have a
/// path (`https://index.docker.io/v1/`).
fn is_about(key: &str, registry: &str) -> bool {
    let key = key.strip_prefix("https://").unwrap_or(key);
    let key = key.strip_prefix("http://").unwrap_or(key);
    let host = key.split('/').next().unwrap_or_default();
    host.eq_ignore_ascii_case(registry) || (is_hub(host) && is_hub(registry))
}
