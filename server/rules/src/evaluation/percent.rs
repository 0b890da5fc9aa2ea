//! Shares as people read them: per cent with one decimal, halves rounded up. The pages round by the
//! same rule (`web/src/lib/percent.ts`), and so do the tables of README and docs; all are held
//! against `tests/fixtures/percent.json`.

/// `hits` of `n` in per cent, rounded on the exact fraction: 219 of 240 is 91.25 %, shown as `91.3`.
/// Returns `0.0` when `n` is 0.
pub fn of(hits: u64, n: u64) -> String {
    let (hits, n) = (u128::from(hits), u128::from(n.max(1)));
    let tenths = (2000 * hits + n) / (2 * n);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A number with one decimal, halves rounded up. For numbers that are no fraction of counts, such as an
/// end of an interval or a mean over seeds.
pub fn decimal(value: f64) -> String {
    format!("{:.1}", (value * 10.0 + 0.5).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::{decimal, of};
    use serde_json::Value;

    #[test]
    fn as_the_pages_round() {
        let vector = include_str!("../../../../tests/fixtures/percent.json");
        let vector: Value = serde_json::from_str(vector).unwrap();
        let shares = vector["shares"].as_array().unwrap();
        let decimals = vector["decimals"].as_array().unwrap();
        assert!(shares.len() > 8 && decimals.len() > 8);
        for share in shares {
            let count = |at: usize| share[at].as_u64().unwrap();
            assert_eq!(
                of(count(0), count(1)),
                share[2].as_str().unwrap(),
                "{share}"
            );
        }
        for row in decimals {
            let value = row[0].as_f64().unwrap();
            assert_eq!(decimal(value), row[1].as_str().unwrap(), "{row}");
        }
    }
}
