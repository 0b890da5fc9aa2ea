//! Options of `fedseal run` that lend its jobs to workers, and the server that does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use fedseal_client_sdk::keys::PublicKey;
use fedseal_federation::runner::courier::{self, Courier};
use fedseal_federation::runner::{Exchange, Run};
use tokio::sync::oneshot;

use super::engines::{Connected, Engines};
use super::listening::Listening;
use super::watching::Refresh;
use crate::failure::{Failure, Outcome};
use crate::http::{self, Limits, Rate, work};
use crate::logs::{self, Level};
use crate::{metrics, output};

/// Jobs for other processes.
#[derive(Args)]
pub(super) struct Lend {
    /// Lend the run's jobs to workers (`fedseal work URL`) at this address; port 0 takes a free one. Requests
    /// are signed; shards and adapters go over this connection.
    #[arg(long, value_name = "ADDR", requires = "worker")]
    lend: Option<SocketAddr>,
    /// Public key (hex) of a worker; may be given again. `fedseal work` prints its own.
    #[arg(long, value_name = "HEX", requires = "lend")]
    worker: Vec<PublicKey>,
    /// Name of this machine as workers write it, with its port where that is not the scheme's own; may be given
    /// again. By default the address, and localhost.
    #[arg(long, value_name = "HOST[:PORT]", requires = "lend")]
    lend_name: Vec<String>,
    /// Seconds for which a job is lent; a worker that works on it renews that.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lease: u64,
    /// Do no job in this process.
    #[arg(long)]
    workers_only: bool,
    #[command(flatten)]
    engines: Engines,
    #[command(flatten)]
    listening: Listening,
}

/// Lender of jobs until it is dropped: a server, and a courier to a queue.
pub(super) struct Lending {
    exchange: Arc<Exchange>,
    stop: Option<oneshot::Sender<()>>,
    /// Raised for the courier.
    over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Lending {
    /// Brings the metrics of jobs and workers up to date.
    pub(super) fn refresh(&self) -> Refresh {
        let exchange = self.exchange.clone();
        Arc::new(move || {
            let counts = exchange.counts();
            metrics::JOBS.set(&["waiting"], counts.free as f64);
            metrics::JOBS.set(&["here"], counts.here as f64);
            metrics::JOBS.set(&["lent"], counts.lent as f64);
            metrics::LEASES_ENDED.reach(counts.ended);
            for (worker, seen) in exchange.workers() {
                metrics::WORKERS.set(&[&worker, "done"], seen.done as f64);
                metrics::WORKERS.set(&[&worker, "failed"], seen.failed as f64);
            }
        })
    }
}

impl Lend {
    /// How the listener is reached.
    pub(super) fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Refuses an address that others reach, unless that was asked for, and engines that are not known.
    pub(super) fn check(&self) -> Outcome {
        if self.workers_only && self.lend.is_none() && !self.engines.are_given() {
            return Err(Failure::usage("--workers-only: nobody else does the jobs")
                .hint("Lend them with --lend ADDR --worker KEY, or queue them with --queue URL --blobs URL."));
        }
        self.engines.check()?;
        match self.lend {
            Some(address) => self
                .listening
                .check(address, "the shards on their way to a worker"),
            None => Ok(()),
        }
    }

    /// Lends the jobs of a run; none where that was not asked for.
    pub(super) fn begin(&self, run: &mut Run) -> Outcome<Option<Lending>> {
        let lease = Duration::from_secs(self.lease);
        // Before the run is changed: an engine that cannot be used stops it here.
        let connected = self.engines.connect(lease)?;
        if self.lend.is_none() && connected.is_none() {
            return Ok(None);
        }
        let mut lending = Lending {
            exchange: Arc::new(run.lend(lease, !self.workers_only)?),
            stop: None,
            over: Arc::default(),
            threads: Vec::new(),
        };
        if let Some(address) = self.lend {
            self.serve(address, &mut lending)?;
        }
        if let Some(connected) = connected {
            self.carry(connected, &mut lending)?;
        }
        Ok(Some(lending))
    }

    /// Carries jobs to a queue.
    fn carry(&self, connected: Connected, lending: &mut Lending) -> Outcome {
        let (exchange, over) = (lending.exchange.clone(), lending.over.clone());
        let most = match self.workers_only {
            true => courier::MOST,
            false => courier::SHARED,
        };
        output::note(format_args!(
            "fedseal: jobs are queued at {}",
            self.engines.shown()
        ));
        let thread = std::thread::Builder::new()
            .name("courier".into())
            .spawn(move || {
                let told = |line: &str| logs::say(Level::Warn, "queue", line);
                let (queue, store) = (connected.queue.as_ref(), connected.store.as_ref());
                Courier::new(&exchange, queue, store, most).run(&over, &told);
            })
            .map_err(|error| Failure::new(format!("the courier could not start: {error}")))?;
        lending.threads.push(thread);
        Ok(())
    }

    /// Serves jobs over HTTP.
    fn serve(&self, address: SocketAddr, lending: &mut Lending) -> Outcome {
        let tls = self.listening.tls()?;
        let exchange = lending.exchange.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| {
                Failure::new(format!("the server of jobs could not start: {error}"))
            })?;
        let listener = runtime.block_on(http::bind(address))?;
        let shown = listener.local_addr().unwrap_or(address);
        let names = match self.lend_name.is_empty() {
            true => vec![shown.to_string(), format!("localhost:{}", shown.port())],
            false => self.lend_name.clone(),
        };
        output::note(format_args!(
            "fedseal: jobs are lent at {}://{shown}",
            self.listening.scheme()
        ));
        let workers = self.worker.clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("lending".into())
            .spawn(move || {
                // Workers belong to whoever runs this, and fetch many blobs at once.
                let unlimited = Rate {
                    a_second: 0,
                    at_once: 0,
                };
                let limits = Limits {
                    requests_of_address: unlimited,
                    requests_of_key: unlimited,
                    ..Limits::default()
                };
                runtime.block_on(work::serve(
                    listener,
                    tls,
                    exchange,
                    workers,
                    &names,
                    &limits,
                    async {
                        let _ = stopped.await;
                    },
                ));
                // A worker that waits for a task does not hold up the end.
                runtime.shutdown_background();
            })
            .map_err(|error| {
                Failure::new(format!("the server of jobs could not start: {error}"))
            })?;
        lending.stop = Some(stop);
        lending.threads.push(thread);
        Ok(())
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.over.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
