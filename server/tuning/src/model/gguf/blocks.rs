//! The block formats of GGML that this engine reads, dequantised to f32.

use half::{bf16, f16};

use super::{i_quants, k_quants, parts::Parts, small};
use crate::kernels::gemm::compact::{Bits, Format};

/// A GGML tensor type that this engine reads.
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
    Iq1S,
    Iq1M,
    Iq2Xxs,
    Iq2Xs,
    Iq2S,
    Iq3Xxs,
    Iq3S,
    Iq4Nl,
    Iq4Xs,
    Tq1_0,
    Tq2_0,
    Mxfp4,
    Nvfp4,
}

/// Types of `enum ggml_type`: number, name in files' names, and how the type is read. Numbers that are
/// not here were given to types that are gone.
const TYPES: [(u32, &str, Option<BlockType>); 37] = [
    (0, "F32", Some(BlockType::F32)),
    (1, "F16", Some(BlockType::F16)),
    (2, "Q4_0", Some(BlockType::Q4_0)),
    (3, "Q4_1", Some(BlockType::Q4_1)),
    (4, "Q4_2", None),
    (5, "Q4_3", None),
    (6, "Q5_0", Some(BlockType::Q5_0)),
    (7, "Q5_1", Some(BlockType::Q5_1)),
    (8, "Q8_0", Some(BlockType::Q8_0)),
    (9, "Q8_1", None),
    (10, "Q2_K", Some(BlockType::Q2K)),
    (11, "Q3_K", Some(BlockType::Q3K)),
    (12, "Q4_K", Some(BlockType::Q4K)),
    (13, "Q5_K", Some(BlockType::Q5K)),
    (14, "Q6_K", Some(BlockType::Q6K)),
    (15, "Q8_K", None),
    (16, "IQ2_XXS", Some(BlockType::Iq2Xxs)),
    (17, "IQ2_XS", Some(BlockType::Iq2Xs)),
    (18, "IQ3_XXS", Some(BlockType::Iq3Xxs)),
    (19, "IQ1_S", Some(BlockType::Iq1S)),
    (20, "IQ4_NL", Some(BlockType::Iq4Nl)),
    (21, "IQ3_S", Some(BlockType::Iq3S)),
    (22, "IQ2_S", Some(BlockType::Iq2S)),
    (23, "IQ4_XS", Some(BlockType::Iq4Xs)),
    (24, "I8", None),
    (25, "I16", None),
    (26, "I32", None),
    (27, "I64", None),
    (28, "F64", None),
    (29, "IQ1_M", Some(BlockType::Iq1M)),
    (30, "BF16", Some(BlockType::Bf16)),
    (34, "TQ1_0", Some(BlockType::Tq1_0)),
    (35, "TQ2_0", Some(BlockType::Tq2_0)),
    (39, "MXFP4", Some(BlockType::Mxfp4)),
    (40, "NVFP4", Some(BlockType::Nvfp4)),
    (41, "Q1_0", None),
    (42, "Q2_0", None),
];

/// Returns the name of a type, or its number where it has none.
pub(super) fn type_name(id: u32) -> String {
    let known = TYPES.iter().find(|(number, ..)| *number == id);
    known.map_or_else(|| format!("number {id}"), |(_, name, _)| (*name).to_owned())
}

/// Returns the names of the types that are read.
pub(super) fn read_types() -> String {
    let read = TYPES.iter().filter(|(.., kind)| kind.is_some());
    read.map(|(_, name, _)| *name)
        .collect::<Vec<_>>()
        .join(", ")
}

impl BlockType {
    /// Returns the type with this number in `enum ggml_type`.
    pub(crate) fn from_id(id: u32) -> Option<Self> {
        TYPES.iter().find(|(number, ..)| *number == id)?.2
    }

