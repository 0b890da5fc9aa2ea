//! Clients of an experiment's own: what the plan says of each follows from its entry.

use crate::error::{Error, Result};
use crate::opened::OpenRun;
use crate::rundir::PlannedClient;
use fedseal_rules::attack::{BENIGN, DISHONEST};
use fedseal_rules::experiment::{ClientConfig, ModulePlace};

impl OpenRun {
    /// Every client is the entry of its place, with a module that may stand there.
    pub(super) fn own_clients(&self) -> Result<()> {
        for (planned, entry) in self.plan.clients.iter().zip(&self.experiment.clients) {
            if let Some(problem) = self.differs(planned, entry) {
                return Err(Error::tampered(
                    format!("client {} in run.json", planned.client),
                    problem,
                ));
            }
            self.registered(planned)?;
        }
        Ok(())
    }

    /// Difference between a client in the plan and its entry.
    fn differs(&self, planned: &PlannedClient, entry: &ClientConfig) -> Option<&'static str> {
        let kind = match entry.honest {
            true => BENIGN,
            false => DISHONEST,
        };
        let assignment = &planned.honest;
        let name = self.plan.module_name(&assignment.module);
        let module = match entry.module() {
            ModulePlace::Name(wanted) => name == Some(wanted),
            ModulePlace::Submitted(digest) => name.is_some() && assignment.module == digest,
            // What stood in a file or a layout is known from the plan alone.
            ModulePlace::File(_) | ModulePlace::Layout(_) => name.is_some(),
        };
        let fits = [
            (planned.client.as_str() == entry.name, "has another name"),
            (planned.kind == kind, "is of another kind"),
            (planned.absent != entry.honest, "takes part in other arms"),
            (
                planned.node == self.experiment.federation.nodes.is_some(),
                "keeps its shard at another place",
            ),
            (
                planned.attacked == *assignment && planned.arms.is_empty(),
                "has another part in some arms",
            ),
            (module, "runs another module"),
            (
                assignment.attachment.is_some() != entry.attachment.is_empty(),
                "hands in other examples",
            ),
        ];
        fits.into_iter()
            .find(|(fits, _)| !fits)
            .map(|(_, problem)| problem)
    }
}
