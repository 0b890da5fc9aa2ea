//! `fedseal submit MODULE`

use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::{module, submit};

use crate::failure::{Failure, Outcome};
use crate::output;

/// Submits a module and its signature to a running server.
#[derive(Args)]
pub struct Submit {
    /// The Wasm component.
    module: PathBuf,
    /// The server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8660")]
    server: String,
    /// The signature; by default MODULE.dsse.json beside the module.
    #[arg(long, value_name = "FILE")]
    envelope: Option<PathBuf>,
}

impl Submit {
    /// Sends both and prints what was registered.
    pub fn execute(self) -> Outcome {
        let bytes = read(&self.module)?;
        let path = self
            .envelope
            .unwrap_or_else(|| module::envelope_path(&self.module));
        if !path.exists() {
            return Err(
                Failure::usage(format!("{}: the module has no signature", path.display())).hint(
                    format!("Sign it: fedseal policy sign {}", self.module.display()),
                ),
            );
        }
        let envelope = Envelope::from_json(&read(&path)?)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        let registered = submit::submit_module(&self.server, &bytes, &envelope)?;
        output::line(format!(
            "registered {} as {}, signed by key {}",
            registered.name,
            registered.digest,
            registered.signer.key_id()
        ));
        Ok(())
    }
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::usage(format!("{}: {error}", path.display())),
        _ => Failure::io(path, &error),
    })
}
