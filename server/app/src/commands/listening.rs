//! Options shared by the commands that listen: TLS, or plain HTTP where that was asked for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::failure::{Failure, Outcome};
use crate::http::Tls;

/// How a server is reached.
#[derive(Args)]
pub(super) struct Listening {
    /// Certificate chain (PEM) for TLS, the server's own first. It is read again at SIGHUP; new files that do
    /// not fit together leave the old ones in use.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM, without a passphrase).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Listen at an address that other machines reach without encryption.
    #[arg(long, alias = "insecure-http", conflicts_with = "tls_cert")]
    plain_http: bool,
}

impl Listening {
    /// Refuses an address that others reach in the open, unless that was asked for; `what` they could read.
    pub(super) fn check(&self, address: SocketAddr, what: &str) -> Outcome {
        if address.ip().is_loopback() || self.tls_cert.is_some() || self.plain_http {
            return Ok(());
        }
        Err(Failure::usage(format!("{address}: others could read {what}")).hint(
            "Give it a certificate (--tls-cert FILE --tls-key FILE), or listen on 127.0.0.1 behind a TLS proxy \
             or a tunnel (ssh, WireGuard); --plain-http does without.",
        ))
    }

    /// Certificate and key, where they were given.
    pub(super) fn tls(&self) -> Outcome<Option<Arc<Tls>>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Tls::load(cert, key).map(Some),
            _ => Ok(None),
        }
    }

    /// Beginning of the server's address.
    pub(super) fn scheme(&self) -> &'static str {
        match self.tls_cert {
            Some(_) => "https",
            None => "http",
        }
    }
}
