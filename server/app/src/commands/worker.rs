//! `fedseal worker --queue URL --blobs URL`: a worker that does jobs of any run.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fedseal_federation::worker::queued::Queued;

use super::bench::Bench;
use super::engines::Engines;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Does jobs of every run that queues them there (`fedseal run --queue --blobs`), until Ctrl-C. It needs the
/// runs' models, and keeps nothing but blobs; it may be killed at any time. Whoever may write to queue and store
/// is trusted as the runs' own machine is.
#[derive(Args)]
pub(crate) struct Worker {
    #[command(flatten)]
    engines: Engines,
    /// Seconds for which a job is leased, the same for every run and worker of a queue; a worker that works on it
    /// renews that.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lease: u64,
    /// Key of the modules that this worker keeps compiled; by default worker.pem in the folder of keys, which is
    /// made at first use.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    bench: Bench,
}

impl Worker {
    /// Works until it is stopped.
    pub(crate) fn execute(self) -> Outcome {
        let key = self.bench.key(self.key.as_deref())?;
        let connected = self.engines.connect(Duration::from_secs(self.lease))?;
        let connected = connected.ok_or_else(|| {
            Failure::usage("a worker needs a queue and a store").hint(
                "--queue nats://HOST --blobs s3://BUCKET, or a folder; `fedseal work URL` does jobs of one run.",
            )
        })?;
        output::line(format!("worker at {}", self.engines.shown()));
        let queued = Queued::new(connected.queue.as_ref(), connected.store.as_ref());
        self.bench.work(&queued, key)
    }
}
