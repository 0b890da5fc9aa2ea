//! `cargo xtask sweep`: one experiment under several shares of refusals in the benign shards, the
//! key that decides most about the attack. Arms clean and attacked only; nothing else differs.

use std::fs;

use serde_json::Value;

use crate::build::fedseal;
use crate::process::{root, run, say};
use crate::{Outcome, build, fail, readme};

/// `cargo xtask sweep demo|smollm2 [SHARE...]`; without shares: 0.01, 0.025, 0.1 and 0.3.
pub(crate) fn sweep(arguments: &[String]) -> Outcome {
    let Some((name, shares)) = arguments.split_first() else {
        return fail("which experiment? `cargo xtask sweep demo` or `cargo xtask sweep smollm2`");
    };
    let usual = ["0.01", "0.025", "0.1", "0.3"].map(String::from);
    let shares = if shares.is_empty() {
        &usual[..]
    } else {
        shares
    };
    build::everything()?;
    let text = fs::read_to_string(root().join(format!("experiments/{name}.toml")))?;
    let folder = root().join("target/sweep");
    fs::create_dir_all(&folder)?;
    let mut figures = Vec::new();
    for share in shares {
        if !share
            .parse::<f64>()
            .is_ok_and(|share| (0.0..=1.0).contains(&share))
        {
            return fail(format!("{share:?} is no share between 0 and 1"));
        }
        say(&format!("{name} with refusal_share {share}"));
        let file = folder.join(format!("{name}-{share}.toml"));
        fs::write(&file, with_share(&text, share))?;
        let directory = folder.join(format!("{name}-{share}"));
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        let mut command = fedseal();
        command
            .arg("run")
            .arg(&file)
            .arg("--out")
            .arg(&directory)
            .arg("--no-figures");
        run(&mut command)?;
        let report: Value = serde_json::from_slice(&fs::read(directory.join("report.json"))?)?;
        for arm in report
            .get("arms")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let id = arm.get("id").and_then(Value::as_str).unwrap_or("");
            for measure in ["safety", "helpfulness"] {
                let rate = arm
                    .get(measure)
                    .and_then(|m| m.get("rate"))
                    .and_then(Value::as_f64);
                if let Some(rate) = rate {
                    figures.push((format!("share.{share}.{id}.{measure}"), 100.0 * rate));
                }
            }
        }
    }
    readme::keep(
        &format!("sweep-{name}"),
        &format!("cargo xtask sweep {name}"),
        &figures,
        "%",
    )
}

/// The experiment with another share, and the two arms that show what it does.
fn with_share(text: &str, share: &str) -> String {
    let line = |line: &str| {
        if line.starts_with("refusal_share =") {
            format!("refusal_share = {share}")
        } else if line.starts_with("arms =") {
            "arms = [\"clean\", \"fedavg\"]".to_owned()
        } else {
            line.to_owned()
        }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::with_share;

    #[test]
    fn only_share_and_arms_change() {
        let text = "arms = [\"median\"]\n[federation]\nrefusal_share = 0.5\nrounds = 3\n";
        let wanted =
            "arms = [\"clean\", \"fedavg\"]\n[federation]\nrefusal_share = 0.1\nrounds = 3\n";
        assert_eq!(with_share(text, "0.1"), wanted);
    }
}
