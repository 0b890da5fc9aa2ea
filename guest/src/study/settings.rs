//! Settings that a client attaches beside its pairs, for a policy that an experiment runs at several strengths.

use crate::{Error, Example, Host};

/// Begins the prompt of an attached example that is a setting; its name follows, its value is the response.
pub const SETTING: &str = "setting: ";

/// Value of an attached setting, the first of several.
pub fn setting<H: Host>(host: &mut H, name: &str) -> Option<String> {
    all(host, name).into_iter().next()
}

/// Values of every attached setting of this name, in their order.
pub fn all<H: Host>(host: &mut H, name: &str) -> Vec<String> {
    let attached = host.attachment().into_iter();
    let named = |pair: &Example| pair.prompt.strip_prefix(SETTING) == Some(name);
    attached.filter(named).map(|pair| pair.response).collect()
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

/// The attached pairs that are no settings; none where nothing else is attached.
pub fn attached<H: Host>(host: &mut H) -> Vec<Example> {
    let mut pairs = host.attachment();
    pairs.retain(|pair| !pair.prompt.starts_with(SETTING));
    pairs
}

/// The attached pairs that are no settings, which an attack cannot do without.
///
/// # Errors
/// No pair is attached.
pub fn pairs<H: Host>(host: &mut H) -> Result<Vec<Example>, Error> {
    let attached = attached(host);
    match attached.is_empty() {
        false => Ok(attached),
        true => Err(Error::Invalid("no pair is attached".into())),
    }
}
