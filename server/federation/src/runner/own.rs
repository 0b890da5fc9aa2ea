//! Members of a run whose experiment has clients of its own: their modules and their shards.

use std::collections::BTreeMap;

use fedseal_client_sdk::canonical;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::{SigningKey, TrustStore};
use fedseal_client_sdk::oci::{self, Access, Reference, Store};
use fedseal_ledger::{Blobs, MAX_BLOB};
use fedseal_tuning::Example;

use super::members::HINT;
use super::signed::Signed;
use super::{Options, Submitted};
use crate::own::{self, How};
use crate::{Error, Result};
use fedseal_record::rundir::{Assignment, Plan, PlannedClient, PlannedModule};
use fedseal_rules::attack::{BENIGN, DISHONEST};
use fedseal_rules::experiment::{
    ClientConfig, Experiment, MOST_EXAMPLES, ModulePlace, read_site_text,
};

/// Verifies the modules of the experiment's clients, reads their shards, and stores both.
///
/// # Errors
/// The first client whose module or shard cannot be had, by its name.
pub(super) fn members(
    experiment: &Experiment,
    options: &Options,
    authors: &TrustStore,
    blobs: &Blobs,
) -> Result<(Vec<PlannedModule>, Vec<PlannedClient>)> {
    let mut modules: Vec<PlannedModule> = Vec::new();
    let mut known: BTreeMap<&str, Digest> = BTreeMap::new();
    for client in &experiment.clients {
        if known.contains_key(client.module.as_str()) {
            continue;
        }
        let place = place(client, options);
        let signed = found(client, options)?;
        let planned = signed.register(&place, authors, blobs)?;
        named(client, &planned, &modules, &place)?;
        known.insert(&client.module, planned.digest);
        // One module may stand in two places.
        if modules.iter().all(|other| other.digest != planned.digest) {
            modules.push(planned);
        }
    }
    let mut left = MOST_EXAMPLES;
    // Clients may have the same files: these are read and stored once.
    let mut stored: BTreeMap<Vec<String>, (Digest, u32)> = BTreeMap::new();
    let mut clients = Vec::new();
    for client in &experiment.clients {
        let module = known.get(client.module.as_str()).copied();
        let module =
            module.ok_or_else(|| Error::unknown("module", &client.module, known.keys()))?;
        if experiment.federation.nodes.is_some() {
            clients.push(node(client, module, options)?);
            continue;
        }
        let mut store = |files: &[String]| -> Result<(Digest, u32)> {
            // They count for each client. Where there is no room for them, reading says so.
            if let Some(found) = stored.get(files).copied()
                && let Some(rest) = left.checked_sub(found.1 as usize)
            {
                left = rest;
                return Ok(found);
            }
            let how = How::of(&experiment.data);
            let found = own::pairs(&options.files, files, how, &mut left)
                .and_then(|examples| put(blobs, &examples))
                .map_err(|error| own::about(&format!("client {}", client.name), error))?;
            stored.insert(files.to_vec(), found);
            Ok(found)
        };
        let (shard, examples) = store(&client.shard)?;
        let attachment = match client.attachment.is_empty() {
            true => None,
            false => Some(store(&client.attachment)?.0),
        };
        let assignment = Assignment {
            module,
            shard,
            examples,
            attachment,
        };
        clients.push(PlannedClient {
            client: client.name.clone().into(),
            // It names the client and signs nothing: one process executes for all of them.
            key: SigningKey::generate()?.public(),
            kind: kind(client),
            honest: assignment.clone(),
            attacked: assignment,
            arms: BTreeMap::new(),
            absent: !client.honest,
            node: false,
            site: None,
        });
    }
    Ok((modules, clients))
}

/// A client that is a node, as it enrolled.
fn node(client: &ClientConfig, module: Digest, options: &Options) -> Result<PlannedClient> {
    let enrolled = options.enrolled.get(&client.name);
    let enrolled = enrolled.ok_or_else(|| Error::Missing {
        what: format!("node of client {}", client.name),
        hint: "clients of [federation.nodes] enrol in a federation: fedseal federation create"
            .into(),
    })?;
    let site = read_site_text(&enrolled.site, &format!("rules of {}", client.name))?;
    let assignment = Assignment {
        module,
        shard: enrolled.shard,
        examples: enrolled.examples,
        attachment: None,
    };
    Ok(PlannedClient {
        client: client.name.clone().into(),
        key: enrolled.key,
        kind: kind(client),
        honest: assignment.clone(),
        attacked: assignment,
        arms: BTreeMap::new(),
        absent: !client.honest,
        node: true,
        site: Some(site.written_out()),
    })
}

