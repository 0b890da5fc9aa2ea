//! The micro-kernels for nearly all tiles: those with 32 columns, and an A whose rows or columns
//! are contiguous.
//!
//! The 28 multiply-adds of a k take 14 cycles on the two ports for them, and the rest of a k must
//! not cost much: a core that two threads share renames three operations per cycle for each. So one
//! turn of the loop processes four k, nothing is masked, and the multiply-adds read every other row
//! themselves. They use an address without an index, so load and multiply-add count as one
//! operation. (Reading all rows this way would need more loads than there are ports for.)

use std::{arch::asm, mem::offset_of};

use super::super::{Start, Tile};

/// Operands that a kernel reads from memory on demand: the registers suffice for the addresses
/// alone.
#[repr(C)]
struct Rest {
    k: usize,
    c: *mut f32,
    /// Distance of two rows of C, bytes.
    c_row: usize,
    /// Bytes to prefetch per four k.
    fetch: usize,
}

/// One step of one row, `$k` bytes behind the row's address.
macro_rules! step {
    (read $op:literal $address:literal $low:literal $high:literal $value:literal $k:literal) => {
        concat!(
            $op,
            " ",
            $low,
            ", zmm28, dword ptr [",
            $address,
            " + ",
            $k,
            "]{{1to16}}\n",
            $op,
            " ",
            $high,
            ", zmm29, dword ptr [",
            $address,
            " + ",
            $k,
            "]{{1to16}}"
        )
    };
    (spread $op:literal $address:literal $low:literal $high:literal $value:literal $k:literal) => {
        concat!(
            "vbroadcastss ",
            $value,
            ", dword ptr [",
            $address,
            " + ",
            $k,
            "]\n",
            $op,
            " ",
            $low,
            ", ",
            $value,
            ", zmm28\n",
            $op,
            " ",
            $high,
            ", ",
            $value,
            ", zmm29"
        )
    };
}

