//! Origins of run logs: `fedseal/run/NAME/KEY/RANDOM`. The name is for people; the hash of the key
//! that signs the log and a random part keep two logs of one name apart.

use crate::digest::Digest;
use crate::keys::PublicKey;
#[cfg(not(target_family = "wasm"))]
use crate::{Error, Result, error::about};

/// Beginning of the origin of every run's log.
const PREFIX: &str = "fedseal/run/";

/// Bytes of the key's hash and of the random part.
const PART: usize = 16;

/// An origin that no other log has.
///
/// # Errors
/// [`Error::Invalid`] for a name that is empty or holds whitespace, control characters, `+` or `/`;
/// [`Error::Key`] when the system gives no entropy.
#[cfg(not(target_family = "wasm"))]
pub fn run_origin(name: &str, key: &PublicKey) -> Result<String> {
    super::note::check_name(name)?;
    if name.contains('/') {
        return Err(Error::Invalid {
            what: "log name",
            detail: format!("{name:?} holds a '/'"),
        });
    }
    let mut random = [0; PART];
    getrandom::fill(&mut random).map_err(|error| Error::Key {
        what: "origin of a new log".into(),
        detail: about(format!("the system gave no entropy: {error}"), error),
    })?;
    Ok(format!(
        "{PREFIX}{name}/{}/{}",
        key_part(key),
        hex::encode(random)
    ))
}

/// Whether an origin is of [`run_origin`]'s form and names this key.
pub fn origin_names(origin: &str, key: &PublicKey) -> bool {
    let parts = origin.strip_prefix(PREFIX).map(|rest| rest.split('/'));
    let Some([name, hash, random]) =
        parts.and_then(|parts| <[&str; 3]>::try_from(parts.collect::<Vec<_>>()).ok())
    else {
        return false;
    };
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    !name.is_empty()
        && hash == key_part(key)
        && random.len() == 2 * PART
        && random.bytes().all(is_hex)
}

/// The first half of the key's SHA-256, hex; it begins with the key's id.
fn key_part(key: &PublicKey) -> String {
    let hash = hex::encode(Digest::of(key.as_bytes()).0);
    hash.chars().take(2 * PART).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::tlog::Checkpoint;

    #[test]
    fn two_logs_of_one_name_and_key_have_two_origins() {
        let key = SigningKey::from_seed([1; 32]);
        let other = SigningKey::from_seed([2; 32]).public();
        let first = run_origin("tiny", &key.public()).unwrap();
        let second = run_origin("tiny", &key.public()).unwrap();
        assert_ne!(first, second);
        let id = key.public().key_id();
        assert!(
            first.starts_with(&format!("fedseal/run/tiny/{id}")),
            "{first}"
        );
        assert!(origin_names(&first, &key.public()));
        assert!(!origin_names(&first, &other));
        // A checkpoint can be of it.
        let checkpoint = Checkpoint {
            origin: first.clone(),
            size: 0,
            root: Digest::of(b""),
        };
        let note = checkpoint.sign(&key).unwrap();
        assert_eq!(
            Checkpoint::verify(&note, &first, &key.public()).unwrap(),
            checkpoint
        );
        for bad in ["", "a b", "a/b", "a+b", "a\nb"] {
            assert!(run_origin(bad, &other).is_err(), "{bad:?}");
        }
        let mut longer = first.clone();
        longer.push('0');
        for bad in ["fedseal/run/tiny", &first[..first.len() - 1], &longer, ""] {
            assert!(!origin_names(bad, &key.public()), "{bad}");
        }
    }
}
