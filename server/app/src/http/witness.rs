//! The interface of a witness (C2SP tlog-witness): `POST /add-checkpoint`, and
//! `GET /ORIGIN_HASH/checkpoint` for monitors. Both prefixes are the server's address.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use fedseal_client_sdk::tlog::AddCheckpoint;
use fedseal_ledger::{Refusal, Witness};
use tokio::net::TcpListener;

use super::Limits;

/// Bytes of one signature line: "post-quantum signatures can be up to nearly 5kB" (signed-note), in
/// base64 with the name before it.
const SIGNATURE: usize = 8 << 10;

/// Longest request, bytes: a verifier "MUST accept at least up to 16 signatures", with 63 hashes, the
/// text and its extension lines in as much again.
const MAX_BODY: usize = 2 * 16 * SIGNATURE;

/// Serves until `stop` is ready.
pub(crate) async fn serve(
    listener: TcpListener,
    witness: Witness,
    limits: &Limits,
    stop: impl Future<Output = ()>,
) {
    let router = router(Arc::new(witness), limits);
    super::listen::serve(listener, None, router, limits, stop).await;
}

fn router(witness: Arc<Witness>, limits: &Limits) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add))
        .route("/{origin_hash}/checkpoint", get(checkpoint))
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

/// "If the witness has never cosigned a checkpoint for that log, it MUST respond with a 404 Not Found".
async fn checkpoint(
    State(witness): State<Arc<Witness>>,
    Path(origin_hash): Path<String>,
) -> Response {
    match witness.checkpoint(&origin_hash) {
        Some(note) => note.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        // "The response body MUST consist of the tree size of the latest cosigned checkpoint in
        // decimal, followed by a newline. The response MUST have a Content-Type of
        // text/x.tlog.size."
        Refusal::Conflict { size } => {
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
    use fedseal_client_sdk::digest::Digest;
    use fedseal_client_sdk::keys::SigningKey;
    use fedseal_client_sdk::remote::{self, Answer};
    use fedseal_client_sdk::tlog::{Checkpoint, KeyKind, VerifierKey, add_signatures, cosigned_at};
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
        let log_key = key.public();
        let known = VerifierKey::new(ORIGIN, KeyKind::Log, log_key).unwrap();
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
        assert_eq!(status(&other, 2), 422, "one size, two roots");
        other.append(b"3").unwrap();
        other.publish().unwrap();
        assert_eq!(status(&other, 2), 422, "no proof leads there");
        let stranger = SigningKey::from_seed([3; 32]);
        let mut unknown = Log::create(dir.path().join("unknown"), "else", stranger).unwrap();
        unknown.append_publish(b"x").unwrap();
        assert_eq!(status(&unknown, 0), 404);

        // Monitors read what was cosigned last.
        let read = |hash: &str| remote::get(&format!("{url}{hash}/checkpoint")).unwrap();
        let hash = Digest::of(ORIGIN.as_bytes()).to_string();
        let served = String::from_utf8(read(&hash).unwrap()).unwrap();
        let checkpoint = Checkpoint::verify(&served, ORIGIN, &log_key).unwrap();
        assert_eq!(checkpoint.size, 2);
        assert!(cosigned_at(&served, &vkey).unwrap().is_some());
        assert_eq!(read(&Digest::of(b"else").to_string()), None);

        // A request with 16 signatures of post-quantum size is read; one far beyond is not.
        let with = |signatures: usize| {
            let line = |n| format!("\u{2014} pq{n} {}AAAA\n", "QUFB".repeat(5000 / 3));
            let request = AddCheckpoint {
                old: 2,
                proof: Vec::new(),
                note: log.note().to_owned() + &(0..signatures).map(line).collect::<String>(),
            };
            remote::add_checkpoint(&url, &vkey, &request)
        };
        assert!(matches!(with(16), Ok(Answer::Cosigned(_))));
        assert!(with(64).is_err());
    }

    /// Every answer that C2SP tlog-witness of July 2026 names, asked for by a client that we did not write
    /// (PyPI aics-witness, `tests/oracles/tlog/client.py`).
    #[test]
    fn a_client_that_is_not_ours() {
        use std::process::Command;
        let python = std::env::var("FEDSEAL_PYTHON").unwrap_or_else(|_| "python3".into());
        let present = Command::new(&python)
            .args(["-c", "import aics_tlog, aics_witness"])
            .output()
            .is_ok_and(|out| out.status.success());
        if !present {
            assert!(
                std::env::var_os("FEDSEAL_REQUIRE_ORACLES").is_none(),
                "aics-tlog or aics-witness is missing for {python}"
            );
            crate::output::note(
                "left out: needs `pip install -r tests/oracles/tlog/requirements.txt`",
            );
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        Witness::init(dir.path()).unwrap();
        let key = SigningKey::from_seed([1; 32]);
        let known = VerifierKey::new(ORIGIN, KeyKind::Log, key.public()).unwrap();
        let witness = Witness::open(
            dir.path(),
            "w.example",
            SigningKey::from_seed([2; 32]),
            [known],
        );
        let witness = witness.unwrap();
        let vkey = witness.verifier_key().to_string();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(bind("127.0.0.1:0".parse().unwrap()));
        let listener = listener.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move {
            let limits = Limits::default();
            serve(listener, witness, &limits, std::future::pending()).await;
        });
        let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/oracles/tlog/client.py");
        let out = Command::new(&python)
            .arg(script)
            .args([&url, &vkey, &"01".repeat(32), ORIGIN])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(
            out.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        assert_eq!(said.trim(), "ok: 21 answers");
    }
}
