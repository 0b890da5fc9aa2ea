//! Options that name a queue and a store which several machines reach.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use fedseal_engines::files::Files;
use fedseal_engines::helper::{Helper, Place, shown};
use fedseal_engines::queue::Queue;
use fedseal_engines::store::Store;

use crate::failure::{Failure, Outcome};

/// A queue and a store.
#[derive(Args)]
pub(super) struct Engines {
    /// Queue of jobs: nats://HOST:PORT (also tls://, ws://, wss://), a NATS server with JetStream; ?queue=NAME
    /// names another queue than "fedseal" there. It needs the helper program fedseal-engines.
    #[arg(long, value_name = "URL", requires = "blobs")]
    queue: Option<String>,
    /// Store of blobs and results: s3://BUCKET/PREFIX, with endpoint and credentials in the environment
    /// (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), or a folder that all machines
    /// see.
    #[arg(long, value_name = "URL", requires = "queue")]
    blobs: Option<String>,
    /// Credentials of the queue: a file with a JWT and an NKey seed, as `nsc` writes it.
    #[arg(long, value_name = "FILE", requires = "queue")]
    queue_creds: Option<PathBuf>,
}

/// Both, connected.
pub(super) struct Connected {
    /// The queue.
    pub(super) queue: Box<dyn Queue>,
    /// The store.
    pub(super) store: Box<dyn Store>,
}

impl Engines {
    /// Whether they were named.
    pub(super) fn are_given(&self) -> bool {
        self.queue.is_some()
    }

    /// Refuses addresses of engines that are not known.
    pub(super) fn check(&self) -> Outcome {
        let known = ["nats://", "tls://", "ws://", "wss://"];
        if let Some(queue) = &self.queue
            && !known.iter().any(|scheme| queue.starts_with(scheme))
        {
            return Err(
                Failure::usage(format!("{}: no address of a queue", shown(queue)))
                    .hint(format!("It begins with {}.", known.join(", "))),
            );
        }
        match self.blobs.as_deref().and_then(|it| it.split_once("://")) {
            None | Some(("s3", _)) => Ok(()),
            Some((scheme, _)) => Err(Failure::usage(format!(
                "{scheme}: no store is known by that scheme"
            ))
            .hint("--blobs takes s3://BUCKET/PREFIX or a folder.")),
        }
    }

    /// Connects to both, where they were named. Jobs are leased for so long.
    pub(super) fn connect(&self, lease: Duration) -> Outcome<Option<Connected>> {
        self.check()?;
        let (Some(queue), Some(blobs)) = (&self.queue, &self.blobs) else {
            return Ok(None);
        };
        let place = Place::queue(queue, lease, self.queue_creds.as_deref());
        let queue = Helper::start(&place).map_err(Failure::new)?;
        let store: Box<dyn Store> = match blobs.starts_with("s3://") {
            true => Box::new(Helper::start(&Place::store(blobs)).map_err(Failure::new)?),
            false => Box::new(Files::open(Path::new(blobs)).map_err(Failure::new)?),
        };
        Ok(Some(Connected {
            queue: Box::new(queue),
            store,
        }))
    }

    /// Both addresses, without secrets.
    pub(super) fn shown(&self) -> String {
        let shown_of = |url: &Option<String>| url.as_deref().map(shown).unwrap_or_default();
        format!("{}, {}", shown_of(&self.queue), shown_of(&self.blobs))
    }
}
