//! Arithmetic over several adapters, all of it on what the run changed: `adapter - global`.

use crate::{Error, Host};

/// The global adapter trained on `data` with the round's options.
///
/// # Errors
/// Any error of the host.
pub fn train_on<H: Host>(host: &mut H, data: &H::Dataset) -> Result<H::Adapter, Error> {
    let options = host.context().train_options();
    let global = host.global();
    host.train(&global, data, &options)
}

/// The honest update: trained on the whole shard.
///
/// # Errors
/// Any error of the host.
pub fn train_shard<H: Host>(host: &mut H) -> Result<H::Adapter, Error> {
    let shard = host.shard();
    train_on(host, &shard)
}

/// Estimates of honest updates by an attacker who sees no other client: `parts` of them, each
/// trained on another slice of its own shard. At least one.
///
/// # Errors
/// Any error of the host; an empty shard is one.
pub fn estimates<H: Host>(host: &mut H, parts: u32) -> Result<Vec<H::Adapter>, Error> {
    let shard = host.shard();
    let count = host.count(&shard);
    let size = count.div_ceil(parts.max(1)).max(1);
    let mut updates = Vec::new();
    let mut offset = 0;
    while offset < count || updates.is_empty() {
        let slice = host.take(&shard, offset, size)?;
        updates.push(train_on(host, &slice)?);
        offset += size;
    }
    Ok(updates)
}

/// `global + sum of factor * (adapter - global)`.
///
/// # Errors
/// Any error of the host.
pub fn combine<H: Host>(host: &mut H, terms: &[(&H::Adapter, f64)]) -> Result<H::Adapter, Error> {
    let mut sum = host.global();
    // The first addition removes as much of the global part as all terms bring with them.
    let mut kept = 1.0 - terms.iter().map(|(_, factor)| factor).sum::<f64>();
    for (adapter, factor) in terms {
        sum = host.add(&sum, kept, adapter, *factor)?;
        kept = 1.0;
    }
    Ok(sum)
}

/// The mean of several updates.
///
/// # Errors
/// Any error of the host.
pub fn mean<H: Host>(host: &mut H, updates: &[H::Adapter]) -> Result<H::Adapter, Error> {
    let factor = 1.0 / updates.len().max(1) as f64;
    let terms: Vec<_> = updates.iter().map(|update| (update, factor)).collect();
    combine(host, &terms)
}

/// Euclidean length of an update.
///
/// # Errors
/// Any error of the host.
pub fn length<H: Host>(host: &mut H, update: &H::Adapter) -> Result<f64, Error> {
    Ok(host.dot(update, update)?.max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeHost;

    #[test]
    fn combinations_leave_the_global_part() {
        let mut host = FakeHost::new(4);
        host.global = vec![10.0, 20.0];
        let (a, b) = (vec![11.0, 20.0], vec![10.0, 24.0]);
        let both = combine(&mut host, &[(&a, 3.0), (&b, -0.5)]).unwrap();
        assert_eq!(both, [13.0, 18.0]);
        assert_eq!(length(&mut host, &both).unwrap(), 13_f64.sqrt());
        assert_eq!(mean(&mut host, &[a, b]).unwrap(), [10.5, 22.0]);
        let none = combine(&mut host, &[]).unwrap();
        assert_eq!(none, host.global);
    }

    #[test]
    fn estimates_cover_the_shard() {
        let mut host = FakeHost::new(7);
        assert_eq!(estimates(&mut host, 3).unwrap().len(), 3);
        let seen: usize = host.trained.iter().map(|(data, _)| data.len()).sum();
        assert_eq!(seen, 7);
        assert!(estimates(&mut FakeHost::new(0), 3).is_err());
    }
}
