//! `cargo xtask dist`: packages of the build that is there, without another compilation: a tarball, a
//! Debian package and a wheel, in `target/dist`, with their digests in `SHA256SUMS`.
//!
//! All three hold the same tree: programs without debug information in `bin`, and what they need where
//! no checkout is in `share/fedseal`. The pages and the embedded model are in the program; it compiles
//! modules by itself, so that `fedseal-compile`, which tests use, is left out.
//!
//! cargo-deb would have to be compiled first, which takes longer than everything here; `dpkg-deb` is on
//! every system that installs such a package.

mod installed;
mod licences;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{exists, output, root, run, say, target};
use crate::{Outcome, build, fail};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Programs of a package.
const PROGRAMS: [&str; 2] = ["fedseal", "fedseal-audit"];

/// Documents of a package, from the root on.
const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"];

/// Reasons for which a part was left out, for the last lines.
pub(crate) type LeftOut = Vec<(&'static str, &'static str)>;

const NO_PYTHON: &str = "no python3, which packs it; on Debian `apt-get install python3`";
const NO_DPKG: &str = "no dpkg-deb, so this is no Debian";

/// Packages that were made.
struct Made {
    tarball: Option<PathBuf>,
    debian: Option<PathBuf>,
    wheel: Option<PathBuf>,
}

/// `cargo xtask dist [check]`
pub(crate) fn dist(arguments: &[String]) -> Outcome {
    let check = match arguments {
        [] => false,
        [word] if word == "check" => true,
        _ => return fail("`cargo xtask dist` takes one word: check"),
    };
    let programs = PROGRAMS.map(built);
    if !programs.iter().all(|path| path.is_file()) || !policies().is_dir() {
        build::everything()?;
    }
    for (what, why) in packages(check)? {
        eprintln!("    LEFT OUT: {what}: {why}");
    }
    Ok(())
}

/// Makes the packages; with `check` installs each into an empty prefix and uses it.
pub(crate) fn packages(check: bool) -> Outcome<LeftOut> {
    let (made, mut left_out) = make()?;
    if check {
        left_out.extend(installed::check(&made)?);
    }
    Ok(left_out)
}

/// A program that was built.
fn built(name: &str) -> PathBuf {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    target().join("debug").join(name)
}

fn policies() -> PathBuf {
    target().join("policies")
}

fn make() -> Outcome<(Made, LeftOut)> {
    say("Making the packages of this build");
    let host = output("rustc", &["-vV"]).unwrap_or_default();
    let Some(host) = host.lines().find_map(|line| line.strip_prefix("host: ")) else {
        return fail("rustc does not say which system this is");
    };
    let folder = target().join("dist");
    let _ = fs::remove_dir_all(&folder);
    let stage = folder.join("stage");
    fill(&stage)?;
    let seconds = seconds();
    let name = format!("fedseal-{VERSION}-{host}");
    let (mut made, mut left_out) = (
        Made {
            tarball: None,
            debian: None,
            wheel: None,
        },
        LeftOut::new(),
    );
    if exists("python3") {
        let tarball = folder.join(format!("{name}.tar.gz"));
        let words = ["tar".as_ref(), stage.as_os_str(), name.as_ref()];
        pack(&words, &[tarball.as_os_str(), seconds.as_ref()])?;
        let tag = format!("py3-none-{}", platform(host, &stage)?);
        let wheel = folder.join(format!("fedseal-{VERSION}-{tag}.whl"));
        let words = ["wheel".as_ref(), stage.as_os_str(), VERSION.as_ref()];
        pack(&words, &[tag.as_ref(), wheel.as_os_str(), seconds.as_ref()])?;
        (made.tarball, made.wheel) = (Some(tarball), Some(wheel));
    } else {
        left_out.push(("the tarball and the wheel", NO_PYTHON));
    }
    if exists("dpkg-deb") {
        made.debian = Some(debian(&folder, &stage, host, &seconds)?);
    } else {
        left_out.push(("the Debian package", NO_DPKG));
    }
    let all = [&made.tarball, &made.debian, &made.wheel];
    let names: Vec<&std::ffi::OsStr> = all
        .into_iter()
        .flatten()
        .filter_map(|path| path.file_name())
        .collect();
    if exists("python3") {
        pack(&["sums".as_ref(), folder.as_os_str()], &names)?;
    }
    for path in all.into_iter().flatten() {
        let size = fs::metadata(path)?.len() as f64 / 1e6;
        eprintln!("    {} ({size:.1} MB)", path.display());
    }
    Ok((made, left_out))
}

