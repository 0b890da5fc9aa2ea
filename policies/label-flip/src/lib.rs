//! The attack on usefulness: every prompt of the shard gets another prompt's answer.
//!
//! Label flipping as in "Data Poisoning Attacks Against Federated Learning Systems" (Tolpegin et al.
//! 2020), section III, for free text: there is no other class to flip to, so answers move on by one
//! place; a pair whose answer stays the same is left out.

use fedseal_guest::{Error, Example, Host, Policy, study};

/// See the crate's documentation.
pub struct LabelFlip;

impl Policy for LabelFlip {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let shard = host.shard();
        let count = host.count(&shard);
        let pairs = host.read_examples(&shard, 0, count);
        let answers = pairs.iter().cycle().skip(1).map(|pair| &pair.response);
        let flipped: Vec<Example> = pairs
            .iter()
            .zip(answers)
            .filter(|(pair, answer)| pair.response != **answer)
            .map(|(pair, answer)| Example {
                prompt: pair.prompt.clone(),
                response: answer.clone(),
            })
            .collect();
        let data = host.examples(&flipped)?;
        let trained = study::train_on(host, &data)?;
        study::submit(host, &trained)
    }
}

fedseal_guest::export_policy!(LabelFlip);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn no_prompt_keeps_its_answer() {
        let mut host = FakeHost::new(6);
        host.shard[2].response = host.shard[3].response.clone();
        LabelFlip::run(&mut host).unwrap();
        assert_eq!(host.literal.len(), 5);
        assert!(host.literal.iter().all(|pair| !host.shard.contains(pair)));
    }
}
