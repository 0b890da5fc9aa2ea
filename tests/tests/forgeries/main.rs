//! The forgery corpus: every way we know to present something as signed, logged or attested that
//! is not. Each case is refused, and for the reason that it is wrong: the refusal's words are
//! asserted, so that a case which is refused for another reason (a typo in the test, a check that
//! shadows another) fails too. A corpus in which nothing could be accepted proves nothing, so each
//! part first accepts the genuine thing.
//!
//! One file a subject. Run directories are forged in `server/federation/tests/forged_runs`, where
//! runs can be made.

mod attestations;
mod checkpoints;
mod ed25519;
mod envelopes;
mod ledger;
mod proofs;
mod statements;
mod text;

use std::fmt::{Debug, Display};
use std::path::Path;

/// Counts cases and collects those that were not refused as they should.
#[derive(Default)]
pub struct Corpus {
    total: u32,
    refused: u32,
    wrong: Vec<String>,
}

impl Corpus {
    /// One forgery: `result` must be an error that says `reason`.
    pub fn refuse<T: Debug, E: Display>(
        &mut self,
        case: impl Display,
        reason: &str,
        result: Result<T, E>,
    ) {
        self.total += 1;
        match result {
            Ok(value) => self.wrong.push(format!("{case}: ACCEPTED as {value:?}")),
            Err(error) if !error.to_string().contains(reason) => {
                self.wrong
                    .push(format!("{case}: refused with {error}, not {reason:?}"));
            }
            Err(_) => self.refused += 1,
        }
    }
}

#[test]
fn every_forgery_is_refused_for_its_reason() {
    let mut all = Corpus::default();
    type Part = (&'static str, fn(&mut Corpus));
    let parts: [Part; 8] = [
        ("envelopes", envelopes::forge),
        ("statements", statements::forge),
        ("attestations", attestations::forge),
        ("checkpoints", checkpoints::forge),
        ("proofs", proofs::forge),
        ("ledger", ledger::forge),
        ("text", text::forge),
        ("ed25519", ed25519::forge),
    ];
    for (name, forge) in parts {
        let before = all.total;
        forge(&mut all);
        eprintln!("{name}: {} cases", all.total - before);
    }
    eprintln!("{} of {} refused", all.refused, all.total);
    if let Some(folder) = std::env::var_os("FEDSEAL_COUNTS") {
        let counts = serde_json::json!({ "total": all.total, "refused": all.refused });
        std::fs::write(
            Path::new(&folder).join("forgeries.json"),
            counts.to_string(),
        )
        .unwrap();
    }
    assert!(all.wrong.is_empty(), "{}", all.wrong.join("\n"));
    assert!(all.total >= 250, "only {}", all.total);
}

/// The corpus itself can fail, both ways.
#[test]
fn the_corpus_can_fail() {
    let mut corpus = Corpus::default();
    corpus.refuse("accepted", "", Ok::<_, String>(1));
    corpus.refuse("for another reason", "digest", Err::<u8, _>("key"));
    corpus.refuse("as it should", "key", Err::<u8, _>("a key"));
    assert_eq!(
        (corpus.total, corpus.refused, corpus.wrong.len()),
        (3, 1, 2)
    );
}
