//! The federation: rounds of federated instruction tuning in which every client update carries
//! proof of how it was made.
//!
//! This room decides. It samples clients, has their modules executed by the sandbox, attests and
//! logs what came out, admits or refuses it, aggregates, defends, evaluates and reports. It never
//! touches a tensor library or a Wasm engine itself (rooms `tuning` and `sandbox` do), never opens
//! a socket, and never decides anything that the log does not record.
//!
//! In the order a reader meets them:
//!
//! - [`experiment`]: the TOML file that names every parameter, with errors that name key and line.
//! - [`data`]: where requests, tasks and shards come from; [`pretraining`]: the embedded model.
//! - [`sampling`], [`schedule`]: pure functions of the seed and the round.
//! - [`aggregation`], [`optimiser`]: updates in, next global adapter out; one file a rule.
//! - [`controls`]: SCAFFOLD's control variates from round to round.
//! - [`admission`]: declarative checks over an attested update; one file a check; [`dryrun`] tries
//!   them on a run that is over.
//! - [`site`]: what the holder of the data allows on a node.
//! - [`defence`]: repair after the last round. [`evaluation`]: safety and helpfulness.
//! - [`attack`]: kinds of malicious clients. [`arms`]: the columns of an experiment; [`runner`]:
//!   executes them, resumable at any point. [`panel`]: every policy alone against every check.
//! - [`report`], [`events`]: what people see. [`export`]: what a run ends with. [`opened`]: a run that
//!   is read, held against its log. [`mod@verify`], [`mod@replay`], [`monitor`],
//!   [`mod@explain`]: what auditors run; [`mod@bundle`]: one file for those who have no run.
//!
//! ```
//! use fedseal_federation::experiment::Experiment;
//!
//! let text = "title = \"small\"\n[federation]\nrounds = 4\n";
//! let experiment = Experiment::parse(text, "small.toml").unwrap();
//! assert_eq!(experiment.federation.rounds, 4);
//! // Every key that is left out has the paper's value.
//! assert_eq!(experiment.federation.clients, 10);
//! ```

#![forbid(unsafe_code)]

pub mod admission;
pub mod aggregation;
pub mod arms;
pub mod attack;
pub mod bundle;
pub mod controls;
pub mod data;
pub mod defence;
pub mod dryrun;
pub mod error;
pub mod evaluation;
pub mod events;
pub mod experiment;
pub mod explain;
pub mod export;
pub mod lab;
pub mod memo;
pub mod monitor;
pub mod opened;
pub mod optimiser;
pub mod panel;
pub mod pretraining;
pub mod replay;
pub mod report;
pub mod rundir;
pub mod runner;
pub mod sampling;
pub mod schedule;
pub mod site;
pub mod verify;

pub use error::{Error, Result};
