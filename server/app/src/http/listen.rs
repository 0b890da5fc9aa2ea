//! Sockets, with TLS or without. Connections are limited, in all and for each address. Each connection has deadlines for
//! sending and for reading, so a client that opens many, sends nothing or reads nothing does not block
//! the others for long.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::modules::BODY_LIMIT;
use super::patience::{Patience, Timed, Watched};
use super::rates::{Rate, Rates, too_many};
use super::shares::{Peer, Shares};
use super::tls::{Secure, Tls};
use crate::failure::{Failure, Outcome};
use crate::metrics;
#[cfg(unix)]
use crate::output;

/// Time that answers under way have after a stop.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Files that a server has open beside its connections, most.
#[cfg(unix)]
const OWN_FILES: u64 = 512;

/// Limits on what clients may take of a server.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Connections at once of one address; more are closed.
    pub connections_of_address: usize,
    /// How long a client may send or take nothing: a request's head, the next request, a body, an
    /// answer.
    pub patience: Duration,
    /// Bytes a second below which a body or an answer uses up patience, however evenly it moves.
    pub rate: u64,
    /// Bytes of a request's head, most.
    pub head: usize,
    /// Requests of one address.
    pub requests_of_address: Rate,
    /// Signed requests of one key.
    pub requests_of_key: Rate,
    /// A request other than the live feed is given up after this time, its body included.
    pub request: Duration,
    /// A connection of this age takes no further request.
    pub age: Duration,
    /// A connection of this age is closed, whatever it is doing; a live feed is asked for again.
    pub life: Duration,
    /// Live feeds at once; each looks at one file twice a second.
    pub feeds: usize,
    /// Live feeds at once of one address.
    pub feeds_of_address: usize,
    /// Bytes of submissions that are in memory at once.
    pub body_bytes: usize,
    /// Bytes of one address's submissions that are in memory at once.
    pub body_bytes_of_address: usize,
    /// Answers that are being made at once; more wait.
    pub making: usize,
    /// Bytes of large answers that are in memory at once.
    pub answer_bytes: usize,
    /// Bytes of large answers to one address that are in memory at once.
    pub answer_bytes_of_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 256,
            connections_of_address: 64,
            patience: Duration::from_secs(15),
            rate: 8 << 10,
            head: 64 << 10,
            requests_of_address: Rate {
                a_second: 100,
                at_once: 1000,
            },
            requests_of_key: Rate {
                a_second: 20,
                at_once: 400,
            },
            request: Duration::from_secs(60),
            age: Duration::from_secs(10 * 60),
            life: Duration::from_secs(30 * 60),
            feeds: 208,
            feeds_of_address: 16,
            body_bytes: 4 * BODY_LIMIT,
            // One that is as large as may be, or several small ones.
            body_bytes_of_address: BODY_LIMIT,
            making: 8,
            answer_bytes: 128 << 20,
            answer_bytes_of_address: 32 << 20,
        }
    }
}

impl Limits {
    fn patience(&self) -> Patience {
        Patience::new(self.patience, self.rate)
    }
}

/// Listens on an address.
pub(crate) async fn bind(address: SocketAddr) -> Outcome<TcpListener> {
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

/// Serves until `stop` is ready. A certificate is read again at SIGHUP.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    limits: &Limits,
    stop: impl Future<Output = ()>,
) {
    more_files(limits.connections);
    let connections = Arc::new(Semaphore::new(limits.connections));
    let addresses = Shares::new(limits.connections, limits.connections_of_address);
    let rates = Arc::new(Rates::new(limits.requests_of_address));
    let reloading = tls
        .clone()
        .map(|tls| tokio::spawn(async move { tls.reload_on_hangup().await }));
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
        let (Ok(permit), Ok((stream, address))) = (permit, accepted) else {
            // Out of file descriptors, or a connection that was gone already: others may be fine.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let peer = Peer::new(address.ip());
        let Some(share) = addresses.take(peer, 1) else {
            continue;
        };
        let server = Server {
            router: router.clone(),
            limits: limits.clone(),
            rates: rates.clone(),
            peer,
        };
        let tls = tls.as_ref().map(|tls| tls.acceptor());
        metrics::CONNECTIONS.add(&[], 1.0);
        tokio::spawn(async move {
            // Below TLS: what is encrypted but not taken uses up patience too.
            let stream = Watched::new(stream, server.limits.patience());
            match tls {
                None => server.connection(stream, false).await,
                Some(acceptor) => {
                    let shaken = timeout(server.limits.patience, acceptor.accept(stream));
                    // Who speaks plain HTTP here, or does not trust the certificate, is told by TLS itself.
                    if let Ok(Ok(stream)) = shaken.await {
                        server.connection(stream, true).await;
                    }
                }
            }
            metrics::CONNECTIONS.add(&[], -1.0);
            drop((permit, share));
        });
    }
    if let Some(reloading) = reloading {
        reloading.abort();
    }
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _ = timeout(LAST_ANSWERS, connections.acquire_many(all)).await;
}

/// Lets this process have as many files open as its connections and its own files are, as far as the system
/// allows it.
fn more_files(connections: usize) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let wanted = connections as u64 + OWN_FILES;
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current.is_none_or(|current| current >= wanted) {
            return;
        }
        let most = maximum.unwrap_or(u64::MAX).min(wanted);
        let raised = Rlimit {
            current: Some(most),
            maximum,
        };
        if setrlimit(Resource::Nofile, raised).is_err() || most < wanted {
            output::note(format_args!(
                "fedseal: the system lets this process have {most} files open, {connections} connections would \
                 need {wanted}: raise its limit (ulimit -n)"
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = connections;
}

/// Everything that answers on one connection.
struct Server {
    router: Router,
    limits: Limits,
    rates: Arc<Rates<Peer>>,
    peer: Peer,
}

impl Server {
    /// Answers what comes on one connection.
    async fn connection(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        secure: bool,
    ) {
        let Server {
            router,
            limits,
            rates,
            peer,
        } = self;
        let router = TowerToHyperService::new(router);
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let mut request = request.map(|body| Body::new(Timed::new(body, limits.patience())));
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(Secure(secure));
            let answer = rates.take(peer).map(|()| router.call(request));
            async move {
                match answer {
                    Ok(answer) => answer.await,
                    Err(wait) => Ok(too_many("this address sends them", wait).into_response()),
                }
            }
        });
        let connection = http1::Builder::new()
            // Without a timer hyper ignores the timeout.
            .timer(TokioTimer::new())
            // Of a first request and of a next one.
            .header_read_timeout(limits.patience)
            .max_buf_size(limits.head)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // Errors here are the client's (it went away, or was too slow); there is nobody to tell.
        if timeout(limits.age, connection.as_mut()).await.is_err() {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(limits.life.saturating_sub(limits.age), connection).await;
        }
    }
}
