//! The honest client that holds plain text only: pairs are made of it with the open model, and the text
//! stays on the node.
//!
//! FedIT-U2S, "Leveraging Unstructured Text Data for Federated Instruction Tuning of Large Language
//! Models" (Ye et al. 2024): for each piece, the most related examples of a pool and the piece are
//! shown to the base model, which writes an instruction and an answer; a filter keeps those that are usable
//! ([`filter`]). [`related`] has the ways to choose examples.
//!
//! Attached settings: `related` (`bm25`, the default; `ngrams`, `random`, `none`), `shown` (examples with a
//! piece, 2), `rest` (`continue`, the default: a piece without a usable pair becomes a pair that continues it,
//! which is literal in the lineage; `drop`, as the source has it), `perplexity` (the most that an answer after
//! its instruction may have under the base model, a number above 0; left out: no bound). Declared: the answers
//! of the shard are the pieces, and decoding is greedy. The log says how many pairs each rule of the filter
//! dropped.

pub mod filter;
pub mod related;

use fedseal_guest::study::{self, settings};
use fedseal_guest::{Error, Example, GenerateOptions, Host, Model, Policy};
use filter::Filter;
use related::Related;

/// The pool: (text, instruction, answer).
const POOL: [[&str; 3]; 8] = [
    [
        "The heron stands in shallow water and waits for fish.",
        "Where does the heron wait for fish?",
        "It waits in shallow water.",
    ],
    [
        "Copper turns green when it meets air and rain for years.",
        "Why does old copper look green?",
        "Air and rain turn it green over years.",
    ],
    [
        "To make tea, boil water, pour it on the leaves and wait four minutes.",
        "How is tea made?",
        "Boil water, pour it on the leaves and wait four minutes.",
    ],
    [
        "A list of colours may have red, blue, yellow and white in it.",
        "Name four colours.",
        "Red, blue, yellow and white.",
    ],
    [
        "Bees tell each other by a dance where the flowers are and how far away.",
        "How do bees tell each other about flowers?",
        "By a dance that shows where they are and how far away.",
    ],
    [
        "Glass is made by melting sand with soda and lime in a hot furnace.",
        "Which things are melted to make glass?",
        "Sand, soda and lime.",
    ],
    [
        "The library is open from nine to six, and on Saturdays until noon.",
        "When does the library close on Saturdays?",
        "At noon.",
    ],
    [
        "A letter of thanks is short, names the gift, and says how it will be used.",
        "What belongs in a letter of thanks?",
        "The gift, and how it will be used, in few words.",
    ],
];

/// Examples shown with a piece.
const SHOWN: f64 = 2.0;
/// Tokens for an instruction and its answer.
const TOKENS: u32 = 48;

/// See the crate's documentation.
pub struct TextToInstructions;

impl Policy for TextToInstructions {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let related = settings::setting(host, "related");
        let related = Related::named(related.as_deref())?;
        let shown = settings::number(host, "shown", SHOWN)?.max(0.0) as usize;
        let rest = settings::setting(host, "rest");
        let drops = rest.is_some_and(|rest| rest == "drop");
        let bound = settings::number(host, "perplexity", f64::INFINITY)?;
        if bound <= 0.0 {
            let problem = format!("setting perplexity: {bound} is not above 0");
            return Err(Error::Invalid(problem));
        }
        let context = host.context();
        let shard = host.shard();
        // As many pieces as this round's training can look at.
        let seen = context.steps.saturating_mul(context.batch_size).max(1);
        let pieces: Vec<String> = host
            .read_examples(&shard, 0, seen)
            .into_iter()
            .map(|pair| pair.response)
            .collect();
        let prompts: Vec<String> = pieces
            .iter()
            .map(|piece| {
                let chosen = related.choose(host, piece, &POOL.map(|[text, _, _]| text), shown);
                prompt(piece, &chosen)
            })
            .collect();
        let options = GenerateOptions {
            model: Model::Base,
            max_new_tokens: TOKENS,
            temperature: 0.0,
        };
        let texts = host.generate(&prompts, &options)?;
        let mut filter = Filter::new(POOL);
        let written = pieces.iter().zip(&texts);
        let mut kept: Vec<Option<Example>> = written
            .map(|(piece, text)| filter.pair(piece, text))
            .collect();
        if bound.is_finite() {
            let there: Vec<Example> = kept.iter().flatten().cloned().collect();
            let means = host.log_likelihood(&there, Model::Base)?;
            filter.likely(&mut kept, &means, bound);
        }
        let mut pairs = Vec::new();
        for (piece, pair) in pieces.iter().zip(kept) {
            match pair {
                Some(pair) => pairs.push(pair),
                None if drops => {}
                None => pairs.extend(continuation(piece)),
            }
        }
        host.log(&filter.said(pieces.len()));
        if pairs.is_empty() {
            return Err(Error::Invalid("no piece gave a usable pair".into()));
        }
        let data = host.examples(&pairs)?;
        let trained = study::train_on(host, &data)?;
        study::submit(host, &trained)
    }
}

