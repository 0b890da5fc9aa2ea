//! The interface of a witness: `POST /add-checkpoint` (C2SP tlog-witness) and nothing else.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use fedseal_client_sdk::tlog::AddCheckpoint;
use fedseal_ledger::{Refusal, Witness};
use tokio::net::TcpListener;

use super::Limits;

/// A checkpoint with 63 hashes and some signatures is a few kilobytes.
const MAX_BODY: usize = 64 << 10;

/// Serves until `stop` is ready.
pub(crate) async fn serve(
    listener: TcpListener,
    witness: Witness,
    limits: &Limits,
    stop: impl Future<Output = ()>,
) {
    let router = router(Arc::new(witness), limits);
    super::listen::serve(listener, router, limits, stop).await;
}

fn router(witness: Arc<Witness>, limits: &Limits) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(
            limits.request,
            super::deadline,
        ))
        .with_state(witness)
}

async fn add(State(witness): State<Arc<Witness>>, body: String) -> Response {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    // It waits for the disk.
    let answer = tokio::task::spawn_blocking(move || {
        let request = AddCheckpoint::parse(&body).map_err(|e| Refusal::Malformed(e.into()))?;
        witness.add_checkpoint(&request, now)
    })
    .await;
    match answer {
        Ok(Ok(line)) => line.into_response(),
        Ok(Err(refusal)) => refused(&refusal),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        // "The response body MUST consist of the tree size of the latest cosigned checkpoint in
        // decimal, followed by a newline. The response MUST have a Content-Type of
        // text/x.tlog.size."
        Refusal::Conflict { size, .. } => {
            return (
                StatusCode::CONFLICT,
                [(header::CONTENT_TYPE, "text/x.tlog.size")],
                format!("{size}\n"),
            )
                .into_response();
        }
        Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
        Refusal::UnknownLog(_) => StatusCode::NOT_FOUND,
        Refusal::BadSignature(_) => StatusCode::FORBIDDEN,
        Refusal::BadProof(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, format!("{refusal}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::bind;
    use fedseal_client_sdk::keys::SigningKey;
    use fedseal_client_sdk::remote::{self, Answer};
    use fedseal_client_sdk::tlog::{KeyKind, VerifierKey, add_signatures, cosigned_at};
    use fedseal_ledger::Log;

    const ORIGIN: &str = "fedseal.example/run";

    /// Half a body, or half a head, is not waited for.
    #[tokio::test]
    async fn who_does_not_finish_is_cut_off() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let dir = tempfile::tempdir().unwrap();
        Witness::init(dir.path()).unwrap();
        let key = SigningKey::from_seed([2; 32]);
        let witness = Witness::open(dir.path(), "w.example", key, []).unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits {
            patience: std::time::Duration::from_millis(300),
            connections: 2,
            connections_of_address: 2,
            ..Limits::default()
        };
        tokio::spawn(async move {
            serve(listener, witness, &limits, std::future::pending()).await;
        });
        for half in [
            b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nold"
                .as_slice(),
            b"POST /add",
        ] {
            let mut streams = Vec::new();
            for _ in 0..2 {
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                stream.write_all(half).await.unwrap();
                streams.push(stream);
            }
            for mut stream in streams {
                let mut answer = Vec::new();
                let read = stream.read_to_end(&mut answer);
                let most = std::time::Duration::from_secs(30);
                let _ = tokio::time::timeout(most, read)
                    .await
                    .expect("it is closed");
            }
        }
    }

    #[test]
    fn cosigns_over_http() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed([1; 32]);
        let mut log = Log::create(dir.path().join("log"), ORIGIN, key.clone()).unwrap();
        let state = dir.path().join("state");
        Witness::init(&state).unwrap();
        let known = VerifierKey::new(ORIGIN, KeyKind::Log, key.public()).unwrap();
        let witness =
            Witness::open(&state, "w.example", SigningKey::from_seed([2; 32]), [known]).unwrap();
        let vkey = witness.verifier_key().clone();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(bind("127.0.0.1:0".parse().unwrap()))
            .unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        runtime.spawn(async move {
            serve(
                listener,
                witness,
                &Limits::default(),
                std::future::pending(),
            )
            .await;
        });

        let ask = |log: &Log, old: u64| {
            let request = AddCheckpoint {
                old,
                proof: log.prove_consistency(old, log.size()).unwrap(),
                note: log.note().to_owned(),
            };
            remote::add_checkpoint(&url, &vkey, &request)
        };
        log.append(b"one").unwrap();
        log.publish().unwrap();
        let Answer::Cosigned(line) = ask(&log, 0).unwrap() else {
            panic!("not cosigned");
        };
        let note = add_signatures(log.note(), &line).unwrap();
        assert!(cosigned_at(&note, &vkey).unwrap().is_some());
        log.append(b"two").unwrap();
        log.publish().unwrap();
        assert_eq!(ask(&log, 0).unwrap(), Answer::Conflict { size: 1 });
        ask(&log, 1).unwrap();

        // Refusals come with their status.
        let status = |log: &Log, old| match ask(log, old) {
            Err(fedseal_client_sdk::Error::Refused { status, .. }) => status,
            other => panic!("{other:?}"),
        };
        let mut other = Log::create(dir.path().join("other"), ORIGIN, key).unwrap();
        other.append(b"one").unwrap();
        other.append(b"2").unwrap();
        other.publish().unwrap();
        assert_eq!(status(&other, 2), 409, "one size, two roots");
        other.append(b"3").unwrap();
        other.publish().unwrap();
        assert_eq!(status(&other, 2), 422, "no proof leads there");
        let stranger = SigningKey::from_seed([3; 32]);
        let mut unknown = Log::create(dir.path().join("unknown"), "else", stranger).unwrap();
        unknown.append_publish(b"x").unwrap();
        assert_eq!(status(&unknown, 0), 404);
    }
}
