//! The AVX-512 micro-kernel: up to 14 x 32 accumulators in 28 registers. [`full`] has a faster form for
//! whole tiles.
//!
//! Written in assembly because the compiler, given the same loop as intrinsics, keeps the broadcast
//! values instead of the accumulators in registers from 13 rows on and loses half of the speed.
//! Element (row, k) of A is read in place: three base pointers, five rows apart, reach 14 rows with
//! the scales that an address may have.
//!
//! While a tile is computed, a part of the next panel of B is fetched into the second-level
//! cache: out-of-order execution alone keeps too few loads under way, and with weights from
//! memory and 64 rows the kernel would run at half speed.
//!
//! Products of pairs of 16-bit integers use the same kernel with another instruction: VPDPWSSD
//! takes two neighbouring k, one 32-bit word, where a fused multiply-add takes one float.

use std::arch::asm;

use super::{NR, Start, Tile};

/// Expands to an array of kernels: for the first row, the first two rows, and so on.
macro_rules! prefixes {
    ($macro:ident $op:literal [$($done:expr),*] [$($rows:tt)*] $next:tt $($rest:tt)*) => {
        prefixes!(
            $macro $op [$($done,)* $macro!($op $($rows)* $next)] [$($rows)* $next] $($rest)*
        )
    };
    ($macro:ident $op:literal [$($done:expr),*] [$($rows:tt)*]) => {
        [$($done),*]
    };
}

mod full;

/// Computes a tile.
///
/// # Safety
/// The processor must have AVX-512 F; the pointers of the tile must be valid for its shape.
pub(super) unsafe fn tile(tile: Tile) {
    let kernels = match tile.columns {
        NR if tile.a_column == 1 => &full::FLOATS,
        NR if tile.a_row == 1 => &full::FLOATS_ACROSS,
        columns if columns > 16 => &WIDE,
        _ => &NARROW,
    };
    // SAFETY: the caller's promises are those of the kernels.
    unsafe { kernels[tile.rows - 1](&tile) }
}

/// Computes a tile of pairs of 16-bit integers, with 32-bit sums.
///
/// # Safety
/// The processor must have AVX-512 F and VNNI; the pointers of the tile must be valid for its
/// shape, in words of two values.
pub(super) unsafe fn tile_pairs(tile: Tile) {
    let kernels = match tile.columns {
        NR if tile.a_column == 1 => &full::PAIRS,
        columns if columns > 16 => &WIDE_PAIRS,
        _ => &NARROW_PAIRS,
    };
    // SAFETY: the caller's promises are those of the kernels.
    unsafe { kernels[tile.rows - 1](&tile) }
}

/// Kernels, indexed by the number of rows minus one.
type Kernels = [unsafe fn(&Tile); 14];

/// Mask of the first `columns` of 16 lanes.
pub(crate) fn mask(columns: usize) -> u16 {
    ((1_u32 << columns.min(16)) - 1) as u16
}

/// One kernel of two vectors, for the rows given: name, address of A, accumulators, and the
/// register that takes the broadcast value.
macro_rules! wide {
    ($multiply_add:literal $(($name:ident $address:literal $low:literal $high:literal $value:literal))+) => {
        asm_tile! {
            rows: [$($name)+],
            zero: [$(
                concat!("vpxord ", $low, ",", $low, ",", $low),
                concat!("vpxord ", $high, ",", $high, ",", $high),
            )+],
            load: [$(
                concat!("vmovups ", $low, "{{{m0}}}{{z}}, [{a1}]"),
                concat!("vmovups ", $high, "{{{m1}}}{{z}}, [{a1} + 64]"),
                "add {a1}, {cs}",
            )+],
            operand: [
                "vmovups zmm28{{{m0}}}{{z}}, [{b}]",
                "vmovups zmm29{{{m1}}}{{z}}, [{b} + 64]",
            ],
            step: [$(
                concat!("vbroadcastss ", $value, ", dword ptr ", $address),
                concat!($multiply_add, " ", $low, ", ", $value, ", zmm28"),
                concat!($multiply_add, " ", $high, ", ", $value, ", zmm29"),
            )+],
            store: [$(
                concat!("vmovups [{c}]{{{m0}}}, ", $low),
                concat!("vmovups [{c} + 64]{{{m1}}}, ", $high),
                "add {c}, {cs}",
            )+],
        }
    };
}

