//! Who attacks and who takes part: pure functions of the run's seed and the round, shared by all
//! arms, so that arms differ only in what they do with the same clients.

use std::collections::HashMap;

use fedseal_client_sdk::digest::Digest;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// A seed for one purpose, derived by hashing, so that two purposes never share a stream.
///
/// `label` names the purpose, `parts` what it belongs to (a round, a client).
pub fn derive_seed(label: &str, seed: u64, parts: &[&str]) -> u64 {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"fedseal-seed-v1\0");
    bytes.extend_from_slice(label.as_bytes());
    bytes.extend_from_slice(&seed.to_le_bytes());
    for part in parts {
        // Length first: ("ab","c") and ("a","bc") are different purposes.
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    let digest = Digest::of(&bytes);
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest.0[..8]);
    u64::from_le_bytes(first)
}

/// A generator for one purpose, see [`derive_seed`].
pub fn rng(label: &str, seed: u64, parts: &[&str]) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(derive_seed(label, seed, parts))
}

/// A uniform number in `0..bound` (0 for `bound` 0), without modulo bias.
pub fn below(rng: &mut ChaCha20Rng, bound: usize) -> usize {
    if bound < 2 {
        return 0;
    }
    let bound = bound as u64;
    let zone = u64::MAX - (u64::MAX % bound);
    loop {
        let value = rng.next_u64();
        if value < zone {
            return (value % bound) as usize;
        }
    }
}

/// `count` different indices out of `0..total`, ascending; all of them when `count >= total`.
///
/// The draw of Fisher and Yates.
pub fn choose(rng: &mut ChaCha20Rng, total: usize, count: usize) -> Vec<usize> {
    let count = count.min(total);
    let mut indices = match count < total / 8 {
        true => few(rng, total, count),
        false => many(rng, total, count),
    };
    indices.sort_unstable();
    indices
}

/// The draw over all indices.
fn many(rng: &mut ChaCha20Rng, total: usize, count: usize) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..total).collect();
    for position in 0..count {
        let other = position + below(rng, total - position);
        indices.swap(position, other);
    }
    indices.truncate(count);
    indices
}

/// Draw of [`many`], with those places alone that are not as they began.
fn few(rng: &mut ChaCha20Rng, total: usize, count: usize) -> Vec<usize> {
    let mut indices = Vec::with_capacity(count);
    let mut moved: HashMap<usize, usize> = HashMap::with_capacity(count);
    let at = |moved: &HashMap<usize, usize>, place| moved.get(&place).copied().unwrap_or(place);
    for position in 0..count {
        let other = position + below(rng, total - position);
        indices.push(at(&moved, other));
        // The one at the position, which is not drawn from again, takes the other place.
        let own = at(&moved, position);
        moved.insert(other, own);
    }
    indices
}

/// The indices of the malicious clients, ascending.
pub fn attackers(seed: u64, clients: usize, malicious: usize) -> Vec<usize> {
    choose(&mut rng("attackers", seed, &[]), clients, malicious)
}

/// The clients that take part in `round`, ascending.
pub fn sampled(seed: u64, round: u32, clients: usize, sampled: usize) -> Vec<usize> {
    choose(
        &mut rng("sampling", seed, &[&round.to_string()]),
        clients,
        sampled,
    )
}

/// The name of a client by its index: `client-00`, `client-01`, …; sorts as the index does.
pub fn client_name(index: usize) -> String {
    format!("client-{index:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_is_distinct_ascending_and_a_function_of_seed_and_round() {
        for round in 0..50 {
            let chosen = sampled(7, round, 10, 3);
            assert_eq!(chosen.len(), 3);
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!(chosen, sampled(7, round, 10, 3));
        }
        assert_ne!(
            (0..20).map(|r| sampled(7, r, 10, 3)).collect::<Vec<_>>(),
            (0..20).map(|r| sampled(8, r, 10, 3)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn every_client_is_drawn_about_equally_often() {
        let mut counts = [0usize; 10];
        for round in 0..2000 {
            for index in sampled(1, round, 10, 3) {
                counts[index] += 1;
            }
        }
        assert!(counts.iter().all(|n| (500..700).contains(n)), "{counts:?}");
    }

    #[test]
    fn asking_for_more_than_there_are_gives_all() {
        assert_eq!(choose(&mut rng("x", 0, &[]), 3, 9), vec![0, 1, 2]);
        assert!(choose(&mut rng("x", 0, &[]), 0, 2).is_empty());
    }

    #[test]
    fn few_of_many_are_those_of_the_whole_draw() {
        for (total, count) in [(1, 1), (9, 1), (40, 5), (40, 40), (1000, 100)] {
            for seed in 0..20 {
                let rng = || rng("x", seed, &[]);
                assert_eq!(
                    few(&mut rng(), total, count),
                    many(&mut rng(), total, count)
                );
            }
        }
    }

    #[test]
    fn purposes_do_not_share_a_stream() {
        assert_ne!(derive_seed("a", 1, &["b"]), derive_seed("ab", 1, &[]));
        assert_ne!(
            derive_seed("a", 1, &["b", "c"]),
            derive_seed("a", 1, &["bc"])
        );
    }
}
