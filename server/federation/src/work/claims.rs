//! Jobs as they stand in a queue, and the names of what a store says about them.

use fedseal_client_sdk::digest::Digest;
use fedseal_engines::store::Name;
use serde::{Deserialize, Serialize};

use super::task::Task;
use crate::Error;

/// A job in the queue.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// The task.
    pub task: Task,
    /// How often it came back before; results and failures of each attempt have their own claims.
    pub attempt: u32,
}

/// The claim of a job's result: the digest of its package, a blob of the store.
pub fn result_of(job: &Digest, attempt: u32) -> Name {
    Name::new("result", job, attempt)
}

/// The claim of a job's failure: the reason.
pub fn failure_of(job: &Digest, attempt: u32) -> Name {
    Name::new("failure", job, attempt)
}

/// An error of an engine as one of this room: a passing one is told from the others by report's retries.
pub(crate) fn of_engine(error: fedseal_engines::Error) -> Error {
    match error {
        fedseal_engines::Error::Unreachable { engine, detail } => {
            Error::Sdk(fedseal_client_sdk::Error::Http {
                url: engine,
                detail: detail.into(),
            })
        }
        other => Error::Model(Box::new(other)),
    }
}
