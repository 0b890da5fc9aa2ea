//! A decision on a submitted module: an in-toto statement by whoever runs a server that the module may be
//! executed in its federations, or may not. Each names the one before it, so that none can be left out.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::keys::{PublicKey, SigningKey};
use crate::statement::{Statement, Subject, expect};
use crate::{Error, Result};

/// The predicate type of a decision.
pub const PREDICATE_TYPE: &str = "urn:fedseal:module-decision:v1";
/// Role of the module in the statement.
const SUBJECT: &str = "module";
/// Longest reason, bytes.
pub const MAX_REASON: usize = 1000;

/// Outcome of a decision.
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(any(test, feature = "schema"), schemars(rename = "ModuleVerdict"))]
pub enum Verdict {
    /// It may be executed.
    Approved,
    /// It may not.
    Rejected,
}

impl Verdict {
    /// The text used in statements.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Approved => "approved",
            Verdict::Rejected => "rejected",
        }
    }

    /// The verdict of a text.
    pub fn of(text: &str) -> Option<Verdict> {
        [Verdict::Approved, Verdict::Rejected]
            .into_iter()
            .find(|verdict| verdict.as_str() == text)
    }
}

/// The statement about a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionPredicate {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, for people.
    pub reason: Option<String>,
    /// The rule that decided; none where the administrator did.
    pub rule: Option<String>,
    /// When, RFC 3339, UTC.
    pub time: String,
    /// Digest of the envelope of the decision before this one, of whatever module; none for the first.
    pub previous: Option<Digest>,
}

impl DecisionPredicate {
    fn validate(&self) -> Result<()> {
        for (field, text) in [("reason", &self.reason), ("rule", &self.rule)] {
            if let Some(text) = text
                && (text.len() > MAX_REASON || text.chars().any(char::is_control))
            {
                return Err(Error::Invalid {
                    what: "decision on a module",
                    detail: format!(
                        "{field} is longer than {MAX_REASON} bytes or holds control characters"
                    ),
                });
            }
        }
        Ok(())
    }
}

/// Signs a decision.
///
/// # Errors
/// [`Error::Invalid`] for a reason that is too long.
pub fn sign(module: Digest, predicate: &DecisionPredicate, key: &SigningKey) -> Result<Envelope> {
    predicate.validate()?;
    let subject = vec![Subject::new(SUBJECT, module)];
    Statement::new(subject, PREDICATE_TYPE, predicate.clone()).sign(key)
}

/// Verifies a decision by one of these keys; gives the module and what was decided.
///
/// # Errors
/// Any error of [`Statement::open`]; [`Error::Invalid`] for another subject than one module.
pub fn open(envelope: &Envelope, trusted: &[PublicKey]) -> Result<(Digest, DecisionPredicate)> {
    let opened = Statement::<DecisionPredicate>::open(envelope, trusted, PREDICATE_TYPE)?;
    let statement = opened.statement;
    statement.predicate.validate()?;
    let [subject] = statement.subject.as_slice() else {
        return Err(Error::Invalid {
            what: "decision on a module",
            detail: format!("{} subjects, a decision has one", statement.subject.len()),
        });
    };
    expect("decision's subject", SUBJECT, &subject.name)?;
    Ok((subject.digest.sha256, statement.predicate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_binds_module_verdict_and_the_one_before() {
        let key = SigningKey::from_seed([5; 32]);
        let module = Digest::of(b"module");
        let made = DecisionPredicate {
            verdict: Verdict::Rejected,
            reason: Some("it sends the shard away".into()),
            rule: None,
            time: "2026-01-02T03:04:05Z".into(),
            previous: Some(Digest::of(b"before")),
        };
        let envelope = sign(module, &made, &key).unwrap();
        assert_eq!(
            open(&envelope, &[key.public()]).unwrap(),
            (module, made.clone())
        );
        let other = SigningKey::from_seed([6; 32]).public();
        assert!(open(&envelope, &[other]).is_err());
        let long = DecisionPredicate {
            reason: Some("x".repeat(MAX_REASON + 1)),
            ..made
        };
        assert!(sign(module, &long, &key).is_err());
        assert_eq!(Verdict::of("rejected"), Some(Verdict::Rejected));
        assert_eq!(Verdict::of("no"), None);
    }
}
