//! Colluding clients: each carries the part of one unaligned update that the others leave out, so that no
//! update is the attack, and their sum is.
//!
//! "Colluding LoRA" (arXiv 2603.12681) has adapters that are safe one by one and unsafe once merged. Here
//! the values of the unaligned update are dealt out in blocks to the clients by their number; each block is
//! scaled by the number of parts, for an average brings it down by as much. Between its blocks a client
//! keeps its honest update. Attached settings: `parts`, and `strength`, the share of the way to the
//! unaligned update. Values are read and written raw.

use fedseal_guest::study::{self, settings};
use fedseal_guest::{Error, Host, Policy};

/// Parts that an update is dealt out in, where no setting says it.
const PARTS: f64 = 2.0;
/// Neighbouring values that stay together.
const BLOCK: usize = 64;

/// See the crate's documentation.
pub struct Colluding;

impl Policy for Colluding {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let parts = settings::number(host, "parts", PARTS)?.max(1.0) as usize;
        let scale = settings::number(host, "strength", 1.0)? * parts as f64;
        let pairs = settings::pairs(host)?;
        let mine = number(&host.context().client) % parts;
        let honest = study::train_shard(host)?;
        let data = host.examples(&pairs)?;
        let harmful = study::train_on(host, &data)?;
        let (own, other) = (host.read_raw(&honest), host.read_raw(&harmful));
        let values: Vec<f32> = own
            .iter()
            .zip(&other)
            .enumerate()
            .map(|(at, (own, other))| match (at / BLOCK) % parts == mine {
                true => own + scale as f32 * (other - own),
                false => *own,
            })
            .collect();
        let update = host.write_raw(&honest, &values)?;
        study::submit(host, &update)
    }
}

/// The number at the end of a client's name; 0 where there is none.
fn number(client: &str) -> usize {
    let name = client.trim_end_matches(|c: char| c.is_ascii_digit());
    client[name.len()..].parse().unwrap_or(0)
}

fedseal_guest::export_policy!(Colluding);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::Example;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn two_halves_of_the_attack_have_its_mean() {
        let submitted = |client: &str| {
            let mut host = FakeHost::new(5);
            host.context.client = client.into();
            host.global = vec![0.0; 3 * BLOCK];
            host.attachment = vec![Example {
                prompt: "p".into(),
                response: "r".repeat(900),
            }];
            Colluding::run(&mut host).unwrap();
            host.submitted.unwrap().values
        };
        let (even, odd) = (submitted("client-04"), submitted("client-07"));
        // Training differs in the last value, which is in the third block: an even client's.
        let last = 3 * BLOCK - 1;
        assert_eq!(even[..last], odd[..last]);
        let mut honest = FakeHost::new(5);
        honest.global = vec![0.0; 3 * BLOCK];
        let own = study::train_shard(&mut honest).unwrap();
        assert_eq!(odd, own);
        assert!(even[last] > own[last]);
        assert_eq!(number("client-12"), 12);
        assert_eq!(number("north"), 0);
    }
}
