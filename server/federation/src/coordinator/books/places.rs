//! Places of a federation: who may take one, and whether all are taken. Functions over its state alone.

use std::collections::{BTreeMap, BTreeSet};

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::PublicKey;

use super::state::{Change, Federation, Joined};
use crate::options::Enrolled as Member;
use crate::protocol::{Enrol, MOST_SHARDS, MOST_SITE, OLDEST, VERSION};
use crate::{Error, Result};
use fedseal_record::rundir::now;
use fedseal_rules::experiment::{Experiment, MAX_SHARD, is_client_name, read_site_text};
use fedseal_rules::lifecycle::Phase;
use fedseal_rules::site::SiteRules;

pub(super) fn refused(what: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Refused {
        what: what.into(),
        hint: hint.into(),
    }
}

/// Refuses a node where none enrols any more.
pub(super) fn open_for_nodes(federation: &Federation) -> Result<()> {
    match federation.phase {
        Phase::Enrolling => Ok(()),
        phase => Err(refused(
            format!(
                "federation {} is {phase}: nobody enrols now",
                federation.name
            ),
            "nodes enrol before the first round",
        )),
    }
}

/// Refuses a client that has no place, or whose place is taken.
pub(super) fn place(experiment: &Experiment, federation: &Federation, client: &str) -> Result<()> {
    if !is_client_name(client) {
        return Err(refused(
            format!("{client:?} cannot be a client's name"),
            "letters, digits, `.`, `_` and `-`, a letter or digit first, 64 at most",
        ));
    }
    if federation.members.contains_key(client) {
        return Err(refused(
            format!("the place of {client} is taken"),
            "another node enrolled under this name",
        ));
    }
    let open = experiment.clients.is_empty();
    let named = experiment.clients.iter().any(|it| it.name == client);
    let free = federation.members.len() < experiment.federation.clients;
    match named || (open && free) {
        true => Ok(()),
        false => Err(refused(
            format!("federation {} has no place for {client}", federation.name),
            "its file names the clients, or how many there are",
        )),
    }
}

/// Names of clients of the file that nobody has enrolled as.
pub(super) fn missing(experiment: &Experiment, federation: &Federation) -> Vec<String> {
    let clients = experiment.clients.iter().map(|client| &client.name);
    clients
        .filter(|name| !federation.members.contains_key(*name))
        .cloned()
        .collect()
}

/// Refuses to start without all nodes.
pub(super) fn whole(experiment: &Experiment, federation: &Federation) -> Result<()> {
    let (there, places) = (federation.members.len(), experiment.federation.clients);
    if there == places {
        return Ok(());
    }
    let names = missing(experiment, federation);
    let hint = match names.is_empty() {
        true => "invite more: fedseal federation invite NAME".to_owned(),
        false => format!("missing: {}", names.join(", ")),
    };
    Err(refused(
        format!("{there} of {places} clients have enrolled"),
        hint,
    ))
}

/// Takes a node in: the change that does. None where it was in already, by the same request.
pub(super) fn admit(
    experiment: &Experiment,
    federation: &Federation,
    key: PublicKey,
    request: &Enrol,
) -> Result<Option<Change>> {
    if !(OLDEST..=VERSION).contains(&request.protocol) {
        return Err(refused(
            format!(
                "the node speaks version {} of the protocol",
                request.protocol
            ),
            format!("this coordinator speaks versions {OLDEST} to {VERSION}"),
        ));
    }
    if request.shards.is_empty() || request.shards.len() > MOST_SHARDS {
        return Err(refused(
            format!("the node brings {} shards", request.shards.len()),
            format!("1 to {MOST_SHARDS}"),
        ));
    }
    let member = |shard: &crate::protocol::Brought| Member {
        key,
        shard: shard.shard,
        examples: shard.examples,
        site: request.site.clone(),
    };
    let again = request.shards.iter().all(|shard| {
        let known = federation.members.get(&shard.name);
        known.is_some_and(|joined| joined.member == member(shard))
    });
    if again {
        return Ok(None);
    }
    open_for_nodes(federation)?;
    if key == federation.coordinator {
        return Err(refused(
            "the node has the coordinator's key",
            "a data holder has a key of its own: fedseal node --key FILE",
        ));
    }
    rules(&request.site)?;
    let hash = Digest::of(request.secret.as_bytes());
    let Some(invited) = federation.invitations.iter().find(|it| it.hash == hash) else {
        return Err(refused(
            "nobody made this invitation",
            "ask whoever runs the federation: fedseal federation invite NAME",
        ));
    };
    if invited.used.is_some() {
        return Err(refused(
            "the invitation was used already",
            "it lets one node in, once; ask for another",
        ));
    }
    let names: BTreeSet<&String> = request.shards.iter().map(|shard| &shard.name).collect();
    if names.len() != request.shards.len() {
        return Err(refused(
            "the node brings two shards of one name",
            "each client has one shard, of several files where need be",
        ));
    }
    if let Some(client) = &invited.client
        && names != BTreeSet::from([client])
    {
        return Err(refused(
            format!("the invitation is for {client} alone"),
            format!("bring its shard: --shard {client}=FILE"),
        ));
    }
    let mut members = BTreeMap::new();
    for shard in &request.shards {
        place(experiment, federation, &shard.name)?;
        if !(1..=MAX_SHARD as u64).contains(&u64::from(shard.examples)) {
            return Err(refused(
                format!(
                    "the shard of {} has {} examples",
                    shard.name, shard.examples
                ),
                format!("1 to {MAX_SHARD}"),
            ));
        }
        let joined = Joined {
            member: member(shard),
            since: now(),
            revoked: None,
        };
        members.insert(shard.name.clone(), joined);
    }
    let places = experiment.federation.clients;
    if federation.members.len() + members.len() > places {
        return Err(refused(
            format!(
                "the node brings more clients than federation {} has places for",
                federation.name
            ),
            format!(
                "{places} in all, of which {} are taken",
                federation.members.len()
            ),
        ));
    }
    Ok(Some(Change::Enrolled {
        invitation: hash,
        members,
    }))
}

/// The rules of a site, in which signers are keys: a coordinator could give any key a name.
fn rules(text: &str) -> Result<SiteRules> {
    if text.len() > MOST_SITE {
        return Err(refused(
            format!("the site's rules have {} bytes", text.len()),
            format!("at most {MOST_SITE}"),
        ));
    }
    let rules = read_site_text(text, "rules of the site")?;
    let mut signers = rules.allow.iter().flat_map(|rule| &rule.signers);
    match signers.find(|signer| signer.parse::<PublicKey>().is_err()) {
        None => Ok(rules),
        Some(name) => Err(refused(
            format!("the site's rules name signer {name:?}"),
            "a node sends keys in place of names",
        )),
    }
}
