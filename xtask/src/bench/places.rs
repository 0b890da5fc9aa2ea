//! How many places an extension touches, counted on extensions that are kept as patches (`xtask/patches`)
//! and shown to work: each is applied to a clone, built, run in an experiment, verified, and looked for by
//! its name in what the program tells and in the report.
//!
//! A place is a file that somebody edits. A new policy's folder is one, since `fedseal policy new` writes
//! it; the lock file is none, since cargo does.
//!
//! The clone shares this checkout's target folder, so that only our own crates are compiled; the checkout's
//! programs are put back at the end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Figure;
use crate::process::{cargo, cargo_command, root, run, say, target};
use crate::{Outcome, build, fail};

/// A kind of extension and the example that is kept of it.
struct Extension {
    /// The kind, which names the patch and the figure.
    kind: &'static str,
    /// Name of the example, in files and messages.
    name: &'static str,
    /// Lines of the small experiment that are replaced, by their keys.
    lines: &'static [&'static str],
    /// Tables that the experiment gets at its end.
    tables: &'static str,
    /// Makes what it needs besides the programs.
    make: fn(&Extension, &Place) -> Outcome,
    /// Shows that it is there and named.
    shows: fn(&Extension, &Place) -> Outcome,
}

/// Every kind whose example is kept.
const EXTENSIONS: &[Extension] = &[
    Extension {
        kind: "rule",
        name: "clipped-mean",
        lines: &["arms = [\"clipped-mean\"]"],
        tables: "",
        make: nothing,
        shows: used,
    },
    Extension {
        kind: "check",
        name: "own-data",
        lines: &["arms = [\"clean\", \"provenance\"]"],
        tables: "[[admission.provenance]]\ncheck = \"own-data\"\n",
        make: nothing,
        shows: used,
    },
    Extension {
        kind: "defence",
        name: "shrink",
        lines: &["arms = [\"fedavg\", \"mended\"]"],
        tables: "[arm.mended]\nrepairs = \"fedavg\"\ndefence = \"shrink\"\n",
        make: nothing,
        shows: used,
    },
    Extension {
        kind: "measure",
        name: "answered",
        lines: &[],
        tables: "",
        make: nothing,
        shows: measured,
    },
    Extension {
        kind: "policy",
        name: "half-step",
        lines: &["arms = [\"fedavg\"]", "kinds = [\"half-step\"]"],
        tables: "",
        make: policy,
        shows: used,
    },
    Extension {
        kind: "arm",
        name: "median-checked",
        lines: &[],
        tables: "",
        make: nothing,
        shows: used,
    },
    Extension {
        kind: "family",
        name: "xverse",
        lines: &[],
        tables: "[model]\nsource = \"xverse\"\n",
        make: family,
        shows: used,
    },
    Extension {
        kind: "page",
        name: "/glossary",
        lines: &[],
        tables: "",
        make: pages,
        shows: bundled,
    },
];

/// A clone of this checkout, and where its builds go.
struct Place {
    clone: PathBuf,
    target: PathBuf,
}

pub(super) fn bench(folder: &Path) -> Outcome<Vec<Figure>> {
    let place = Place {
        clone: folder.join("places"),
        target: target(),
    };
    let _ = fs::remove_dir_all(&place.clone);
    run(Command::new("git")
        .args(["clone", "--quiet"])
        .arg(root())
        .arg(&place.clone))?;
    let measured: Outcome<Vec<Figure>> = EXTENSIONS
        .iter()
        .map(|extension| extension.measure(&place))
        .collect();
    say("This checkout's programs again");
    let mut words = vec!["build", "--workspace"];
    words.extend(build::features());
    cargo(&words, &[])?;
    let figures = measured?;
    fs::remove_dir_all(&place.clone)?;
    Ok(figures)
}

