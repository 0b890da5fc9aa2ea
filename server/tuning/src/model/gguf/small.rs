//! GGML's types of three and of sixteen levels: ternary ones, MXFP4 and NVFP4. The layouts are those
//! of `ggml-common.h`.

use half::f16;

use super::parts::Parts;

/// Values of OCP's E2M1 in halves (Microscaling Formats specification 1.0, section 5.3.3).
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Appends 256 values with one scale, in the blocks of a compact matrix.
fn push_ternary(out: &mut Parts, scale: f32, quants: impl Iterator<Item = i8>) {
    let mut quants = quants;
    for _ in 0..8 {
        out.push(scale, -0.0, quants.by_ref().take(32));
    }
}

/// Five values of base 3 in a byte, scaled up to use all of it; four in each of the last four bytes:
/// `qs[48]`, `qh[4]`, `d`.
pub(super) fn tq1_0(block: &[u8; 54], out: &mut Parts) {
    let digits = |bytes: &'static [u8], quants: &[u8]| -> Vec<i8> {
        let digit = |power: u8, q: u8| ((u16::from(q.wrapping_mul(power)) * 3) >> 8) as i8 - 1;
        let digits = bytes
            .iter()
            .flat_map(|power| quants.iter().map(move |q| digit(*power, *q)));
        digits.collect()
    };
    const POWERS: &[u8; 5] = &[1, 3, 9, 27, 81];
    let d = f16::from_le_bytes([block[52], block[53]]).to_f32();
    let first = digits(POWERS, &block[..32]);
    let second = digits(POWERS, &block[32..48]);
    let last = digits(&POWERS[..4], &block[48..52]);
    push_ternary(out, d, first.into_iter().chain(second).chain(last));
}

/// Four values of two bits in a byte: `qs[64]`, `d`.
pub(super) fn tq2_0(block: &[u8; 66], out: &mut Parts) {
    let d = f16::from_le_bytes([block[64], block[65]]).to_f32();
    let (quants, _) = block.split_at(64);
    let values = quants.chunks_exact(32).flat_map(|quants| {
        let shifts = [0, 2, 4, 6].into_iter();
        shifts.flat_map(move |shift| quants.iter().map(move |q| (q >> shift & 3) as i8 - 1))
    });
    push_ternary(out, d, values);
}

/// E2M1 under a power of two: `e`, `qs[16]`, the low halves first.
pub(super) fn mxfp4(block: &[u8; 17], out: &mut Parts) {
    let [exponent, quants @ ..] = block;
    // Half of 2^(e - 127), since the table has halves; the two smallest are subnormal.
    let scale = match exponent {
        0 | 1 => f32::from_bits(0x0020_0000 << exponent),
        _ => f32::from_bits(u32::from(exponent - 1) << 23),
    };
    let value = |q: u8| E2M1[usize::from(q & 15)];
    let low = quants.iter().map(|q| value(*q));
    out.push(scale, -0.0, low.chain(quants.iter().map(|q| value(q >> 4))));
}

/// E2M1 with an unsigned E4M3 for every 16: `d[4]`, `qs[32]`.
pub(super) fn nvfp4(block: &[u8; 36], out: &mut Parts) {
    let (scales, quants) = block.split_at(4);
    for (scale, quants) in scales.iter().zip(quants.chunks_exact(8)) {
        let (exponent, mantissa) = (i32::from(scale >> 3 & 15), f32::from(scale & 7));
        let scale = match (scale, exponent) {
            (0 | 0x7f, _) => 0.0,
            (_, 0) => mantissa * f32::powi(2.0, -9) * 0.5,
            _ => (1.0 + mantissa / 8.0) * f32::powi(2.0, exponent - 7) * 0.5,
        };
        let value = |q: u8| E2M1[usize::from(q & 15)];
        let low = quants.iter().map(|q| value(*q));
        out.push(scale, -0.0, low.chain(quants.iter().map(|q| value(q >> 4))));
    }
}
