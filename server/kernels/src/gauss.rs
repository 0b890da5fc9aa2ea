//! Standard normal numbers by Box and Muller ("A Note on the Generation of Random Normal Deviates", 1958).
//!
//! Logarithm, sine and cosine have the bits of `libm`: these are fdlibm's formulas for the arguments that occur here,
//! operation by operation, without branches, so that the compiler computes several numbers at once. Where an angle
//! is so near to a multiple of pi/2 that fdlibm goes on in a longer form, `libm` itself is asked.

use std::f64::consts::TAU;

multiversion! {
    /// Makes pairs of standard normal numbers of pairs of uniform ones in (0, 1]: `sqrt(-2 ln u)` times the cosine
    /// and the sine of `2 pi v`. `first` are the `u` of all pairs; it is overwritten. `second` are the `v`.
    ///
    /// Pairs beyond the shortest of the three slices are left as they are.
    pub fn box_muller(first: &mut [f64], second: &[f64], out: &mut [[f64; 2]]) {
        for value in first.iter_mut() {
            *value = (-2.0 * ln(*value)).sqrt();
        }
        let mut near = 0_u64;
        for ((radius, v), out) in first.iter().zip(second).zip(out.iter_mut()) {
            let Turned { sin, cos, rest } = turned(TAU * v);
            *out = [radius * cos, radius * sin];
            near |= u64::from(rest.abs() < NEAR);
        }
        if near != 0 {
            for ((radius, v), out) in first.iter().zip(second).zip(out.iter_mut()) {
                let angle = TAU * v;
                *out = [radius * libm::cos(angle), radius * libm::sin(angle)];
            }
        }
    }
}

/// Distance from a multiple of pi/2 from which on fdlibm's first step of reduction is its last: it makes another one
/// where more than 16 bits of an angle are lost, and the angles are below 8.
const NEAR: f64 = 1.0 / 8192.0;

/// Natural logarithm of a normal number in (0, 1] (fdlibm, `e_log.c`).
#[inline(always)]
fn ln(x: f64) -> f64 {
    const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    const L1: f64 = f64::from_bits(0x3fe5_5555_5555_5593);
    const L2: f64 = f64::from_bits(0x3fd9_9999_9997_fa04);
    const L3: f64 = f64::from_bits(0x3fd2_4924_9422_9359);
    const L4: f64 = f64::from_bits(0x3fcc_71c5_1d8e_78af);
    const L5: f64 = f64::from_bits(0x3fc7_4664_96cb_03de);
    const L6: f64 = f64::from_bits(0x3fc3_9a09_d078_c69f);
    const L7: f64 = f64::from_bits(0x3fc2_f112_df3e_5244);
    /// The upper half of the square root of 1/2.
    const ROOT: u64 = 0x3fe6_a09e << 32;
    const ONE: u64 = 0x3ff0_0000 << 32;
    const MANTISSA: u64 = (1 << 52) - 1;
    /// 2^52, whose lowest bit counts ones.
    const COUNT: f64 = (1_u64 << 52) as f64;

    // x = 2^k (1 + f) with 1 + f between the square roots of 1/2 and of 2.
    let shifted = x.to_bits().wrapping_add(ONE - ROOT);
    let k = f64::from_bits(COUNT.to_bits() | (shifted >> 52)) - (COUNT + 1023.0);
    let f = f64::from_bits((shifted & MANTISSA).wrapping_add(ROOT)) - 1.0;
    let half = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (L2 + w * (L4 + w * L6));
    let odd = z * (L1 + w * (L3 + w * (L5 + w * L7)));
    let r = odd + even;
    s * (half + r) + k * LN2_LO - half + f + k * LN2_HI
}

/// 1 from a bound on, 0 before it.
#[inline(always)]
fn reached(x: f64, bound: f64) -> f64 {
    if x < bound { 0.0 } else { 1.0 }
}

/// Sine and cosine of an angle, and its distance from the nearest multiple of pi/2 that it was reduced by.
struct Turned {
    sin: f64,
    cos: f64,
    rest: f64,
}

