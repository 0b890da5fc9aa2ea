//! Upper bounds on an experiment's numbers, and numbers that single precision has to hold. They are
//! checked when the file is read, before anything of a size that the file names is allocated or begun.

use fedseal_adapter::limits;

use super::Experiment;
use super::engine::{adapter_config, train_config};
use super::locate::Located;
use crate::error::Result;

/// Most rounds, steps, examples of a shard, prompts of a set.
const MOST: usize = 1_000_000;
/// Most examples of all shards together.
const MOST_EXAMPLES: usize = 10_000_000;
/// Longest text, tokens: no model has more positions.
const MOST_TOKENS: usize = 1 << 20;

/// Checks every number that memory or work grows with.
pub(super) fn check(e: &Experiment, at: &Located<'_>) -> Result<()> {
    let (f, t, a) = (&e.federation, &e.training, &e.aggregation);
    let (d, v, c) = (&e.defence, &e.evaluation, &e.canaries);
    for (key, value, most) in [
        ("federation.rounds", f.rounds as usize, MOST),
        (
            "federation.examples_per_client",
            f.examples_per_client,
            MOST,
        ),
        ("training.local_steps", t.local_steps as usize, MOST),
        (
            "training.batch_size",
            t.batch_size as usize,
            limits::MAX_STEP_EXAMPLES,
        ),
        ("training.sequence_length", t.sequence_length, MOST_TOKENS),
        (
            "training.max_response_tokens",
            t.max_response_tokens,
            MOST_TOKENS,
        ),
        ("lora.rank", e.lora.rank, limits::MAX_RANK),
        (
            "attack.attachment_examples",
            e.attack.attachment_examples,
            MOST,
        ),
        ("aggregation.dnc_iterations", a.dnc_iterations, MOST),
        ("defence.steps", d.steps as usize, MOST),
        (
            "defence.batch_size",
            d.batch_size as usize,
            limits::MAX_STEP_EXAMPLES,
        ),
        ("defence.safety_examples", d.safety_examples, MOST),
        ("defence.helpful_examples", d.helpful_examples, MOST),
        ("defence.attempts", d.attempts, MOST),
        ("defence.max_new_tokens", d.max_new_tokens, MOST_TOKENS),
        ("evaluation.offset", v.offset, MOST),
        ("evaluation.prompts", v.prompts, MOST),
        ("evaluation.tasks", v.tasks, MOST),
        ("evaluation.max_new_tokens", v.max_new_tokens, MOST_TOKENS),
        ("evaluation.batch_size", v.batch_size, limits::MAX_TEXTS),
        ("canaries.sealed", c.sealed, MOST),
    ] {
        if value > most {
            return Err(at.error(key, format!("expected at most {most}, found {value}")));
        }
    }
    let examples = f.clients.saturating_mul(f.examples_per_client);
    if examples > MOST_EXAMPLES {
        return Err(at.error(
            "federation.examples_per_client",
            format!(
                "expected at most {MOST_EXAMPLES} examples of all clients, found {} of each of {}",
                f.examples_per_client, f.clients
            ),
        ));
    }
    for (key, value) in [
        ("training.learning_rate_final", t.learning_rate_final),
        ("defence.learning_rate", d.learning_rate),
    ] {
        if !(value as f32).is_finite() {
            return Err(at.error(
                key,
                format!("expected at most {:e}, found {value:e}", f32::MAX),
            ));
        }
    }
    // The engine's own rules, over the values as it gets them.
    train_config(e)
        .validate()
        .map_err(|error| at.error("training", error))?;
    adapter_config(e)
        .validate()
        .map_err(|error| at.error("lora", error))
}
