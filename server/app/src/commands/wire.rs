//! Addresses of other machines: what goes to them is encrypted, unless somebody asked for less.

use crate::failure::{Failure, Outcome};

/// Refuses plain HTTP to another machine, unless that was asked for. `what` could be read on its way.
pub(super) fn check(url: &str, insecure: bool, what: &str) -> Outcome {
    match in_the_open(url)? {
        Some(host) if !insecure => Err(Failure::usage(format!(
            "{host}: others could read {what} on their way"
        ))
        .hint(
            "Reach it over https:// or a tunnel (ssh -L, WireGuard); --insecure-http does without one.",
        )),
        _ => Ok(()),
    }
}

/// Refuses an address over which others on the network could read a secret.
pub(super) fn secret(url: &str, secret: &str) -> Outcome {
    match in_the_open(url)? {
        Some(_) => Err(
            Failure::usage(format!("{url}: others could read {secret} on its way")).hint(
                "Reach the server over https:// (fedseal serve --tls-cert, --tls-key) or a tunnel.",
            ),
        ),
        None => Ok(()),
    }
}

/// The other machine that an address of plain HTTP leads to; none of this machine's and of https.
fn in_the_open(url: &str) -> Outcome<Option<&str>> {
    if url.starts_with("https://") {
        return Ok(None);
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(Failure::usage(format!("{url}: it is no address"))
            .hint("It begins with https:// or http://."));
    };
    let host = rest.split('/').next().unwrap_or_default();
    Ok((!loopback(host)).then_some(host))
}

/// Whether a host, with or without a port, is this machine.
fn loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost"
        || name
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_to_this_machine_or_over_tls() {
        for here in [
            "http://127.0.0.1:8660",
            "http://localhost:8660/",
            "http://[::1]:8660",
            "http://127.0.0.9",
            "https://fed.example",
        ] {
            assert!(secret(here, "the token").is_ok(), "{here}");
        }
        for there in [
            "http://10.0.0.7:8660",
            "http://fed.example",
            "http://[2001:db8::1]:80",
            // Clients take a scheme in any case.
            "HTTP://10.0.0.7:8660",
            "fed.example",
        ] {
            assert!(secret(there, "the token").is_err(), "{there}");
        }
    }
}
