//! Sockets. Each connection has a deadline for its headers, and there are only so many connections
//! at once: a client that opens many and says nothing takes nothing from the others for long.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::failure::{Failure, Outcome};

/// Connections at once; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 256;
/// A connection that has not sent its headers by then is closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// After a stop, answers that are under way have so long.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Listens on an address.
pub async fn bind(address: SocketAddr) -> Outcome<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let failure = Failure::new(format!("cannot listen on {address}: {error}"));
        match error.kind() {
            ErrorKind::AddrInUse => failure.hint(format!(
                "Another program has port {} already. Stop it, or choose another: --addr {}:0 takes a free one.",
                address.port(),
                address.ip()
            )),
            ErrorKind::PermissionDenied => {
                failure.hint("Ports below 1024 are the system's; choose another with --addr.")
            }
            ErrorKind::AddrNotAvailable => {
                failure.hint("This machine does not have that address; 127.0.0.1 and 0.0.0.0 always work.")
            }
            _ => failure,
        }
    })
}

/// Serves until `stop` is ready.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let permit = connections.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        let (Ok(permit), Ok((stream, _))) = (permit, accepted) else {
            // Out of file descriptors, or a connection that was gone already: others may be fine.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            // Errors here are the client's (it went away); there is nobody to tell.
            let _ = http1::Builder::new()
                // Without a timer hyper ignores the timeout.
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
    let idle = connections.acquire_many(MOST_CONNECTIONS as u32);
    let _ = tokio::time::timeout(LAST_ANSWERS, idle).await;
}
