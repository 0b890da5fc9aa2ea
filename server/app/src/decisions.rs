//! Decisions on the submitted modules of a registry, by rule or by hand. Each is a statement signed by the
//! registry's own key and names the one before it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fedseal_client_sdk::decision::{self, DecisionPredicate, Verdict};
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::{PublicKey, SigningKey};
use fedseal_engines::helper::Access;
use fedseal_ledger::Blobs;
use fedseal_record::rundir;
use fedseal_registry::{RegisteredDecision, Registry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};
use crate::registry::RegistryPlace;

/// The registry's key, in its folder; made at the first decision.
const KEY: &str = "decisions.pem";
/// Its public half, for whoever checks decisions elsewhere.
const PUBLIC: &str = "decisions.pub";

/// Which modules are approved when they are submitted. Others wait for the administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Every one that the server takes: its author is in the trust file.
    #[default]
    Trusted,
    /// Modules of these authors.
    Signers(Vec<PublicKey>),
    /// None.
    Hand,
}

impl Rule {
    /// The name of the rule that approves a module by this author.
    pub(crate) fn approves(&self, signer: &PublicKey) -> Option<&'static str> {
        match self {
            Rule::Trusted => Some("trusted"),
            Rule::Signers(signers) => signers.contains(signer).then_some("signers"),
            Rule::Hand => None,
        }
    }
}

/// The decisions of a registry.
#[derive(Clone, Debug)]
pub(crate) struct Decisions {
    folder: PathBuf,
    registry: Arc<Registry>,
    key: Arc<Mutex<Option<SigningKey>>>,
}

/// A decision whose statement verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    /// The module.
    pub(crate) module: Digest,
    /// The statement.
    pub(crate) predicate: DecisionPredicate,
    /// Digest of its envelope, a blob of the registry.
    pub(crate) envelope: Digest,
}

impl Decided {
    /// The decision in a line.
    pub(crate) fn line(&self) -> String {
        Decision::from(self.clone()).line()
    }
}

/// A decision on a module, as it is shown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ModuleDecision")]
pub(crate) struct Decision {
    /// The verdict.
    verdict: Verdict,
    /// Why.
    reason: Option<String>,
    /// The rule that decided; null where the administrator did.
    rule: Option<String>,
    /// When, RFC 3339, UTC.
    time: String,
    /// Digest of the signed statement's envelope.
    envelope: Digest,
}

impl From<Decided> for Decision {
    fn from(decided: Decided) -> Self {
        Decision {
            verdict: decided.predicate.verdict,
            reason: decided.predicate.reason,
            rule: decided.predicate.rule,
            time: decided.predicate.time,
            envelope: decided.envelope,
        }
    }
}

impl Decision {
    /// The decision in a line.
    pub(crate) fn line(&self) -> String {
        let by = match &self.rule {
            Some(rule) => format!("rule {rule}"),
            None => "the administrator".into(),
        };
        let why = match &self.reason {
            Some(why) => format!(": {why}"),
            None => String::new(),
        };
        format!("{} {} by {by}{why}", self.verdict.as_str(), self.time)
    }
}

impl Decisions {
    /// Decisions of the registry in a folder.
    pub(crate) fn new(folder: &Path, registry: Arc<Registry>) -> Self {
        Decisions {
            folder: folder.to_owned(),
            registry,
            key: Arc::default(),
        }
    }

    /// Decides on a module: by a rule, or by hand.
    ///
    /// # Errors
    /// A reason that is too long; files that cannot be written.
    pub(crate) fn decide(
        &self,
        module: &Digest,
        verdict: Verdict,
        reason: Option<&str>,
        rule: Option<&str>,
    ) -> Outcome<Decided> {
        let blobs = self.blobs()?;
        // Another process may decide at the same time: a statement names the one before it.
        loop {
            let key = self.key()?;
            let last = self.registry.last_decision().map_err(Failure::new)?;
            let previous = last.map(|last| last.envelope);
            let predicate = DecisionPredicate {
                verdict,
                reason: reason.map(str::to_owned),
                rule: rule.map(str::to_owned),
                time: rundir::now(),
                previous,
            };
            let signed = decision::sign(*module, &predicate, &key).map_err(|error| {
                Failure::usage(error).hint("Give a shorter reason, in one line.")
            })?;
            // Data first, then the row that names it.
            let decided = RegisteredDecision {
                module: *module,
                verdict,
                envelope: blobs.put(&signed.to_bytes())?,
            };
            let added = self.registry.add_decision(previous.as_ref(), &decided);
            if added.map_err(Failure::new)? {
                return Ok(Decided {
                    module: *module,
                    predicate,
                    envelope: decided.envelope,
                });
            }
        }
    }

    /// The last decision on a module.
    ///
    /// # Errors
    /// As [`Decisions::all`].
    pub(crate) fn last(&self, module: &Digest) -> Outcome<Option<Decided>> {
        let found = self.registry.verdict(module).map_err(Failure::new)?;
        found.map(|found| self.open(&found)).transpose()
    }