impl Extension {
    fn measure(&self, place: &Place) -> Outcome<Figure> {
        say(&format!("A {} of one's own: {}", self.kind, self.name));
        let patch = root().join(format!("xtask/patches/{}.patch", self.kind));
        run(&mut place.git(&["reset", "--quiet", "--hard"]))?;
        run(&mut place.git(&["clean", "--quiet", "-dfx"]))?;
        let counted = place.git(&["apply", "--numstat"]).arg(&patch).output()?;
        let files = files(&String::from_utf8_lossy(&counted.stdout));
        if run(place.git(&["apply"]).arg(&patch)).is_err() || files.is_empty() {
            return fail(format!(
                "{}: the patch does not fit this commit any more; make it again",
                patch.display()
            ));
        }
        place.build()?;
        (self.make)(self, place)?;
        (self.shows)(self, place)?;
        let places = places(&files);
        Ok(Figure {
            name: format!("places.{}", self.kind),
            value: places.len() as f64,
            unit: "places".to_owned(),
            peer: Some(places.into_iter().collect::<Vec<_>>().join(", ")),
            ratio: None,
        })
    }

    /// Runs the experiment that uses it, verifies the run, and looks for the name in its report.
    fn runs(&self, place: &Place) -> Outcome {
        let made = place.run(&self.experiment(place)?, "made")?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            return fail(format!("the experiment that uses {}: {said}", self.name));
        }
        run(place
            .fedseal()
            .args(["verify", "made"])
            .stdout(Stdio::null()))?;
        let report = fs::read_to_string(place.clone.join("made/report.json"))?;
        self.found("report.json", &report)
    }

    /// The small experiment of the clone, with this extension in it.
    fn experiment(&self, place: &Place) -> Outcome<String> {
        let small = fs::read_to_string(place.clone.join("xtask/small.toml"))?;
        let mut text = String::new();
        for line in small.lines() {
            let key = |line: &str| line.split(" = ").next().map(str::to_owned);
            let own = self.lines.iter().find(|own| key(own) == key(line));
            text.push_str(own.unwrap_or(&line));
            text.push('\n');
        }
        Ok(format!("{text}\n{}", self.tables))
    }

    fn found(&self, what: &str, text: &str) -> Outcome {
        match text.contains(self.name) {
            true => Ok(()),
            false => fail(format!("{} is not named in {what}: {text}", self.name)),
        }
    }
}

impl Place {
    fn git(&self, words: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(words).current_dir(&self.clone);
        command
    }

    /// The clone's programs, and the signed modules of this checkout beside them.
    fn build(&self) -> Outcome {
        let mut command = cargo_command();
        command
            .args(["build", "--quiet", "--workspace"])
            .args(build::features())
            .current_dir(&self.clone)
            .env("CARGO_TARGET_DIR", &self.target);
        run(&mut command)?;
        let modules = self.clone.join("modules");
        fs::create_dir_all(&modules)?;
        for entry in fs::read_dir(self.target.join("policies"))? {
            let entry = entry?;
            fs::copy(entry.path(), modules.join(entry.file_name()))?;
        }
        Ok(())
    }

