//! `cargo xtask screenshots [DIR]`: a picture of every page in both themes at three widths, of a real small run, to
//! be looked at (web/scripts/screenshots.mjs).

use std::path::PathBuf;
use std::process::Command;

use crate::process::{root, run, say, target};
use crate::{Outcome, build, fail, setup};

pub(crate) fn make(arguments: &[String]) -> Outcome {
    let folder = match arguments {
        [] => target().join("screenshots"),
        [folder] if !folder.starts_with('-') => PathBuf::from(folder),
        _ => return fail("`cargo xtask screenshots` takes a folder at most"),
    };
    build::everything()?;
    let Some(chromium) = setup::chromium() else {
        return fail("no chromium: on Debian `apt-get install chromium`");
    };
    say("Pictures of every page");
    run(Command::new("node")
        .arg("scripts/screenshots.mjs")
        .arg(std::path::absolute(folder)?)
        .current_dir(root().join("web"))
        .env("FEDSEAL", build::fedseal().get_program())
        .env("CHROMIUM", chromium))
}
