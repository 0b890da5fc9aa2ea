//! GGML's I-quants: blocks whose values are rows of a fixed table, with signs and small scales. The
//! layouts are those of `ggml-common.h`; [`grids.py`](grids.py) writes the tables.

use half::f16;

use super::parts::Parts;

/// The tables one after the other; two bits a value, or four bits in those of IQ3.
const GRIDS: &[u8; 9216] = include_bytes!("grids.bin");

/// Rows of eight levels of two bits.
struct Grid<const ROWS: usize> {
    /// Offset of the table, bytes.
    start: usize,
    levels: [i8; 4],
}

const IQ2_XXS: Grid<256> = Grid::new(0, IQ2_LEVELS);
const IQ2_XS: Grid<512> = Grid::new(512, IQ2_LEVELS);
const IQ2_S: Grid<1024> = Grid::new(1536, IQ2_LEVELS);
const IQ1: Grid<2048> = Grid::new(3584, [-1, 0, 1, 0]);
/// Offsets of the tables of rows of four levels.
const IQ3_XXS: usize = 7680;
const IQ3_S: usize = 8192;

const IQ2_LEVELS: [i8; 4] = [0x08, 0x19, 0x2b, 0];
const IQ3_XXS_LEVELS: [i8; 8] = [0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3e];

/// Levels of IQ4_NL and IQ4_XS.
const IQ4_LEVELS: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

impl<const ROWS: usize> Grid<ROWS> {
    const fn new(start: usize, levels: [i8; 4]) -> Self {
        Self { start, levels }
    }

    /// Returns a row; an index has as many bits as the table has rows.
    fn row(&self, index: usize) -> [i8; 8] {
        let at = self.start + 2 * (index % ROWS);
        let bits = u16::from_le_bytes([GRIDS[at], GRIDS[at + 1]]);
        std::array::from_fn(|i| self.levels[usize::from(bits >> (2 * i) & 3)])
    }
}

/// Returns a row of a table of four levels.
fn four(start: usize, index: usize) -> [u8; 4] {
    let at = start + 2 * index;
    let bits = u16::from_le_bytes([GRIDS[at], GRIDS[at + 1]]);
    std::array::from_fn(|i| (bits >> (4 * i) & 7) as u8)
}

fn half(bytes: &[u8]) -> f32 {
    match bytes {
        [low, high, ..] => f16::from_le_bytes([*low, *high]).to_f32(),
        _ => 0.0,
    }
}

fn word(bytes: &[u8], i: usize) -> u16 {
    let pair = bytes.as_chunks::<2>().0.get(i);
    pair.map_or(0, |pair| u16::from_le_bytes(*pair))
}

fn double(bytes: &[u8], i: usize) -> u32 {
    let four = bytes.as_chunks::<4>().0.get(i);
    four.map_or(0, |four| u32::from_le_bytes(*four))
}

/// Returns eight signs of seven bits: the eighth makes their number even.
fn even(signs: u32) -> u8 {
    let signs = (signs & 127) as u8;
    signs | ((signs.count_ones() & 1) as u8) << 7
}

/// Negates the values whose bit is set.
fn signed(row: impl IntoIterator<Item = i8>, signs: u8) -> impl Iterator<Item = i8> {
    let one = move |(i, value): (usize, i8)| if signs >> i & 1 == 1 { -value } else { value };
    row.into_iter().enumerate().map(one)
}

/// Two bits: for every 32 values four indices of 8 bits, four times seven signs and a scale of 4 bits.
pub(super) fn iq2_xxs(block: &[u8; 66], out: &mut Parts) {
    let d = half(block);
    for group in block[2..].chunks_exact(8) {
        let rest = double(group, 1);
        let scale = d * (0.5 + (rest >> 28) as f32) * 0.25;
        let rows = group.iter().take(4).zip(0u32..);
        let values = rows
            .flat_map(|(index, i)| signed(IQ2_XXS.row(usize::from(*index)), even(rest >> (7 * i))));
        out.push(scale, -0.0, values);
    }
}

/// As [`iq2_xxs`] with indices of 9 bits and a scale for every 16: `d`, `qs[32]` of 16 bits, `scales[8]`.
pub(super) fn iq2_xs(block: &[u8; 74], out: &mut Parts) {
    let d = half(block);
    let (quants, scales) = block[2..].split_at(64);
    for part in 0..16 {
        let scale = d * (0.5 + f32::from(scales[part / 2] >> (4 * (part % 2)) & 15)) * 0.25;
        let values = [2 * part, 2 * part + 1].into_iter().flat_map(|i| {
            let q = word(quants, i);
            signed(IQ2_XS.row(usize::from(q & 511)), even(u32::from(q >> 9)))
        });
        out.push(scale, -0.0, values);
    }
}

/// As [`iq2_xs`] with indices of 10 bits and every sign: `d`, `qs[32]`, `signs[32]`, `qh[8]`,
/// `scales[8]`.
pub(super) fn iq2_s(block: &[u8; 82], out: &mut Parts) {
    let d = half(block);
    let (quants, rest) = block[2..].split_at(32);
    let (signs, rest) = rest.split_at(32);
    let (high, scales) = rest.split_at(8);
    for part in 0..16 {
        let scale = d * (0.5 + f32::from(scales[part / 2] >> (4 * (part % 2)) & 15)) * 0.25;
        let values = [2 * part, 2 * part + 1].into_iter().flat_map(|i| {
            let top = usize::from(high[i / 4] >> (2 * (i % 4)) & 3);
            signed(IQ2_S.row(usize::from(quants[i]) | top << 8), signs[i])
        });
        out.push(scale, -0.0, values);
    }
}

