//! Only modules by these authors.

use super::definition::Definition;
use super::{Check, Facts, Finding};

/// Definition of the check.
pub const DEFINITION: Definition = Definition {
    name: "signers",
    help: "the module is by one of these authors",
    version: 1,
    numbers: &[],
    names: Some((
        "signers",
        "names or hex keys of module authors; left out: every author the node trusts",
    )),
    make: |p| Box::new(Signers::new(p.names())),
};

/// Allow-list of module authors.
pub struct Signers {
    allowed: Option<Vec<String>>,
}

impl Signers {
    /// Names in the node's trust store or hex keys; `None`: everyone in the trust store.
    pub fn new(allowed: Option<Vec<String>>) -> Self {
        Signers { allowed }
    }
}

impl Check for Signers {
    fn look(&self, facts: &Facts<'_>) -> Finding {
        let signer = facts.attested.module_signer;
        let name = facts.authors.name_of(&signer);
        let hex = signer.to_string();
        let allowed = match &self.allowed {
            None => name.is_some(),
            Some(list) => list
                .iter()
                .any(|entry| *entry == hex || name == Some(entry.as_str())),
        };
        let who = name.unwrap_or("an author the node does not know");
        let fact = format!("module signed by {who} ({})", hex.get(..12).unwrap_or(&hex));
        if allowed {
            Finding::pass(fact)
        } else {
            Finding::fail(fact)
        }
    }
}