    /// Returns the type of this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        TYPES.iter().find(|(_, known, _)| *known == name)?.2
    }

    /// Returns the number of values and of bytes in one block.
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
            Self::Iq1S => (256, 50),
            Self::Iq1M => (256, 56),
            Self::Iq2Xxs => (256, 66),
            Self::Iq2Xs => (256, 74),
            Self::Iq2S => (256, 82),
            Self::Iq3Xxs => (256, 98),
            Self::Iq3S => (256, 110),
            Self::Iq4Nl => (32, 18),
            Self::Iq4Xs => (256, 136),
            Self::Tq1_0 => (256, 54),
            Self::Tq2_0 => (256, 66),
            Self::Mxfp4 => (32, 17),
            Self::Nvfp4 => (64, 36),
        }
    }

    /// Returns the compact format for a matrix of this type; f32 has none.
    pub(crate) fn format(self) -> Option<Format> {
        let of = |bits, block, half, least| {
            Some(Format {
                bits,
                block,
                half,
                least,
            })
        };
        let four = |zero| Bits::Four { zero };
        match self {
            Self::F32 => None,
            Self::F16 => Some(Format::floats(Bits::F16)),
            Self::Bf16 => Some(Format::floats(Bits::Bf16)),
            Self::Q4_0 => of(four(8), 32, true, false),
            Self::Q4_1 => of(four(0), 32, true, true),
            Self::Q5_0 | Self::Q8_0 => of(Bits::Eight, 32, true, false),
            Self::Q5_1 => of(Bits::Eight, 32, true, true),
            // Products of a small scale and an f16 need more than an f16.
            Self::Q2K => of(four(0), 16, false, true),
            Self::Q3K => of(four(4), 16, false, false),
            Self::Q4K => of(four(0), 32, false, true),
            Self::Q5K => of(Bits::Eight, 32, false, true),
            Self::Iq4Nl | Self::Tq1_0 | Self::Tq2_0 => of(Bits::Eight, 32, true, false),
            Self::Iq4Xs | Self::Iq2Xxs | Self::Iq3Xxs | Self::Iq3S | Self::Iq1S | Self::Mxfp4 => {
                of(Bits::Eight, 32, false, false)
            }
            Self::Q6K | Self::Iq2Xs | Self::Iq2S | Self::Iq1M | Self::Nvfp4 => {
                of(Bits::Eight, 16, false, false)
            }
        }
    }

    /// Returns the values of whole blocks; bytes after the last whole block are ignored.
    pub(crate) fn decode(self, raw: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => raw
                .as_chunks()
                .0
                .iter()
                .map(|c| f32::from_le_bytes(*c))
                .collect(),
            Self::F16 => raw
                .as_chunks()
                .0
                .iter()
                .map(|c| f16::from_le_bytes(*c).to_f32())
                .collect(),
            Self::Bf16 => raw
                .as_chunks()
                .0
                .iter()
                .map(|c| bf16::from_le_bytes(*c).to_f32())
                .collect(),
            _ => {
                let (values, bytes) = self.block();
                let mut out = Vec::with_capacity(raw.len() / bytes * values);
                self.for_blocks(raw, &mut |parts| {
                    let quants = parts.quants.chunks_exact(parts.block);
                    for (quants, (scale, least)) in quants.zip(&parts.heads) {
                        let value = |q: &i8| scale * f32::from(*q) + least;
                        out.extend(quants.iter().map(value));
                    }
                });
                out
            }
        }
    }

    /// Calls `take` with the integers of every whole block, for types that store integers.
    pub(crate) fn for_blocks(self, raw: &[u8], take: &mut impl FnMut(&Parts)) {
        let mut parts = Parts::default();
        let half = |bytes: &[u8]| match bytes {
            [low, high, ..] => f16::from_le_bytes([*low, *high]).to_f32(),
            _ => 0.0,
        };
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => {}
            // x = d * (q - 8); the low halves of the bytes come first.
            Self::Q4_0 => blocks::<18>(raw, &mut parts, take, |block, out| {
                out.push(half(block), -0.0, four_bits(&block[2..]).map(|q| q - 8));
            }),
            // x = d * q + m
            Self::Q4_1 => blocks::<20>(raw, &mut parts, take, |block, out| {
                out.push(half(block), half(&block[2..]), four_bits(&block[4..]));
            }),
            // As the two above, with a fifth bit of each value in four bytes before the quants.
            Self::Q5_0 => blocks::<22>(raw, &mut parts, take, |block, out| {
                out.push(half(block), -0.0, five_bits(&block[2..]).map(|q| q - 16));
            }),
            Self::Q5_1 => blocks::<24>(raw, &mut parts, take, |block, out| {
                out.push(half(block), half(&block[2..]), five_bits(&block[4..]));
            }),
            Self::Q8_0 => blocks::<34>(raw, &mut parts, take, |block, out| {
                out.push(half(block), -0.0, block[2..].iter().map(|q| *q as i8));
            }),
            Self::Q2K => blocks::<84>(raw, &mut parts, take, k_quants::q2k),
            Self::Q3K => blocks::<110>(raw, &mut parts, take, k_quants::q3k),
            Self::Q4K => blocks::<144>(raw, &mut parts, take, k_quants::q4k),
            Self::Q5K => blocks::<176>(raw, &mut parts, take, k_quants::q5k),
            Self::Q6K => blocks::<210>(raw, &mut parts, take, k_quants::q6k),
            Self::Iq1S => blocks::<50>(raw, &mut parts, take, i_quants::iq1_s),
            Self::Iq1M => blocks::<56>(raw, &mut parts, take, i_quants::iq1_m),
            Self::Iq2Xxs => blocks::<66>(raw, &mut parts, take, i_quants::iq2_xxs),
            Self::Iq2Xs => blocks::<74>(raw, &mut parts, take, i_quants::iq2_xs),
            Self::Iq2S => blocks::<82>(raw, &mut parts, take, i_quants::iq2_s),
            Self::Iq3Xxs => blocks::<98>(raw, &mut parts, take, i_quants::iq3_xxs),
            Self::Iq3S => blocks::<110>(raw, &mut parts, take, i_quants::iq3_s),
            Self::Iq4Nl => blocks::<18>(raw, &mut parts, take, i_quants::iq4_nl),
            Self::Iq4Xs => blocks::<136>(raw, &mut parts, take, i_quants::iq4_xs),
            Self::Tq1_0 => blocks::<54>(raw, &mut parts, take, small::tq1_0),
            Self::Tq2_0 => blocks::<66>(raw, &mut parts, take, small::tq2_0),
            Self::Mxfp4 => blocks::<17>(raw, &mut parts, take, small::mxfp4),
            Self::Nvfp4 => blocks::<36>(raw, &mut parts, take, small::nvfp4),
        }
    }
}

