//! SCAFFOLD's control variates as a guest's run takes them.

use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::ClientId;
use fedseal_ledger::Blobs;
use fedseal_record::controls::read;
use fedseal_record::read::read_adapter;
use fedseal_sandbox::Control;

use crate::Result;

/// Control variates by which `train-controlled` corrects in a client's run.
///
/// # Errors
/// A blob that is missing or damaged.
pub(crate) fn of(blobs: &Blobs, digest: Option<Digest>, client: &ClientId) -> Result<Control> {
    let Some(controls) = read(blobs, digest)? else {
        return Ok(Control::default());
    };
    let adapter = |digest: &Digest| read_adapter(blobs, digest).map(Arc::new);
    Ok(Control {
        server: Some(adapter(&controls.server)?),
        client: controls.clients.get(client).map(adapter).transpose()?,
    })
}