/// As `wide`, for at most 16 columns.
macro_rules! narrow {
    ($multiply_add:literal $(($name:ident $address:literal $low:literal $high:literal $value:literal))+) => {
        asm_tile! {
            rows: [$($name)+],
            zero: [$(concat!("vpxord ", $low, ",", $low, ",", $low),)+],
            load: [$(
                concat!("vmovups ", $low, "{{{m0}}}{{z}}, [{a1}]"),
                "add {a1}, {cs}",
            )+],
            operand: ["/* {m1} */", "vmovups zmm28{{{m0}}}{{z}}, [{b}]",],
            step: [$(
                concat!("vbroadcastss ", $value, ", dword ptr ", $address),
                concat!($multiply_add, " ", $low, ", ", $value, ", zmm28"),
            )+],
            store: [$(
                concat!("vmovups [{c}]{{{m0}}}, ", $low),
                "add {c}, {cs}",
            )+],
        }
    };
}

macro_rules! asm_tile {
    (
        rows: [$($name:ident)+],
        zero: [$($zero:expr,)+],
        load: [$($load:expr,)+],
        operand: [$($operand:expr,)+],
        step: [$($step:expr,)+],
        store: [$($store:expr,)+],
    ) => {{
        #[target_feature(enable = "avx512f")]
        unsafe fn kernel(tile: &Tile) {
            // SAFETY: every address is an element of A, B or C, by the promises about the
            // tile; lanes beyond its columns are masked. All registers are declared.
            unsafe {
                asm!(
                    // {s3} first says where the chains start.
                    "test {s3}, {s3}",
                    "jnz 2f",
                    $($zero,)+
                    "jmp 3f",
                    "2:",
                    "mov {a1}, {c}",
                    $($load,)+
                    "3:",
                    "lea {s3}, [{s} + 2*{s}]",
                    "lea {a1}, [{a0} + 4*{s}]",
                    "add {a1}, {s}",
                    "lea {a2}, [{a1} + 4*{s}]",
                    "add {a2}, {s}",
                    ".p2align 5",
                    "4:",
                    $($operand,)+
                    "prefetcht1 [{p}]",
                    "prefetcht1 [{p} + 64]",
                    "add {p}, {ps}",
                    $($step,)+
                    "add {a0}, {ak}",
                    "add {a1}, {ak}",
                    "add {a2}, {ak}",
                    "add {b}, {bk}",
                    "dec {k}",
                    "jnz 4b",
                    $($store,)+
                    a0 = inout(reg) tile.a => _,
                    a1 = out(reg) _,
                    a2 = out(reg) _,
                    s = in(reg) 4 * tile.a_row,
                    s3 = inout(reg) usize::from(tile.start == Start::Output) => _,
                    ak = in(reg) 4 * tile.a_column,
                    b = inout(reg) tile.b => _,
                    bk = in(reg) 4 * tile.b_row,
                    k = inout(reg) tile.k => _,
                    c = inout(reg) tile.c => _,
                    cs = in(reg) 4 * tile.c_row,
                    p = inout(reg) tile.prefetch => _,
                    ps = in(reg) tile.prefetch_step,
                    m0 = in(kreg) mask(tile.columns),
                    m1 = in(kreg) mask(tile.columns.saturating_sub(16)),
                    out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
                    out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
                    out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                    out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
                    out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
                    out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
                    out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _,
                    out("zmm28") _, out("zmm29") _, out("zmm30") _, out("zmm31") _,
                    options(nostack),
                );
            }
        }
        kernel as unsafe fn(&Tile)
    }};
}

macro_rules! kernels {
    ($macro:ident $op:literal) => {
        prefixes!(
            $macro $op [] []
            (r1 "[{a0}]" "zmm0" "zmm1" "zmm30")
            (r2 "[{a0} + {s}]" "zmm2" "zmm3" "zmm31")
            (r3 "[{a0} + 2*{s}]" "zmm4" "zmm5" "zmm30")
            (r4 "[{a0} + {s3}]" "zmm6" "zmm7" "zmm31")
            (r5 "[{a0} + 4*{s}]" "zmm8" "zmm9" "zmm30")
            (r6 "[{a1}]" "zmm10" "zmm11" "zmm31")
            (r7 "[{a1} + {s}]" "zmm12" "zmm13" "zmm30")
            (r8 "[{a1} + 2*{s}]" "zmm14" "zmm15" "zmm31")
            (r9 "[{a1} + {s3}]" "zmm16" "zmm17" "zmm30")
            (r10 "[{a1} + 4*{s}]" "zmm18" "zmm19" "zmm31")
            (r11 "[{a2}]" "zmm20" "zmm21" "zmm30")
            (r12 "[{a2} + {s}]" "zmm22" "zmm23" "zmm31")
            (r13 "[{a2} + 2*{s}]" "zmm24" "zmm25" "zmm30")
            (r14 "[{a2} + {s3}]" "zmm26" "zmm27" "zmm31")
        )
    };
}

static WIDE: Kernels = kernels!(wide "vfmadd231ps");
static NARROW: Kernels = kernels!(narrow "vfmadd231ps");
static WIDE_PAIRS: Kernels = kernels!(wide "vpdpwssd");
static NARROW_PAIRS: Kernels = kernels!(narrow "vpdpwssd");
