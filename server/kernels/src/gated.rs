//! `activation(gate) · up`.

use super::{
    math::{sigmoid, tanh},
    memory::{self, Shared},
    parallel,
};

/// Elements per unit of work.
const BLOCK: usize = 2048;

/// Activation function of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`
    Silu,
    /// `x / 2 · (1 + tanh(sqrt(2 / pi) · (x + 0.044715 x³)))`
    GeluTanh,
}

/// `sqrt(2 / pi)`
const GELU_SCALE: f32 = 0.797_884_6;
const GELU_CUBE: f32 = 0.044_715;

impl Activation {
    /// Returns the activation and its derivative.
    #[inline(always)]
    pub(super) fn at(self, x: f32) -> (f32, f32) {
        match self {
            Self::Silu => {
                let s = sigmoid(x);
                let silu = x * s;
                // silu' = s + silu · (1 - s)
                (silu, silu.mul_add(1.0 - s, s))
            }
            Self::GeluTanh => {
                let square = x * x;
                let t = tanh(GELU_SCALE * x * GELU_CUBE.mul_add(square, 1.0));
                let inner = GELU_SCALE * (3.0 * GELU_CUBE).mul_add(square, 1.0);
                let half = 0.5 * (1.0 + t);
                (x * half, (0.5 * x * (1.0 - t * t)).mul_add(inner, half))
            }
        }
    }
}

/// `activation(gate) · up`, elementwise.
///
/// # Panics
/// When the lengths differ.
pub fn forward(gate: &[f32], up: &[f32], activation: Activation) -> Vec<f32> {
    assert_eq!(gate.len(), up.len(), "equal lengths");
    let len = gate.len();
    let fill = |out: Shared| {
        parallel::for_ranges(len.div_ceil(BLOCK), 8 * BLOCK, &|blocks| {
            let (from, to) = (blocks.start * BLOCK, len.min(blocks.end * BLOCK));
            // SAFETY: blocks do not overlap.
            let out = unsafe { out.slice(from, to - from) };
            forward_block(&gate[from..to], &up[from..to], activation, out);
        });
    };
    // SAFETY: the blocks cover the output.
    unsafe { memory::filled(len, fill) }
}

/// Returns the gradients in `gate` and in `up`.
///
/// # Panics
/// When the lengths differ.
pub fn backward(
    gate: &[f32],
    up: &[f32],
    grad: &[f32],
    activation: Activation,
) -> (Vec<f32>, Vec<f32>) {
    assert!(
        gate.len() == up.len() && up.len() == grad.len(),
        "equal lengths"
    );
    let len = gate.len();
    let fill = |out_gate: Shared, out_up: Shared| {
        parallel::for_ranges(len.div_ceil(BLOCK), 16 * BLOCK, &|blocks| {
            let (from, to) = (blocks.start * BLOCK, len.min(blocks.end * BLOCK));
            // SAFETY: blocks do not overlap.
            let (gates, ups) = unsafe {
                (
                    out_gate.slice(from, to - from),
                    out_up.slice(from, to - from),
                )
            };
            let (gate, up, grad) = (&gate[from..to], &up[from..to], &grad[from..to]);
            backward_block(gate, up, grad, activation, gates, ups);
        });
    };
    // SAFETY: the blocks cover both outputs.
    unsafe { memory::filled_pair(len, fill) }
}

multiversion! {
    /// Computes a part on this thread; as [`forward`].
    pub fn forward_block(gate: &[f32], up: &[f32], activation: Activation, out: &mut [f32]) {
        let values = out.iter_mut().zip(gate).zip(up);
        // Chosen outside the loops, so that each vectorises.
        match activation {
            Activation::Silu => {
                for ((out, &gate), &up) in values {
                    *out = gate * sigmoid(gate) * up;
                }
            }
            Activation::GeluTanh => {
                for ((out, &gate), &up) in values {
                    *out = Activation::GeluTanh.at(gate).0 * up;
                }
            }
        }
    }

    fn backward_block(
        gate: &[f32],
        up: &[f32],
        grad: &[f32],
        activation: Activation,
        out_gate: &mut [f32],
        out_up: &mut [f32],
    ) {
        let inputs = gate.iter().zip(up).zip(grad);
        let values = inputs.zip(out_gate.iter_mut().zip(out_up));
        match activation {
            Activation::Silu => {
                for (((&gate, &up), &grad), (out_gate, out_up)) in values {
                    let (value, slope) = Activation::Silu.at(gate);
                    *out_up = grad * value;
                    *out_gate = grad * up * slope;
                }
            }
            Activation::GeluTanh => {
                for (((&gate, &up), &grad), (out_gate, out_up)) in values {
                    let (value, slope) = Activation::GeluTanh.at(gate);
                    *out_up = grad * value;
                    *out_gate = grad * up * slope;
                }
            }
        }
    }
}
