//! `fedseal policy compare`

use std::path::PathBuf;

use clap::Args;
use fedseal_client_sdk::dsse::Envelope;
use fedseal_client_sdk::keys::TrustStore;
use fedseal_client_sdk::module;
use fedseal_federation::panel::{self, Row, SignedModule};
use fedseal_federation::runner::{self, Options};
use serde_json::json;

use crate::commands::shipped;
use crate::failure::Outcome;
use crate::modules::{MAX_ENVELOPE, MAX_MODULE};
use crate::places::{self, Places};
use crate::{figures, files, keys, output};

/// Runs every policy alone against every check, and prints who is told apart by what.
#[derive(Args)]
pub(super) struct Compare {
    /// The experiment: model, data, training, checks; a file, or the name of a shipped one. By default
    /// policies.
    #[arg(long, value_name = "FILE")]
    experiment: Option<PathBuf>,
    /// Executions of each policy; the honest one gets four times as many.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// Folder of signed modules; by default those that the checkout built, elsewhere those that were
    /// installed with this program.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// Leave target/figures/policies.json as it is; outside a checkout it is not written.
    #[arg(long)]
    no_figures: bool,
}

impl Compare {
    /// Prints one line for each policy, as soon as it is done.
    pub(super) fn execute(self) -> Outcome {
        let places = Places::find();
        let named = self.experiment.unwrap_or_else(|| "policies".into());
        let experiment = shipped::load(&named, &places)?;
        let (modules, installed) = match self.modules {
            Some(given) => (given, TrustStore::default()),
            None => (places.policies()?, places.installed_keys()?),
        };
        let models = places.models()?;
        let options = Options {
            prompts: models.join("prompts"),
            models,
            files: shipped::folder(&named),
            ..Options::default()
        };
        let (lab, _) = runner::open_model(&experiment, &options)?;
        let data = runner::load_data(&experiment, &options)?;
        let mut authors = keys::trusted(&places::home()?)?;
        authors.take_in(&installed);
        let mut read = |name: &str| {
            let path = modules.join(format!("{name}.wasm"));
            let missing = |path: &std::path::Path| {
                fedseal_federation::Error::Missing {
                what: format!("module `{name}` ({})", path.display()),
                hint: "build and sign the modules with `cargo xtask build` or `fedseal policy build all`"
                    .into(),
            }
            };
            let signature = module::envelope_path(&path);
            Ok(SignedModule {
                bytes: files::read(&path, MAX_MODULE).map_err(|_| missing(&path))?,
                envelope: Envelope::from_json(
                    &files::read(&signature, MAX_ENVELOPE).map_err(|_| missing(&signature))?,
                )?,
            })
        };
        output::line(format!(
            "{:<22} {:>12} {:>12} {:>8}  refused by",
            "policy", "attestation", "behaviour", "length"
        ));
        let mut say = |row: &Row| output::line(line(row));
        let rows = panel::run(
            &experiment,
            data.as_ref(),
            &lab,
            &authors,
            self.runs,
            &mut read,
            &mut say,
        )?;
        let (Some(folder), Some(root), false) =
            (places.figures(), places.checkout(), self.no_figures)
        else {
            return Ok(());
        };
        let origin = figures::Origin::here(root);
        let figures: Vec<_> = rows
            .iter()
            .flat_map(|row| figures_of(row, &origin))
            .collect();
        figures::write(&folder, "policies", &figures)
    }
}

fn line(row: &Row) -> String {
    let share =
        |share: &fedseal_rules::evaluation::wilson::Share| format!("{} of {}", share.hits, share.n);
    let by: Vec<String> = row
        .by
        .iter()
        .map(|(name, hits)| format!("{name} {hits}"))
        .collect();
    let failed = match row.failed {
        0 => String::new(),
        failed => format!("  ({failed} without an update)"),
    };
    format!(
        "{:<22} {:>12} {:>12} {:>8.2}  {}{failed}",
        row.kind,
        share(&row.provenance),
        share(&row.behaviour),
        row.length,
        by.join(", ")
    )
}

/// Two shares with their intervals and the length; the first share names its checks.
fn figures_of(
    row: &Row,
    origin: &figures::Origin,
) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let name = |what: &str| format!("{}.{what}", row.kind);
    let mut provenance = origin.wilson(&name("attestation"), &row.provenance);
    let names: Vec<&str> = row.by.iter().map(|(name, _)| name.as_str()).collect();
    provenance.insert("by".into(), json!(names));
    vec![
        provenance,
        origin.wilson(&name("behaviour"), &row.behaviour),
        origin.figure(&name("length"), row.length, "of an honest update's"),
        origin.figure(&name("runs"), row.runs.into(), "runs"),
        origin.figure(&name("failed"), row.failed.into(), "runs"),
    ]
}
