//! The sandbox limits that a module needs, as far as its bytes tell.

use fedseal_client_sdk::attestation::Limits;
use fedseal_sandbox::component::{self, Description};

use crate::failure::{Failure, Outcome};

/// A limit, with the amount that a module needs and the default of a sandbox.
pub(super) struct Need {
    /// The name of the limit.
    pub name: &'static str,
    /// Amount that the module needs at its start.
    pub needed: u64,
    /// The default.
    pub given: u64,
}

/// Limits that a module needs at its start. Only a run can tell how much it uses while it runs.
pub(super) fn of(size: usize, description: &Description, limits: &Limits) -> [Need; 4] {
    let need = |name, needed, given| Need {
        name,
        needed,
        given,
    };
    [
        need("module_bytes", size as u64, limits.module_bytes),
        need(
            "memory_bytes",
            description.memory_bytes,
            limits.memory_bytes,
        ),
        need("tables", description.table_elements, limits.tables),
        need("instances", description.core_instances, limits.instances),
    ]
}

/// Limits under which a module at least starts.
pub(super) fn raised(bytes: &[u8], limits: &Limits) -> Outcome<Limits> {
    let description = component::describe(bytes).map_err(Failure::new)?;
    let [size, memory, tables, instances] = of(bytes.len(), &description, limits);
    let most = |need: &Need| need.needed.max(need.given);
    Ok(Limits {
        module_bytes: most(&size),
        memory_bytes: most(&memory),
        tables: most(&tables),
        instances: most(&instances),
        ..*limits
    })
}
