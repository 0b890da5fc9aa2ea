//! CPU kernels. They work on slices and shapes, and know neither tensors nor models.
//!
//! Numeric mode `exact`: every product element is one chain of fused multiply-adds over the
//! inner dimension in order, reductions have a fixed virtual width of [`LANES`], and `exp`
//! and `ln` are our own. So the bits depend neither on the instruction set nor on the number
//! of threads.
//!
//! Numeric mode `fast`: frozen matrices and the operands multiplied with them are rounded to
//! integers of 16 bits ([`gemm::pairs`]), whose sums are exact. So these bits, too, are the same
//! everywhere.

#[macro_use]
mod multiversion;

pub mod attention;
pub mod columns;
pub mod distances;
pub mod fused;
pub mod gated;
pub mod gauss;
pub mod gemm;
pub mod lora;
pub mod loss;
pub mod math;
pub mod memory;
pub mod norm;
pub mod parallel;
pub mod pool;
pub mod rope;

use std::sync::atomic::{AtomicU8, Ordering};

/// Width of the virtual vector in reductions, whatever the machine has.
pub const LANES: usize = 16;

/// How products with frozen matrices are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numerics {
    /// f32 with the same bits on every instruction set.
    #[default]
    Exact,
    /// Products of 16-bit integers, likewise with the same bits on every instruction set.
    Fast,
}

impl Numerics {
    /// Returns `exact` or `fast`, as in fingerprints and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Fast => "fast",
        }
    }

    /// Returns the mode with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Exact, Self::Fast]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

/// An instruction set that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 with F, BW, DQ and VL.
    Avx512,
    /// AVX2 with FMA.
    Avx2,
    /// The compiler's baseline for the target.
    Portable,
}

impl Isa {
    /// Short name, as written into fingerprints and read from `FEDSEAL_KERNEL`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Whether this machine can run it.
    pub fn available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("fma")
            }
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Portable => true,
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Self::Portable
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Avx512),
            2 => Some(Self::Avx2),
            3 => Some(Self::Portable),
            _ => None,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Avx512 => 1,
            Self::Avx2 => 2,
            Self::Portable => 3,
        }
    }
}

/// 0 while not chosen yet, else the code of an [`Isa`] that this machine can run.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// Returns the instruction set in use: the forced one, or the one that the environment variable
/// `FEDSEAL_KERNEL` names (`avx512`, `avx2`, `portable`), or the best available one.
pub fn isa() -> Isa {
    if let Some(isa) = Isa::from_code(CHOSEN.load(Ordering::Relaxed)) {
        return isa;
    }
    let wanted = std::env::var("FEDSEAL_KERNEL").ok();
    let isa = [Isa::Avx512, Isa::Avx2, Isa::Portable]
        .into_iter()
        .filter(|isa| isa.available())
        .find(|isa| wanted.as_deref().is_none_or(|name| name == isa.name()))
        .unwrap_or(Isa::Portable);
    CHOSEN.store(isa.code(), Ordering::Relaxed);
    isa
}

/// Forces an instruction set, or returns to the default with `None`. Returns false, and changes
/// nothing, when this machine lacks the instruction set.
pub fn force(isa: Option<Isa>) -> bool {
    match isa {
        Some(isa) if !isa.available() => false,
        Some(isa) => {
            CHOSEN.store(isa.code(), Ordering::Relaxed);
            true
        }
        None => {
            CHOSEN.store(0, Ordering::Relaxed);
            true
        }
    }
}

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub mod tests_support {
    //! Helpers that the tests of the kernels and of their users share.

    use std::sync::Mutex;

    use super::{Isa, force};

    /// Forcing an instruction set is process-wide, so tests that do it take turns.
    static TURN: Mutex<()> = Mutex::new(());

    /// Runs a test with each instruction set of this machine.
    pub fn each_isa(test: impl Fn(Isa)) {
        let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for isa in [Isa::Avx512, Isa::Avx2, Isa::Portable] {
            if force(Some(isa)) {
                test(isa);
            }
        }
        force(None);
    }

    /// Returns reproducible values in [-1, 1).
    pub fn noise(len: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
            })
            .collect()
    }
}
