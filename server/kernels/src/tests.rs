//! Every instruction set and any number of threads give the same bits.

use super::{
    Numerics,
    gated::{self, Activation},
    gemm::Matrix,
    lora::{self, PackedPair, Pair},
    loss, norm, rope,
    tests_support::{each_isa, noise},
};

/// Returns the outputs of every kernel outside the products and attention (which have separate
/// tests), on shapes that leave tails.
fn everything() -> Vec<f32> {
    let (rows, width) = (37, 75);
    let x = noise(rows * width, 1);
    let grad = noise(rows * width, 2);
    let weight = noise(width, 3);
    let mut all = norm::forward(&x, &weight, 1e-5);
    all.extend(norm::backward(&x, &weight, 1e-5, &grad));
    all.extend(norm::backward_weight(&x, width, 1e-5, &grad));

    let wide: Vec<f32> = noise(rows * width, 4).iter().map(|x| 30.0 * x).collect();
    for activation in [Activation::Silu, Activation::GeluTanh] {
        all.extend(gated::forward(&wide, &x, activation));
        let (gate, up) = gated::backward(&wide, &x, &grad, activation);
        all.extend(gate.into_iter().chain(up));
    }

    let (heads, half) = (3, 11);
    let (cos, sin) = (noise(rows * half, 5), noise(rows * half, 6));
    let angles = rope::Angles {
        cos: &cos,
        sin: &sin,
        half,
        dim: 2 * half,
    };
    all.extend(rope::rotate(
        &noise(rows * heads * 2 * half, 7),
        heads,
        angles,
        true,
    ));

    let (vocab, targets) = (301, [3_u32, 300, 0, 77, 5]);
    let matrix = Matrix::new(&noise(vocab * width, 8), vocab, width, Numerics::Exact);
    let hidden = &x[..targets.len() * width];
    for cap in [None, Some(2.0)] {
        let back = matrix.transposed();
        let (logs, gradient) = loss::with_gradient(hidden, &matrix, &back, cap, &targets);
        assert_eq!(
            logs,
            loss::log_probabilities(hidden, &matrix, cap, &targets)
        );
        all.extend(logs.into_iter().chain(gradient));
    }

    let (rank, out) = (5, 41);
    let (a, b) = (noise(rank * width, 9), noise(out * rank, 10));
    let pair = Pair {
        a: &a,
        b: &b,
        rank,
        scale: 1.7,
    };
    let mut y = noise(rows * out, 11);
    let low = PackedPair::new(pair).add(&x, rows, &mut y);
    let mut grad_x = noise(rows * width, 12);
    let gradients = lora::backward(&x, rows, &low, pair, &y, Some(&mut grad_x));
    all.extend(
        y.into_iter()
            .chain(grad_x)
            .chain(gradients.a)
            .chain(gradients.b),
    );
    let more = noise(all.len(), 13);
    norm::add_in_place(&mut all, &more);
    all
}

#[test]
fn every_instruction_set_and_thread_count_gives_the_same_bits() {
    let first = std::sync::Mutex::new(None);
    each_isa(|isa| {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let all = pool.expect("a pool").install(everything);
            assert!(all.iter().all(|value| value.is_finite()));
            let mut first = first.lock().expect("the lock");
            let first = first.get_or_insert_with(|| all.clone());
            let differs = first
                .iter()
                .zip(&all)
                .position(|(a, b)| a.to_bits() != b.to_bits());
            assert_eq!(differs, None, "{isa:?} with {threads} threads");
        }
    });
}
