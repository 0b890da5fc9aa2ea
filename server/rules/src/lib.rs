//! The rules of a federation: pure functions and values, without files of a run, clocks or sockets.
//!
//! - [`experiment`]: the TOML file that names every parameter, with errors that name key and line.
//! - [`sampling`], [`schedule`]: functions of the seed and the round.
//! - [`aggregation`], [`optimiser`]: updates in, next global adapter out; one file a rule.
//! - [`admission`]: declarative checks over an attested update; one file a check.
//! - [`site`]: rules of the data's holder for a node. [`lifecycle`]: states of a federation of nodes.
//! - [`defence`]: repair of an attacked adapter, and its audit; one file a defence.
//! - [`evaluation`]: safety and helpfulness, from answers. [`statistics`]: tests of their differences.
//! - [`formulas`]: versions of all of these, and of the texts that a model is trained on ([`text`]).
//! - [`attack`]: kinds of malicious clients. [`arms`]: the columns of an experiment.
//!   [`work`]: how much there is to do.
//!
//! ```
//! use fedseal_rules::experiment::Experiment;
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
pub mod defence;
pub mod error;
pub mod evaluation;
pub mod experiment;
pub mod formulas;
pub mod lifecycle;
pub mod optimiser;
pub mod sampling;
pub mod schedule;
pub mod site;
pub mod statistics;
pub mod text;
pub mod work;

pub use error::{Error, Result};
