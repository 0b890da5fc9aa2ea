//! TLS by rustls: a certificate chain and its key, read again when the operator asks for that. Files that do not
//! fit together leave the old ones in use.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::failure::{Failure, Outcome};
use crate::files;
#[cfg(unix)]
use crate::logs::{self, Level};

/// Longest file of a certificate chain or of a key, bytes.
const MAX_FILE: usize = 1 << 20;

/// Whether a request came over TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secure(pub(super) bool);

/// The certificate chain and key of a server, and the files that they come from.
#[derive(Debug)]
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads a certificate chain, the server's own first, and its key; both PEM.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else; a key of another certificate.
    pub(crate) fn load(cert: &Path, key: &Path) -> Outcome<Arc<Tls>> {
        let current = config(cert, key)?;
        Ok(Arc::new(Tls {
            cert: cert.to_owned(),
            key: key.to_owned(),
            current: RwLock::new(Arc::new(current)),
        }))
    }

    /// Reads both files again, for connections that come from now on.
    ///
    /// # Errors
    /// As [`Tls::load`]; the old ones stay in use.
    fn reload(&self) -> Outcome {
        let next = Arc::new(config(&self.cert, &self.key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(current.clone())
    }

    /// Reloads at each SIGHUP, where the system has it, and tells of it.
    pub(super) async fn reload_on_hangup(&self) {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let told = |line: &str| logs::say(Level::Info, "certificate", line);
            match signal(SignalKind::hangup()) {
                Ok(mut hangups) => {
                    while hangups.recv().await.is_some() {
                        match self.reload() {
                            Ok(()) => told("the certificate was read again"),
                            Err(failure) => told(&format!(
                                "the certificate stays the one from before: {failure}"
                            )),
                        }
                    }
                }
                Err(error) => told(&format!(
                    "the certificate cannot be read again while the server runs: {error}"
                )),
            }
        }
    }
}

fn config(cert: &Path, key: &Path) -> Outcome<ServerConfig> {
    let wrong =
        |path: &Path, problem: String| Failure::usage(format!("{}: {problem}", path.display()));
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&files::read(cert, MAX_FILE)?)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(cert, format!("no PEM: {error}")))?;
    if chain.is_empty() {
        return Err(wrong(cert, "there is no certificate in it".into())
            .hint("--tls-cert takes the server's certificate and those between it and its authority, in PEM."));
    }
    let secret = PrivateKeyDer::from_pem_slice(&files::read(key, MAX_FILE)?).map_err(|error| {
        wrong(key, format!("there is no private key in it: {error}"))
            .hint("--tls-key takes the certificate's key in PEM, without a passphrase.")
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Failure::new)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| {
            wrong(key, format!("does not go with {}: {error}", cert.display())).hint(
                "--tls-key takes the key that the first certificate of --tls-cert was made for.",
            )
        })?;
    // The server speaks no other version of HTTP.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fixtures/tls")
            .join(name)
    }

    #[test]
    fn files_that_do_not_fit_leave_the_old_ones_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let copy = |from: &str, to: &Path| {
            std::fs::copy(fixture(from), to).unwrap();
        };
        copy("server.pem", &cert);
        copy("server.key", &key);
        let tls = Tls::load(&cert, &key).unwrap();
        let first = Arc::as_ptr(&tls.current.read().unwrap());
        // One of two files was replaced: the moment between the two must not be one without a certificate.
        copy("other.pem", &cert);
        let failure = tls.reload().unwrap_err().to_string();
        assert!(failure.contains("does not go with"), "{failure}");
        assert_eq!(Arc::as_ptr(&tls.current.read().unwrap()), first);
        copy("other.key", &key);
        tls.reload().unwrap();
        assert_ne!(Arc::as_ptr(&tls.current.read().unwrap()), first);
    }

    #[test]
    fn a_wrong_file_is_named_with_what_to_do() {
        let (cert, key) = (fixture("server.pem"), fixture("server.key"));
        for (cert, key, words) in [
            (&key, &key, "there is no certificate in it"),
            (&cert, &cert, "there is no private key in it"),
            (&fixture("none.pem"), &key, "none.pem"),
            (&cert, &fixture("other.key"), "does not go with"),
        ] {
            let failure = Tls::load(cert, key).unwrap_err().to_string();
            assert!(failure.contains(words), "{failure}");
        }
    }
}