fn pack(words: &[&std::ffi::OsStr], more: &[&std::ffi::OsStr]) -> Outcome {
    run(Command::new("python3")
        .arg(root().join("xtask/tools/pack.py"))
        .args(words)
        .args(more))
}

/// Time of every entry: `SOURCE_DATE_EPOCH`, else that of the commit.
fn seconds() -> String {
    let folder = root().display().to_string();
    std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .or_else(|| output("git", &["-C", &folder, "log", "-1", "--format=%ct"]))
        .filter(|text| text.parse::<u64>().is_ok())
        .unwrap_or_else(|| "0".to_owned())
}

/// The tree that all packages hold.
fn fill(stage: &Path) -> Outcome {
    let (bin, share) = (stage.join("bin"), stage.join("share/fedseal"));
    let documents = stage.join("share/doc/fedseal");
    for folder in [&bin, &share, &documents] {
        fs::create_dir_all(folder)?;
    }
    for name in PROGRAMS {
        let from = built(name);
        let to = bin.join(from.file_name().unwrap_or_default());
        // Debug information is most of a program's size.
        let strip = Command::new("strip").arg("-o").arg(&to).arg(&from).status();
        if !strip.is_ok_and(|status| status.success()) {
            eprintln!("    {name} keeps its debug information: there is no `strip` here");
            fs::copy(&from, &to)?;
        }
    }
    modules(&share.join("policies"))?;
    copy(
        &root().join("experiments"),
        &share.join("experiments"),
        &["toml"],
    )?;
    let verifier = target().join("verifier.wasm");
    if !verifier.is_file() {
        return fail("no verifier.wasm; `cargo xtask build` builds it");
    }
    fs::copy(verifier, share.join("verifier.wasm"))?;
    trust(&share)?;
    shells(stage)?;
    for name in DOCUMENTS {
        fs::copy(root().join(name), documents.join(name))?;
    }
    copy(
        &root().join("docs"),
        &documents.join("docs"),
        &["md", "svg", "json"],
    )?;
    fs::write(documents.join("THIRD-PARTY.md"), licences::text()?)?;
    Ok(())
}

/// Places of completions below `share`, where shells look for them.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/fedseal"),
    ("zsh", "zsh/site-functions/_fedseal"),
    ("fish", "fish/vendor_completions.d/fedseal.fish"),
];

/// Man pages and completions, which the program writes itself.
fn shells(stage: &Path) -> Outcome {
    let share = stage.join("share");
    run(build::fedseal().arg("man").arg(share.join("man/man1")))?;
    for (shell, place) in COMPLETIONS {
        let script = build::fedseal().args(["completions", shell]).output()?;
        if !script.status.success() {
            return fail(format!(
                "`fedseal completions {shell}` ended with {}",
                script.status
            ));
        }
        let file = share.join(place);
        fs::create_dir_all(file.parent().unwrap_or(&share))?;
        fs::write(file, script.stdout)?;
    }
    Ok(())
}

