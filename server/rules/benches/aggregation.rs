//! Every aggregation rule over a round of ten updates of 100,000 values each.
//!
//!     cargo bench -p fedseal-rules

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use fedseal_rules::aggregation::{ALL, AggregationConfig, Inputs, Update};

const CLIENTS: usize = 10;
const VALUES: usize = 100_000;

fn main() {
    divan::main();
}

/// Updates around a common centre, the same in every measurement.
fn round() -> Vec<Vec<f32>> {
    let value = |client: usize, at: usize| {
        let noise = (client * 7_919 + at * 104_729) % 1_000;
        (at as f32 * 0.37).sin() + noise as f32 * 1e-4
    };
    (0..CLIENTS)
        .map(|client| (0..VALUES).map(|at| value(client, at)).collect())
        .collect()
}

#[divan::bench(args = ALL.iter().map(|rule| rule.name), sample_count = 10, sample_size = 1)]
fn rule_of_a_round(bencher: Bencher<'_, '_>, name: &str) {
    let round = round();
    let updates: Vec<Update<'_>> = round
        .iter()
        .map(|delta| Update {
            delta,
            weight: 20.0,
        })
        .collect();
    let rule = AggregationConfig::default();
    let rule = rule.rule(name).expect("a name of the list");
    let inputs = Inputs {
        expected_malicious: 1,
        seed: 0,
    };
    bencher
        .counter(ItemsCount::new(CLIENTS * VALUES))
        .bench_local(|| rule.aggregate(black_box(&updates), &inputs));
}
