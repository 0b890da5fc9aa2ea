//! Text form of a module's place in a layout or a registry.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::descriptor::short;
use crate::digest::Digest;
use crate::{Error, Result};

/// Characters of a registry and a repository together, most (distribution-spec, "Pulling manifests").
const MAX_REPOSITORY: usize = 255;
const HTTP: &str = "http://";
const HTTPS: &str = "https://";

/// A place of modules: `oci:DIR`, `oci:DIR:TAG` and `oci:DIR@sha256:HEX` in a layout on disk,
/// `oci:REGISTRY/REPOSITORY[:TAG][@sha256:HEX]` in a registry.
///
/// The word before the first slash is a registry where it has a dot or a port, or is `localhost`, as
/// Docker and skopeo have it. A folder of such a name is written `oci:./DIR`, any other registry
/// `oci:https://REGISTRY/…`. Beside a digest a tag is for people, the digest decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Layout or repository.
    pub store: Store,
    /// Name of the manifest in it.
    pub name: Name,
}

/// Layout or repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A layout's folder.
    Folder(PathBuf),
    /// A repository of a registry.
    Repository(Repository),
}

/// A repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The registry: host, with a port where it has one of its own.
    pub registry: String,
    /// The repository's name there.
    pub name: String,
    /// Whether it is asked over plain HTTP: on this machine, and where the reference says `http://`.
    pub plain: bool,
}

/// Name of a manifest in a layout or a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The only module of a layout, or the one tagged `latest`; in a registry the latter.
    Default,
    /// The one with this tag.
    Tag(String),
    /// The one with this digest.
    Digest(Digest),
}

impl Reference {
    /// Whether a word is meant as a reference.
    #[must_use]
    pub fn is_one(word: &str) -> bool {
        word.starts_with("oci:")
    }

    /// Reads a reference.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another form or a tag that OCI does not allow; [`Error::Hex`].
    pub fn parse(word: &str) -> Result<Self> {
        let rest = word
            .strip_prefix("oci:")
            .ok_or_else(|| bad(format!("{word:?} does not begin with oci:")))?;
        if let Some((plain, registry, path)) = registry(rest) {
            return in_registry(word, plain, registry, path);
        }
        let (folder, name) = if let Some((folder, hex)) = rest.rsplit_once("@sha256:") {
            (folder, Name::Digest(hex.parse()?))
        } else {
            // A colon before a slash is part of the folder.
            match rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
                Some((folder, tag)) => (folder, Name::Tag(checked(tag)?)),
                None => (rest, Name::Default),
            }
        };
        if folder.is_empty() {
            return Err(bad(format!("{word:?} names no folder")));
        }
        Ok(Self {
            store: Store::Folder(folder.into()),
            name,
        })
    }

    /// The tag under which a module is pushed.
    pub(super) fn tag(&self) -> Result<&str> {
        match &self.name {
            Name::Default => Ok("latest"),
            Name::Tag(tag) => Ok(tag),
            Name::Digest(_) => Err(bad(format!(
                "{self}: a module is pushed under a tag, its digest follows"
            ))),
        }
    }
}

