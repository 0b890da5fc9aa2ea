//! Limited resources, and how much of each one address may have: connections, live feeds, bytes of
//! bodies and answers.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Client that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer(IpAddr);

impl Peer {
    /// The client of a connection. An IPv6 network of 64 bits is one client: it is what a household
    /// gets, and it has more addresses than can be counted.
    pub(super) fn new(address: IpAddr) -> Peer {
        Peer(match address.to_canonical() {
            IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
            four @ IpAddr::V4(_) => four,
        })
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A limited amount of a resource, with a smaller limit for each client.
#[derive(Debug)]
pub(super) struct Shares {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<Peer, usize>,
}

/// A client's share, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    of: Arc<Shares>,
    peer: Peer,
    amount: usize,
}

impl Shares {
    /// Shares of `all` in total, and of `each` for one client.
    pub(super) fn new(all: usize, each: usize) -> Arc<Shares> {
        Arc::new(Shares {
            all,
            each,
            taken: Mutex::default(),
        })
    }

    /// Takes a share, if there is as much left in all and for this client.
    pub(super) fn take(self: &Arc<Self>, peer: Peer, amount: usize) -> Option<Share> {
        let mut share = Share {
            of: self.clone(),
            peer,
            amount: 0,
        };
        share.grow(amount).then_some(share)
    }

    /// The most that one client can have.
    pub(super) fn each(&self) -> usize {
        self.each.min(self.all)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Taken) -> T) -> T {
        change(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Share {
    /// Takes more; whether there was as much.
    pub(super) fn grow(&mut self, by: usize) -> bool {
        let taken = self.of.change(|taken| {
            let own = taken.by.get(&self.peer).copied().unwrap_or(0);
            let (all, own) = (taken.all.saturating_add(by), own.saturating_add(by));
            let fits = all <= self.of.all && own <= self.of.each;
            if fits && by > 0 {
                taken.all = all;
                taken.by.insert(self.peer, own);
            }
            fits
        });
        if taken {
            self.amount += by;
        }
        taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.change(|taken| {
            taken.all -= self.amount;
            if let Some(own) = taken.by.get_mut(&self.peer) {
                *own -= self.amount;
                // Only those who have something are remembered.
                if *own == 0 {
                    taken.by.remove(&self.peer);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::new(address.parse().unwrap())
    }

    #[test]
    fn one_client_cannot_have_all() {
        let shares = Shares::new(10, 6);
        let (a, b) = (peer("10.0.0.1"), peer("10.0.0.2"));
        let mut first = shares.take(a, 4).unwrap();
        assert!(shares.take(a, 3).is_none(), "more than one may have");
        assert!(first.grow(2) && !first.grow(1));
        let second = shares.take(b, 4).unwrap();
        assert!(shares.take(b, 1).is_none(), "more than there is");
        drop(first);
        shares.take(b, 2).unwrap();
        drop(second);
        let empty = shares.change(|taken| taken.all == 0 && taken.by.is_empty());
        assert!(empty, "what was taken is given back");
        assert!(shares.take(a, usize::MAX).is_none());
    }

    #[test]
    fn whose_address_it_is() {
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
        assert_eq!(peer("2001:db8:0:1::1"), peer("2001:db8:0:1:ffff::2"));
        assert_ne!(peer("2001:db8:0:1::1"), peer("2001:db8:0:2::1"));
    }
}