    /// All decisions, the first one first, held against each other: each is signed by the registry's key, says
    /// what its row says, and names the one before it.
    ///
    /// # Errors
    /// The first decision that does not.
    pub(crate) fn all(&self) -> Outcome<Vec<Decided>> {
        let mut all: Vec<Decided> = Vec::new();
        for row in self.registry.decisions().map_err(Failure::new)? {
            let decided = self.open(&row)?;
            if decided.predicate.previous != all.last().map(|last| last.envelope) {
                return Err(Failure::new(format!(
                    "decision {}: it does not follow the one before it; a decision was removed or put in",
                    row.envelope
                )));
            }
            all.push(decided);
        }
        Ok(all)
    }

    fn open(&self, row: &RegisteredDecision) -> Outcome<Decided> {
        let key = self.key()?.public();
        let envelope = Envelope::from_bytes(&self.blobs()?.get(&row.envelope)?)?;
        let (module, predicate) = decision::open(&envelope, &[key])?;
        if module != row.module || predicate.verdict != row.verdict {
            return Err(Failure::new(format!(
                "decision {}: the registry says {} of module {}, its statement {} of {module}",
                row.envelope,
                row.verdict.as_str(),
                row.module,
                predicate.verdict.as_str()
            )));
        }
        Ok(Decided {
            module,
            predicate,
            envelope: row.envelope,
        })
    }

    fn blobs(&self) -> Outcome<Blobs> {
        Ok(Blobs::open(self.folder.join("blobs"))?)
    }

    fn key(&self) -> Outcome<SigningKey> {
        let mut kept = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*kept {
            return Ok(key.clone());
        }
        let key = SigningKey::load_or_create(self.folder.join(KEY))?;
        let public = self.folder.join(PUBLIC);
        if !public.exists() {
            rundir::write_atomically(&public, format!("{}\n", key.public()).as_bytes())?;
        }
        *kept = Some(key.clone());
        Ok(key)
    }
}

/// A registry and its decisions, where there is one.
///
/// # Errors
/// A registry that cannot be read.
pub(crate) fn existing(
    place: &RegistryPlace,
    access: Access,
) -> Outcome<Option<(Arc<Registry>, Decisions)>> {
    let found = place.existing(access)?;
    Ok(found.map(|registry| {
        let decisions = Decisions::new(&place.folder, registry.clone());
        (registry, decisions)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decisions(folder: &Path) -> Decisions {
        let registry = Registry::open(folder.join("registry.sqlite")).unwrap();
        Decisions::new(folder, Arc::new(registry))
    }

    #[test]
    fn decisions_are_signed_and_follow_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let module = Digest::of(b"module");
        let made = decisions(dir.path());
        let first = made
            .decide(&module, Verdict::Approved, None, Some("trusted"))
            .unwrap();
        // Another process.
        let other = decisions(dir.path());
        let reason = Some("it leaks");
        let second = other
            .decide(&module, Verdict::Rejected, reason, None)
            .unwrap();
        assert_eq!(second.predicate.previous, Some(first.envelope));
        assert!(
            second.line().contains("by the administrator: it leaks"),
            "{}",
            second.line()
        );
        assert_eq!(made.last(&module).unwrap(), Some(second.clone()));
        assert_eq!(made.all().unwrap(), [first, second]);
        let long = "x".repeat(decision::MAX_REASON + 1);
        assert!(
            made.decide(&module, Verdict::Approved, Some(&long), None)
                .is_err()
        );

        // A statement of another key.
        let key = dir.path().join(KEY);
        std::fs::remove_file(&key).unwrap();
        assert!(decisions(dir.path()).all().is_err());
    }

    #[test]
    fn a_row_that_says_something_else_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let made = decisions(dir.path());
        let module = Digest::of(b"module");
        let first = made.decide(&module, Verdict::Rejected, None, None).unwrap();
        let forged = RegisteredDecision {
            module,
            verdict: Verdict::Approved,
            envelope: Blobs::open(dir.path().join("blobs"))
                .unwrap()
                .put(b"{}")
                .unwrap(),
        };
        assert!(
            made.registry
                .add_decision(Some(&first.envelope), &forged)
                .unwrap()
        );
        assert!(made.last(&module).is_err());
        assert!(made.all().is_err());
    }

    #[test]
    fn a_rule_approves_whom_it_names() {
        let (a, b) = (
            SigningKey::from_seed([1; 32]).public(),
            SigningKey::from_seed([2; 32]).public(),
        );
        assert_eq!(Rule::Trusted.approves(&a), Some("trusted"));
        assert_eq!(Rule::Signers(vec![a]).approves(&a), Some("signers"));
        assert_eq!(Rule::Signers(vec![a]).approves(&b), None);
        assert_eq!(Rule::Hand.approves(&a), None);
    }
}
