//! `fedseal module`: the submitted modules of a registry, and decisions on them.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use fedseal_client_sdk::decision::Verdict;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_engines::helper::Access;
use fedseal_registry::Registry;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::administer::Administer;
use crate::decisions::{self, Decision, Decisions};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::registry::RegistryPlace;

/// Fewest digits by which a module may be named.
const SHORTEST: usize = 8;
/// Modules of a part of a server's list.
const PART: usize = 500;

/// Lists, approves or rejects submitted modules: in a folder, or at a running server.
#[derive(Args)]
pub(crate) struct Module {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the submitted modules, each with the last decision on it.
    List(List),
    /// Let a module be executed.
    Approve(Decide),
    /// Let a module not be executed any more; updates that it made stay what they are.
    Reject(Decide),
}

/// Where the modules are.
#[derive(Args)]
struct Where {
    /// Folder of the submitted modules, by default registry in the folder of keys; or postgres://USER@HOST/DATABASE
    /// where PostgreSQL has their rows. While a server works on that one, --server alone decides.
    #[arg(long, value_name = "DIR|URL", conflicts_with = "server")]
    registry: Option<PathBuf>,
    #[command(flatten)]
    administer: Administer,
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    place: Where,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Decide {
    /// The module's digest, or its first digits, 8 at least.
    #[arg(value_name = "DIGEST")]
    module: String,
    /// Why, in a line; it is part of the signed decision.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    place: Where,
}

/// A module, as a server shows it too.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    digest: Digest,
    name: String,
    signer: PublicKey,
    created: String,
    decision: Option<Decision>,
}

impl Module {
    /// Does it.
    pub(crate) fn execute(self) -> Outcome {
        match self.action {
            Action::List(list) => list.execute(),
            Action::Approve(decide) => decide.execute(Verdict::Approved),
            Action::Reject(decide) => decide.execute(Verdict::Rejected),
        }
    }
}

impl Where {
    /// The registry of this machine.
    fn local(&self, access: Access) -> Outcome<(Arc<Registry>, Decisions)> {
        let place = RegistryPlace::of(self.registry.as_deref())?;
        decisions::existing(&place, access)?.ok_or_else(|| {
            let folder = place.folder.display();
            Failure::usage(format!("{folder}: there is no registry here")).hint(
                "--registry names the folder, --server URL a running server; `fedseal serve` makes one.",
            )
        })
    }

    fn modules(&self) -> Outcome<Vec<Shown>> {
        if !self.administer.is_given() {
            let (registry, decisions) = self.local(Access::Read)?;
            // All of them, so that one that was taken out is missed.
            let decided = decisions.all()?;
            let last = |module: &Digest| decided.iter().rev().find(|it| it.module == *module);
            let modules = registry.modules().map_err(Failure::new)?;
            let shown = modules.into_iter().map(|module| Shown {
                decision: last(&module.digest).cloned().map(Decision::from),
                digest: module.digest,
                name: module.name,
                signer: module.signer,
                created: module.created,
            });
            return Ok(shown.collect());
        }
        let client = self.administer.client()?;
        let mut all: Vec<Shown> = Vec::new();
        loop {
            let path = format!("/api/modules?from={}&count={PART}", all.len());
            let part: Vec<Shown> = serde_json::from_slice(&client.call("GET", &path, None)?)
                .map_err(|error| Failure::new(format!("the server's list: {error}")))?;
            let last = part.len() < PART;
            all.extend(part);
            if last {
                return Ok(all);
            }
        }
    }
}

impl List {
    fn execute(self) -> Outcome {
        let modules = self.place.modules()?;
        if self.json {
            output::json(&modules);
            return Ok(());
        }
        if modules.is_empty() {
            output::line("no module was submitted yet");
        }
        for module in modules {
            output::line(format!(
                "{}  {}  by {}, {}",
                module.digest,
                module.name,
                module.signer.key_id().0,
                module.created
            ));
            output::line(match module.decision {
                None => "    waits for a decision".to_owned(),
                Some(last) => format!("    {}", last.line()),
            });
        }
        Ok(())
    }
}

impl Decide {
    fn execute(self, verdict: Verdict) -> Outcome {
        let modules = self.place.modules()?;
        let module = named(&modules, &self.module)?;
        if self.place.administer.is_given() {
            let path = format!("/api/modules/{}/decision", module.digest);
            let body = json!({"verdict": verdict, "reason": self.reason}).to_string();
            let client = self.place.administer.client()?;
            client.call("POST", &path, Some(body.as_bytes()))?;
        } else {
            let (_, decisions) = self.place.local(Access::Write)?;
            decisions.decide(&module.digest, verdict, self.reason.as_deref(), None)?;
        }
        output::line(format!(
            "{} {} {}",
            verdict.as_str(),
            module.name,
            module.digest
        ));
        Ok(())
    }
}

/// The one module whose digest begins like this.
fn named<'a>(modules: &'a [Shown], text: &str) -> Outcome<&'a Shown> {
    if text.len() < SHORTEST {
        return Err(
            Failure::usage(format!("{text}: fewer than {SHORTEST} digits of a digest"))
                .hint("`fedseal module list` shows the digests."),
        );
    }
    let mut found = modules
        .iter()
        .filter(|module| module.digest.to_string().starts_with(text));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("{text}: several modules begin so"))
                .hint("Give more digits."))
        }
        (None, _) => Err(
            Failure::usage(format!("{text}: no such module was submitted"))
                .hint("`fedseal module list` shows those that were."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_client_sdk::keys::SigningKey;

    #[test]
    fn a_module_is_named_by_enough_digits() {
        let modules: Vec<Shown> = [b"a", b"b"]
            .iter()
            .map(|bytes| Shown {
                digest: Digest::of(*bytes),
                name: "m".into(),
                signer: SigningKey::from_seed([1; 32]).public(),
                created: "2026-01-02T03:04:05Z".into(),
                decision: None,
            })
            .collect();
        let digest = Digest::of(b"a").to_string();
        for text in [&digest[..], &digest[..8]] {
            assert_eq!(named(&modules, text).unwrap().digest, Digest::of(b"a"));
        }
        assert!(named(&modules, &digest[..7]).is_err());
        assert!(named(&modules, "00000000").is_err());
        let twice = [&modules[..1], &modules[..1]].map(|part| Shown {
            digest: part[0].digest,
            name: "m".into(),
            signer: part[0].signer,
            created: String::new(),
            decision: None,
        });
        assert!(
            named(&twice, &digest)
                .unwrap_err()
                .to_string()
                .contains("several")
        );
    }
}
