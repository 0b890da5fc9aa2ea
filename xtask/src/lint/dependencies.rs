//! No dependency that no code uses, and none among the product's that tests alone use (cargo-shear).

use std::process::Command;

use serde_json::Value;

use super::LeftOut;
use super::tools::Tool;
use crate::process::root;
use crate::{Outcome, fail};

const SHEAR: Tool = Tool {
    name: "cargo-shear",
    version: "1.14.0",
};

/// Findings of today: file and dependency. A line goes when its dependency does.
const KNOWN: [(&str, &str); 1] = [("server/app/Cargo.toml", "wat")];

/// Runs cargo-shear, whose findings can be read as JSON.
pub(super) fn check() -> Outcome<LeftOut> {
    let shear = match SHEAR.find() {
        Ok(path) => path,
        Err(why) => return Ok(Some(why)),
    };
    let ran = Command::new(shear)
        .args(["--locked", "--format=json"])
        .current_dir(root())
        .output()?;
    let Ok(report) = serde_json::from_slice::<Value>(&ran.stdout) else {
        eprint!("{}", String::from_utf8_lossy(&ran.stderr));
        return fail("cargo-shear gave no report");
    };
    let findings = report["findings"].as_array().into_iter().flatten();
    let new: Vec<&Value> = findings.filter(|finding| !known(finding)).collect();
    for finding in &new {
        let file = finding["file"].as_str().unwrap_or("workspace");
        let message = finding["message"].as_str().unwrap_or_default();
        let message = message.replace('\n', " ");
        eprintln!("    {file}: {message}");
    }
    if new.is_empty() {
        return Ok(None);
    }
    fail(format!(
        "{} findings; a dependency that has to stay is named with its reason under \
         [package.metadata.cargo-shear]",
        new.len()
    ))
}

fn known(finding: &Value) -> bool {
    KNOWN.iter().any(|(file, name)| {
        finding["file"] == *file
            && finding["message"]
                .as_str()
                .is_some_and(|message| message.contains(&format!("`{name}`")))
    })
}
