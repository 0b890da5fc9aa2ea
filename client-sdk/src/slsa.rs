//! Statement of an author about how a module was built: the predicate of SLSA provenance, version 1
//! (<https://slsa.dev/spec/v1.0/provenance>), as a part of the module's own statement.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::{Error, Result};

/// The kind of build: `fedseal policy build`, whose parameters are [`ExternalParameters`].
pub const BUILD_TYPE: &str = "urn:fedseal:policy-build:v1";

/// The builder: this program, run by the author.
pub const BUILDER: &str = "urn:fedseal:policy-build";

/// Name of the dependency that is the policy's own source.
pub const SOURCE: &str = "source";

/// Files of a source folder, most.
const MAX_FILES: usize = 10_000;

/// Bytes of a source folder, all files together, most.
const MAX_BYTES: u64 = 256 << 20;

/// Bytes of each text in a statement, most.
const MAX_TEXT: usize = 256;

/// Dependencies in a statement, most.
const MAX_DEPENDENCIES: usize = 64;

/// How a module was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// The inputs.
    pub build_definition: BuildDefinition,
    /// The builder.
    pub run_details: RunDetails,
}

/// Inputs of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildDefinition {
    /// [`BUILD_TYPE`].
    pub build_type: String,
    /// Choices of the author.
    pub external_parameters: ExternalParameters,
    /// Choices of the builder.
    pub internal_parameters: InternalParameters,
    /// The source and whatever else went in.
    pub resolved_dependencies: Vec<Resource>,
}

/// Choices of the author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalParameters {
    /// The command that builds the module from its source.
    pub command: String,
    /// The policy's language.
    pub language: String,
}

/// Choices of the builder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InternalParameters {
    /// Compiler or bundler, with its version.
    pub toolchain: String,
    /// The compiler's target; none where a language has one alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
}

/// Something that went into a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its name, unique in the statement.
    pub name: String,
    /// Digests by the names of in-toto's digest sets: `dirHash` of a folder, `sha256` of a file.
    pub digest: BTreeMap<String, Digest>,
}

/// The builder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunDetails {
    /// Who built it.
    pub builder: Builder,
}

/// Who built a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builder {
    /// [`BUILDER`].
    pub id: String,
    /// Versions of the builder's parts.
    pub version: BTreeMap<String, String>,
}

impl Provenance {
    /// Digest of the policy's own source.
    #[must_use]
    pub fn source(&self) -> Option<Digest> {
        let mut all = self.build_definition.resolved_dependencies.iter();
        let source = all.find(|resource| resource.name == SOURCE)?;
        source.digest.get("dirHash").copied()
    }

    /// Checks the bounds of every field.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field that is too long or holds control characters.
    pub fn validate(&self) -> Result<()> {
        let definition = &self.build_definition;
        let bad = |detail: String| Error::Invalid {
            what: "module provenance",
            detail,
        };
        if definition.resolved_dependencies.len() > MAX_DEPENDENCIES
            || self.run_details.builder.version.len() > MAX_DEPENDENCIES
        {
            return Err(bad(format!("more than {MAX_DEPENDENCIES} dependencies")));
        }
        let mut texts = vec![
            &definition.build_type,
            &definition.external_parameters.command,
            &definition.external_parameters.language,
            &definition.internal_parameters.toolchain,
            &self.run_details.builder.id,
        ];
        texts.extend(&definition.internal_parameters.target);
        for resource in &definition.resolved_dependencies {
            texts.push(&resource.name);
            texts.extend(resource.digest.keys());
        }
        for (name, version) in &self.run_details.builder.version {
            texts.extend([name, version]);
        }
        for text in texts {
            if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
                return Err(bad(format!(
                    "{:?} is longer than {MAX_TEXT} bytes or holds control characters",
                    text.chars().take(80).collect::<String>()
                )));
            }
        }
        Ok(())
    }
}

/// Digest of a source folder, in-toto's `dirHash` (Hash1 of golang.org/x/mod/sumdb/dirhash): SHA-256 of the
/// lines that `sha256sum` prints for its files, sorted by path. Left out are `target`, hidden files and
/// folders, `__pycache__` and `node_modules`; links are not followed and count as absent.
///
/// ```text
/// find . -type f | cut -c3- | LC_ALL=C sort | xargs sha256sum | sha256sum
/// ```
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::Invalid`] beyond 10,000 files or 256 MiB.
pub fn dir_hash(folder: &Path) -> Result<Digest> {
    let mut files = Vec::new();
    let mut bytes = 0;
    gather(folder, "", &mut files, &mut bytes)?;
    files.sort();
    let mut lines = String::new();
    for (name, digest) in files {
        lines.push_str(&format!("{digest}  {name}\n"));
    }
    Ok(Digest::of(lines.as_bytes()))
}

fn gather(
    folder: &Path,
    below: &str,
    files: &mut Vec<(String, Digest)>,
    bytes: &mut u64,
) -> Result<()> {
    let io = |source| Error::Io {
        path: folder.display().to_string(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let kind = entry.file_type().map_err(io)?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| Error::Invalid {
                what: "source folder",
                detail: format!("{name:?} is not UTF-8"),
            })?;
        let skipped = ["target", "__pycache__", "node_modules"].contains(&name.as_str());
        if skipped || name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        if kind.is_dir() {
            gather(&path, &format!("{below}{name}/"), files, bytes)?;
        } else if kind.is_file() {
            *bytes += entry.metadata().map_err(io)?.len();
            if files.len() == MAX_FILES || *bytes > MAX_BYTES {
                return Err(Error::Invalid {
                    what: "source folder",
                    detail: format!("more than {MAX_FILES} files or {MAX_BYTES} bytes"),
                });
            }
            let content = fs::read(&path).map_err(|source| Error::Io {
                path: path.display().to_string(),
                source,
            })?;
            files.push((format!("{below}{name}"), Digest::of(&content)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected value from the command in `dir_hash`'s description, on the same two files.
    #[test]
    fn a_folders_digest_is_what_sha256sum_says() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("policy.py", "one\n");
        write("a/b.py", "two\n");
        for left_out in ["target/x", ".git/x", "a/__pycache__/x", ".gitignore"] {
            write(left_out, "x");
        }
        assert_eq!(
            dir_hash(folder.path()).unwrap().to_string(),
            "8fd4e52174a0ee01bf2cca1b2e4b9db75cfc3b8db5bb31f867f5df4fbeb18f7d"
        );
        write("a/b.py", "three\n");
        assert_ne!(
            dir_hash(folder.path()).unwrap().to_string(),
            "8fd4e52174a0ee01bf2cca1b2e4b9db75cfc3b8db5bb31f867f5df4fbeb18f7d"
        );
    }
}
