//! Work that other processes do for a run.
//!
//! A run's jobs (updates, replays, probes, measures, repairs) are functions of blobs that the run's plan and
//! log pin. [`task`] names a job by the digests of all of them, so a job is the same wherever it is executed;
//! [`board`] lends jobs out and takes each result once; [`package`] is a result on its way. Workers
//! ([`worker`](crate::worker)) execute tasks by the code that the run itself executes them by.
//!
//! [`desk`] offers updates to the nodes of data holders: each has one node, which signs what it did itself.
//! [`courier`](crate::runner::courier) carries tasks through a queue and a store that many machines reach.
//!
//! Workers belong to whoever runs the experiment: the run signs what they report. A task that two workers
//! execute gives the same bits, so it does not matter who is first.

pub mod board;
pub mod claims;
pub mod desk;
pub(crate) mod hear;
pub mod package;
pub mod task;
