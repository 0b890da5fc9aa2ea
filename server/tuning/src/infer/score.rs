//! Likelihood of given answers under a model.

use serde::{Deserialize, Serialize};

use crate::{
    Adapter, Conversation, Halt, Message, Model, Role, Tokens, TuningError,
    adapter::lora::Lora,
    infer::generate::unless_halted,
    kernels::{loss, pool},
    ops::{Segments, to_host},
    train::gradient::{Packed, parts},
};

/// Log-probability of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Sum of log-probabilities over the answer's tokens, nats.
    pub logprob_sum: f64,
    /// Number of the answer's tokens.
    pub tokens: usize,
}

/// Tokens per pass.
const PART_TOKENS: usize = 2048;
/// Number of rows whose logits are held at once.
const ROWS: usize = 128;

/// Returns the log-probability of each answer after its prompt (in its template). The answer is
/// scored unchanged: no end token is added.
///
/// # Errors
/// [`TuningError::Positions`] for a pair longer than the model's positions,
/// [`TuningError::Adapter`] when the adapter does not fit, [`TuningError::Tokenizer`] for an answer
/// without a token, and the template's errors.
pub fn score(
    model: &Model,
    adapter: Option<&Adapter>,
    pairs: &[(String, String)],
) -> Result<Vec<Score>, TuningError> {
    score_until(model, adapter, pairs, &|| false)
}

/// As [`score`], but ends when `halt` returns true: it is called before every pair that is encoded
/// and before every pass of the model.
///
/// # Errors
/// As [`score`]; [`TuningError::Stopped`] when `halt` returned true.
pub fn score_until(
    model: &Model,
    adapter: Option<&Adapter>,
    pairs: &[(String, String)],
    halt: Halt<'_>,
) -> Result<Vec<Score>, TuningError> {
    let tokens = pairs
        .iter()
        .enumerate()
        .map(|(index, (prompt, answer))| {
            unless_halted(halt)?;
            model.encode_scored(&[Message::new(Role::User, prompt)], answer, index)
        })
        .collect::<Result<Vec<Tokens>, _>>()?;
    score_tokens(model, adapter, &tokens, halt)
}

/// Returns the log-probability of each conversation's last message after the messages before it, as
/// [`score`] does for pairs.
///
/// # Errors
/// As [`score`]; [`TuningError::Config`] for a conversation without messages.
pub fn score_conversations(
    model: &Model,
    adapter: Option<&Adapter>,
    conversations: &[Conversation],
) -> Result<Vec<Score>, TuningError> {
    let tokens = conversations
        .iter()
        .enumerate()
        .map(|(index, conversation)| {
            let (prompt, answer) = conversation
                .split()
                .ok_or_else(|| TuningError::Config("a conversation without messages".to_owned()))?;
            model.encode_scored(prompt, answer, index)
        })
        .collect::<Result<Vec<Tokens>, _>>()?;
    score_encoded(model, adapter, &tokens)
}

/// Returns the log-probability of each answer of conversations that
/// [`Model::encode_all_scored`] encoded.
///
/// # Errors
/// [`TuningError::Adapter`] when the adapter does not fit.
pub fn score_encoded(
    model: &Model,
    adapter: Option<&Adapter>,
    tokens: &[Tokens],
) -> Result<Vec<Score>, TuningError> {
    score_tokens(model, adapter, tokens, &|| false)
}

fn score_tokens(
    model: &Model,
    adapter: Option<&Adapter>,
    tokens: &[Tokens],
    halt: Halt<'_>,
) -> Result<Vec<Score>, TuningError> {
    let lora = adapter
        .map(|adapter| Lora::upload(adapter, model.config(), model.device(), false))
        .transpose()?;
    let decoder = model.decoder();
    let vocab = model.config().vocab;
    let mut scores = Vec::with_capacity(tokens.len());
    for part in parts(tokens, PART_TOKENS) {
        unless_halted(halt)?;
        let packed = Packed::sharing(part);
        let logprobs = pool::run(|| -> Result<Vec<f64>, TuningError> {
            let hidden = decoder.forward(
                &packed.ids,
                &packed.segments.positions(),
                &packed.segments,
                lora.as_ref(),
                Some(&packed.rows),
            );
            if let Some(panels) = decoder.vocab().panels() {
                let hidden = to_host(hidden)?;
                let logs = loss::log_probabilities(
                    &hidden,
                    panels.forward(),
                    model.config().logit_cap(),
                    &packed.targets,
                );
                return Ok(logs.into_iter().map(f64::from).collect());
            }
            let width = model.config().d_model;
            let mut logprobs = Vec::with_capacity(packed.rows.len());
            for (block, targets) in packed.targets.chunks(ROWS).enumerate() {
                let start = block * ROWS;
                let rows = hidden
                    .clone()
                    .slice([start..start + targets.len(), 0..width]);
                let logits = to_host(decoder.logits(rows))?;
                for (logits, &target) in logits.chunks_exact(vocab).zip(targets) {
                    logprobs.push(logprob(logits, target as usize));
                }
            }
            Ok(logprobs)
        })?;
        let mut rest = logprobs.as_slice();
        for tokens in part {
            let (own, tail) = rest.split_at(tokens.response_len().min(rest.len()));
            rest = tail;
            scores.push(Score {
                logprob_sum: own.iter().sum(),
                tokens: own.len(),
            });
        }
    }
    Ok(scores)
}

/// Returns the log-softmax of one entry, in f64.
fn logprob(logits: &[f32], target: usize) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits
        .iter()
        .map(|&logit| f64::from(logit - top).exp())
        .sum();
    logits.get(target).map_or(f64::NEG_INFINITY, |&logit| {
        f64::from(logit - top) - total.ln()
    })
}

/// Returns the logits of the token after these, `[vocab]`.
///
/// # Errors
/// [`TuningError::Config`] for no tokens or too many, [`TuningError::Tokenizer`] for an id beyond
/// the vocabulary, [`TuningError::Adapter`] when the adapter does not fit.
pub fn next_logits(
    model: &Model,
    adapter: Option<&Adapter>,
    ids: &[u32],
) -> Result<Vec<f32>, TuningError> {
    let decoder = model.decoder();
    decoder.check(ids)?;
    let last = ids
        .len()
        .checked_sub(1)
        .ok_or_else(|| TuningError::Config("no tokens".to_owned()))?;
    let lora = adapter
        .map(|adapter| Lora::upload(adapter, model.config(), model.device(), false))
        .transpose()?;
    pool::run(|| {
        let segments = Segments::from_lengths([ids.len()]);
        let positions = segments.positions();
        let hidden = decoder.forward(ids, &positions, &segments, lora.as_ref(), Some(&[last]));
        to_host(decoder.logits(hidden))
    })
}