/// Three bits: for every 32 values eight indices of 8 bits, and signs and a scale as in [`iq2_xxs`]:
/// `d`, `qs[64]`, then 32 bits for each.
pub(super) fn iq3_xxs(block: &[u8; 98], out: &mut Parts) {
    let d = half(block);
    let (quants, scales) = block[2..].split_at(64);
    for (part, quants) in quants.chunks_exact(8).enumerate() {
        let rest = double(scales, part);
        let scale = d * (0.5 + (rest >> 28) as f32) * 0.5;
        let values = quants.chunks_exact(2).zip(0u32..).flat_map(|(pair, i)| {
            let rows = pair.iter().flat_map(|q| four(IQ3_XXS, usize::from(*q)));
            let levels = rows.map(|level| IQ3_XXS_LEVELS[usize::from(level)]);
            signed(levels, even(rest >> (7 * i)))
        });
        out.push(scale, -0.0, values);
    }
}

/// As [`iq3_xxs`] with indices of 9 bits, every sign and odd levels: `d`, `qs[64]`, `qh[8]`, `signs[32]`,
/// `scales[4]`.
pub(super) fn iq3_s(block: &[u8; 110], out: &mut Parts) {
    let d = half(block);
    let (quants, rest) = block[2..].split_at(64);
    let (high, rest) = rest.split_at(8);
    let (signs, scales) = rest.split_at(32);
    for (part, (quants, signs)) in quants
        .chunks_exact(8)
        .zip(signs.chunks_exact(4))
        .enumerate()
    {
        let scale = scales[part / 2] >> (4 * (part % 2)) & 15;
        let values = (0..4).flat_map(|i| {
            let rows = [2 * i, 2 * i + 1].into_iter().flat_map(|q: usize| {
                let top = usize::from(high[part] >> q & 1);
                four(IQ3_S, usize::from(quants[q]) | top << 8)
            });
            signed(rows.map(|level| 2 * level as i8 + 1), signs[i])
        });
        out.push(d * f32::from(1 + 2 * scale), -0.0, values);
    }
}

/// Returns a row of [`IQ1`] moved by an eighth, in eighths.
fn moved(index: usize, down: bool) -> impl Iterator<Item = i8> {
    let delta = if down { -1 } else { 1 };
    IQ1.row(index)
        .into_iter()
        .map(move |level| 8 * level + delta)
}

/// One and a half bits: `d`, `qs[32]`, and for every 32 values 16 bits with four times three high bits of
/// an index, a scale of three bits and the direction in which the levels are moved.
pub(super) fn iq1_s(block: &[u8; 50], out: &mut Parts) {
    let d = half(block);
    let (quants, high) = block[2..].split_at(32);
    for (part, quants) in quants.chunks_exact(4).enumerate() {
        let rest = word(high, part);
        // An eighth of a power of two changes no bit of the product.
        let scale = d * f32::from(2 * (rest >> 12 & 7) + 1) * 0.125;
        let values = quants.iter().enumerate().flat_map(|(i, q)| {
            let top = usize::from(rest >> (3 * i) & 7);
            moved(usize::from(*q) | top << 8, rest & 0x8000 != 0)
        });
        out.push(scale, -0.0, values);
    }
}

/// As [`iq1_s`] with a scale for every 16 and a direction for every 8: `qs[32]`, `qh[16]`, and four times
/// 16 bits with four scales and a quarter of `d`.
pub(super) fn iq1_m(block: &[u8; 56], out: &mut Parts) {
    let (quants, rest) = block.split_at(32);
    let (high, scales) = rest.split_at(16);
    let quarter = |i: usize| word(scales, i) >> 12 << (4 * i);
    let d = f16::from_bits(quarter(0) | quarter(1) | quarter(2) | quarter(3)).to_f32();
    for (part, quants) in quants.chunks_exact(2).enumerate() {
        let scale = word(scales, part / 4) >> (3 * (part % 4)) & 7;
        let scale = d * f32::from(2 * scale + 1) * 0.125;
        let values = quants.iter().enumerate().flat_map(|(i, q)| {
            let rest = high[part] >> (4 * i);
            moved(usize::from(*q) | usize::from(rest & 7) << 8, rest & 8 != 0)
        });
        out.push(scale, -0.0, values);
    }
}

/// Returns the levels of 16 bytes; the low halves come first.
fn iq4(quants: &[u8]) -> impl Iterator<Item = i8> + '_ {
    let low = quants.iter().map(|q| IQ4_LEVELS[usize::from(q & 15)]);
    low.chain(quants.iter().map(|q| IQ4_LEVELS[usize::from(q >> 4)]))
}

/// Four bits, levels that are not evenly spaced: `d`, `qs[16]`.
pub(super) fn iq4_nl(block: &[u8; 18], out: &mut Parts) {
    out.push(half(block), -0.0, iq4(&block[2..]));
}

/// As [`iq4_nl`] with a scale of six bits for every 32: `d`, `scales_h`, `scales_l[4]`, `qs[128]`.
pub(super) fn iq4_xs(block: &[u8; 136], out: &mut Parts) {
    let d = half(block);
    let high = word(block, 1);
    let (low, quants) = block[4..].split_at(4);
    for (part, quants) in quants.chunks_exact(16).enumerate() {
        let low = low[part / 2] >> (4 * (part % 2)) & 15;
        let high = (high >> (2 * part) & 3) as u8;
        out.push(d * (f32::from(low | high << 4) - 32.0), -0.0, iq4(quants));
    }
}
