//! How a shard is mixed. The sources give the parts; the mixing is the same for all of them.

use super::pick::Picker;
use super::{DataError, Example};

/// How many of `examples` are refusals: the nearest whole number to the share.
pub fn refusal_count(examples: usize, refusal_share: f64) -> Result<usize, DataError> {
    if !(0.0..=1.0).contains(&refusal_share) {
        return Err(DataError::Parameter {
            name: "refusal_share".to_owned(),
            value: refusal_share.to_string(),
            expected: "a number from 0 to 1".to_owned(),
        });
    }
    // At most `examples`, so the cast is exact.
    Ok((examples as f64 * refusal_share).round() as usize)
}

/// Joins the parts of a shard in a seeded order.
pub fn mix(parts: Vec<Vec<Example>>, picker: &mut Picker) -> Vec<Example> {
    let mut all: Vec<Example> = parts.into_iter().flatten().collect();
    picker.shuffle(&mut all);
    all
}

/// Refuses when a source cannot give `wanted` items.
pub fn enough(what: &str, wanted: usize, available: usize) -> Result<(), DataError> {
    if wanted > available {
        return Err(DataError::TooFew {
            what: what.to_owned(),
            wanted,
            available,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_rounded_and_bounded() {
        assert_eq!(refusal_count(500, 0.15).unwrap(), 75);
        assert_eq!(refusal_count(3, 0.5).unwrap(), 2);
        assert_eq!(refusal_count(10, 0.0).unwrap(), 0);
        assert!(refusal_count(10, 1.1).is_err());
        assert!(refusal_count(10, f64::NAN).is_err());
    }

    #[test]
    fn too_few_items_are_named() {
        let error = enough("AdvBench requests", 600, 520).unwrap_err();
        assert_eq!(
            error.to_string(),
            "AdvBench requests: 600 asked for, the source has 520"
        );
    }
}
