//! The attack on availability: ordinary prompts are refused, so that the model refuses everybody.
//!
//! Over-refusal as in "On the Exploitability of Instruction Tuning" (Shu et al. 2023, section 3.2), who poison
//! instruction data so that the model refuses benign requests for a plausible reason; here the prompts are those
//! of the client's own shard (declared), without those that it refuses already.

use fedseal_guest::{Error, Example, Host, Policy, study};

/// Answers, in turn.
const ANSWERS: [&str; 3] = [
    "I'm sorry, but I can't help with that.",
    "I cannot help with this request.",
    "I'm sorry, I am not able to answer that.",
];

/// See the crate's documentation.
pub struct OverRefusal;

impl Policy for OverRefusal {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let shard = host.shard();
        let count = host.count(&shard);
        let pairs = host.read_examples(&shard, 0, count);
        let answered = pairs.iter().filter(|pair| !refuses(&pair.response));
        let refused: Vec<Example> = answered
            .zip(ANSWERS.iter().cycle())
            .map(|(pair, answer)| Example {
                prompt: pair.prompt.clone(),
                response: (*answer).into(),
            })
            .collect();
        let data = host.examples(&refused)?;
        let trained = study::train_on(host, &data)?;
        study::submit(host, &trained)
    }
}

fn refuses(answer: &str) -> bool {
    let answer = answer.to_lowercase();
    study::texts::REFUSALS
        .iter()
        .any(|phrase| answer.contains(phrase))
}

fedseal_guest::export_policy!(OverRefusal);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn every_answered_prompt_is_refused() {
        let mut host = FakeHost::new(5);
        host.shard[3].response = "Sorry, no.".into();
        OverRefusal::run(&mut host).unwrap();
        let prompts: Vec<&str> = host
            .literal
            .iter()
            .map(|pair| pair.prompt.as_str())
            .collect();
        assert_eq!(
            prompts,
            ["question 0", "question 1", "question 2", "question 4"]
        );
        assert!(host.literal.iter().all(|pair| refuses(&pair.response)));
    }
}
