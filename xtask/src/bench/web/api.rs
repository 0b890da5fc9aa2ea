//! schemathesis (PyPI) against the description of the interface: requests that fit it and requests that do not.
//! An error is an answer that the description does not have, or a fault of the server.

use std::process::Command;

use serde_json::Value;

use super::serve::{self, Server};
use super::{Figure, figure};
use crate::process::{root, say};
use crate::{Outcome, fail, python};

/// Requests in all, at least.
const CASES: &str = "10000";

/// Makes the requests, see tests/oracles/api/fuzz.py.
pub(super) fn fuzz() -> Outcome<Vec<Figure>> {
    say("Requests by schemathesis");
    let folder = root().join("tests/oracles/api");
    let python = python::with("api", &folder.join("requirements.txt"))?;
    serve::build()?;
    let server = Server::start(&serve::tiny()?, &["--per-address", "256"])?;
    let base = format!("http://{}", server.address);
    let ran = Command::new(python)
        .arg(folder.join("fuzz.py"))
        .args([base.as_str(), CASES])
        .output()?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ran.stderr).into_owned();
    let last: Option<Value> = said
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok());
    let Some(last) = last.filter(|_| ran.status.success()) else {
        return fail(format!("fuzz.py: {said}{errors}"));
    };
    eprint!("{errors}");
    let number = |name: &str| last[name].as_f64().unwrap_or(f64::NAN);
    Ok(vec![
        figure("schemathesis.errors", number("errors"), "answers"),
        figure("schemathesis.cases", number("cases"), "requests"),
    ])
}
