//! `fedseal verify RUN_DIR|BUNDLE|FOLDER`

use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_client_sdk::bundle::{self, Bundle, Trust};
use fedseal_client_sdk::keys::{Moment, Place, PublicKey, TrustStore};
use fedseal_client_sdk::oms;
use fedseal_client_sdk::tlog::{KeyKind, ProofFile, VerifierKey};
use fedseal_record::opened::Pinned;
use fedseal_record::rundir::{now, rfc3339};
use fedseal_record::verify::{self, VerifyReport};
use fedseal_rules::aggregation::device;
use fedseal_rules::formulas::Others;
use serde::Serialize;
use serde_json::json;

use super::{folder, log};
use crate::failure::{Failure, Outcome};
use crate::{files, output};

/// Checks a run, a bundle about one update, or a signed adapter folder, from its files alone, without a
/// network. No model is needed.
#[derive(Args)]
pub struct Verify {
    /// The run's folder, a bundle's file, or a folder with a model.sig.
    run: PathBuf,
    /// The node's public key (hex), known from elsewhere. A bundle needs it; a run names its own,
    /// which is then compared with this.
    #[arg(long, value_name = "HEX")]
    node: Option<PublicKey>,
    /// A trusted author's public key (hex); may be given several times.
    #[arg(long, value_name = "HEX")]
    author: Vec<PublicKey>,
    /// Trust file with the authors' keys, their expiry and revocations.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Witnesses that must have cosigned the log's checkpoint (C2SP tlog-policy).
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The public key (P-256, PEM) of whoever signed the adapter folder.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["node", "author", "trust", "policy"])]
    key: Option<PathBuf>,
    /// The signature of the adapter folder, in the folder or outside it; by default model.sig in it.
    #[arg(long, value_name = "FILE", requires = "key")]
    signature: Option<PathBuf>,
    /// Take the node's word for results of formulas of which this program has another version than the
    /// run; without it they are listed, and the run does not count as verified.
    #[arg(long, conflicts_with = "key")]
    other_versions: bool,
    /// Print what was verified as JSON.
    #[arg(long)]
    json: bool,
}

/// Output of `--json` about a run.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a VerifyReport,
    /// Properties that were not checked, in words, each with the option or command that checks it.
    not_checked: Vec<String>,
    /// Findings of measuring again.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured_again: Option<serde_json::Value>,
}

/// Findings of somebody who has the model and measured the run again.
pub struct Again {
    /// For `--json`.
    pub shown: serde_json::Value,
    /// For people.
    pub lines: Vec<String>,
    /// Why the run does not hold, or could not be compared; none when all is equal.
    pub failure: Option<Failure>,
}

/// Measures the run in a folder again. A program with the engine has one.
pub type Measure<'a> = &'a mut dyn FnMut(&Path) -> Outcome<Again>;

impl Verify {
    /// Verifies; fails on the first bad item.
    pub fn execute(self) -> Outcome {
        self.execute_with(None)
    }

    /// As [`Verify::execute`]; a run that holds is measured again, too.
    pub fn execute_with(self, measure: Option<Measure<'_>>) -> Outcome {
        let there = |name: &str| self.run.join(name).symlink_metadata().is_ok();
        let is_run = !self.run.is_file() && self.key.is_none();
        if measure.is_some() && !is_run {
            return Err(Failure::usage(format!(
                "{}: only a run's folder can be measured again",
                self.run.display()
            )));
        }
        if self.run.is_file() {
            self.bundle()
        } else if self.key.is_some() || (there(oms::SIGNATURE_FILE) && !there("run.json")) {
            let signature = self.signature.as_deref();
            folder::verify(&self.run, self.key.as_deref(), signature, self.json)
        } else {
            self.run(measure)
        }
    }

