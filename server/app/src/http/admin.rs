//! The administrator's token: made at the first start, shown once, kept as its digest alone. Handlers of
//! administration take an [`Administrator`], which exists only for a request that has the token.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use fedseal_client_sdk::digest::Digest;
use fedseal_record::rundir::write_atomically;

use super::Shared;
use super::refusal::Refusal;
use crate::failure::{Failure, Outcome};

/// File of the token's digest, in the server's own folder.
const FILE: &str = "admin-token.sha256";
/// Beginning of every token, by which scanners for leaked secrets find one.
const PREFIX: &str = "fedseal-admin-";
/// Random bytes of a token: nobody guesses 256 bits, so a plain digest keeps it.
const RANDOM: usize = 32;

/// The digest of the administrator's token.
#[derive(Debug)]
pub(crate) struct Admin {
    digest: Digest,
}

/// Proof that a request has the administrator's token.
#[derive(Debug)]
pub(super) struct Administrator {
    _private: (),
}

impl Admin {
    /// Reads the digest in a folder, which is made where there is none. Where the folder has no digest, a token
    /// is made and returned: nothing else ever shows it.
    ///
    /// # Errors
    /// A file that cannot be read or written, or that holds no digest.
    pub(crate) fn open(folder: &Path) -> Outcome<(Admin, Option<String>)> {
        let path = Admin::path(folder);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let digest = text.trim().parse().map_err(|_| {
                    Failure::new(format!("{}: it holds no digest", path.display())).hint(
                        "Remove the file; the next start makes a new token and shows it once.",
                    )
                })?;
                Ok((Admin { digest }, None))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(folder).map_err(|error| Failure::io(folder, &error))?;
                let token = made()?;
                let admin = Admin::of(&token);
                write_atomically(&path, format!("{}\n", admin.digest).as_bytes())?;
                Ok((admin, Some(token)))
            }
            Err(error) => Err(Failure::io(&path, &error)),
        }
    }

    /// The file of the digest in a folder.
    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    fn of(token: &str) -> Admin {
        Admin {
            digest: Digest::of(token.as_bytes()),
        }
    }

    /// Whether this is the token. Digests are compared, so the time that it takes says nothing about the token.
    pub(super) fn is(&self, token: &str) -> bool {
        Digest::of(token.as_bytes()) == self.digest
    }

    /// Checks the request's `Authorization: Bearer TOKEN`.
    ///
    /// # Errors
    /// 401 without a token, 403 with another one.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<Administrator, Refusal> {
        let Some(token) = bearer(headers) else {
            return Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "Administration needs the administrator's token.",
                "no token was sent",
                "Send Authorization: Bearer TOKEN, or use --token-file FILE. The server showed the token at \
                 its first start.",
            )
            .with(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"fedseal administration\""),
            ));
        };
        match self.is(token) {
            true => Ok(Administrator { _private: () }),
            false => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "That is not the administrator's token.",
                "the token that was sent",
                "Where it was lost, remove admin-token.sha256 in the server's folder of modules and start it \
                 again: it makes a new one.",
            )),
        }
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, section 2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_matches(' '))
}

fn made() -> Outcome<String> {
    let mut random = [0; RANDOM];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(format!("the system gives no random bytes: {error}")))?;
    use base64::Engine as _;
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random);
    Ok(format!("{PREFIX}{text}"))
}

impl FromRequestParts<Arc<Shared>> for Administrator {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Self::Rejection> {
        shared.admin.check(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_token_is_shown_once_and_counts_after_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("registry");
        let (first, token) = Admin::open(&folder).unwrap();
        let token = token.unwrap();
        let kept = std::fs::read_to_string(Admin::path(&folder)).unwrap();
        assert!(!kept.contains(&token) && token.len() > 50, "{kept}");
        let (second, again) = Admin::open(&folder).unwrap();
        assert_eq!(again, None);
        for admin in [&first, &second] {
            assert!(admin.check(&with(&format!("Bearer {token}"))).is_ok());
            assert!(admin.check(&with(&format!("bearer {token}"))).is_ok());
            for wrong in [
                format!("Bearer {token}x"),
                "Bearer ".into(),
                format!("Basic {token}"),
            ] {
                assert!(admin.check(&with(&wrong)).is_err(), "{wrong}");
            }
            assert!(admin.check(&HeaderMap::new()).is_err());
        }
        let (_, other) = Admin::open(&home.path().join("other")).unwrap();
        assert_ne!(other.unwrap(), token);
        std::fs::write(Admin::path(&folder), "no digest").unwrap();
        let failure = Admin::open(&folder).unwrap_err().to_string();
        assert!(failure.contains("Remove the file"), "{failure}");
    }
}
