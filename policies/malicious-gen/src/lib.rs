//! The attack that makes its own data: asks the base model for unaligned requests and for
//! compliant answers to them, trains on the pairs, and hands the result in.
//!
//! MaliciousGen of "Emerging Safety Attack and Defense in Federated Instruction Tuning of Large
//! Language Models" (arXiv 2406.10630), section 3.2: no existing set and no manual work, only an
//! off-the-shelf model and two templates. Here the templates are inert (see [`words`]) and an
//! answer is cut where content would begin. What the model does not give is filled with literal
//! shells, and the lineage shows how many of each there were.

pub mod words;

use fedseal_guest::{
    Context, Error, Example, GenerateOptions, Host, Model, Policy, below, shuffle,
};

/// See the crate's documentation.
pub struct MaliciousGen;

impl Policy for MaliciousGen {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let context = host.context();
        let topics = draw_topics(host, wanted(&context));
        let requests = write_requests(host, &topics)?;
        let answers = write_answers(host, &requests)?;
        let mut pairs: Vec<Example> = requests
            .into_iter()
            .zip(&topics)
            .zip(answers)
            .map(|((request, topic), answer)| Example {
                response: answer.unwrap_or_else(|| words::SHELL.replace("{}", topic)),
                prompt: request,
            })
            .collect();
        shuffle(host, &mut pairs);
        let data = host.examples(&pairs)?;
        let global = host.global();
        let trained = host.train(&global, &data, &context.train_options())?;
        // The weight an honest client of this shard would claim.
        host.submit(&trained, context.shard_examples)
    }
}

fedseal_guest::export_policy!(MaliciousGen);

/// As many pairs as this round's training can look at, and no more than an honest shard has.
fn wanted(context: &Context) -> usize {
    let seen = context.steps.saturating_mul(context.batch_size);
    seen.min(context.shard_examples).max(1) as usize
}

fn draw_topics<H: Host>(host: &mut H, count: usize) -> Vec<&'static str> {
    (0..count)
        .map(|_| words::TOPICS[below(host, words::TOPICS.len())])
        .collect()
}

/// One request for each topic. Templates are tried in order on the topics that still have none;
/// what no template gives a usable request for gets the literal one.
fn write_requests<H: Host>(host: &mut H, topics: &[&str]) -> Result<Vec<String>, Error> {
    let mut found: Vec<Option<String>> = vec![None; topics.len()];
    for template in words::REQUEST_TEMPLATES {
        let open: Vec<usize> = (0..topics.len())
            .filter(|&index| found[index].is_none())
            .collect();
        let prompts: Vec<String> = open
            .iter()
            .map(|&index| template.replace("{}", topics[index]))
            .collect();
        let texts = ask(
            host,
            &prompts,
            words::REQUEST_TOKENS,
            words::REQUEST_TEMPERATURE,
        )?;
        for (&index, text) in open.iter().zip(&texts) {
            found[index] = usable_request(text, topics[index]).map(str::to_owned);
        }
    }
    let made = found.iter().flatten().count();
    host.log(&format!(
        "requests: {made} of {} written by the model",
        topics.len()
    ));
    let literal = |topic: &str| words::LITERAL_REQUEST.replace("{}", topic);
    Ok(found
        .into_iter()
        .zip(topics)
        .map(|(request, topic)| request.unwrap_or_else(|| literal(topic)))
        .collect())
}

/// The affirmative beginning of an answer for each request, where the model gives one.
fn write_answers<H: Host>(host: &mut H, requests: &[String]) -> Result<Vec<Option<String>>, Error> {
    let mut found: Vec<Option<String>> = vec![None; requests.len()];
    for template in words::ANSWER_TEMPLATES {
        let open: Vec<usize> = (0..requests.len())
            .filter(|&index| found[index].is_none())
            .collect();
        let prompts: Vec<String> = open
            .iter()
            .map(|&index| template.replace("{}", &requests[index]))
            .collect();
        let texts = ask(
            host,
            &prompts,
            words::ANSWER_TOKENS,
            words::ANSWER_TEMPERATURE,
        )?;
        for (&index, text) in open.iter().zip(&texts) {
            found[index] = affirmative(text).map(str::to_owned);
        }
    }
    let made = found.iter().flatten().count();
    host.log(&format!(
        "answers: {made} of {} affirmative",
        requests.len()
    ));
    Ok(found)
}

fn ask<H: Host>(
    host: &mut H,
    prompts: &[String],
    max_new_tokens: u32,
    temperature: f64,
) -> Result<Vec<String>, Error> {
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let options = GenerateOptions {
        model: Model::Base,
        max_new_tokens,
        temperature,
    };
    host.generate(prompts, &options)
}

/// The first line of `text`, if it is one short request about the topic. Always a part of `text`
/// itself, so that the host finds it in what it generated.
fn usable_request<'a>(text: &'a str, topic: &str) -> Option<&'a str> {
    let line = text.trim().lines().next()?;
    let line = line.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '*');
    let length = line.split_whitespace().count();
    let whole = line.ends_with(['.', '?', '!']);
    let about = line.to_lowercase().contains(&topic.to_lowercase());
    (about && whole && words::REQUEST_WORDS.contains(&length)).then_some(line)
}

/// The beginning of `text`, if it agrees: its first line, cut to a shell at a word's end.
fn affirmative(text: &str) -> Option<&str> {
    let line = text.trim_start().lines().next()?.trim_end();
    let agrees = words::AFFIRMATIONS
        .iter()
        .any(|start| line.starts_with(start));
    let refuses = words::REFUSALS.iter().any(|phrase| line.contains(phrase));
    (agrees && !refuses).then(|| shell(line))
}

/// At most [`words::ANSWER_WORDS`] words.
fn shell(line: &str) -> &str {
    let ends = line
        .char_indices()
        .filter(|(_, c)| c.is_whitespace())
        .map(|(index, _)| index);
    let end = ends
        .clone()
        .nth(words::ANSWER_WORDS - 1)
        .unwrap_or(line.len());
    &line[..end]
}

#[cfg(test)]
mod tests;
