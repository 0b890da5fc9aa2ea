//! Commands of the administrator, given on the coordinator's machine or over HTTP.

use std::collections::BTreeMap;

use fedseal_client_sdk::keys::PublicKey;

use super::books::Books;
use crate::Result;
use crate::protocol::{Command, Jobs, Told};

/// Does what a command says. `coordinator` is the key of this machine, `jobs` says how the jobs of a federation's nodes
/// ended whose rounds are executed now.
///
/// # Errors
/// [`crate::Error::Refused`] with the reason why it cannot be done.
pub fn perform(
    books: &Books,
    command: Command,
    coordinator: PublicKey,
    jobs: &dyn Fn(&str) -> Option<BTreeMap<PublicKey, Jobs>>,
) -> Result<Told> {
    let status = |name: &str| -> Result<Told> {
        Ok(Told::Federations(vec![books.status(name, jobs(name))?]))
    };
    match command {
        Command::Create {
            name,
            experiment,
            files,
        } => {
            books.create(&name, &experiment, files, coordinator)?;
            status(&name)
        }
        Command::Invite { name, client } => {
            Ok(Told::Invited(books.invite(&name, client)?.to_string()))
        }
        Command::Revoke {
            name,
            client,
            reason,
        } => {
            books.revoke(&name, &client, &reason)?;
            status(&name)
        }
        Command::Event { name, event } => {
            books.event(&name, event, None)?;
            status(&name)
        }
        Command::Status { name } => status(&name),
        Command::List => {
            let mut all = Vec::new();
            for name in books.names()? {
                all.push(books.status(&name, jobs(&name))?);
            }
            Ok(Told::Federations(all))
        }
    }
}
