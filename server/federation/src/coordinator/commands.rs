//! Commands of the administrator, given on the coordinator's machine or over HTTP.

use std::collections::BTreeMap;
use std::time::Instant;

use fedseal_client_sdk::keys::PublicKey;

use super::books::Books;
use crate::Result;
use crate::protocol::{Command, Told};

/// Does what a command says. `coordinator` is the key of this machine, `seen` says when the nodes of a
/// federation asked last.
///
/// # Errors
/// [`crate::Error::Refused`] with the reason why it cannot be done.
pub fn perform(
    books: &Books,
    command: Command,
    coordinator: PublicKey,
    seen: &dyn Fn(&str) -> BTreeMap<PublicKey, Instant>,
) -> Result<Told> {
    let status = |name: &str| -> Result<Told> {
        Ok(Told::Federations(vec![books.status(name, &seen(name))?]))
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
                all.push(books.status(&name, &seen(&name))?);
            }
            Ok(Told::Federations(all))
        }
    }
}
