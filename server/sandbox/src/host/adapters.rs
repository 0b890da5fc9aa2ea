//! Adapters behind handles, and the arithmetic on them.

use std::sync::Arc;

use fedseal_client_sdk::digest::Hashed;
use fedseal_client_sdk::lineage::Kind;
use fedseal_tuning::Adapter;
use serde_json::Value;
use wasmtime::component::Resource;

use super::random::Gauss;
use super::state::{HostState, number};
use crate::objects::AdapterHandle;
use crate::reason::{Reason, Stop};
use crate::refusal::{CallError, invalid, not_finite};

/// Bytes of an adapter's values.
pub(super) fn adapter_bytes(adapter: &Adapter) -> u64 {
    adapter.len() as u64 * 4
}

/// A factor, norm or deviation that a guest gives: finite, as f32 too.
pub(super) fn finite(name: &str, value: f64) -> Result<f32, CallError> {
    let short = value as f32;
    if value.is_finite() && short.is_finite() {
        Ok(short)
    } else {
        Err(invalid(format_args!("{name} is {value}")))
    }
}

/// `global + factor * (source - global)`.
pub(super) fn around(global: &Adapter, source: &Adapter, factor: f32) -> Result<Adapter, Stop> {
    let change = source.sub(global).map_err(shapes)?;
    global.add_scaled(&change, factor).map_err(shapes)
}

/// `left_factor * left + right_factor * right`.
pub(super) fn combine(
    left: &Adapter,
    left_factor: f32,
    right: &Adapter,
    right_factor: f32,
) -> Result<Adapter, Stop> {
    left.scale(left_factor)
        .add_scaled(right, right_factor)
        .map_err(shapes)
}

/// `source` plus Gaussian noise of standard deviation `std`, value by value in canonical order.
pub fn noisy(source: &Adapter, std: f32, seed: u64) -> Adapter {
    let mut gauss = Gauss::new(seed);
    let mut noisy = source.clone();
    for tensor in noisy.tensors.values_mut() {
        gauss.add(std, &mut tensor.data);
    }
    noisy
}

/// `source` with its change from `global` shortened to `norm`; also the factor that did it.
pub(super) fn clipped(
    global: &Adapter,
    source: &Adapter,
    norm: f32,
) -> Result<(Adapter, f64), Stop> {
    let length = source.sub(global).map_err(shapes)?.norm_l2();
    let factor = if length > f64::from(norm) {
        f64::from(norm) / length
    } else {
        1.0
    };
    // A change of no finite length has a factor of zero or none; what comes out of it is refused
    // at `submit`.
    Ok((around(global, source, factor as f32)?, factor))
}

/// Inner product of two changes from `global`, in canonical order: one sum, so the same bits
/// everywhere.
pub(super) fn inner(global: &Adapter, left: &Adapter, right: &Adapter) -> f64 {
    let mut sum = 0.0_f64;
    for (name, start) in &global.tensors {
        let (Some(left), Some(right)) = (left.tensors.get(name), right.tensors.get(name)) else {
            continue;
        };
        let pairs = left.data.iter().zip(&right.data).zip(&start.data);
        for ((l, r), g) in pairs {
            let g = f64::from(*g);
            sum += (f64::from(*l) - g) * (f64::from(*r) - g);
        }
    }
    sum
}

/// All adapters of a run have the global one's shapes, so this is the host's own fault.
pub(super) fn shapes(error: fedseal_tuning::AdapterError) -> Stop {
    Stop::new(Reason::Host, error)
}

impl HostState {
    /// Counts one more adapter that the host keeps, before it is computed.
    pub(super) fn room(&mut self) -> Result<(), Stop> {
        let bytes = adapter_bytes(&self.input.global);
        self.budget.hold(bytes)?;
        self.budget.work(bytes)
    }

