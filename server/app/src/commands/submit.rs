//! `fedseal submit MODULE`

use std::path::PathBuf;

use clap::Args;
use fedseal_client_sdk::submit;

use super::administer::Authorities;
use crate::failure::{Failure, Outcome};
use crate::modules::Place;
use crate::{keys, modules, output};

/// Submits a module and its signature to a running server.
#[derive(Args)]
pub(crate) struct Submit {
    #[arg(help = modules::HELP)]
    module: Place,
    /// The server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8660")]
    server: String,
    /// The signature; by default MODULE.dsse.json beside the module.
    #[arg(long, value_name = "FILE")]
    envelope: Option<PathBuf>,
    /// Sign the request as well, with this author's key: a server may demand it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    authorities: Authorities,
}

impl Submit {
    /// Sends both and prints what was registered.
    pub(crate) fn execute(self) -> Outcome {
        self.authorities.take()?;
        let found = self.module.read()?;
        let envelope = match (self.envelope, found.envelopes.as_slice()) {
            (Some(path), _) => modules::envelope(&path)?,
            (None, [envelope]) => envelope.clone(),
            (None, []) => {
                return Err(Failure::usage(format!(
                    "{}: the module has no signature",
                    self.module
                ))
                .hint(format!("Sign it: fedseal policy sign {}", self.module)));
            }
            (None, several) => {
                return Err(Failure::usage(format!(
                    "{}: the module has {} signatures",
                    self.module,
                    several.len()
                ))
                .hint("Say which one: --envelope FILE"));
            }
        };
        let sender = self.key.as_deref().map(keys::load).transpose()?;
        let registered =
            submit::submit_module(&self.server, &found.bytes, &envelope, sender.as_ref())?;
        output::line(format!(
            "registered {} as {}, signed by key {}",
            registered.name, registered.digest, registered.signer
        ));
        Ok(())
    }
}
