//! Attention against the definition in f64.

use super::{
    Feed, Heads, Inputs, KeyValues, Layout, Output, Rule, backward, forward, forward_cached,
};
use crate::tests_support::{each_isa, noise};

const HEADS: Heads = Heads {
    query: 4,
    kv: 2,
    dim: 24,
    rule: Rule {
        scale: 0.204_124_15,
        cap: None,
        window: None,
    },
};

/// The default rule; one with another scale, a cap and a window below a panel; and one with a
/// larger window.
fn all_heads() -> [Heads; 3] {
    let rule = |scale, cap, window| {
        HEADS.with(Rule {
            scale,
            cap,
            window: Some(window),
        })
    };
    [HEADS, rule(0.3, Some(1.5), 7), rule(0.2, None, 40)]
}

/// Attention of all tokens by the definition, in f64.
fn definition(heads: Heads, q: &[f64], k: &[f64], v: &[f64], lengths: &[usize]) -> Vec<f64> {
    let (dim, rule) = (heads.dim, heads.rule);
    let mut out = vec![0.0; q.len()];
    let mut start = 0;
    for &length in lengths {
        for i in start..start + length {
            for head in 0..HEADS.query {
                let q_at = i * HEADS.query_width() + head * dim;
                let kv_at = |j: usize| j * HEADS.kv_width() + head / HEADS.group() * dim;
                let first = rule
                    .window
                    .map_or(start, |w| start.max((i + 1).saturating_sub(w)));
                let scores: Vec<f64> = (first..=i)
                    .map(|j| {
                        let sum: f64 = (0..dim).map(|d| q[q_at + d] * k[kv_at(j) + d]).sum();
                        let score = sum * f64::from(rule.scale);
                        let capped = |cap: f32| {
                            let cap = f64::from(cap);
                            cap * (score / cap).tanh()
                        };
                        rule.cap.map_or(score, capped).exp()
                    })
                    .collect();
                let total: f64 = scores.iter().sum();
                for (j, score) in (first..=i).zip(&scores) {
                    for d in 0..dim {
                        out[q_at + d] += score / total * v[kv_at(j) + d];
                    }
                }
            }
        }
        start += length;
    }
    out
}

fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

#[test]
fn output_and_gradients_follow_the_definition_with_the_same_bits_everywhere() {
    for heads in all_heads() {
        follows_the_definition(heads);
    }
}

fn follows_the_definition(heads: Heads) {
    let lengths = [3, 0, 70, 1, 33];
    let tokens: usize = lengths.iter().sum();
    let mut end = 0;
    let examples: Vec<_> = lengths
        .iter()
        .map(|&length| {
            end += length;
            end - length..end
        })
        .collect();
    let q = noise(tokens * HEADS.query_width(), 1);
    let k = noise(tokens * HEADS.kv_width(), 2);
    let v = noise(tokens * HEADS.kv_width(), 3);
    let grad = noise(q.len(), 4);
    let inputs = Inputs {
        q: &q,
        k: &k,
        v: &v,
        heads,
    };
    let real = definition(heads, &widen(&q), &widen(&k), &widen(&v), &lengths);
    let objective = |q: &[f64], k: &[f64], v: &[f64]| -> f64 {
        let out = definition(heads, q, k, v, &lengths);
        out.iter().zip(&grad).map(|(o, &g)| o * f64::from(g)).sum()
    };
    let bits: std::cell::RefCell<Option<Vec<f32>>> = std::cell::RefCell::new(None);
    each_isa(|isa| {
        let layout = Layout::apart(&examples);
        let output: Output = forward(inputs, layout);
        for (a, b) in output.mixed.iter().zip(&real) {
            assert!((f64::from(*a) - b).abs() < 1e-5, "{isa:?}: {a} is not {b}");
        }
        let gradients = backward(inputs, layout, output.saved(), &grad);
        let (q, k, v) = (widen(&q), widen(&k), widen(&v));
        for at in [0, 57, 1000, 4001] {
            let step = 1e-5;
            let moved = |x: &[f64], at: usize, by: f64| {
                let mut x = x.to_vec();
                x[at] += by;
                x
            };
            let slope = |f: &dyn Fn(f64) -> f64| (f(step) - f(-step)) / (2.0 * step);
            let at_kv = at % k.len();
            let pairs = [
                (
                    gradients.q[at],
                    slope(&|s| objective(&moved(&q, at, s), &k, &v)),
                ),
                (
                    gradients.k[at_kv],
                    slope(&|s| objective(&q, &moved(&k, at_kv, s), &v)),
                ),
                (
                    gradients.v[at_kv],
                    slope(&|s| objective(&q, &k, &moved(&v, at_kv, s))),
                ),
            ];
            for (ours, real) in pairs {
                assert!(
                    (f64::from(ours) - real).abs() < 2e-5,
                    "{isa:?}: {ours} is not {real}"
                );
            }
        }
        let mut all = output.mixed;
        all.extend(gradients.q.iter().chain(&gradients.k).chain(&gradients.v));
        let mut bits = bits.borrow_mut();
        assert_eq!(bits.get_or_insert_with(|| all.clone()), &all, "{isa:?}");
    });
}