    /// A handle to a new adapter for which there is [`HostState::room`]: digested, in the lineage.
    /// Returns the transcript's words for it too.
    pub(super) fn keep(
        &mut self,
        adapter: Adapter,
        kind: Kind,
        inputs: Vec<u32>,
        params: &[(&str, Value)],
    ) -> Result<(Resource<AdapterHandle>, Value), CallError> {
        let bytes = Hashed::of(adapter.to_bytes());
        let digest = bytes.digest();
        let node = self.node(kind, inputs, Some(digest), None, params)?;
        let handle = self.push(AdapterHandle {
            node,
            adapter: Arc::new(adapter),
            digest,
        })?;
        self.bytes = Some(bytes);
        Ok((
            handle,
            serde_json::json!({"node": node, "digest": digest.to_string()}),
        ))
    }

    /// The adapter behind a handle, its node written into the arguments, and the cost of one
    /// pass over it counted before anything is computed.
    pub(super) fn operand(
        &mut self,
        name: &'static str,
        handle: &Resource<AdapterHandle>,
    ) -> Result<AdapterHandle, CallError> {
        let operand = self.get(handle)?;
        self.args.set(name, operand.node);
        self.budget.work(adapter_bytes(&operand.adapter))?;
        Ok(operand)
    }

    pub(super) fn scaled(
        &mut self,
        source: &Resource<AdapterHandle>,
        factor: f64,
    ) -> Result<(Resource<AdapterHandle>, Value), CallError> {
        let factor = self.given(factor);
        self.args.set("factor", number(factor));
        let source = self.operand("source", source)?;
        let short = finite("factor", factor)?;
        self.room()?;
        let result = around(&self.input.global, &source.adapter, short)?;
        self.keep(
            result,
            Kind::Scale,
            vec![source.node],
            &[("factor", number(factor))],
        )
    }

    pub(super) fn added(
        &mut self,
        (left, left_factor): (&Resource<AdapterHandle>, f64),
        (right, right_factor): (&Resource<AdapterHandle>, f64),
    ) -> Result<(Resource<AdapterHandle>, Value), CallError> {
        let (left_factor, right_factor) = (self.given(left_factor), self.given(right_factor));
        self.args.set("left-factor", number(left_factor));
        self.args.set("right-factor", number(right_factor));
        let left = self.operand("left", left)?;
        let right = self.operand("right", right)?;
        let factors = (
            finite("left-factor", left_factor)?,
            finite("right-factor", right_factor)?,
        );
        self.room()?;
        let result = combine(&left.adapter, factors.0, &right.adapter, factors.1)?;
        let params = [
            ("left-factor", number(left_factor)),
            ("right-factor", number(right_factor)),
        ];
        self.keep(result, Kind::Add, vec![left.node, right.node], &params)
    }

    pub(super) fn noised(
        &mut self,
        source: &Resource<AdapterHandle>,
        std: f64,
        seed: Option<u64>,
    ) -> Result<(Resource<AdapterHandle>, Value), CallError> {
        let std = self.given(std);
        let seed = seed.filter(|_| self.input.recording.digits.is_none());
        self.args.set("std", number(std));
        self.args.set("seed", seed);
        let source = self.operand("source", source)?;
        let short = finite("std", std)?;
        if short < 0.0 {
            return Err(invalid(format_args!("std is {std}")));
        }
        let seed = seed.unwrap_or_else(|| self.numbers.host());
        // A normal number costs more than a copied byte.
        self.budget
            .work(adapter_bytes(&source.adapter).saturating_mul(16))?;
        self.room()?;
        let result = noisy(&source.adapter, short, seed);
        let params = [("std", number(std)), ("seed", seed.into())];
        self.keep(result, Kind::Noise, vec![source.node], &params)
    }

    pub(super) fn shortened(
        &mut self,
        source: &Resource<AdapterHandle>,
        norm: f64,
    ) -> Result<(Resource<AdapterHandle>, Value), CallError> {
        let norm = self.given(norm);
        self.args.set("norm", number(norm));
        let source = self.operand("source", source)?;
        let short = finite("norm", norm)?;
        if short < 0.0 {
            return Err(invalid(format_args!("norm is {norm}")));
        }
        self.room()?;
        let (result, factor) = clipped(&self.input.global, &source.adapter, short)?;
        let params = [("norm", number(norm)), ("factor", number(factor))];
        self.keep(result, Kind::Clip, vec![source.node], &params)
    }

