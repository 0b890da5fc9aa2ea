//! The block formats of GGML that this engine reads, dequantised to f32.

use half::{bf16, f16};

/// A GGML tensor type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q8_0,
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
            8 => Self::Q8_0,
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
            Self::Q8_0 => (32, 34),
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
            Self::Q8_0 => blocks::<34>(raw, 32, |block, out| {
                let d = half([block[0], block[1]]);
                out.extend(block[2..].iter().map(|q| d * f32::from(*q as i8)));
            }),
            Self::Q6K => blocks::<210>(raw, 256, q6k),
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

/// 256 values of six bits: four low bits in `ql`, two high bits in `qh`, a scale for every 16.
fn q6k(block: &[u8; 210], out: &mut Vec<f32>) {
    let d = f16::from_le_bytes([block[208], block[209]]).to_f32();
    for part in 0..2 {
        let ql = &block[64 * part..64 * (part + 1)];
        let qh = &block[128 + 32 * part..128 + 32 * (part + 1)];
        let scales = &block[192 + 8 * part..192 + 8 * (part + 1)];
        for quarter in 0..4 {
            for l in 0..32 {
                let low = ql[l + 32 * (quarter % 2)] >> (4 * (quarter / 2)) & 15;
                let high = qh[l] >> (2 * quarter) & 3;
                let q = f32::from(low | high << 4) - 32.0;
                let scale = f32::from(scales[l / 16 + 2 * quarter] as i8);
                out.push(d * scale * q);
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn six_bit_blocks_follow_the_reference() {
        let case: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/q6k.json")).unwrap();
        let raw = hex::decode(case["block"].as_str().unwrap()).unwrap();
        let expected: Vec<f32> = serde_json::from_value(case["values"].clone()).unwrap();
        assert_eq!(BlockType::Q6K.decode(&raw), expected);
    }
}
