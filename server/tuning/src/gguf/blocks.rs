//! The block formats of GGML that this engine reads, dequantised to f32.

use half::{bf16, f16};

use super::k_quants;

/// A GGML tensor type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

impl BlockType {
    /// The type with this number in `enum ggml_type`.
    pub(crate) fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Values and bytes of one block.
    pub(crate) fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q2K => (256, 84),
            Self::Q3K => (256, 110),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }

    /// The values of whole blocks; bytes after the last whole block are left out.
    pub(crate) fn decode(self, raw: &[u8]) -> Vec<f32> {
        let half = |bytes: [u8; 2]| f16::from_le_bytes(bytes).to_f32();
        match self {
            Self::F32 => raw
                .as_chunks()
                .0
                .iter()
                .map(|c| f32::from_le_bytes(*c))
                .collect(),
            Self::F16 => raw.as_chunks().0.iter().map(|c| half(*c)).collect(),
            Self::Bf16 => raw
                .as_chunks()
                .0
                .iter()
                .map(|c| bf16::from_le_bytes(*c).to_f32())
                .collect(),
            // x = d * (q - 8); the low halves of the bytes come first.
            Self::Q4_0 => blocks::<18>(raw, 32, |block, out| {
                let d = half([block[0], block[1]]);
                let quants = &block[2..];
                out.extend(quants.iter().map(|q| d * (f32::from(q & 15) - 8.0)));
                out.extend(quants.iter().map(|q| d * (f32::from(q >> 4) - 8.0)));
            }),
            // x = d * q + m
            Self::Q4_1 => blocks::<20>(raw, 32, |block, out| {
                let d = half([block[0], block[1]]);
                let m = half([block[2], block[3]]);
                let quants = &block[4..];
                out.extend(quants.iter().map(|q| d * f32::from(q & 15) + m));
                out.extend(quants.iter().map(|q| d * f32::from(q >> 4) + m));
            }),
            // As the two above, with a fifth bit of each value in four bytes before the quants.
            Self::Q5_0 => blocks::<22>(raw, 32, |block, out| {
                let d = half([block[0], block[1]]);
                five_bits(&block[2..], |q| out.push(d * (q - 16.0)));
            }),
            Self::Q5_1 => blocks::<24>(raw, 32, |block, out| {
                let d = half([block[0], block[1]]);
                let m = half([block[2], block[3]]);
                five_bits(&block[4..], |q| out.push(d * q + m));
            }),
            Self::Q8_0 => blocks::<34>(raw, 32, |block, out| {
                let d = half([block[0], block[1]]);
                out.extend(block[2..].iter().map(|q| d * f32::from(*q as i8)));
            }),
            Self::Q2K => blocks::<84>(raw, 256, k_quants::q2k),
            Self::Q3K => blocks::<110>(raw, 256, k_quants::q3k),
            Self::Q4K => blocks::<144>(raw, 256, k_quants::q4k),
            Self::Q5K => blocks::<176>(raw, 256, k_quants::q5k),
            Self::Q6K => blocks::<210>(raw, 256, k_quants::q6k),
        }
    }
}

fn blocks<const N: usize>(
    raw: &[u8],
    values: usize,
    decode: impl Fn(&[u8; N], &mut Vec<f32>),
) -> Vec<f32> {
    let (blocks, _) = raw.as_chunks::<N>();
    let mut out = Vec::with_capacity(blocks.len() * values);
    for block in blocks {
        decode(block, &mut out);
    }
    out
}

/// Calls `value` with 32 numbers of five bits: four bytes of high bits, then sixteen bytes whose
/// low halves come first.
fn five_bits(raw: &[u8], mut value: impl FnMut(f32)) {
    let (high, low) = raw.split_at(4);
    for i in 0..32 {
        let low = low[i % 16] >> (4 * (i / 16)) & 15;
        let high = high[i / 8] >> (i % 8) & 1;
        value(f32::from(low | high << 4));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn small_blocks_follow_their_formulas() {
        let d = f16::from_f32(0.5).to_le_bytes();
        let m = f16::from_f32(-1.0).to_le_bytes();
        let mut q4 = d.to_vec();
        q4.extend([0x21; 16]);
        let values = BlockType::Q4_0.decode(&q4);
        assert_eq!((values.len(), values[0], values[31]), (32, -3.5, -3.0));
        let mut q4 = [d, m].concat();
        q4.extend([0x21; 16]);
        let values = BlockType::Q4_1.decode(&q4);
        assert_eq!((values.len(), values[0], values[31]), (32, -0.5, 0.0));
        let mut q8 = d.to_vec();
        q8.extend([0xff; 32]);
        assert_eq!(BlockType::Q8_0.decode(&q8), [-0.5; 32]);
        assert_eq!(
            BlockType::Bf16.decode(&bf16::from_f32(3.0).to_le_bytes()),
            [3.0]
        );
    }

    #[test]
    fn every_type_gives_the_values_of_the_reference() {
        let cases: BTreeMap<String, Case> =
            serde_json::from_str(include_str!("../../tests/fixtures/gguf_blocks.json")).unwrap();
        let mut seen = 0;
        for (name, case) in cases {
            let kind = BlockType::from_id(case.id).unwrap();
            let raw = hex::decode(case.blocks).unwrap();
            let (values, bytes) = kind.block();
            assert_eq!(raw.len() / bytes * values, case.values.len(), "{name}");
            assert_eq!(kind.decode(&raw), case.values, "{name}");
            seen += 1;
        }
        let known = (0..64).filter_map(BlockType::from_id).count();
        assert_eq!(seen, known, "types without a reference");
    }

    #[derive(serde::Deserialize)]
    struct Case {
        id: u32,
        blocks: String,
        values: Vec<f32>,
    }
}
