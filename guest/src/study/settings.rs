//! Settings that a client attaches beside its pairs, for a policy that an experiment runs at several strengths.

use crate::{Error, Example, Host};

/// Begins the prompt of an attached example that is a setting; its name follows, its value is the response.
pub const SETTING: &str = "setting: ";

/// Value of an attached setting.
pub fn setting<H: Host>(host: &mut H, name: &str) -> Option<String> {
    let attached = host.attachment().into_iter();
    let named = |pair: &Example| pair.prompt.strip_prefix(SETTING) == Some(name);
    attached.filter(named).map(|pair| pair.response).next()
}

/// The number of an attached setting, `usual` where there is none.
///
/// # Errors
/// A value that is not a finite number.
pub fn number<H: Host>(host: &mut H, name: &str, usual: f64) -> Result<f64, Error> {
    let Some(text) = setting(host, name) else {
        return Ok(usual);
    };
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| Error::Invalid(format!("setting {name}: {text:?} is not a number")))
}

/// The attached pairs that are no settings.
///
/// # Errors
/// No pair is attached.
pub fn pairs<H: Host>(host: &mut H) -> Result<Vec<Example>, Error> {
    let mut attached = host.attachment();
    attached.retain(|pair| !pair.prompt.starts_with(SETTING));
    match attached.is_empty() {
        false => Ok(attached),
        true => Err(Error::Invalid("no pair is attached".into())),
    }
}
