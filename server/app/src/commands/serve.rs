//! `fedseal serve`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use fedseal_client_sdk::keys::{PublicKey, TrustStore};
use fedseal_federation::coordinator::books::Books;

use super::clients::Clients;
use super::federation;
use super::listening::Listening;
use crate::coordinate::{Machine, supervise};
use crate::decisions::Rule;
use crate::failure::{Failure, Outcome};
use crate::http::federations::Federations;
use crate::http::{self, Readers, Settings};
use crate::logs;
use crate::places::{self, Places};
use crate::registry::RegistryPlace;
use crate::{kept, keys, output, stop};

/// Where earlier versions kept the registry: below the folder of runs.
const EARLIER: &str = ".registry";

/// Serves the report pages and the HTTP interface over a folder of runs, or over one run. Nothing is
/// written into either, but for the runs of federations that it coordinates.
#[derive(Args)]
pub(crate) struct Serve {
    /// Folder of runs, or of one run; by default runs/ of the checkout, elsewhere fedseal/runs in the
    /// user's data folder.
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Folder of the submitted modules; by default registry in the folder of keys. Where an earlier
    /// version made .registry below the folder of runs, that one. Or postgres://USER@HOST/DATABASE: PostgreSQL
    /// keeps their rows then, and the usual folder their bytes; it needs the helper program fedseal-engines, and
    /// takes a password from PGPASSWORD or PGPASSFILE.
    #[arg(long, value_name = "DIR|URL")]
    registry: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8660")]
    addr: SocketAddr,
    /// Trust file with the keys whose modules are taken; by default trusted.toml in the folder of
    /// keys.
    #[arg(long, value_name = "FILE")]
    module_key: Option<PathBuf>,
    #[command(flatten)]
    listening: Listening,
    /// Name of this server, with its port where that is not the scheme's own; may be given again. Requests for
    /// other names are refused, but for addresses and localhost; signed requests need one of these, by default
    /// the address that it listens on, and localhost.
    #[arg(long, value_name = "HOST[:PORT]")]
    name: Vec<String>,
    /// Only who has the token in this file (its first line) may read; a browser takes it as the password. By
    /// default everybody who reaches the server may.
    #[arg(long, value_name = "FILE")]
    read_token_file: Option<PathBuf>,
    /// Which submitted modules are approved at once: those of every trusted author, those of the authors of
    /// --approve-signer, or none. Others wait for `fedseal module approve`.
    #[arg(long, value_name = "RULE", default_value = "trusted")]
    approve: Approve,
    /// Public key (hex) of an author whose modules are approved at once; may be given again.
    #[arg(long, value_name = "HEX", required_if_eq("approve", "signers"))]
    approve_signer: Vec<PublicKey>,
    /// Lines for programs that collect them on standard error, one for each request among them; by default only
    /// what people need is said.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<logs::Format>,
    /// Refuse submissions that are not signed by their sender (RFC 9421), beside the module's own signature.
    #[arg(long)]
    signed_requests: bool,
    /// Coordinate federations of data holders' nodes: execute those that `fedseal federation start` begins, each
    /// as a run of its name in the folder of runs. DIR has the books; by default federations in the folder
    /// of keys.
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    federations: Option<Option<PathBuf>>,
    /// Folder of signed modules for federations; by default as `fedseal run` has it.
    #[arg(long, value_name = "DIR", requires = "federations")]
    modules: Option<PathBuf>,
    /// Folder of fetched models for federations.
    #[arg(long, value_name = "DIR", requires = "federations")]
    models: Option<PathBuf>,
    /// Threads of the CPU device for federations; 0: all cores.
    #[arg(long, value_name = "N", requires = "federations")]
    threads: Option<usize>,
    /// Serve the pages from this folder instead of those built into this program.
    #[arg(long, value_name = "DIR")]
    web: Option<PathBuf>,
    #[command(flatten)]
    clients: Clients,
}

/// Rules by which a module is approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Approve {
    /// Every module that is taken.
    Trusted,
    /// Modules of some authors.
    Signers,
    /// None.
    Hand,
}

