//! Submitted modules that an experiment names by their digests.

use std::collections::{BTreeMap, BTreeSet};

use fedseal_client_sdk::decision::Verdict;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_engines::helper::Access;
use fedseal_federation::runner::Submitted;
use fedseal_ledger::Blobs;
use fedseal_rules::experiment::{Experiment, ModulePlace};

use crate::decisions;
use crate::failure::{Failure, Outcome};
use crate::registry::RegistryPlace;

/// Reads them out of a registry. One that is not registered is missed by whoever needs it, by its client. One
/// that waits for a decision is taken: whoever named it in an experiment of their own has decided.
///
/// # Errors
/// A registry that cannot be read; a module that was rejected.
pub(crate) fn of(
    experiment: &Experiment,
    registry: &RegistryPlace,
) -> Outcome<BTreeMap<Digest, Submitted>> {
    let places = experiment.clients.iter().map(|client| client.module());
    let wanted: BTreeSet<Digest> = places
        .filter_map(|place| match place {
            ModulePlace::Submitted(digest) => Some(digest),
            _ => None,
        })
        .collect();
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let Some((modules, decisions)) = decisions::existing(registry, Access::Read)? else {
        return Ok(found);
    };
    let blobs = Blobs::existing(registry.folder.join("blobs"))?;
    for digest in wanted {
        if let Some(module) = modules.module(&digest).map_err(Failure::new)? {
            if let Some(last) = decisions.last(&digest)?
                && last.predicate.verdict == Verdict::Rejected
            {
                return Err(Failure::new(format!(
                    "module {} ({digest}) was {}",
                    module.name,
                    last.line()
                ))
                .hint("`fedseal module approve` takes that back; or name another module."));
            }
            let envelope = Envelope::from_bytes(&blobs.get(&module.envelope)?)?;
            let bytes = blobs.get(&digest)?;
            found.insert(digest, Submitted { bytes, envelope });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_client_sdk::keys::SigningKey;
    use fedseal_client_sdk::module::{self, ModulePredicate};
    use fedseal_registry::{RegisteredModule, Registry};

    #[test]
    fn a_submitted_module_is_found_by_its_digest_and_no_registry_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let author = SigningKey::from_seed([7; 32]);
        let bytes = b"module".to_vec();
        let envelope =
            module::sign(&bytes, &ModulePredicate::new("own", "0.1.0"), &author).unwrap();
        let digest = Digest::of(&bytes);
        let text = format!(
            "arms = [\"clean\"]\n[[clients]]\nname = \"a\"\nshard = \"a.jsonl\"\nmodule = \"{digest}\"\n"
        );
        let experiment = Experiment::parse(&text, "x.toml").unwrap();
        let folder = dir.path().join("registry");
        let place = RegistryPlace::from(folder.clone());
        assert!(of(&experiment, &place).unwrap().is_empty());
        assert!(!folder.exists());

        std::fs::create_dir(&folder).unwrap();
        let blobs = Blobs::open(folder.join("blobs")).unwrap();
        let registry = Registry::open(folder.join("registry.sqlite")).unwrap();
        registry
            .add_module(&RegisteredModule {
                digest: blobs.put(&bytes).unwrap(),
                name: "own".into(),
                signer: author.public(),
                envelope: blobs.put(&envelope.to_bytes()).unwrap(),
                created: "2026-01-02T03:04:05Z".into(),
            })
            .unwrap();
        let found = of(&experiment, &place).unwrap();
        assert_eq!(found[&digest], Submitted { bytes, envelope });

        let (_, decided) = decisions::existing(&place, Access::Write).unwrap().unwrap();
        let reason = Some("it leaks");
        decided
            .decide(&digest, Verdict::Rejected, reason, None)
            .unwrap();
        let refused = of(&experiment, &place).unwrap_err().to_string();
        assert!(
            refused.contains("rejected") && refused.contains("it leaks"),
            "{refused}"
        );
        decided
            .decide(&digest, Verdict::Approved, None, None)
            .unwrap();
        assert!(of(&experiment, &place).is_ok());
    }
}
