//! `fedseal doctor`

use std::path::Path;

use clap::Args;
use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_tuning::{DEVICES, kernels};
use serde::Serialize;

use super::shipped;
use crate::failure::{Failure, Outcome};
use crate::places::{self, Places};
use crate::{figures, http, keys, output};

/// Says what this machine has for fedseal: processor, devices with their self-check, keys, modules, models,
/// pages, disk. Fails where something is there that cannot be used.
#[derive(Args)]
pub(crate) struct Doctor {
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// State of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// It is there and can be used.
    Good,
    /// It is not there, and nothing that is there needs it.
    Absent,
    /// It is there and cannot be used.
    Bad,
}

/// One finding.
#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    state: State,
    found: String,
    /// Advice on what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

impl Finding {
    fn new(name: impl Into<String>, state: State, found: impl Into<String>) -> Finding {
        Finding {
            name: name.into(),
            state,
            found: found.into(),
            hint: None,
        }
    }

    fn good(name: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding::new(name, State::Good, found)
    }

    fn hint(self, hint: &'static str) -> Finding {
        Finding {
            hint: Some(hint),
            ..self
        }
    }
}

impl Doctor {
    /// Looks.
    pub(crate) fn execute(self) -> Outcome {
        let places = Places::find();
        let mut findings = machine();
        findings.extend(devices());
        findings.extend(key_files(&places::home()?));
        findings.extend(folders(&places)?);
        let bad = findings.iter().filter(|it| it.state == State::Bad).count();
        if self.json {
            output::json(&findings);
        } else {
            for finding in &findings {
                let mark = match finding.state {
                    State::Good => "ok",
                    State::Absent => "-",
                    State::Bad => "BAD",
                };
                output::line(format!("{mark:<4}{:<16}{}", finding.name, finding.found));
                if let Some(hint) = finding.hint {
                    output::line(format!("{:<20}{hint}", ""));
                }
            }
        }
        match bad {
            0 => Ok(()),
            bad => Err(Failure::new(format!(
                "{bad} of {} cannot be used",
                findings.len()
            ))),
        }
    }
}

fn machine() -> Vec<Finding> {
    let isa = kernels::isa();
    let integers = match kernels::gemm::compact::approx::available() {
        true => ", integer dot products",
        false => "",
    };
    let forced = std::env::var("FEDSEAL_KERNEL").ok();
    let kernel = match forced {
        Some(name) if name != isa.name() => {
            let found = format!("{} in use; FEDSEAL_KERNEL asks for {name:?}", isa.name());
            Finding::new("kernels", State::Bad, found)
                .hint("It names avx512, avx2 or portable, which this machine must have.")
        }
        _ => Finding::good("kernels", format!("{}{integers}", isa.name())),
    };
    let system = format!(
        "{} {}, fedseal {}",
        std::env::consts::OS,
        std::env::consts::ARCH,
        env!("CARGO_PKG_VERSION")
    );
    vec![
        Finding::good("program", system),
        Finding::good("machine", figures::machine()),
        kernel,
    ]
}

/// Every device by name: opening one other than the CPU checks its results against the CPU's.
fn devices() -> Vec<Finding> {
    let named = DEVICES.iter().filter(|name| **name != "auto");
    named
        .map(|name| match fedseal_tuning::device(name) {
            Ok(_) if *name == "cpu" => Finding::good("device cpu", "the reference"),
            Ok(_) => Finding::good(
                format!("device {name}"),
                "computes as the CPU does (self-check)",
            ),
            Err(error) => Finding::new(format!("device {name}"), State::Absent, error.to_string()),
        })
        .collect()
}

