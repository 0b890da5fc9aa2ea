//! Who may read: everybody who reaches the server, or whoever has a token. Programs send it as
//! `Authorization: Bearer TOKEN`; a browser asks for a name, which is not looked at, and takes the token as the
//! password (RFC 7617).

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use fedseal_client_sdk::digest::Digest;

use super::admin::{Admin, bearer};
use super::refusal::Refusal;
use crate::failure::{Failure, Outcome};
use crate::files;

/// Paths that say nothing about runs, for programs that watch the server.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];
/// Longest file of a token, bytes.
const MAX_FILE: usize = 4 << 10;
/// Fewest characters of a token: a word can be guessed.
const SHORTEST: usize = 20;

/// The token that readers need, as its digest; none where everybody may read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readers(Option<Digest>);

impl Readers {
    /// Whoever has the token in this file, its first line.
    ///
    /// # Errors
    /// A file that cannot be read, or holds a token that is too short.
    pub(crate) fn of_file(path: &Path) -> Outcome<Readers> {
        let text = files::text(path, MAX_FILE)?;
        let token = text.lines().next().unwrap_or_default().trim();
        if token.len() < SHORTEST {
            return Err(Failure::usage(format!(
                "{}: the token has fewer than {SHORTEST} characters",
                path.display()
            ))
            .hint("Make one with: head -c 24 /dev/urandom | base64"));
        }
        Ok(Readers(Some(Digest::of(token.as_bytes()))))
    }

    fn may(&self, admin: &Admin, headers: &HeaderMap) -> bool {
        let Some(digest) = self.0 else { return true };
        let known = |token: &str| Digest::of(token.as_bytes()) == digest || admin.is(token);
        bearer(headers).is_some_and(known) || password(headers).is_some_and(|token| known(&token))
    }
}

/// The password of `Authorization: Basic` (RFC 7617, section 2).
fn password(headers: &HeaderMap) -> Option<String> {
    use base64::Engine as _;
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text.trim())
        .ok()?;
    let (_, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some(password.to_owned())
}

/// Lets readers through who may read. Requests that change something have rules of their own.
pub(super) async fn readable(
    State((readers, admin)): State<(Readers, Arc<Admin>)>,
    request: Request,
    next: Next,
) -> Response {
    let reads = request.method().is_safe() && !OPEN.contains(&request.uri().path());
    if !reads || readers.may(&admin, request.headers()) {
        return next.run(request).await;
    }
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "Reading here needs a token.",
        "no token was sent, or another one",
        "Send Authorization: Bearer TOKEN; a browser takes the token as the password, with any name.",
    )
    .with(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"fedseal\", charset=\"UTF-8\""),
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;

    #[test]
    fn whoever_has_the_token_reads() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "a token of enough characters\nmore\n").unwrap();
        let readers = Readers::of_file(&file).unwrap();
        let (admin, token) = Admin::open(dir.path()).unwrap();
        let may = |value: String| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            readers.may(&admin, &headers)
        };
        let basic = |text: &str| {
            format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(text)
            )
        };
        assert!(may("Bearer a token of enough characters".into()));
        assert!(
            may(format!("Bearer {}", token.unwrap())),
            "the administrator"
        );
        assert!(may(basic("anybody:a token of enough characters")));
        assert!(!may(basic("a token of enough characters:")));
        assert!(!may("Basic ???".into()));
        assert!(!may("Bearer another".into()));
        assert!(!readers.may(&admin, &HeaderMap::new()));
        assert!(Readers::default().may(&admin, &HeaderMap::new()), "public");
        std::fs::write(&file, "short\n").unwrap();
        assert!(Readers::of_file(&file).is_err());
    }
}
