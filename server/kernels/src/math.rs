//! Elementary functions and reductions with the same bits on every machine.

use super::LANES;

/// A virtual vector.
pub type Lanes = [f32; LANES];

/// Largest argument whose exponential is finite, rounded down.
const EXP_MAX: f32 = 88.0;
/// Smallest argument with a nonzero exponential; below it the result is zero.
const EXP_MIN: f32 = -87.0;

/// Returns `e^x` to about 1 ulp for -87 <= x <= 88; 0 below, e^88 above.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2^23 rounds to an integer, ties to even, and leaves that integer in the low
    // bits.
    const MAGIC: f32 = 12_582_912.0;
    let clamped = x.clamp(EXP_MIN, EXP_MAX);
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    // ln 2 in two parts: the first has few bits, so that the first step is exact.
    let r = n.mul_add(-0.693_359_4, clamped);
    let r = n.mul_add(2.121_944_4e-4, r);
    // Taylor terms up to r^7 with |r| <= 0.35: error below 2^-26.
    let mut p = 1.984_127e-4_f32;
    p = p.mul_add(r, 1.388_888_9e-3);
    p = p.mul_add(r, 8.333_334e-3);
    p = p.mul_add(r, 4.166_666_8e-2);
    p = p.mul_add(r, 0.166_666_67);
    p = p.mul_add(r, 0.5);
    p = p.mul_add(r, 1.0);
    p = p.mul_add(r, 1.0);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    let value = p * power;
    if x < EXP_MIN { 0.0 } else { value }
}

/// Returns `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Returns `tanh x` to about 1e-7, absolute.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// Returns the natural logarithm of a positive, normal number, computed in f64 by a fixed series.
pub fn ln(x: f32) -> f32 {
    let bits = f64::from(x).to_bits();
    let mut exponent = ((bits >> 52) as i64 - 1023) as f64;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    // ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.172
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let s2 = s * s;
    let mut series = 0.0;
    for odd in [17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * s2 + 1.0 / odd;
    }
    (exponent * std::f64::consts::LN_2 + 2.0 * s * series) as f32
}

/// Sums a virtual vector by halves.
#[inline(always)]
pub fn sum_lanes(mut v: Lanes) -> f32 {
    for i in 0..8 {
        v[i] += v[i + 8];
    }
    for i in 0..4 {
        v[i] += v[i + 4];
    }
    (v[0] + v[2]) + (v[1] + v[3])
}

/// Returns the largest value of a virtual vector.
#[inline(always)]
pub fn max_lanes(mut v: Lanes) -> f32 {
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            v[i] = larger(v[i], v[i + width]);
        }
    }
    v[0]
}

/// Returns the larger value; unlike `f32::max` it compiles to one instruction.
#[inline(always)]
pub fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Returns the sum of squares.
#[inline(always)]
pub fn sum_squares(x: &[f32]) -> f32 {
    dot(x, x)
}

/// Returns the scalar product.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut acc: Lanes = [0.0; LANES];
    let (a_chunks, a_tail) = a.as_chunks::<LANES>();
    let (b_chunks, b_tail) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..LANES {
            acc[i] = a[i].mul_add(b[i], acc[i]);
        }
    }
    for (i, (&a, &b)) in a_tail.iter().zip(b_tail).enumerate() {
        acc[i] = a.mul_add(b, acc[i]);
    }
    sum_lanes(acc)
}

multiversion! {
    /// Replaces every value by `cap · tanh(value / cap)`.
    pub fn soft_cap(values: &mut [f32], cap: f32) {
        for value in values {
            *value = cap * tanh(*value / cap);
        }
    }

    /// Multiplies every value by `factor`.
    pub fn scale(values: &mut [f32], factor: f32) {
        for value in values {
            *value *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_ulps_of_the_real_one() {
        for i in -86_999..=87_999 {
            let x = i as f32 * 1e-3;
            let real = f64::from(x).exp();
            let error = (f64::from(exp(x)) - real).abs() / real;
            assert!(error < 2.4e-7, "exp({x}) is off by {error}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_is_the_real_one_within_two_units_at_one() {
        for i in -20_000..=20_000 {
            let x = i as f32 * 5e-3;
            let error = f64::from(tanh(x)) - f64::from(x).tanh();
            assert!(error.abs() < 2.4e-7, "tanh({x}) is off by {error}");
        }
        assert_eq!((tanh(0.0), tanh(1e9), tanh(-1e9)), (0.0, 1.0, -1.0));
    }

    #[test]
    fn ln_is_the_real_one_rounded() {
        for i in 1..100_000_u32 {
            let x = i as f32 * 0.37;
            assert!(
                (f64::from(ln(x)) - f64::from(x).ln()).abs()
                    <= 5e-7 * f64::from(x).ln().abs().max(1e-3)
            );
        }
    }
}
