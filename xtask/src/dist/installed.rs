//! Packages put into an empty prefix each and used there as a user would: without a checkout, without an
//! environment, with an empty home folder.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{LeftOut, Made, VERSION};
use crate::process::{root, run, say};
use crate::{Outcome, fail};

/// Installs each package and uses it.
pub(super) fn check(made: &Made) -> Outcome<LeftOut> {
    // Not below the checkout, whose folders the programs would take.
    let folder = std::env::temp_dir().join(format!("fedseal-packages-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let mut left_out = LeftOut::new();
    let mut first = true;
    let packages: [(&str, &Option<PathBuf>, Install); 3] = [
        ("tarball", &made.tarball, tarball),
        ("Debian package", &made.debian, debian),
        ("wheel", &made.wheel, wheel),
    ];
    for (name, package, install) in packages {
        let Some(package) = package else { continue };
        if package.extension().is_some_and(|ending| ending == "whl") && !has_venv() {
            let why = "python3 has no venv; on Debian `apt-get install python3-venv`";
            left_out.push(("installing the wheel", why));
            continue;
        }
        say(&format!("Using the {name} in an empty prefix"));
        let prefix = folder.join(name.replace(' ', "-"));
        fs::create_dir_all(&prefix)?;
        let installed = install(package, &prefix.join("prefix"))?;
        let place = Place::new(&prefix, installed)?;
        // The programs are the same in all: one runs the shipped experiment, the others a part of it.
        place.uses(first)?;
        first = false;
    }
    if !root().join("web/dist/index.html").is_file() {
        left_out.push((
            "pages of the packages",
            "they are not built, for want of npm",
        ));
    }
    fs::remove_dir_all(&folder)?;
    Ok(left_out)
}

/// Installs a package into a prefix; the folder that has `bin` and `share`.
type Install = fn(&Path, &Path) -> Outcome<PathBuf>;

fn tarball(package: &Path, prefix: &Path) -> Outcome<PathBuf> {
    fs::create_dir_all(prefix)?;
    let words = ["--strip-components", "1", "-xzf"];
    run(Command::new("tar")
        .arg("-C")
        .arg(prefix)
        .args(words)
        .arg(package))?;
    Ok(prefix.to_owned())
}

fn debian(package: &Path, prefix: &Path) -> Outcome<PathBuf> {
    run(Command::new("dpkg-deb").arg("-x").arg(package).arg(prefix))?;
    Ok(prefix.join("usr"))
}

fn wheel(package: &Path, prefix: &Path) -> Outcome<PathBuf> {
    run(Command::new("python3").args(["-m", "venv"]).arg(prefix))?;
    run(Command::new(prefix.join("bin/python"))
        .args(["-m", "pip", "install", "-q", "--disable-pip-version-check"])
        .args(["--no-index", "--no-deps"])
        .arg(package))?;
    Ok(prefix.to_owned())
}

/// Whether Python can make an environment with pip in it.
fn has_venv() -> bool {
    Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// An installed package, a home folder and a folder to work in.
struct Place {
    installed: PathBuf,
    home: PathBuf,
    work: PathBuf,
}

impl Place {
    fn new(folder: &Path, installed: PathBuf) -> Outcome<Self> {
        let (home, work) = (folder.join("home"), folder.join("work"));
        fs::create_dir_all(&home)?;
        fs::create_dir_all(&work)?;
        Ok(Place {
            installed,
            home,
            work,
        })
    }

    /// A program with nothing around it but a home folder.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.installed.join("bin").join(name));
        command
            .env_clear()
            .env("HOME", &self.home)
            .current_dir(&self.work)
            .stdin(Stdio::null());
        command
    }

    fn said(&self, name: &str, words: &[&str]) -> Outcome<String> {
        let ended = self.program(name).args(words).output()?;
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        if ended.status.success() {
            return Ok(said);
        }
        let error = String::from_utf8_lossy(&ended.stderr).into_owned();
        fail(format!("{name} {}: {said}{error}", words.join(" ")))
    }

    fn uses(&self, whole: bool) -> Outcome {
        for name in super::PROGRAMS {
            let said = self.said(name, &["--version"])?;
            if said.trim() != format!("{name} {VERSION}") {
                return fail(format!("{name} --version says {said:?}"));
            }
        }
        let experiment = if whole { "tiny" } else { self.small()? };
        eprintln!("    fedseal run {experiment}");
        self.said("fedseal", &["run", experiment, "--out", "made", "--quiet"])?;
        self.said("fedseal", &["verify", "made"])?;
        self.said("fedseal-audit", &["verify", "made"])?;
        self.said("fedseal-audit", &["show", "made"])?;
        for file in [
            "man/man1/fedseal-run.1",
            "bash-completion/completions/fedseal",
        ] {
            let file = self.installed.join("share").join(file);
            if !file.is_file() {
                return fail(format!("{} is not there", file.display()));
            }
        }
        self.pages()?;
        self.nothing_else()
    }

    /// A few seconds' part of the installed `tiny`, in the folder of work.
    fn small(&self) -> Outcome<&'static str> {
        let shipped = self.installed.join("share/fedseal/experiments/tiny.toml");
        let mut text = String::new();
        for line in fs::read_to_string(shipped)?.lines() {
            text.push_str(match line.split_once(" = ").unwrap_or_default().0 {
                "arms" => "arms = [\"clean\", \"provenance\"]",
                "rounds" => "rounds = 1",
                _ => line,
            });
            text.push('\n');
        }
        fs::write(self.work.join("small.toml"), text)?;
        Ok("small.toml")
    }

    /// The first page, from a server over the run.
    fn pages(&self) -> Outcome {
        let words = ["serve", "--addr", "127.0.0.1:0", "--runs", "made"];
        let child = self
            .program("fedseal")
            .args(words)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut server = Server(child);
        let Some(output) = server.0.stdout.take() else {
            return fail("the server has no output");
        };
        // Kept open: a server whose output nobody reads ends.
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let address = line.trim().rsplit('/').next().unwrap_or_default();
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let built = root().join("web/dist/index.html").is_file();
        let wanted = if built { "/assets/" } else { "fedseal" };
        if answer.starts_with("HTTP/1.1 200") && answer.contains(wanted) {
            return Ok(());
        }
        fail(format!("serve answers / with: {answer}"))
    }

    /// Whether only what was asked for was written, and the user's own folders.
    fn nothing_else(&self) -> Outcome {
        for (folder, allowed) in [
            (&self.work, ["made", "small.toml"]),
            (&self.home, [".cache", ".config"]),
        ] {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if !allowed.iter().any(|name| path.ends_with(name)) {
                    return fail(format!("{} was written unasked", path.display()));
                }
            }
        }
        Ok(())
    }
}

/// A server, which ends when this is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