    /// The clone's program, in the clone.
    fn fedseal(&self) -> Command {
        let mut command = Command::new(self.target.join("debug/fedseal"));
        command
            .current_dir(&self.clone)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Runs an experiment into a folder of the clone.
    fn run(&self, experiment: &str, out: &str) -> Outcome<std::process::Output> {
        fs::write(self.clone.join("experiment.toml"), experiment)?;
        let words = ["run", "experiment.toml", "--no-figures", "--quiet"];
        let folders = ["--modules", "modules", "--models", "models", "--out", out];
        Ok(self.fedseal().args(words).args(folders).output()?)
    }
}

/// A run that uses it; and one with a name that is nearly right, which is told the names that there are.
fn used(extension: &Extension, place: &Place) -> Outcome {
    extension.runs(place)?;
    let name = extension.name;
    let (short, _) = name.split_at(name.len() - 1);
    let wrong = extension.experiment(place)?;
    let wrong = wrong.replacen(&format!("\"{name}\""), &format!("\"{short}\""), 1);
    let said = place.run(&wrong, "wrong")?;
    if said.status.success() {
        return fail(format!(
            "{short:?} was taken for a known {}",
            extension.kind
        ));
    }
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    extension.found("the list of known names", &told)
}

/// A run, which has every measure in its report.
fn measured(extension: &Extension, place: &Place) -> Outcome {
    extension.runs(place)
}

/// The bundle of the pages: its list of addresses, which the server answers.
fn bundled(extension: &Extension, place: &Place) -> Outcome {
    let list = fs::read_to_string(place.clone.join("web/dist/pages.json"))?;
    extension.found("the bundle's pages.json", &list)
}

/// The pages, checked and bundled with this checkout's packages.
fn pages(_: &Extension, place: &Place) -> Outcome {
    let (packages, web) = (root().join("web/node_modules"), place.clone.join("web"));
    if !packages.is_dir() {
        return fail("web/node_modules is missing; `cargo xtask build` installs it");
    }
    run(Command::new("cp")
        .args(["-r", "--"])
        .arg(packages)
        .arg(web.join("node_modules")))?;
    run(Command::new("npm")
        .args(["run", "--silent", "build"])
        .current_dir(web))
}

fn nothing(_: &Extension, _: &Place) -> Outcome {
    Ok(())
}

/// The module of a new policy, signed.
fn policy(extension: &Extension, place: &Place) -> Outcome {
    run(place
        .fedseal()
        .args(["policy", "build", extension.name, "--out", "modules"])
        .stdout(Stdio::null()))
}

/// The embedded model's weights under the family's name; and under a name that is nearly right.
fn family(extension: &Extension, place: &Place) -> Outcome {
    let from = place.clone.join("server/federation/model");
    let (short, _) = extension.name.split_at(extension.name.len() - 1);
    for name in [extension.name, short] {
        let to = place.clone.join("models").join(name);
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        let config = to.join("config.json");
        let text = fs::read_to_string(&config)?;
        let (was, is) = (
            "\"model_type\": \"llama\"",
            format!("\"model_type\": \"{name}\""),
        );
        fs::write(&config, text.replace(was, &is))?;
    }
    Ok(())
}

/// Paths in what `git apply --numstat` prints: added, removed, path, with tabs between.
fn files(numstat: &str) -> Vec<String> {
    let paths = numstat.lines().filter_map(|line| line.split('\t').nth(2));
    paths.map(str::to_owned).collect()
}

/// Places of such files.
fn places(files: &[String]) -> BTreeSet<String> {
    let place = |file: &String| match file.strip_prefix("policies/") {
        Some(rest) => format!("policies/{}", rest.split('/').next().unwrap_or_default()),
        None => file.clone(),
    };
    files.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policys_folder_is_one_place() {
        let numstat = "16\t0\tpolicies/mine/Cargo.toml\n9\t0\tpolicies/mine/src/lib.rs\n\
                       1\t0\tserver/rules/src/attack.rs\n";
        let files = files(numstat);
        assert_eq!(files.len(), 3);
        let places: Vec<String> = places(&files).into_iter().collect();
        assert_eq!(places, ["policies/mine", "server/rules/src/attack.rs"]);
    }

    /// A patch that does not fit any more is found here and not by whoever measures next.
    #[test]
    fn every_patch_fits_and_touches_few_places() {
        for extension in EXTENSIONS {
            let kind = extension.kind;
            let patch = root().join(format!("xtask/patches/{kind}.patch"));
            let counted = Command::new("git")
                .args(["apply", "--check", "--numstat"])
                .arg(&patch)
                .current_dir(root())
                .output();
            // Without git this cannot be asked.
            let Ok(counted) = counted else { return };
            let said = String::from_utf8_lossy(&counted.stderr);
            assert!(counted.status.success(), "{kind}: {said}");
            let text = String::from_utf8_lossy(&counted.stdout);
            let count = places(&files(&text)).len() as f64;
            let most = crate::marks::most(&format!("places.{kind}"));
            assert!(most.is_some_and(|most| count <= most), "{kind}: {text}");
        }
    }
}