fn blocks<const N: usize>(
    raw: &[u8],
    parts: &mut Parts,
    take: &mut impl FnMut(&Parts),
    decode: impl Fn(&[u8; N], &mut Parts),
) {
    for block in raw.as_chunks::<N>().0 {
        parts.quants.clear();
        parts.heads.clear();
        decode(block, parts);
        take(parts);
    }
}

/// Reads values of four bits; the low halves of all bytes come first.
fn four_bits(raw: &[u8]) -> impl Iterator<Item = i8> + '_ {
    let low = raw.iter().map(|q| (q & 15) as i8);
    low.chain(raw.iter().map(|q| (q >> 4) as i8))
}

/// Reads 32 numbers of five bits: four bytes of high bits, then sixteen bytes whose low halves come
/// first.
fn five_bits(raw: &[u8]) -> impl Iterator<Item = i8> + '_ {
    let (high, low) = raw.split_at(4);
    (0..32).map(move |i| {
        let low = low[i % 16] >> (4 * (i / 16)) & 15;
        let high = high[i / 8] >> (i % 8) & 1;
        (low | high << 4) as i8
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::matrix, *};

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
            serde_json::from_str(include_str!("../../../tests/fixtures/gguf_blocks.json")).unwrap();
        let mut seen = 0;
        for (name, case) in cases {
            let kind = BlockType::from_id(case.id).unwrap();
            let raw = hex::decode(case.blocks).unwrap();
            let (values, bytes) = kind.block();
            assert_eq!(raw.len() / bytes * values, case.values.len(), "{name}");
            assert_eq!(kind.decode(&raw), case.values, "{name}");
            if let Some(compact) = matrix::compact(kind, &raw, 1, case.values.len(), &|row| row) {
                let kept: Vec<u32> = compact
                    .unwrap()
                    .values()
                    .iter()
                    .map(|v| v.to_bits())
                    .collect();
                let real: Vec<u32> = kind.decode(&raw).iter().map(|v| v.to_bits()).collect();
                assert_eq!(kept, real, "{name} kept in few bits");
            }
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