    pub(super) fn product(
        &mut self,
        left: &Resource<AdapterHandle>,
        right: &Resource<AdapterHandle>,
    ) -> Result<(f64, Value), CallError> {
        let left = self.operand("left", left)?;
        let right = self.operand("right", right)?;
        let value = self.given(inner(&self.input.global, &left.adapter, &right.adapter));
        if !value.is_finite() {
            return Err(not_finite("the inner product"));
        }
        Ok((value, number(value)))
    }

    pub(super) fn raw_out(
        &mut self,
        source: &Resource<AdapterHandle>,
    ) -> Result<(Vec<f32>, Value), CallError> {
        let source = self.operand("source", source)?;
        self.budget.result(adapter_bytes(&source.adapter))?;
        let values = source.adapter.flat();
        let node = self.node(Kind::RawRead, vec![source.node], None, None, &[])?;
        self.raw.push(node);
        Ok((
            values,
            serde_json::json!({"node": node, "values": source.adapter.len()}),
        ))
    }

    pub(super) fn raw_in(
        &mut self,
        like: &Resource<AdapterHandle>,
        values: &[f32],
    ) -> Result<(Resource<AdapterHandle>, Value), CallError> {
        self.args.set("values", values.len());
        let like = self.operand("like", like)?;
        self.room()?;
        let result = like.adapter.from_flat(values).map_err(|error| {
            self.budget.release(adapter_bytes(&like.adapter));
            invalid(error)
        })?;
        // Whatever was read since the last write may be in it, and so may everything before: the
        // guest remembers. A chain over the last write says so with few edges.
        let mut inputs = vec![like.node];
        inputs.append(&mut self.raw);
        inputs.sort_unstable();
        inputs.dedup();
        let (handle, written) = self.keep(result, Kind::RawWrite, inputs, &[])?;
        let node = self.get(&handle)?.node;
        self.raw.push(node);
        Ok((handle, written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedseal_tuning::{AdapterConfig, ModelConfig, RopeScaling};

    fn pair() -> (Adapter, Adapter) {
        let config = AdapterConfig {
            rank: 2,
            ..AdapterConfig::default()
        };
        let model = ModelConfig {
            d_model: 16,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 4,
            ffn: 24,
            vocab: 40,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            norm_eps: 1e-5,
            max_positions: 64,
            tied_embeddings: true,
            family: Default::default(),
        };
        (
            Adapter::init(&config, &model, 1).unwrap(),
            Adapter::init(&config, &model, 2).unwrap(),
        )
    }

    #[test]
    fn scale_and_clip_leave_the_global_part() {
        let (global, source) = pair();
        let change = source.sub(&global).unwrap().norm_l2();
        let double = around(&global, &source, 2.0).unwrap();
        assert!((double.sub(&global).unwrap().norm_l2() - 2.0 * change).abs() < 1e-5);
        let (short, factor) = clipped(&global, &source, change as f32 / 4.0).unwrap();
        assert!((short.sub(&global).unwrap().norm_l2() - change / 4.0).abs() < 1e-5);
        assert!((factor - 0.25).abs() < 1e-6);
        assert_eq!(clipped(&global, &source, 1e9).unwrap().1, 1.0);
    }

    #[test]
    fn inner_products_are_of_changes() {
        let (global, source) = pair();
        assert_eq!(inner(&global, &global, &source), 0.0);
        let length = source.sub(&global).unwrap().norm_l2();
        assert!((inner(&global, &source, &source).sqrt() - length).abs() < 1e-5 * length);
        let back = around(&global, &source, -1.0).unwrap();
        let cosine = inner(&global, &source, &back) / (length * length);
        assert!((cosine + 1.0).abs() < 1e-5, "{cosine}");
    }

    #[test]
    fn noise_is_seeded() {
        let (global, _) = pair();
        assert_eq!(noisy(&global, 0.1, 4), noisy(&global, 0.1, 4));
        assert_ne!(noisy(&global, 0.1, 4), noisy(&global, 0.1, 5));
        assert_eq!(noisy(&global, 0.0, 4), global);
    }
}