    fn run(&self, measure: Option<Measure<'_>>) -> Outcome {
        let report = verify::verify(&self.run)?;
        let Pinned { plan, log, .. } = Pinned::read(&self.run)?;
        if let Some(node) = self.node
            && node != plan.node
            && !report.node_before.contains(&node)
        {
            return Err(Failure::new(format!(
                "the run is signed by node {}, not by {node}",
                plan.node
            )));
        }
        if let Some(store) = self.authors()? {
            verify::authors(&self.run, &store)?;
        }
        let mut cosignatures = Vec::new();
        if let Some(file) = &self.policy {
            let key = VerifierKey::new(&plan.origin, KeyKind::Log, plan.node)?;
            cosignatures = log::policy(file)?
                .verify(log.note(), Some(&key))?
                .cosignatures;
        }
        let not_checked = self.not_checked(plan.node, &report.not_computed, measure.is_some());
        let again = || measure.map(|measure| measure(&self.run)).transpose();
        if self.json {
            let again = again()?;
            output::json(&Shown {
                report: &report,
                not_checked,
                measured_again: again.as_ref().map(|again| again.shown.clone()),
            });
            if let Some(failure) = again.and_then(|again| again.failure) {
                return Err(failure);
            }
            return taken(&report.not_computed, self.other_versions);
        }
        let holds = match report.not_computed.is_empty() {
            true => "holds",
            false => "holds as far as it was computed again",
        };
        output::line(format!(
            "{} {holds}: {} log entries under root {}\n\
             {} updates (signatures, digests, transcripts, lineage), {} verdicts, {} aggregations \
             computed again,\n{} evaluations counted again, {} blobs hashed again",
            report.run,
            report.entries,
            report.root,
            report.updates,
            report.verdicts,
            report.aggregations,
            report.evaluations,
            report.blobs,
        ));
        if report.on_device > 0 {
            output::line(format!(
                "{} of the aggregations are a device's, within {:e} of the rule's own",
                report.on_device,
                device::BOUND
            ));
        }
        if report.attested > 0 {
            output::line(format!(
                "{} of the updates rest on the word of the node that has their data",
                report.attested
            ));
        }
        if report.absent > 0 {
            output::line(format!(
                "{} updates were not delivered in time, by the coordinator's word",
                report.absent
            ));
        }
        cosigned(&cosignatures);
        for old in &report.node_before {
            output::line(format!(
                "its node key follows {old} (rotated, signed by both)"
            ));
        }
        let again = again()?;
        for line in again.iter().flat_map(|again| &again.lines) {
            output::line(line);
        }
        output::line(format!("not checked: {}", not_checked.join("; ")));
        if let Some(failure) = again.and_then(|again| again.failure) {
            return Err(failure);
        }
        taken(&report.not_computed, self.other_versions)
    }

    /// Properties that a verified run may still lack, each with the option or command that checks it.
    fn not_checked(&self, node: PublicKey, not_computed: &Others, measured: bool) -> Vec<String> {
        let mut left = Vec::new();
        if self.node.is_none() {
            left.push(format!(
                "whose node it is: key {node} is the folder's own word (--node HEX compares it with \
                 the one you know)"
            ));
        }
        if self.author.is_empty() && self.trust.is_none() {
            left.push(
                "whose modules they are: the authors' keys are the folder's own word (--author HEX, \
                 --trust FILE)"
                    .into(),
            );
        }
        if self.policy.is_none() {
            left.push(
                "that the node shows everybody this history: no witness was asked for (--policy FILE)"
                    .into(),
            );
        }
        left.push(match measured {
            true => "that modules and data give these updates: they were not executed again (fedseal \
                 replay)"
                .into(),
            false => "that modules and data give these updates, and adapters these answers: they were \
                 not executed again (fedseal replay, fedseal verify --model), so canaries' numbers and \
                 verdicts by behaviour are the node's word"
                .into(),
        });
        let others = not_computed.iter();
        left.extend(others.map(|other| format!("{other}, so it was not computed again")));
        left
    }

    fn bundle(&self) -> Outcome {
        let path = &self.run;
        let bytes = files::read(path, bundle::MAX_BYTES)?;
        let bundle = Bundle::from_bytes(&bytes)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let missing = |what: &str, hint: &str| {
            Err(Failure::usage(format!("whose {what} is trusted is not said")).hint(hint))
        };
        let Some(node) = self.node else {
            return missing(
                "node's word",
                "Give the node's public key, known from elsewhere: --node HEX",
            );
        };
        let Some(store) = self.authors()? else {
            return missing(
                "module",
                "Give the authors' public keys: --author HEX, or --trust FILE",
            );
        };
        let policy = self.policy.as_deref().map(log::policy).transpose()?;
        let authors = trusted_at_entry(&store, &bundle, node, path)?;
        let verified = bundle.verify(&Trust {
            node,
            authors: &authors,
            origin: None,
            policy: policy.as_ref(),
        })?;
        let predicate = &verified.update.predicate;
        let mut not_checked = vec![
            "that module and data give this update: it was not executed again, and they are not in a \
             bundle",
        ];
        if self.policy.is_none() {
            not_checked.push(
                "that the node shows everybody this history: no witness was asked for (--policy FILE)",
            );
        }
        if self.json {
            output::json(&json!({
                "update": verified.update.digest,
                "client": predicate.client,
                "round": predicate.round,
                "node": verified.node,
                "module": verified.module.digest,
                "module_name": verified.module.predicate.name,
                "author": verified.module.signer,
                "log": verified.checkpoint.origin,
                "entry": verified.index,
                "size": verified.checkpoint.size,
                "root": verified.checkpoint.root,
                "cosignatures": verified.cosignatures,
                "not_checked": not_checked,
            }));
            return Ok(());
        }
        output::line(format!(
            "{} holds: update {} of {} in round {}\n\
             made by module {} ({}), signed by {}\n\
             entry {} of {} in log {}",
            path.display(),
            verified.update.digest.short(),
            predicate.client,
            predicate.round,
            verified.module.predicate.name,
            verified.module.digest.short(),
            store.name_of(&verified.module.signer).unwrap_or("author"),
            verified.index,
            verified.checkpoint.size,
            verified.checkpoint.origin,
        ));
        if verified.node != node {
            output::line(format!(
                "its node key is {}, which follows {node} (rotated, signed by both)",
                verified.node
            ));
        }
        cosigned(&verified.cosignatures);
        output::line(format!("not checked: {}", not_checked.join("; ")));
        Ok(())
    }

