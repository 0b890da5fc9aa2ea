//! Matrices of GGML's block types in the engine's own compact form, value for value.

use std::sync::atomic::{AtomicBool, Ordering};

use super::blocks::BlockType;
use crate::kernels::gemm::compact::{Bits, Compact, RowParts};

/// Packs `[out, inner]`; row `i` of the matrix is row `row(i)` of the file. `None` when the type
/// has no compact form, `Some(None)` when a value is not finite.
pub(super) fn compact(
    kind: BlockType,
    raw: &[u8],
    out: usize,
    inner: usize,
    row: &(impl Fn(usize) -> usize + Sync),
) -> Option<Option<Compact>> {
    let format = kind.format()?;
    let (values, bytes) = kind.block();
    let length = inner / values * bytes;
    let line = |i: usize| {
        let start = row(i) * length;
        raw.get(start..start + length).unwrap_or_default()
    };
    let finite = AtomicBool::new(true);
    let check = |good: bool| {
        if !good {
            finite.store(false, Ordering::Relaxed);
        }
    };
    let compact = match format.bits {
        Bits::Bf16 | Bits::F16 => {
            let exponent = if format.bits == Bits::F16 {
                0x7c00
            } else {
                0x7f80
            };
            Compact::from_floats(out, inner, format, &|i, k| {
                let word = line(i).as_chunks::<2>().0.get(k);
                let word = word.map_or(0, |word| u16::from_le_bytes(*word));
                check(word & exponent != exponent);
                word
            })
        }
        _ => Compact::from_rows(out, inner, format, &|i, target: RowParts<'_>| {
            let mut quants = target.quants.chunks_exact_mut(format.block);
            let mut heads = target.scales.iter_mut().zip(target.leasts);
            kind.for_blocks(line(i), &mut |parts| {
                let blocks = parts.quants.chunks_exact(format.block).zip(&parts.heads);
                for (block, (scale, least)) in blocks {
                    check(scale.is_finite() && least.is_finite());
                    if let (Some(quants), Some(head)) = (quants.next(), heads.next()) {
                        quants.copy_from_slice(block);
                        (*head.0, *head.1) = (*scale, *least);
                    }
                }
            });
        }),
    };
    Some(finite.into_inner().then_some(compact))
}
