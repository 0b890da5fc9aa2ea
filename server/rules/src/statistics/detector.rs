//! Detectors: how many attackers a score tells at a rate of false alarms.

/// Share of attackers whose score lies above every threshold at which at most the share `false_alarms` of the
/// honest ones would be called: the true positive rate at that false positive rate, as Carlini et al. 2022
/// ("Membership Inference Attacks From First Principles") ask of a detector. Equal scores are called together.
/// With fewer than `1 / false_alarms` honest scores none of them may be called. None without scores of both.
pub fn true_positives(honest: &[f64], attackers: &[f64], false_alarms: f64) -> Option<f64> {
    if honest.is_empty() || attackers.is_empty() {
        return None;
    }
    let mut sorted = honest.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let most = (false_alarms * honest.len() as f64).floor() as usize;
    // The first score that may not be called: whatever lies above it is.
    let called = |score: &&f64| sorted.get(most).is_none_or(|bound| *score > bound);
    let hits = attackers.iter().filter(called).count();
    Some(hits as f64 / attackers.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::true_positives;

    #[test]
    fn false_alarms_decide_the_threshold() {
        let honest: Vec<f64> = (0..100).map(f64::from).collect();
        let attackers = [97.5, 98.0, 98.5, 99.5];
        // One of a hundred may be called: the bound is 98.
        assert_eq!(true_positives(&honest, &attackers, 0.01), Some(0.5));
        assert_eq!(true_positives(&honest, &attackers, 0.0), Some(0.25));
        assert_eq!(true_positives(&honest, &attackers, 1.0), Some(1.0));
        // Of few honest ones none may be.
        assert_eq!(true_positives(&[1.0, 2.0], &[2.0, 3.0], 0.01), Some(0.5));
        assert_eq!(true_positives(&[], &[1.0], 0.01), None);
    }
}
