//! Root mean square normalisation.

use burn::tensor::Tensor;

/// `x / sqrt(mean(x²) + eps) · weight` over the last dimension of `[tokens, width]`.
///
/// `weight` is `[width]`.
pub fn rms_norm(x: Tensor<2>, weight: &Tensor<1>, eps: f32) -> Tensor<2> {
    let square = x.clone().powi_scalar(2).mean_dim(1);
    let scale = square.add_scalar(eps).sqrt().recip();
    x * scale * weight.clone().unsqueeze::<2>()
}
