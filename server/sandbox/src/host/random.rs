//! The run's numbers: ChaCha20 streams seeded by seed, client and round, nothing else.

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round, Seed};
use fedseal_kernels::gauss::box_muller;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// Two streams, so that the number of draws by a guest does not change what the host draws, and the
/// origin of WASI's streams. Each stream is made at its first use: most runs use none.
pub(super) struct Numbers {
    origin: Origin,
    guest: Option<ChaCha20Rng>,
    host: Option<ChaCha20Rng>,
}

/// Values that seed all streams.
struct Origin {
    seed: Seed,
    client: ClientId,
    round: Round,
}

impl Origin {
    fn key(&self, label: &[u8; 6]) -> Digest {
        // The client's name comes last and the others have fixed widths, so that different
        // inputs are different bytes.
        Digest::of_parts(&[
            b"fedseal-run-v1\0",
            label,
            &self.seed.0.to_le_bytes(),
            &self.round.0.to_le_bytes(),
            self.client.as_str().as_bytes(),
        ])
    }

    fn stream(&self, label: &[u8; 6]) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.key(label).0)
    }
}

impl Numbers {
    pub(super) fn new(seed: Seed, client: &ClientId, round: Round) -> Self {
        let client = client.clone();
        Self {
            origin: Origin {
                seed,
                client,
                round,
            },
            guest: None,
            host: None,
        }
    }

    /// A stream for WASI's random numbers; a label of its own for each interface, six bytes.
    pub(super) fn wasi(&self, label: &[u8; 6]) -> ChaCha20Rng {
        let key = self.origin.key(b"wasi\0\0");
        ChaCha20Rng::from_seed(Digest::of_parts(&[&key.0, label]).0)
    }

    /// Seed that WASI gives a runtime for its hash tables.
    pub(super) fn wasi_seed(&self) -> u128 {
        let mut stream = self.wasi(b"tables");
        u128::from(stream.next_u64()) << 64 | u128::from(stream.next_u64())
    }

    /// Draws a number for `random-u64`.
    #[inline]
    pub(super) fn guest(&mut self) -> u64 {
        let origin = &self.origin;
        let stream = self.guest.get_or_insert_with(|| origin.stream(b"guest\0"));
        stream.next_u64()
    }

    /// Draws a seed for one of the host's own calls.
    pub(super) fn host(&mut self) -> u64 {
        let origin = &self.origin;
        let stream = self.host.get_or_insert_with(|| origin.stream(b"host\0\0"));
        stream.next_u64()
    }
}

/// Pairs of normal numbers that are made at once.
const PAIRS: usize = 64;

/// Standard normal numbers by Box and Muller, with libm's logarithm, sine and cosine so that the bits are the
/// same on every machine.
pub(super) struct Gauss {
    stream: ChaCha20Rng,
    /// Numbers that were made together.
    made: [f64; 2 * PAIRS],
    /// How many of them were handed out.
    used: usize,
}

impl Gauss {
    pub(super) fn new(seed: u64) -> Self {
        let key = Digest::of_parts(&[b"fedseal-noise-v1\0", &seed.to_le_bytes()]);
        Self {
            stream: ChaCha20Rng::from_seed(key.0),
            made: [0.0; 2 * PAIRS],
            used: 2 * PAIRS,
        }
    }

    /// Adds a number times `std` to each value.
    pub(super) fn add(&mut self, std: f32, mut values: &mut [f32]) {
        while !values.is_empty() {
            if self.used >= self.made.len() {
                self.make();
            }
            let ready = self.made.get(self.used..).unwrap_or_default();
            let count = ready.len().min(values.len());
            let (now, later) = values.split_at_mut(count);
            for (value, number) in now.iter_mut().zip(ready) {
                *value += std * *number as f32;
            }
            self.used += count;
            values = later;
        }
    }

    fn make(&mut self) {
        let (mut first, mut second) = ([0.0; PAIRS], [0.0; PAIRS]);
        for (first, second) in first.iter_mut().zip(&mut second) {
            (*first, *second) = (self.unit(), self.unit());
        }
        let (pairs, _) = self.made.as_chunks_mut::<2>();
        box_muller(&mut first, &second, pairs);
        self.used = 0;
    }

    /// A number in `(0, 1]`: its logarithm is finite.
    fn unit(&mut self) -> f64 {
        let bits = (self.stream.next_u64() >> 11) + 1;
        bits as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_every_input_and_not_on_each_other() {
        let make =
            |seed, client: &str, round| Numbers::new(Seed(seed), &client.into(), Round(round));
        let first = make(1, "a", 2).guest();
        for mut other in [make(2, "a", 2), make(1, "b", 2), make(1, "a", 3)] {
            assert_ne!(other.guest(), first);
        }
        let (mut one, mut two) = (make(1, "a", 2), make(1, "a", 2));
        one.guest();
        assert_eq!(one.host(), two.host());
        assert_ne!(one.guest(), two.guest());
    }

    #[test]
    fn gauss_has_the_moments_of_a_standard_normal() {
        let mut values = vec![0.0_f32; 20_000];
        Gauss::new(3).add(1.0, &mut values);
        let values = || values.iter().copied().map(f64::from);
        let mean = values().sum::<f64>() / 20_000.0;
        let variance = values().map(|x| x * x).sum::<f64>() / 20_000.0 - mean * mean;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn gauss_gives_the_bits_of_one_number_after_the_other() {
        let mut one = Gauss::new(5);
        let mut expected = Vec::new();
        while expected.len() < 1000 {
            let (u, v) = (one.unit(), one.unit());
            let radius = libm::sqrt(-2.0 * libm::log(u));
            let angle = 2.0 * std::f64::consts::PI * v;
            for number in [radius * libm::cos(angle), radius * libm::sin(angle)] {
                expected.push(1.5 + 0.25 * number as f32);
            }
        }
        let mut values = vec![1.5_f32; 1000];
        let mut gauss = Gauss::new(5);
        // Tensors of any length follow one another.
        let (first, rest) = values.split_at_mut(33);
        let (second, third) = rest.split_at_mut(500);
        for part in [first, second, third] {
            gauss.add(0.25, part);
        }
        assert_eq!(values, expected);
    }
}
