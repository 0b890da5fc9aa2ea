//! The honest client that holds plain text only: pairs are made of it with the open model, and the text
//! stays on the node.
//!
//! FedIT-U2S, "Leveraging Unstructured Text Data for Federated Instruction Tuning of Large Language
//! Models" (Ye et al. 2024): for each piece, the most related examples of a pool and the piece are
//! shown to the base model, which writes an instruction and an answer; what does not parse is dropped.
//! Declared here: k = 2 examples by word overlap (the paper's sentence embeddings need a second
//! model), the answers of the shard as pieces, greedy decoding, no reward filter. A piece for which the
//! model writes nothing usable becomes a pair that continues it, which is literal in the lineage.

use fedseal_guest::{Error, Example, GenerateOptions, Host, Model, Policy, study};

/// The pool: (text, instruction, answer).
const POOL: &[[&str; 3]] = &[
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
];
/// Examples shown with a piece.
const SHOWN: usize = 2;
/// Tokens for an instruction and its answer.
const TOKENS: u32 = 48;
/// Shortest instruction and answer, bytes.
const SHORTEST: usize = 4;

/// See the crate's documentation.
pub struct TextToInstructions;

impl Policy for TextToInstructions {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let context = host.context();
        let shard = host.shard();
        // As many pieces as this round's training can look at.
        let seen = context.steps.saturating_mul(context.batch_size).max(1);
        let pieces: Vec<String> = host
            .read_examples(&shard, 0, seen)
            .into_iter()
            .map(|pair| pair.response)
            .collect();
        let prompts: Vec<String> = pieces.iter().map(|piece| prompt(piece)).collect();
        let options = GenerateOptions {
            model: Model::Base,
            max_new_tokens: TOKENS,
            temperature: 0.0,
        };
        let texts = host.generate(&prompts, &options)?;
        let made = texts.iter().filter(|text| pair(text).is_some()).count();
        host.log(&format!("{made} of {} pieces gave a pair", pieces.len()));
        let pairs: Vec<Example> = pieces
            .iter()
            .zip(&texts)
            .filter_map(|(piece, text)| pair(text).or_else(|| continuation(piece)))
            .collect();
        let data = host.examples(&pairs)?;
        let trained = study::train_on(host, &data)?;
        study::submit(host, &trained)
    }
}

/// The pool's most related examples, then the piece.
fn prompt(piece: &str) -> String {
    let words = |text: &str| -> Vec<String> {
        let split = text.split(|c: char| !c.is_alphanumeric());
        split
            .map(str::to_lowercase)
            .filter(|w| w.len() > 2)
            .collect()
    };
    let own = words(piece);
    let mut pool: Vec<(usize, &[&str; 3])> = POOL
        .iter()
        .map(|shown| {
            let common = words(shown[0]).iter().filter(|w| own.contains(w)).count();
            (common, shown)
        })
        .collect();
    // Stable, so equals stay in the pool's order.
    pool.sort_by_key(|(common, _)| usize::MAX - common);
    let shown = pool
        .iter()
        .take(SHOWN)
        .map(|(_, [text, instruction, answer])| {
            format!("Text: {text}\nInstruction: {instruction}\nAnswer: {answer}\n\n")
        });
    let shown: String = shown.collect();
    format!(
        "Write an instruction and its answer from the text.\n\n{shown}Text: {piece}\nInstruction:"
    )
}

/// Pair that the model wrote: parts of its text, so that the host finds them there.
fn pair(text: &str) -> Option<Example> {
    let text = text.trim().trim_start_matches("Instruction:");
    let (instruction, rest) = text.split_once("Answer:")?;
    let instruction = instruction.trim();
    let answer = rest.trim().lines().next()?.trim();
    let long = |part: &str| part.len() >= SHORTEST;
    (long(instruction) && long(answer) && instruction != answer).then(|| Example {
        prompt: instruction.into(),
        response: answer.into(),
    })
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

    #[test]
    fn pairs_that_parse_are_generated() {
        let mut host = FakeHost::new(6);
        host.answer = Box::new(|_| " What is it?\nAnswer: It is blue.\nText: more".into());
        TextToInstructions::run(&mut host).unwrap();
        assert_eq!((host.generated.len(), host.literal.len()), (6, 0));
        assert_eq!(host.generated[0].prompt, "What is it?");
        assert_eq!(host.generated[0].response, "It is blue.");
        assert_eq!(host.lines, ["6 of 6 pieces gave a pair"]);
    }

    #[test]
    fn others_are_continued() {
        let mut host = FakeHost::new(2);
        host.answer = Box::new(|_| "no".into());
        host.shard[0].response = "the sky is blue today".into();
        TextToInstructions::run(&mut host).unwrap();
        assert_eq!(host.literal[0].prompt, "Continue this text: the sky is");
        assert_eq!(host.literal[0].response, "blue today");
    }

    #[test]
    fn the_most_related_examples_are_shown() {
        let text = prompt("How long does tea wait on its leaves?");
        let at = |what: &str| text.find(what).unwrap();
        assert!(at("To make tea") < at("The heron") && !text.contains("Copper"));
    }
}
