//! Options by which programs watch a run: numbers at an address, lines on standard error.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use tokio::sync::oneshot;

use super::listening::Listening;
use crate::failure::{Failure, Outcome};
use crate::http::{self, Limits, watched};
use crate::logs;
use crate::output;

/// How a run is watched.
#[derive(Args)]
pub(super) struct Watching {
    /// Serve /metrics (for Prometheus) and /healthz at this address while the run goes on; port 0 takes a free
    /// one.
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Lines for programs that collect them on standard error: one for each event of the run.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<logs::Format>,
}

/// Brings numbers up to date that somebody else counts.
pub(super) type Refresh = Arc<dyn Fn() + Send + Sync>;

/// A server of metrics that ends when dropped.
pub(super) struct Shown {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watching {
    /// Refuses an address that others reach, unless that was asked for; chooses the format of lines.
    pub(super) fn check(&self, listening: &Listening) -> Outcome {
        logs::set(self.log_format);
        match self.metrics {
            Some(address) => listening.check(address, "the run's numbers"),
            None => Ok(()),
        }
    }

    /// Serves metrics, where that was asked for.
    pub(super) fn begin(&self, listening: &Listening, refresh: Refresh) -> Outcome<Option<Shown>> {
        let Some(address) = self.metrics else {
            return Ok(None);
        };
        let failed =
            |error: std::io::Error| Failure::new(format!("metrics cannot be served: {error}"));
        let tls = listening.tls()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let listener = runtime.block_on(http::bind(address))?;
        let shown = listener.local_addr().unwrap_or(address);
        output::note(format_args!(
            "fedseal: metrics are at {}://{shown}/metrics",
            listening.scheme()
        ));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("metrics".into())
            .spawn(move || {
                let limits = Limits::default();
                let stopped = async {
                    let _ = stopped.await;
                };
                runtime.block_on(watched::serve(listener, tls, refresh, &limits, stopped));
            })
            .map_err(failed)?;
        Ok(Some(Shown {
            stop: Some(stop),
            thread: Some(thread),
        }))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
