//! Decisions on submitted modules, in the order in which they were made. None is ever changed or removed.

use fedseal_client_sdk::decision::Verdict;
use fedseal_client_sdk::digest::Digest;
use fedseal_engines::records::{Row, Table};

use crate::{Registry, Result};

/// A decision, as it is registered. Its statement is a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredDecision {
    /// The module.
    pub module: Digest,
    /// The verdict.
    pub verdict: Verdict,
    /// Envelope of the signed statement ([`decision`](fedseal_client_sdk::decision)), a blob.
    pub envelope: Digest,
}

impl Registry {
    /// Registers a decision that follows the one whose envelope is `previous`. False where another one came
    /// meanwhile: the statement has to name that one, so it is to be made anew.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine).
    pub fn add_decision(
        &self,
        previous: Option<&Digest>,
        decision: &RegisteredDecision,
    ) -> Result<bool> {
        let row = [
            decision.module.to_string(),
            decision.verdict.as_str().to_owned(),
            decision.envelope.to_string(),
        ];
        let previous = previous.map(Digest::to_string);
        Ok(self.records.append(previous.as_deref(), &row)?)
    }

    /// All decisions, the first one first.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine), [`Error::Verify`](crate::Error::Verify) for a row that does not
    /// parse.
    pub fn decisions(&self) -> Result<Vec<RegisteredDecision>> {
        let rows = self.records.all(Table::Decisions)?;
        rows.into_iter().map(|row| self.decision_of(row)).collect()
    }

    /// The last decision on a module; none while nothing was decided.
    ///
    /// # Errors
    /// As [`Registry::decisions`].
    pub fn verdict(&self, module: &Digest) -> Result<Option<RegisteredDecision>> {
        self.one(Some(&module.to_string()))
    }

    /// The last decision of all, which the next one names; none while nothing was decided.
    ///
    /// # Errors
    /// As [`Registry::decisions`].
    pub fn last_decision(&self) -> Result<Option<RegisteredDecision>> {
        self.one(None)
    }

    fn one(&self, module: Option<&str>) -> Result<Option<RegisteredDecision>> {
        let row = self.records.newest(Table::Decisions, module)?;
        row.map(|row| self.decision_of(row)).transpose()
    }

    fn decision_of(&self, row: Row) -> Result<RegisteredDecision> {
        let [module, verdict, envelope] = self.columns(row)?;
        let parse = || -> fedseal_client_sdk::Result<RegisteredDecision> {
            Ok(RegisteredDecision {
                module: module.parse()?,
                verdict: Verdict::of(&verdict).ok_or_else(|| {
                    fedseal_client_sdk::Error::Invalid {
                        what: "verdict",
                        detail: format!("{verdict:?} is none"),
                    }
                })?,
                envelope: envelope.parse()?,
            })
        };
        parse().map_err(|error| self.unread(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_decision_counts_and_each_follows_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path().join("r.sqlite")).unwrap();
        let decision = |module: &str, verdict, envelope: &str| RegisteredDecision {
            module: Digest::of(module.as_bytes()),
            verdict,
            envelope: Digest::of(envelope.as_bytes()),
        };
        let first = decision("a", Verdict::Approved, "1");
        assert!(registry.add_decision(None, &first).unwrap());
        let second = decision("a", Verdict::Rejected, "2");
        assert!(
            !registry.add_decision(None, &second).unwrap(),
            "one came meanwhile"
        );
        assert_eq!(
            registry.verdict(&first.module).unwrap(),
            Some(first.clone())
        );
        assert!(
            registry
                .add_decision(Some(&first.envelope), &second)
                .unwrap()
        );
        let third = decision("b", Verdict::Approved, "3");
        assert!(
            registry
                .add_decision(Some(&second.envelope), &third)
                .unwrap()
        );
        assert_eq!(
            registry.verdict(&first.module).unwrap(),
            Some(second.clone())
        );
        assert_eq!(registry.verdict(&Digest::of(b"c")).unwrap(), None);
        assert_eq!(registry.last_decision().unwrap(), Some(third.clone()));
        assert_eq!(registry.decisions().unwrap(), [first, second, third]);
    }
}
