//! schemathesis (PyPI) against the description of the interface: requests that fit it and requests that do not.
//! An error is an answer that the description does not have, or a fault of the server.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::serve::{self, Server, number};
use super::{Figure, figure};
use crate::process::{output_within, root, say};
use crate::{Outcome, fail, python};

/// Requests in all, at least.
const CASES: &str = "10000";
/// Time that they may take.
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// Makes the requests, see tests/oracles/api/fuzz.py.
pub(super) fn fuzz() -> Outcome<Vec<Figure>> {
    say("Requests by schemathesis");
    let folder = root().join("tests/oracles/api");
    let python = python::with("api", &folder.join("requirements.txt"))?;
    serve::build()?;
    let server = Server::start(&serve::tiny()?, &["--per-address", "256"])?;
    let base = format!("http://{}", server.address);
    let mut fuzz = Command::new(python);
    fuzz.arg(folder.join("fuzz.py"))
        .args([base.as_str(), CASES]);
    let ran = output_within(&mut fuzz, LIMIT)?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ran.stderr).into_owned();
    let last: Option<Value> = said
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok());
    let Some(last) = last.filter(|_| ran.status.success()) else {
        return fail(format!(
            "fuzz.py ended with {}:\n{said}{errors}",
            ran.status
        ));
    };
    eprintln!("{errors}    {last}");
    Ok(vec![
        figure("schemathesis.errors", number(&last, "errors")?, "answers"),
        figure("schemathesis.cases", number(&last, "cases")?, "requests"),
    ])
}
