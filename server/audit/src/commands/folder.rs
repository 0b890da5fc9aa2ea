//! A signed adapter or model folder (OpenSSF model signing).

use std::path::Path;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::keys::P256PublicKey;
use fedseal_client_sdk::oms::{self, ModelSignature};
use fedseal_client_sdk::outside;
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::output;

/// Checks a signed folder: `fedseal verify FOLDER --key FILE [--signature FILE]`.
pub fn verify(
    folder: &Path,
    key: Option<&Path>,
    signature: Option<&Path>,
    as_json: bool,
) -> Outcome {
    let Some(key) = key else {
        return Err(
            Failure::usage("whose signature of the folder is trusted is not said")
                .hint("Give the signer's public key, known from elsewhere: --key FILE.pem"),
        );
    };
    let file = match signature {
        Some(file) => file.to_owned(),
        None => folder.join(oms::SIGNATURE_FILE),
    };
    let most = oms::MAX_BYTES as u64;
    let bytes = match signature {
        Some(file) => outside::read_named(file, most),
        None => outside::read(folder, oms::SIGNATURE_FILE, most),
    };
    let bytes = bytes.map_err(|error| Failure::io(&file, &error))?;
    let fail = |error| Failure::new(format!("{}: {error}", folder.display()));
    let key = P256PublicKey::load(key)?;
    let verified = ModelSignature::from_bytes(&bytes)
        .and_then(|signature| signature.verify_at(&file, folder, &key))
        .map_err(fail)?;
    if as_json {
        let files: Vec<(&str, Digest)> = verified
            .files
            .iter()
            .map(|file| (file.name.as_str(), file.digest))
            .collect();
        output::json(&json!({
            "name": verified.name,
            "root": verified.root,
            "files": files,
            "key": key.fingerprint(),
        }));
        return Ok(());
    }
    output::line(format!(
        "{} holds: {} files, signed as {} under root {}",
        folder.display(),
        verified.files.len(),
        verified.name,
        verified.root.short()
    ));
    Ok(())
}
