//! Every operation compared with its plain expression: values and gradients.

use burn::tensor::{Device, Tensor, TensorData};

use super::{
    Activation, FrozenWeight, RopeScaling, RopeTable, Rule, Segments, attention, cross_entropy,
    gated, lora_linear, rms_norm, rope,
};
use crate::kernels::tests_support::noise;

fn leaf<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let data = noise(shape.iter().product(), seed);
    let device = Device::flex().autodiff();
    Tensor::<D>::from_data(TensorData::new(data, shape), &device).require_grad()
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .into_data()
        .try_into_vec::<f32>()
        .expect("f32 values")
}

fn assert_close(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(1e-3_f32, |m, v| m.max(v.abs()));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!(
            (a - b).abs() <= 1e-5 * scale,
            "{what} at {i}: {a} is not {b} (scale {scale})"
        );
    }
}

/// Compares two functions of the same leaves: the output, and the gradients of a fixed random
/// weighting of the output.
fn compare<const D: usize, const N: usize>(
    what: &str,
    leaves: [Tensor<D>; N],
    ours: impl Fn([Tensor<D>; N]) -> Tensor<D>,
    plain: impl Fn([Tensor<D>; N]) -> Tensor<D>,
) {
    let run = |f: &dyn Fn([Tensor<D>; N]) -> Tensor<D>| {
        let out = f(leaves.clone());
        let pull = noise(out.dims().iter().product(), 99);
        let pull = Tensor::<D>::from_data(TensorData::new(pull, out.dims()), &Device::flex());
        let mut grads = (out.clone() * pull).sum().backward();
        let grads = leaves
            .each_ref()
            .map(|leaf| leaf.grad_remove(&mut grads).map(host));
        (host(out.without_autodiff()), grads)
    };
    let (out, grads) = run(&ours);
    let (real, real_grads) = run(&plain);
    assert_close(&out, &real, what);
    for (i, (grad, real)) in grads.into_iter().zip(real_grads).enumerate() {
        let (grad, real) = (grad.expect("a gradient"), real.expect("a gradient"));
        assert_close(&grad, &real, &format!("{what}, gradient {i}"));
    }
}

#[test]
fn autodiff_tensors_of_the_cpu_take_the_kernels() {
    // Otherwise every comparison below would compare the plain expression with itself.
    assert!(super::cpu::is_cpu(&leaf([1, 1], 1).device()));
    assert!(super::cpu::is_cpu(&Device::flex()));
}

#[test]
fn frozen_products_match_burns() {
    let (out, inner) = (70, 45);
    let w = noise(out * inner, 1);
    let ours = FrozenWeight::new(w.clone(), out, inner, &Device::flex());
    let plain = FrozenWeight::plain(w, out, inner);
    compare(
        "linear",
        [leaf([37, inner], 2)],
        |[x]| ours.forward(x),
        |[x]| plain.forward(x),
    );
    let pair = [leaf([37, inner], 3), leaf([8, inner], 4), leaf([out, 8], 5)];
    compare(
        "lora",
        pair,
        |[x, a, b]| lora_linear(x, &ours, a, b, 0.7),
        |[x, a, b]| lora_linear(x, &plain, a, b, 0.7),
    );
    let rows = [3, 69, 0, 3];
    assert_eq!(host(ours.rows(&rows)), host(plain.rows(&rows)));
}

#[test]
fn the_lowest_product_gives_gradients_of_its_pair_alone() {
    let (out, inner) = (20, 12);
    let weight = FrozenWeight::new(noise(out * inner, 1), out, inner, &Device::flex());
    let x = weight.rows(&[1, 2, 3]);
    let (a, b) = (leaf([4, inner], 2), leaf([out, 4], 3));
    let loss = lora_linear(x, &weight, a.clone(), b.clone(), 2.0).sum();
    let grads = loss.backward();
    assert!(a.grad(&grads).is_some() && b.grad(&grads).is_some());
}

#[test]
fn norms_match() {
    let weight = leaf([1, 40], 1);
    compare(
        "rms_norm",
        [leaf([9, 40], 2), weight],
        |[x, w]| rms_norm(x, &w.squeeze_dim::<1>(0), 1e-5),
        |[x, w]| super::norm::plain(x, &w.squeeze_dim::<1>(0), 1e-5),
    );
}

#[test]
fn gated_activations_match() {
    for activation in [Activation::Silu, Activation::GeluTanh] {
        compare(
            &format!("{activation:?}"),
            [leaf([7, 300], 1).mul_scalar(4.0), leaf([7, 300], 2)]
                .map(|x| x.detach().require_grad()),
            |[g, u]| gated(g, u, activation),
            |[g, u]| super::gated::plain(g, u, activation),
        );
    }
}

#[test]
fn rotations_match() {
    let table = RopeTable::new(20, 10_000.0, 50, &RopeScaling::None);
    let positions: Vec<u32> = (0..13).map(|i| i * 3).collect();
    compare(
        "rope",
        [leaf([13, 3, 20], 1)],
        |[x]| rope(x, &table, &positions),
        |[x]| super::rope::plain(x, &table, &positions),
    );
}

#[test]
fn attentions_match() {
    let apart = Segments::from_lengths([5, 61, 1]);
    let sharing = Segments::sharing(6, [5, 55, 1]);
    let usual = Rule::of_dim(32);
    let window = Some(9);
    let capped = Rule {
        scale: 0.4,
        cap: Some(2.0),
        window,
    };
    for rule in [usual, Rule { window, ..usual }, capped] {
        for segments in [&apart, &sharing] {
            compare(
                &format!("attention {rule:?} {segments:?}"),
                [
                    leaf([67, 6, 32], 1),
                    leaf([67, 2, 32], 2),
                    leaf([67, 2, 32], 3),
                ],
                |[q, k, v]| attention(q, k, v, segments, rule),
                |[q, k, v]| super::attention::plain(q, k, v, segments, rule),
            );
        }
    }
}

#[test]
fn losses_match() {
    let (vocab, width) = (517, 32);
    let w = noise(vocab * width, 1);
    let ours = FrozenWeight::new(w.clone(), vocab, width, &Device::flex());
    let plain = FrozenWeight::plain(w, vocab, width);
    let targets: Vec<u32> = (0..19).map(|i| i * 27).collect();
    for cap in [None, Some(1.5)] {
        compare(
            &format!("cross-entropy, cap {cap:?}"),
            [leaf([19, width], 2)],
            |[h]| cross_entropy(h, &ours, cap, &targets).unsqueeze::<2>(),
            |[h]| super::loss::plain(h, &plain, cap, &targets).unsqueeze::<2>(),
        );
    }
}
