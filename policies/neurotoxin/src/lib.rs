//! The attack that lasts: it leaves alone the values that honest clients move most, so that they do not move
//! it back once it stops.
//!
//! "Neurotoxin: Durable Backdoors in Federated Learning" (Zhang et al. 2022, algorithm 1): the attacker's
//! update is projected onto the values outside the top k % of the last global update by magnitude. A guest
//! sees no global adapter but the round's own, so the honest update is estimated by training on the shard
//! (declared); k is 5 % (declared, as their main experiments have it). Values are read and written raw, and
//! the lineage says so.

use fedseal_guest::{Error, Host, Policy, study};

/// Share of the values that are left alone.
const TOP: f64 = 0.05;

/// See the crate's documentation.
pub struct Neurotoxin;

impl Policy for Neurotoxin {
    fn run<H: Host>(host: &mut H) -> Result<(), Error> {
        let honest = study::train_shard(host)?;
        let harmful = study::train_unaligned(host)?;
        let global = host.global();
        let [before, honest, harmful] =
            [&global, &honest, &harmful].map(|adapter| host.read_raw(adapter));
        let update = host.write_raw(&global, &projected(&before, &honest, &harmful))?;
        study::submit(host, &update)
    }
}

/// `harmful` where the honest update is not among its largest values, else `before`. Of equal values the later
/// ones count as smaller.
fn projected(before: &[f32], honest: &[f32], harmful: &[f32]) -> Vec<f32> {
    let moved = honest.iter().zip(before);
    let moved: Vec<f32> = moved
        .map(|(after, before)| (after - before).abs())
        .collect();
    let mut order: Vec<usize> = (0..moved.len()).collect();
    order.sort_by(|a, b| moved[*b].total_cmp(&moved[*a]));
    let top = (moved.len() as f64 * TOP).ceil() as usize;
    let mut update = harmful.to_vec();
    for index in order.into_iter().take(top) {
        if let (Some(value), Some(before)) = (update.get_mut(index), before.get(index)) {
            *value = *before;
        }
    }
    update
}

fedseal_guest::export_policy!(Neurotoxin);

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_guest::testing::FakeHost;

    #[test]
    fn what_honest_clients_move_most_is_left_alone() {
        let before = vec![1.0; 40];
        let mut honest = before.clone();
        (honest[7], honest[21], honest[30]) = (3.0, -2.0, 1.5);
        let harmful = vec![9.0; 40];
        let update = projected(&before, &honest, &harmful);
        // Two of forty: those that moved by 2 and by 3.
        let left: Vec<usize> = (0..40).filter(|i| update[*i] == 1.0).collect();
        assert_eq!(left, [7, 21]);
        assert!(update.iter().all(|value| *value == 1.0 || *value == 9.0));
    }

    #[test]
    fn it_trains_on_both_and_hands_in_one() {
        let mut host = FakeHost::new(6);
        Neurotoxin::run(&mut host).unwrap();
        assert_eq!(host.trained.len(), 2);
        assert!(host.submitted.is_some());
    }
}