#[test]
fn a_growing_text_gets_the_bits_of_a_whole_one() {
    for heads in all_heads() {
        grows_to_the_same_bits(heads);
    }
}

fn grows_to_the_same_bits(heads: Heads) {
    let tokens = 75;
    let q = noise(tokens * HEADS.query_width(), 5);
    let k = noise(tokens * HEADS.kv_width(), 6);
    let v = noise(tokens * HEADS.kv_width(), 7);
    let inputs = Inputs {
        q: &q,
        k: &k,
        v: &v,
        heads,
    };
    each_isa(|isa| {
        let all = 0..tokens;
        let whole = forward(inputs, Layout::apart(std::slice::from_ref(&all))).mixed;
        let mut cache = KeyValues::with_capacity(heads, 4);
        let mut other = KeyValues::default();
        let mut grown = Vec::new();
        for range in [0..1, 1..40, 40..41, 41..42, 42..75] {
            let part = |x: &[f32], width: usize| x[range.start * width..range.end * width].to_vec();
            let twice = |x: Vec<f32>| [x.clone(), x].concat();
            let (width, kv_width) = (HEADS.query_width(), HEADS.kv_width());
            let count = range.len();
            let mut feeds = [
                Feed {
                    cache: &mut cache,
                    tokens: count,
                },
                Feed {
                    cache: &mut other,
                    tokens: count,
                },
            ];
            let (q, k) = (twice(part(&q, width)), twice(part(&k, kv_width)));
            let out = forward_cached(&q, &k, &twice(part(&v, kv_width)), heads, &mut feeds);
            let (first, second) = out.split_at(out.len() / 2);
            assert_eq!(first, second, "{isa:?}");
            grown.extend_from_slice(first);
            cache = cache.copy_with_capacity(heads, 0);
        }
        assert_eq!(grown, whole, "{isa:?}");
    });
}

/// A shared beginning of 37 tokens, and examples that add 3, 0, 70 and 33, compared with the same
/// examples written out.
#[test]
fn a_shared_beginning_gives_what_whole_examples_give() {
    const SHARED: usize = 37;
    let own = [3, 0, 70, 33];
    let (mut at, mut end) = (SHARED, 0);
    let (mut folded, mut whole, mut source) = (Vec::new(), Vec::new(), Vec::new());
    for length in own {
        folded.push(at..at + length);
        whole.push(end..end + SHARED + length);
        source.extend((0..SHARED).chain(at..at + length));
        at += length;
        end += SHARED + length;
    }
    let unfold = |x: &[f32], width: usize| -> Vec<f32> {
        let rows = source.iter().flat_map(|&row| &x[row * width..][..width]);
        rows.copied().collect()
    };
    for heads in all_heads() {
        let (width, kv_width) = (heads.query_width(), heads.kv_width());
        let q = noise(at * width, 1);
        let k = noise(at * kv_width, 2);
        let v = noise(at * kv_width, 3);
        let grad = noise(end * width, 4);
        let (long_q, long_k, long_v) = (
            unfold(&q, width),
            unfold(&k, kv_width),
            unfold(&v, kv_width),
        );
        // The gradient of a shared row is the sum of the gradients of its copies.
        let fold = |x: &[f32], width: usize| -> Vec<f32> {
            let mut sum = vec![0.0; at * width];
            for (from, &to) in x.chunks_exact(width).zip(&source) {
                for (sum, x) in sum[to * width..].iter_mut().zip(from) {
                    *sum += x;
                }
            }
            sum
        };
        let short = Inputs {
            q: &q,
            k: &k,
            v: &v,
            heads,
        };
        let long = Inputs {
            q: &long_q,
            k: &long_k,
            v: &long_v,
            heads,
        };
        let layout = Layout {
            shared: SHARED,
            examples: &folded,
        };
        let plain = Layout::apart(&whole);
        let bits: std::cell::RefCell<Option<Vec<f32>>> = std::cell::RefCell::new(None);
        each_isa(|isa| {
            let output = forward(short, layout);
            let expected = forward(long, plain);
            assert_eq!(unfold(&output.mixed, width), expected.mixed, "{isa:?}");
            let got = backward(short, layout, output.saved(), &fold(&grad, width));
            let real = backward(long, plain, expected.saved(), &grad);
            let pairs = [
                (&got.q, fold(&real.q, width)),
                (&got.k, fold(&real.k, kv_width)),
                (&got.v, fold(&real.v, kv_width)),
            ];
            for (got, real) in pairs {
                for (a, b) in got.iter().zip(&real) {
                    assert!((a - b).abs() < 2e-5, "{isa:?}: {a} is not {b}");
                }
            }
            let all = [got.q, got.k, got.v].concat();
            let mut bits = bits.borrow_mut();
            assert_eq!(bits.get_or_insert_with(|| all.clone()), &all, "{isa:?}");
        });
    }
}
