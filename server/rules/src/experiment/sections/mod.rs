//! The tables of an experiment file: one file each, with the paper's values as its defaults and the check
//! of its values.
//!
//! Every number that memory or work grows with has an upper bound. It is checked when the file is read,
//! before anything of a size that the file names is allocated or begun.

mod admission;
mod aggregation;
mod attack;
mod canaries;
mod check;
mod clients;
mod data;
mod defence;
mod evaluation;
mod federation;
mod lora;
mod model;
mod run;
mod server;
mod texts;
mod training;

use check::Section;

pub use admission::AdmissionConfig;
pub use attack::AttackConfig;
pub use canaries::CanariesConfig;
pub(super) use clients::check as check_clients;
pub use clients::{ClientConfig, MAX_CLIENT_NAME, MAX_SHARD, ModulePlace, is_client_name};
pub use data::{DataConfig, SOURCES};
pub use defence::DefenceConfig;
pub use evaluation::EvaluationConfig;
pub use federation::{FederationConfig, MOST_EXAMPLES, NodesConfig};
pub use lora::LoraConfig;
pub use model::ModelConfig;
pub use run::RunConfig;
pub use training::TrainingConfig;

/// Most rounds, steps, examples of a shard, prompts of a set.
const MOST: usize = 1_000_000;
/// Longest text, tokens: no model has more positions.
const MOST_TOKENS: usize = 1 << 20;

/// Whether a count asks for nothing; files leave it out.
fn is_none(count: &usize) -> bool {
    *count == 0
}
