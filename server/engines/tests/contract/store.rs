//! The contract of a store, as tests.

use std::sync::Barrier;

use fedseal_client_sdk::digest::Digest;
use fedseal_engines::store::{MAX_CLAIM, Name, Store};

const RACERS: usize = 8;
const RACES: u32 = 6;

fn name(number: u32) -> Name {
    Name::new("race", &Digest::of(b"about"), number)
}

/// Every part of the contract.
pub(crate) fn holds(store: &dyn Store) {
    let large = vec![42; 3 << 20];
    for bytes in [&b""[..], b"blob", &large] {
        assert!(store.get(&Digest::of(bytes)).unwrap().is_none() || bytes.is_empty());
        let digest = store.put(bytes).unwrap();
        assert_eq!(digest, Digest::of(bytes));
        assert_eq!(store.put(bytes).unwrap(), digest, "again is no error");
        assert_eq!(store.get(&digest).unwrap().unwrap(), bytes);
    }
    assert!(store.get(&Digest::of(b"none")).unwrap().is_none());

    let own = Name::new("result", &Digest::of(b"job"), 0);
    assert_eq!(store.claimed(&own).unwrap(), None);
    assert_eq!(store.claim(&own, b"first").unwrap(), b"first");
    assert_eq!(
        store.claim(&own, b"second").unwrap(),
        b"first",
        "the first one stands"
    );
    assert_eq!(store.claim(&own, b"first").unwrap(), b"first");
    assert_eq!(store.claimed(&own).unwrap().unwrap(), b"first");
    assert!(store.claim(&name(99), &vec![0; MAX_CLAIM + 1]).is_err());
    // Of several at once one wins, and all hear which.
    for race in 0..RACES {
        let barrier = Barrier::new(RACERS);
        let heard: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS)
                .map(|racer| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        store
                            .claim(&name(race), racer.to_string().as_bytes())
                            .unwrap()
                    })
                })
                .collect();
            racers
                .into_iter()
                .map(|racer| racer.join().unwrap())
                .collect()
        });
        let stands = store.claimed(&name(race)).unwrap().unwrap();
        assert!(heard.iter().all(|it| *it == stands), "{heard:?}");
    }
}

/// Everything that was written stays, for whoever opens the store later.
pub(crate) fn holds_again(store: &dyn Store) {
    assert_eq!(store.get(&Digest::of(b"blob")).unwrap().unwrap(), b"blob");
    let own = Name::new("result", &Digest::of(b"job"), 0);
    assert_eq!(store.claim(&own, b"third").unwrap(), b"first");
}
