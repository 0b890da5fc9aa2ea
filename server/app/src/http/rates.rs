//! How many requests somebody may send a second: an address, or the key that signed them. More are refused with
//! 429 and the time to wait (RFC 6585, section 4).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, StatusCode, header};

use super::refusal::Refusal;

/// Senders that are remembered at once, most.
const MOST: usize = 1 << 16;

/// A rate of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Requests a second in the long run; 0: any number.
    pub a_second: u32,
    /// Requests that may come at once after a silence.
    pub at_once: u32,
}

/// Requests of several senders, each within the same rate.
///
/// For each sender one moment is kept: when all of its requests so far would have come at an even rate (the
/// generic cell rate algorithm, ITU-T I.371). It may lie ahead of now by what `at_once` requests take.
#[derive(Debug)]
pub(super) struct Rates<K> {
    rate: Rate,
    even: Mutex<HashMap<K, Instant>>,
}

impl<K: Hash + Eq> Rates<K> {
    /// Everybody may send at this rate.
    pub(super) fn new(rate: Rate) -> Self {
        Rates {
            rate,
            even: Mutex::default(),
        }
    }

    /// Counts a request; where it is one too many, the time to wait.
    pub(super) fn take(&self, who: K) -> Result<(), Duration> {
        self.take_at(who, Instant::now())
    }

    fn take_at(&self, who: K, now: Instant) -> Result<(), Duration> {
        if self.rate.a_second == 0 {
            return Ok(());
        }
        let each = Duration::from_secs(1) / self.rate.a_second;
        let ahead = each * self.rate.at_once.max(1);
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        if even.len() >= MOST && !even.contains_key(&who) {
            even.retain(|_, until| *until > now);
            if even.len() >= MOST {
                // So many at once are a flood that the bounds on connections are for.
                even.clear();
            }
        }
        let until = even.get(&who).copied().unwrap_or(now).max(now) + each;
        let early = (until - now).saturating_sub(ahead);
        if early.is_zero() {
            even.insert(who, until);
            Ok(())
        } else {
            Err(early)
        }
    }
}

/// The refusal of a request that came too early.
pub(super) fn too_many(who: &str, wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let after = HeaderValue::from(seconds.max(1));
    Refusal::new(
        StatusCode::TOO_MANY_REQUESTS,
        "Too many requests.",
        who,
        format!("Wait {} s, then go on more slowly.", seconds.max(1)),
    )
    .with(header::RETRY_AFTER, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_its_rate_after_a_burst() {
        let rates = Rates::new(Rate {
            a_second: 10,
            at_once: 3,
        });
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for _ in 0..3 {
            assert_eq!(rates.take_at("a", at(0)), Ok(()));
        }
        assert_eq!(rates.take_at("a", at(0)), Err(Duration::from_millis(100)));
        assert_eq!(rates.take_at("b", at(0)), Ok(()), "each has its own");
        assert_eq!(rates.take_at("a", at(60)), Err(Duration::from_millis(40)));
        assert_eq!(rates.take_at("a", at(100)), Ok(()));
        assert!(
            rates.take_at("a", at(100)).is_err(),
            "a refusal costs nothing more"
        );
        for ms in [5000, 5000, 5000] {
            assert_eq!(rates.take_at("a", at(ms)), Ok(()));
        }
        assert!(
            rates.take_at("a", at(5000)).is_err(),
            "silence is not saved up"
        );
    }

    #[test]
    fn no_number_of_senders_takes_more_memory() {
        let rates = Rates::new(Rate {
            a_second: 1,
            at_once: 1,
        });
        let now = Instant::now();
        for who in 0..MOST + 10 {
            assert_eq!(rates.take_at(who, now), Ok(()));
        }
        assert!(rates.even.lock().unwrap().len() <= MOST);
        let unlimited = Rates::new(Rate {
            a_second: 0,
            at_once: 0,
        });
        assert!((0..1000).all(|_| unlimited.take_at(0, now).is_ok()));
    }
}
