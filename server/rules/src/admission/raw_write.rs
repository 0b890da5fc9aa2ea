//! No tensor values written by the guest itself.

use fedseal_client_sdk::lineage::Kind;

use super::definition::Definition;
use super::{Check, Facts, Finding};

/// Definition of the check.
pub const DEFINITION: Definition = Definition {
    name: "raw-write",
    help: "no tensor value was written by the guest",
    version: 1,
    numbers: &[],
    names: None,
    make: |_| Box::new(NoRawWrite),
};

/// Refuses updates with a raw write anywhere among their ancestors.
pub struct NoRawWrite;

impl Check for NoRawWrite {
    fn look(&self, facts: &Facts<'_>) -> Finding {
        let lineage = &facts.attested.lineage;
        let Some(output) = lineage.output else {
            return Finding::fail("the lineage has no output");
        };
        match lineage.find_ancestor(output, &[Kind::RawWrite]) {
            Some(node) => Finding::fail(format!("node {} writes raw tensor values", node.id)),
            None => Finding::pass("no raw tensor write"),
        }
    }
}
