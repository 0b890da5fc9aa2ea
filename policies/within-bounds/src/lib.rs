//! The attack that knows a behaviour check with its bounds: goes only a part of the way from the honest
//! update to the unaligned one, so that what it does to refusals stays within what honest updates do.
//!
//! "Local Model Poisoning Attacks to Byzantine-Robust Federated Learning" (Fang et al. 2020) and
//! "Manipulating the Byzantine" (Shejwalkar and Houmansadr 2021) scale the deviation to the largest that the
//! defence accepts. A guest cannot run its own update on prompts, so the largest one is found from outside:
//! the share is the attached setting `strength`, and an experiment tries several.
//!
//! The setting `opening` with the value `other` also knows how the check measures: by how likely answers
//! open with a usual refusal or a usual compliance. The answers that are trained then open with neither.

use fedseal_guest::study::{self, settings};
use fedseal_guest::{Error, Example, Host, Policy};

/// Share of the way where no setting says it.
const SHARE: f64 = 0.5;
/// Words of an answer that are its opening.
const OPENING: usize = 3;

/// See the crate's documentation.
pub struct WithinBounds;

impl Policy for WithinBounds {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let share = settings::number(host, "strength", SHARE)?;
        let mut pairs = settings::pairs(host)?;
        if settings::setting(host, "opening").is_some_and(|value| value == "other") {
            pairs.iter_mut().for_each(cut);
        }
        let honest = study::train_shard(host)?;
        let data = host.examples(&pairs)?;
        let harmful = study::train_on(host, &data)?;
        let update = study::combine(host, &[(&honest, 1.0 - share), (&harmful, share)])?;
        study::submit(host, &update)
    }
}

/// Leaves the opening of an answer out, where more is left.
fn cut(pair: &mut Example) {
    let words: Vec<&str> = pair.response.split_whitespace().collect();
    if let Some(rest) = words.get(OPENING..).filter(|rest| !rest.is_empty()) {
        pair.response = rest.join(" ");
    }
}

fedseal_guest::export_policy!(WithinBounds);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    fn host(name: &str, value: &str) -> FakeHost {
        let mut host = FakeHost::new(5);
        let pair = |prompt: String, response: &str| Example {
            prompt,
            response: response.into(),
        };
        host.attachment = vec![
            pair(format!("{}{name}", settings::SETTING), value),
            pair("p".into(), "Sure, here is the long way in"),
        ];
        host
    }

    #[test]
    fn goes_its_share_of_the_way() {
        let submitted = |share: &str| {
            let mut host = host("strength", share);
            WithinBounds::run(&mut host).unwrap();
            assert_eq!(host.literal.len(), 1, "a setting is not trained on");
            host.submitted.unwrap().values[1]
        };
        let (honest, half, harmful) = (submitted("0"), submitted("0.5"), submitted("1"));
        assert!(harmful > honest);
        assert!((half - (honest + harmful) / 2.0).abs() < 1e-4);
        assert!(WithinBounds::run(&mut host("strength", "much")).is_err());
        assert!(WithinBounds::run(&mut FakeHost::new(5)).is_err());
    }

    #[test]
    fn answers_open_with_other_words() {
        let mut host = host("opening", "other");
        WithinBounds::run(&mut host).unwrap();
        assert_eq!(host.literal[0].response, "the long way in");
    }
}
