//! Addresses of other machines: what goes to them is encrypted, unless somebody asked for less.

use super::administer::loopback;
use crate::failure::{Failure, Outcome};

/// Refuses plain HTTP to another machine, unless that was asked for. `what` could be read on its way.
pub(super) fn check(url: &str, insecure: bool, what: &str) -> Outcome {
    if url.starts_with("https://") {
        return Ok(());
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(Failure::usage(format!("{url}: it is no address"))
            .hint("It begins with https:// or http://."));
    };
    let host = rest.split('/').next().unwrap_or_default();
    if loopback(host) || insecure {
        return Ok(());
    }
    Err(
        Failure::usage(format!("{host}: others could read {what} on their way")).hint(
            "Reach it over https:// or a tunnel (ssh -L, WireGuard); --insecure-http does without one.",
        ),
    )
}