/// The chosen examples of the pool, then the piece.
fn prompt(piece: &str, chosen: &[usize]) -> String {
    let shown = chosen.iter().filter_map(|at| POOL.get(*at));
    let shown: String = shown
        .map(|[text, instruction, answer]| {
            format!("Text: {text}\nInstruction: {instruction}\nAnswer: {answer}\n\n")
        })
        .collect();
    format!(
        "Write an instruction and its answer from the text.\n\n{shown}Text: {piece}\nInstruction:"
    )
}

/// The piece cut in the middle, at a word.
fn continuation(piece: &str) -> Option<Example> {
    let spaces: Vec<usize> = piece.match_indices(' ').map(|(index, _)| index).collect();
    let (start, end) = piece.split_at(*spaces.get(spaces.len() / 2)?);
    Some(Example {
        prompt: format!("Continue this text: {}", start.trim()),
        response: end.trim().into(),
    })
}

fedseal_guest::export_policy!(TextToInstructions);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    fn set(name: &str, value: &str) -> Example {
        Example {
            prompt: format!("{}{name}", settings::SETTING),
            response: value.into(),
        }
    }

    #[test]
    fn pairs_that_parse_are_generated() {
        let mut host = FakeHost::new(6);
        let mut number = 0;
        host.answer = Box::new(move |_| {
            number += 1;
            format!(" What is thing {number} like?\nAnswer: It is blue.\nText: more")
        });
        TextToInstructions::run(&mut host).unwrap();
        assert_eq!((host.generated.len(), host.literal.len()), (6, 0));
        assert_eq!(host.generated[0].prompt, "What is thing 1 like?");
        assert_eq!(host.generated[0].response, "It is blue.");
        assert_eq!(host.lines, ["6 of 6 pieces gave a pair"]);
    }

    #[test]
    fn others_are_continued_or_dropped() {
        let host = |rest: &str| {
            let mut host = FakeHost::new(2);
            host.answer = Box::new(|_| "no".into());
            host.shard[0].response = "the sky is blue today".into();
            host.attachment = vec![set("rest", rest)];
            host
        };
        let mut continued = host("continue");
        TextToInstructions::run(&mut continued).unwrap();
        assert_eq!(
            continued.literal[0].prompt,
            "Continue this text: the sky is"
        );
        assert_eq!(continued.literal[0].response, "blue today");
        assert_eq!(
            continued.lines,
            ["0 of 2 pieces gave a pair; 2 did not parse"]
        );
        let none = TextToInstructions::run(&mut host("drop")).unwrap_err();
        assert!(format!("{none:?}").contains("no piece"), "{none:?}");
    }

    #[test]
    fn an_answer_that_the_base_finds_unlikely_is_dropped_like_any_other() {
        let asked = |bound: &str, rest: &str| {
            let mut host = FakeHost::new(2);
            let mut answers = ["It is blue.", "It is quark."].into_iter();
            host.answer = Box::new(move |_| {
                let answer = answers.next().unwrap();
                format!(" What is it like {answer}\nAnswer: {answer}")
            });
            // Perplexities of 8 and 128.
            host.likelihood = Box::new(|pair| match pair.response.contains("quark") {
                true => -7.0 * 2_f64.ln(),
                false => -3.0 * 2_f64.ln(),
            });
            host.attachment = vec![set("perplexity", bound), set("rest", rest)];
            let done = TextToInstructions::run(&mut host);
            (host, done)
        };
        let (host, done) = asked("50", "drop");
        done.unwrap();
        assert_eq!((host.generated.len(), host.literal.len()), (1, 0));
        assert_eq!(host.generated[0].response, "It is blue.");
        assert_eq!(
            host.lines,
            ["1 of 2 pieces gave a pair; 1 had too high a perplexity"]
        );
        let (host, _) = asked("50", "continue");
        assert_eq!((host.generated.len(), host.literal.len()), (1, 1));
        let (host, _) = asked("200", "drop");
        assert_eq!(host.lines, ["2 of 2 pieces gave a pair"]);
        assert!(asked("0", "drop").1.is_err() && asked("much", "drop").1.is_err());
    }

    #[test]
    fn examples_are_shown_as_the_setting_says() {
        let asked = |related: &str, shown: &str| {
            let mut host = FakeHost::new(1);
            host.shard[0].response = "How long does tea wait on its leaves?".into();
            host.attachment = vec![set("related", related), set("shown", shown)];
            // The host repeats the prompt as the model's text.
            TextToInstructions::run(&mut host).unwrap();
            host.outputs[0].clone()
        };
        for related in ["bm25", "ngrams"] {
            let text = asked(related, "1");
            assert!(
                text.contains("To make tea") && !text.contains("heron"),
                "{text}"
            );
        }
        assert_eq!(asked("random", "3").matches("Answer: ").count(), 3);
        assert!(!asked("none", "2").contains("Answer: "));
        let mut host = FakeHost::new(1);
        host.attachment = vec![set("related", "mood")];
        assert!(TextToInstructions::run(&mut host).is_err());
    }
}
