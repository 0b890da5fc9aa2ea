//! The gated activation of Llama's feed-forward block.

use burn::tensor::{Tensor, activation::silu};

/// `silu(gate) · up`, elementwise over `[tokens, width]`.
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    silu(gate) * up
}
