//! HTTP to logs and witnesses (feature `http`): reading a log's files, asking for
//! cosignatures. The caller checks the answers.

use std::time::Duration;

use crate::bounded::short;
use crate::error::Source;
use crate::tlog::{AddCheckpoint, VerifierKey, known_cosignatures};
use crate::{Error, Result, http};

/// The largest file of a log, bytes: an entry bundle of 256 entries.
const MAX_FILE: u64 = 256 * (65_535 + 2);
/// A larger answer of a witness (bytes) is an error: 16 signatures of post-quantum size fit.
const MAX_ANSWER: u64 = 256 << 10;

fn agent(url: &str) -> ureq::Agent {
    http::agent(url, Duration::from_secs(30))
}

/// Reads a file; none when the server says that there is none (404, 410).
///
/// # Errors
/// [`Error::Http`] for any other answer, and for a file larger than a log's can be.
pub fn get(url: &str) -> Result<Option<Vec<u8>>> {
    let transport = |detail: Source| Error::Http {
        url: url.to_owned(),
        detail,
    };
    let mut answer = agent(url)
        .get(url)
        .call()
        .map_err(|e| transport(e.into()))?;
    match answer.status().as_u16() {
        200 => {}
        404 | 410 => return Ok(None),
        status => return Err(transport(format!("status {status}").into())),
    }
    answer
        .body_mut()
        .with_config()
        .limit(MAX_FILE)
        .read_to_vec()
        .map(Some)
        .map_err(|e| transport(e.into()))
}

/// Answer of a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its cosignature lines, verified.
    Cosigned(String),
    /// It has cosigned a checkpoint of another size: a proof from that size is wanted.
    Conflict {
        /// That size.
        size: u64,
    },
}

/// Asks a witness to cosign a checkpoint: `POST {prefix}/add-checkpoint`.
///
/// # Errors
/// [`Error::Http`] when it does not answer as C2SP tlog-witness says; [`Error::Refused`] with its
/// status and words; [`Error::Signature`] when its answer holds no valid cosignature of `witness`.
pub fn add_checkpoint(
    prefix: &str,
    witness: &VerifierKey,
    request: &AddCheckpoint,
) -> Result<Answer> {
    let url = format!("{}/add-checkpoint", prefix.trim_end_matches('/'));
    let transport = |detail: Source| Error::Http {
        url: url.clone(),
        detail,
    };
    let mut answer = agent(&url)
        .post(&url)
        .header("content-type", "text/plain; charset=utf-8")
        .send(request.to_text().as_bytes())
        .map_err(|e| transport(e.into()))?;
    let status = answer.status().as_u16();
    let is_size = answer
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes() == b"text/x.tlog.size");
    let text = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER)
        .read_to_string()
        .map_err(|e| transport(e.into()))?;
    match status {
        200 => known_cosignatures(&request.note, &text, witness).map(Answer::Cosigned),
        409 if is_size => {
            let size = text
                .strip_suffix('\n')
                .and_then(|n| n.parse::<u64>().ok())
                .ok_or_else(|| {
                    transport(format!("status 409 without a size: {:?}", short(&text, 80)).into())
                })?;
            // The same size again means two roots for it: asking once more would not help.
            if size == request.old {
                return Err(refused(
                    url,
                    status,
                    "it has cosigned another root of this size",
                ));
            }
            Ok(Answer::Conflict { size })
        }
        _ => Err(refused(url, status, text.trim())),
    }
}

fn refused(url: String, status: u16, error: &str) -> Error {
    Error::Refused {
        url,
        status,
        error: short(error, 500),
        what: "add-checkpoint".into(),
        hint: None,
    }
}