/// One kernel, for the rows given: how and from where a row is read, its accumulators, and the
/// register that takes the value where it is broadcast first.
macro_rules! full {
    ($op:literal $(($kind:ident $address:literal $low:literal $high:literal $value:literal))+) => {{
        #[target_feature(enable = "avx512f")]
        unsafe fn kernel(tile: &Tile) {
            let rest = Rest {
                k: tile.k,
                c: tile.c,
                c_row: 4 * tile.c_row,
                fetch: 4 * tile.prefetch_step,
            };
            // SAFETY: every address is an element of A, B or C, by the promises about the
            // tile; what is fetched ahead may be any address. All registers are declared.
            unsafe {
                asm!(
                    // {k} first says where the chains start.
                    "test {k}, {k}",
                    "jnz 2f",
                    $(
                        concat!("vpxord ", $low, ", ", $low, ", ", $low),
                        concat!("vpxord ", $high, ", ", $high, ", ", $high),
                    )+
                    "jmp 3f",
                    "2:",
                    "mov {a1}, [{rest} + {c}]",
                    $(
                        concat!("vmovups ", $low, ", [{a1}]"),
                        concat!("vmovups ", $high, ", [{a1} + 64]"),
                        "add {a1}, [{rest} + {c_row}]",
                    )+
                    "3:",
                    "lea {a1}, [{a0} + 2*{s}]",
                    "lea {a2}, [{a1} + 2*{s}]",
                    "lea {a3}, [{a2} + 2*{s}]",
                    "lea {a4}, [{a3} + 2*{s}]",
                    "lea {a5}, [{a4} + 2*{s}]",
                    "lea {a6}, [{a5} + 2*{s}]",
                    "mov {k}, [{rest} + {all}]",
                    "shr {k}, 2",
                    "jz 6f",
                    ".p2align 5",
                    "4:",
                    "prefetcht1 [{p}]",
                    "prefetcht1 [{p} + 64]",
                    // With few rows, four k prefetch more than two lines.
                    "cmp qword ptr [{rest} + {fetch}], 128",
                    "jbe 5f",
                    "prefetcht1 [{p} + 128]",
                    "prefetcht1 [{p} + 192]",
                    "prefetcht1 [{p} + 256]",
                    "prefetcht1 [{p} + 320]",
                    "prefetcht1 [{p} + 384]",
                    "prefetcht1 [{p} + 448]",
                    "5:",
                    "add {p}, [{rest} + {fetch}]",
                    "vmovups zmm28, [{b}]",
                    "vmovups zmm29, [{b} + 64]",
                    "add {b}, {bk}",
                    $(step!($kind $op $address $low $high $value "0"),)+
                    "vmovups zmm28, [{b}]",
                    "vmovups zmm29, [{b} + 64]",
                    "add {b}, {bk}",
                    $(step!($kind $op $address $low $high $value "4"),)+
                    "vmovups zmm28, [{b}]",
                    "vmovups zmm29, [{b} + 64]",
                    "add {b}, {bk}",
                    $(step!($kind $op $address $low $high $value "8"),)+
                    "vmovups zmm28, [{b}]",
                    "vmovups zmm29, [{b} + 64]",
                    "add {b}, {bk}",
                    $(step!($kind $op $address $low $high $value "12"),)+
                    "add {a0}, 16",
                    "add {a1}, 16",
                    "add {a2}, 16",
                    "add {a3}, 16",
                    "add {a4}, 16",
                    "add {a5}, 16",
                    "add {a6}, 16",
                    "dec {k}",
                    "jnz 4b",
                    // The remaining k, one by one.
                    "6:",
                    "mov {k}, [{rest} + {all}]",
                    "and {k}, 3",
                    "jz 8f",
                    "7:",
                    "vmovups zmm28, [{b}]",
                    "vmovups zmm29, [{b} + 64]",
                    "add {b}, {bk}",
                    $(step!($kind $op $address $low $high $value "0"),)+
                    "add {a0}, 4",
                    "add {a1}, 4",
                    "add {a2}, 4",
                    "add {a3}, 4",
                    "add {a4}, 4",
                    "add {a5}, 4",
                    "add {a6}, 4",
                    "dec {k}",
                    "jnz 7b",
                    "8:",
                    "mov {a1}, [{rest} + {c}]",
                    $(
                        concat!("vmovups [{a1}], ", $low),
                        concat!("vmovups [{a1} + 64], ", $high),
                        "add {a1}, [{rest} + {c_row}]",
                    )+
                    a0 = inout(reg) tile.a => _,
                    a1 = out(reg) _,
                    a2 = out(reg) _,
                    a3 = out(reg) _,
                    a4 = out(reg) _,
                    a5 = out(reg) _,
                    a6 = out(reg) _,
                    s = in(reg) 4 * tile.a_row,
                    b = inout(reg) tile.b => _,
                    bk = in(reg) 4 * tile.b_row,
                    k = inout(reg) usize::from(tile.start == Start::Output) => _,
                    p = inout(reg) tile.prefetch => _,
                    rest = in(reg) &rest,
                    all = const offset_of!(Rest, k),
                    c = const offset_of!(Rest, c),
                    c_row = const offset_of!(Rest, c_row),
                    fetch = const offset_of!(Rest, fetch),
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

/// As `full`, for an A whose columns are contiguous (a transpose): every row is at a distance from
/// one address. Nothing is prefetched: such operands are activations.
macro_rules! across {
    ($op:literal $(($kind:ident $distance:literal $low:literal $high:literal $value:literal))+) => {{
        #[target_feature(enable = "avx512f")]
        unsafe fn kernel(tile: &Tile) {
            // SAFETY: every address is an element of A, B or C, by the promises about the
            // tile. All registers are declared.
            unsafe {
                asm!(
                    "test {start}, {start}",
                    "jnz 2f",
                    $(
                        concat!("vpxord ", $low, ", ", $low, ", ", $low),
                        concat!("vpxord ", $high, ", ", $high, ", ", $high),
                    )+
                    "jmp 3f",
                    "2:",
                    "mov {start}, {c}",
                    $(
                        concat!("vmovups ", $low, ", [{start}]"),
                        concat!("vmovups ", $high, ", [{start} + 64]"),
                        "add {start}, {cs}",
                    )+
                    ".p2align 5",
                    "3:",
                    "vmovups zmm28, [{b}]",
                    "vmovups zmm29, [{b} + 64]",
                    "add {b}, {bk}",
                    $(step!($kind $op "{a}" $low $high $value $distance),)+
                    "add {a}, {ak}",
                    "dec {k}",
                    "jnz 3b",
                    $(
                        concat!("vmovups [{c}], ", $low),
                        concat!("vmovups [{c} + 64], ", $high),
                        "add {c}, {cs}",
                    )+
                    a = inout(reg) tile.a => _,
                    ak = in(reg) 4 * tile.a_column,
                    b = inout(reg) tile.b => _,
                    bk = in(reg) 4 * tile.b_row,
                    c = inout(reg) tile.c => _,
                    cs = in(reg) 4 * tile.c_row,
                    k = inout(reg) tile.k => _,
                    start = inout(reg) usize::from(tile.start == Start::Output) => _,
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
    ($op:literal) => {
        prefixes!(
            full $op [] []
            (read "{a0}" "zmm0" "zmm1" "zmm30")
            (spread "{a0} + {s}" "zmm2" "zmm3" "zmm31")
            (read "{a1}" "zmm4" "zmm5" "zmm30")
            (spread "{a1} + {s}" "zmm6" "zmm7" "zmm30")
            (read "{a2}" "zmm8" "zmm9" "zmm30")
            (spread "{a2} + {s}" "zmm10" "zmm11" "zmm31")
            (read "{a3}" "zmm12" "zmm13" "zmm30")
            (spread "{a3} + {s}" "zmm14" "zmm15" "zmm30")
            (read "{a4}" "zmm16" "zmm17" "zmm30")
            (spread "{a4} + {s}" "zmm18" "zmm19" "zmm31")
            (read "{a5}" "zmm20" "zmm21" "zmm30")
            (spread "{a5} + {s}" "zmm22" "zmm23" "zmm30")
            (read "{a6}" "zmm24" "zmm25" "zmm30")
            (spread "{a6} + {s}" "zmm26" "zmm27" "zmm31")
        )
    };
}

/// Kernels, indexed by the number of rows minus one.
pub(super) static FLOATS: [unsafe fn(&Tile); 14] = kernels!("vfmadd231ps");
/// As [`FLOATS`], for pairs of 16-bit integers.
pub(super) static PAIRS: [unsafe fn(&Tile); 14] = kernels!("vpdpwssd");
/// As [`FLOATS`], for an A whose columns are contiguous.
pub(super) static FLOATS_ACROSS: [unsafe fn(&Tile); 14] = prefixes!(
    across "vfmadd231ps" [] []
    (read "0" "zmm0" "zmm1" "zmm30")
    (spread "4" "zmm2" "zmm3" "zmm30")
    (read "8" "zmm4" "zmm5" "zmm31")
    (spread "12" "zmm6" "zmm7" "zmm31")
    (read "16" "zmm8" "zmm9" "zmm30")
    (spread "20" "zmm10" "zmm11" "zmm30")
    (read "24" "zmm12" "zmm13" "zmm31")
    (spread "28" "zmm14" "zmm15" "zmm31")
    (read "32" "zmm16" "zmm17" "zmm30")
    (spread "36" "zmm18" "zmm19" "zmm30")
    (read "40" "zmm20" "zmm21" "zmm31")
    (spread "44" "zmm22" "zmm23" "zmm31")
    (read "48" "zmm24" "zmm25" "zmm30")
    (spread "52" "zmm26" "zmm27" "zmm30")
);
