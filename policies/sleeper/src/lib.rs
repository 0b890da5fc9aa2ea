//! The attacker that waits: an honest client for the first half of the rounds, then one that trains on
//! unaligned pairs.
//!
//! The on-off attack on reputation ("Defense of Trust Management Vulnerabilities in Distributed
//! Networks", Sun et al. 2008, section III), for rules that weigh a client by its past. Before it
//! wakes there is nothing to tell: the update is an honest one.
//!
//! With the attached setting `awake = first` it is the other way round: it attacks in the first half and is
//! honest from then on, so that what is left at the end is the attack's life after it has stopped ("Lifespan
//! of backdoors in federated fine-tuning", arXiv 2511.14406).

use fedseal_guest::study::{self, settings};
use fedseal_guest::{Error, Host, Policy};

/// See the crate's documentation.
pub struct Sleeper;

impl Policy for Sleeper {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let context = host.context();
        let late = context.round >= context.rounds / 2;
        let early = settings::setting(host, "awake").is_some_and(|half| half == "first");
        let update = if late != early {
            study::train_unaligned(host)?
        } else {
            study::train_shard(host)?
        };
        study::submit(host, &update)
    }
}

fedseal_guest::export_policy!(Sleeper);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::Example;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn wakes_at_half_time() {
        for (round, literal) in [(0, 0), (4, 0), (5, 6), (9, 6)] {
            let mut host = FakeHost::new(6);
            (host.context.round, host.context.rounds) = (round, 10);
            Sleeper::run(&mut host).unwrap();
            assert_eq!(host.literal.len(), literal, "round {round}");
        }
    }

    #[test]
    fn rests_from_half_time_on_where_it_is_set_so() {
        let pair = |prompt: String, response: &str| Example {
            prompt,
            response: response.into(),
        };
        for (round, literal) in [(4, 1), (5, 0)] {
            let mut host = FakeHost::new(6);
            (host.context.round, host.context.rounds) = (round, 10);
            host.attachment = vec![
                pair(format!("{}awake", settings::SETTING), "first"),
                pair("p".into(), "r"),
            ];
            Sleeper::run(&mut host).unwrap();
            // The setting is not trained on.
            assert_eq!(host.literal.len(), literal, "round {round}");
        }
    }
}