/// Sine and cosine of an angle in [0, 2 pi] (fdlibm, `e_rem_pio2.c`, `k_sin.c`, `k_cos.c`), right unless the rest is
/// below [`NEAR`].
#[inline(always)]
fn turned(x: f64) -> Turned {
    /// Bounds of the angles that are reduced by 0, 1, 2 and 3 times pi/2: fdlibm compares upper halves.
    const BOUNDS: [f64; 4] = [
        f64::from_bits(0x3fe9_21fc << 32),
        f64::from_bits(0x4002_d97d << 32),
        f64::from_bits(0x400f_6a7b << 32),
        f64::from_bits(0x4015_fdbd << 32),
    ];
    /// The first 33 bits of pi/2, and the rest of it.
    const HALF_PI: [f64; 2] = [
        f64::from_bits(0x3ff9_21fb_5440_0000),
        f64::from_bits(0x3dd0_b461_1a62_6331),
    ];
    const S1: f64 = f64::from_bits(0xbfc5_5555_5555_5549);
    const S2: f64 = f64::from_bits(0x3f81_1111_1110_f8a6);
    const S3: f64 = f64::from_bits(0xbf2a_01a0_19c1_61d5);
    const S4: f64 = f64::from_bits(0x3ec7_1de3_57b1_fe7d);
    const S5: f64 = f64::from_bits(0xbe5a_e5e6_8a2b_9ceb);
    const S6: f64 = f64::from_bits(0x3de5_d93a_5acf_d57c);
    const C1: f64 = f64::from_bits(0x3fa5_5555_5555_554c);
    const C2: f64 = f64::from_bits(0xbf56_c16c_16c1_5177);
    const C3: f64 = f64::from_bits(0x3efa_01a0_19cb_1590);
    const C4: f64 = f64::from_bits(0xbe92_7e4f_809c_52ad);
    const C5: f64 = f64::from_bits(0x3e21_ee9e_bdb4_b1c4);
    const C6: f64 = f64::from_bits(0xbda8_fae9_be88_38d4);

    let [first, second, third, fourth] = BOUNDS;
    let n = reached(x, first) + reached(x, second) + reached(x, third) + reached(x, fourth);
    let far = x - n * HALF_PI[0];
    let tail = n * HALF_PI[1];
    let y = far - tail;
    let low = (far - y) - tail;

    let z = y * y;
    let w = z * z;
    let v = z * y;
    let r = S2 + z * (S3 + z * S4) + z * w * (S5 + z * S6);
    // An angle that was not reduced has no lower part, and a shorter formula.
    let plain = y + v * (S1 + z * r);
    let reduced = y - ((z * (0.5 * low - v * r) - low) - v * S1);
    let s = if n == 0.0 { plain } else { reduced };
    let r = z * (C1 + z * (C2 + z * C3)) + w * w * (C4 + z * (C5 + z * C6));
    let half = 0.5 * z;
    let one = 1.0 - half;
    let c = one + (((1.0 - one) - half) + (z * r - y * low));

    let odd = n == 1.0 || n == 3.0;
    let (sin, cos) = if odd { (c, s) } else { (s, c) };
    Turned {
        sin: if n == 2.0 || n == 3.0 { -sin } else { sin },
        cos: if n == 1.0 || n == 2.0 { -cos } else { cos },
        rest: y,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests_support::each_isa;

    const UNIT: f64 = (1_u64 << 53) as f64;

    /// Compares the bits of all pairs with those of libm.
    fn same(pairs: &[(f64, f64)]) {
        let mut first: Vec<f64> = pairs.iter().map(|(u, _)| *u).collect();
        let second: Vec<f64> = pairs.iter().map(|(_, v)| *v).collect();
        let mut out = vec![[0.0; 2]; pairs.len()];
        box_muller(&mut first, &second, &mut out);
        for ((u, v), got) in pairs.iter().zip(out) {
            let radius = libm::sqrt(-2.0 * libm::log(*u));
            let angle = TAU * v;
            let expected = [radius * libm::cos(angle), radius * libm::sin(angle)];
            assert_eq!(
                got.map(f64::to_bits),
                expected.map(f64::to_bits),
                "{u:e} {v:e}"
            );
        }
    }

    /// Numbers as a generator draws them: multiples of 2^-53.
    fn drawn(count: u64) -> Vec<(f64, f64)> {
        let mut state = 7_u64;
        let mut unit = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            ((state >> 11) + 1) as f64 / UNIT
        };
        (0..count).map(|_| (unit(), unit())).collect()
    }

    #[test]
    fn numbers_are_those_of_libm() {
        each_isa(|_| {
            for block in drawn(200_000).chunks(64) {
                same(block);
            }
        });
    }

    #[test]
    fn numbers_at_every_bound_are_those_of_libm() {
        let mut angles = Vec::new();
        // Around each eighth of a turn: multiples of pi/2, and where the reduction changes.
        for eighth in 0..=8_u64 {
            let at = eighth << 50;
            let steps = (0..=52).flat_map(|bit| [1_u64 << bit, 3 << bit]);
            for step in steps.chain([0, 1, 2, 3]) {
                angles.extend([at.checked_sub(step), at.checked_add(step)]);
            }
        }
        let whole = 1..=1_u64 << 53;
        let angles: Vec<f64> = angles
            .into_iter()
            .flatten()
            .filter(|at| whole.contains(at))
            .map(|at| at as f64 / UNIT)
            .collect();
        // The logarithm's reduction changes at the square root of 1/2 times a power of two.
        let root = std::f64::consts::FRAC_1_SQRT_2;
        let near = |power: i32| {
            let at = root * f64::from(power).exp2();
            (0..64).flat_map(move |step| {
                let step = step as f64 * at * f64::EPSILON * 4096.0;
                [at - step, at + step]
            })
        };
        let mut radii: Vec<f64> = (-52..=0).flat_map(near).collect();
        radii.extend((0..=53).map(|bit| 1.0 / (1_u64 << bit) as f64));
        radii.retain(|u| *u <= 1.0);
        each_isa(|_| {
            let half = vec![0.3; angles.len()];
            same(&half.into_iter().zip(angles.clone()).collect::<Vec<_>>());
            let turn = vec![0.7; radii.len()];
            same(&radii.iter().copied().zip(turn).collect::<Vec<_>>());
            // One by one, so that no other number of a block decides.
            for angle in &angles {
                same(&[(0.3, *angle)]);
            }
        });
    }
}
