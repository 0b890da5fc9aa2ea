//! Files that a training leaves: the adapter as PEFT reads it, a model card, and the record of how it was made.

use fedseal_record::rundir::write_atomically;
use fedseal_tuning::{Adapter, Model, TrainConfig, Trained};
use serde_json::json;

use super::folder::{Folder, RECORD};
use crate::commands::base::{self, hex};
use crate::commands::rows::FileRead;
use crate::failure::{Failure, Outcome};

/// A training that has ended.
pub(super) struct Ended<'a> {
    pub(super) model: &'a Model,
    /// Name of the model, as it was asked for.
    pub(super) name: &'a str,
    pub(super) start: &'a Adapter,
    pub(super) config: &'a TrainConfig,
    pub(super) files: &'a [FileRead],
    pub(super) trained: &'a Trained,
}

impl Ended<'_> {
    /// Writes the adapter, then the record: who finds the record finds a whole adapter.
    pub(super) fn write(&self, folder: &Folder) -> Outcome {
        let Self {
            model,
            name,
            start,
            config,
            files,
            trained,
        } = self;
        let adapter = &trained.adapter;
        let placed = base::place(adapter, name, None, folder.path())?;
        let provenance = [
            ("adapter, SHA-256", hex(&adapter.digest())),
            ("start, SHA-256", hex(&start.digest())),
            ("base", placed.clone()),
            ("base, SHA-256 of its tensors", hex(&model.digest())),
            ("engine", fedseal_tuning::fingerprint(model)),
            ("steps", trained.losses.len().to_string()),
        ];
        let check = format!(
            "`{RECORD}` has the training's options, data files and losses. On one engine the same command \
             gives the same adapter: `sha256sum adapter_model.safetensors` prints its digest. \
             `fedseal adapter sign DIR` signs the folder, `fedseal verify DIR --key KEY` checks that.\n"
        );
        let card = base::card("Adapter", &placed, adapter, &provenance, &check);
        let write = |name: &str, text: &str| {
            write_atomically(&folder.file(name), text.as_bytes()).map_err(Failure::new)
        };
        write(base::CARD, &card)?;
        let rendering = model.rendering();
        let record = json!({
            "model": { "name": name, "digest": hex(&model.digest()) },
            "template": {
                "name": model.template().name(), "args": rendering.args, "date": rendering.date,
            },
            "engine": fedseal_tuning::fingerprint(model),
            "start": hex(&start.digest()),
            "adapter": hex(&adapter.digest()),
            "training": config,
            "data": files,
            "tokens": trained.tokens,
            "losses": trained.losses,
        });
        write(RECORD, &format!("{record:#}\n"))
    }
}
