//! `silu(gate) · up`.

use super::{
    math::sigmoid,
    memory::{self, Shared},
    parallel,
};

/// Elements of one unit of work.
const BLOCK: usize = 2048;

/// `silu(gate) · up`, elementwise.
///
/// # Panics
/// When the lengths differ.
pub fn forward(gate: &[f32], up: &[f32]) -> Vec<f32> {
    assert_eq!(gate.len(), up.len(), "equal lengths");
    let len = gate.len();
    let fill = |out: Shared| {
        parallel::for_ranges(len.div_ceil(BLOCK), 8 * BLOCK, &|blocks| {
            let (from, to) = (blocks.start * BLOCK, len.min(blocks.end * BLOCK));
            // SAFETY: blocks do not overlap.
            let out = unsafe { out.slice(from, to - from) };
            forward_block(&gate[from..to], &up[from..to], out);
        });
    };
    // SAFETY: the blocks cover the output.
    unsafe { memory::filled(len, fill) }
}

/// Gradients in `gate` and in `up`.
///
/// # Panics
/// When the lengths differ.
pub fn backward(gate: &[f32], up: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
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
            backward_block(&gate[from..to], &up[from..to], &grad[from..to], gates, ups);
        });
    };
    // SAFETY: the blocks cover both outputs.
    unsafe { memory::filled_pair(len, fill) }
}

multiversion! {
    /// A part on this thread; as [`forward`].
    pub fn forward_block(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate * sigmoid(gate) * up;
        }
    }

    fn backward_block(
        gate: &[f32],
        up: &[f32],
        grad: &[f32],
        out_gate: &mut [f32],
        out_up: &mut [f32],
    ) {
        let inputs = gate.iter().zip(up).zip(grad);
        for (((&gate, &up), &grad), (out_gate, out_up)) in
            inputs.zip(out_gate.iter_mut().zip(out_up))
        {
            let s = sigmoid(gate);
            let silu = gate * s;
            *out_up = grad * silu;
            // silu' = s + silu · (1 - s)
            *out_gate = grad * up * silu.mul_add(1.0 - s, s);
        }
    }
}
