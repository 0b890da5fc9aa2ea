//! `fedseal work URL`: a worker that does jobs of a run.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fedseal_client_sdk as sdk;
use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::http_signature::Role;
use fedseal_client_sdk::signed::SignedClient;
use fedseal_federation::work::task::Offer;
use fedseal_federation::worker::Coordinator;
use fedseal_federation::{Error, Result};
use serde_json::json;

use super::administer::Authorities;
use super::bench::Bench;
use super::wire;
use crate::failure::Outcome;
use crate::http::work::{Back, Lent, PREFIX, RESULT_LIMIT, WAIT};
use crate::output;

/// Longest answer to anything but a blob, bytes.
const SMALL: u64 = 1 << 20;
/// Time of a call beyond its wait: a large result over a slow line.
const CALL: Duration = Duration::from_secs(15 * 60);

/// Does jobs of a run that lends them (`fedseal run --lend`), until Ctrl-C. It needs the run's model, and keeps
/// nothing but blobs; it may be killed at any time.
#[derive(Args)]
pub(crate) struct Work {
    /// The run's address, as it prints it.
    #[arg(value_name = "URL")]
    run: String,
    /// This worker's key; by default worker.pem in the folder of keys, which is made at first use. The run is
    /// told its public half, which is printed.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Speak to another machine without encryption.
    #[arg(long)]
    insecure_http: bool,
    #[command(flatten)]
    bench: Bench,
    #[command(flatten)]
    authorities: Authorities,
}

impl Work {
    /// Works until it is stopped.
    pub(crate) fn execute(self) -> Outcome {
        self.check()?;
        self.authorities.take()?;
        let key = self.bench.key(self.key.as_deref())?;
        output::line(format!("worker {} for {}", key.public(), self.run));
        let run = Remote {
            client: SignedClient::new(&self.run, key.clone(), Role::Worker, CALL + WAIT),
        };
        self.bench.work(&run, key)
    }

    /// Refuses plain HTTP to another machine, unless that was asked for.
    fn check(&self) -> Outcome {
        wire::check(&self.run, self.insecure_http, "the shards")
    }
}

/// A run at an address.
struct Remote {
    client: SignedClient,
}

impl Remote {
    fn json(&self, path: &str, body: &serde_json::Value) -> Result<(u16, Vec<u8>)> {
        let bytes = body.to_string();
        let body = Some(("application/json", bytes.as_bytes()));
        Ok(self
            .client
            .call("POST", &format!("{PREFIX}{path}"), body, SMALL)?)
    }
}

fn unread(path: &str, error: serde_json::Error) -> Error {
    Error::Sdk(sdk::Error::Http {
        url: path.to_owned(),
        detail: Box::new(error),
    })
}

impl Coordinator for Remote {
    fn take(&self) -> Result<Option<Offer>> {
        let (status, bytes) = self.json("/take", &json!({}))?;
        if status == 204 {
            return Ok(None);
        }
        let lent: Lent = serde_json::from_slice(&bytes).map_err(|error| unread("/take", error))?;
        Ok(Some(Offer {
            id: lent.id,
            task: lent.task,
            lease: Duration::try_from_secs_f64(lent.lease).unwrap_or(WAIT),
        }))
    }

    fn blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = format!("{PREFIX}/blobs/{digest}");
        Ok(self.client.call("GET", &path, None, RESULT_LIMIT as u64)?.1)
    }

    fn renew(&self, id: &Digest) -> Result<bool> {
        let path = format!("/tasks/{id}/renew");
        let (_, bytes) = self.json(&path, &json!({}))?;
        let answer: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| unread(&path, error))?;
        Ok(answer["held"] == true)
    }

    fn done(&self, id: &Digest, package: &[u8]) -> Result<()> {
        let path = format!("{PREFIX}/tasks/{id}/result");
        let body = Some(("application/x-tar", package));
        match self.client.call("PUT", &path, body, SMALL) {
            Ok(_) => Ok(()),
            // The run went on without it.
            Err(sdk::Error::Refused { status: 410, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn give_back(&self, id: &Digest, failure: Option<&str>) -> Result<()> {
        let back = Back {
            failure: failure.map(str::to_owned),
        };
        self.json(&format!("/tasks/{id}/give-back"), &json!(back))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_is_spoken_to_in_the_open_only_when_asked_for() {
        let check = |run: &str, insecure_http| {
            Work {
                run: run.into(),
                key: None,
                insecure_http,
                bench: Bench::default(),
                authorities: Authorities::default(),
            }
            .check()
        };
        for here in [
            "http://127.0.0.1:8661",
            "http://localhost:8661/",
            "http://[::1]:8661",
            "http://127.0.0.9",
        ] {
            assert!(check(here, false).is_ok(), "{here}");
        }
        for there in [
            "http://10.0.0.7:8661",
            "http://fed.example",
            "http://[2001:db8::1]:80",
        ] {
            assert!(check(there, false).is_err(), "{there}");
            assert!(check(there, true).is_ok(), "{there}");
        }
        assert!(check("https://fed.example", false).is_ok());
        assert!(check("fed.example:8661", true).is_err());
    }
}
