//! `fedseal serve`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use fedseal_client_sdk::keys::TrustStore;

use crate::failure::{Failure, Outcome};
use crate::http::{self, Settings};
use crate::places::{self, Places};
use crate::{keys, output, stop};

/// Serves the report pages and the HTTP interface over a folder of runs.
#[derive(Args)]
pub struct Serve {
    /// Folder of runs; by default runs/ of the checkout.
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8660")]
    addr: SocketAddr,
    /// Trust file with the keys whose modules are taken; by default trusted.toml in the folder of
    /// keys.
    #[arg(long, value_name = "FILE")]
    module_key: Option<PathBuf>,
    /// Serve the pages from this folder instead of those built into this program.
    #[arg(long, value_name = "DIR")]
    web: Option<PathBuf>,
}

impl Serve {
    /// Serves until Ctrl-C.
    pub fn execute(self) -> Outcome {
        let places = Places::find();
        let runs = self.runs.unwrap_or_else(|| places.runs());
        std::fs::create_dir_all(&runs).map_err(|error| Failure::io(&runs, &error))?;
        let (trusted, file) = match self.module_key {
            Some(file) => (TrustStore::load(&file)?, file),
            None => {
                let home = places::home()?;
                (keys::trusted(&home)?, keys::trusted_path(&home))
            }
        };
        let settings = Settings {
            runs,
            trusted,
            trust_file: Some(file),
            web: self.web,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("the server could not start: {error}")))?;
        runtime.block_on(async {
            let listener = http::bind(self.addr).await?;
            let shown = listener.local_addr().unwrap_or(self.addr);
            let pages = http::pages(&settings);
            output::line(format!("serving {} at http://{shown}", settings.runs.display()));
            output::line("Ctrl-C stops it");
            if !pages {
                output::note("fedseal: the report pages are not built in; `npm ci && npm run build` in web/, then build again");
            }
            http::serve(listener, settings, stop::signal()).await
        })
    }
}