impl Repository {
    /// Whether the registry is this machine.
    pub(super) fn is_here(&self) -> bool {
        is_loopback(&self.registry)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci:{}", self.store)?;
        match &self.name {
            Name::Default => Ok(()),
            Name::Tag(tag) => write!(f, ":{tag}"),
            Name::Digest(digest) => write!(f, "@sha256:{digest}"),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Store::Folder(folder) => folder.display().fmt(f),
            Store::Repository(repository) => repository.fmt(f),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = is_registry(&self.registry) && self.plain == self.is_here();
        let scheme = match (usual, self.plain) {
            (true, _) => "",
            (false, true) => HTTP,
            (false, false) => HTTPS,
        };
        write!(f, "{scheme}{}/{}", self.registry, self.name)
    }
}

fn bad(detail: String) -> Error {
    Error::Invalid {
        what: "OCI reference",
        detail,
    }
}

/// The registry of a reference and what follows it, with whether it is asked over plain HTTP; none
/// where a folder is meant.
fn registry(rest: &str) -> Option<(bool, &str, &str)> {
    for (scheme, plain) in [(HTTP, true), (HTTPS, false)] {
        if let Some(rest) = rest.strip_prefix(scheme) {
            let (registry, path) = rest.split_once('/').unwrap_or((rest, ""));
            return Some((plain, registry, path));
        }
    }
    let (registry, path) = rest.split_once('/')?;
    is_registry(registry).then(|| (is_loopback(registry), registry, path))
}

fn in_registry(word: &str, plain: bool, registry: &str, path: &str) -> Result<Reference> {
    let (path, digest) = match path.rsplit_once('@') {
        Some((path, digest)) => (path, Some(digest)),
        None => (path, None),
    };
    let (name, tag) = match path.split_once(':') {
        Some((name, tag)) => (name, Some(checked(tag)?)),
        None => (path, None),
    };
    let named = match digest.map(|digest| digest.strip_prefix("sha256:")) {
        Some(Some(hex)) => Name::Digest(hex.parse()?),
        Some(None) => {
            return Err(bad(format!(
                "{word:?}: a digest here is one of sha256, {:?} is not",
                short(digest.unwrap_or_default())
            )));
        }
        None => tag.map_or(Name::Default, Name::Tag),
    };
    let (host, port) = host_and_port(registry);
    let is_host = !host.is_empty()
        && (host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
            || is_ipv6(host));
    if !is_host || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(bad(format!("{word:?}: {registry:?} is no HOST[:PORT]")));
    }
    if !name.split('/').all(is_component) || registry.len() + 1 + name.len() > MAX_REPOSITORY {
        return Err(bad(format!(
            "{word:?}: {registry} is taken for a registry, but {name:?} is no repository's name \
             (lowercase letters, digits, `.`, `_`, `-` and `/`, {MAX_REPOSITORY} characters with the \
             registry); a folder is written oci:./{registry}/…"
        )));
    }
    Ok(Reference {
        store: Store::Repository(Repository {
            registry: registry.to_owned(),
            name: name.to_owned(),
            plain,
        }),
        name: named,
    })
}

/// Whether a word before the first slash stands for a registry and not for a folder.
fn is_registry(word: &str) -> bool {
    let (host, port) = host_and_port(word);
    let has_port = port.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let is_name = host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    let has_dot = host.contains('.') && !host.starts_with('.') && !host.ends_with('.');
    match port {
        Some(_) => has_port && !host.is_empty() && (is_name || is_ipv6(host)),
        None => (is_name && has_dot) || host == "localhost" || is_ipv6(host),
    }
}

pub(super) fn host_and_port(word: &str) -> (&str, Option<&str>) {
    match word.rsplit_once(':') {
        Some((host, port)) if !word.ends_with(']') => (host, Some(port)),
        _ => (word, None),
    }
}

