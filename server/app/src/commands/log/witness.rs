//! `fedseal log witness`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use fedseal_client_sdk::keys::SigningKey;
use fedseal_client_sdk::tlog::{KeyKind, VerifierKey};

use crate::commands::clients::Clients;
use crate::failure::{Failure, Outcome};
use crate::http::{self, witness};
use crate::{keys, output, stop};

/// Serves a witness (C2SP tlog-witness): it cosigns a checkpoint of a known log when that continues
/// the one it cosigned last, and remembers it before it answers.
#[derive(Args)]
pub(super) struct Witness {
    /// Folder of what it remembers. Never take a copy or an older state of it into use.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Make the folder and the key: for a new witness only.
    #[arg(long)]
    init: bool,
    /// The witness's name: a URL without scheme, for example witness.example/w1.
    #[arg(long)]
    name: String,
    /// Its private key; by default witness.pem in the folder.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A log to cosign: its verifier key ORIGIN+HASH+KEY; may be given several times.
    #[arg(long, value_name = "VKEY")]
    log: Vec<VerifierKey>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8661")]
    addr: SocketAddr,
    #[command(flatten)]
    clients: Clients,
}

impl Witness {
    /// Serves until Ctrl-C.
    pub(super) fn execute(self) -> Outcome {
        let path = self.key.unwrap_or_else(|| self.state.join("witness.pem"));
        if self.init {
            fedseal_ledger::Witness::init(&self.state)?;
            if !path.exists() {
                SigningKey::generate()?.save_new(&path)?;
            }
        }
        let key = keys::load(&path)?;
        if let Some(log) = self.log.iter().find(|log| log.kind != KeyKind::Log) {
            return Err(Failure::usage(format!(
                "{log}: a witness's key, not a log's"
            )));
        }
        let known = self.log.len();
        let state = fedseal_ledger::Witness::open(&self.state, &self.name, key, self.log).map_err(
            |error| {
                Failure::from(error).hint(format!(
                    "A new witness begins with --init; its memory is {}.",
                    self.state.display()
                ))
            },
        )?;
        output::line(format!("witness {}", state.verifier_key()));
        if known == 0 {
            output::note("fedseal: no --log was given, so every checkpoint is refused");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("the server could not start: {error}")))?;
        runtime.block_on(async {
            let listener = http::bind(self.addr).await?;
            let shown = listener.local_addr().unwrap_or(self.addr);
            output::line(format!("cosigning {known} logs at http://{shown}"));
            witness::serve(listener, state, &self.clients.limits(), stop::signal()).await;
            Ok(())
        })
    }
}