/// Keys in their folder. None has to be there: each is made when it is needed first.
fn key_files(home: &Path) -> Vec<Finding> {
    let mut findings = vec![Finding::good("keys", home.display().to_string())];
    for (name, path) in [
        ("author's key", keys::author_path(home)),
        ("node's key", home.join("node.pem")),
    ] {
        let absent = || {
            Finding::new(
                name,
                State::Absent,
                "none yet; it is made when it is needed",
            )
        };
        findings.push(match path.exists() {
            false => absent(),
            true => match SigningKey::is_encrypted(&path) {
                Ok(true) => Finding::good(name, "has a passphrase"),
                Ok(false) => match SigningKey::load(&path) {
                    Ok(key) => Finding::good(name, key.public().to_string()),
                    Err(error) => Finding::new(name, State::Bad, error.to_string()),
                },
                Err(error) => Finding::new(name, State::Bad, error.to_string()),
            },
        });
    }
    let file = keys::trusted_path(home);
    findings.push(match file.exists() {
        false => Finding::new(
            "trusted keys",
            State::Absent,
            "no trust file; `fedseal key` makes it",
        ),
        true => match TrustStore::load(&file) {
            Ok(store) => Finding::good(
                "trusted keys",
                format!("{}, {} revoked", store.keys.len(), store.revoked.len()),
            ),
            Err(error) => Finding::new("trusted keys", State::Bad, error.to_string()),
        },
    });
    findings
}

fn folders(places: &Places) -> Outcome<Vec<Finding>> {
    let shipped = shipped::names().join(", ");
    let mut findings = vec![Finding::good("experiments", shipped)];
    let policies = places.policies()?;
    let modules = count(&policies, |name| name.ends_with(".wasm"));
    findings.push(match modules {
        0 => Finding::new(
            "modules",
            State::Absent,
            format!("none in {}", policies.display()),
        )
        .hint("`cargo xtask build` in a checkout builds and signs them; packages have them."),
        n => Finding::good("modules", format!("{n} in {}", policies.display())),
    });
    let models = places.models()?;
    findings.push(match count(&models, |_| true) {
        0 => Finding::new("models", State::Absent, "the embedded one alone")
            .hint("`fedseal fetch smollm2` fetches a real one."),
        n => Finding::good(
            "models",
            format!("embedded, and {n} in {}", models.display()),
        ),
    });
    findings.push(match http::pages_built_in() {
        true => Finding::good("pages", "built in"),
        false => Finding::new("pages", State::Absent, "not built into this program")
            .hint("`npm ci && npm run build` in web/, then build again."),
    });
    let runs = places.runs()?;
    let number = count(&runs, |_| true);
    findings.push(Finding::good(
        "runs",
        format!("{number} in {}{}", runs.display(), free(&runs)),
    ));
    Ok(findings)
}

/// Entries of a folder whose name fits; none of a folder that is not there.
fn count(folder: &Path, fits: fn(&str) -> bool) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| !name.starts_with('.') && fits(name))
        .count()
}

/// ", 12.3 GiB free on its disk"; nothing where the system does not say.
fn free(folder: &Path) -> String {
    #[cfg(unix)]
    {
        let there = folder.ancestors().find(|part| part.is_dir());
        let disk = there.and_then(|part| rustix::fs::statvfs(part).ok());
        disk.map_or_else(String::new, |disk| {
            let bytes = disk.f_bavail as f64 * disk.f_frsize as f64;
            format!(", {:.1} GiB free on its disk", bytes / f64::from(1 << 30))
        })
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_there_have_to_be_usable() {
        let home = tempfile::tempdir().unwrap();
        let states =
            |findings: Vec<Finding>| -> Vec<State> { findings.iter().map(|it| it.state).collect() };
        use State::{Absent, Bad, Good};
        assert_eq!(
            states(key_files(home.path())),
            [Good, Absent, Absent, Absent]
        );
        SigningKey::load_or_create(home.path().join("node.pem")).unwrap();
        std::fs::write(home.path().join("author.pem"), "no key").unwrap();
        std::fs::write(home.path().join("trusted.toml"), "keys = 1").unwrap();
        assert_eq!(states(key_files(home.path())), [Good, Bad, Good, Bad]);
    }

    #[test]
    fn the_machine_and_its_reference_device_are_named() {
        let found = machine();
        assert!(found.iter().all(|it| !it.found.is_empty()));
        let devices = devices();
        let cpu = devices.iter().find(|it| it.name == "device cpu").unwrap();
        assert_eq!(cpu.state, State::Good);
        assert!(devices.iter().all(|it| it.name != "device auto"));
    }
}
