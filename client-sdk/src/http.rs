//! Settings of every HTTP client here (feature `http`): TLS by rustls, with the certificates that the system
//! trusts, or those that [`trust`] names.

use std::sync::OnceLock;
use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;

use crate::bounded::short;
use crate::error::Source;
use crate::{Error, Result};

/// Characters of a refusal that are kept.
const SHOWN: usize = 500;

/// Authorities that [`trust`] named.
static NAMED: OnceLock<RootCerts> = OnceLock::new();

/// Takes these certificate authorities (PEM) in place of the system's, for every later call of this process.
///
/// # Errors
/// [`Error::Invalid`] for a text without a certificate, and where authorities were named before.
pub fn trust(pem: &[u8]) -> Result<()> {
    let bad = |detail: String| Error::Invalid {
        what: "certificate authorities",
        detail,
    };
    let mut certs = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(cert) = item.map_err(|e| bad(e.to_string()))? {
            certs.push(cert);
        }
    }
    if certs.is_empty() {
        return Err(bad("there is no certificate in PEM".into()));
    }
    NAMED
        .set(RootCerts::from(certs))
        .map_err(|_| bad("others were named before".into()))
}

/// A client for requests to this address, with the settings of every client here. A call ends after `longest`.
pub fn agent(url: &str, longest: Duration) -> ureq::Agent {
    config(url).timeout_global(Some(longest)).build().into()
}

/// Calls an address with these header fields and a body with its media type; gives status and body of a
/// success, at most `most` bytes.
///
/// # Errors
/// [`Error::Http`] when the server does not answer; [`Error::Refused`] for any status from 400 on.
pub(crate) fn call(
    agent: &ureq::Agent,
    method: &str,
    url: &str,
    fields: &[(&str, String)],
    body: Option<(&str, &[u8])>,
    most: u64,
) -> Result<(u16, Vec<u8>)> {
    let transport = |detail: Source| Error::Http {
        url: url.to_owned(),
        detail,
    };
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some((kind, _)) = body {
        request = request.header("content-type", kind);
    }
    for (name, value) in fields {
        request = request.header(*name, value);
    }
    let answer = match body {
        Some((_, bytes)) => agent.run(request.body(bytes).map_err(|e| transport(e.into()))?),
        None => agent.run(request.body(()).map_err(|e| transport(e.into()))?),
    };
    let mut answer = answer.map_err(|e| transport(e.into()))?;
    let status = answer.status().as_u16();
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(most)
        .read_to_vec()
        .map_err(|e| transport(e.into()))?;
    if status < 400 {
        return Ok((status, bytes));
    }
    let text = String::from_utf8_lossy(&bytes);
    let problem: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let member = |name: &str| problem[name].as_str().map(|text| short(text, SHOWN));
    Err(Error::Refused {
        url: url.to_owned(),
        status,
        error: member("error").unwrap_or_else(|| short(&text, SHOWN)),
        what: member("what").unwrap_or_default(),
        hint: member("hint"),
    })
}

/// Settings for requests to this address. A refusal is an answer with a reason, not a transport error.
pub(crate) fn config(url: &str) -> ConfigBuilder<AgentScope> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("fedseal/", env!("CARGO_PKG_VERSION")));
    if !url.starts_with("https:") {
        return config;
    }
    config.tls_config(TlsConfig::builder().root_certs(roots()).build())
}

/// Certificates that [`trust`] named, else the system's certificates, which `SSL_CERT_FILE` and `SSL_CERT_DIR` may
/// name. A machine without any, such as a small container, has Mozilla's; one whose certificates cannot be
/// read trusts nobody.
fn roots() -> RootCerts {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
    if let Some(named) = NAMED.get() {
        return named.clone();
    }
    let roots = ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() && found.errors.is_empty() {
            return RootCerts::WebPki;
        }
        let certs = found.certs.iter();
        RootCerts::from(certs.map(|der| Certificate::from_der(der).to_owned()))
    });
    roots.clone()
}
