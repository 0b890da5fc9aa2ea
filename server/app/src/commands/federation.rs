//! `fedseal federation create|invite|revoke|start|pause|resume|stop|status|list`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fedseal_client_sdk::keys::{Passphrase, PublicKey, SigningKey};
use fedseal_federation::coordinator::books::Books;
use fedseal_federation::coordinator::commands::perform;
use fedseal_federation::protocol::{ADMIN, Command, LATE, NodeStatus, SILENT, Status, Told};
use fedseal_rules::experiment::Experiment;
use fedseal_rules::lifecycle::Event;

use super::administer::Administer;
use super::shipped;
use crate::failure::{Failure, Outcome};
use crate::places;
use crate::{keys, output};

/// Runs federations of data holders' nodes: makes them, invites nodes, starts and stops rounds.
#[derive(Args)]
pub(crate) struct Federation {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a federation of a file with [federation.nodes]; nodes can enrol then.
    Create(Create),
    /// Make an invitation for one node. It is shown once.
    Invite(Invite),
    /// Give up a node's key, also while rounds go on: nothing that it signs counts from then on.
    Revoke(Revoke),
    /// Begin the rounds, once all nodes have enrolled.
    Start(Named),
    /// Pause the rounds; nodes keep what they have.
    Pause(Named),
    /// Go on after a pause or a failure.
    Resume(Named),
    /// End a federation before its last round, for good.
    Stop(Named),
    /// Tell of a federation: its state, its nodes, refused requests.
    Status(Named),
    /// Tell of all federations.
    List(Listed),
}