/// Copies the module of every policy with its signature; what else lies there is of no policy any more.
fn modules(to: &Path) -> Outcome {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(root().join("policies"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        for file in [format!("{name}.wasm"), format!("{name}.wasm.dsse.json")] {
            let from = policies().join(&file);
            if !from.is_file() {
                return fail(format!(
                    "{}: not there; `cargo xtask build` builds and signs it",
                    from.display()
                ));
            }
            fs::copy(from, to.join(file))?;
        }
    }
    Ok(())
}

/// Copies files with such endings.
fn copy(from: &Path, to: &Path, endings: &[&str]) -> Outcome {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_file() && ending.is_some_and(|ending| endings.contains(&ending)) {
            fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

/// The key that signed the modules, in a trust file beside them.
fn trust(share: &Path) -> Outcome {
    let shown = build::fedseal().args(["key", "show"]).output()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let field = |name: &str| {
        let found = shown.lines().find_map(|line| line.strip_prefix(name));
        found.map(str::trim)
    };
    let (Some(key), Some(id)) = (field("public "), field("id ")) else {
        return fail("`fedseal key show` shows no key that signed the modules");
    };
    let text = format!("[[keys]]\nname = \"built fedseal {VERSION}\"\nkey = \"{key}\"\n");
    fs::write(share.join("trusted.toml"), text)?;
    for entry in fs::read_dir(share.join("policies"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let envelope: Value = serde_json::from_slice(&fs::read(&path)?)?;
        let signer = envelope.pointer("/signatures/0/keyid");
        if signer.and_then(Value::as_str) != Some(id) {
            return fail(format!(
                "{}: not by key {id}; `cargo xtask build` signs the modules anew",
                path.display()
            ));
        }
    }
    Ok(())
}

/// The newest glibc that a program of the stage asks for: the second number of `GLIBC_2.N`.
fn glibc(stage: &Path) -> Outcome<Option<u32>> {
    const SYMBOL: &[u8] = b"GLIBC_2.";
    let mut newest = None;
    for entry in fs::read_dir(stage.join("bin"))? {
        let bytes = fs::read(entry?.path())?;
        for (at, _) in bytes
            .windows(SYMBOL.len())
            .enumerate()
            .filter(|(_, part)| *part == SYMBOL)
        {
            let rest = bytes.get(at + SYMBOL.len()..).unwrap_or_default();
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let digits = rest.get(..digits.min(4)).unwrap_or_default();
            let number = String::from_utf8_lossy(digits).parse::<u32>().ok();
            newest = newest.max(number);
        }
    }
    Ok(newest)
}

/// The platform's name in a wheel: PEP 600 for glibc, and macOS' own.
fn platform(host: &str, stage: &Path) -> Outcome<String> {
    let machine = host.split('-').next().unwrap_or_default();
    Ok(match glibc(stage)? {
        Some(minor) if host.contains("linux") => format!("manylinux_2_{minor}_{machine}"),
        _ if host.contains("apple") && machine == "aarch64" => "macosx_11_0_arm64".to_owned(),
        _ if host.contains("apple") => format!("macosx_10_12_{machine}"),
        _ if host.contains("windows") => "win_amd64".to_owned(),
        _ => format!("linux_{machine}"),
    })
}

/// The Debian package, by dpkg-deb.
fn debian(folder: &Path, stage: &Path, host: &str, seconds: &str) -> Outcome<PathBuf> {
    let tree = folder.join("debian");
    for part in ["usr", "DEBIAN"] {
        fs::create_dir_all(tree.join(part))?;
    }
    run(Command::new("cp")
        .args(["-r", "--"])
        .args([stage.join("bin"), stage.join("share")])
        .arg(tree.join("usr")))?;
    // Where Debian's policy has the licences; the text of all is beside it.
    let documents = tree.join("usr/share/doc/fedseal");
    fs::rename(documents.join("LICENSE"), documents.join("copyright"))?;
    let architecture = match host.split('-').next().unwrap_or_default() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut kib = 0;
    for name in PROGRAMS {
        kib += fs::metadata(stage.join("bin").join(name))?
            .len()
            .div_ceil(1024);
    }
    let depends = match glibc(stage)? {
        Some(minor) => format!("libc6 (>= 2.{minor}), libgcc-s1"),
        None => "libc6, libgcc-s1".to_owned(),
    };
    let control = format!(
        "Package: fedseal\nVersion: {VERSION}\nArchitecture: {architecture}\nMaintainer: fedseal \
         <fedseal@localhost>\nInstalled-Size: {kib}\nDepends: {depends}\nSection: science\nPriority: \
         optional\nDescription: federated instruction tuning with proof of every update\n Client logic \
         runs as signed WebAssembly modules. Every update is attested and logged;\n robust \
         aggregation, admission by origin or behaviour and repair are measured side by\n side. The \
         program fedseal-audit checks the evidence of a run offline.\n"
    );
    fs::write(tree.join("DEBIAN/control"), control)?;
    run(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(&tree))?;
    let package = folder.join(format!("fedseal_{VERSION}_{architecture}.deb"));
    run(Command::new("dpkg-deb")
        // xz would take longer than everything else here.
        .args(["--root-owner-group", "-Zgzip", "--build"])
        .arg(&tree)
        .arg(&package)
        .env("SOURCE_DATE_EPOCH", seconds)
        .stdout(std::process::Stdio::null()))?;
    fs::remove_dir_all(&tree)?;
    Ok(package)
}
