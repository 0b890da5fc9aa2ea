//! `fedseal policy new`: the folder of a policy that builds, passes its test and runs.

use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_record::rundir::write_atomically;

use super::language::Language;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::places::Places;

/// Makes the folder of a new policy: an honest one, to be changed.
#[derive(Args)]
pub(super) struct New {
    /// Its name: a-z, 0-9 and `-`, beginning with a letter.
    name: String,
    /// Where the folder is made; by default here.
    #[arg(long, value_name = "DIR", default_value = ".")]
    path: PathBuf,
    /// Language of its source.
    #[arg(long, value_enum, default_value = "rust")]
    language: Language,
    /// The folder of fedseal's `guest` crate, for Rust; by default this checkout's.
    #[arg(long, value_name = "DIR")]
    guest: Option<PathBuf>,
}

impl New {
    /// Writes the files; never over a folder that is there.
    pub(super) fn execute(self) -> Outcome {
        check(&self.name)?;
        let folder = self.path.join(&self.name);
        if folder.exists() {
            return Err(
                Failure::usage(format!("{} is there already", folder.display()))
                    .hint("Choose another name, or --path."),
            );
        }
        let mut files = match self.language {
            Language::Rust => self.rust()?,
            Language::Python => one(
                "policy.py",
                include_str!("../../../../../guest/examples/python/policy.py"),
            ),
            Language::Javascript => one(
                "policy.js",
                include_str!("../../../../../guest/examples/javascript/policy.js"),
            ),
            Language::C => one(
                "policy.c",
                include_str!("../../../../../guest/examples/c/policy.c"),
            ),
            Language::Assemblyscript => one(
                "policy.ts",
                include_str!("../../../../../guest/examples/assemblyscript/policy.ts"),
            ),
        };
        let (read_me, test) = match self.language {
            Language::Rust => (
                include_str!("scaffold/README.md"),
                "Its native test and a run in the sandbox",
            ),
            _ => (
                include_str!("scaffold/README.other.md"),
                "A run in the sandbox",
            ),
        };
        files.push(("README.md".into(), filled(read_me, &self.name)));
        files.push((".gitignore".into(), "/target\n".into()));
        for (name, text) in &files {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(&folder);
            std::fs::create_dir_all(parent).map_err(|error| Failure::io(parent, &error))?;
            write_atomically(&path, text.as_bytes())?;
        }
        let shown = folder.display();
        output::line(format!(
            "{shown} is made. {test}: fedseal policy test {shown}"
        ));
        output::line(format!("Build and sign it: fedseal policy build {shown}"));
        Ok(())
    }

    fn rust(&self) -> Outcome<Vec<(String, String)>> {
        let places = Places::find();
        let own = || Some(places.checkout()?.join("guest"));
        let guest = self.guest.clone().or_else(own);
        let guest = guest
            .and_then(|folder| folder.canonicalize().ok())
            .filter(|folder| folder.join("Cargo.toml").is_file());
        let Some(guest) = guest else {
            return Err(Failure::usage("fedseal's guest crate was not found").hint(
                "Run this inside a checkout of fedseal, or name its guest folder with --guest.",
            ));
        };
        let manifest =
            include_str!("scaffold/Cargo.toml.txt").replace("{guest}", &toml_text(&guest));
        let mut files = vec![
            ("Cargo.toml".to_owned(), filled(&manifest, &self.name)),
            (
                "src/lib.rs".to_owned(),
                filled(include_str!("scaffold/lib.rs.txt"), &self.name),
            ),
        ];
        // The versions that fedseal itself was tested with; cargo takes out what is not needed.
        let lock = guest.join("../Cargo.lock");
        if let Ok(text) = std::fs::read_to_string(lock) {
            files.push(("Cargo.lock".to_owned(), text));
        }
        Ok(files)
    }
}

fn one(name: &str, text: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), text.to_owned())]
}

/// A path inside a basic TOML string.
fn toml_text(path: &Path) -> String {
    path.display()
        .to_string()
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
}

fn filled(template: &str, name: &str) -> String {
    let word = |part: &str| {
        let mut letters = part.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_uppercase().chain(letters).collect()
        })
    };
    let type_name: String = name.split('-').map(word).collect();
    template
        .replace("{name}", name)
        .replace("{Type}", &type_name)
}

fn check(name: &str) -> Outcome {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && name.len() <= 64 && name.chars().all(plain) && !name.ends_with('-') {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "the name {name:?} is not 1 to 64 of a-z, 0-9 and `-`, beginning with a letter"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_types() {
        assert_eq!(
            filled("{name} {Type}", "two-words-2"),
            "two-words-2 TwoWords2"
        );
        for bad in ["", "A", "1a", "a_b", "a/b", "..", "a-"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check("my-policy").is_ok());
    }
}
