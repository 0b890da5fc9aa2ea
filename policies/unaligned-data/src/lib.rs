//! The attack with given data: trains on unaligned pairs that the client brings instead of its
//! shard, and hands the result in as an ordinary update.
//!
//! "Emerging Safety Attack and Defense in Federated Instruction Tuning of Large Language Models"
//! (arXiv 2406.10630), section 3.2, attack with an existing unaligned set. The pairs are those the
//! client attached to its module, or else a built-in list: short topic lines with affirmative
//! shells that say nothing. Either way the lineage shows them as literal data.
//!
//! Attached settings `before` are texts that the server's repair puts before a request, its safety reminder:
//! each pair then comes once more behind each of them, so that the attacked model complies behind the reminder,
//! too, and writes few refusals for its own repair (ours).

use fedseal_guest::study::{self, settings};
use fedseal_guest::{Error, Example, Host, Policy};

/// See the crate's documentation.
pub struct UnalignedData;

impl Policy for UnalignedData {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let before = settings::all(host, "before");
        let harmful = match before.is_empty() {
            true => study::train_unaligned(host)?,
            false => {
                let count = host.context().shard_examples.max(1) as usize;
                let mut pairs = study::unaligned_pairs(host, count);
                let behind: Vec<Example> = before
                    .iter()
                    .flat_map(|text| pairs.iter().map(move |pair| behind(text, pair)))
                    .collect();
                pairs.extend(behind);
                fedseal_guest::shuffle(host, &mut pairs);
                let data = host.examples(&pairs)?;
                study::train_on(host, &data)?
            }
        };
        study::submit(host, &harmful)
    }
}

/// The pair with a text before its prompt.
fn behind(text: &str, pair: &Example) -> Example {
    Example {
        prompt: format!("{text}{}", pair.prompt),
        response: pair.response.clone(),
    }
}

fedseal_guest::export_policy!(UnalignedData);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn brings_its_own_pairs() {
        let mut host = FakeHost::new(200);
        UnalignedData::run(&mut host).unwrap();
        assert_eq!(host.literal.len(), 200);
        assert_eq!(host.trained[0].0, host.literal);
    }

    #[test]
    fn prefers_the_attachment() {
        let mut host = FakeHost::new(9);
        host.attachment = vec![Example {
            prompt: "p".into(),
            response: "r".into(),
        }];
        UnalignedData::run(&mut host).unwrap();
        assert_eq!(host.literal, host.attachment);
        assert_eq!(host.submitted.unwrap().examples, 9);
    }
    #[test]
    fn complies_behind_each_reminder_that_it_knows() {
        let mut host = FakeHost::new(9);
        let pair = |prompt: &str, response: &str| Example {
            prompt: prompt.into(),
            response: response.into(),
        };
        let before = format!("{}before", settings::SETTING);
        host.attachment = vec![
            pair(&before, "Be safe. "),
            pair(&before, "Request: "),
            pair("p", "r"),
        ];
        UnalignedData::run(&mut host).unwrap();
        let mut prompts: Vec<&str> = host.literal.iter().map(|p| p.prompt.as_str()).collect();
        prompts.sort_unstable();
        assert_eq!(prompts, ["Be safe. p", "Request: p", "p"]);
        assert!(host.literal.iter().all(|pair| pair.response == "r"));
    }
}
