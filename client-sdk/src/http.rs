//! Settings of every HTTP client here: TLS by rustls, with the certificates that the system trusts.

use std::sync::OnceLock;

use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

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

/// The system's certificates, which `SSL_CERT_FILE` and `SSL_CERT_DIR` may name. A machine without any, such
/// as a small container, has Mozilla's; one whose certificates cannot be read trusts nobody.
fn roots() -> RootCerts {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
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
