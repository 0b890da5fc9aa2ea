//! Options of the commands that administer a running server: its address, the administrator's token, and whose
//! certificates are trusted.

use std::path::{Path, PathBuf};

use clap::Args;
use fedseal_client_sdk::administration::TokenClient;
use fedseal_client_sdk::http;

use super::wire;
use crate::failure::{Failure, Outcome};
use crate::files;

/// The server where none is named.
const DEFAULT: &str = "http://127.0.0.1:8660";
/// Longest file of a token, bytes.
const MAX_TOKEN: usize = 4 << 10;
/// Longest file of certificate authorities, bytes.
const MAX_CA: usize = 4 << 20;

/// Whose certificates a client trusts.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Authorities {
    /// Certificate authorities (PEM) to trust in place of the system's, for https addresses.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Authorities {
    /// Takes them for every later call of this process.
    pub(crate) fn take(&self) -> Outcome {
        let Some(path) = &self.ca else { return Ok(()) };
        let pem = files::read(path, MAX_CA)?;
        http::trust(&pem).map_err(|error| {
            Failure::usage(format!("{}: {error}", path.display()))
                .hint("--ca takes the certificate of an authority in PEM.")
        })
    }
}

/// A running server, as its administrator reaches it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Administer {
    /// A running server.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// File with the administrator's token, which the server showed at its first start; else the environment
    /// variable FEDSEAL_ADMIN_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    authorities: Authorities,
}

impl Administer {
    /// Whether a server was named.
    pub(crate) fn is_given(&self) -> bool {
        self.server.is_some()
    }

    /// A client with the token.
    pub(crate) fn client(&self) -> Outcome<TokenClient> {
        self.authorities.take()?;
        let token = match &self.token_file {
            Some(path) => token(path)?,
            None => std::env::var("FEDSEAL_ADMIN_TOKEN").map_err(|_| {
                Failure::usage("administration needs the administrator's token").hint(
                    "--token-file FILE, or FEDSEAL_ADMIN_TOKEN; the server showed it at its first start.",
                )
            })?,
        };
        let server = self.server.as_deref().unwrap_or(DEFAULT);
        wire::secret(server, "the token")?;
        Ok(TokenClient::new(server, &token))
    }
}

/// The token in a file: its first line.
fn token(path: &Path) -> Outcome<String> {
    let text = files::text(path, MAX_TOKEN)?;
    let token = text.lines().next().unwrap_or_default().trim().to_owned();
    match token.is_empty() {
        true => Err(
            Failure::usage(format!("{}: it holds no token", path.display()))
                .hint("The token is the file's first line."),
        ),
        false => Ok(token),
    }
}
