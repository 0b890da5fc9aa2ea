//! GGML's K-quants: blocks of 256 values whose parts have small separate scales under one or two
//! f16. The layouts are those of `ggml-common.h`.

use half::f16;

use super::parts::Parts;

fn half(bytes: &[u8]) -> f32 {
    match bytes {
        [low, high, ..] => f16::from_le_bytes([*low, *high]).to_f32(),
        _ => 0.0,
    }
}

/// Two bits per value; a scale and a minimum of four bits for every 16: `scales[16]`, `qs[64]`,
/// `d`, `dmin`.
pub(super) fn q2k(block: &[u8; 84], out: &mut Parts) {
    let (scales, rest) = block.split_at(16);
    let (quants, rest) = rest.split_at(64);
    let (d, min) = (half(rest), half(&rest[2..]));
    let mut scales = scales.iter();
    for quants in quants.chunks_exact(32) {
        for shift in [0, 2, 4, 6] {
            for (quants, scale) in quants.chunks_exact(16).zip(&mut scales) {
                let (d, min) = (d * f32::from(scale & 15), min * f32::from(scale >> 4));
                out.push(d, -min, quants.iter().map(|q| (q >> shift & 3) as i8));
            }
        }
    }
}

/// Three bits per value, with the high bit stored separately and inverted; a signed scale of six
/// bits for every 16: `hmask[32]`, `qs[64]`, `scales[12]`, `d`.
pub(super) fn q3k(block: &[u8; 110], out: &mut Parts) {
    let (high, rest) = block.split_at(32);
    let (quants, rest) = rest.split_at(64);
    let (packed, rest) = rest.split_at(12);
    let d = half(rest);
    let scale = |i: usize| {
        let low = packed[i % 8] >> (4 * (i / 8)) & 15;
        let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
        d * (f32::from(low | high << 4) - 32.0)
    };
    let mut part = 0;
    for (half, quants) in quants.chunks_exact(32).enumerate() {
        for quarter in 0..4 {
            let bit = 4 * half + quarter;
            for (quants, high) in quants.chunks_exact(16).zip(high.chunks_exact(16)) {
                let value = |(q, high): (&u8, &u8)| {
                    let low = (q >> (2 * quarter) & 3) as i8;
                    if high >> bit & 1 == 1 { low } else { low - 4 }
                };
                out.push(scale(part), -0.0, quants.iter().zip(high).map(value));
                part += 1;
            }
        }
    }
}

/// Reads scale and minimum `i` of eight, six bits each in twelve bytes.
fn scale_and_min(packed: &[u8], i: usize) -> (f32, f32) {
    let (scale, min) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        (
            packed[i + 4] & 15 | packed[i - 4] >> 6 << 4,
            packed[i + 4] >> 4 | packed[i] >> 6 << 4,
        )
    };
    (f32::from(scale), f32::from(min))
}

/// Four bits per value; a scale and a minimum for every 32: `d`, `dmin`, `scales[12]`, `qs[128]`.
pub(super) fn q4k(block: &[u8; 144], out: &mut Parts) {
    let (d, min) = (half(block), half(&block[2..]));
    let (scales, quants) = (&block[4..16], &block[16..]);
    for (i, quants) in quants.chunks_exact(32).enumerate() {
        for side in 0..2 {
            let (scale, least) = scale_and_min(scales, 2 * i + side);
            let value = |q: &u8| (q >> (4 * side) & 15) as i8;
            out.push(d * scale, -(min * least), quants.iter().map(value));
        }
    }
}

/// As [`q4k`] with a fifth bit: `d`, `dmin`, `scales[12]`, `qh[32]`, `qs[128]`.
pub(super) fn q5k(block: &[u8; 176], out: &mut Parts) {
    let (d, min) = (half(block), half(&block[2..]));
    let (scales, high, quants) = (&block[4..16], &block[16..48], &block[48..]);
    for (i, quants) in quants.chunks_exact(32).enumerate() {
        for side in 0..2 {
            let part = 2 * i + side;
            let (scale, least) = scale_and_min(scales, part);
            let value =
                |(q, high): (&u8, &u8)| (q >> (4 * side) & 15 | (high >> part & 1) << 4) as i8;
            let quants = quants.iter().zip(high).map(value);
            out.push(d * scale, -(min * least), quants);
        }
    }
}

/// Six bits per value: four low bits in `ql`, two high bits in `qh`, a scale for every 16.
pub(super) fn q6k(block: &[u8; 210], out: &mut Parts) {
    let d = half(&block[208..]);
    for part in 0..2 {
        let ql = &block[64 * part..64 * (part + 1)];
        let qh = &block[128 + 32 * part..128 + 32 * (part + 1)];
        let scales = &block[192 + 8 * part..192 + 8 * (part + 1)];
        for quarter in 0..4 {
            for side in 0..2 {
                let value = |l: usize| {
                    let low = ql[l + 32 * (quarter % 2)] >> (4 * (quarter / 2)) & 15;
                    let high = qh[l] >> (2 * quarter) & 3;
                    (low | high << 4) as i8 - 32
                };
                let scale = f32::from(scales[side + 2 * quarter] as i8);
                out.push(d * scale, -0.0, (16 * side..16 * (side + 1)).map(value));
            }
        }
    }
}