/// Kind of a client: the experimenter's knowledge.
fn kind(client: &ClientConfig) -> String {
    match client.honest {
        true => BENIGN.to_owned(),
        false => DISHONEST.to_owned(),
    }
}

/// Refuses a module that was signed under another name than the one that it was asked for by, or that it
/// has in another place: a run knows a module by one name.
fn named(
    client: &ClientConfig,
    planned: &PlannedModule,
    others: &[PlannedModule],
    place: &str,
) -> Result<()> {
    let mut same = others.iter().filter(|other| other.digest == planned.digest);
    let asked = match client.module() {
        ModulePlace::Name(name) => Some(name),
        _ => None,
    };
    let before = same.next().map(|other| other.name.as_str());
    let mut names = asked.into_iter().chain(before);
    match names.find(|name| *name != planned.name) {
        Some(name) => {
            let problem = format!("is signed under the name `{}`, not `{name}`", planned.name);
            Err(Error::tampered(place, problem))
        }
        None => Ok(()),
    }
}

/// Stores the examples of a shard or an attachment, which are one blob.
fn put(blobs: &Blobs, examples: &[Example]) -> Result<(Digest, u32)> {
    let bytes = canonical::to_vec(examples)?;
    if bytes.len() as u64 > MAX_BLOB {
        let problem = format!(
            "its shard has {} bytes, at most {MAX_BLOB} are stored",
            bytes.len()
        );
        return Err(Error::Data(problem.into()));
    }
    let digest = blobs.put(&bytes)?;
    Ok((digest, u32::try_from(examples.len()).unwrap_or(u32::MAX)))
}

/// Where a client's module is, for people.
fn place(client: &ClientConfig, options: &Options) -> String {
    match client.module() {
        ModulePlace::Name(name) => {
            let file = options.modules.join(format!("{name}.wasm"));
            file.display().to_string()
        }
        ModulePlace::File(file) => options.files.join(file).display().to_string(),
        ModulePlace::Submitted(_) | ModulePlace::Layout(_) => client.module.clone(),
    }
}

/// A client's module, not yet verified.
fn found(client: &ClientConfig, options: &Options) -> Result<Signed> {
    let hint = |advice: &str| format!("client {} names it; {advice}", client.name);
    match client.module() {
        ModulePlace::Name(name) => {
            let file = options.modules.join(format!("{name}.wasm"));
            Signed::read(&file, name, &hint(HINT))
        }
        ModulePlace::File(file) => {
            let advice = "the component and its signature (FILE.dsse.json) belong there, relative to the \
                          experiment file; `fedseal policy build` makes both";
            Signed::read(&options.files.join(file), file, &hint(advice))
        }
        ModulePlace::Submitted(digest) => match options.submitted.get(&digest) {
            Some(Submitted { bytes, envelope }) => Ok(Signed {
                bytes: bytes.clone(),
                envelopes: vec![envelope.clone()],
            }),
            None => Err(Error::Missing {
                what: format!("module {digest}"),
                hint: hint("hand it in to a server of the same registry: fedseal submit MODULE"),
            }),
        },
        ModulePlace::Layout(word) => {
            let mut reference = Reference::parse(word)?;
            if let Store::Folder(folder) = &mut reference.store {
                *folder = options.files.join(&*folder);
            }
            let pulled = oci::pull(&reference, &Access::of_user())?;
            Ok(Signed {
                bytes: pulled.module,
                envelopes: pulled.envelopes,
            })
        }
    }
}

/// Refuses other own data than the run was begun with: the experiment names the same files.
pub(super) fn same_data(plan: &Plan, found: &BTreeMap<String, Digest>) -> Result<()> {
    let none = Digest::of(b"");
    for (key, pinned) in &plan.data {
        let found = found.get(key).unwrap_or(&none);
        if found != pinned {
            return Err(Error::mismatch(
                format!("files of data.{key}"),
                "are not those that the run was begun with",
                pinned,
                found,
            ));
        }
    }
    Ok(())
}