impl Serve {
    /// Serves until Ctrl-C.
    pub(crate) fn execute(self) -> Outcome {
        logs::set(self.log_format);
        self.listening.check(self.addr, "runs and modules")?;
        let rule = match self.approve {
            Approve::Trusted => Rule::Trusted,
            Approve::Signers => Rule::Signers(self.approve_signer.clone()),
            Approve::Hand => Rule::Hand,
        };
        let tls = self.listening.tls()?;
        let readers = match &self.read_token_file {
            Some(file) => Readers::of_file(file)?,
            None => Readers::default(),
        };
        let runs = match &self.runs {
            Some(given) => existing(given)?,
            // Runs appear there when the first one is made.
            None => Places::find().runs()?,
        };
        let registry = self.registry(&runs)?;
        let coordinating = self.coordinating(&registry)?;
        let runs_folder = runs.clone();
        let (trusted, file) = match self.module_key {
            Some(file) => (TrustStore::load(&file)?, file),
            None => {
                let home = places::home()?;
                (keys::trusted(&home)?, keys::trusted_path(&home))
            }
        };
        let (admin, token) = http::Admin::open(&registry.folder)?;
        let mut settings = Settings {
            admin,
            readers,
            rule,
            tls,
            names: self.name,
            signed: self.signed_requests,
            runs,
            // Before a federation goes on, which may ask for modules of it.
            registry: registry.make()?,
            trusted,
            trust_file: Some(file),
            web: self.web,
            verifier: Places::find().verifier(),
            limits: self.clients.limits(),
            compiled: kept::cache(&Places::find()),
            federations: None,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("the server could not start: {error}")))?;
        runtime.block_on(async {
            let listener = http::bind(self.addr).await?;
            let shown = listener.local_addr().unwrap_or(self.addr);
            if settings.names.is_empty() {
                settings.names = vec![shown.to_string(), format!("localhost:{}", shown.port())];
            }
            let coordinated = coordinating.map(|(books, key, machine)| {
                let federations = Federations::new(
                    books,
                    runs_folder,
                    key,
                    &settings.names,
                    settings.limits.requests_of_key,
                );
                let federations = Arc::new(federations);
                settings.federations = Some(federations.clone());
                let stop = Arc::new(AtomicBool::new(false));
                let stopping = stop.clone();
                let thread = std::thread::spawn(move || supervise(&federations, &machine, &stopping));
                (stop, thread)
            });
            let pages = http::pages(&settings);
            output::line(format!(
                "serving {} at {}://{shown}",
                settings.runs.display(),
                self.listening.scheme()
            ));
            output::line("Ctrl-C stops it");
            if let Some(token) = token {
                output::note(format_args!(
                    "fedseal: the administrator's token, shown this once: {token}"
                ));
            }
            if !settings.runs.exists() {
                output::line("no run is there yet; `fedseal run` makes one");
            }
            if !pages {
                output::note("fedseal: the report pages are not built in; `npm ci && npm run build` in web/, then build again");
            }
            http::serve(listener, settings, stop::signal()).await;
            if let Some((stop, thread)) = coordinated {
                stop.store(true, Ordering::SeqCst);
                // Each run ends where it can go on.
                let _ = thread.join();
            }
            Ok(())
        })
    }

    /// Books, key and places of a coordinator; none where this is none.
    fn coordinating(
        &self,
        registry: &RegistryPlace,
    ) -> Outcome<Option<(Books, PublicKey, Machine)>> {
        let Some(given) = &self.federations else {
            return Ok(None);
        };
        let (home, places) = (places::home()?, Places::find());
        let passphrase = keys::passphrase()?;
        let (books, key) = federation::coordinator(&home, passphrase.as_ref(), given.as_deref())?;
        let (modules, installed) = match &self.modules {
            Some(given) => (given.clone(), TrustStore::default()),
            None => (places.policies()?, places.installed_keys()?),
        };
        let machine = Machine {
            keys: home,
            passphrase,
            modules,
            installed,
            models: places.models_or(self.models.as_deref())?,
            registry: registry.clone(),
            compiled: places.compiled()?,
            threads: self.threads,
        };
        Ok(Some((books, key, machine)))
    }

    /// The registry; its folder is in no run, for a run's folder is evidence.
    fn registry(&self, runs: &Path) -> Outcome<RegistryPlace> {
        let place = RegistryPlace::or(self.registry.as_deref(), || usual(runs))?;
        match places::run_around(&place.folder) {
            None => Ok(place),
            Some(run) => Err(Failure::usage(format!(
                "{}: the registry cannot be in the run {}, which is evidence",
                place.folder.display(),
                run.display()
            ))
            .hint("--registry names another folder.")),
        }
    }
}

/// The folder of the registry where none is named.
fn usual(runs: &Path) -> Outcome<PathBuf> {
    let earlier = runs.join(EARLIER);
    let own = || -> Outcome<PathBuf> { Ok(places::registry(&places::home()?)) };
    if !earlier.is_dir() {
        return own();
    }
    if places::run_around(runs).is_none() {
        output::note(format!(
            "fedseal: submitted modules are kept in {}, where an earlier version began to; \
             --registry names another folder",
            earlier.display()
        ));
        return Ok(earlier);
    }
    output::note(format!(
        "fedseal: {} was left in the run by an earlier version, and `fedseal verify` \
         refuses the run for it; its modules are not lost: move it to another place and \
         name that with --registry",
        earlier.display()
    ));
    own()
}

/// The folder, which must be there: a mistyped one is not made.
fn existing(folder: &Path) -> Outcome<PathBuf> {
    let failure = match std::fs::metadata(folder) {
        Ok(meta) if meta.is_dir() => return Ok(folder.to_owned()),
        Ok(_) => Failure::usage(format!("{}: is no folder", folder.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Failure::usage(format!("{}: there is no such folder", folder.display()))
        }
        Err(error) => Failure::io(folder, &error),
    };
    Err(failure
        .hint("--runs names a folder of runs, or the folder of one run (it holds run.json)."))
}
