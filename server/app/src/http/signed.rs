//! Signed requests (RFC 9421): who sent a request, told from its head before a byte of the body is read.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use fedseal_client_sdk::http_signature::{
    Known, Nonces, RecentNonces, Refusal as Why, Request, SIGNATURE_INPUT, Signed, Verifier,
};
use hyper::body::Body as _;
use tokio_stream::StreamExt as _;

use super::rates::{Rate, Rates, too_many};
use super::refusal::{Answer, Refusal, cut};
use super::tls::Secure;

/// Signed requests of the last minutes whose nonces are kept: those of 10,000 nodes that ask every ten seconds.
const NONCES: usize = 1 << 19;

/// The server's view of signatures on requests.
pub(super) struct Signatures {
    names: Vec<String>,
    demanded: bool,
    nonces: Mutex<RecentNonces>,
    rates: Rates<String>,
}

/// Unix time, seconds.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

impl Signatures {
    /// For a server of these names (host, with its port where that is not the scheme's own). Where they are
    /// `demanded`, a request that needs one is refused without it. One key may send at this `rate`.
    pub(super) fn new(names: &[String], demanded: bool, rate: Rate) -> Self {
        Signatures {
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            demanded,
            nonces: Mutex::new(RecentNonces::new(now(), NONCES)),
            rates: Rates::new(rate),
        }
    }

    /// Checks a request, with a body or without; none where it is not signed and need not be.
    pub(super) fn check(
        &self,
        head: &Parts,
        body: bool,
        known: &dyn Fn(&str) -> Option<Known>,
    ) -> Answer<Option<Signed>> {
        let unsigned = !head.headers.contains_key(SIGNATURE_INPUT);
        if unsigned && !self.demanded {
            return Ok(None);
        }
        let fields: Vec<(&str, &[u8])> = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let host = head.headers.get(header::HOST);
        let request = Request {
            method: head.method.as_str(),
            secure: head.extensions.get().is_some_and(|Secure(secure)| *secure),
            host: host.and_then(|host| host.to_str().ok()).unwrap_or_default(),
            target: head
                .uri
                .path_and_query()
                .map_or("/", |target| target.as_str()),
            fields: &fields,
        };
        let verifier = Verifier {
            authorities: &self.names,
            known,
            now: now(),
        };
        match verifier.verify(&request, body, &mut Taking(&self.nonces)) {
            // Counted once it is known whose it is: nobody uses up another's requests.
            Ok(signed) => match self.rates.take(signed.keyid.clone()) {
                Ok(()) => Ok(Some(signed)),
                Err(wait) => Err(too_many(&format!("key {}", signed.keyid), wait)),
            },
            // A gateway's own signature says nothing to us.
            Err(Why::Unsigned) if !self.demanded => Ok(None),
            Err(why) => Err(refused(&why)),
        }
    }
}

/// The nonces, locked while one is taken and not while a signature is verified.
struct Taking<'a>(&'a Mutex<RecentNonces>);

impl Nonces for Taking<'_> {
    fn take(&mut self, keyid: &str, nonce: &str, created: i64, now: i64) -> Result<(), Why> {
        let nonces = self.0.lock();
        let mut nonces = nonces.unwrap_or_else(|poisoned| poisoned.into_inner());
        nonces.take(keyid, nonce, created, now)
    }
}

/// Receives the body of a signed request, of at most `most` bytes, as it was signed. `room` is asked for each
/// piece of it.
pub(super) async fn body(
    signed: &Signed,
    body: Body,
    most: usize,
    room: impl FnMut(usize) -> bool,
) -> Answer<Vec<u8>> {
    let all = whole(body, most, room).await?;
    signed.check_body(&all).map_err(|why| refused(&why))?;
    Ok(all)
}

/// Receives a body of at most `most` bytes; one that announces more is refused before a byte of it is read.
/// `room` says whether so many bytes more may be held.
pub(super) async fn whole(
    body: Body,
    most: usize,
    mut room: impl FnMut(usize) -> bool,
) -> Answer<Vec<u8>> {
    let too_large = || {
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The body is too large.",
            format!("at most {most} bytes"),
            "A program of this version sends no such body.",
        )
    };
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut pieces = body.into_data_stream();
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| cut(&error))?;
        if all.len() + piece.len() > most {
            return Err(too_large());
        }
        if !room(piece.len()) {
            return Err(Refusal::busy("other requests are being received"));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// A refusal of a signature, as an answer.
pub(super) fn refused(why: &Why) -> Refusal {
    let hint = match why {
        Why::Busy { .. } => return Refusal::busy(why.to_string()),
        Why::Authority { .. } => {
            "Whoever runs the server names it with `fedseal serve --name HOST[:PORT]`; sign for one of its names."
        }
        Why::Unsigned => {
            "Send it with `fedseal submit --key FILE`, or sign it by RFC 9421 as docs/PROVENANCE.md says."
        }
        Why::Clock { .. } => "Set the clock of your machine; sign every request anew.",
        _ => "docs/PROVENANCE.md says what a signature has to cover and to hold.",
    };
    Refusal::new(
        StatusCode::FORBIDDEN,
        "The request's signature does not count.",
        why.to_string(),
        hint,
    )
}
