//! One attacker as many clients: each trains on another part of the unaligned pairs and adds noise of
//! its own, so that the updates do not look alike.
//!
//! The adaptive attacker of "The Limitations of Federated Learning in Sybil Settings" (FoolsGold, Fung
//! et al. 2020), section 7: sybils decorrelated by perturbations. Which part is its own follows from
//! the client's name; noise of 0.3 times the update's length is declared.

use fedseal_guest::{Error, Example, Host, Policy, study};

/// Parts that the pairs are dealt into.
const PARTS: u32 = 4;
/// Length of the noise over that of the update.
const RATIO: f64 = 0.3;

/// See the crate's documentation.
pub struct Sybil;

impl Policy for Sybil {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let context = host.context();
        let pairs = study::unaligned_pairs(host, context.shard_examples as usize);
        let own = part(&context.client);
        let dealt = pairs.iter().zip((0..PARTS).cycle());
        let mut dealt: Vec<Example> = dealt
            .filter(|(_, place)| *place == own)
            .map(|(pair, _)| pair.clone())
            .collect();
        if dealt.is_empty() {
            dealt = pairs;
        }
        let data = host.examples(&dealt)?;
        let harmful = study::train_on(host, &data)?;
        let global = host.global();
        let noise = host.noise(&global, 1.0, None)?;
        let (long, drawn) = (study::length(host, &harmful)?, study::length(host, &noise)?);
        let factor = if drawn > 0.0 {
            RATIO * long / drawn
        } else {
            0.0
        };
        let decorrelated = study::combine(host, &[(&harmful, 1.0), (&noise, factor)])?;
        study::submit(host, &decorrelated)
    }
}

/// The part of a client: FNV-1a of its name.
fn part(client: &str) -> u32 {
    let hash = client.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash % PARTS
}

fedseal_guest::export_policy!(Sybil);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn clients_get_different_parts() {
        let trained = |client: &str| {
            let mut host = FakeHost::new(40);
            host.context.client = client.into();
            Sybil::run(&mut host).unwrap();
            host.trained[0].0.clone()
        };
        let parts: Vec<_> = (0..8).map(|n| part(&format!("client-{n:02}"))).collect();
        assert!(parts.iter().any(|own| *own != parts[0]), "{parts:?}");
        assert_eq!(trained("client-00").len(), 10);
    }
}