/// Place of the coordinator's books: a folder of this machine, or a server.
#[derive(Args)]
struct Where {
    /// State folder of the coordinator on this machine; by default federations in the folder of keys. A
    /// running `fedseal serve --federations` hears of changes.
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    state: Option<PathBuf>,
    #[command(flatten)]
    elsewhere: Administer,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Create {
    /// The federation's file: an experiment with `[federation.nodes]`, whose `[[clients]]` have no shards.
    file: PathBuf,
    /// Its name; by default the file's.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    at: Where,
}

#[derive(Args)]
struct Invite {
    /// The federation.
    name: String,
    /// The client that it is for; by default any place that is free.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    #[command(flatten)]
    at: Where,
}

#[derive(Args)]
struct Revoke {
    /// The federation.
    name: String,
    /// A client of the node.
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Why, in a line; it stands in the run's log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    at: Where,
}

#[derive(Args)]
struct Named {
    /// The federation.
    name: String,
    #[command(flatten)]
    at: Where,
}

#[derive(Args)]
struct Listed {
    #[command(flatten)]
    at: Where,
}

impl Federation {
    /// Gives the command and prints the answer.
    pub(crate) fn execute(self) -> Outcome {
        let event = |named: Named, event| {
            let name = named.name;
            (Command::Event { name, event }, named.at)
        };
        let (command, at) = match self.action {
            Action::Create(create) => create.command()?,
            Action::Invite(Invite { name, client, at }) => (Command::Invite { name, client }, at),
            Action::Revoke(Revoke {
                name,
                client,
                reason,
                at,
            }) => {
                let revoke = Command::Revoke {
                    name,
                    client,
                    reason,
                };
                (revoke, at)
            }
            Action::Start(named) => event(named, Event::Start),
            Action::Pause(named) => event(named, Event::Pause),
            Action::Resume(named) => event(named, Event::Resume),
            Action::Stop(named) => event(named, Event::Stop),
            Action::Status(Named { name, at }) => (Command::Status { name }, at),
            Action::List(Listed { at }) => (Command::List, at),
        };
        let told = at.give(command)?;
        if at.json {
            output::json(&told);
            return Ok(());
        }
        match told {
            Told::Invited(invitation) => output::line(invitation),
            Told::Federations(all) => {
                for status in &all {
                    output::line(text(status));
                }
            }
        }
        Ok(())
    }
}

impl Create {
    fn command(self) -> Outcome<(Command, Where)> {
        let experiment = Experiment::load(&self.file)?;
        // The file first: a name alone has no folder before it.
        let file =
            std::path::absolute(&self.file).map_err(|error| Failure::io(&self.file, &error))?;
        let folder = shipped::folder(&file);
        let stem = self.file.file_stem().unwrap_or_default();
        let name = self.name.unwrap_or_else(|| stem.to_string_lossy().into());
        let create = Command::Create {
            name,
            experiment: experiment.to_toml()?,
            // Another machine has another folder.
            files: (!self.at.elsewhere.is_given()).then(|| folder.to_string_lossy().into_owned()),
        };
        Ok((create, self.at))
    }
}

impl Where {
    /// Gives a command to the coordinator, wherever it is.
    fn give(&self, command: Command) -> Outcome<Told> {
        if self.elsewhere.is_given() {
            let body = serde_json::to_vec(&command).map_err(Failure::new)?;
            let answer = self.elsewhere.client()?.call("POST", ADMIN, Some(&body))?;
            return serde_json::from_slice(&answer)
                .map_err(|error| Failure::new(format!("the answer cannot be read: {error}")));
        }
        let passphrase = keys::passphrase()?;
        let (books, key) =
            coordinator(&places::home()?, passphrase.as_ref(), self.state.as_deref())?;
        // Rounds are executed by the server alone.
        let jobs = |_: &str| None;
        Ok(perform(&books, command, key, &jobs)?)
    }
}

/// Books and key of the coordinator on this machine, whose keys are in `home`; the books are in `state`, by
/// default next to the keys.
pub(super) fn coordinator(
    home: &Path,
    passphrase: Option<&Passphrase>,
    state: Option<&Path>,
) -> Outcome<(Books, PublicKey)> {
    let books = Books::open(state.map_or_else(|| home.join("federations"), Path::to_owned))?;
    let key = SigningKey::load_or_create_with(home.join("node.pem"), passphrase)?;
    Ok((books, key.public()))
}

/// A federation as text.
fn text(status: &Status) -> String {
    let Status {
        name,
        phase,
        places,
        rounds,
        nodes,
        ..
    } = status;
    let mut lines = vec![format!(
        "{name}: {phase}, {} of {places} clients enrolled, {rounds} rounds, coordinator's key {}",
        nodes.len(),
        status.coordinator
    )];
    lines.extend(nodes.iter().map(of_node));
    if !nodes.is_empty() {
        lines.push(format!(
            "  a node is late when it did not ask for {LATE} s, and silent after {SILENT} s; one that trains does not ask"
        ));
    }
    if !status.missing.is_empty() {
        lines.push(format!("  missing: {}", status.missing.join(", ")));
    }
    if !status.refused.is_empty() {
        let counts = status.refused.iter();
        let counts: Vec<String> = counts.map(|(what, n)| format!("{what} {n}")).collect();
        lines.push(format!("  refused requests: {}", counts.join(", ")));
    }
    if let Some(failure) = &status.failure {
        lines.push(format!("  failed: {failure}"));
    }
    lines.join("\n")
}

/// A node as a line of text.
fn of_node(node: &NodeStatus) -> String {
    let asked = match node.asked {
        Some(seconds) => format!("asked {seconds} s ago"),
        None => "never heard of".into(),
    };
    let contact = match &node.contact {
        Some(contact) => format!(
            " ({}, protocol {}, clock {})",
            contact.program,
            contact.protocol,
            clock(contact.ahead)
        ),
        None => String::new(),
    };
    let jobs = match node.jobs {
        Some(jobs) => format!(
            "; jobs: {} done, {} refused, {} late",
            jobs.done, jobs.refused, jobs.late
        ),
        None => String::new(),
    };
    let cosigned = match node.cosigned {
        Some(size) => format!("; cosigned {size} entries"),
        None => String::new(),
    };
    let revoked = match &node.revoked {
        Some(reason) => format!("; its key was revoked: {reason}"),
        None => String::new(),
    };
    format!(
        "  {}: {}, {asked}{contact}{jobs}{cosigned}; key {}, shard {} of {} examples{revoked}",
        node.client,
        node.health.as_str(),
        node.key.key_id(),
        node.shard.short(),
        node.examples
    )
}

/// A node's clock beside the coordinator's.
fn clock(ahead: i64) -> String {
    match ahead {
        0 => "equal".into(),
        1.. => format!("{ahead} s ahead"),
        _ => format!("{} s behind", ahead.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_client_sdk::digest::Digest;
    use fedseal_federation::protocol::{Contact, Health, Jobs};

    #[test]
    fn a_node_is_told_with_all_that_is_known_of_it() {
        let key = SigningKey::from_seed([1; 32]).public();
        let silent = NodeStatus {
            client: "north".into(),
            key,
            shard: Digest::of(b"shard"),
            examples: 8,
            enrolled: "2026-01-02T03:04:05Z".into(),
            health: Health::Silent,
            asked: None,
            contact: None,
            jobs: None,
            cosigned: None,
            revoked: None,
        };
        let text = of_node(&silent);
        let begins = format!("  north: silent, never heard of; key {}", key.key_id());
        assert!(text.starts_with(&begins), "{text}");
        let fresh = NodeStatus {
            health: Health::Fresh,
            asked: Some(3),
            contact: Some(Contact {
                protocol: 2,
                program: "fedseal/1.0".into(),
                ahead: -4,
            }),
            jobs: Some(Jobs {
                done: 12,
                refused: 1,
                late: 0,
            }),
            cosigned: Some(30),
            ..silent
        };
        let text = of_node(&fresh);
        let expected = "north: fresh, asked 3 s ago (fedseal/1.0, protocol 2, clock 4 s behind); \
            jobs: 12 done, 1 refused, 0 late; cosigned 30 entries";
        assert!(text.contains(expected), "{text}");
        assert_eq!([clock(0), clock(1)], ["equal", "1 s ahead"]);
    }
}
