//! The incomplete beta function, and Student's distribution by it.

/// Steps of the continued fraction: for parameters up to a million it needs a few thousand at most.
const MOST_STEPS: usize = 20_000;
/// A number in place of 0 in the fraction's divisors.
const TINY: f64 = 1e-300;

/// The regularised incomplete beta function I_x(a, b) for positive a and b, by its continued fraction
/// (DLMF 8.17.22) in Lentz's form.
pub(super) fn beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on this side alone; the other one is the complement (DLMF 8.17.4).
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta(b, a, 1.0 - x);
    }
    let log = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b)
        + a * libm::log(x)
        + b * libm::log1p(-x);
    libm::exp(log) / a * fraction(a, b, x)
}

fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let safe = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / safe(1.0 - (a + b) * x / (a + 1.0));
    let mut product = d;
    for step in 1..MOST_STEPS {
        let m = step as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut factor = 1.0;
        for term in [even, odd] {
            d = 1.0 / safe(1.0 + term * d);
            c = safe(1.0 + term / c);
            factor = c * d;
            product *= factor;
        }
        if (factor - 1.0).abs() < 1e-15 {
            break;
        }
    }
    product
}

/// Chance that |t| is as large with so many degrees of freedom.
pub(super) fn student(t: f64, freedom: f64) -> f64 {
    beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The 97.5 % quantile of Student's distribution: half of a 95 % interval in standard errors.
pub(super) fn student_quantile(freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 2.0);
    while student(high, freedom) > 0.05 {
        high *= 2.0;
    }
    // The distribution falls steadily: halving ends at the last bit.
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        match student(middle, freedom) > 0.05 {
            true => low = middle,
            false => high = middle,
        }
    }
    0.5 * (low + high)
}
