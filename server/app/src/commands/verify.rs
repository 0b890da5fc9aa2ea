//! `fedseal verify RUN_DIR|BUNDLE|FOLDER`

use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_client_sdk::bundle::{self, Bundle, Trust};
use fedseal_client_sdk::keys::{Moment, Place, PublicKey, TrustStore};
use fedseal_client_sdk::oms;
use fedseal_client_sdk::tlog::{KeyKind, ProofFile, VerifierKey};
use fedseal_federation::rundir::{RunDir, now, rfc3339};
use fedseal_federation::verify;
use fedseal_ledger::LogReader;
use serde_json::json;

use super::{adapter, log};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Checks a run, a bundle about one update, or a signed adapter folder, from its files alone,
/// without a network and without a model.
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
    /// Print what was verified as JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Verifies; fails on the first bad item.
    pub fn execute(self) -> Outcome {
        if self.run.is_file() {
            self.bundle()
        } else if self.key.is_some() || self.run.join(oms::SIGNATURE_FILE).is_file() {
            adapter::verify(&self.run, self.key.as_deref(), self.json)
        } else {
            self.run()
        }
    }

    fn run(&self) -> Outcome {
        let report = verify::verify(&self.run)?;
        let dir = RunDir::new(&self.run);
        let plan = dir.read_plan()?;
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
            let log = LogReader::open(dir.log(), &plan.node)?;
            let key = VerifierKey::new(&plan.origin, KeyKind::Log, plan.node)?;
            cosignatures = log::policy(file)?
                .verify(log.note(), Some(&key))?
                .cosignatures;
        }
        if self.json {
            output::json(&report);
            return Ok(());
        }
        output::line(format!(
            "{} holds: {} log entries under root {}\n\
             {} updates (signatures, digests, transcripts, lineage), {} verdicts, {} aggregations \
             computed again,\n{} evaluations counted again, {} blobs hashed again",
            report.run,
            report.entries,
            report.root.short(),
            report.updates,
            report.verdicts,
            report.aggregations,
            report.evaluations,
            report.blobs,
        ));
        cosigned(&cosignatures);
        for old in &report.node_before {
            output::line(format!(
                "its node key follows {old} (rotated, signed by both)"
            ));
        }
        if self.node.is_none() {
            output::line(format!(
                "under node key {}, which the run itself names; compare it with the one you know",
                report.node
            ));
        }
        Ok(())
    }

    fn bundle(&self) -> Outcome {
        let path = &self.run;
        let length = std::fs::metadata(path).map_or(0, |meta| meta.len());
        if length > bundle::MAX_BYTES as u64 {
            return Err(Failure::usage(format!(
                "{}: larger than a bundle can be",
                path.display()
            )));
        }
        let bytes = std::fs::read(path).map_err(|error| Failure::io(path, &error))?;
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

/// The authors whose signatures stand for this bundle's log entry. The entry's place is believed
/// only together with the proof, which is verified right after this.
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
