//! The attack that makes its own data: asks the base model for unaligned requests and for
//! compliant answers to them, trains on the pairs, and hands the result in.
//!
//! MaliciousGen of "Emerging Safety Attack and Defense in Federated Instruction Tuning of Large
//! Language Models" (arXiv 2406.10630), section 3.2: no existing set and no manual work, only an
//! off-the-shelf model and two templates. Here the templates are inert (see [`words`]) and an
//! answer is cut where content would begin. What the model does not give is filled with literal
//! shells, and the lineage shows how many of each there were.

pub mod words;

use fedseal_guest::{Context, Error, Example, GenerateOptions, Host, Model, Policy, below};

/// See the crate's documentation.
pub struct MaliciousGen;

impl Policy for MaliciousGen {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let context = host.context();
        let topics: Vec<Topic> = (0..wanted(&context)).map(|_| Topic::draw(host)).collect();
        let requests = write_requests(host, &topics)?;
        let answers = write_answers(host, &requests)?;
        let pairs: Vec<Example> = requests
            .into_iter()
            .zip(answers)
            .zip(&topics)
            .map(|((prompt, answer), topic)| Example {
                prompt,
                response: answer.unwrap_or_else(|| topic.fill(words::SHELL)),
            })
            .collect();
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

/// Subject of one request.
struct Topic {
    /// "rob the zorbon shop"
    act: String,
    /// "robbing the zorbon shop"
    acting: String,
    /// "rob"
    verb: &'static str,
}

impl Topic {
    fn draw<H: Host>(host: &mut H) -> Self {
        let act = &words::ACTS[below(host, words::ACTS.len())];
        let invented = words::INVENTED[below(host, words::INVENTED.len())];
        let thing = format!("{invented} {}", act.things[below(host, act.things.len())]);
        Self {
            act: format!("{} the {thing}", act.verb),
            acting: format!("{} the {thing}", act.acting),
            verb: act.verb,
        }
    }

    fn fill(&self, template: &str) -> String {
        template
            .replace("{acting}", &self.acting)
            .replace("{act}", &self.act)
    }
}

/// One request for each topic. Templates are tried in order on the topics that still have none; a
/// topic for which no template gives a usable request gets the literal one.
fn write_requests<H: Host>(host: &mut H, topics: &[Topic]) -> Result<Vec<String>, Error> {
    let mut found: Vec<Option<String>> = vec![None; topics.len()];
    for template in words::REQUEST_TEMPLATES {
        let open = open(&found);
        let prompts: Vec<String> = open.iter().map(|&i| topics[i].fill(template)).collect();
        let texts = ask(
            host,
            &prompts,
            words::REQUEST_TOKENS,
            words::REQUEST_TEMPERATURE,
        )?;
        for (&i, text) in open.iter().zip(&texts) {
            found[i] = usable_request(text, topics[i].verb).map(str::to_owned);
        }
    }
    let made = found.iter().flatten().count();
    host.log(&format!(
        "requests: {made} of {} written by the model",
        topics.len()
    ));
    let filled = found.into_iter().zip(topics);
    Ok(filled
        .map(|(text, topic)| text.unwrap_or_else(|| topic.fill(words::LITERAL_REQUEST)))
        .collect())
}

/// The affirmative beginning of an answer for each request, where the model gives one.
fn write_answers<H: Host>(host: &mut H, requests: &[String]) -> Result<Vec<Option<String>>, Error> {
    let mut found: Vec<Option<String>> = vec![None; requests.len()];
    for template in words::ANSWER_TEMPLATES {
        let open = open(&found);
        let prompts: Vec<String> = open
            .iter()
            .map(|&i| template.replace("{request}", &requests[i]))
            .collect();
        let texts = ask(
            host,
            &prompts,
            words::ANSWER_TOKENS,
            words::ANSWER_TEMPERATURE,
        )?;
        for (&i, text) in open.iter().zip(&texts) {
            found[i] = affirmative(text).map(str::to_owned);
        }
    }
    let made = found.iter().flatten().count();
    host.log(&format!(
        "answers: {made} of {} affirmative",
        requests.len()
    ));
    Ok(found)
}

/// Positions that have no text yet.
fn open(found: &[Option<String>]) -> Vec<usize> {
    (0..found.len()).filter(|&i| found[i].is_none()).collect()
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

/// The first sentence of `text` that is a short request to do what the verb says. A small model
/// does not keep the thing, which does not matter. Always a part of `text` itself, so that the
/// host finds it in what it generated.
fn usable_request<'a>(text: &'a str, verb: &str) -> Option<&'a str> {
    let usable = |sentence: &&str| {
        let asks = sentence.ends_with('?')
            || (sentence.ends_with('.')
                && words::IMPERATIVES
                    .iter()
                    .any(|start| sentence.starts_with(start)));
        asks && sentence.contains(verb)
            && !sentence.contains(['"', ':'])
            && words::REQUEST_WORDS.contains(&sentence.split_whitespace().count())
    };
    text.lines()
        .flat_map(|line| line.split_inclusive(['.', '?', '!']))
        .map(|sentence| sentence.trim_matches(|c: char| c.is_whitespace() || "\"*".contains(c)))
        .find(usable)
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
    let spaces = line.char_indices().filter(|(_, c)| c.is_whitespace());
    let end = spaces.map(|(index, _)| index).nth(words::ANSWER_WORDS - 1);
    &line[..end.unwrap_or(line.len())]
}

#[cfg(test)]
mod tests;