    /// The authors that were given; none when none were.
    fn authors(&self) -> Outcome<Option<TrustStore>> {
        let mut store = match &self.trust {
            Some(file) => TrustStore::load(file)?,
            None if self.author.is_empty() => return Ok(None),
            None => TrustStore::default(),
        };
        for key in &self.author {
            if !store.contains(key) {
                store.add("author", *key);
            }
        }
        Ok(Some(store))
    }
}

/// The authors whose signatures count for this bundle's log entry. The entry's place is trusted only
/// together with the proof, which is verified right after this.
fn trusted_at_entry(
    store: &TrustStore,
    bundle: &Bundle,
    node: PublicKey,
    path: &Path,
) -> Outcome<Vec<PublicKey>> {
    let proof = ProofFile::parse(&bundle.proof)?;
    let origin = fedseal_client_sdk::tlog::Checkpoint::parse(&proof.checkpoint)?.origin;
    let time = now();
    let keys = store.keys_at(&Moment {
        time: &time,
        entry: Some(Place {
            origin: &origin,
            key: &bundle.signer(node)?,
            entry: proof.index,
        }),
    });
    if keys.is_empty() {
        return Err(Failure::new(format!(
            "{}: every author's key that was given is expired or revoked",
            path.display()
        )));
    }
    Ok(keys)
}

fn cosigned(cosignatures: &[(String, u64)]) {
    for (witness, at) in cosignatures {
        output::line(format!("cosigned by {witness} at {}", rfc3339(*at)));
    }
}

/// Fails where results were not computed again, unless the node's word for them is taken: a node that
/// names a version of its own would get past every check by it.
fn taken(not_computed: &Others, taken: bool) -> Outcome {
    let Some(other) = not_computed.iter().next().filter(|_| !taken) else {
        return Ok(());
    };
    let count = not_computed.iter().count();
    let failure = Failure::new(format!(
        "{count} formulas have another version here, so their results were not computed again: {other}"
    ));
    Err(failure.hint(
        "Verify with the program that has these versions; --other-versions takes the node's word.",
    ))
}

#[cfg(test)]
mod tests {
    use fedseal_client_sdk::keys::SigningKey;
    use fedseal_rules::experiment::Experiment;
    use fedseal_rules::formulas::Versions;

    use super::*;

    #[test]
    fn formulas_of_another_version_are_listed_as_not_checked() {
        let asked = Verify {
            run: "run".into(),
            node: None,
            author: Vec::new(),
            trust: None,
            policy: None,
            key: None,
            signature: None,
            other_versions: false,
            json: true,
        };
        let node = SigningKey::from_seed([1; 32]).public();
        let said = |here: &Versions| {
            let experiment = Experiment::default();
            let others = here.others(&experiment, &[], &Versions::default()).unwrap();
            asked.not_checked(node, &others, false)
        };
        let here = Versions::here();
        let (same, other) = (said(&here), said(&here.with("rule median", 2)));
        assert_eq!(other.len(), same.len() + 1);
        assert_eq!(
            other.last().unwrap(),
            "made under version 1 of rule median; this program has version 2, so it was not computed again"
        );
    }

    #[test]
    fn a_run_of_another_version_is_verified_only_on_the_node_s_word() {
        let here = Versions::here();
        let experiment = Experiment::default();
        let of = |here: &Versions| here.others(&experiment, &[], &Versions::default()).unwrap();
        assert!(taken(&of(&here), false).is_ok());
        let others = of(&here.with("rule median", 2));
        assert!(taken(&others, true).is_ok());
        let failure = taken(&others, false).unwrap_err().to_string();
        assert!(failure.contains("version 1 of rule median"), "{failure}");
        assert!(!failure.contains("tampered"), "{failure}");
    }
}