fn is_ipv6(host: &str) -> bool {
    inner_of(host).is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

fn inner_of(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

pub(super) fn is_loopback(registry: &str) -> bool {
    let (host, _) = host_and_port(registry);
    let address = inner_of(host).unwrap_or(host).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Whether a part of a repository's name is one that OCI allows.
fn is_component(part: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(inner)
        && part.ends_with(inner)
        && part.split(inner).all(|between| {
            matches!(between, "." | "_" | "__") || between.bytes().all(|b| b == b'-')
        })
}

/// A tag that OCI allows.
fn checked(tag: &str) -> Result<String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if tag.starts_with(first) && tag.len() <= 128 && tag.chars().all(inner) {
        return Ok(tag.to_owned());
    }
    Err(bad(format!(
        "the tag {tag:?} is not 1 to 128 of letters, digits, `_`, `.`, `-`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> (Store, Name) {
        let reference = Reference::parse(word).unwrap();
        (reference.store, reference.name)
    }

    fn repository(registry: &str, name: &str, plain: bool) -> Store {
        Store::Repository(Repository {
            registry: registry.into(),
            name: name.into(),
            plain,
        })
    }

    #[test]
    fn folders() {
        let tag = |tag: &str| Name::Tag(tag.into());
        let folder = |folder: &str| Store::Folder(folder.into());
        for (word, store, name) in [
            ("oci:a/b", "a/b", Name::Default),
            ("oci:a/b:v1", "a/b", tag("v1")),
            ("oci:a.b:v1", "a.b", tag("v1")),
            ("oci:./a.b/c:v1", "./a.b/c", tag("v1")),
            ("oci:../a:v1", "../a", tag("v1")),
            ("oci:/a.b/c", "/a.b/c", Name::Default),
            ("oci:.cache/c", ".cache/c", Name::Default),
            ("oci:C:/b", "C:/b", Name::Default),
            ("oci:a_b.c/d", "a_b.c/d", Name::Default),
        ] {
            assert_eq!(read(word), (folder(store), name), "{word}");
        }
        let by_digest = format!("oci:a@sha256:{}", Digest::of(b""));
        assert_eq!(
            read(&by_digest),
            (folder("a"), Name::Digest(Digest::of(b"")))
        );
        assert_eq!(Reference::parse(&by_digest).unwrap().to_string(), by_digest);
    }

    #[test]
    fn registries() {
        let tag = |tag: &str| Name::Tag(tag.into());
        let plain = true;
        for (word, store, name) in [
            (
                "oci:ghcr.io/a/b:v1",
                repository("ghcr.io", "a/b", !plain),
                tag("v1"),
            ),
            (
                "oci:ghcr.io/a",
                repository("ghcr.io", "a", !plain),
                Name::Default,
            ),
            (
                "oci:localhost/a",
                repository("localhost", "a", plain),
                Name::Default,
            ),
            (
                "oci:here:5000/a:v1",
                repository("here:5000", "a", !plain),
                tag("v1"),
            ),
            (
                "oci:127.0.0.1:5000/a",
                repository("127.0.0.1:5000", "a", plain),
                Name::Default,
            ),
            (
                "oci:[::1]:5000/a",
                repository("[::1]:5000", "a", plain),
                Name::Default,
            ),
            (
                "oci:[2001:db8::1]/a",
                repository("[2001:db8::1]", "a", !plain),
                Name::Default,
            ),
            (
                "oci:10.0.0.1/a",
                repository("10.0.0.1", "a", !plain),
                Name::Default,
            ),
            (
                "oci:http://10.0.0.1/a",
                repository("10.0.0.1", "a", plain),
                Name::Default,
            ),
            (
                "oci:https://localhost/a:v1",
                repository("localhost", "a", !plain),
                tag("v1"),
            ),
            (
                "oci:https://shed/a",
                repository("shed", "a", !plain),
                Name::Default,
            ),
        ] {
            assert_eq!(read(word), (store, name), "{word}");
            assert_eq!(Reference::parse(word).unwrap().to_string(), word);
        }
        let digest = Digest::of(b"");
        let (store, name) = read(&format!("oci:ghcr.io/a/b:v1@sha256:{digest}"));
        assert_eq!(store, repository("ghcr.io", "a/b", !plain));
        assert_eq!(name, Name::Digest(digest), "the digest decides");
    }

    #[test]
    fn what_is_neither() {
        for (word, said) in [
            ("a", "does not begin with oci:"),
            ("oci:", "names no folder"),
            ("oci::v1", "names no folder"),
            ("oci:a:", "tag"),
            ("oci:a:-x", "tag"),
            ("oci:a:b c", "tag"),
            ("oci:a@sha256:00", "hex"),
            ("oci:ghcr.io/A/b", "oci:./ghcr.io/"),
            ("oci:ghcr.io/a//b", "no repository's name"),
            ("oci:ghcr.io/", "no repository's name"),
            ("oci:ghcr.io/a..b", "no repository's name"),
            ("oci:ghcr.io/a/../b", "no repository's name"),
            ("oci:ghcr.io/a?b", "no repository's name"),
            ("oci:ghcr.io/a:v 1", "tag"),
            ("oci:ghcr.io/a@sha512:00", "sha256"),
            ("oci:ghcr.io/a@sha256:00", "hex"),
            ("oci:https://me@ghcr.io/a", "is no HOST[:PORT]"),
            ("oci:https:///a", "is no HOST[:PORT]"),
            ("oci:ghcr.io:99999/a", "is no HOST[:PORT]"),
        ] {
            let error = Reference::parse(word).unwrap_err().to_string();
            assert!(error.contains(said), "{word}: {error}");
        }
        let long = format!("oci:ghcr.io/{}", "a".repeat(250));
        assert!(Reference::parse(&long).is_err());
    }

    proptest::proptest! {
        /// Whatever is read is written so that it is read alike.
        #[test]
        fn texts_of_references(rest in "(https?://)?[aB1.:/@\\[\\]_-]{0,24}") {
            if let Ok(reference) = Reference::parse(&format!("oci:{rest}")) {
                let text = reference.to_string();
                proptest::prop_assert_eq!(Reference::parse(&text).unwrap(), reference, "{}", text);
            }
        }
    }
}
