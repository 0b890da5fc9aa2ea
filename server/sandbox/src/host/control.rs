//! SCAFFOLD's control variates as a run finds them: inputs of the run, nodes of its lineage.
//! Whoever keeps them works out the next round's from the run.

use std::sync::Arc;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::lineage::Kind;
use fedseal_tuning::{Adapter, ControlVariates};
use serde_json::Value;

use super::adapters::{adapter_bytes, shapes};
use super::state::{Controls, HostState};
use crate::reason::{Reason, Stop};

impl HostState {
    /// The run's control variates; their nodes are made by the first call.
    pub(super) fn controls(&mut self) -> Result<Controls, Stop> {
        if let Some(controls) = &self.control {
            return Ok(controls.clone());
        }
        let given = self.input.control.clone();
        self.budget
            .hold(adapter_bytes(&self.input.global).saturating_mul(2))?;
        let (server, server_node) = self.variate(given.server.as_deref(), "server")?;
        let (client, client_node) = self.variate(given.client.as_deref(), "client")?;
        let controls = Controls {
            variates: Arc::new(ControlVariates { server, client }),
            server: server_node,
            client: client_node,
        };
        self.control = Some(controls.clone());
        Ok(controls)
    }

    fn variate(&mut self, given: Option<&Adapter>, of: &str) -> Result<(Adapter, u32), Stop> {
        let global = self.input.global.clone();
        self.budget.work(adapter_bytes(&global))?;
        let (variate, digest) = match given {
            Some(variate) if variate.same_shape(&global) => {
                (variate.clone(), Some(Digest(variate.digest())))
            }
            Some(_) => {
                let text = format!("the {of}'s control variate has other shapes");
                return Err(Stop::new(Reason::Host, text));
            }
            None => {
                let zero = global.from_flat(&vec![0.0; global.len()]);
                (zero.map_err(shapes)?, None)
            }
        };
        let params = [("of", Value::from(of))];
        let node = self.node(Kind::Control, vec![], digest, None, &params)?;
        Ok((variate, node))
    }
}
