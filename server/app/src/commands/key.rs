//! `fedseal key new|show`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fedseal_client_sdk::keys::SigningKey;

use crate::failure::{Failure, Outcome};
use crate::{keys, output, places};

/// Makes or shows the key that signs modules on this machine.
#[derive(Args)]
pub struct Key {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a new key; an existing file is never overwritten.
    New {
        /// Where; by default author.pem in the folder of keys.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show the public half, its id, and the files.
    Show {
        /// Which; by default author.pem in the folder of keys.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

impl Key {
    /// Does it.
    pub fn execute(self) -> Outcome {
        let home = places::home()?;
        match self.action {
            Action::New { out } => {
                let path = out.unwrap_or_else(|| keys::author_path(&home));
                if path.exists() {
                    return Err(Failure::usage(format!(
                        "{}: a file is there already",
                        path.display()
                    ))
                    .hint("A key is never overwritten; --out names another file."));
                }
                let key = SigningKey::generate()?;
                key.save_new(&path)?;
                show(&path, &key);
            }
            Action::Show { key } => {
                let path = key.unwrap_or_else(|| keys::author_path(&home));
                if !path.exists() {
                    return Err(
                        Failure::usage(format!("{}: there is no key", path.display()))
                            .hint("Make one: fedseal key new"),
                    );
                }
                show(&path, &SigningKey::load(&path)?);
                output::line(format!("trusted  {}", keys::trusted_path(&home).display()));
            }
        }
        Ok(())
    }
}

fn show(path: &std::path::Path, key: &SigningKey) {
    let public = key.public();
    output::line(format!(
        "file     {}\npublic   {public}\nid       {}",
        path.display(),
        public.key_id()
    ));
}
