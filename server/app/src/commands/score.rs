//! `fedseal score`

use std::path::PathBuf;

use clap::Args;
use fedseal_tuning::{Conversation, Example, Model, Score as Scored, Tokens};
use serde_json::json;

use super::engine::{self, ModelChoice};
use super::rows::{DataChoice, DataRead, Place};
use crate::failure::Outcome;
use crate::output;

/// Says how likely a model finds given answers: the sum of the log-probabilities of an answer's
/// tokens after its prompt, in nats.
#[derive(Args)]
pub(crate) struct Score {
    /// Answers to score after --prompt.
    #[arg(requires = "prompt", required_unless_present = "data")]
    answers: Vec<String>,
    /// The prompt before every answer.
    #[arg(long, value_name = "TEXT", conflicts_with = "data")]
    prompt: Option<String>,
    /// Data files instead: the last answer of every conversation after what stands before it. Which
    /// rows are left out is said on standard error.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    reading: DataChoice,
    #[command(flatten)]
    model: ModelChoice,
    /// An adapter: a blob of a run, or a folder that PEFT or `fedseal tune` wrote.
    #[arg(long, value_name = "PATH")]
    adapter: Option<PathBuf>,
    /// Print one JSON object an answer: prompt, answer, logprob, tokens.
    #[arg(long)]
    json: bool,
}

/// Conversations that are scored before their results are printed.
const BATCH: usize = 256;

/// Returns the conversations that the model can score, each with its tokens, and says which rows of the
/// files are left out.
fn readable(mut data: DataRead, model: &Model) -> Outcome<(Vec<Conversation>, Vec<Tokens>)> {
    let (places, all): (Vec<Place>, Vec<Conversation>) = data.conversations.iter().cloned().unzip();
    let (mut tokens, mut bad) = (Vec::new(), Vec::new());
    for (place, encoded) in places.into_iter().zip(model.encode_all_scored(&all)) {
        match encoded {
            Ok(encoded) => tokens.push(encoded),
            Err(error) => bad.push((place, error)),
        }
    }
    data.pass_over(bad)?;
    for file in data.files.iter().filter(|file| file.left_out()) {
        output::note(file.text());
    }
    let conversations = data.conversations.into_iter().map(|(_, it)| it);
    Ok((conversations.collect(), tokens))
}

/// Returns the given answers after their prompt, each with its tokens.
fn given(
    prompt: &str,
    answers: &[String],
    model: &Model,
) -> Outcome<(Vec<Conversation>, Vec<Tokens>)> {
    let answers = answers.iter();
    let all: Vec<Conversation> = answers
        .map(|answer| Example::new(prompt, answer).into())
        .collect();
    let tokens = model.encode_all_scored(&all).into_iter();
    let tokens: Result<Vec<Tokens>, _> = tokens.collect();
    Ok((all, tokens.map_err(engine::refused)?))
}

impl Score {
    /// Prints one line an answer, and the mean of all.
    pub(crate) fn execute(self) -> Outcome {
        let data = match &self.prompt {
            Some(_) => None,
            None => Some(self.reading.read(&self.data)?),
        };
        let model = self.model.load()?;
        let adapter = engine::optional_adapter(self.adapter.as_deref(), &model, &self.model)?;
        let (conversations, encoded) = match data {
            Some(data) => readable(data, &model)?,
            None => given(
                self.prompt.as_deref().unwrap_or_default(),
                &self.answers,
                &model,
            )?,
        };
        if !self.json {
            output::line(format!(
                "{:>10}  {:>6}  {:>9}  answer",
                "logprob", "tokens", "per token"
            ));
        }
        let (mut sum, mut tokens) = (0.0, 0);
        for (batch, tokens_of) in conversations.chunks(BATCH).zip(encoded.chunks(BATCH)) {
            let scores = fedseal_tuning::score_encoded(&model, adapter.as_ref(), tokens_of)
                .map_err(engine::refused)?;
            for (conversation, score) in batch.iter().zip(scores) {
                sum += score.logprob_sum;
                tokens += score.tokens;
                self.print(conversation, score);
            }
        }
        if !self.json {
            let mean = sum / tokens.max(1) as f64;
            output::line(format!(
                "{} answers, {tokens} tokens, {mean:.4} nats a token, perplexity {:.3}",
                conversations.len(),
                (-mean).exp()
            ));
        }
        Ok(())
    }

    fn print(&self, conversation: &Conversation, score: Scored) {
        let (prompt, answer) = conversation.split().unwrap_or_default();
        if self.json {
            let prompt = match (prompt, conversation.as_example()) {
                (_, Some(example)) => json!(example.prompt),
                (messages, None) => json!(messages),
            };
            output::line(json!({
                "prompt": prompt, "answer": answer,
                "logprob": score.logprob_sum, "tokens": score.tokens,
            }));
            return;
        }
        let shown: String = answer
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(60)
            .collect();
        output::line(format!(
            "{:>10.3}  {:>6}  {:>9.4}  {shown}",
            score.logprob_sum,
            score.tokens,
            score.logprob_sum / score.tokens.max(1) as f64
        ));
    }
}
