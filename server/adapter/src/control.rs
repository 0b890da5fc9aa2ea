//! SCAFFOLD's control variates (Karimireddy et al. 2020, algorithm 1).

use crate::{Adapter, AdapterError};

/// The server's and the client's control variate, in the shape of the adapter that is trained.
///
/// Every step moves the adapter by `-η · (d - cᵢ + c)` (line 10) instead of `-η · d`, with `d` the
/// optimiser's direction: for plain gradient descent that is the paper's corrected gradient. With
/// AdamW the correction is added to the normalised direction, not to the gradient before
/// normalisation, because the variates are averages of such directions (line 12, option II).
#[derive(Clone, Debug, PartialEq)]
pub struct ControlVariates {
    /// `c`: the mean over all clients.
    pub server: Adapter,
    /// `cᵢ`: this client's.
    pub client: Adapter,
}

impl ControlVariates {
    /// Checks that both have the shape of the adapter.
    ///
    /// # Errors
    /// [`AdapterError::Adapter`] when one has another shape.
    pub fn check(&self, adapter: &Adapter) -> Result<(), AdapterError> {
        if self.server.same_shape(adapter) && self.client.same_shape(adapter) {
            return Ok(());
        }
        Err(AdapterError::Adapter(
            "a control variate has another shape than the adapter".to_owned(),
        ))
    }

    /// Moves one tensor's values by `-rate · (c - cᵢ)`.
    pub fn correct(&self, name: &str, values: &mut [f32], rate: f32) {
        let of = |adapter: &Adapter| -> Option<Vec<f32>> {
            Some(adapter.tensors.get(name)?.data.clone())
        };
        if let (Some(server), Some(client)) = (of(&self.server), of(&self.client)) {
            for ((value, server), client) in values.iter_mut().zip(server).zip(client) {
                *value -= rate * (server - client);
            }
        }
    }

    /// Returns the client's next control variate, `cᵢ - c + (x - y) / (K · η)` (option II), after a
    /// training from `start` (`x`) to `end` (`y`). `rates` is the sum of the steps' learning rates;
    /// it is `K · η` where the rate is constant.
    ///
    /// # Errors
    /// [`AdapterError::Adapter`] when the shapes differ, [`AdapterError::Config`] when `rates` is
    /// not above 0.
    pub fn next_client(
        &self,
        start: &Adapter,
        end: &Adapter,
        rates: f32,
    ) -> Result<Adapter, AdapterError> {
        if !(rates.is_finite() && rates > 0.0) {
            return Err(AdapterError::Config(format!(
                "learning rates that sum to {rates}"
            )));
        }
        self.check(start)?;
        self.client
            .sub(&self.server)?
            .add_scaled(&start.sub(end)?, 1.0 / rates)
    }
}
